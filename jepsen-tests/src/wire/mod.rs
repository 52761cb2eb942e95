//! Clients that speak to one member each and never ask again for the same thing.

mod answer;
mod dial;
mod kv;

pub(crate) use answer::{ANSWER_TIME_MAX, Failure};
pub(crate) use dial::{Dial, leads, log_index, probe};
pub(crate) use kv::{Kv, Seen, end_of, put, range, revision, text};
