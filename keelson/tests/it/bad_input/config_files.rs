//! Configuration files: one that etcd runs with is one that the store runs with, and one that etcd
//! refuses is refused with the same status. Where etcd names Go's types, the store names the line.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::process::{Member, Running, free_port, keelson};

/// A file, and what each of the two says of it. Both end with 1.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "grpc-keepalive-min-time: 10s\n",
        "cannot unmarshal string into Go struct field",
        "etcd.yml:1: grpc-keepalive-min-time: cannot unmarshal string",
    ),
    (
        "name: a\nheartbeat-interval: \"100\"\n",
        "cannot unmarshal string into Go struct field",
        "etcd.yml:2: heartbeat-interval: cannot unmarshal string",
    ),
    (
        "pre-vote: 'yes and no'\n",
        "cannot unmarshal string into Go struct field",
        "etcd.yml:1: pre-vote: cannot unmarshal string",
    ),
    (
        "log-outputs: stderr\n",
        "cannot unmarshal string into Go struct field",
        "etcd.yml:1: log-outputs: cannot unmarshal string",
    ),
    (
        "client-transport-security: 5\n",
        "cannot unmarshal number into Go struct field",
        "etcd.yml:1: client-transport-security: cannot unmarshal number",
    ),
    ("- a\n", "cannot unmarshal array", "cannot unmarshal array"),
    (
        "name: a\n\tb: c\n",
        "error converting YAML to JSON: yaml: line 2",
        "error converting YAML to JSON: etcd.yml: ",
    ),
    (
        "listen-peer-urls: ftp://x\n",
        "unexpected error setting up listen-peer-urls: URL scheme must be http, https, unix, or unixs: ftp://x",
        "unexpected error setting up listen-peer-urls: URL scheme must be http, https, unix, or unixs: ftp://x",
    ),
    (
        "initial-cluster-state: foo\n",
        "unexpected clusterState \"foo\"",
        "unexpected clusterState \"foo\"",
    ),
    (
        "log-outputs: [default, stdout]\n",
        "multi logoutput for \"default\" is not supported yet",
        "multi logoutput for \"default\" is not supported yet",
    ),
    (
        "enable-log-rotation: true\n",
        "--log-outputs requires a single file path when --log-rotate-config-json is defined",
        "--log-outputs requires a single file path when --log-rotate-config-json is defined",
    ),
    (
        "heartbeat-interval: 500\n",
        "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[500ms]",
        "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[500ms]",
    ),
];

/// Refused by etcd 3.7, in these words; an older one takes it for its default.
const REFUSED_SINCE_3_7: (&str, &str) = (
    "log-format: foo\n",
    "unknown log format: foo, supported values json, console",
);

fn both(dir: &Path) -> Result<[Command; 2]> {
    let mut commands = [Command::new(testkit::peer("etcd")?), keelson(&["store"])?];
    for command in &mut commands {
        command.current_dir(dir).arg("--config-file=etcd.yml");
    }
    Ok(commands)
}

#[test]
fn the_store_refuses_the_files_that_etcd_refuses() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (yaml, theirs, ours) in REFUSED {
        std::fs::write(dir.path().join("etcd.yml"), yaml)?;
        for (mut command, words) in both(dir.path())?.into_iter().zip([theirs, ours]) {
            let ended = Running::start(&mut command)?.end()?;
            ended.says(1, words)?;
            // etcd prints the faults of URLs without its logger.
            if !yaml.starts_with("listen-peer") {
                ended.says(1, "failed to verify flags")?;
            }
        }
    }
    let (yaml, words) = REFUSED_SINCE_3_7;
    std::fs::write(dir.path().join("etcd.yml"), yaml)?;
    let [_, mut ours] = both(dir.path())?;
    let ended = Running::start(&mut ours)?.end()?;
    ended.says(1, words)?;
    ended.says(1, "failed to verify flags")?;
    std::fs::remove_file(dir.path().join("etcd.yml"))?;
    for mut command in both(dir.path())? {
        let ended = Running::start(&mut command)?.end()?;
        ended.says(1, "open etcd.yml: no such file or directory")?;
    }
    Ok(())
}

#[test]
fn a_file_of_etcd_runs_the_store_whatever_flags_and_environment_say() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (peer, client) = (free_port()?, free_port()?);
    let yaml = format!(
        "name: m\n\
         data-dir: data\n\
         listen-peer-urls: http://127.0.0.1:{peer}\n\
         initial-advertise-peer-urls: http://127.0.0.1:{peer}\n\
         listen-client-urls: http://127.0.0.1:{client}\n\
         advertise-client-urls: http://127.0.0.1:{client}\n\
         initial-cluster: m=http://127.0.0.1:{peer}\n\
         log-outputs: [etcd.log, stderr]\n\
         proxy: 'off'\n\
         cors:\n"
    );
    std::fs::write(dir.path().join("etcd.yml"), yaml)?;
    for (number, command) in both(dir.path())?.iter_mut().enumerate() {
        std::fs::remove_dir_all(dir.path().join("data")).unwrap_or_default();
        command
            .arg("--name=flag")
            .env("ETCD_HEARTBEAT_INTERVAL", "x");
        let mut running = Member::serve(command)?;
        running.wait_for(
            "loaded server configuration, other configuration command line flags and environment variables will be ignored if provided",
        )?;
        running.stop()?;
        let log = std::fs::read_to_string(dir.path().join("etcd.log"))?;
        std::fs::remove_file(dir.path().join("etcd.log"))?;
        let lines: Vec<serde_json::Value> = log
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        ensure!(!lines.is_empty(), "the file named in log-outputs is empty");
        for line in lines {
            for field in ["level", "ts", "caller", "msg"] {
                ensure!(
                    line[field].is_string(),
                    "{number}: {field} is missing: {line}"
                );
            }
        }
    }
    Ok(())
}
