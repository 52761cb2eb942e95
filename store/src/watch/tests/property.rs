//! Random histories with watchers that come, lag and read at random, against the model.

use std::collections::BTreeMap;

use futures::FutureExt;
use proptest::collection::vec;
use proptest::prelude::*;
use proto_etcd::etcdserverpb::{InternalRaftRequest, PutRequest};
use proto_etcd::mvccpb::Event;

use super::{next, runtime};
use crate::apply::MachineOptions;
use crate::apply::tests::{Store, mem_options, model, put, reference};
use crate::watch::{Item, WatchSpec, WatchStream};

/// A watcher of the random history, with what it must have been told in the end.
#[derive(Clone, Debug)]
struct Watcher {
    at_step: usize,
    spec: WatchSpec,
    /// Revisions before the newest at which it starts; below 0 is ahead, none is from now.
    back: Option<i64>,
}

fn watcher() -> impl Strategy<Value = Watcher> {
    let filters = (
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    );
    (
        0_usize..40,
        model::key(),
        model::range_end(),
        prop::option::of(-3_i64..12),
        filters,
    )
        .prop_map(
            |(at_step, key, range_end, back, (prev_kv, filter_put, filter_delete))| Watcher {
                at_step,
                back,
                spec: WatchSpec {
                    key,
                    range_end,
                    prev_kv,
                    filter_put,
                    filter_delete,
                    ..WatchSpec::default()
                },
            },
        )
}

/// What the model says a watcher must be told from `start` on.
fn expected(
    model: &reference::Model,
    spec: &WatchSpec,
    start: i64,
) -> Vec<(i64, bytes::Bytes, i32, bytes::Bytes)> {
    let wanted = model.events.range(start..).flat_map(|(_, events)| events);
    wanted
        .filter(|event| wants(spec, event))
        .map(brief)
        .collect()
}

fn wants(spec: &WatchSpec, event: &Event) -> bool {
    let key = &event.kv.as_ref().unwrap().key;
    let kind = if event.r#type == 0 {
        !spec.filter_put
    } else {
        !spec.filter_delete
    };
    kind && reference::is_in(key, &spec.key, &spec.range_end)
}

fn brief(event: &Event) -> (i64, bytes::Bytes, i32, bytes::Bytes) {
    let kv = event.kv.clone().unwrap();
    (kv.mod_revision, kv.key, event.r#type, kv.value)
}

/// The machine, the model and one stream with what its watchers were told.
struct Watched {
    store: Store,
    model: reference::Model,
    stream: WatchStream,
    /// By id: what it wants, and from which revision.
    started: BTreeMap<i64, (WatchSpec, i64)>,
    told: BTreeMap<i64, Vec<Event>>,
}

impl Watched {
    fn new() -> Self {
        let options = MachineOptions {
            watch_ring_bytes: 1500,
            ..mem_options()
        };
        let store = Store::with(options);
        let stream = store.view.watch_hub().open();
        let model = reference::Model::new();
        Self {
            store,
            model,
            stream,
            started: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    fn start(&mut self, watcher: &Watcher) {
        let newest = self.model.revision();
        let start = watcher.back.map_or(0, |back| (newest - back).max(1));
        let spec = WatchSpec {
            start_revision: start,
            ..watcher.spec.clone()
        };
        if let Ok(id) = self.stream.create(spec.clone()) {
            let first = if start == 0 { newest + 1 } else { start };
            self.started.insert(id, (spec, first));
        }
    }

    fn step(&mut self, step: model::Step) {
        match step {
            model::Step::Put(request) => {
                let request = PutRequest {
                    lease: 0,
                    ..request
                };
                assert_eq!(self.store.put(request.clone()), self.model.put(&request));
            }
            model::Step::Delete(request) => {
                let command = InternalRaftRequest {
                    delete_range: Some(request.clone()),
                    ..Default::default()
                };
                assert_eq!(self.store.ask(&command), Ok(self.model.delete(&request)));
            }
            model::Step::Txn(txn) => {
                let txn = model::settle_txn(txn, self.model.revision());
                assert_eq!(self.store.txn(txn.clone()), self.model.txn(&txn));
            }
            _ => {}
        }
    }

    fn note(&mut self, item: Item) {
        match item {
            Item::Events {
                watch_id,
                revision,
                events,
            } => {
                let last = events.last().unwrap().kv.as_ref().unwrap().mod_revision;
                assert_eq!(revision, last, "the header speaks of the last event");
                self.told.entry(watch_id).or_default().extend(events);
            }
            Item::Progress { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    /// Reaches everybody's start, and waits until everybody has been told of everything.
    async fn finish(&mut self) {
        for _ in 0..6 {
            self.step(model::Step::Put(put("zzz", "")));
        }
        let revision = self.model.revision();
        self.stream.request_progress();
        while !self.started.is_empty() {
            let item = next(&mut self.stream)
                .await
                .expect("progress comes in the end");
            if item
                == (Item::Progress {
                    watch_id: -1,
                    revision,
                })
            {
                return;
            }
            self.note(item);
        }
    }

    fn judge(mut self) {
        for (id, (spec, start)) in self.started {
            let events = self.told.remove(&id).unwrap_or_default();
            let got: Vec<_> = events.iter().map(brief).collect();
            assert_eq!(
                got,
                expected(&self.model, &spec, start),
                "{spec:?} from {start}"
            );
            for event in &events {
                let revision = event.kv.as_ref().unwrap().mod_revision;
                let mut wanted = self.model.events[&revision].iter();
                let same = wanted.find(|wanted| brief(wanted) == brief(event)).unwrap();
                let previous = same.prev_kv.clone().filter(|_| spec.prev_kv);
                assert_eq!(event.prev_kv, previous);
            }
        }
    }
}

/// Runs puts and deletes with watchers that come in between and read at random times.
async fn run_watched(steps: Vec<model::Step>, watchers: Vec<Watcher>, reads: Vec<bool>) {
    let mut watched = Watched::new();
    for (at, step) in steps.into_iter().enumerate() {
        for watcher in watchers.iter().filter(|watcher| watcher.at_step == at) {
            watched.start(watcher);
        }
        watched.step(step);
        if reads.get(at).copied().unwrap_or(false)
            && let Some(item) = watched.stream.next().now_or_never()
        {
            watched.note(item);
        }
    }
    watched.finish().await;
    watched.judge();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_watch_is_told_what_changed_from_its_start(
        steps in vec(model::step(), 1..40),
        watchers in vec(watcher(), 0..8),
        reads in vec(any::<bool>(), 0..40),
    ) {
        runtime().block_on(run_watched(steps, watchers, reads));
    }
}
