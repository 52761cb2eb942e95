//! Takes one CPU profile at a time. A timer of processor time interrupts whichever thread runs, and the
//! stack of that thread is counted.
//!
//! Stacks are read by the unwinder framehop and not by libgcc's, which pprof has by default: that one
//! follows what it takes for addresses without a look, and has ended processes by it where a thread was
//! interrupted at a place without right tables. framehop reads the program's own tables, kept in memory,
//! and asks the kernel before it reads any address of a stack. A sample takes no memory, and no lock that
//! may be held: only a function's begin is asked of the C library, which has needed none since glibc 2.35.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};

use super::format;
use crate::limits;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    /// The process has one timer; ask again later. Go's words.
    #[error("cpu profiling already in use")]
    InUse,
    /// Whoever asked went away.
    #[error("nobody waits for the profile")]
    Gone,
    /// The library cannot start: mostly no room in the folder of temporary files.
    #[error("cannot take samples")]
    Samples(#[source] pprof::Error),
    /// The signal that prepares the unwinder was refused.
    #[error("cannot prepare the profiler")]
    Prepare(#[source] nix::Error),
    /// It cannot be packed.
    #[error("cannot pack the profile")]
    Pack(#[source] std::io::Error),
    /// A thread is gone.
    #[error("start a thread")]
    Thread(#[source] tokio::task::JoinError),
}

/// Held while a profile is taken and written; true once the unwinder is prepared. The timer and the
/// library's samples belong to the process, and so does this.
static PROFILER: Mutex<bool> = Mutex::new(false);

/// Takes a profile of so much time: pprof's protobuf, gzipped. Waits; ends early without one when the
/// other end of `gone` is dropped.
pub(crate) fn take(duration: Duration, gone: &Receiver<()>) -> Result<Vec<u8>, ProfileError> {
    let mut is_prepared = PROFILER.try_lock().ok_or(ProfileError::InUse)?;
    if !*is_prepared {
        prepare()?;
        *is_prepared = true;
    }
    let samples = start(limits::PROFILE_HERTZ)?;
    if gone.recv_timeout(duration) == Err(RecvTimeoutError::Disconnected) {
        return Err(ProfileError::Gone);
    }
    let report = samples.report().build().map_err(ProfileError::Samples)?;
    drop(samples);
    format::pack(&report).map_err(ProfileError::Pack)
}

/// Lets the unwinder read the tables of this program and its libraries. It does so in the first sample
/// and takes memory for them, which a thread that is interrupted while it takes memory itself would
/// wait for without end. So the first sample is of this thread, here, where it does no such thing: its
/// signal is handled before `pthread_kill` returns, long before the first tick of a slow timer.
fn prepare() -> Result<(), ProfileError> {
    let _samples = start(1)?;
    pthread_kill(pthread_self(), Signal::SIGPROF).map_err(ProfileError::Prepare)
}

fn start(hertz: i32) -> Result<ProfilerGuard<'static>, ProfileError> {
    let started = ProfilerGuardBuilder::default().frequency(hertz).build();
    started.map_err(|error| match error {
        pprof::Error::Running => ProfileError::InUse,
        error => ProfileError::Samples(error),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::{ProfileError, take};

    #[test]
    fn one_profile_is_taken_at_a_time_and_ends_with_its_client() {
        let (waits, gone) = mpsc::channel();
        // Whichever comes first; the other one may have to wait.
        let first = std::thread::spawn(move || {
            loop {
                match take(Duration::from_secs(60), &gone) {
                    Err(ProfileError::InUse) => {}
                    taken => return taken,
                }
            }
        });
        let (_keep, never) = mpsc::channel();
        let begun = Instant::now();
        while !matches!(
            take(Duration::from_millis(1), &never),
            Err(ProfileError::InUse)
        ) {
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
        drop(waits);
        assert!(matches!(first.join().unwrap(), Err(ProfileError::Gone)));
        assert!(take(Duration::from_millis(1), &never).is_ok());
    }
}
