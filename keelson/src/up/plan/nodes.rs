//! The components of a cluster's nodes: one that runs containers, or some that only report. Pure.

use anyhow::{Result, ensure};
use node::bundle::{DIRECTORY_BYTES_MAX, LOCAL_PREFIX, SOCKET_PATH_BYTES_MAX};

use super::{Machine, Options, Ports, Ranges, serving, words};
use crate::up::real_node::RUNTIME;
use crate::up::spec::{Component, Kind, RealNode};

/// The nodes, and what the real one among them has beside its processes.
pub(super) fn nodes(
    options: &Options,
    machine: &Machine,
    servers: &str,
    ports: &mut Ports,
) -> Result<(Vec<Component>, Option<RealNode>)> {
    if has_real_node(options, machine) {
        let node = RealNode {
            id: machine.token.trim_start_matches("keelson-").to_owned(),
            pod_cidr: Ranges::of(options, machine).pods,
        };
        let components = real_node(machine, &node, servers, ports.take()?)?;
        return Ok((components, Some(node)));
    }
    let mut components = Vec::new();
    for i in 0..hollow_nodes(options, machine) {
        components.push(hollow_node(machine, i, servers, ports.take()?));
    }
    Ok((components, None))
}

/// Whether the cluster has a node that runs containers.
pub(super) fn has_real_node(options: &Options, machine: &Machine) -> bool {
    options.hollow.is_none() && machine.is_root && options.apiservers() > 0
}

/// How many nodes only report.
fn hollow_nodes(options: &Options, machine: &Machine) -> u16 {
    let unasked = u16::from(!machine.is_root);
    options.hollow.unwrap_or(unasked)
}

/// In the order of starting: the kubelet needs the runtime.
fn real_node(
    machine: &Machine,
    node: &RealNode,
    servers: &str,
    port: u16,
) -> Result<Vec<Component>> {
    let bundle = node.bundle(&machine.dir)?;
    let beyond = bundle.directory.as_os_str().len() - machine.dir.as_os_str().len();
    let bytes_max = DIRECTORY_BYTES_MAX - beyond;
    ensure!(
        machine.dir.as_os_str().len() <= bytes_max,
        "the path {} has {} bytes, and at most {bytes_max} will do: sockets of a real node's container runtime lie below it, and Linux limits their paths to {SOCKET_PATH_BYTES_MAX} bytes; choose a shorter --data-dir, or --hollow 1",
        machine.dir.display(),
        machine.dir.as_os_str().len(),
    );
    let command = bundle.command();
    let runtime = Component {
        name: RUNTIME.to_owned(),
        kind: Kind::Runtime,
        program: Some(command.get_program().into()),
        args: command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect(),
        urls: vec![bundle.endpoint()],
        hollow: false,
    };
    let name = "node-0".to_owned();
    let mut args = kubelet(machine, &name, &machine.address, servers, port);
    args.extend(words(&[
        "--pod-cidr",
        &node.pod_cidr,
        "--container-runtime-endpoint",
        &bundle.endpoint(),
        "--pod-logs-dir",
        &machine.path(&["pod-logs"]),
        "--local-image-prefix",
        LOCAL_PREFIX,
    ]));
    let kubelet = serving(name, Kind::Kubelet, args, port);
    Ok(vec![runtime, kubelet, proxy(machine, node, servers)])
}

fn proxy(machine: &Machine, node: &RealNode, servers: &str) -> Component {
    Component {
        name: "proxy-0".to_owned(),
        kind: Kind::Proxy,
        program: None,
        args: words(&[
            "proxy",
            "--kubeconfig",
            &machine.path(&["proxy.kubeconfig"]),
            "--server",
            servers,
            "--hostname-override",
            "node-0",
            // All pods are on this one node.
            "--cluster-cidr",
            &node.pod_cidr,
            "--nft-table",
            &node.proxy_table(),
        ]),
        urls: Vec::new(),
        hollow: false,
    }
}

fn hollow_node(machine: &Machine, i: u16, servers: &str, port: u16) -> Component {
    let name = format!("node-{i}");
    let mut args = kubelet(machine, &name, "127.0.0.1", servers, port);
    args.extend(words(&[
        "--hollow",
        "--pod-cidr",
        &format!("10.{}.{}.0/24", 200 + i / 256, i % 256),
    ]));
    Component {
        hollow: true,
        ..serving(name, Kind::Kubelet, args, port)
    }
}

/// What every kubelet is told.
fn kubelet(machine: &Machine, name: &str, ip: &str, servers: &str, port: u16) -> Vec<String> {
    words(&[
        "kubelet",
        "--hostname-override",
        name,
        "--node-ip",
        ip,
        "--kubeconfig",
        &machine.path(&[&format!("{name}.kubeconfig")]),
        "--server",
        servers,
        "--root-dir",
        &machine.path(&[name]),
        "--port",
        &port.to_string(),
        "--tls-cert-file",
        &machine.pki(&format!("{name}.crt")),
        "--tls-private-key-file",
        &machine.pki(&format!("{name}.key")),
        "--client-ca-file",
        &machine.pki("ca.crt"),
    ])
}
