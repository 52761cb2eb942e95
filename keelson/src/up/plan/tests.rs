//! What a cluster consists of, by flags and machine.

use clap::{Args, Command, FromArgMatches};
use expect_test::{Expect, expect};

use super::{Machine, Ranges, plan, ports_needed};
use crate::up::options::Options;
use crate::up::ports::Ports;
use crate::up::spec::{Component, Spec};

const ROOT: bool = true;
const NO_ROOT: bool = false;

fn options(flags: &str) -> Options {
    let words = ["up"].into_iter().chain(flags.split_whitespace());
    let command = Options::augment_args(Command::new("up"));
    Options::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
}

fn machine(is_root: bool) -> Machine {
    Machine {
        dir: "/d".into(),
        address: "192.0.2.7".into(),
        share: 57,
        is_root,
        token: "keelson-00c0ffee".into(),
    }
}

fn planned(flags: &str, machine: &Machine) -> anyhow::Result<Spec> {
    let options = options(flags);
    let mut ports = Ports::new(Some(2000), ports_needed(&options)).unwrap();
    plan(&options, machine, &mut ports)
}

/// One word for each component.
fn check(flags: &str, is_root: bool, expect: &Expect) {
    let spec = planned(flags, &machine(is_root)).unwrap();
    let word = |c: &Component| format!("{}{}", c.name, if c.hollow { " (hollow)" } else { "" });
    let words: Vec<String> = spec.components.iter().map(word).collect();
    expect.assert_eq(&words.join(", "));
}

#[test]
fn root_has_a_real_node_and_nobody_else() {
    check(
        "",
        ROOT,
        &expect![
            "store-0, store-1, store-2, apiserver-0, apiserver-1, controllers-0, controllers-1, scheduler-0, scheduler-1, cloud-controllers-0, runtime-0, node-0, proxy-0"
        ],
    );
    let small = "--stores 1 --apiservers 1 --controllers 1 --schedulers 1";
    check(
        small,
        NO_ROOT,
        &expect![
            "store-0, apiserver-0, controllers-0, scheduler-0, cloud-controllers-0, node-0 (hollow)"
        ],
    );
}

#[test]
fn hollow_nodes_take_the_place_of_the_real_one() {
    let small = "--stores 1 --apiservers 1 --controllers 0 --schedulers 0";
    for is_root in [ROOT, NO_ROOT] {
        check(
            &format!("{small} --hollow 2"),
            is_root,
            &expect!["store-0, apiserver-0, node-0 (hollow), node-1 (hollow)"],
        );
        check(
            &format!("{small} --hollow 0"),
            is_root,
            &expect!["store-0, apiserver-0"],
        );
    }
}

#[test]
fn without_api_servers_there_is_a_store_alone() {
    for is_root in [ROOT, NO_ROOT] {
        check(
            "--apiservers 0",
            is_root,
            &expect!["store-0, store-1, store-2"],
        );
        let spec = planned("--apiservers 0", &machine(is_root)).unwrap();
        assert_eq!(spec.real_node, None);
    }
}

#[test]
fn the_parts_of_a_real_node_meet_below_the_clusters_folder() {
    let spec = planned("--stores 1 --apiservers 1", &machine(ROOT)).unwrap();
    let mut text = String::new();
    for name in ["runtime-0", "node-0", "proxy-0"] {
        let component = spec.select(Some(name)).unwrap().remove(0);
        let program = component.program.as_ref().map(|p| p.display().to_string());
        text.push_str(&format!(
            "{name} at {:?}\n{} {}\n",
            component.urls,
            program.unwrap_or_else(|| "keelson".into()),
            component.args.join(" ")
        ));
    }
    expect![[r#"
        runtime-0 at ["unix:///d/runtime-0/containerd.sock"]
        /usr/bin/containerd --config /d/runtime-0/containerd.toml
        node-0 at ["https://127.0.0.1:2008"]
        keelson kubelet --hostname-override node-0 --node-ip 192.0.2.7 --kubeconfig /d/node-0.kubeconfig --server https://127.0.0.1:2002 --root-dir /d/node-0 --port 2008 --tls-cert-file /d/pki/node-0.crt --tls-private-key-file /d/pki/node-0.key --client-ca-file /d/pki/ca.crt --pod-cidr 10.244.57.0/24 --container-runtime-endpoint unix:///d/runtime-0/containerd.sock --pod-logs-dir /d/pod-logs --local-image-prefix docker.io/keelson/
        proxy-0 at []
        keelson proxy --kubeconfig /d/proxy.kubeconfig --server https://127.0.0.1:2002 --hostname-override node-0 --cluster-cidr 10.244.57.0/24 --nft-table keelson-proxy-00c0ffee
    "#]]
    .assert_eq(&text);
    let node = spec.real_node.unwrap();
    assert_eq!(
        (node.id.as_str(), node.pod_cidr.as_str()),
        ("00c0ffee", "10.244.57.0/24")
    );
}

#[test]
fn pods_reach_the_api_servers_and_others_only_where_there_are_pods() {
    let reached = |flags: &str| {
        let spec = planned(flags, &machine(ROOT)).unwrap();
        let args = spec
            .select(Some("apiserver-0"))
            .unwrap()
            .remove(0)
            .args
            .join(" ");
        args.contains("--bind-address 0.0.0.0 --advertise-address 192.0.2.7 ")
    };
    assert!(reached(""));
    assert!(!reached("--hollow 1"));
}

#[test]
fn only_clusters_with_real_nodes_need_addresses_of_their_own() {
    let ranges = |flags: &str, share: u8| {
        let machine = Machine {
            share,
            ..machine(ROOT)
        };
        let ranges = Ranges::of(&options(flags), &machine);
        [
            ranges.pods,
            ranges.services,
            ranges.kubernetes,
            ranges.load_balancers,
        ]
        .join(" ")
    };
    for (share, want) in [
        (0, "10.244.0.0/24 10.96.0.0/20 10.96.0.1 10.112.0.0/24"),
        (
            57,
            "10.244.57.0/24 10.99.144.0/20 10.99.144.1 10.112.57.0/24",
        ),
        (
            255,
            "10.244.255.0/24 10.111.240.0/20 10.111.240.1 10.112.255.0/24",
        ),
    ] {
        assert_eq!(ranges("", share), want);
        assert_eq!(ranges("--hollow 1", share), ranges("", 0));
    }
}

#[test]
fn a_folder_too_deep_for_sockets_is_refused_with_the_limit() {
    let at = |bytes: usize| Machine {
        dir: format!("/{}", "d".repeat(bytes - 1)).into(),
        ..machine(ROOT)
    };
    assert!(planned("", &at(75)).is_ok());
    let error = planned("", &at(76)).unwrap_err().to_string();
    assert!(
        error.contains("has 76 bytes, and at most 75 will do"),
        "{error}"
    );
    assert!(error.contains("--data-dir"), "{error}");
    assert!(planned("--hollow 1", &at(76)).is_ok());
    assert!(planned("--apiservers 0", &at(76)).is_ok());
}

#[test]
fn there_are_ports_for_every_shape() {
    for flags in [
        "",
        "--apiservers 0",
        "--hollow 0",
        "--stores 5 --apiservers 5 --controllers 5 --schedulers 5 --hollow 100",
        "--stores 1 --apiservers 1 --controllers 1 --schedulers 0",
    ] {
        for is_root in [ROOT, NO_ROOT] {
            planned(flags, &machine(is_root)).unwrap();
        }
    }
}
