//! Objects in the real server's protobuf and in its JSON: decoding the one gives the other.

use api_machinery::{protobuf, schema};
use base64::Engine as _;
use serde_json::Value;

const RECORDED: &str = include_str!("golden/protobuf.json");

#[test]
fn both_forms_of_an_object_are_one() {
    let pairs: Vec<(String, Value)> = serde_json::from_str(RECORDED).unwrap();
    assert!(pairs.len() > 50);
    let mut differences = Vec::new();
    for (encoded, expected) in pairs {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .unwrap();
        let (gvk, mut found) = protobuf::decode(&bytes).unwrap();
        schema::canonicalise(&gvk, &mut found);
        if found != expected {
            differences.push(format!("made     {found}\nanswered {expected}\n"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
