//! Reads a running kube-apiserver, and the sources of the API modules, and writes the tables of
//! kinds under `crates/api/meta/data`. Only facts are taken: names, types, numbers, defaults; never
//! descriptions.
//!
//! Reading order: [`server`] (asking), [`kinds`], [`schemas`], [`source`] (what only the sources
//! tell), [`bootstrap`] (the objects of a fresh cluster), [`write`] (the committed form).

mod bootstrap;
mod kinds;
mod protobuf;
mod real;
mod schemas;
mod server;
mod source;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace;

const USAGE: &str = "usage: cargo xtask codegen --kubeconfig FILE --modules DIR [--out DIR]\n\
  FILE  of an administrator of a fresh kube-apiserver 1.36 whose controller-manager runs\n\
  DIR   with the Go modules k8s.io/api@…, k8s.io/apimachinery@… (default: ~/go/pkg/mod/k8s.io)";

/// The file names under the data folder and their text.
type Tables = BTreeMap<String, String>;

/// Writes the tables.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut kubeconfig = None;
    let mut modules = None;
    let mut out = data_folder();
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().map(PathBuf::from);
        match (flag.as_str(), value) {
            ("--kubeconfig", Some(path)) => kubeconfig = Some(path),
            ("--modules", Some(path)) => modules = Some(path),
            ("--out", Some(path)) => out = path,
            _ => bail!(USAGE),
        }
    }
    let kubeconfig = kubeconfig.context(USAGE)?;
    let modules = modules.or_else(default_modules).context(USAGE)?;
    let server = server::Server::connect(&kubeconfig)?;
    for (name, text) in tables(&server, &modules)? {
        let path = out.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Starts the real server from `bin` and names each table that is not as it would be written now.
pub(crate) fn compare(bin: &Path) -> Result<Vec<String>> {
    let modules = default_modules().context("the Go modules of the API are not on this machine")?;
    let plane = real::Plane::start(bin)?;
    let server = server::Server::connect(&plane.kubeconfig())?;
    let mut findings = Vec::new();
    for (name, text) in tables(&server, &modules)? {
        let committed = std::fs::read_to_string(data_folder().join(&name)).unwrap_or_default();
        let mut lines = committed.lines().zip(text.lines());
        if let Some((ours, theirs)) = lines.find(|(ours, theirs)| ours != theirs) {
            findings.push(format!(
                "{name}:\n  committed: {ours}\n  real:      {theirs}"
            ));
        } else if committed.len() != text.len() {
            findings.push(format!("{name} has another length"));
        }
    }
    Ok(findings)
}

fn tables(server: &server::Server, modules: &Path) -> Result<Tables> {
    let sources = source::Sources::read(modules)?;
    let mut tables = Tables::new();
    tables.insert("kinds.json".into(), kinds::table(server)?);
    let schemas = schemas::read(server, &sources)?;
    tables.insert("schemas.json".into(), schemas::table(&schemas));
    tables.insert("protobuf.txt".into(), protobuf::table(&schemas, &sources));
    bootstrap::tables(server, &mut tables)?;
    Ok(tables)
}

fn data_folder() -> PathBuf {
    workspace::root().join("crates/api/meta/data")
}

fn default_modules() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    let folder = PathBuf::from(home).join("go/pkg/mod/k8s.io");
    folder.exists().then_some(folder)
}
