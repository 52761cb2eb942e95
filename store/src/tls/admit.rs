//! What a listener asks of a certificate behind the handshake, as etcd's
//! client/pkg/transport/listener_tls.go: that no revocation list names it and, between members, that
//! it is used from one of the addresses it was made for.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::names::AltNames;
use super::pem::{TlsError, read};
use super::server::ServerTls;

/// How long finding the addresses of a certificate's names may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Names of one certificate that are looked up.
const NAMES_MAX: usize = 64;

impl ServerTls {
    /// Whether the one that has just proved to own `chain` may stay; etcd's words where not. `remote`
    /// is where it calls from, none for a Unix socket.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        chain: &[CertificateDer<'static>],
        remote: Option<IpAddr>,
    ) -> Result<(), String> {
        let Some(leaf) = chain.first() else {
            return Ok(());
        };
        if self.files.check_addresses
            && let Some(remote) = remote
        {
            check_address(&AltNames::of(leaf), remote).await?;
        }
        if self.files.crl.is_none() {
            return Ok(());
        }
        let (tls, chain) = (self.clone(), chain.to_vec());
        let checked = tokio::task::spawn_blocking(move || tls.check_revoked(&chain)).await;
        checked.map_err(|error| error.to_string())?
    }

    /// The list is read each time: a new entry must count at once.
    fn check_revoked(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let Some(path) = &self.files.crl else {
            return Ok(());
        };
        let revoked = revoked(path).map_err(|error| base::report(&error).to_string())?;
        for certificate in chain {
            let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
                return Err("x509: malformed certificate".into());
            };
            let serial = significant(certificate.raw_serial());
            if revoked.contains(serial) {
                let mut text = String::new();
                for byte in serial {
                    text.push_str(&format!("{byte:02x}"));
                }
                return Err(format!("transport: certificate serial {text} revoked"));
            }
        }
        Ok(())
    }
}

/// The serial numbers of a revocation list, in DER as etcd reads it, or in PEM.
pub(super) fn revoked(path: &Path) -> Result<HashSet<Vec<u8>>, TlsError> {
    let bytes = read(path)?;
    let none = || TlsError::NoRevocations(path.into());
    let is_pem =
        bytes.starts_with(b"-----") || bytes.windows(11).any(|part| part == b"-----BEGIN ");
    let lists: Vec<Vec<u8>> = if is_pem {
        CertificateRevocationListDer::pem_slice_iter(&bytes)
            .map(|list| list.map(|list| list.as_ref().to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|_| none())?
    } else {
        vec![bytes]
    };
    if lists.is_empty() {
        return Err(none());
    }
    let mut revoked = HashSet::new();
    for list in &lists {
        let (_, list) = CertificateRevocationList::from_der(list).map_err(|_| none())?;
        let serials = list.iter_revoked_certificates();
        revoked.extend(serials.map(|entry| significant(entry.raw_serial()).to_vec()));
    }
    Ok(revoked)
}

/// A number's bytes without leading zeros.
fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    serial.get(zeros..).unwrap_or_default()
}

/// A certificate without names is good everywhere. One with names is good from its addresses, and from
/// those that its names stand for now. Names with a wildcard are taken for good: only a search from
/// address to name could deny them.
async fn check_address(names: &AltNames, remote: IpAddr) -> Result<(), String> {
    let remote = remote.to_canonical();
    if names.addresses.is_empty() && names.dns.is_empty() {
        return Ok(());
    }
    if names
        .addresses
        .iter()
        .any(|address| address.to_canonical() == remote)
    {
        return Ok(());
    }
    if names.dns.is_empty() {
        let valid: Vec<String> = names.addresses.iter().map(IpAddr::to_string).collect();
        return Err(format!(
            "x509: certificate is valid for {}, not {remote}",
            valid.join(", ")
        ));
    }
    if names.dns.iter().any(|name| name.starts_with("*.")) {
        return Ok(());
    }
    let search = async {
        let mut last = None;
        for name in names.dns.iter().take(NAMES_MAX) {
            match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(mut found) => {
                    if found.any(|address| address.ip().to_canonical() == remote) {
                        return Ok(());
                    }
                }
                Err(error) => last = Some(format!("lookup {name}: {error}")),
            }
        }
        Err(last)
    };
    let why = match tokio::time::timeout(LOOKUP_TIMEOUT, search).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(last)) => last,
        Err(_) => Some("the lookup took too long".into()),
    };
    let quoted: Vec<String> = names.dns.iter().map(|name| format!("{name:?}")).collect();
    Err(format!(
        "tls: {:?} does not match any of DNSNames [{}]{}",
        remote.to_string(),
        quoted.join(" "),
        why.map(|why| format!(" ({why})")).unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests;
