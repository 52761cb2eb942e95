//! Which level a request belongs to. Goes by the user and by what is asked for, before anyone knows
//! whether it is allowed; never by a header that a client could set. Pure.

use crate::authn::UserInfo;
use crate::authn::user::{ALL_SERVICE_ACCOUNTS, MASTERS, NODES};

/// How the user names of the control plane's programs begin.
const COMPONENT_PREFIX: &str = "system:kube-";
/// The one of them that is called otherwise.
const CLOUD_CONTROLLERS: &str = "system:cloud-controller-manager";
/// Where the control plane's own service accounts are.
const SYSTEM_NAMESPACE: &str = "kube-system";

/// What a request is, for the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It reads and ends soon.
    Read,
    /// It changes something.
    Write,
    /// It is a watch, a log, a shell: it lives as long as its client wants.
    Stream,
}

/// A request, as far as the limits look at it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Who asks.
    pub user: &'a UserInfo,
    /// How heavy it is.
    pub load: Load,
    /// The verb.
    pub verb: &'a str,
    /// The API group; empty for the core group and for paths that are no resources.
    pub group: &'a str,
    /// The plural name of the resource; empty for other paths.
    pub resource: &'a str,
    /// What lies below the object, or empty.
    pub subresource: &'a str,
    /// The URL path.
    pub path: &'a str,
}

/// Whose places a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nobody's: an overloaded server can still be repaired and judged.
    Exempt,
    /// Leases by which the control plane elects its leaders.
    LeaderElection,
    /// Heartbeats of nodes.
    NodeHigh,
    /// What kubelets ask for besides.
    System,
    /// What the control plane asks for besides.
    WorkloadHigh,
    /// Everything else.
    Workload,
}

impl Level {
    /// The level of a request.
    pub fn of(asked: &Asked<'_>) -> Self {
        let Asked { user, .. } = asked;
        if user.is_in(MASTERS) || is_probe(asked) || asked.load == Load::Stream {
            return Self::Exempt;
        }
        let is_lease = asked.group == "coordination.k8s.io" && asked.resource == "leases";
        let is_component = is_component(user);
        if is_component && is_lease && matches!(asked.verb, "get" | "create" | "update" | "patch") {
            return Self::LeaderElection;
        }
        if user.is_in(NODES) {
            let is_node = asked.group.is_empty()
                && asked.resource == "nodes"
                && matches!(asked.subresource, "" | "status");
            return if is_node || is_lease {
                Self::NodeHigh
            } else {
                Self::System
            };
        }
        if is_component {
            Self::WorkloadHigh
        } else {
            Self::Workload
        }
    }
}

/// Whether the user is a program of the control plane or a controller in its namespace.
fn is_component(user: &UserInfo) -> bool {
    let in_system = |group: &String| {
        group
            .strip_prefix(ALL_SERVICE_ACCOUNTS)
            .and_then(|rest| rest.strip_prefix(':'))
            == Some(SYSTEM_NAMESPACE)
    };
    user.name.starts_with(COMPONENT_PREFIX)
        || user.name == CLOUD_CONTROLLERS
        || user.groups.iter().any(in_system)
}

/// Whether it asks how the server is, as upstream's flow schema names the paths.
fn is_probe(asked: &Asked<'_>) -> bool {
    asked.verb == "get" && matches!(asked.path, "/healthz" | "/readyz" | "/livez")
}

#[cfg(test)]
mod tests {
    use super::{Asked, Level, Load};
    use crate::authn::UserInfo;
    use crate::authn::user::{MASTERS, NODES};

    fn user(name: &str, group: &str) -> UserInfo {
        UserInfo {
            name: name.to_owned(),
            groups: vec![group.to_owned()],
            ..UserInfo::default()
        }
    }

    const LEASES: [&str; 3] = ["coordination.k8s.io", "leases", ""];
    const NODES_OF_CORE: [&str; 3] = ["", "nodes", ""];

    fn level(user: &UserInfo, verb: &str, [group, resource, subresource]: [&str; 3]) -> Level {
        Level::of(&Asked {
            user,
            load: Load::Read,
            verb,
            group,
            resource,
            subresource,
            path: "/apis",
        })
    }

    fn level_of_path(user: &UserInfo, verb: &str, path: &str) -> Level {
        Level::of(&Asked {
            user,
            load: Load::Read,
            verb,
            group: "",
            resource: "",
            subresource: "",
            path,
        })
    }

    #[test]
    fn the_control_plane_renews_its_leases_by_itself() {
        let components = [
            user("system:kube-scheduler", "system:authenticated"),
            user("system:cloud-controller-manager", "system:authenticated"),
            UserInfo::service_account("kube-system", "job-controller", "u"),
        ];
        for one in &components {
            assert_eq!(level(one, "update", LEASES), Level::LeaderElection);
            assert_eq!(level(one, "list", LEASES), Level::WorkloadHigh);
            let binding = ["", "pods", "binding"];
            assert_eq!(level(one, "create", binding), Level::WorkloadHigh);
        }
    }

    #[test]
    fn heartbeats_of_nodes_come_before_their_other_requests() {
        let kubelet = user("system:node:a", NODES);
        assert_eq!(level(&kubelet, "update", LEASES), Level::NodeHigh);
        assert_eq!(level(&kubelet, "get", NODES_OF_CORE), Level::NodeHigh);
        let status = ["", "nodes", "status"];
        assert_eq!(level(&kubelet, "patch", status), Level::NodeHigh);
        let pods = ["", "pods", "status"];
        assert_eq!(level(&kubelet, "patch", pods), Level::System);
    }

    #[test]
    fn others_are_workloads_whatever_they_ask_for() {
        let others = [
            // Only a similar name.
            UserInfo::service_account("kube-systems", "x", "u"),
            user("kube-scheduler", "people"),
        ];
        for one in &others {
            assert_eq!(level(one, "update", LEASES), Level::Workload);
            assert_eq!(level(one, "patch", NODES_OF_CORE), Level::Workload);
        }
    }

    #[test]
    fn masters_probes_and_streams_are_exempt() {
        let admin = user("admin", MASTERS);
        assert_eq!(level(&admin, "create", NODES_OF_CORE), Level::Exempt);
        let anyone = UserInfo::anonymous();
        assert_eq!(level_of_path(&anyone, "get", "/readyz"), Level::Exempt);
        assert_eq!(level_of_path(&anyone, "post", "/readyz"), Level::Workload);
        assert_eq!(level_of_path(&anyone, "get", "/readyz/a"), Level::Workload);
        let watch = Asked {
            user: &anyone,
            load: Load::Stream,
            verb: "watch",
            group: "",
            resource: "pods",
            subresource: "",
            path: "/api/v1/pods",
        };
        assert_eq!(Level::of(&watch), Level::Exempt);
    }
}
