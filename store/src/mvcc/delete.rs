//! Deletes of ranges, by etcd's rules.

use bytes::Bytes;
use proto_etcd::etcdserverpb::{DeleteRangeRequest, DeleteRangeResponse, ResponseHeader};
use proto_etcd::mvccpb::KeyValue;

use super::{Error, KeyRange, Live, Load, Revision, Source, Writer, Written};
use crate::watch::ChangeKind;

impl Writer<'_> {
    /// Deletes every key of a range. A range without keys changes nothing.
    pub fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, Error> {
        self.calls.deletes += 1;
        let range = KeyRange::new(&request.key, &request.range_end);
        let mut found: Vec<(Bytes, Live)> = Vec::new();
        self.walk(&range, self.revision(), &mut |key, live| {
            found.push((Bytes::copy_from_slice(key), *live));
            true
        });
        let prev_kvs = if request.prev_kv {
            let places: Vec<Revision> = found.iter().map(|(_, live)| live.at).collect();
            self.load(&places)?
        } else {
            Vec::new()
        };
        let deleted = i64::try_from(found.len()).unwrap_or(i64::MAX);
        for (key, before) in found {
            self.delete(key, before);
        }
        let header = ResponseHeader {
            revision: self.revision(),
            ..ResponseHeader::default()
        };
        Ok(DeleteRangeResponse {
            header: Some(header),
            deleted,
            prev_kvs,
        })
    }

    /// Deletes `key` if it is there.
    pub fn delete_key(&mut self, key: &[u8]) {
        self.calls.deletes += 1;
        if let Some(before) = self.live(key) {
            self.delete(Bytes::copy_from_slice(key), before);
        }
    }

    fn delete(&mut self, key: Bytes, before: Live) {
        let kv = KeyValue {
            key,
            mod_revision: self.next_revision(),
            ..KeyValue::default()
        };
        self.push(Written {
            kind: ChangeKind::Delete,
            kv,
            before: Some(before),
            after: None,
        });
    }
}
