//! How many requests run at once: so many readers, so many writers, and no queue.
//!
//! A request over the limit is refused at once with 429 and told to come again after a second, which
//! clients do by themselves. Masters are exempt, so that an overloaded server can still be repaired,
//! and so are streams, which live long and hold nothing here. Priorities and fair queues, as the
//! FlowSchema objects describe them, do not exist yet: those objects are kept but not obeyed.

use std::sync::Arc;

use api_meta::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::authn::UserInfo;
use crate::authn::user::MASTERS;

/// Upstream's default for requests that read.
pub const READING_MAX: usize = 400;
/// Upstream's default for requests that write.
pub const WRITING_MAX: usize = 200;
/// When to come again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The places for requests in flight. Cheap to clone.
#[derive(Clone, Debug)]
pub struct InFlight {
    reading: Arc<Semaphore>,
    writing: Arc<Semaphore>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _place: Option<OwnedSemaphorePermit>,
}

/// What a request is, for the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It reads and ends soon.
    Read,
    /// It changes something.
    Write,
    /// It is a watch, a log, a shell: it lives as long as its client wants.
    Stream,
}

impl InFlight {
    /// Zero means no limit, as it does upstream.
    pub fn new(reading_max: usize, writing_max: usize) -> Self {
        let places = |max| {
            if max == 0 {
                Semaphore::MAX_PERMITS
            } else {
                max
            }
        };
        Self {
            reading: Arc::new(Semaphore::new(places(reading_max))),
            writing: Arc::new(Semaphore::new(places(writing_max))),
        }
    }

    /// A place for the request, or 429 if all are taken.
    pub fn admit(&self, user: &UserInfo, load: Load) -> Result<Permit, Status> {
        let places = match load {
            Load::Stream => return Ok(Permit { _place: None }),
            _ if user.is_in(MASTERS) => return Ok(Permit { _place: None }),
            Load::Read => &self.reading,
            Load::Write => &self.writing,
        };
        match places.clone().try_acquire_owned() {
            Ok(place) => Ok(Permit {
                _place: Some(place),
            }),
            Err(_) => Err(Status::too_many_requests(
                "Too many requests, please try again later.",
                RETRY_AFTER_SECONDS,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{InFlight, Load};
    use crate::authn::UserInfo;

    #[test]
    fn a_full_house_refuses_all_but_masters_and_streams() {
        let limits = InFlight::new(2, 1);
        let user = UserInfo::default();
        let first = limits.admit(&user, Load::Read).unwrap();
        let _second = limits.admit(&user, Load::Read).unwrap();
        let refused = limits.admit(&user, Load::Read).unwrap_err();
        assert_eq!(
            (refused.code, refused.retry_after_seconds()),
            (429, Some(1))
        );
        limits.admit(&user, Load::Stream).unwrap();
        limits.admit(&UserInfo::internal(), Load::Read).unwrap();
        // Writers have places of their own.
        let _writer = limits.admit(&user, Load::Write).unwrap();
        limits.admit(&user, Load::Write).unwrap_err();
        drop(first);
        limits.admit(&user, Load::Read).unwrap();
    }
}
