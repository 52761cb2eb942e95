//! Writes, compactions, reads and watches at the same time, on the real engine: every read is of one
//! moment, and no watch misses a change, however the threads meet.

use std::sync::atomic::{AtomicBool, Ordering};

use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{RangeRequest, RequestOp, TxnRequest};

use super::{MachineOptions, Store, put, text};
use crate::apply::{ReadError, View};
use crate::watch::{Item, WatchSpec, WatchStream};

const ROUNDS: usize = 800;

fn write(store: &mut Store) {
    for round in 0..ROUNDS {
        let value = round.to_string();
        let both = ["x", "y"].map(|key| RequestOp {
            request: Some(Request::RequestPut(put(key, &value))),
        });
        store
            .txn(TxnRequest {
                success: both.to_vec(),
                ..Default::default()
            })
            .unwrap();
        store.set(&format!("churn{}", round % 7), &value);
        if round % 3 == 0 {
            store.delete("churn", "churo");
        }
        if round % 40 == 39 {
            store.compact(store.view.revision() - 10).unwrap();
        }
    }
}

/// `x` and `y` are always written together.
fn is_whole(view: &View, revision: i64) -> Result<i64, ReadError> {
    let request = RangeRequest {
        key: text("x"),
        range_end: text("z"),
        revision,
        ..Default::default()
    };
    let response = view.range(&request)?;
    if let [x, y] = response.kvs.as_slice() {
        assert_eq!((&x.value, x.mod_revision), (&y.value, y.mod_revision));
        assert!(revision <= 0 || x.mod_revision <= revision);
    } else {
        assert!(response.kvs.is_empty());
    }
    Ok(response.header.unwrap().revision)
}

fn read(view: &View, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let newest = is_whole(view, 0).unwrap();
        match is_whole(view, newest - 8) {
            Ok(_) | Err(ReadError::Compacted) => {}
            Err(other) => panic!("{other}"),
        }
        match view.hash_kv(0) {
            Ok(_) | Err(ReadError::Busy) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

fn spec(start_revision: i64) -> WatchSpec {
    WatchSpec {
        key: text("x"),
        start_revision,
        prev_kv: true,
        ..Default::default()
    }
}

fn watch(view: &View, start_revision: i64) -> WatchStream {
    let mut stream = view.watch_hub().open();
    stream.create(spec(start_revision)).unwrap();
    stream
}

/// Follows `x` to its last version; starts again from the compaction where it was too slow.
async fn follow(mut stream: WatchStream, last: &str) -> usize {
    let mut version = None;
    let mut seen = 0;
    loop {
        let limit = std::time::Duration::from_secs(30);
        match tokio::time::timeout(limit, stream.next()).await.unwrap() {
            Item::Events { events, .. } => {
                for event in events {
                    let kv = event.kv.unwrap();
                    assert!(version.is_none_or(|version| kv.version == version + 1));
                    if let Some(previous) = event.prev_kv {
                        assert_eq!(previous.version + 1, kv.version);
                    }
                    version = Some(kv.version);
                    seen += 1;
                    if kv.value == last {
                        return seen;
                    }
                }
            }
            Item::Compacted {
                compact_revision, ..
            } => {
                version = None;
                stream
                    .create(WatchSpec {
                        start_revision: compact_revision,
                        ..spec(0)
                    })
                    .unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn readers_watchers_and_the_collector_keep_out_of_each_others_way() {
    let options = MachineOptions {
        watch_ring_bytes: 4000,
        ..MachineOptions::default()
    };
    let mut store = Store::with(options);
    let stop = AtomicBool::new(false);
    let view = store.view.clone();
    let last = (ROUNDS - 1).to_string();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (now, past) = (watch(&view, 0), watch(&view, 2));
    std::thread::scope(|scope| {
        scope.spawn(|| read(&view, &stop));
        let now = scope.spawn(|| runtime.block_on(follow(now, &last)));
        let past = scope.spawn(|| runtime.block_on(follow(past, &last)));
        write(&mut store);
        assert!(now.join().unwrap() > 0 && past.join().unwrap() > 0);
        // Started late: reads what is left from the disk.
        let compacted = view.compact_revision();
        let late = runtime.block_on(follow(watch(&view, compacted), &last));
        assert!(late > 0);
        stop.store(true, Ordering::Relaxed);
    });
}
