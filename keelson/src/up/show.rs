//! What a person sees of a local cluster.

use std::path::Path;
use std::time::Duration;

use super::process::State;
use super::spec::{Kind, Spec};
use super::status::Row;

/// Once, when the cluster is ready: what to try.
pub(crate) fn welcome(dir: &Path, took: Duration, spec: &Spec) -> String {
    let has_apiserver = spec.of(Kind::Apiserver).next().is_some();
    let env = dir.join("env.sh").display().to_string();
    let mut text = format!(
        "\nThe cluster is ready after {:.1} s.\n\n",
        took.as_secs_f64()
    );
    if has_apiserver {
        text.push_str(&format!(
            "  kubeconfig   {}\n",
            dir.join("kubeconfig").display()
        ));
    }
    text.push_str(&format!("  try          . {env}\n"));
    if has_apiserver {
        text.push_str("               kubectl get nodes\n");
        text.push_str("               kubectl create deployment web --image=keelson/tour:latest --replicas=3\n");
    }
    text.push_str("               etcdctl endpoint status --cluster -w table\n");
    text.push_str(&format!(
        "  steer        keelson status|kill|pause|resume|restart|down [NAME] --data-dir {}\n",
        dir.display()
    ));
    if spec.of(Kind::Kubelet).any(|node| node.hollow) {
        text.push_str("  note         hollow nodes only report and run nothing; a new cluster started by root, without --hollow, has a real one\n");
    }
    text
}

/// The status block.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<20} {:<9} {:>8}  {:<10} {}\n",
        "NAME", "STATE", "PID", "ROLE", "URLS"
    );
    for row in rows {
        let pid = row
            .pid
            .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        text.push_str(&format!(
            "{:<20} {:<9} {:>8}  {:<10} {}\n",
            row.name,
            state(row.state),
            pid,
            role(row),
            row.urls.join(",")
        ));
    }
    text
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Paused => "paused",
        State::Stopped => "stopped",
    }
}

fn role(row: &Row) -> &'static str {
    match (row.leader, row.hollow) {
        (Some(true), _) => "leader",
        (Some(false), _) => "standby",
        (None, true) => "hollow",
        (None, false) => "",
    }
}
