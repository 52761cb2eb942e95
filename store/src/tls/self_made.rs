//! `--auto-tls`: a certificate that the member makes for itself, in etcd's place (DATA/fixtures/SIDE)
//! and with etcd's contents (client/pkg/transport/listener.go, SelfCert). It is made once and kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Seconds of one of etcd's years.
const YEAR_SECONDS: u64 = 365 * 24 * 3_600;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum SelfMadeError {
    /// A file or folder.
    #[error("cannot {action} {}", path.display())]
    Access {
        /// Which.
        path: PathBuf,
        /// What failed.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate itself.
    #[error("cannot generate x509 certificate")]
    Generate(#[source] rcgen::Error),
}

/// The certificate and the key of a folder, made where either is missing. `hosts` are the hosts of the
/// listening URLs; `years` is at least 1.
pub fn ensure(
    dir: &Path,
    hosts: &[String],
    years: u64,
) -> Result<(PathBuf, PathBuf), SelfMadeError> {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    if cert.exists() && key.exists() {
        return Ok((cert, key));
    }
    let access = |path: &Path, action| {
        let path = path.to_path_buf();
        move |source| SelfMadeError::Access {
            path,
            action,
            source,
        }
    };
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(dir);
    made.map_err(access(dir, "create cert directory"))?;
    let not_after = SystemTime::now() + Duration::from_secs(years.saturating_mul(YEAR_SECONDS));
    let (cert_text, key_text) = generate(hosts, not_after).map_err(SelfMadeError::Generate)?;
    tracing::warn!(
        certificate_validity_bound_not_after =
            %jiff::Timestamp::try_from(not_after).unwrap_or(jiff::Timestamp::MAX),
        "automatically generate certificates"
    );
    // The key first: a certificate without its key would be made again anyway.
    write(&key, &key_text).map_err(access(&key, "write key file"))?;
    tracing::info!(path = %key.display(), "created key file");
    write(&cert, &cert_text).map_err(access(&cert, "write cert file"))?;
    tracing::info!(path = %cert.display(), "created cert file");
    Ok((cert, key))
}

fn generate(hosts: &[String], not_after: SystemTime) -> Result<(String, String), rcgen::Error> {
    let mut hosts = hosts.to_vec();
    hosts.sort();
    hosts.dedup();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "etcd");
    params.not_before = SystemTime::now().into();
    params.not_after = not_after.into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::CrlSign,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Whole or not at all, and for the owner alone.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    let mut file: File = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::ensure;
    use crate::tls::names::AltNames;

    #[test]
    fn a_certificate_is_made_once_for_the_hosts_and_years() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("fixtures/client");
        let hosts = [
            "127.0.0.1".to_owned(),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
        ];
        let (cert, key) = ensure(&dir, &hosts, 2).unwrap();
        let text = std::fs::read(&cert).unwrap();
        let der = CertificateDer::from_pem_slice(&text).unwrap();
        let names = AltNames::of(&der);
        assert_eq!(names.addresses, [std::net::IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(names.dns, ["localhost"]);
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(parsed.subject().to_string(), "O=etcd");
        assert!(parsed.is_ca());
        let validity = parsed.validity();
        let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
        assert_eq!(days, 730);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&key).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        ensure(&dir, &hosts, 2).unwrap();
        assert_eq!(std::fs::read(&cert).unwrap(), text, "kept");
        std::fs::remove_file(&key).unwrap();
        ensure(&dir, &hosts, 2).unwrap();
        assert_ne!(
            std::fs::read(&cert).unwrap(),
            text,
            "of no use without its key"
        );
    }
}
