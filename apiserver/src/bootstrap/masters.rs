//! The list of live replicas: a key each below `/registry/masterleases/`, which ends with its lease.
//!
//! The layout is upstream's, so that replicas of both kinds see each other. Ours also write their
//! port, and their keys carry it, because several of them may share an address.

use std::net::IpAddr;

use api_meta::object;
use bytes::Bytes;
use serde_json::{Value, json};

use super::endpoints::Masters;
use crate::storage::range::prefix_end;
use crate::storage::{Error, Etcd, Guarded, Outcome, Step, codec};

const PREFIX: &str = "/registry/masterleases/";
/// How long a replica is listed after its last sign of life, in seconds.
const TTL_SECONDS: i64 = 10;
/// More replicas than any cluster has.
const MASTERS_MAX: i64 = 1000;
/// Another try of the same write, because only this replica writes its key.
const TRIES_MAX: usize = 3;

/// One replica's entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    etcd: Etcd,
    key: Bytes,
    value: Bytes,
    port: u16,
}

impl Entry {
    /// The entry of the replica that is reached at `address`.
    pub(super) fn new(etcd: Etcd, (address, port): (IpAddr, u16)) -> Self {
        let value = json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {},
            "subsets": [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port}]}],
        });
        Self {
            etcd,
            key: format!("{PREFIX}{address}-{port}").into(),
            value: value.to_string().into(),
            port,
        }
    }

    /// A sign of life: the key again, under a new lease. The old lease then holds nothing.
    pub(super) async fn refresh(&self) -> Result<(), Error> {
        let lease = self.etcd.grant_lease(TTL_SECONDS).await?;
        self.write(&Step::Put {
            value: self.value.clone(),
            lease,
        })
        .await
    }

    /// Takes the replica off the list.
    pub(super) async fn remove(&self) -> Result<(), Error> {
        self.write(&Step::Delete).await
    }

    async fn write(&self, step: &Step) -> Result<(), Error> {
        for _ in 0..TRIES_MAX {
            let found = self.etcd.get(&self.key).await?.kv;
            let expected = found.map_or(0, |kv| kv.mod_revision);
            if expected == 0 && matches!(step, Step::Delete) {
                return Ok(());
            }
            let write = Guarded {
                key: self.key.clone(),
                expected,
                step: step.clone(),
            };
            if let Outcome::Committed(_) = self.etcd.commit(&[write]).await? {
                return Ok(());
            }
        }
        Err(Error::Protocol(
            "another replica writes the same address and port",
        ))
    }

    /// All live replicas. Those of upstream name no port and are taken to use ours.
    pub(super) async fn list(&self) -> Result<Masters, Error> {
        let end = prefix_end(PREFIX.as_bytes());
        let page = self
            .etcd
            .page(PREFIX.as_bytes(), &end, 0, MASTERS_MAX)
            .await?;
        let mut masters = Masters::new();
        for kv in page.kvs {
            let Some((address, port)) = read(&kv.value) else {
                tracing::warn!(key = %String::from_utf8_lossy(&kv.key), "entry of a replica cannot be read");
                continue;
            };
            masters
                .entry(port.unwrap_or(self.port))
                .or_default()
                .insert(address);
        }
        Ok(masters)
    }
}

fn read(value: &Bytes) -> Option<(IpAddr, Option<u16>)> {
    let json = codec::to_json(value).ok()?;
    let entry: Value = serde_json::from_slice(&json).ok()?;
    let subset = object::list_at(&entry, &["subsets"]).first()?;
    let address = object::list_at(subset, &["addresses"]).first()?;
    let address = object::str_at(address, &["ip"])?.parse().ok()?;
    let port = object::list_at(subset, &["ports"])
        .first()
        .and_then(|port| object::i64_at(port, &["port"]));
    Some((address, port.and_then(|port| u16::try_from(port).ok())))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::read;

    #[test]
    fn entries_are_read_with_and_without_a_port() {
        let entry = |text: &'static str| read(&Bytes::from_static(text.as_bytes()));
        assert_eq!(
            entry(r#"{"subsets":[{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"port":6443}]}]}"#),
            Some(("10.0.0.1".parse().unwrap(), Some(6443)))
        );
        assert_eq!(
            entry(r#"{"subsets":[{"addresses":[{"ip":"::1"}]}]}"#),
            Some(("::1".parse().unwrap(), None))
        );
        for bad in [
            "",
            "{}",
            r#"{"subsets":[]}"#,
            r#"{"subsets":[{"addresses":[{"ip":"x"}]}]}"#,
        ] {
            assert_eq!(entry(bad), None, "{bad}");
        }
    }
}
