//! Strategic merge patches that the real server worked into objects, or refused.

use api_machinery::{patch, schema};
use api_meta::{Gvk, object};
use serde_json::Value;

const RECORDED: &str = include_str!("golden/patched.json");

/// The object, the patch, what became of it, and the code and words of a refusal.
type Case = (Value, Value, Option<Value>, u16, String);

#[test]
fn patches_give_what_the_real_server_gives() {
    let cases: Vec<Case> = serde_json::from_str(RECORDED).unwrap();
    assert!(cases.len() > 50);
    let mut differences = Vec::new();
    for (current, change, expected, code, words) in cases {
        let gvk = Gvk::from_api_version(object::api_version(&current), object::kind(&current));
        match (patch::strategic(&gvk, &current, &change), expected) {
            (Ok(mut found), Some(expected)) => {
                schema::canonicalise(&gvk, &mut found);
                if !agrees(&found, &expected) {
                    differences.push(format!(
                        "patch    {change}\nmade     {found}\nanswered {expected}\n"
                    ));
                }
            }
            (Err(status), None) if status.code == code && status.message == words => {}
            (found, expected) => {
                differences.push(format!(
                    "patch {change}\nours {found:?}\nreal {expected:?} {code} {words}\n"
                ));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// Whether everything that the patch engine made is in the answer, in the same order. The answer
/// also has the defaults of what was added.
fn agrees(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            found
                .iter()
                .all(|(key, value)| expected.get(key).is_some_and(|other| agrees(value, other)))
                && expected
                    .iter()
                    .all(|(key, _)| found.contains_key(key) || is_default(key))
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found
                    .iter()
                    .zip(expected)
                    .all(|(one, other)| agrees(one, other))
        }
        _ => found == expected,
    }
}

/// Fields that defaulting adds to what a patch may add.
fn is_default(field: &str) -> bool {
    const ADDED: [&str; 17] = [
        "imagePullPolicy",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "resources",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
        "apiVersion",
        "type",
        "targetPort",
        "requests",
        "dnsPolicy",
        "restartPolicy",
        "schedulerName",
        "securityContext",
        "terminationGracePeriodSeconds",
    ];
    ADDED.contains(&field)
}
