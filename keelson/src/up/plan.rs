//! From flags and ports to the components of a cluster, with their command lines. Pure.

mod nodes;
mod ranges;

use std::path::PathBuf;

use anyhow::Result;

use super::options::Options;
use super::ports::Ports;
use super::spec::{Component, Kind, Spec};

pub(crate) use ranges::Ranges;

/// What of this machine the plan depends on.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// The cluster's folder, absolute.
    pub(crate) dir: PathBuf,
    /// An address of this machine that pods can reach.
    pub(crate) address: String,
    /// Which of the shares of addresses for clusters with a real node nobody here has.
    pub(crate) share: u8,
    /// Whether a real node can be run here.
    pub(crate) is_root: bool,
    /// Tells this cluster's members from any other's.
    pub(crate) token: String,
}

impl Machine {
    fn pki(&self, file: &str) -> String {
        self.path(&["pki", file])
    }

    fn path(&self, parts: &[&str]) -> String {
        parts
            .iter()
            .fold(self.dir.clone(), |path, part| path.join(part))
            .display()
            .to_string()
    }
}

/// How many ports a cluster of `options` takes at most.
pub(crate) fn ports_needed(options: &Options) -> u16 {
    let nodes = options.hollow.unwrap_or(1);
    // A member of the store has one for clients and one for its peers; the runtime and the proxy of
    // a real node have none, and there is one cloud controller manager.
    2 * options.stores()
        + options.apiservers()
        + options.controllers()
        + options.schedulers()
        + 1
        + nodes
}

/// The components, in the order of starting.
pub(crate) fn plan(options: &Options, machine: &Machine, ports: &mut Ports) -> Result<Spec> {
    let stores = stores(options, machine, ports)?;
    let store_urls: Vec<String> = stores.iter().flat_map(|store| store.urls.clone()).collect();
    let apiservers = apiservers(options, machine, ports, &store_urls)?;
    let servers: Vec<String> = apiservers
        .iter()
        .flat_map(|server| server.urls.clone())
        .collect();
    let mut components = stores;
    components.extend(apiservers);
    if servers.is_empty() {
        return Ok(Spec::new(components));
    }
    let servers = servers.join(",");
    for i in 0..options.controllers() {
        components.push(controllers(machine, i, &servers, ports.take()?));
    }
    for i in 0..options.schedulers() {
        components.push(scheduler(machine, i, &servers, ports.take()?));
    }
    if options.controllers() > 0 {
        let pool = Ranges::of(options, machine).load_balancers;
        components.push(cloud_controllers(machine, &pool, &servers, ports.take()?));
    }
    let (nodes, real_node) = nodes::nodes(options, machine, &servers, ports)?;
    components.extend(nodes);
    Ok(Spec {
        real_node,
        ..Spec::new(components)
    })
}

fn stores(options: &Options, machine: &Machine, ports: &mut Ports) -> Result<Vec<Component>> {
    let mut places = Vec::new();
    for i in 0..options.stores() {
        let url = |port| format!("https://127.0.0.1:{port}");
        places.push((format!("store-{i}"), url(ports.take()?), url(ports.take()?)));
    }
    let members: Vec<String> = places
        .iter()
        .map(|(name, _, peer)| format!("{name}={peer}"))
        .collect();
    let component = |(name, client, peer): (String, String, String)| Component {
        args: words(&[
            "store",
            "--name",
            &name,
            "--data-dir",
            &machine.path(&[&name]),
            "--initial-cluster",
            &members.join(","),
            "--initial-cluster-token",
            &machine.token,
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--cert-file",
            &machine.pki("store.crt"),
            "--key-file",
            &machine.pki("store.key"),
            "--trusted-ca-file",
            &machine.pki("ca.crt"),
            "--client-cert-auth",
            "--peer-cert-file",
            &machine.pki("store-peer.crt"),
            "--peer-key-file",
            &machine.pki("store-peer.key"),
            "--peer-trusted-ca-file",
            &machine.pki("ca.crt"),
            "--peer-client-cert-auth",
            // JSON objects are larger than the protobuf that etcd's default limit was made for.
            "--max-request-bytes",
            "4194304",
            "--quota-backend-bytes",
            "8589934592",
        ]),
        name,
        kind: Kind::Store,
        program: None,
        urls: vec![client],
        hollow: false,
    };
    Ok(places.into_iter().map(component).collect())
}

