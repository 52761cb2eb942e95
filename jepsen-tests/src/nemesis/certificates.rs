//! Certificates that change, end and are revoked, and handshakes that never end.

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::act::{Done, Undo};
use crate::target::{Cluster, Validity};

/// Of each member.
const STALLED_EACH: usize = 150;
/// The beginning of a TLS record that never comes.
const HELLO: [u8; 6] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certificates {
    /// Members get another one.
    Renew,
    /// Members have one that has ended; then a good one again.
    Expire,
    /// The certificates of the client with this number are revoked, for ever.
    Revoke(usize),
    /// Many connections begin a handshake and stay silent.
    Stall,
}

impl Certificates {
    pub(super) fn told(self) -> String {
        match self {
            Self::Renew => "another certificate".to_owned(),
            Self::Expire => "a certificate that has ended".to_owned(),
            Self::Revoke(client) => format!("revocation of client-{client}"),
            Self::Stall => "silent handshakes".to_owned(),
        }
    }
}

/// Does it.
pub(super) async fn begin(cluster: &Cluster, what: Certificates) -> Result<Done> {
    let pki = cluster.pki().context("members have no certificates")?;
    let mut undo = Undo::Nothing;
    match what {
        Certificates::Renew => pki.renew(Validity::Good)?,
        Certificates::Expire => {
            pki.renew(Validity::Expired)?;
            undo = Undo::Renew;
        }
        Certificates::Revoke(client) => pki.revoke(client)?,
        Certificates::Stall => {
            undo = Undo::HangUp {
                _stalled: stall(cluster).await?,
            }
        }
    }
    let told = what.told();
    Ok(Done { told, undo })
}

async fn stall(cluster: &Cluster) -> Result<Vec<TcpStream>> {
    let mut stalled = Vec::new();
    for address in cluster.tls() {
        for _ in 0..STALLED_EACH {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(&HELLO).await?;
            stalled.push(stream);
        }
    }
    Ok(stalled)
}
