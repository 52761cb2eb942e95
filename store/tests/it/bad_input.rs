//! What an operator gets wrong: each is refused with one error that says what to do, and nothing is
//! touched.

use store::config::Config;
use store::server::{StartError, Store};

use super::harness::{Cluster, etcdctl, free_port};

async fn refusal(flags: &[String]) -> String {
    let config = Config::parse(flags, []).unwrap();
    let error: StartError = Store::build(config).await.err().expect("it must not start");
    base::report(&error).to_string()
}

fn flags(data_dir: &std::path::Path, more: &[&str]) -> Vec<String> {
    let (peer, client) = (free_port(), free_port());
    let mut flags = vec![
        format!("--data-dir={}", data_dir.display()),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--listen-client-urls=http://127.0.0.1:{client}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client}"),
    ];
    flags.extend(more.iter().map(|flag| (*flag).to_owned()));
    flags
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictions_of_the_first_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let cases: &[(&[&str], &str)] = &[
        (
            &["--name=a", "--initial-cluster=b=http://127.0.0.1:1"],
            "couldn't find local name \"a\" in the initial cluster configuration",
        ),
        (
            &[
                "--name=a",
                "--initial-advertise-peer-urls=http://127.0.0.1:9",
                "--initial-cluster=a=http://127.0.0.1:8",
            ],
            "--initial-cluster has a=http://127.0.0.1:8 but missing from \
             --initial-advertise-peer-urls=http://127.0.0.1:9 (resolved urls: \"http://127.0.0.1:9\" != \"http://127.0.0.1:8\")",
        ),
        (
            &[
                "--name=a",
                "--initial-advertise-peer-urls=http://127.0.0.1:9",
                "--initial-cluster=a=http://127.0.0.1:9,b=http://127.0.0.1:9",
            ],
            "initial cluster a=http://127.0.0.1:9,b=http://127.0.0.1:9 has duplicate url",
        ),
    ];
    for (more, words) in cases {
        assert_eq!(refusal(&flags(&data, more)).await, *words);
    }
    let joining = [
        "--name=a",
        "--initial-cluster-state=existing",
        "--initial-advertise-peer-urls=http://127.0.0.1:9",
        "--initial-cluster=a=http://127.0.0.1:9,b=http://127.0.0.1:1",
    ];
    let error = refusal(&flags(&data, &joining)).await;
    assert!(
        error.starts_with("cannot fetch cluster info from peer urls"),
        "{error}"
    );
    assert!(!data.join("member/identity").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let flags = flags(
        &dir.path().join("data"),
        &["--name=a", &format!("--listen-client-urls={url}")],
    );
    let error = refusal(&flags).await;
    assert_eq!(
        error,
        format!(
            "listen tcp {}: bind: address already in use",
            taken.local_addr().unwrap()
        )
    );
    assert!(!dir.path().join("data").exists(), "nothing was touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_are_not_this_members() {
    let mut cluster = Cluster::start(2).await;
    let m0 = cluster.dir().join("m0");
    // While its member runs.
    let error = refusal(&flags(&m0, &["--name=m0"])).await;
    assert!(error.contains("is in use by another process"), "{error}");
    let own = cluster.flags(0, "new");
    let other_member: Vec<String> = cluster
        .flags(1, "new")
        .into_iter()
        .chain([format!("--data-dir={}", m0.display())])
        .collect();
    cluster.stop(0).await;
    cluster.stop(1).await;
    let error = refusal(&other_member).await;
    assert!(
        error.contains("belongs to another member: it is that of \"m0\""),
        "{error}"
    );
    let other_token: Vec<String> = own
        .into_iter()
        .chain(["--initial-cluster-token=other".to_owned()])
        .collect();
    let error = refusal(&other_token).await;
    assert!(error.contains("belongs to another cluster"), "{error}");
    // With its own flags it starts all the same.
    cluster.restart_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_the_real_etcd() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (peer, client) = (free_port(), free_port());
    let mut etcd = tokio::process::Command::new(testkit::peer("etcd").unwrap())
        .args([
            format!("--data-dir={}", data.display()),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            format!("--listen-client-urls=http://127.0.0.1:{client}"),
            format!("--advertise-client-urls=http://127.0.0.1:{client}"),
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let made = testkit::poll(20, "etcd makes its folder", async || {
        if data.join("member/snap/db").exists() {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    });
    made.await.unwrap();
    etcd.kill().await.unwrap();
    let error = refusal(&flags(&data, &["--name=a"])).await;
    assert!(
        error.contains("holds the files of etcd itself (member/snap)"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_do_not_work() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.crt");
    let garbage = dir.path().join("garbage.crt");
    std::fs::write(&garbage, "not a certificate").unwrap();
    for (cert, words) in [
        (&missing, "TLS of the client side: open "),
        (&garbage, "holds no PEM certificate"),
    ] {
        let flags = flags(
            &dir.path().join("data"),
            &[
                "--name=a",
                "--listen-client-urls=https://127.0.0.1:0",
                "--advertise-client-urls=https://127.0.0.1:1",
                &format!("--cert-file={}", cert.display()),
                &format!("--key-file={}", garbage.display()),
            ],
        );
        let error = refusal(&flags).await;
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_a_socket_stays() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("precious");
    std::fs::write(&file, "mine").unwrap();
    let url = format!("--listen-client-urls=unix://{}", file.display());
    let error = refusal(&flags(&dir.path().join("data"), &["--name=a", &url])).await;
    assert_eq!(
        error,
        format!(
            "listen unix {}: bind: address already in use",
            file.display()
        )
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense() {
    let limits = ["--max-request-bytes=4096", "--max-txn-ops=2"];
    let cluster = Cluster::start_with(1, &limits).await;
    let large = "v".repeat(5_000);
    let long = "\n\nput a 1\nput b 1\nput c 1\n\n\n";
    let cases: &[(&[&str], &str, &str)] = &[
        (&["put", "k"], &large, "etcdserver: request is too large"),
        (
            &["txn"],
            long,
            "etcdserver: too many operations in txn request",
        ),
        (
            &["txn"],
            "\n\nput a 1\nput a 2\n\n\n",
            "etcdserver: duplicate key given in txn request",
        ),
        (&["put", "", "v"], "", "etcdserver: key is not provided"),
        (
            &["put", "--lease=1234", "k", "v"],
            "",
            "etcdserver: requested lease not found",
        ),
        (
            &["put", "--ignore-value", "k"],
            "",
            "etcdserver: key not found",
        ),
        (
            &["get", "--rev=999", "k"],
            "",
            "etcdserver: mvcc: required revision is a future revision",
        ),
        (
            &["lease", "revoke", "1234"],
            "",
            "etcdserver: requested lease not found",
        ),
        (
            &["member", "remove", "1234"],
            "",
            "etcdserver: member not found",
        ),
    ];
    for (args, input, words) in cases {
        let (ok, out, error) = etcdctl(&cluster.endpoint(0), args, input).await;
        assert!(!ok && error.contains(words), "{args:?}: {out}{error}");
    }
    let (_, out, _) = etcdctl(&cluster.endpoint(0), &["get", "", "--prefix"], "").await;
    assert_eq!(out, "", "nothing of it was stored");
}
