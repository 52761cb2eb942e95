//! Carries out the plans of the node lifecycle controller.

use std::sync::Arc;

use async_trait::async_trait;
use client::events::{Recorder, Type};
use client::store::Key;
use client::{Client, Store};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod};
use kube::api::Patch;
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use super::census::Census;
use super::health::Health;
use super::plan::{self, GiveUp};
use super::zones::{Zones, is_all_lost};
use crate::act;
use crate::driver::{After, Reconciler};
use crate::error::{Result, is_not_found};
use crate::informers::BY_NODE;
use crate::options::Options;
use crate::pods;

pub(super) struct Controller {
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    pub(super) options: Arc<Options>,
    pub(super) nodes: Store<Node>,
    pub(super) leases: Store<Lease>,
    pub(super) pods: Store<Pod>,
    pub(super) health: Mutex<Health>,
    pub(super) census: Arc<Mutex<Census>>,
    pub(super) zones: Mutex<Zones>,
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let name = &key.name;
        let Some(node) = self.nodes.get("", name) else {
            if self.health.lock().forget(name) {
                let text = format!("Node {name} event: Removing Node {name} from Controller");
                self.recorder
                    .about(reference(name, None), Type::Normal, "RemovingNode", text);
            }
            return Ok(After::Done);
        };
        let api: Api<Node> = Api::all(self.client.clone());
        let silence = self.listen(&node);
        let grace = self.options.node_monitor_grace;
        if let Some(lost) = plan::silenced(&node, silence, grace, Timestamp::now()) {
            api.replace_status(name, &act::write(), &lost).await?;
            let text = format!("Node {name} status is now: NodeNotReady");
            self.recorder.about(
                reference(name, node.uid()),
                Type::Normal,
                "NodeNotReady",
                text,
            );
            // What the watch brings next is the node with its new conditions.
            return Ok(After::Done);
        }
        let give_up = self.give_up(&node);
        if let Some(taints) = plan::wanted_taints(&node, give_up, Timestamp::now()) {
            let version = &node.metadata.resource_version;
            let patch = json!({
                "metadata": { "resourceVersion": version },
                "spec": { "taints": taints },
            });
            match api.patch(name, &act::patch(), &Patch::Merge(patch)).await {
                Ok(_) => {}
                Err(error) if is_not_found(&error) => return Ok(After::Done),
                Err(error) => return Err(error.into()),
            }
        }
        if plan::is_lost(&node) {
            self.mark_pods(name).await?;
        }
        Ok(After::Done)
    }
}

impl Controller {
    fn listen(&self, node: &Node) -> std::time::Duration {
        let name = node.name_any();
        let lease = self.leases.get("kube-node-lease", &name);
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|t| t.0));
        let pulse = plan::pulse(node, renewed);
        let mut health = self.health.lock();
        if !health.knows(&name) {
            let text = format!("Node {name} event: Registered Node {name} in Controller");
            self.recorder.about(
                reference(&name, node.uid()),
                Type::Normal,
                "RegisteredNode",
                text,
            );
        }
        health.silence(&name, pulse, Instant::now())
    }

    /// Asks the zone's pace, only where a node is to be given up.
    fn give_up(&self, node: &Node) -> GiveUp {
        let census = self.census.lock();
        let counts = census.zones();
        if is_all_lost(counts) {
            return GiveUp::Never;
        }
        let mut zones = self.zones.lock();
        let is_allowed =
            plan::needs_pace(node) && zones.admit(&plan::zone(node), counts, Instant::now());
        if is_allowed {
            GiveUp::Allowed
        } else {
            GiveUp::Later
        }
    }

    /// Nobody knows about the node's pods: no Service may lead to them.
    async fn mark_pods(&self, node: &str) -> Result<()> {
        for pod in self.pods.by_index(BY_NODE, node) {
            if !pods::is_ready(&pod) {
                continue;
            }
            let mut status = pod.status.clone().unwrap_or_default();
            for condition in status.conditions.iter_mut().flatten() {
                if condition.type_ == "Ready" {
                    condition.status = "False".to_owned();
                    condition.last_transition_time = Some(client::times::now());
                }
            }
            let patch = json!({
                "metadata": { "uid": pod.metadata.uid },
                "status": { "conditions": status.conditions },
            });
            let namespace = pod.namespace().unwrap_or_default();
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
            match api
                .patch_status(&pod.name_any(), &act::patch(), &Patch::Strategic(patch))
                .await
            {
                Ok(_) => {
                    let text = "Node is not ready";
                    self.recorder
                        .event(pod.as_ref(), Type::Warning, "NodeNotReady", text);
                }
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// A node as events name it.
fn reference(name: &str, uid: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(name.to_owned()),
        uid,
        ..ObjectReference::default()
    }
}
