//! Certificates of a test: one authority, what it signs, and what it should never have signed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SerialNumber,
};

/// An authority with its folder.
pub(super) struct Pki {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// The serial number of a name's certificate.
fn serial(name: &str) -> Vec<u8> {
    std::iter::once(1).chain(name.bytes().take(15)).collect()
}

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// Now.
    Good,
    /// In the past.
    Expired,
}

impl Pki {
    /// Makes an authority with its folder's name, and writes its certificate as `ca.crt`.
    pub(super) fn new(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        params
            .distinguished_name
            .push(DnType::CommonName, name.as_ref());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(dir.join("ca.crt"), params.self_signed(&key)?.pem())?;
        Ok(Self {
            dir: dir.into(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Signs a certificate for both ends of a connection, and writes it as `NAME.crt` with `NAME.key`.
    pub(super) fn sign(&self, name: &str, hosts: &[&str], validity: Validity) -> Result<()> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from_slice(&serial(name)));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if validity == Validity::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        std::fs::write(self.dir.join(format!("{name}.crt")), certificate.pem())?;
        std::fs::write(self.dir.join(format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// Writes a revocation list of these certificates; the serial number of the last one, in hex.
    pub(super) fn revoke(&self, file: &str, names: &[&str]) -> Result<String> {
        let serials: Vec<Vec<u8>> = names.iter().map(|name| serial(name)).collect();
        let revoked = serials
            .iter()
            .map(|serial| SerialNumber::from_slice(serial));
        let list = testkit::revocation_list(&self.issuer, revoked)?;
        std::fs::write(self.dir.join(file), list)?;
        let last = serials.last().map(Vec::as_slice).unwrap_or_default();
        Ok(last.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The path of a file.
    pub(super) fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }

    /// Writes a kubeconfig of a client of `server`, with a certificate made for it; its path.
    pub(super) fn kubeconfig(&self, server: &str) -> Result<String> {
        self.sign("user", &["user"], Validity::Good)?;
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: \"{server}\", certificate-authority: {ca}}}}}]\n\
             users: [{{name: u, user: {{client-certificate: {crt}, client-key: {key}}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
            ca = self.path("ca.crt"),
            crt = self.path("user.crt"),
            key = self.path("user.key"),
        );
        let path = self.path("kubeconfig");
        std::fs::write(&path, text).context("write a kubeconfig")?;
        Ok(path)
    }

    /// The flags of an api-server at `port`, whose store nobody serves.
    pub(super) fn apiserver(&self, port: u16) -> Result<Vec<String>> {
        self.sign("server", &["127.0.0.1"], Validity::Good)?;
        self.sign("sa", &["sa"], Validity::Good)?;
        Ok(vec![
            "apiserver".to_owned(),
            "--etcd-servers=https://127.0.0.1:1".to_owned(),
            format!("--etcd-cafile={}", self.path("ca.crt")),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--tls-cert-file={}", self.path("server.crt")),
            format!("--tls-private-key-file={}", self.path("server.key")),
            format!("--client-ca-file={}", self.path("ca.crt")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", self.path("sa.key")),
            format!("--service-account-signing-key-file={}", self.path("sa.key")),
        ])
    }
}
