//! The rules as data, and the text of the transaction that turns one set into another. Pure.
//!
//! One map leads from each address and port to the chain of its service port; that chain chooses
//! an endpoint. So a packet is looked up once, however many services there are, and a change
//! touches only what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ipnet::Ipv4Net;

use super::model::{ServicePort, Target};

/// Marks what has to be masqueraded on its way out. Upstream's bit.
const MARK: &str = "0x4000";

/// What goes into the rules besides services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The table to keep; nothing else is touched.
    pub table: String,
    /// The addresses of all pods.
    pub cluster_cidr: Option<Ipv4Net>,
    /// Masquerade everything that comes to a service.
    pub masquerade_all: bool,
}

/// The rules of all services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Chains of service ports, with their rules.
    chains: BTreeMap<String, Vec<String>>,
    /// Elements of the maps and sets, with what they lead to.
    elements: BTreeMap<(&'static str, String), Option<String>>,
}

impl Ruleset {
    /// The rules for `ports`.
    pub fn new<'a>(ports: impl Iterator<Item = &'a ServicePort>, settings: &Settings) -> Self {
        let mut out = Self::default();
        for port in ports {
            out.add(port, settings);
        }
        out
    }

    fn add(&mut self, port: &ServicePort, settings: &Settings) {
        let id = hash(&format!("{}/{}", port.name, port.protocol));
        let first = match settings.cluster_cidr {
            _ if settings.masquerade_all => Some(mark("")),
            Some(cidr) => Some(mark(&format!("ip saddr != {cidr} "))),
            None => None,
        };
        let internal = self.way(
            format!("svc-{id}"),
            port.protocol,
            &port.cluster_targets,
            first,
        );
        for ip in &port.internal {
            self.lead(
                &format!("{} . {ip} . {}", port.protocol, port.port),
                internal.as_deref(),
            );
        }
        if port.external.is_empty() && port.node_port.is_none() {
            return;
        }
        // Traffic that stays on its node keeps its source, which is the point of staying.
        let first = (!port.external_local).then(|| mark(""));
        let external = self.way(
            format!("ext-{id}"),
            port.protocol,
            &port.external_targets,
            first,
        );
        for ip in &port.external {
            self.lead(
                &format!("{} . {ip} . {}", port.protocol, port.port),
                external.as_deref(),
            );
        }
        if let Some(node_port) = port.node_port {
            let key = format!("{} . {node_port}", port.protocol);
            match external {
                Some(chain) => self
                    .elements
                    .insert(("nodeports", key), Some(format!("goto {chain}"))),
                None => self
                    .elements
                    .insert(("refused-nodeports", key), Some("goto refuse".to_owned())),
            };
        }
    }

    /// Makes a chain to the targets; None where there are none.
    fn way(
        &mut self,
        chain: String,
        protocol: &str,
        targets: &BTreeSet<Target>,
        first: Option<String>,
    ) -> Option<String> {
        if targets.is_empty() {
            return None;
        }
        let mut rules: Vec<String> = first.into_iter().collect();
        let list: Vec<String> = targets
            .iter()
            .enumerate()
            .map(|(n, (ip, port))| format!("{n} : {ip} . {port}"))
            .collect();
        rules.push(format!(
            "meta l4proto {} dnat ip addr . port to numgen random mod {} map {{ {} }}",
            protocol,
            targets.len(),
            list.join(", ")
        ));
        for (ip, _) in targets {
            self.elements
                .insert(("hairpin", format!("{ip} . {ip}")), None);
        }
        self.chains.insert(chain.clone(), rules);
        Some(chain)
    }

    fn lead(&mut self, key: &str, chain: Option<&str>) {
        match chain {
            Some(chain) => self
                .elements
                .insert(("services", key.to_owned()), Some(format!("goto {chain}"))),
            None => self
                .elements
                .insert(("refused", key.to_owned()), Some("goto refuse".to_owned())),
        };
    }

    /// The transaction that makes the table from nothing, whatever was there.
    pub fn full(&self, settings: &Settings) -> String {
        let mut text = base(&settings.table);
        text.push_str(&Self::default().change_to(self, settings));
        text
    }

    /// The transaction that turns this set into `next`; empty where they are equal.
    pub fn change_to(&self, next: &Self, settings: &Settings) -> String {
        let table = &settings.table;
        let mut text = String::new();
        let mut line = |parts: std::fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = text.write_fmt(format_args!("{parts}\n"));
        };
        // Elements go before the chains they lead to, and come after them.
        for (key, value) in &self.elements {
            if next.elements.get(key) != Some(value) {
                line(format_args!(
                    "delete element ip {table} {} {{ {} }}",
                    key.0, key.1
                ));
            }
        }
        for name in self
            .chains
            .keys()
            .filter(|name| !next.chains.contains_key(*name))
        {
            line(format_args!("flush chain ip {table} {name}"));
            line(format_args!("delete chain ip {table} {name}"));
        }
        for (name, rules) in &next.chains {
            match self.chains.get(name) {
                Some(old) if old == rules => continue,
                Some(_) => line(format_args!("flush chain ip {table} {name}")),
                None => line(format_args!("add chain ip {table} {name}")),
            }
            for rule in rules {
                line(format_args!("add rule ip {table} {name} {rule}"));
            }
        }
        for (key, value) in &next.elements {
            if self.elements.get(key) == Some(value) {
                continue;
            }
            match value {
                Some(verdict) => {
                    line(format_args!(
                        "add element ip {table} {} {{ {} : {verdict} }}",
                        key.0, key.1
                    ));
                }
                None => line(format_args!(
                    "add element ip {table} {} {{ {} }}",
                    key.0, key.1
                )),
            }
        }
        text
    }
}

