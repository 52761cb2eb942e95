//! CertificateSigningRequests: whoever asks is written down by the server, approval is given through
//! one subresource and the certificate through another, and nothing else changes once it is asked.

use api_meta::kinds::Kind;
use serde_json::{Value, json};

use crate::registry::context::RequestContext;
use crate::registry::strategy::Strategy;
use crate::registry::tree;

/// The conditions that only the approval subresource sets.
const APPROVALS: [&str; 2] = ["Approved", "Denied"];

pub(crate) struct CertificateSigningRequest;

impl Strategy for CertificateSigningRequest {
    fn prepare_create(&self, ctx: &RequestContext, _: &Kind, object: &mut Value) {
        let spec = tree::child(object, "spec");
        for field in ["username", "uid", "groups", "extra"] {
            spec.remove(field);
        }
        // A signer believes these, so they must never be what the requester wrote.
        let user = &ctx.user;
        if !user.name.is_empty() {
            spec.insert("username".into(), user.name.clone().into());
        }
        if !user.uid.is_empty() {
            spec.insert("uid".into(), user.uid.clone().into());
        }
        if !user.groups.is_empty() {
            spec.insert("groups".into(), user.groups.clone().into());
        }
        if !user.extra.is_empty() {
            spec.insert("extra".into(), json!(user.extra));
        }
        if let Value::Object(map) = object {
            map.insert("status".into(), json!({}));
        }
    }

    fn prepare_update(&self, _: &RequestContext, new: &mut Value, old: &Value) {
        tree::copy_top(new, old, "spec");
        tree::copy_top(new, old, "status");
    }

    fn prepare_status(&self, new: &mut Value, old: &Value) {
        let mut conditions = tree::array(new, "/status/conditions").to_vec();
        for kind in APPROVALS {
            keep(
                &mut conditions,
                tree::array(old, "/status/conditions"),
                kind,
            );
        }
        set_conditions(new, conditions, old);
    }

    fn prepare_part(&self, subresource: &str, new: &mut Value, old: &Value) {
        if subresource != "approval" {
            return;
        }
        let conditions = tree::array(new, "/status/conditions").to_vec();
        tree::copy_top(new, old, "spec");
        tree::copy_top(new, old, "status");
        set_conditions(new, conditions, old);
    }
}

/// Puts the old conditions of a type in the places of the new ones. Where their number differs they
/// are left for validation to refuse.
fn keep(conditions: &mut [Value], old: &[Value], kind: &str) {
    let is_one = |condition: &&Value| tree::text(condition, "/type") == kind;
    if conditions.iter().filter(is_one).count() != old.iter().filter(is_one).count() {
        return;
    }
    let places = conditions
        .iter_mut()
        .filter(|condition| tree::text(condition, "/type") == kind);
    for (place, before) in places.zip(old.iter().filter(is_one)) {
        *place = before.clone();
    }
}

/// Sets the conditions, and the times that they lack.
fn set_conditions(new: &mut Value, mut conditions: Vec<Value>, old: &Value) {
    let now = tree::now();
    let before = tree::array(old, "/status/conditions");
    for condition in &mut conditions {
        let same = before.iter().find(|one| {
            ["/type", "/status"]
                .iter()
                .all(|field| tree::text(one, field) == tree::text(condition, field))
                && !tree::text(one, "/lastTransitionTime").is_empty()
        });
        let since = same.map_or(now.as_str(), |one| tree::text(one, "/lastTransitionTime"));
        let Value::Object(condition) = condition else {
            continue;
        };
        for (field, time) in [
            ("lastUpdateTime", now.as_str()),
            ("lastTransitionTime", since),
        ] {
            if condition.get(field).is_none_or(Value::is_null) {
                condition.insert(field.to_owned(), time.into());
            }
        }
    }
    if conditions.is_empty() {
        // A request that nobody decided on has no list, rather than an empty one.
        if let Some(Value::Object(status)) = new.get_mut("status") {
            status.remove("conditions");
        }
        return;
    }
    tree::child(new, "status").insert("conditions".into(), conditions.into());
}

#[cfg(test)]
mod tests {
    use api_meta::Kinds;
    use serde_json::{Value, json};

    use super::{CertificateSigningRequest, Strategy};
    use crate::authn::UserInfo;
    use crate::registry::RequestContext;

    const THEN: &str = "2024-01-01T00:00:00Z";

    fn decided(kind: &str) -> Value {
        json!({"type": kind, "status": "True", "lastUpdateTime": THEN, "lastTransitionTime": THEN})
    }

    #[test]
    fn the_server_says_who_asks() {
        let kind = Kinds::builtin()
            .by_resource("certificates.k8s.io", "v1", "certificatesigningrequests")
            .unwrap();
        let ctx = RequestContext::of(UserInfo {
            name: "bob".into(),
            groups: vec!["people".into()],
            ..UserInfo::default()
        });
        let mut request = json!({"spec": {"request": "x", "username": "system:admin", "uid": "1",
            "groups": ["system:masters"], "extra": {"a": ["b"]}}, "status": {"conditions": [decided("Approved")]}});
        CertificateSigningRequest.prepare_create(&ctx, kind, &mut request);
        assert_eq!(
            request,
            json!({"spec": {"request": "x", "username": "bob", "groups": ["people"]}, "status": {}})
        );
    }

    #[test]
    fn a_signer_keeps_the_approval() {
        let old = json!({"status": {"conditions": [decided("Approved")]}});
        let sent = json!({"type": "Approved", "status": "True", "reason": "forged"});
        let mut new = json!({"status": {"certificate": "x", "conditions": [sent, {"type": "Failed", "status": "True"}]}});
        CertificateSigningRequest.prepare_status(&mut new, &old);
        assert_eq!(new["status"]["certificate"], "x");
        assert_eq!(new["status"]["conditions"][0], decided("Approved"));
        assert!(new["status"]["conditions"][1]["lastUpdateTime"].is_string());
    }

    #[test]
    fn an_approval_changes_the_conditions_only() {
        let old = json!({"spec": {"request": "x"}, "status": {"certificate": "x"}});
        let mut new = json!({"spec": {"request": "y"}, "status": {"certificate": "y",
            "conditions": [{"type": "Approved", "status": "True"}]}});
        CertificateSigningRequest.prepare_part("approval", &mut new, &old);
        let condition = &new["status"]["conditions"][0];
        assert!(condition["lastTransitionTime"].is_string());
        assert_eq!(
            (&new["spec"]["request"], &new["status"]["certificate"]),
            (&json!("x"), &json!("x"))
        );
        let mut plain = json!({"spec": {"request": "y"}, "status": {}});
        CertificateSigningRequest.prepare_update(&RequestContext::default(), &mut plain, &old);
        assert_eq!(plain, old);
    }
}
