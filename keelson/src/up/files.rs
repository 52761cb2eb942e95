//! `env.sh`: what a shell needs to use the cluster.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::spec::{Kind, Spec};

/// Writes `env.sh` into the cluster's folder. `clients`: where to find a kubectl and an etcdctl if the shell
/// has none of its own.
pub(crate) fn write_env(
    dir: &Path,
    spec: &Spec,
    binary: &Path,
    clients: Option<&Path>,
) -> Result<()> {
    let path = dir.join("env.sh");
    let text = env(dir, spec, binary, clients);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn env(dir: &Path, spec: &Spec, binary: &Path, clients: Option<&Path>) -> String {
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
    let last = clients.map_or_else(String::new, |folder| {
        format!(":{}", quoted(&folder.display().to_string()))
    });
    text.push_str(&format!(
        "export PATH={}:\"$PATH\"{last}\n",
        quoted(&folder)
    ));
    text
}

/// In single quotes, for any POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{env, quoted};
    use crate::up::spec::Spec;

    #[test]
    fn the_shells_own_clients_come_before_ours() {
        let path = |clients| {
            let spec = Spec::new(Vec::new());
            let text = env(Path::new("/d"), &spec, Path::new("/b/keelson"), clients);
            text.lines().last().unwrap_or_default().to_owned()
        };
        assert_eq!(path(None), r#"export PATH='/b':"$PATH""#);
        let clients = Some(Path::new("/p/bin"));
        assert_eq!(path(clients), r#"export PATH='/b':"$PATH":'/p/bin'"#);
    }

    #[test]
    fn quotes_for_the_shell() {
        assert_eq!(quoted("a'b c"), r"'a'\''b c'");
    }
}
