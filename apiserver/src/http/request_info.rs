//! What a request asks for, read once from its method, path and query.
//!
//! The shape of the paths is upstream's: `/api/v1/…` and `/apis/GROUP/VERSION/…` name resources,
//! everything else is a path by itself. Nothing here knows which resources exist.

use api_meta::kinds::Kind;
use http::Method;

use crate::registry::query::{Query, percent_decode};

/// A parsed request line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names a resource.
    pub is_resource: bool,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for other
    /// paths the method in lower case.
    pub verb: &'static str,
    /// The path without the query.
    pub path: String,
    /// Empty for the core group.
    pub group: String,
    /// The version in the path.
    pub version: String,
    /// Plural name.
    pub resource: String,
    /// What follows the object's name.
    pub subresource: String,
    /// What follows the subresource, for proxies.
    pub rest: String,
    /// Empty for kinds without one, and for all namespaces.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
}

impl RequestInfo {
    /// Reads a request line.
    pub fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let mut info = Self {
            path: path.to_owned(),
            verb: method_name(method),
            ..Self::default()
        };
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let rest = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                info.group = (*group).to_owned();
                info.version = (*version).to_owned();
                rest
            }
            _ => return info,
        };
        info.is_resource = true;
        let old_watch = rest.len() > 1 && rest[0] == "watch";
        let rest = if old_watch { &rest[1..] } else { rest };
        info.read_resource(rest);
        info.verb = info.resource_verb(method, query, old_watch);
        // A list of one object by its name is what rules with resource names allow.
        if matches!(info.verb, "list" | "watch" | "deletecollection")
            && info.name.is_empty()
            && let Some(name) = query
                .get("fieldSelector")
                .and_then(|text| name_selector(&text))
        {
            info.name = name;
        }
        info
    }

    /// Whether the path fits the kind's scope.
    pub fn fits(&self, kind: &Kind) -> bool {
        let is_namespaces = self.resource == "namespaces" && self.group.is_empty();
        if kind.namespaced {
            // Objects lie in namespaces; only lists reach over all of them.
            !self.namespace.is_empty() || matches!(self.verb, "list" | "watch")
        } else {
            self.namespace.is_empty() || is_namespaces
        }
    }

    /// The namespace that matters for the kind: a namespace object lies in none.
    pub fn namespace_of(&self, kind: &Kind) -> String {
        if kind.namespaced {
            self.namespace.clone()
        } else {
            String::new()
        }
    }

    fn read_resource(&mut self, parts: &[&str]) {
        let decode = |part: &str| percent_decode(part, false).into_owned();
        let parts = match parts {
            // `/namespaces/NAME/finalize` and `/namespaces/NAME/status` belong to the namespace.
            ["namespaces", name, rest @ ..] => {
                self.namespace = decode(name);
                if rest.is_empty() || matches!(rest[0], "status" | "finalize") {
                    parts
                } else {
                    rest
                }
            }
            _ => parts,
        };
        let mut parts = parts.iter();
        let mut next = || parts.next().map(|part| decode(part)).unwrap_or_default();
        self.resource = next();
        self.name = next();
        self.subresource = next();
        self.rest = parts
            .map(|part| (*part).to_owned())
            .collect::<Vec<_>>()
            .join("/");
    }

    fn resource_verb(&self, method: &Method, query: &Query, old_watch: bool) -> &'static str {
        match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if self.name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            Method::GET | Method::HEAD => {
                let watch = old_watch || query.is_true("watch");
                match (self.name.is_empty(), watch) {
                    (true, false) => "list",
                    (true, true) => "watch",
                    // The old form for one object: a watch of the collection narrowed to a name.
                    (false, _) if old_watch => "watch",
                    (false, _) => "get",
                }
            }
            _ => "",
        }
    }
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}

/// The name in a field selector that asks for exactly one.
fn name_selector(selector: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let (field, value) = term.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (field == "metadata.name" && !value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::RequestInfo;
    use crate::registry::query::Query;

    fn parse(method: Method, uri: &str) -> RequestInfo {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        RequestInfo::parse(&method, path, &Query::parse(query))
    }

    fn short(method: Method, uri: &str) -> String {
        let i = parse(method, uri);
        format!(
            "{} {} {}/{} ns={} {} name={} sub={} rest={}",
            i.is_resource,
            i.verb,
            i.group,
            i.version,
            i.namespace,
            i.resource,
            i.name,
            i.subresource,
            i.rest
        )
    }

    fn check(request: &str, expected: &str) {
        let (method, uri) = request.split_once(' ').unwrap();
        assert_eq!(short(method.parse().unwrap(), uri), expected, "{request}");
    }

    #[test]
    fn paths_of_objects_become_requests() {
        check(
            "GET /api/v1/namespaces/a/pods/p",
            "true get /v1 ns=a pods name=p sub= rest=",
        );
        check(
            "GET /api/v1/namespaces/a/pods",
            "true list /v1 ns=a pods name= sub= rest=",
        );
        check(
            "GET /api/v1/pods?watch=1",
            "true watch /v1 ns= pods name= sub= rest=",
        );
        check(
            "GET /api/v1/pods?watch=false",
            "true list /v1 ns= pods name= sub= rest=",
        );
        check(
            "GET /api/v1/watch/namespaces/a/pods",
            "true watch /v1 ns=a pods name= sub= rest=",
        );
        check(
            "GET /api/v1/namespaces/a",
            "true get /v1 ns=a namespaces name=a sub= rest=",
        );
        check(
            "PUT /api/v1/namespaces/a/finalize",
            "true update /v1 ns=a namespaces name=a sub=finalize rest=",
        );
        check(
            "PATCH /apis/apps/v1/namespaces/a/deployments/d/scale",
            "true patch apps/v1 ns=a deployments name=d sub=scale rest=",
        );
        check(
            "DELETE /api/v1/nodes",
            "true deletecollection /v1 ns= nodes name= sub= rest=",
        );
        check(
            "GET /api/v1/nodes/n/proxy/metrics/x",
            "true get /v1 ns= nodes name=n sub=proxy rest=metrics/x",
        );
        check(
            "GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            "true get rbac.authorization.k8s.io/v1 ns= clusterroles name=system:node sub= rest=",
        );
        check(
            "GET /api/v1/secrets?fieldSelector=metadata.name%3Dx",
            "true list /v1 ns= secrets name=x sub= rest=",
        );
    }

    #[test]
    fn other_paths_name_no_resource() {
        check("GET /apis", "false get / ns=  name= sub= rest=");
        check("GET /apis/apps/v1", "false get / ns=  name= sub= rest=");
        check("POST /healthz", "false post / ns=  name= sub= rest=");
    }
}
