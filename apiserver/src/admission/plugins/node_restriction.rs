//! Keeps a kubelet to what is its own: its Node, the pods bound to it and tokens for them, its Lease,
//! its CSINode, its ResourceSlices. Users that are no nodes pass.
//!
//! It judges the writes that authorization lets through by names alone; reads are not its business.

mod nodes;
mod pods;
mod tokens;

use std::sync::Arc;

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::Value;

use super::super::{Operation, Plugin, Request};
use super::certificate_request;
use crate::authn::UserInfo;
use crate::authn::user::{NODE_PREFIX, NODES};
use crate::authz::{Authorizer, builtin_kind};
use crate::cache::ObjectReader;

/// The namespace of the leases by which nodes show that they live.
const LEASES: &str = "kube-node-lease";
/// The signers of the certificates of kubelets.
const KUBELET_SIGNERS: [&str; 2] = [
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/kube-apiserver-client-kubelet",
];

/// See the module.
pub struct NodeRestriction {
    reader: Arc<dyn ObjectReader>,
    authorizer: Option<Arc<dyn Authorizer>>,
}

impl NodeRestriction {
    /// `reader` knows pods and nodes; `authorizer` may let a node have tokens for more audiences than
    /// its pods name.
    pub fn new(reader: Arc<dyn ObjectReader>, authorizer: Option<Arc<dyn Authorizer>>) -> Self {
        Self { reader, authorizer }
    }

    async fn judge(&self, request: &Request<'_>, node: &str) -> Result<(), Status> {
        let kind = request.kind;
        let subresource = request.subresource.unwrap_or_default();
        match (kind.group.as_str(), kind.resource.as_str(), subresource) {
            ("", "pods", "") => self.pod(request, node).await,
            ("", "pods", "status") => pods::status(request, node),
            ("", "pods", "eviction") => self.eviction(request, node).await,
            ("", "pods", other) => Err(request.forbidden(&format!(
                "unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"
            ))),
            ("", "nodes", _) => nodes::node(request, node),
            ("", "persistentvolumeclaims", "status") => nodes::claim_status(request, node),
            ("", "persistentvolumeclaims", _) => {
                Err(request.forbidden("may only update PVC status"))
            }
            ("", "serviceaccounts", "token") if request.operation == Operation::Create => {
                self.token(request, node).await
            }
            ("coordination.k8s.io", "leases", _) => lease(request, node),
            ("storage.k8s.io", "csinodes", _) if named(request) != node => Err(request
                .forbidden("can only access CSINode with the same name as the requesting node")),
            ("resource.k8s.io", "resourceslices", _) => slice(request, node),
            ("certificates.k8s.io", "certificatesigningrequests", _)
                if request.operation == Operation::Create =>
            {
                certificate(request, node)
            }
            _ => Ok(()),
        }
    }

    /// An object by its name, or that it is not there.
    async fn find(&self, resource: &str, namespace: &str, name: &str) -> Result<Value, Status> {
        let kind = builtin_kind("", "v1", resource);
        let found = match self.reader.get(kind, namespace, name) {
            Some(found) => Some(found),
            // It may have been made a moment ago through another replica.
            None => self.reader.get_consistent(kind, namespace, name).await?,
        };
        let found = found.ok_or_else(|| Status::not_found("", resource, name))?;
        found.value()
    }
}

#[async_trait]
impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        if request.operation == Operation::Connect {
            return Ok(());
        }
        match node_of(request.user) {
            None => Ok(()),
            Some("") => Err(request.forbidden(&format!(
                "could not determine node from user {:?}",
                request.user.name
            ))),
            Some(node) => self.judge(request, node).await,
        }
    }
}

/// The node that a user is. The name may be empty, and then the user is nobody's.
fn node_of(user: &UserInfo) -> Option<&str> {
    let name = user.name.strip_prefix(NODE_PREFIX)?;
    user.is_in(NODES).then_some(name)
}

/// The name that a request is for, also where the path of a new object has none.
fn named<'a>(request: &'a Request<'_>) -> &'a str {
    match (request.operation, &request.object) {
        (Operation::Create, Some(object)) => object::name(object),
        _ => request.name,
    }
}

fn lease(request: &Request<'_>, node: &str) -> Result<(), Status> {
    if request.namespace != LEASES {
        return Err(request.forbidden(&format!(
            "can only access leases in the {LEASES:?} system namespace"
        )));
    }
    if named(request) != node {
        return Err(request
            .forbidden("can only access node lease with the same name as the requesting node"));
    }
    Ok(())
}

fn slice(request: &Request<'_>, node: &str) -> Result<(), Status> {
    let (slice, verb) = match request.operation {
        Operation::Create => (&request.object, "create"),
        Operation::Delete => (&request.old, "delete"),
        Operation::Update | Operation::Connect => return Ok(()),
    };
    let of = slice
        .as_ref()
        .and_then(|slice| object::str_at(slice, &["spec", "nodeName"]));
    if of == Some(node) {
        return Ok(());
    }
    Err(request.forbidden(&format!(
        "can only {verb} ResourceSlice with the same NodeName as the requesting node"
    )))
}

fn certificate(request: &Request<'_>, node: &str) -> Result<(), Status> {
    let Some(asked) = &request.object else {
        return Ok(());
    };
    if !KUBELET_SIGNERS.contains(&certificate_request::signer(asked)) {
        return Ok(());
    }
    let subject = certificate_request::subject(asked)
        .map_err(|why| request.forbidden(&format!("unable to parse csr: {why}")))?;
    if subject.name != format!("{NODE_PREFIX}{node}") {
        return Err(request.forbidden(&format!(
            "can only create a node CSR with CN={NODE_PREFIX}{node}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
