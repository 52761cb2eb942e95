//! Certificates and keys that do not work: files that are missing or do not fit end the start with
//! their names; strangers and expired certificates are turned away, and the server says why.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::pki::{Pki, Validity};
use super::process::{Ended, Member, Running, free_port, keelson, refused};

/// A member whose clients must show a certificate of `pki`, with the certificate `name`.
fn member(dir: &Path, pki: &Pki, name: &str) -> Result<Member> {
    let mut member = Member::new(&dir.join(format!("data-{name}")))?;
    member.url = member.url.replace("http:", "https:");
    Ok(member.clone().with(&[
        &format!("--listen-client-urls={}", member.url),
        &format!("--advertise-client-urls={}", member.url),
        &format!("--cert-file={}", pki.path(&format!("{name}.crt"))),
        &format!("--key-file={}", pki.path(&format!("{name}.key"))),
        &format!("--trusted-ca-file={}", pki.path("ca.crt")),
        "--client-cert-auth",
    ]))
}

/// etcdctl with the certificate `name` of `pki`, trusting the authority in the file `trusted`.
pub(super) fn get(member: &Member, trusted: &str, pki: &Pki, name: &str) -> Result<Ended> {
    member.etcdctl(&[
        "--cacert",
        trusted,
        "--cert",
        &pki.path(&format!("{name}.crt")),
        "--key",
        &pki.path(&format!("{name}.key")),
        "--dial-timeout=1s",
        "--command-timeout=1s",
        "get",
        "kept",
    ])
}

struct World {
    dir: tempfile::TempDir,
    ours: Pki,
    theirs: Pki,
}

impl World {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let ours = Pki::new(&dir.path().join("ours"))?;
        let theirs = Pki::new(&dir.path().join("theirs"))?;
        ours.sign("server", &["127.0.0.1"], Validity::Good)?;
        ours.sign("client", &["client"], Validity::Good)?;
        theirs.sign("client", &["client"], Validity::Good)?;
        Ok(Self { dir, ours, theirs })
    }
}

#[test]
fn the_store_turns_strangers_away_and_says_why() -> Result<()> {
    let World { dir, ours, theirs } = World::new()?;
    ours.sign("old", &["client"], Validity::Expired)?;
    let member = member(dir.path(), &ours, "server")?;
    let mut store = Member::serve(&mut member.of_ours()?)?;
    let ca = ours.path("ca.crt");
    get(&member, &ca, &ours, "client")?.says(0, "")?;
    for (pki, name, why) in [
        (
            &theirs,
            "client",
            "x509: certificate signed by unknown authority",
        ),
        (
            &ours,
            "old",
            "x509: certificate has expired or is not yet valid",
        ),
    ] {
        let ended = get(&member, &ca, pki, name)?;
        ensure!(ended.status == 1, "{}", ended.text);
        store.wait_for("rejected connection on client endpoint")?;
        store.wait_for(why)?;
    }
    let anonymous = member.etcdctl(&["--cacert", &ca, "--command-timeout=1s", "get", "kept"])?;
    ensure!(anonymous.status == 1, "{}", anonymous.text);
    store.wait_for("tls: client didn't provide a certificate")?;
    // A client that does not believe the server says so itself; the server notes that it left.
    let ended = get(&member, &theirs.path("ca.crt"), &ours, "client")?;
    ended.says(1, "x509: certificate signed by unknown authority")?;
    store.wait_for("remote error: tls: bad certificate")?;
    // And who is known is still let in.
    get(&member, &ca, &ours, "client")?.says(0, "")
}

#[test]
fn clients_see_what_is_wrong_with_the_certificate_of_the_store() -> Result<()> {
    let World {
        dir,
        ours,
        theirs: _,
    } = World::new()?;
    ours.sign("elsewhere", &["elsewhere.example"], Validity::Good)?;
    ours.sign("outdated", &["127.0.0.1"], Validity::Expired)?;
    for (name, words) in [
        (
            "elsewhere",
            "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
        ),
        (
            "outdated",
            "x509: certificate has expired or is not yet valid",
        ),
    ] {
        let member = member(dir.path(), &ours, name)?;
        let _store = Member::serve(&mut member.of_ours()?)?;
        get(&member, &ours.path("ca.crt"), &ours, "client")?.says(1, words)?;
    }
    Ok(())
}

#[test]
fn the_store_does_not_start_with_files_that_do_not_work() -> Result<()> {
    let World { dir, ours, theirs } = World::new()?;
    let garbage = ours.path("garbage");
    fs::write(&garbage, "not a certificate")?;
    let good = member(dir.path(), &ours, "server")?;
    let (missing, foreign_key) = (ours.path("missing"), theirs.path("client.key"));
    let cases = [
        ("--cert-file", &missing, "No such file or directory"),
        ("--key-file", &missing, "No such file or directory"),
        ("--trusted-ca-file", &missing, "No such file or directory"),
        ("--cert-file", &garbage, "holds no PEM certificate"),
        ("--key-file", &garbage, "is not PEM"),
        ("--trusted-ca-file", &garbage, "holds no PEM certificate"),
        ("--key-file", &foreign_key, "do not fit together"),
    ];
    for (flag, file, words) in cases {
        let member = good.clone().with(&[&format!("{flag}={file}")]);
        let ours = Running::start(&mut member.of_ours()?)?.end()?;
        ours.says(1, words)?;
        ours.says(1, file)?;
        ours.says(1, "TLS of the client side")?;
        // etcd serves with an authority that is none, and lets nobody in.
        if flag != "--trusted-ca-file" || file == &missing {
            let etcd = Running::start(&mut member.of_etcd()?)?.end()?;
            ensure!(etcd.status == 1, "{}: {}", etcd.status, etcd.text);
        }
    }
    ensure!(
        !dir.path().join("data-server/member/identity").exists(),
        "a refused start leaves no member"
    );
    Ok(())
}

