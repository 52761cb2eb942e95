//! The pods' network on one node: a link for each pod, addresses out of the node's range, and a way
//! out of the machine.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use ipnet::IpNet;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Error, program};

/// The configuration for the network plugins.
///
/// Point-to-point links and not a bridge: every packet of a pod then passes the node's routing, so
/// that the answers of services find their way back without help from bridge netfilter, which a
/// kernel may lack.
pub(super) fn conflist(pod_cidr: IpNet, directory: &Path) -> String {
    let any = if pod_cidr.addr().is_ipv4() {
        "0.0.0.0/0"
    } else {
        "::/0"
    };
    let list = json!({
        "cniVersion": "0.4.0",
        "name": "keelson",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "dataDir": directory.join("addresses"),
                    "ranges": [[{"subnet": pod_cidr.to_string()}]],
                    "routes": [{"dst": any}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    format!("{list:#}\n")
}

/// Lets the node pass packets on, and gives those that leave the pods' range the node's address.
/// `name` tells clusters on one machine apart; calling it again changes nothing.
pub async fn set_up(name: &str, pod_cidr: IpNet) -> Result<(), Error> {
    let forwarding = Path::new("/proc/sys/net/ipv4/ip_forward");
    std::fs::write(forwarding, "1\n").map_err(|source| Error::Write {
        path: forwarding.to_owned(),
        source,
    })?;
    nft(&masquerade(name, pod_cidr)).await?;
    // Each pod has a route of its own. What is sent to an address that no pod has any more is
    // refused, and not sent out of the machine; and others see that the range is taken.
    route(&["replace", "unreachable", &pod_cidr.to_string()]).await
}

/// Takes away what [`set_up`] made, or as much of it as there is.
pub async fn tear_down(name: &str, pod_cidr: IpNet) -> Result<(), Error> {
    let range = pod_cidr.to_string();
    route(&["flush", "exact", &range, "type", "unreachable"]).await?;
    remove_table(&table(name)).await
}

async fn route(words: &[&str]) -> Result<(), Error> {
    let args: Vec<&OsStr> = ["route"].iter().chain(words).map(OsStr::new).collect();
    program::run("ip", &args).await
}

/// Takes a table of rules away. One that is not there is as good.
pub async fn remove_table(table: &str) -> Result<(), Error> {
    nft(&format!("add table ip {table}\ndelete table ip {table}\n")).await
}

fn table(name: &str) -> String {
    let plain = name.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    });
    format!("keelson-pods-{}", plain.collect::<String>())
}

fn masquerade(name: &str, pod_cidr: IpNet) -> String {
    let table = table(name);
    format!(
        "add table ip {table}\ndelete table ip {table}\nadd table ip {table}\n\
         add chain ip {table} postrouting {{ type nat hook postrouting priority srcnat; }}\n\
         add rule ip {table} postrouting ip saddr {pod_cidr} ip daddr != {pod_cidr} ip daddr != 224.0.0.0/4 masquerade\n"
    )
}

/// Runs one transaction.
pub(crate) async fn nft(text: &str) -> Result<(), Error> {
    let program = "nft".to_owned();
    let start = |source| Error::Start {
        program: "nft".to_owned(),
        source,
    };
    let mut command = Command::new("nft");
    command
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).await.map_err(start)?;
    }
    let output = child.wait_with_output().await.map_err(start)?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Program {
        program,
        output: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{conflist, masquerade};

    #[test]
    fn the_transaction_replaces_the_table() {
        expect![[r"
            add table ip keelson-pods-my-cluster
            delete table ip keelson-pods-my-cluster
            add table ip keelson-pods-my-cluster
            add chain ip keelson-pods-my-cluster postrouting { type nat hook postrouting priority srcnat; }
            add rule ip keelson-pods-my-cluster postrouting ip saddr 10.1.0.0/24 ip daddr != 10.1.0.0/24 ip daddr != 224.0.0.0/4 masquerade
        "]]
        .assert_eq(&masquerade("My_cluster", "10.1.0.0/24".parse().expect("a range")));
    }

    #[test]
    fn the_plugins_get_the_range() {
        let text = conflist(
            "10.1.0.0/24".parse().expect("a range"),
            std::path::Path::new("/d"),
        );
        let list: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(
            list["plugins"][0]["ipam"]["ranges"][0][0]["subnet"],
            "10.1.0.0/24"
        );
    }
}
