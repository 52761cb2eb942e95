//! The pod's own /etc/hosts.

use std::io::Result;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::super::make::hostname;
use super::super::spec::{PodId, is_host_network};

/// Writes the file, and says where it is. None where the pod uses the node's network and so the
/// node's names.
pub(super) async fn file(directory: &Path, pod: &Pod, ip: Option<&str>) -> Result<Option<PathBuf>> {
    let Some(spec) = pod.spec.as_ref().filter(|s| !is_host_network(s)) else {
        return Ok(None);
    };
    let aliases = spec.host_aliases.iter().flatten().map(|alias| {
        (
            alias.ip.clone(),
            alias
                .hostnames
                .iter()
                .flatten()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("\t"),
        )
    });
    let name = hostname(spec, &PodId::of(pod));
    let text = content(ip, &name, &aliases.collect::<Vec<_>>());
    tokio::fs::create_dir_all(directory).await?;
    let path = directory.join("etc-hosts");
    // Written in place: the running containers have this very file mounted.
    if tokio::fs::read_to_string(&path).await.ok().as_ref() != Some(&text) {
        tokio::fs::write(&path, text).await?;
        super::files::set_mode(&path, 0o644)?;
    }
    Ok(Some(path))
}

fn content(ip: Option<&str>, hostname: &str, aliases: &[(String, String)]) -> String {
    let mut out = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    );
    out.push_str("fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
    if let Some(ip) = ip {
        out.push_str(&format!("{ip}\t{hostname}\n"));
    }
    if !aliases.is_empty() {
        out.push_str("\n# Entries added by HostAliases.\n");
        for (ip, names) in aliases {
            out.push_str(&format!("{ip}\t{names}\n"));
        }
    }
    out
}
