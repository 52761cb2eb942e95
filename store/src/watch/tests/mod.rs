//! What a watcher is told equals what changed: complete, in order, once, however slow it is.

mod matcher;
mod property;

use std::time::Duration;

use super::{CreateError, Item, WatchSpec, WatchStream};
use crate::apply::MachineOptions;
use crate::apply::tests::{Store, mem_options, text};
use crate::consensus::StateMachine;

fn spec(key: &str, end: &str, start_revision: i64) -> WatchSpec {
    WatchSpec {
        key: text(key),
        range_end: text(end),
        start_revision,
        ..WatchSpec::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The next item, or none if nothing comes although everything is quiet.
async fn next(stream: &mut WatchStream) -> Option<Item> {
    tokio::time::timeout(Duration::from_secs(20), stream.next())
        .await
        .ok()
}

fn short(item: &Item) -> String {
    match item {
        Item::Events {
            watch_id,
            revision,
            events,
        } => {
            let events: Vec<_> = events
                .iter()
                .map(|event| {
                    let kv = event.kv.as_ref().unwrap();
                    let kind = if event.r#type == 0 { "+" } else { "-" };
                    let old = event
                        .prev_kv
                        .as_ref()
                        .map(|kv| format!("({})", String::from_utf8_lossy(&kv.value)));
                    format!(
                        "{kind}{}@{}{}",
                        String::from_utf8_lossy(&kv.key),
                        kv.mod_revision,
                        old.unwrap_or_default()
                    )
                })
                .collect();
            format!("{watch_id}: {} up to {revision}", events.join(" "))
        }
        Item::Progress { watch_id, revision } => format!("{watch_id}: progress {revision}"),
        Item::Compacted {
            watch_id,
            compact_revision,
        } => {
            format!("{watch_id}: compacted {compact_revision}")
        }
        Item::Closed => "closed".into(),
    }
}

/// Takes items until progress at the newest revision shows that there is nothing else.
async fn drain(stream: &mut WatchStream) -> Vec<String> {
    let mut told = Vec::new();
    stream.request_progress();
    loop {
        let item = next(stream).await.expect("progress comes");
        if let Item::Progress {
            watch_id: -1,
            revision,
        } = item
        {
            assert_eq!(revision, stream.revision());
            return told;
        }
        told.push(short(&item));
    }
}

#[test]
fn from_now_from_the_past_and_from_the_future() {
    runtime().block_on(async {
        let mut store = Store::new();
        store.set("a", "1");
        store.set("b", "1");
        let mut stream = store.view.watch_hub().open();
        let now = stream.create(spec("a", "", 0)).unwrap();
        let past = stream.create(spec("a", "z", 2)).unwrap();
        assert_eq!((now, past), (0, 1));
        assert_eq!(drain(&mut stream).await, ["1: +a@2 +b@3 up to 3"]);
        store.set("a", "2");
        store.delete("a", "");
        assert_eq!(
            drain(&mut stream).await,
            [
                "0: +a@4 up to 4",
                "1: +a@4 up to 4",
                "0: -a@5 up to 5",
                "1: -a@5 up to 5"
            ]
        );
        let mut later = store.view.watch_hub().open();
        later.create(spec("a", "", 7)).unwrap();
        later.request_progress();
        later.notify_progress();
        store.set("a", "3");
        store.set("a", "4");
        let first = next(&mut later).await.unwrap();
        assert_eq!(
            short(&first),
            "0: +a@7 up to 7",
            "no event and no progress before its start"
        );
    });
}

#[test]
fn previous_pairs_filters_and_whole_revisions() {
    runtime().block_on(async {
        let mut store = Store::new();
        let mut stream = store.view.watch_hub().open();
        let previous = WatchSpec {
            prev_kv: true,
            ..spec("a", "c", 0)
        };
        stream.create(previous).unwrap();
        stream
            .create(WatchSpec {
                filter_put: true,
                ..spec("a", "c", 0)
            })
            .unwrap();
        stream
            .create(WatchSpec {
                filter_delete: true,
                ..spec("a", "c", 0)
            })
            .unwrap();
        store.set("a", "1");
        store.set("a", "2");
        store.set("b", "3");
        store.delete("a", "c");
        assert_eq!(
            drain(&mut stream).await,
            [
                "0: +a@2 up to 2",
                "2: +a@2 up to 2",
                "0: +a@3(1) up to 3",
                "2: +a@3 up to 3",
                "0: +b@4 up to 4",
                "2: +b@4 up to 4",
                "0: -a@5(2) -b@5(3) up to 5",
                "1: -a@5 -b@5 up to 5",
            ]
        );
    });
}

#[test]
fn compaction_ends_a_watch_only_if_it_wants_what_is_gone() {
    runtime().block_on(async {
        // Without a ring everything is read from the rows that are left.
        let options = MachineOptions {
            watch_ring_bytes: 1,
            ..mem_options()
        };
        let mut store = Store::with(options);
        store.set("a", "1");
        store.set("a", "2");
        store.delete("a", "");
        store.compact(4).unwrap();
        store.collect(4);
        let mut stream = store.view.watch_hub().open();
        stream.create(spec("a", "", 3)).unwrap();
        let edge = stream
            .create(WatchSpec {
                prev_kv: true,
                ..spec("a", "", 4)
            })
            .unwrap();
        assert_eq!(short(&next(&mut stream).await.unwrap()), "0: compacted 4");
        assert_eq!(stream.len(), 1);
        let item = next(&mut stream).await.unwrap();
        assert_eq!(
            short(&item),
            format!("{edge}: -a@4 up to 4"),
            "the deletion, its pair is gone"
        );
        let reused = stream.create(WatchSpec {
            id: Some(0),
            ..spec("a", "", 0)
        });
        assert_eq!(reused, Ok(0));
    });
}

#[test]
fn ids_are_unique_and_ranges_not_empty() {
    let store = Store::new();
    let mut stream = store.view.watch_hub().open();
    let with_id = |id| WatchSpec {
        id: Some(id),
        ..spec("a", "", 0)
    };
    assert_eq!(stream.create(with_id(1)), Ok(1));
    assert_eq!(stream.create(with_id(1)), Err(CreateError::DuplicateId));
    assert_eq!(stream.create(spec("a", "", 0)), Ok(0));
    assert_eq!(stream.create(spec("a", "", 0)), Ok(2), "1 is taken");
    assert_eq!(
        stream.create(spec("b", "a", 0)),
        Err(CreateError::EmptyRange)
    );
    assert!(stream.cancel(1) && !stream.cancel(1));
    let stats = store.view.watch_hub().stats();
    assert_eq!(
        (stats.watchers, stats.synced_watchers, stats.streams),
        (2, 2, 1)
    );
    drop(stream);
    let stats = store.view.watch_hub().stats();
    assert_eq!(
        (stats.watchers, stats.synced_watchers, stats.streams),
        (0, 0, 0)
    );
}

#[test]
fn a_stream_that_nobody_reads_costs_a_bounded_queue_and_loses_nothing() {
    // The queue ends in the ring, and it ends on the disk.
    for watch_ring_bytes in [4 << 20, 4096] {
        let options = MachineOptions {
            watch_ring_bytes,
            ..mem_options()
        };
        runtime().block_on(overflow(options));
    }
}

async fn overflow(options: MachineOptions) {
    let mut store = Store::with(options);
    let mut stream = store.view.watch_hub().open();
    stream.create(spec("a", "", 0)).unwrap();
    stream.create(spec("b", "", 0)).unwrap();
    let count = 1500;
    for round in 0..count {
        store.set("a", &round.to_string());
        store.set("b", &round.to_string());
    }
    let stats = store.view.watch_hub().stats();
    assert_eq!(stats.synced_watchers, 0, "they read for themselves now");
    let mut told = [Vec::new(), Vec::new()];
    while told.iter().any(|told| told.len() < count) {
        let Some(Item::Events {
            watch_id, events, ..
        }) = next(&mut stream).await
        else {
            panic!()
        };
        let revisions = events
            .iter()
            .map(|event| event.kv.as_ref().unwrap().mod_revision);
        told[usize::try_from(watch_id).unwrap()].extend(revisions);
    }
    for (first, told) in (2..).zip(told) {
        assert!(
            told.into_iter().eq((first..).step_by(2).take(count)),
            "in order and complete"
        );
    }
    store.set("a", "last");
    assert_eq!(drain(&mut stream).await.len(), 1);
    assert_eq!(store.view.watch_hub().stats().synced_watchers, 2);
}

#[test]
fn progress_is_for_quiet_watchers_that_want_it() {
    runtime().block_on(async {
        let mut store = Store::new();
        let mut stream = store.view.watch_hub().open();
        for key in ["a", "b"] {
            stream
                .create(WatchSpec {
                    progress_notify: true,
                    ..spec(key, "", 0)
                })
                .unwrap();
        }
        stream.create(spec("c", "", 0)).unwrap();
        store.set("a", "1");
        assert_eq!(short(&next(&mut stream).await.unwrap()), "0: +a@2 up to 2");
        stream.notify_progress();
        assert_eq!(short(&next(&mut stream).await.unwrap()), "1: progress 2");
        stream.notify_progress();
        assert_eq!(short(&next(&mut stream).await.unwrap()), "0: progress 2");
        assert_eq!(short(&next(&mut stream).await.unwrap()), "1: progress 2");
    });
}

#[test]
fn a_cancelled_next_loses_nothing() {
    runtime().block_on(async {
        let mut store = Store::with(MachineOptions {
            watch_ring_bytes: 1,
            ..mem_options()
        });
        for round in 0..50 {
            store.set("a", &round.to_string());
        }
        let mut stream = store.view.watch_hub().open();
        stream
            .create(WatchSpec {
                prev_kv: true,
                ..spec("a", "", 2)
            })
            .unwrap();
        let mut events = Vec::new();
        while events.len() < 50 {
            // One poll, then dropped.
            let polled = futures::FutureExt::now_or_never(stream.next());
            match polled {
                Some(Item::Events { events: more, .. }) => events.extend(more),
                Some(other) => panic!("{other:?}"),
                None => tokio::task::yield_now().await,
            }
        }
        let revisions = events
            .iter()
            .map(|event| event.kv.as_ref().unwrap().mod_revision);
        assert!(revisions.eq(2..52));
        assert!(events.iter().skip(1).all(|event| event.prev_kv.is_some()));
    });
}

#[test]
fn watchers_go_on_over_a_snapshot() {
    runtime().block_on(async {
        let mut source = Store::new();
        let mut target = Store::new();
        for store in [&mut source, &mut target] {
            store.set("a", "1");
        }
        let mut stream = target.view.watch_hub().open();
        stream.create(spec("a", "", 0)).unwrap();
        stream.create(spec("a", "", 6)).unwrap();
        for value in ["2", "3", "4", "5"] {
            source.set("a", value);
        }
        let copy = source.dir().join("copy");
        source.machine.checkpoint(&copy).unwrap();
        target.machine.install(copy).unwrap();
        let mut told = drain(&mut stream).await;
        told.sort();
        assert_eq!(told, ["0: +a@3 +a@4 +a@5 +a@6 up to 6", "1: +a@6 up to 6"]);
    });
}

#[test]
fn the_end_of_the_machine_ends_the_streams() {
    runtime().block_on(async {
        let store = Store::new();
        let mut stream = store.view.watch_hub().open();
        stream.create(spec("a", "", 0)).unwrap();
        drop(store.machine);
        assert_eq!(next(&mut stream).await, Some(Item::Closed));
        assert_eq!(stream.create(spec("a", "", 0)), Err(CreateError::Closed));
    });
}
