//! The whole text for a few services, and what a change touches.

use std::sync::Arc;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{Ruleset, Settings};
use crate::proxy::service_ports;

fn settings() -> Settings {
    let cluster_cidr = Some("10.1.0.0/16".parse().expect("a range"));
    Settings {
        table: "t".to_owned(),
        cluster_cidr,
        masquerade_all: false,
    }
}

fn rules(services: Value, slices: Value) -> Ruleset {
    let services: Vec<_> = serde_json::from_value::<Vec<_>>(services).expect("services");
    let slices: Vec<_> = serde_json::from_value::<Vec<_>>(slices).expect("slices");
    let services: Vec<_> = services.into_iter().map(Arc::new).collect();
    let slices: Vec<_> = slices.into_iter().map(Arc::new).collect();
    Ruleset::new(
        service_ports(&services, &slices, "here").values(),
        &settings(),
    )
}

fn service(name: &str, ip: &str, more: Value) -> Value {
    let mut spec = json!({"clusterIP": ip, "ports": [{"port": 80}]});
    for (key, value) in more.as_object().expect("fields") {
        spec[key] = value.clone();
    }
    json!({"metadata": {"namespace": "ns", "name": name}, "spec": spec})
}

fn slice(service: &str, endpoints: Value) -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": service, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"port": 8080, "name": ""}],
        "endpoints": endpoints,
    })
}

/// The transaction from nothing, without what is the same in every table.
fn check(services: Value, slices: Value, want: Expect) {
    want.assert_eq(&Ruleset::default().change_to(&rules(services, slices), &settings()));
}

