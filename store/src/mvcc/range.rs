//! Range requests: which keys, at which revision, in which order, how many.
//!
//! Two steps, so that a reader holds the index only for the first: [`select`] walks the keys,
//! [`respond`] loads their pairs.

use std::ops::Bound;

use bytes::Bytes;
use proto_etcd::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto_etcd::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use proto_etcd::mvccpb::KeyValue;

use super::{Error, Load, Revision, Source};

/// What a map takes for a range.
pub type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The keys that a request names, by etcd's rules for `key` and `range_end`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyRange {
    /// No `range_end`: this key alone.
    Single(Bytes),
    /// `range_end` is one zero byte: this key and all after it.
    From(Bytes),
    /// From the first to before the second; empty if the second is not greater.
    Between(Bytes, Bytes),
}

impl KeyRange {
    /// Reads a request's two fields.
    pub fn new(key: &Bytes, range_end: &Bytes) -> Self {
        match range_end.as_ref() {
            [] => Self::Single(key.clone()),
            [0] => Self::From(key.clone()),
            _ => Self::Between(key.clone(), range_end.clone()),
        }
    }

    /// True if `key` is one of them.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Single(single) => single == key,
            Self::From(start) => start <= key,
            Self::Between(start, end) => start <= key && key < end.as_ref(),
        }
    }

    /// True if no key can be one of them.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Between(start, end) if end <= start)
    }

    /// As bounds for a map; none if it is empty.
    pub fn bounds(&self) -> Option<Bounds<'_>> {
        use Bound::{Excluded, Included, Unbounded};
        match self {
            Self::Single(key) => Some((Included(key), Included(key))),
            Self::From(start) => Some((Included(start), Unbounded)),
            Self::Between(start, end) if start < end => Some((Included(start), Excluded(end))),
            Self::Between(..) => None,
        }
    }
}

/// What a request selected.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The newest revision when it was selected.
    pub revision: i64,
    count: i64,
    pairs: Pairs,
}

#[derive(Clone, Debug)]
enum Pairs {
    /// From the index alone.
    Known(Vec<KeyValue>),
    /// To be loaded.
    At(Vec<Revision>),
}

/// Checks a request's revision against what there is; `0` and less mean the newest.
pub fn resolve_revision(requested: i64, source: &dyn Source) -> Result<i64, Error> {
    if requested > source.revision() {
        return Err(Error::FutureRev);
    }
    let at = if requested <= 0 {
        source.revision()
    } else {
        requested
    };
    if at < source.compact_revision() {
        Err(Error::Compacted)
    } else {
        Ok(at)
    }
}

/// Walks the keys of `request`.
pub fn select(request: &RangeRequest, source: &dyn Source) -> Result<Selected, Error> {
    let at = resolve_revision(request.revision, source)?;
    let range = KeyRange::new(&request.key, &request.range_end);
    let limit = fetch_limit(request);
    let from_index = request.keys_only && request.sort_target() != SortTarget::Value;
    let (mut known, mut places) = (Vec::new(), Vec::new());
    let mut left = match limit {
        _ if request.count_only => 0,
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let mut is_cut = false;
    source.walk(&range, at, &mut |key, live| {
        is_cut = left == 0;
        if is_cut {
            return false;
        }
        left -= 1;
        if from_index {
            // The lease is left out, as etcd's answer from its index has none.
            known.push(KeyValue {
                key: Bytes::copy_from_slice(key),
                create_revision: live.create_revision,
                mod_revision: live.at.main,
                version: live.version,
                ..KeyValue::default()
            });
        } else {
            places.push(live.at);
        }
        true
    });
    let count = if is_cut {
        source.count(&range, at)
    } else {
        places.len() + known.len()
    };
    let pairs = if from_index {
        Pairs::Known(known)
    } else {
        Pairs::At(places)
    };
    Ok(Selected {
        revision: source.revision(),
        count: i64::try_from(count).unwrap_or(i64::MAX),
        pairs,
    })
}

/// Loads what was selected, filters, sorts and cuts it.
pub fn respond(
    request: &RangeRequest,
    selected: Selected,
    load: &dyn Load,
) -> Result<RangeResponse, Error> {
    let mut kvs = match selected.pairs {
        Pairs::Known(kvs) => kvs,
        Pairs::At(places) => load.load(&places)?,
    };
    filter(request, &mut kvs);
    sort(request, &mut kvs);
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let more = request.limit > 0 && kvs.len() > limit;
    if more {
        kvs.truncate(limit);
    }
    if request.keys_only {
        for kv in &mut kvs {
            kv.value = Bytes::new();
        }
    }
    let header = ResponseHeader {
        revision: selected.revision,
        ..ResponseHeader::default()
    };
    Ok(RangeResponse {
        header: Some(header),
        kvs,
        more,
        count: selected.count,
    })
}

/// How many pairs to fetch: one more than asked for shows whether there are more. Where a later
/// step reorders or drops pairs, all of them.
fn fetch_limit(request: &RangeRequest) -> Option<i64> {
    let is_ordered_by_key = request.sort_order() == SortOrder::None
        || (request.sort_target() == SortTarget::Key && request.sort_order() == SortOrder::Ascend);
    let has_filters = request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0;
    (request.limit > 0 && is_ordered_by_key && !has_filters)
        .then(|| request.limit.saturating_add(1))
}

fn filter(request: &RangeRequest, kvs: &mut Vec<KeyValue>) {
    if request.max_mod_revision != 0 {
        kvs.retain(|kv| kv.mod_revision <= request.max_mod_revision);
    }
    if request.min_mod_revision != 0 {
        kvs.retain(|kv| kv.mod_revision >= request.min_mod_revision);
    }
    if request.max_create_revision != 0 {
        kvs.retain(|kv| kv.create_revision <= request.max_create_revision);
    }
    if request.min_create_revision != 0 {
        kvs.retain(|kv| kv.create_revision >= request.min_create_revision);
    }
}

/// A target without an order means ascending. Equal ones keep the order of their keys.
fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let compare = |a: &KeyValue, b: &KeyValue| match request.sort_target() {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    match (request.sort_order(), request.sort_target()) {
        (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => {}
        (SortOrder::None | SortOrder::Ascend, _) => kvs.sort_by(compare),
        (SortOrder::Descend, _) => kvs.sort_by(|a, b| compare(b, a)),
    }
}
