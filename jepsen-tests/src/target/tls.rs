//! Certificates of members and clients: one authority that members trust, and another that they do
//! not. Members read the files anew for each connection, so that what is written here counts at once.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SerialNumber,
};
use tempfile::TempDir;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Clients whose certificates may be revoked.
pub(crate) const REVOCABLE: usize = 12;
const HOST: &str = "127.0.0.1";

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity {
    Good,
    Expired,
}

type Authority = Issuer<'static, KeyPair>;

/// The authority with its folder. Dropping it removes that.
pub(crate) struct Pki {
    dir: TempDir,
    authority: Authority,
    authority_pem: String,
    stranger: Authority,
    /// The members' key stays, so that a new certificate is there in one step.
    key: KeyPair,
    state: Mutex<State>,
}

impl fmt::Debug for Pki {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pki({})", self.dir.path().display())
    }
}

#[derive(Default)]
struct State {
    serial: u64,
    revoked: BTreeSet<usize>,
}

/// The serial number of a revocable client's certificate; no other has one as high.
fn serial_of(client: usize) -> SerialNumber {
    SerialNumber::from((1 << 40) + client as u64)
}

impl Pki {
    /// Makes both authorities, the members' first certificate, and an empty list of revoked ones.
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::tempdir().context("make a folder for certificates")?;
        let (authority, authority_pem) = authority("jepsen")?;
        let (stranger, _) = self::authority("stranger")?;
        let pki = Self {
            dir,
            authority,
            authority_pem,
            stranger,
            key: KeyPair::generate()?,
            state: Mutex::default(),
        };
        pki.write("ca.crt", pki.authority_pem.as_bytes())?;
        pki.write("server.key", pki.key.serialize_pem().as_bytes())?;
        pki.renew(Validity::Good)?;
        pki.write_list()?;
        Ok(pki)
    }

    /// Flags of a member that asks its clients for certificates.
    pub(super) fn flags(&self) -> Vec<String> {
        let file = |name: &str| self.file(name).display().to_string();
        vec![
            format!("--cert-file={}", file("server.crt")),
            format!("--key-file={}", file("server.key")),
            format!("--trusted-ca-file={}", file("ca.crt")),
            format!("--client-crl-file={}", file("clients.crl")),
            "--client-cert-auth=true".to_owned(),
        ]
    }

    /// Gives all members another certificate.
    pub(crate) fn renew(&self, validity: Validity) -> Result<()> {
        let params = self.params("server", validity)?;
        let certificate = params.signed_by(&self.key, &self.authority)?;
        self.write("server.crt", certificate.pem().as_bytes())
    }

    /// Puts a revocable client's certificate on the list.
    pub(crate) fn revoke(&self, client: usize) -> Result<()> {
        self.state.lock().revoked.insert(client);
        self.write_list()
    }

    /// A client whose certificate may be revoked: it has the one.
    pub(crate) fn revocable(&self, client: usize) -> Result<ClientTlsConfig> {
        let mut params = self.params(&format!("client-{client}"), Validity::Good)?;
        params.serial_number = Some(serial_of(client));
        self.shown(params, &self.authority)
    }

    /// Somebody with a certificate of the members' authority.
    pub(crate) fn client(&self, name: &str, validity: Validity) -> Result<ClientTlsConfig> {
        let params = self.params(name, validity)?;
        self.shown(params, &self.authority)
    }

    /// Somebody with a certificate of another authority.
    pub(crate) fn stranger(&self) -> Result<ClientTlsConfig> {
        let params = self.params("stranger", Validity::Good)?;
        self.shown(params, &self.stranger)
    }

    /// Somebody without a certificate.
    pub(crate) fn nobody(&self) -> ClientTlsConfig {
        self.config()
    }

    fn shown(&self, params: CertificateParams, by: &Authority) -> Result<ClientTlsConfig> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, by)?;
        let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
        Ok(self.config().identity(identity))
    }

    fn config(&self) -> ClientTlsConfig {
        let ca = Certificate::from_pem(&self.authority_pem);
        ClientTlsConfig::new().ca_certificate(ca).domain_name(HOST)
    }

    fn params(&self, name: &str, validity: Validity) -> Result<CertificateParams> {
        let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if validity == Validity::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let mut state = self.state.lock();
        state.serial += 1;
        params.serial_number = Some(SerialNumber::from(state.serial));
        Ok(params)
    }

    fn write_list(&self) -> Result<()> {
        let revoked = self.state.lock().revoked.clone();
        let serials = revoked.into_iter().map(serial_of);
        let list = testkit::revocation_list(&self.authority, serials)?;
        self.write("clients.crl", &list)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file whole: nobody reads a part of it.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (path, new) = (self.file(name), self.file(&format!("{name}.new")));
        let write =
            |new: &Path, path: &Path| fs::write(new, bytes).and_then(|()| fs::rename(new, path));
        write(&new, &path).with_context(|| format!("write {}", path.display()))
    }
}

fn authority(name: &str) -> Result<(Authority, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}
