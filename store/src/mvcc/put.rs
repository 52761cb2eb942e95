//! Puts, by etcd's rules.

use proto_etcd::etcdserverpb::{PutRequest, PutResponse, ResponseHeader};
use proto_etcd::mvccpb::KeyValue;

use super::{Error, Live, Writer, Written};
use crate::watch::ChangeKind;

impl Writer<'_> {
    /// Refuses a put that cannot be done on the present state.
    pub fn check_put(&self, request: &PutRequest) -> Result<(), Error> {
        if request.lease != 0 && !self.has_lease(request.lease) {
            return Err(Error::LeaseNotFound);
        }
        let needs_old = request.ignore_value || request.ignore_lease;
        if needs_old && self.live(&request.key).is_none() {
            return Err(Error::KeyNotFound);
        }
        Ok(())
    }

    /// Puts one pair.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse, Error> {
        self.check_put(request)?;
        let before = self.live(&request.key);
        let needs_old = request.prev_kv || request.ignore_value;
        let old = if needs_old {
            self.pair(&request.key)?
        } else {
            None
        };
        let value = match &old {
            Some(old) if request.ignore_value => old.value.clone(),
            _ => request.value.clone(),
        };
        let lease = match before {
            Some(before) if request.ignore_lease => before.lease,
            _ => request.lease,
        };
        self.calls.puts += 1;
        self.calls.put_bytes += (request.key.len() + value.len()) as u64;
        let at = self.next_place();
        let after = Live {
            at,
            create_revision: before.map_or(at.main, |before| before.create_revision),
            version: before.map_or(0, |before| before.version) + 1,
            lease,
        };
        let kv = KeyValue {
            key: request.key.clone(),
            create_revision: after.create_revision,
            mod_revision: at.main,
            version: after.version,
            value,
            lease,
        };
        self.push(Written {
            kind: ChangeKind::Put,
            kv,
            before,
            after: Some(after),
        });
        let header = ResponseHeader {
            revision: at.main,
            ..ResponseHeader::default()
        };
        Ok(PutResponse {
            header: Some(header),
            prev_kv: old.filter(|_| request.prev_kv),
        })
    }
}