#[test]
fn the_api_server_does_not_start_with_files_that_do_not_work() -> Result<()> {
    let World {
        dir: _dir,
        ours,
        theirs,
    } = World::new()?;
    let good = ours.apiserver(free_port()?)?;
    let garbage = ours.path("garbage");
    fs::write(&garbage, "not a certificate")?;
    let (missing, foreign_key) = (ours.path("missing"), theirs.path("client.key"));
    let cases = [
        ("--tls-cert-file", &missing, missing.as_str()),
        ("--tls-private-key-file", &missing, &missing),
        ("--client-ca-file", &missing, &missing),
        ("--service-account-key-file", &missing, &missing),
        ("--service-account-signing-key-file", &missing, &missing),
        ("--etcd-cafile", &missing, &missing),
        ("--tls-cert-file", &garbage, &garbage),
        ("--tls-private-key-file", &garbage, &garbage),
        ("--client-ca-file", &garbage, &garbage),
        ("--service-account-key-file", &garbage, &garbage),
        ("--service-account-signing-key-file", &garbage, &garbage),
        (
            "--tls-private-key-file",
            &foreign_key,
            "cannot be used together",
        ),
    ];
    for (flag, file, words) in cases {
        let mut args = good.clone();
        args.push(format!("{flag}={file}"));
        let ended = refused(&args)?;
        ended.says(1, words)?;
        ended.says(1, "Error: ")?;
    }
    let mut half = good.clone();
    half.push(format!("--etcd-certfile={}", ours.path("client.crt")));
    refused(&half)?.says(
        1,
        "--etcd-certfile and --etcd-keyfile must be given together",
    )
}

#[test]
fn components_with_a_port_do_not_start_with_files_that_do_not_work() -> Result<()> {
    let World {
        dir: _dir,
        ours,
        theirs,
    } = World::new()?;
    let kubeconfig = ours.kubeconfig("https://127.0.0.1:1")?;
    let missing = ours.path("missing");
    let port = format!("--secure-port={}", free_port()?);
    for component in ["controllers", "cloud-controllers", "scheduler"] {
        for (cert, key, words) in [
            (&missing, &ours.path("server.key"), missing.as_str()),
            (&ours.path("server.crt"), &missing, &missing),
            (
                &ours.path("server.crt"),
                &theirs.path("client.key"),
                "use the certificate and key",
            ),
        ] {
            let args = [
                component,
                "--bind-address=127.0.0.1",
                &port,
                &format!("--kubeconfig={kubeconfig}"),
                &format!("--tls-cert-file={cert}"),
                &format!("--tls-private-key-file={key}"),
            ];
            refused(&args)?.says(1, words)?;
        }
    }
    let half = format!("--tls-cert-file={}", ours.path("server.crt"));
    for component in ["controllers", "cloud-controllers", "scheduler", "kubelet"] {
        let args = [component, &format!("--kubeconfig={kubeconfig}"), &half];
        refused(&args)?.says(1, "tls-private-key-file")?;
    }
    let broken = ours.path("broken.kubeconfig");
    fs::write(&broken, "clusters: [")?;
    for component in ["controllers", "cloud-controllers", "scheduler", "proxy"] {
        let args = [component, &format!("--kubeconfig={broken}")];
        refused(&args)?.says(1, &format!("load kubeconfig {broken}"))?;
    }
    Ok(())
}

#[test]
fn an_api_server_that_does_not_believe_its_store_is_not_ready_and_says_so() -> Result<()> {
    let World { dir, ours, theirs } = World::new()?;
    let member = member(dir.path(), &ours, "server")?;
    let _store = Member::serve(&mut member.of_ours()?)?;
    let port = free_port()?;
    let mut args = ours.apiserver(port)?;
    args.extend([
        format!("--etcd-servers={}", member.url),
        format!("--etcd-cafile={}", theirs.path("ca.crt")),
        format!("--etcd-certfile={}", ours.path("client.crt")),
        format!("--etcd-keyfile={}", ours.path("client.key")),
    ]);
    let mut server = Running::start(&mut keelson(&args)?)?;
    server.wait_for("serving")?;
    let kubeconfig = ours.kubeconfig(&format!("https://127.0.0.1:{port}"))?;
    let mut kubectl = Command::new(testkit::peer("kubectl")?);
    kubectl
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", dir.path())
        .args(["get", "--raw=/readyz"]);
    Running::start(&mut kubectl)?
        .end()?
        .says(1, "[-]etcd failed")?;
    server.stop()?.says(0, "")
}
