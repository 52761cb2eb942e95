//! `env.sh`: what a shell needs to use the cluster.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::spec::{Kind, Spec};

/// Writes `env.sh` into the cluster's folder.
pub(crate) fn write_env(dir: &Path, spec: &Spec, binary: &Path) -> Result<()> {
    let path = dir.join("env.sh");
    fs::write(&path, env(dir, spec, binary)).with_context(|| format!("write {}", path.display()))
}

fn env(dir: &Path, spec: &Spec, binary: &Path) -> String {
    let at = |file: &str| dir.join(file).display().to_string();
    let endpoints: Vec<String> = spec
        .of(Kind::Store)
        .flat_map(|store| store.urls.clone())
        .collect();
    let folder = binary.parent().unwrap_or(binary).display().to_string();
    let variables = [
        ("KUBECONFIG", at("kubeconfig")),
        ("ETCDCTL_API", "3".to_owned()),
        ("ETCDCTL_ENDPOINTS", endpoints.join(",")),
        ("ETCDCTL_CACERT", at("pki/ca.crt")),
        ("ETCDCTL_CERT", at("pki/apiserver-etcd-client.crt")),
        ("ETCDCTL_KEY", at("pki/apiserver-etcd-client.key")),
        ("SA_KEY", at("pki/sa.key")),
        ("ROOT_CA", at("pki/ca.crt")),
    ];
    let mut text = String::from("# Sourced by a shell: the environment for using this cluster.\n");
    for (name, value) in variables {
        text.push_str(&format!("export {name}={}\n", quoted(&value)));
    }
    text.push_str(&format!("export PATH={}:\"$PATH\"\n", quoted(&folder)));
    text
}

/// In single quotes, for any POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn quotes_for_the_shell() {
        assert_eq!(quoted("a'b c"), r"'a'\''b c'");
    }
}
