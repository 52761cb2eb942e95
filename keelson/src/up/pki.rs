//! The cluster's certificates and kubeconfigs: one authority below `pki/`, a certificate for each
//! component and its purpose, and the key pair that signs service account tokens.
//!
//! What is there is kept. A certificate without its key, or the reverse, is an error: replacing it
//! would cut off whoever still holds the other half.

mod kubeconfig;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize, SanType,
};

use super::options::Options;
use super::plan::{self, Machine, Ranges};
use super::spec::{Kind, Spec};

/// How long certificates are valid.
const YEARS: i32 = 10;

/// What a certificate is for.
struct Wanted {
    /// The files' name without their ending.
    file: String,
    /// The user's name.
    common_name: String,
    /// The user's group. One at most: the library keeps only one.
    organization: Option<&'static str>,
    /// Addresses and names that it serves under; none for a client alone.
    names: Vec<String>,
}

impl Wanted {
    fn client(file: &str, common_name: &str, organization: Option<&'static str>) -> Self {
        Self {
            file: file.into(),
            common_name: common_name.into(),
            organization,
            names: Vec::new(),
        }
    }
}

/// Makes what is missing: certificates, keys and kubeconfigs of a cluster.
pub(crate) fn prepare(options: &Options, machine: &Machine, spec: &Spec) -> Result<()> {
    let dir = machine.dir.join("pki");
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let authority = authority(&dir)?;
    for wanted in wanted(options, machine) {
        certificate(&dir, &authority, &wanted)
            .with_context(|| format!("make the certificate {}", wanted.file))?;
    }
    service_account_key(&dir)?;
    let servers: Vec<&str> = spec
        .of(Kind::Apiserver)
        .flat_map(|server| &server.urls)
        .map(String::as_str)
        .collect();
    let users = [
        ("kubeconfig", "admin"),
        ("controllers.kubeconfig", "controllers"),
        ("scheduler.kubeconfig", "scheduler"),
        ("proxy.kubeconfig", "proxy"),
    ];
    let nodes = plan::node_names(options)
        .into_iter()
        .map(|node| (format!("{node}.kubeconfig"), node));
    let all = users
        .map(|(file, user)| (file.to_owned(), user.to_owned()))
        .into_iter()
        .chain(nodes);
    if servers.is_empty() {
        return Ok(());
    }
    for (file, user) in all {
        let text = kubeconfig::render(&dir, &user, &servers)?;
        write(&machine.dir.join(file), text.as_bytes(), 0o600)?;
    }
    Ok(())
}

fn wanted(options: &Options, machine: &Machine) -> Vec<Wanted> {
    let here = || {
        vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ]
    };
    let mut apiserver = here();
    apiserver.extend(
        [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            &Ranges::of(options, machine).kubernetes,
            &machine.address,
        ]
        .map(str::to_owned),
    );
    let serving = |file: &str, names: Vec<String>| Wanted {
        names,
        ..Wanted::client(file, file, None)
    };
    let mut all = vec![
        serving("store", here()),
        serving("store-peer", here()),
        Wanted {
            names: apiserver,
            ..Wanted::client("apiserver", "kube-apiserver", None)
        },
        Wanted::client("apiserver-etcd-client", "kube-apiserver-etcd-client", None),
        Wanted::client(
            "apiserver-kubelet-client",
            "kube-apiserver-kubelet-client",
            Some("system:masters"),
        ),
        Wanted::client("admin", "kubernetes-admin", Some("system:masters")),
        Wanted::client("controllers", "system:kube-controller-manager", None),
        Wanted::client("scheduler", "system:kube-scheduler", None),
        Wanted::client("proxy", "system:kube-proxy", None),
    ];
    for node in plan::node_names(options) {
        let mut names = here();
        names.extend([node.clone(), machine.address.clone()]);
        let user = format!("system:node:{node}");
        all.push(Wanted {
            names,
            ..Wanted::client(&node, &user, Some("system:nodes"))
        });
    }
    all
}

type Authority = Issuer<'static, KeyPair>;

/// The authority, made if there is none.
fn authority(dir: &Path) -> Result<Authority> {
    let (crt, key) = (dir.join("ca.crt"), dir.join("ca.key"));
    if !is_there(&crt, &key)? {
        let pair = KeyPair::generate()?;
        let made = authority_params()?.self_signed(&pair)?;
        write(&key, pair.serialize_pem().as_bytes(), 0o600)?;
        write(&crt, made.pem().as_bytes(), 0o644)?;
    }
    let text = fs::read_to_string(&key).with_context(|| format!("read {}", key.display()))?;
    let pair =
        KeyPair::from_pem(&text).with_context(|| format!("{} is no private key", key.display()))?;
    Ok(Issuer::new(authority_params()?, pair))
}

fn authority_params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name("keelson-ca", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.not_after = last_day();
    Ok(params)
}

fn certificate(dir: &Path, authority: &Authority, wanted: &Wanted) -> Result<()> {
    let (crt, key) = (
        dir.join(format!("{}.crt", wanted.file)),
        dir.join(format!("{}.key", wanted.file)),
    );
    if is_there(&crt, &key)? {
        return Ok(());
    }
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name(&wanted.common_name, wanted.organization);
    params.not_after = last_day();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Members of the store are each other's clients, and kubelets are the api-server's.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if !wanted.names.is_empty() {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    for name in &wanted.names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    let pair = KeyPair::generate()?;
    let made = params.signed_by(&pair, authority)?;
    write(&key, pair.serialize_pem().as_bytes(), 0o600)?;
    write(&crt, made.pem().as_bytes(), 0o644)
}

/// RSA, because every verifier of service account tokens reads it.
fn service_account_key(dir: &Path) -> Result<()> {
    let (public, key) = (dir.join("sa.pub"), dir.join("sa.key"));
    if is_there(&public, &key)? {
        return Ok(());
    }
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    write(&key, pair.serialize_pem().as_bytes(), 0o600)?;
    write(&public, pair.public_key_pem().as_bytes(), 0o644)
}

fn name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}

/// The first day of the year that lies [`YEARS`] ahead.
fn last_day() -> time::OffsetDateTime {
    rcgen::date_time_ymd(time::OffsetDateTime::now_utc().year() + YEARS, 1, 1)
}

/// True if both halves are there, false if neither is.
fn is_there(public: &PathBuf, private: &PathBuf) -> Result<bool> {
    match (public.exists(), private.exists()) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        (is_public, _) => {
            let (there, missing) = if is_public {
                (public, private)
            } else {
                (private, public)
            };
            bail!(
                "{} is there but {} is not; restore it, or remove both to have them made again",
                there.display(),
                missing.display()
            )
        }
    }
}

/// Writes a whole file or none.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let partial = path.with_extension("partial");
    let _ = fs::remove_file(&partial);
    let open = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&partial);
    let mut file = open.with_context(|| format!("create {}", partial.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{Wanted, authority, certificate, service_account_key};

    #[test]
    fn what_is_there_is_kept_and_halves_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Wanted::client("admin", "kubernetes-admin", Some("system:masters"));
        let make = || certificate(dir.path(), &authority(dir.path()).unwrap(), &wanted);
        make().unwrap();
        service_account_key(dir.path()).unwrap();
        let before = fs::read(dir.path().join("admin.crt")).unwrap();
        make().unwrap();
        assert_eq!(fs::read(dir.path().join("admin.crt")).unwrap(), before);
        let mode = fs::metadata(dir.path().join("admin.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_file(dir.path().join("admin.key")).unwrap();
        assert!(make().unwrap_err().to_string().contains("is there but"));
    }
}
