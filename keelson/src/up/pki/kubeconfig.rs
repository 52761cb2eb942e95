//! Kubeconfigs with everything in them, so that one file is enough to use the cluster.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The kubeconfig of `user`, whose certificate lies in `pki`. The first server is the current
/// context; each further one has a context of its own, for when the first is down.
pub(super) fn render(pki: &Path, user: &str, servers: &[&str]) -> Result<String> {
    let data = |file: &str| {
        let path = pki.join(file);
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        anyhow::Ok(STANDARD.encode(bytes))
    };
    let authority = data("ca.crt")?;
    let name = |i: usize| {
        if i == 0 {
            "keelson".to_owned()
        } else {
            format!("keelson-{i}")
        }
    };
    let each = |make: &dyn Fn(usize, &str) -> Value| -> Vec<Value> {
        servers
            .iter()
            .enumerate()
            .map(|(i, server)| make(i, server))
            .collect()
    };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "keelson",
        "clusters": each(&|i, server| json!({
            "name": name(i), "cluster": {"server": server, "certificate-authority-data": authority},
        })),
        "contexts": each(&|i, _| json!({"name": name(i), "context": {"cluster": name(i), "user": user}})),
        "users": [{"name": user, "user": {
            "client-certificate-data": data(&format!("{user}.crt"))?,
            "client-key-data": data(&format!("{user}.key"))?,
        }}],
    });
    // JSON is YAML, which is all that a kubeconfig must be.
    Ok(serde_json::to_string_pretty(&config)?)
}