fn apiservers(
    options: &Options,
    machine: &Machine,
    ports: &mut Ports,
    stores: &[String],
) -> Result<Vec<Component>> {
    // Pods of a real node must reach the api-servers; hollow ones have no pods that could.
    let (bind, advertise) = if nodes::has_real_node(options, machine) {
        ("0.0.0.0", machine.address.as_str())
    } else {
        ("127.0.0.1", "127.0.0.1")
    };
    let mut components = Vec::new();
    for i in 0..options.apiservers() {
        let port = ports.take()?.to_string();
        let args = words(&[
            "apiserver",
            "--etcd-servers",
            &stores.join(","),
            "--etcd-cafile",
            &machine.pki("ca.crt"),
            "--etcd-certfile",
            &machine.pki("apiserver-etcd-client.crt"),
            "--etcd-keyfile",
            &machine.pki("apiserver-etcd-client.key"),
            "--bind-address",
            bind,
            "--advertise-address",
            advertise,
            "--secure-port",
            &port,
            "--tls-cert-file",
            &machine.pki("apiserver.crt"),
            "--tls-private-key-file",
            &machine.pki("apiserver.key"),
            "--client-ca-file",
            &machine.pki("ca.crt"),
            "--kubelet-certificate-authority",
            &machine.pki("ca.crt"),
            "--kubelet-client-certificate",
            &machine.pki("apiserver-kubelet-client.crt"),
            "--kubelet-client-key",
            &machine.pki("apiserver-kubelet-client.key"),
            "--service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file",
            &machine.pki("sa.pub"),
            "--service-account-signing-key-file",
            &machine.pki("sa.key"),
            "--service-cluster-ip-range",
            &Ranges::of(options, machine).services,
            "--authorization-mode",
            "Node,RBAC",
        ]);
        components.push(Component {
            name: format!("apiserver-{i}"),
            kind: Kind::Apiserver,
            program: None,
            args,
            urls: vec![format!("https://127.0.0.1:{port}")],
            hollow: false,
        });
    }
    Ok(components)
}

fn controllers(machine: &Machine, i: u16, servers: &str, port: u16) -> Component {
    let name = format!("controllers-{i}");
    let mut args = elected(
        "controllers",
        &name,
        &machine.path(&["controllers.kubeconfig"]),
        servers,
        port,
    );
    args.extend(words(&[
        "--root-ca-file",
        &machine.pki("ca.crt"),
        "--use-service-account-credentials",
        "--service-account-private-key-file",
        &machine.pki("sa.key"),
    ]));
    serving(name, Kind::Controllers, args, port)
}

fn scheduler(machine: &Machine, i: u16, servers: &str, port: u16) -> Component {
    let name = format!("scheduler-{i}");
    let args = elected(
        "scheduler",
        &name,
        &machine.path(&["scheduler.kubeconfig"]),
        servers,
        port,
    );
    serving(name, Kind::Scheduler, args, port)
}

fn cloud_controllers(machine: &Machine, pool: &str, servers: &str, port: u16) -> Component {
    let name = "cloud-controllers-0".to_owned();
    let kubeconfig = machine.path(&["controllers.kubeconfig"]);
    let mut args = elected("cloud-controllers", &name, &kubeconfig, servers, port);
    args.extend(words(&[
        "--use-service-account-credentials",
        "--cloud-provider",
        "local",
        "--load-balancer-pool",
        pool,
    ]));
    serving(name, Kind::CloudControllers, args, port)
}

fn elected(command: &str, name: &str, kubeconfig: &str, servers: &str, port: u16) -> Vec<String> {
    words(&[
        command,
        "--kubeconfig",
        kubeconfig,
        "--server",
        servers,
        "--bind-address",
        "127.0.0.1",
        "--secure-port",
        &port.to_string(),
        "--leader-elect-identity",
        name,
    ])
}

/// The names of the nodes in a cluster.
pub(crate) fn node_names(options: &Options) -> Vec<String> {
    (0..options.hollow.unwrap_or(1).max(1))
        .map(|i| format!("node-{i}"))
        .collect()
}

fn serving(name: String, kind: Kind, args: Vec<String>, port: u16) -> Component {
    let urls = vec![format!("https://127.0.0.1:{port}")];
    Component {
        name,
        kind,
        program: None,
        args,
        urls,
        hollow: false,
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests;
