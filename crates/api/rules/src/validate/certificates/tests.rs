//! What may be asked for, and which door may decide on what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::validate::{create, subresource, update};

fn gvk() -> api_meta::Gvk {
    api_meta::Gvk::from_api_version("certificates.k8s.io/v1", "CertificateSigningRequest")
}

fn pem(label: &str) -> String {
    STANDARD.encode(format!(
        "-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"
    ))
}

fn request() -> Value {
    json!({"metadata": {"name": "r"}, "spec": {
        "request": pem("CERTIFICATE REQUEST"), "signerName": "example.com/s", "usages": ["client auth"]}})
}

fn with(conditions: &[(&str, &str)], certificate: Option<&str>) -> Value {
    let mut made = request();
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status)| json!({"type": kind, "status": status}))
        .collect();
    made["status"] = json!({"conditions": conditions});
    if let Some(certificate) = certificate {
        made["status"]["certificate"] = pem(certificate).into();
    }
    made
}

fn told(faults: &[api_meta::Cause]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_request_names_its_signer_and_its_usages() {
    assert_eq!(told(&create(&gvk(), &request())), [""; 0]);
    let mut bad = request();
    bad["spec"] = json!({"request": pem("CERTIFICATE"), "signerName": "nowhere",
        "usages": ["any", "magic", "any"], "expirationSeconds": 5});
    let faults = told(&create(&gvk(), &bad));
    let starts = [
        "spec.request: Invalid value: ",
        "spec.usages[1]: Unsupported value: \"magic\"",
        "spec.usages[2]: Duplicate value: \"any\"",
        "spec.signerName: Invalid value: \"nowhere\": must be a fully qualified domain",
        "spec.expirationSeconds: Invalid value: 5: may not",
    ];
    assert_eq!(faults.len(), starts.len(), "{faults:#?}");
    for (fault, start) in faults.iter().zip(starts) {
        assert!(fault.starts_with(start), "{fault}");
    }
    for (signer, is_fine) in [
        ("kubernetes.io/kube-apiserver-client", true),
        ("kubernetes.io/legacy-unknown", false),
        ("local/x", false),
        ("example.com/A", false),
        ("example.com/a/b", false),
    ] {
        let mut request = request();
        request["spec"]["signerName"] = signer.into();
        assert_eq!(create(&gvk(), &request).is_empty(), is_fine, "{signer}");
    }
}

#[test]
fn each_door_decides_on_its_own_part() {
    let (none, yes) = (with(&[], None), with(&[("Approved", "True")], None));
    let through = |door: &str, new: &Value, old: &Value| told(&subresource(&gvk(), door, new, old));
    assert_eq!(through("approval", &yes, &none), [""; 0]);
    assert_eq!(
        through("status", &yes, &none),
        ["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""]
    );
    assert_eq!(
        told(&update(&gvk(), &yes, &none)),
        ["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""]
    );
    let issued = with(&[("Approved", "True")], Some("CERTIFICATE"));
    assert_eq!(through("status", &issued, &yes), [""; 0]);
    assert_eq!(
        through("approval", &issued, &yes),
        ["status.certificate: Forbidden: updates may not set certificate content"]
    );
    assert_eq!(
        through("status", &yes, &issued),
        ["status.certificate: Forbidden: updates may not modify existing certificate content"]
    );
    let wrong = with(&[("Approved", "True")], Some("PRIVATE KEY"));
    assert_eq!(
        through("status", &wrong, &yes),
        [
            "status.certificate: Invalid value: \"<certificate data>\": only CERTIFICATE PEM blocks are allowed"
        ]
    );
}

#[test]
fn what_was_decided_stays() {
    let yes = with(&[("Approved", "True")], None);
    let through = |new: &Value| told(&subresource(&gvk(), "approval", new, &yes));
    assert_eq!(
        through(&with(&[], None)),
        ["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""]
    );
    assert_eq!(
        through(&with(&[("Approved", "True"), ("Denied", "True")], None)),
        [
            "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive"
        ]
    );
    assert_eq!(
        through(&with(&[("Approved", "False")], None)),
        ["status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\""]
    );
}