#[test]
fn a_cluster_address_leads_to_ready_endpoints() {
    check(
        json!([service("web", "10.0.0.2", json!({}))]),
        json!([slice(
            "web",
            json!([
                {"addresses": ["10.1.0.5"]},
                {"addresses": ["10.1.0.6"], "conditions": {"ready": true}},
                {"addresses": ["10.1.0.7"], "conditions": {"ready": false}},
            ])
        )]),
        expect![[r#"
            add chain ip t svc-8b49e10adabb3513
            add rule ip t svc-8b49e10adabb3513 ip saddr != 10.1.0.0/16 meta mark set meta mark or 0x4000
            add rule ip t svc-8b49e10adabb3513 meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.1.0.5 . 8080, 1 : 10.1.0.6 . 8080 }
            add element ip t hairpin { 10.1.0.5 . 10.1.0.5 }
            add element ip t hairpin { 10.1.0.6 . 10.1.0.6 }
            add element ip t services { tcp . 10.0.0.2 . 80 : goto svc-8b49e10adabb3513 }
        "#]],
    );
}

#[test]
fn without_endpoints_it_is_refused() {
    check(
        json!([service("web", "10.0.0.2", json!({}))]),
        json!([]),
        expect![[r#"
            add element ip t refused { tcp . 10.0.0.2 . 80 : goto refuse }
        "#]],
    );
}

#[test]
fn ending_endpoints_serve_when_there_are_no_others() {
    check(
        json!([service("web", "10.0.0.2", json!({}))]),
        json!([slice(
            "web",
            json!([
                {"addresses": ["10.1.0.5"], "conditions": {"ready": false, "serving": true, "terminating": true}},
            ])
        )]),
        expect![[r#"
            add chain ip t svc-8b49e10adabb3513
            add rule ip t svc-8b49e10adabb3513 ip saddr != 10.1.0.0/16 meta mark set meta mark or 0x4000
            add rule ip t svc-8b49e10adabb3513 meta l4proto tcp dnat ip addr . port to numgen random mod 1 map { 0 : 10.1.0.5 . 8080 }
            add element ip t hairpin { 10.1.0.5 . 10.1.0.5 }
            add element ip t services { tcp . 10.0.0.2 . 80 : goto svc-8b49e10adabb3513 }
        "#]],
    );
}

#[test]
fn headless_services_have_no_rules() {
    check(
        json!([service("web", "None", json!({}))]),
        json!([]),
        expect![[r#""#]],
    );
    check(
        json!([service("web", "", json!({"type": "ExternalName"}))]),
        json!([]),
        expect![[r#""#]],
    );
}

#[test]
fn node_ports_and_balancers_keep_to_the_policy() {
    let mut balanced = service(
        "lb",
        "10.0.0.3",
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
    );
    balanced["spec"]["ports"][0]["nodePort"] = json!(30080);
    balanced["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}});
    check(
        json!([balanced]),
        json!([slice(
            "lb",
            json!([
                {"addresses": ["10.1.0.5"], "nodeName": "here"},
                {"addresses": ["10.1.1.5"], "nodeName": "there"},
            ])
        )]),
        expect![[r#"
            add chain ip t ext-50b1a23b846c82ed
            add rule ip t ext-50b1a23b846c82ed meta l4proto tcp dnat ip addr . port to numgen random mod 1 map { 0 : 10.1.0.5 . 8080 }
            add chain ip t svc-50b1a23b846c82ed
            add rule ip t svc-50b1a23b846c82ed ip saddr != 10.1.0.0/16 meta mark set meta mark or 0x4000
            add rule ip t svc-50b1a23b846c82ed meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.1.0.5 . 8080, 1 : 10.1.1.5 . 8080 }
            add element ip t hairpin { 10.1.0.5 . 10.1.0.5 }
            add element ip t hairpin { 10.1.1.5 . 10.1.1.5 }
            add element ip t nodeports { tcp . 30080 : goto ext-50b1a23b846c82ed }
            add element ip t services { tcp . 10.0.0.3 . 80 : goto svc-50b1a23b846c82ed }
            add element ip t services { tcp . 192.0.2.10 . 80 : goto ext-50b1a23b846c82ed }
        "#]],
    );
}

#[test]
fn a_change_touches_only_what_changed() {
    let services = || {
        json!([
            service("a", "10.0.0.2", json!({})),
            service("b", "10.0.0.3", json!({}))
        ])
    };
    let one = rules(
        services(),
        json!([
            slice("a", json!([{"addresses": ["10.1.0.5"]}])),
            slice("b", json!([{"addresses": ["10.1.0.6"]}]))
        ]),
    );
    let two = rules(
        services(),
        json!([slice("a", json!([{"addresses": ["10.1.0.5"]}]))]),
    );
    assert_eq!(one.change_to(&one, &settings()), "");
    expect![[r#"
        delete element ip t hairpin { 10.1.0.6 . 10.1.0.6 }
        delete element ip t services { tcp . 10.0.0.3 . 80 }
        flush chain ip t svc-7d842c287af8f01b
        delete chain ip t svc-7d842c287af8f01b
        add element ip t refused { tcp . 10.0.0.3 . 80 : goto refuse }
    "#]]
    .assert_eq(&one.change_to(&two, &settings()));
}

#[test]
fn the_table_is_made_anew() {
    expect![[r#"
        add table ip t
        delete table ip t
        add table ip t
        add map ip t services { type inet_proto . ipv4_addr . inet_service : verdict; }
        add map ip t refused { type inet_proto . ipv4_addr . inet_service : verdict; }
        add map ip t nodeports { type inet_proto . inet_service : verdict; }
        add map ip t refused-nodeports { type inet_proto . inet_service : verdict; }
        add set ip t hairpin { type ipv4_addr . ipv4_addr; }
        add chain ip t refuse
        add chain ip t lookup
        add chain ip t refusals
        add chain ip t prerouting { type nat hook prerouting priority dstnat; }
        add chain ip t output { type nat hook output priority -100; }
        add chain ip t filter-input { type filter hook input priority filter; }
        add chain ip t filter-forward { type filter hook forward priority filter; }
        add chain ip t filter-output { type filter hook output priority filter; }
        add chain ip t postrouting { type nat hook postrouting priority srcnat; }
        add rule ip t refuse reject
        add rule ip t lookup meta l4proto . ip daddr . th dport vmap @services
        add rule ip t lookup fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @nodeports
        add rule ip t refusals meta l4proto . ip daddr . th dport vmap @refused
        add rule ip t refusals fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @refused-nodeports
        add rule ip t prerouting jump lookup
        add rule ip t output jump lookup
        add rule ip t filter-input ct state new jump refusals
        add rule ip t filter-forward ct state new jump refusals
        add rule ip t filter-output ct state new jump refusals
        add rule ip t postrouting meta mark and 0x4000 == 0x4000 meta mark set meta mark xor 0x4000 masquerade fully-random
        add rule ip t postrouting ct status dnat ip saddr . ip daddr @hairpin masquerade
    "#]].assert_eq(&Ruleset::default().full(&settings()));
}
