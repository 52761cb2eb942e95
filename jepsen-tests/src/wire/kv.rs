//! Requests of keys and values, and what their answers hold.

use proto_etcd::etcdserverpb::{PutRequest, RangeRequest, ResponseHeader};
use proto_etcd::mvccpb::KeyValue;

/// A value with where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The key.
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: String,
    /// Where it was last written.
    pub(crate) revision: i64,
    /// How often it was written since it was made.
    pub(crate) version: i64,
}

/// What an answer says of its keys.
pub(crate) trait Kv {
    /// The keys.
    fn seen(&self) -> Vec<Seen>;
}

impl Kv for [KeyValue] {
    fn seen(&self) -> Vec<Seen> {
        let seen = |kv: &KeyValue| Seen {
            key: text(&kv.key),
            value: text(&kv.value),
            revision: kv.mod_revision,
            version: kv.version,
        };
        self.iter().map(seen).collect()
    }
}

/// Bytes as a text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The store's revision as an answer names it.
pub(crate) fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

/// Reads one key.
pub(crate) fn range(key: &str) -> RangeRequest {
    RangeRequest {
        key: key.to_owned().into(),
        ..RangeRequest::default()
    }
}

/// Writes one key.
pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..PutRequest::default()
    }
}

/// The end of the range of all keys that begin with `prefix`, whose last byte is below 0xff.
pub(crate) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}
