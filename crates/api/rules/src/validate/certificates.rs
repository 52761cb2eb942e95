//! Requests for certificates: what may be asked for, who approves, and that nothing granted changes.
//!
//! Of the request itself only the frame is read; its signature is for the signer to check.

use std::collections::BTreeSet;

use api_meta::{Cause, names};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::tools::{list, number, text};

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";
const CONDITIONS: &str = "status.conditions";
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const SECONDS_MIN: i64 = 600;
const DOMAIN_BYTES_MAX: usize = 253;
/// A label, a dot and a subdomain.
const PATH_BYTES_MAX: usize = 253 + 1 + 63;
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Which door a change comes through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Plain,
    Status,
    Approval,
}

/// A new request, or one whose metadata changed.
pub(super) fn request(new: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    check(new, old, Door::Plain, faults);
}

/// A request that a signer answers.
pub(super) fn signed(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    check(new, Some(old), Door::Status, faults);
}

/// A request that is approved or denied.
pub(super) fn approved(new: &Value, old: &Value, faults: &mut Vec<Cause>) {
    check(new, Some(old), Door::Approval, faults);
}

fn check(new: &Value, old: Option<&Value>, door: Door, faults: &mut Vec<Cause>) {
    spec(faults, new, old);
    conditions(faults, new, old);
    let issued = certificate(new);
    let is_known = old.is_some_and(|old| {
        certificate(old) == issued || certificate_fault(certificate(old)).is_some()
    });
    if let Some(why) = certificate_fault(issued).filter(|_| !is_known) {
        let path = "status.certificate";
        faults.push(Cause::invalid(path, "<certificate data>", why));
    }
    if let Some(old) = old {
        changes(faults, new, old, door);
    }
}

fn spec(faults: &mut Vec<Cause>, new: &Value, old: Option<&Value>) {
    let spec = new.get("spec").unwrap_or(&Value::Null);
    let before = old.and_then(|old| old.get("spec"));
    let request = text(spec, "request");
    if !is_request(request) {
        let why = "PEM block type must be CERTIFICATE REQUEST";
        faults.push(Cause::invalid("spec.request", request, why));
    }
    let usages: Vec<&str> = usages(spec);
    if usages.is_empty() {
        faults.push(Cause::required("spec.usages", ""));
    }
    // What was let through once does not stand in the way of a later change.
    let is_bad_before =
        |is_bad: fn(&[&str]) -> bool| before.is_some_and(|b| is_bad(&self::usages(b)));
    if !is_bad_before(has_unknown) {
        for (i, usage) in usages.iter().enumerate() {
            if !USAGES.contains(usage) {
                let path = format!("spec.usages[{i}]");
                faults.push(Cause::not_supported(path, *usage, USAGES));
            }
        }
    }
    if !is_bad_before(has_twice) {
        for (i, usage) in usages.iter().enumerate() {
            if usages[..i].contains(usage) {
                faults.push(Cause::duplicate(format!("spec.usages[{i}]"), *usage));
            }
        }
    }
    let signer = text(spec, "signerName");
    let was_legacy = before.is_some_and(|before| text(before, "signerName") == LEGACY_SIGNER);
    if signer == LEGACY_SIGNER && !was_legacy {
        let why = "the legacy signerName is not allowed via this API version";
        faults.push(Cause::invalid("spec.signerName", signer, why));
    } else {
        signer_name(faults, "spec.signerName", signer);
    }
    if let Some(seconds) = number(spec, "expirationSeconds").filter(|s| *s < SECONDS_MIN) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        faults.push(Cause::invalid("spec.expirationSeconds", seconds, why));
    }
}

fn usages(spec: &Value) -> Vec<&str> {
    list(spec, "usages")
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

fn has_unknown(usages: &[&str]) -> bool {
    usages.iter().any(|usage| !USAGES.contains(usage))
}

fn has_twice(values: &[&str]) -> bool {
    values.iter().collect::<BTreeSet<_>>().len() < values.len()
}

/// Whether the first PEM block is a request.
fn is_request(encoded: &str) -> bool {
    let decoded = STANDARD.decode(encoded).unwrap_or_default();
    let pem = String::from_utf8_lossy(&decoded);
    labels(&pem).next() == Some("CERTIFICATE REQUEST")
}

/// The labels of the PEM blocks of a text.
fn labels(pem: &str) -> impl Iterator<Item = &str> {
    pem.lines().filter_map(|line| {
        let label = line.trim_end().strip_prefix("-----BEGIN ")?;
        label.strip_suffix("-----")
    })
}

/// A domain and a path, such as `example.com/signer`.
fn signer_name(faults: &mut Vec<Cause>, path: &str, name: &str) {
    if name.is_empty() {
        faults.push(Cause::required(path, ""));
        return;
    }
    let Some((domain, rest)) = name.split_once('/').filter(|(_, rest)| !rest.contains('/')) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        faults.push(Cause::invalid(path, name, why));
        return;
    };
    if domain.len() > DOMAIN_BYTES_MAX {
        faults.push(Cause::too_long(path, DOMAIN_BYTES_MAX));
    }
    part(faults, path, domain, names::dns1123_label);
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        faults.push(Cause::invalid(path, domain, why));
    }
    part(faults, path, rest, names::dns1123_subdomain);
    let most = DOMAIN_BYTES_MAX + PATH_BYTES_MAX + 1;
    if name.len() > most {
        faults.push(Cause::too_long(path, most));
    }
}

