//! Runs several kinds of faults at once, each in a loop of its own, so that they meet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use base::Tasks;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Nemesis, act, plan};
use crate::history::History;
use crate::target::Target;

/// A restart of every member may be under way.
const END_TIME_MAX: Duration = Duration::from_secs(120);

/// How often each was done.
pub(crate) type Injected = BTreeMap<&'static str, usize>;

/// Nemeses at work.
pub(crate) struct Running {
    tasks: Tasks,
    injected: Arc<Mutex<Injected>>,
}

/// Starts them.
pub(crate) fn start(
    nemeses: &[Nemesis],
    target: &Arc<Target>,
    seed: u64,
    history: &History,
) -> Running {
    let tasks = Tasks::new("nemesis");
    let none = nemeses.iter().map(|nemesis| (nemesis.name(), 0));
    let injected: Arc<Mutex<Injected>> = Arc::new(Mutex::new(none.collect()));
    for nemesis in nemeses {
        let one = One {
            nemesis: *nemesis,
            target: target.clone(),
            history: history.clone(),
            injected: injected.clone(),
            stop: tasks.stop().clone(),
        };
        // The same for the nemesis in whatever company.
        let seed = seed ^ (*nemesis as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        tasks.spawn_infallible("nemesis", one.run(StdRng::seed_from_u64(seed)));
    }
    Running { tasks, injected }
}

impl Running {
    /// Ends them; each undoes what it has done.
    pub(crate) async fn end(self) -> Result<Injected> {
        ensure!(
            self.tasks.shutdown(END_TIME_MAX).await,
            "a nemesis did not end in {} s",
            END_TIME_MAX.as_secs()
        );
        Ok(self.injected.lock().clone())
    }
}

struct One {
    nemesis: Nemesis,
    target: Arc<Target>,
    history: History,
    injected: Arc<Mutex<Injected>>,
    stop: CancellationToken,
}

impl One {
    async fn run(self, mut chance: StdRng) {
        let name = self.nemesis.name();
        let (begins, ends) = (format!("start-{name}"), format!("stop-{name}"));
        while !self.stop.is_cancelled() {
            let fault = plan::next(self.nemesis, self.target.urls.len(), &mut chance);
            tokio::select! { biased;
                () = self.stop.cancelled() => return,
                () = sleep(fault.rest) => {}
            }
            self.history.nemesis(&begins, fault.what.told());
            let told = match act::begin(&self.target, &fault).await {
                Ok(done) => {
                    *self.injected.lock().entry(name).or_default() += 1;
                    act::last(&self.target, &fault, &done, &self.stop).await;
                    match act::end(&self.target, &done).await {
                        Ok(()) => done.told,
                        Err(error) => format!("{}, and could not undo it: {error:#}", done.told),
                    }
                }
                Err(error) => format!("nothing done: {error:#}"),
            };
            self.history.nemesis(&ends, told);
        }
    }
}
