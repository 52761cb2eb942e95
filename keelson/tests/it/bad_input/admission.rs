//! Certificates that are good and still may not come in: revoked ones, ones of another name or from
//! another address. The store refuses them with etcd's words, in the log and to the client.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::certificates;
use super::pki::{Pki, Validity};
use super::process::{Ended, Member};

fn get(member: &Member, pki: &Pki, name: &str) -> Result<Ended> {
    certificates::get(member, &pki.path("ca.crt"), pki, name)
}

fn member(dir: &Path, pki: &Pki, data: &str, more: &[&str]) -> Result<Member> {
    let mut member = Member::new(&dir.join(data))?;
    member.url = member.url.replace("http:", "https:");
    Ok(member
        .clone()
        .with(&[
            &format!("--listen-client-urls={}", member.url),
            &format!("--advertise-client-urls={}", member.url),
            &format!("--cert-file={}", pki.path("server.crt")),
            &format!("--key-file={}", pki.path("server.key")),
            &format!("--trusted-ca-file={}", pki.path("ca.crt")),
            "--client-cert-auth",
        ])
        .with(more))
}

#[test]
fn a_certificate_is_out_from_the_moment_it_is_revoked() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::new(&dir.path().join("pki"))?;
    pki.sign("server", &["127.0.0.1"], Validity::Good)?;
    pki.sign("client", &["client"], Validity::Good)?;
    pki.sign("other", &["other"], Validity::Good)?;
    let crl = pki.path("clients.crl");
    for data in ["ours", "etcd"] {
        pki.revoke("clients.crl", &[])?;
        let member = member(
            dir.path(),
            &pki,
            data,
            &[&format!("--client-crl-file={crl}")],
        )?;
        let mut command = if data == "ours" {
            member.of_ours()?
        } else {
            member.of_etcd()?
        };
        let mut store = Member::serve(&mut command)?;
        get(&member, &pki, "client")?.says(0, "")?;
        let serial = pki.revoke("clients.crl", &["client"])?;
        let ended = get(&member, &pki, "client")?;
        ensure!(ended.status == 1, "{data}: {}", ended.text);
        store.wait_for("rejected connection on client endpoint")?;
        store.wait_for(&format!("transport: certificate serial {serial} revoked"))?;
        get(&member, &pki, "other")?.says(0, "")?;
    }
    // No list at all is told at once, and not at the first client.
    fs::remove_file(&crl)?;
    let member = member(
        dir.path(),
        &pki,
        "none",
        &[&format!("--client-crl-file={crl}")],
    )?;
    super::process::Running::start(&mut member.of_ours()?)?
        .end()?
        .says(1, &crl)
}

#[test]
fn a_certificate_of_another_name_stays_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::new(&dir.path().join("pki"))?;
    pki.sign("server", &["127.0.0.1"], Validity::Good)?;
    pki.sign("friend", &["friend.example.com"], Validity::Good)?;
    pki.sign("client", &["elsewhere.example.org"], Validity::Good)?;
    let allowed = "--client-cert-allowed-hostname=other.example.com,friend.example.com";
    for data in ["ours", "etcd"] {
        let member = member(dir.path(), &pki, data, &[allowed])?;
        let mut command = if data == "ours" {
            member.of_ours()?
        } else {
            member.of_etcd()?
        };
        let mut store = Member::serve(&mut command)?;
        get(&member, &pki, "friend")?.says(0, "")?;
        let ended = get(&member, &pki, "client")?;
        ensure!(ended.status == 1, "{data}: {}", ended.text);
        store.wait_for("rejected connection on client endpoint")?;
        store.wait_for("client certificate authentication failed")?;
    }
    Ok(())
}

#[test]
fn a_member_makes_its_own_certificate() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for data in ["ours", "etcd"] {
        let mut member = Member::new(&dir.path().join(data))?;
        member.url = member.url.replace("http:", "https:");
        let member = member.clone().with(&[
            &format!("--listen-client-urls={}", member.url),
            &format!("--advertise-client-urls={}", member.url),
            "--auto-tls",
            "--self-signed-cert-validity=3",
        ]);
        let mut command = if data == "ours" {
            member.of_ours()?
        } else {
            member.of_etcd()?
        };
        let mut store = Member::serve(&mut command)?;
        store.wait_for("serving client traffic securely")?;
        store.wait_for("automatically generate certificates")?;
        for file in ["cert.pem", "key.pem"] {
            let path = dir.path().join(data).join("fixtures/client").join(file);
            ensure!(path.exists(), "{} is missing", path.display());
        }
        let blind = [
            "--insecure-transport=false",
            "--insecure-skip-tls-verify",
            "--command-timeout=5s",
            "put",
            "a",
            "b",
        ];
        member.etcdctl(&blind)?.says(0, "OK")?;
        store.stop()?;
    }
    Ok(())
}