/// The faults of the first label that has any.
fn part(faults: &mut Vec<Cause>, path: &str, part: &str, check: fn(&str) -> Vec<String>) {
    let wrong = part.split('.').find(|label| !check(label).is_empty());
    for reason in wrong.map(check).unwrap_or_default() {
        let label = api_meta::cause::quoted(wrong.unwrap_or_default());
        let why = format!("validating label {label}: {reason}");
        faults.push(Cause::invalid(path, part, &why));
    }
}

fn all_conditions(request: &Value) -> &[Value] {
    request
        .get("status")
        .map_or(&[], |status| list(status, "conditions"))
}

fn types(request: &Value) -> Vec<&str> {
    let conditions = all_conditions(request).iter();
    conditions
        .map(|condition| text(condition, "type"))
        .collect()
}

fn of_type<'a>(request: &'a Value, kind: &str) -> Vec<&'a Value> {
    let conditions = all_conditions(request).iter();
    conditions.filter(|one| text(one, "type") == kind).collect()
}

fn conditions(faults: &mut Vec<Cause>, new: &Value, old: Option<&Value>) {
    let before = old.map(types).unwrap_or_default();
    let was_both = before.contains(&APPROVED) && before.contains(&DENIED);
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in all_conditions(new).iter().enumerate() {
        let path = format!("{CONDITIONS}[{i}]");
        let kind = text(condition, "type");
        if kind.is_empty() && !before.contains(&"") {
            faults.push(Cause::required(format!("{path}.type"), ""));
        }
        let allowed: &[&str] = match kind {
            APPROVED | DENIED | FAILED => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        match text(condition, "status") {
            "" => faults.push(Cause::required(format!("{path}.status"), "")),
            status if !allowed.contains(&status) => {
                faults.push(Cause::not_supported(
                    format!("{path}.status"),
                    status,
                    allowed,
                ));
            }
            _ => {}
        }
        let opposite = match kind {
            APPROVED => DENIED,
            DENIED => APPROVED,
            _ => "none",
        };
        if seen.contains(&opposite) && !was_both {
            let why = "Approved and Denied conditions are mutually exclusive";
            faults.push(Cause::invalid(CONDITIONS, kind, why));
        }
        if seen.contains(&kind) && !has_twice(&before) {
            faults.push(Cause::duplicate(format!("{path}.type"), kind));
        }
        seen.push(kind);
    }
}

fn certificate(request: &Value) -> &str {
    request
        .get("status")
        .map_or("", |status| text(status, "certificate"))
}

fn certificate_fault(encoded: &str) -> Option<&'static str> {
    if encoded.is_empty() {
        return None;
    }
    let decoded = STANDARD.decode(encoded).unwrap_or_default();
    let pem = String::from_utf8_lossy(&decoded);
    let mut blocks = 0;
    for label in labels(&pem) {
        if label != "CERTIFICATE" {
            return Some("only CERTIFICATE PEM blocks are allowed");
        }
        blocks += 1;
    }
    (blocks == 0).then_some("must contain at least one CERTIFICATE PEM block")
}

/// What was decided stays, and each door decides on its own part.
fn changes(faults: &mut Vec<Cause>, new: &Value, old: &Value, door: Door) {
    for kind in [APPROVED, DENIED, FAILED] {
        if of_type(new, kind).len() < of_type(old, kind).len() {
            let why = format!("updates may not remove a condition of type \"{kind}\"");
            faults.push(Cause::forbidden(CONDITIONS, &why));
        }
    }
    if door != Door::Approval {
        for kind in [APPROVED, DENIED] {
            let (now, before) = (of_type(new, kind), of_type(old, kind));
            let what = match now.len().cmp(&before.len()) {
                std::cmp::Ordering::Greater => "add",
                std::cmp::Ordering::Equal if now != before => "modify",
                // What is missing is told above.
                std::cmp::Ordering::Less | std::cmp::Ordering::Equal => continue,
            };
            let why = format!("updates may not {what} a condition of type \"{kind}\"");
            faults.push(Cause::forbidden(CONDITIONS, &why));
        }
    }
    if certificate(new) == certificate(old) {
        return;
    }
    let path = "status.certificate";
    if door != Door::Status {
        let why = "updates may not set certificate content";
        faults.push(Cause::forbidden(path, why));
    } else if !certificate(old).is_empty() {
        let why = "updates may not modify existing certificate content";
        faults.push(Cause::forbidden(path, why));
    }
}

#[cfg(test)]
mod tests;
