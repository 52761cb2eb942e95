//! Proves which slices come, change and go, case by case, and that a second look changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Pod, PodCondition, PodIP, PodSpec, PodStatus, Service, ServicePort,
    ServiceSpec,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ObjectMeta;

use super::{Plan, Snapshot, plan};

fn service() -> Service {
    Service {
        metadata: ObjectMeta {
            name: Some("s".into()),
            namespace: Some("ns".into()),
            uid: Some("s-uid".into()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some("10.0.0.9".into()),
            ip_families: Some(vec!["IPv4".into()]),
            ports: Some(vec![ServicePort {
                port: 80,
                target_port: Some(IntOrString::String("web".into())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn pod(number: usize, port: i32) -> Pod {
    let (name, node) = (format!("p{number}"), "n1");
    Pod {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some("ns".into()),
            uid: Some(name),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: Some(node.into()),
            containers: vec![Container {
                ports: Some(vec![ContainerPort {
                    name: Some("web".into()),
                    container_port: port,
                    ..ContainerPort::default()
                }]),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
        status: Some(PodStatus {
            phase: Some("Running".into()),
            pod_ips: Some(vec![PodIP {
                ip: format!("10.1.{}.{}", number / 250, number % 250),
            }]),
            conditions: Some(vec![PodCondition {
                type_: "Ready".into(),
                status: "True".into(),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        }),
    }
}

struct World {
    service: Service,
    pods: Vec<Pod>,
    slices: Vec<EndpointSlice>,
    names: usize,
}

impl World {
    fn new(pods: Vec<Pod>) -> Self {
        Self {
            service: service(),
            pods,
            slices: Vec::new(),
            names: 0,
        }
    }

    fn plan(&self) -> Plan {
        plan(&Snapshot {
            service: Arc::new(self.service.clone()),
            pods: self.pods.iter().cloned().map(Arc::new).collect(),
            zones: BTreeMap::from([("n1".to_owned(), Some("z1".to_owned()))]),
            slices: self.slices.iter().cloned().map(Arc::new).collect(),
        })
    }

    /// Carries the plan out and tells what it did: created, updated, deleted.
    fn step(&mut self) -> (usize, usize, usize) {
        let plan = self.plan();
        let counts = (plan.create.len(), plan.update.len(), plan.delete.len());
        for mut slice in plan.create {
            self.names += 1;
            slice.metadata.name = Some(format!("s-{}", self.names));
            self.slices.push(slice);
        }
        for new in plan.update {
            let old = self
                .slices
                .iter_mut()
                .find(|s| s.metadata.name == new.metadata.name);
            *old.unwrap() = new;
        }
        self.slices.retain(|slice| {
            !plan
                .delete
                .iter()
                .any(|gone| gone.metadata.name == slice.metadata.name)
        });
        assert_eq!(
            self.plan(),
            Plan::default(),
            "a second look changes nothing"
        );
        counts
    }

    fn lengths(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.slices.iter().map(super::length).collect();
        all.sort_unstable();
        all
    }
}

#[test]
fn a_service_without_pods_has_one_empty_slice() {
    let mut world = World::new(Vec::new());
    assert_eq!(world.step(), (1, 0, 0));
    assert_eq!(world.lengths(), [0]);
    world.pods = vec![pod(1, 8080)];
    assert_eq!(world.step(), (0, 1, 0), "the empty slice is reused");
    let slice = &world.slices[0];
    let port = &slice.ports.as_ref().unwrap()[0];
    assert_eq!((port.port, port.name.as_deref()), (Some(8080), Some("")));
    let endpoint = &slice.endpoints.as_ref().unwrap()[0];
    assert_eq!(endpoint.zone.as_deref(), Some("z1"));
    assert_eq!(endpoint.conditions.as_ref().unwrap().ready, Some(true));
    world.pods.clear();
    assert_eq!(world.step(), (0, 1, 0));
    assert_eq!(world.lengths(), [0]);
}

#[test]
fn slices_hold_a_hundred_and_change_little() {
    let mut world = World::new((0..250).map(|n| pod(n, 8080)).collect());
    assert_eq!(world.step(), (3, 0, 0));
    assert_eq!(world.lengths(), [50, 100, 100]);
    world.pods.push(pod(250, 8080));
    assert_eq!(world.step(), (0, 1, 0));
    assert_eq!(world.lengths(), [51, 100, 100]);
    world.pods.remove(0);
    world.pods.push(pod(251, 8080));
    assert_eq!(world.step(), (0, 1, 0), "the newcomer takes the free place");
    world.pods.clear();
    assert_eq!(world.step(), (0, 1, 2));
}

#[test]
fn states_show_and_do_not_move_endpoints() {
    let mut world = World::new(vec![pod(1, 80), pod(2, 80)]);
    world.step();
    let conditions = |world: &World, place: usize| {
        let endpoint = &world.slices[0].endpoints.as_ref().unwrap()[place];
        let conditions = endpoint.conditions.clone().unwrap();
        (
            conditions.ready.unwrap(),
            conditions.serving.unwrap(),
            conditions.terminating.unwrap(),
        )
    };
    world.pods[0].metadata.deletion_timestamp = Some(client::times::now());
    assert_eq!(world.step(), (0, 1, 0));
    assert_eq!(conditions(&world, 0), (false, true, true));
    world.pods[1].status.as_mut().unwrap().conditions = None;
    world.step();
    assert_eq!(conditions(&world, 1), (false, false, false));
    world
        .service
        .spec
        .as_mut()
        .unwrap()
        .publish_not_ready_addresses = Some(true);
    world.step();
    assert_eq!(conditions(&world, 1), (true, false, false));
    world.pods[0].status.as_mut().unwrap().phase = Some("Succeeded".into());
    world.step();
    assert_eq!(world.lengths(), [1]);
}

#[test]
fn different_ports_and_families_have_their_own_slices() {
    let mut world = World::new(vec![pod(1, 80), pod(2, 81)]);
    assert_eq!(world.step(), (2, 0, 0));
    world.service.spec.as_mut().unwrap().ip_families = Some(vec!["IPv6".into()]);
    let (created, updated, deleted) = world.step();
    assert_eq!((created, updated, deleted), (1, 0, 2));
    assert_eq!(world.slices[0].address_type, "IPv6");
}

#[test]
fn labels_follow_the_service() {
    let mut world = World::new(vec![pod(1, 80)]);
    world.step();
    let labels = [("a", "b"), ("kubernetes.io/service-name", "other")];
    world.service.metadata.labels = Some(
        labels
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
    );
    assert_eq!(world.step(), (0, 1, 0));
    let labels = world.slices[0].metadata.labels.as_ref().unwrap();
    assert_eq!(
        (
            labels["a"].as_str(),
            labels["kubernetes.io/service-name"].as_str()
        ),
        ("b", "s")
    );
    world.service.spec.as_mut().unwrap().cluster_ip = Some("None".into());
    world.step();
    assert!(
        world.slices[0]
            .metadata
            .labels
            .as_ref()
            .unwrap()
            .contains_key("service.kubernetes.io/headless")
    );
}

#[test]
fn traffic_distribution_becomes_hints() {
    let mut world = World::new(vec![pod(1, 80)]);
    world.service.spec.as_mut().unwrap().traffic_distribution = Some("PreferSameNode".into());
    world.step();
    let hints = world.slices[0].endpoints.as_ref().unwrap()[0]
        .hints
        .clone()
        .unwrap();
    assert_eq!(hints.for_zones.unwrap()[0].name, "z1");
    assert_eq!(hints.for_nodes.unwrap()[0].name, "n1");
}
