//! The certificates of a test's cluster.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

/// Writes an authority, a server, users of it, and a stranger of another authority.
pub(crate) fn make_pki(dir: &Path) {
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).unwrap();
    let authority = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), Issuer::new(params, key))
    };
    let (pem, ca) = authority("ca");
    write("ca.crt", pem);
    let (_, foreign) = authority("foreign");
    let users = [
        ("server", None, &ca),
        ("admin", Some("system:masters"), &ca),
        ("bob", Some("people"), &ca),
        ("stranger", Some("system:masters"), &foreign),
    ];
    for (name, group, issuer) in users {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        write(
            &format!("{name}.crt"),
            params.signed_by(&key, issuer).unwrap().pem(),
        );
        write(&format!("{name}.key"), key.serialize_pem());
    }
    write("sa.key", KeyPair::generate().unwrap().serialize_pem());
}