fn mark(condition: &str) -> String {
    format!("{condition}meta mark set meta mark or {MARK}")
}

/// The chains that every table has: name, hook, rules.
const CHAINS: &[(&str, &str, &[&str])] = &[
    ("refuse", "", &["reject"]),
    (
        "lookup",
        "",
        &[
            "meta l4proto . ip daddr . th dport vmap @services",
            // Not by loopback: its packets would leave with a source that has no way back.
            "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @nodeports",
        ],
    ),
    (
        "refusals",
        "",
        &[
            "meta l4proto . ip daddr . th dport vmap @refused",
            "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @refused-nodeports",
        ],
    ),
    (
        "prerouting",
        "type nat hook prerouting priority dstnat;",
        &["jump lookup"],
    ),
    (
        "output",
        "type nat hook output priority -100;",
        &["jump lookup"],
    ),
    (
        "filter-input",
        "type filter hook input priority filter;",
        &["ct state new jump refusals"],
    ),
    (
        "filter-forward",
        "type filter hook forward priority filter;",
        &["ct state new jump refusals"],
    ),
    (
        "filter-output",
        "type filter hook output priority filter;",
        &["ct state new jump refusals"],
    ),
    (
        "postrouting",
        "type nat hook postrouting priority srcnat;",
        &[
            "meta mark and 0x4000 == 0x4000 meta mark set meta mark xor 0x4000 masquerade fully-random",
            // An endpoint that came to itself by its service must not see its own address.
            "ct status dnat ip saddr . ip daddr @hairpin masquerade",
        ],
    ),
];

/// The table without services.
fn base(table: &str) -> String {
    let mut text = format!("add table ip {table}\ndelete table ip {table}\nadd table ip {table}\n");
    for (kind, name, of) in [
        (
            "map",
            "services",
            "inet_proto . ipv4_addr . inet_service : verdict",
        ),
        (
            "map",
            "refused",
            "inet_proto . ipv4_addr . inet_service : verdict",
        ),
        ("map", "nodeports", "inet_proto . inet_service : verdict"),
        (
            "map",
            "refused-nodeports",
            "inet_proto . inet_service : verdict",
        ),
        ("set", "hairpin", "ipv4_addr . ipv4_addr"),
    ] {
        text.push_str(&format!("add {kind} ip {table} {name} {{ type {of}; }}\n"));
    }
    for (name, hook, _) in CHAINS {
        let hook = if hook.is_empty() {
            String::new()
        } else {
            format!(" {{ {hook} }}")
        };
        text.push_str(&format!("add chain ip {table} {name}{hook}\n"));
    }
    for (name, _, rules) in CHAINS {
        for rule in *rules {
            text.push_str(&format!("add rule ip {table} {name} {rule}\n"));
        }
    }
    text
}

/// A short name for a service port, the same in every process.
fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
#[path = "ruleset_tests.rs"]
mod tests;
