//! Reads of keys and of ranges, page by page.

use bytes::Bytes;
use proto_etcd::etcdserverpb::RangeRequest;
use proto_etcd::mvccpb::KeyValue;

use super::{Error, Etcd};

/// A key's value together with the revision at which it was read.
#[derive(Debug)]
pub struct Read {
    /// The store's revision when it was read.
    pub revision: i64,
    /// The key and its value, if it is there.
    pub kv: Option<KeyValue>,
}

/// Part of a range.
#[derive(Debug)]
pub struct Page {
    /// The store's revision now, not that of the page.
    pub revision: i64,
    /// Keys in order.
    pub kvs: Vec<KeyValue>,
    /// Whether the range goes on behind the last one.
    pub more: bool,
    /// How many keys the whole range has.
    pub count: i64,
}

impl Etcd {
    /// One key as it is now, linearizably.
    pub async fn get(&self, key: &[u8]) -> Result<Read, Error> {
        self.get_at(key, 0).await
    }

    /// One key as it was at `revision`; zero means now.
    pub async fn get_at(&self, key: &[u8], revision: i64) -> Result<Read, Error> {
        let request = RangeRequest {
            key: Bytes::copy_from_slice(key),
            revision,
            ..RangeRequest::default()
        };
        let answer = self.range(request).await?;
        let revision = answer.header.ok_or(Error::Protocol("no header"))?.revision;
        Ok(Read {
            revision,
            kv: answer.kvs.into_iter().next(),
        })
    }

    /// At most `limit` keys from `start` to before `end`, as they were at `revision` (0: now).
    pub async fn page(
        &self,
        start: &[u8],
        end: &[u8],
        revision: i64,
        limit: i64,
    ) -> Result<Page, Error> {
        let request = RangeRequest {
            key: Bytes::copy_from_slice(start),
            range_end: Bytes::copy_from_slice(end),
            revision,
            limit,
            ..RangeRequest::default()
        };
        let answer = self.range(request).await?;
        let revision = answer.header.ok_or(Error::Protocol("no header"))?.revision;
        Ok(Page {
            revision,
            kvs: answer.kvs,
            more: answer.more,
            count: answer.count,
        })
    }

    /// The store's revision, proven current by the read that learns it.
    pub async fn current_revision(&self) -> Result<u64, Error> {
        // A key that is never written: the answer is empty, its header is what is wanted.
        let read = self.get(b"/registry/").await?;
        u64::try_from(read.revision).map_err(|_| Error::Protocol("a negative revision"))
    }
}

/// The key right behind every key that begins with `prefix`.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn a_prefix_ends_right_behind_its_last_key() {
        assert_eq!(prefix_end(b"/registry/pods/"), b"/registry/pods0");
        assert_eq!(prefix_end(b"a\xff\xff"), b"b");
        assert_eq!(prefix_end(b"\xff"), [0]);
    }
}
