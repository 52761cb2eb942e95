//! A request in the kubelet's own words: its path, its names for the options. Pure.

use api_meta::status::Status;
use serde_json::Value;

use super::super::request_info::RequestInfo;
use crate::registry::query::Query;
use crate::registry::tree;

/// The kubelet's path for the request, with the query in the kubelet's own words.
pub(super) fn kubelet_path(
    pod: &Value,
    info: &RequestInfo,
    query: &Query,
) -> Result<String, Status> {
    let (namespace, name) = (&info.namespace, &info.name);
    if info.subresource == "portforward" {
        let ports: Vec<String> = query
            .all("ports")
            .map(|port| format!("port={}", encode(port)))
            .collect();
        return Ok(format!(
            "/portForward/{namespace}/{name}?{}",
            ports.join("&")
        ));
    }
    let container = container(pod, query.str("container"))?;
    let mut words: Vec<String> = Vec::new();
    let (verb, names): (&str, &[(&str, &str)]) = match info.subresource.as_str() {
        "log" => (
            "containerLogs",
            &[
                ("follow", "follow"),
                ("previous", "previous"),
                ("timestamps", "timestamps"),
                ("sinceSeconds", "sinceSeconds"),
                ("sinceTime", "sinceTime"),
                ("tailLines", "tailLines"),
                ("limitBytes", "limitBytes"),
                ("stream", "stream"),
            ],
        ),
        "exec" => (
            "exec",
            &[
                ("stdin", "input"),
                ("stdout", "output"),
                ("stderr", "error"),
                ("tty", "tty"),
                ("command", "command"),
            ],
        ),
        _ => (
            "attach",
            &[
                ("stdin", "input"),
                ("stdout", "output"),
                ("stderr", "error"),
                ("tty", "tty"),
            ],
        ),
    };
    for (ours, theirs) in names {
        let is_switch = matches!(*theirs, "input" | "output" | "error" | "tty");
        for value in query.all(ours) {
            if is_switch {
                if query.is_true(ours) {
                    words.push(format!("{theirs}=1"));
                }
            } else if !value.is_empty() || *ours == "command" {
                words.push(format!("{theirs}={}", encode(value)));
            }
        }
    }
    Ok(format!(
        "/{verb}/{namespace}/{name}/{container}?{}",
        words.join("&")
    ))
}

/// The container that is meant: the only one, or the one that is named.
fn container(pod: &Value, named: Option<&str>) -> Result<String, Status> {
    let name = tree::name(pod);
    let names = |field: &str| -> Vec<String> {
        let list = tree::array(pod, &format!("/spec/{field}"));
        list.iter()
            .map(|container| tree::text(container, "/name").to_owned())
            .collect()
    };
    let (usual, first, added) = (
        names("containers"),
        names("initContainers"),
        names("ephemeralContainers"),
    );
    match named {
        Some(named) => {
            let is_there = [&usual, &first, &added]
                .iter()
                .any(|list| list.iter().any(|n| n == named));
            if !is_there {
                return Err(Status::bad_request(format!(
                    "container {named} is not valid for pod {name}"
                )));
            }
            Ok(named.to_owned())
        }
        None => match usual.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Status::bad_request(format!(
                "a container name must be specified for pod {name}"
            ))),
            many => {
                let mut text = format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]",
                    many.join(" ")
                );
                if !first.is_empty() {
                    text += &format!(" or one of the init containers: [{}]", first.join(" "));
                }
                Err(Status::bad_request(text))
            }
        },
    }
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}
#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use super::{RequestInfo, kubelet_path};
    use crate::registry::query::Query;

    fn path(uri: &str) -> Result<String, String> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let query = Query::parse(query);
        let info = RequestInfo::parse(&Method::GET, path, &query);
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        kubelet_path(&pod, &info, &query).map_err(|status| status.message)
    }

    #[test]
    fn requests_are_put_in_the_kubelets_words() {
        assert_eq!(
            path("/api/v1/namespaces/n/pods/p/exec?container=a&command=sh&command=-c&command=ls%20%2F&stdin=true&stdout=1&tty=false").unwrap(),
            "/exec/n/p/a?input=1&output=1&command=sh&command=-c&command=ls%20%2F"
        );
        assert_eq!(
            path("/api/v1/namespaces/n/pods/p/log?container=b&follow=true&tailLines=5").unwrap(),
            "/containerLogs/n/p/b?follow=true&tailLines=5"
        );
        assert_eq!(
            path("/api/v1/namespaces/n/pods/p/log").unwrap_err(),
            "a container name must be specified for pod p, choose one of: [a b]"
        );
        assert_eq!(
            path("/api/v1/namespaces/n/pods/p/log?container=c").unwrap_err(),
            "container c is not valid for pod p"
        );
    }
}
