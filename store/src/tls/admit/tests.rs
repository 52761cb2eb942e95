//! Revocation lists and addresses, as etcd checks them.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::CertificateDer;

use super::{check_address, revoked, significant};
use crate::config::TlsFiles;
use crate::tls::ServerTls;
use crate::tls::names::AltNames;

fn authority() -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
    Issuer::new(params, KeyPair::generate().unwrap())
}

fn leaf(
    issuer: &Issuer<'static, KeyPair>,
    serial: &[u8],
) -> (CertificateDer<'static>, String, String) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.serial_number = Some(SerialNumber::from_slice(serial));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    (
        certificate.der().clone(),
        certificate.pem(),
        key.serialize_pem(),
    )
}

fn list(issuer: &Issuer<'static, KeyPair>, serials: &[&[u8]]) -> (Vec<u8>, String) {
    let revoked = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: rcgen::date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2036, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = params.signed_by(issuer).unwrap();
    (list.der().to_vec(), list.pem().unwrap())
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_from_the_moment_the_list_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let issuer = authority();
    let (bad, pem, key) = leaf(&issuer, &[0x0a, 0xbc]);
    let (good, ..) = leaf(&issuer, &[0x0b]);
    std::fs::write(file("c.crt"), pem).unwrap();
    std::fs::write(file("c.key"), key).unwrap();
    std::fs::write(file("crl"), list(&issuer, &[]).0).unwrap();
    let files = TlsFiles {
        cert: Some(file("c.crt")),
        key: Some(file("c.key")),
        crl: Some(file("crl")),
        ..TlsFiles::default()
    };
    let tls = Arc::new(ServerTls::open(&files, &Default::default()).unwrap());
    assert_eq!(tls.admit(std::slice::from_ref(&bad), None).await, Ok(()));
    for form in [
        list(&issuer, &[&[0x0a, 0xbc]]).0,
        list(&issuer, &[&[0x0a, 0xbc]]).1.into_bytes(),
    ] {
        std::fs::write(file("crl"), form).unwrap();
        let refused = tls.admit(std::slice::from_ref(&bad), None).await;
        assert_eq!(
            refused,
            Err("transport: certificate serial 0abc revoked".into())
        );
        assert_eq!(tls.admit(std::slice::from_ref(&good), None).await, Ok(()));
        let chain = [good.clone(), bad.clone()];
        assert!(
            tls.admit(&chain, None).await.is_err(),
            "every one of the chain counts"
        );
    }
    // A list that has become unreadable lets nobody in.
    std::fs::write(file("crl"), "garbage").unwrap();
    assert!(
        tls.admit(&[good], None)
            .await
            .unwrap_err()
            .contains("holds no certificate revocation list")
    );
    assert!(ServerTls::open(&files, &Default::default()).is_err());
}

#[test]
fn lists_that_are_none_and_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("crl");
    for garbage in [
        "",
        "x",
        "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        "-----BEGIN ",
    ] {
        std::fs::write(&path, garbage).unwrap();
        assert!(revoked(&path).is_err(), "{garbage:?}");
    }
    assert_eq!(significant(&[0, 0, 1, 0]), [1, 0]);
    assert_eq!(significant(&[0]), [0_u8; 0]);
}

#[tokio::test]
async fn members_call_from_where_their_certificates_say() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let names = |addresses: &[&str], dns: &[&str]| AltNames {
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        dns: dns.iter().map(|name| (*name).to_owned()).collect(),
    };
    let check = async |names: &AltNames, remote: &str| check_address(names, ip(remote)).await;
    assert_eq!(check(&names(&[], &[]), "10.0.0.1").await, Ok(()));
    assert_eq!(
        check(&names(&["127.0.0.1"], &[]), "127.0.0.1").await,
        Ok(())
    );
    assert_eq!(
        check(&names(&["127.0.0.1"], &[]), "::ffff:127.0.0.1").await,
        Ok(())
    );
    assert_eq!(
        check(&names(&["127.0.0.1", "::1"], &[]), "10.0.0.1").await,
        Err("x509: certificate is valid for 127.0.0.1, ::1, not 10.0.0.1".into())
    );
    assert_eq!(
        check(&names(&["10.0.0.9"], &["localhost"]), "127.0.0.1").await,
        Ok(())
    );
    assert_eq!(
        check(&names(&[], &["*.example.com"]), "10.0.0.1").await,
        Ok(())
    );
    let refused = check(&names(&[], &["localhost"]), "10.0.0.1").await;
    assert_eq!(
        refused,
        Err("tls: \"10.0.0.1\" does not match any of DNSNames [\"localhost\"]".into())
    );
}
