//! Changes of stored objects that the real server refused or took, with each fault that it told.

use api_meta::{Gvk, object};
use serde_json::Value;

const RECORDED: &str = include_str!("golden/changed.json");

#[test]
fn changes_are_judged_as_by_the_real_server() {
    let triples: Vec<(Value, Value, Vec<String>)> = serde_json::from_str(RECORDED).unwrap();
    assert!(triples.len() > 50);
    let mut differences = Vec::new();
    for (old, sent, told) in triples {
        let gvk = Gvk::from_api_version(object::api_version(&sent), object::kind(&sent));
        let mut new = sent.clone();
        api_machinery::schema::canonicalise(&gvk, &mut new);
        api_rules::defaults::apply(&gvk, &mut new);
        api_machinery::schema::canonicalise(&gvk, &mut new);
        let found = api_rules::validate::update(&gvk, &new, &old);
        let found = comparable(found.iter().map(ToString::to_string));
        let told = comparable(told.into_iter());
        if found != told {
            differences.push(format!("{sent}\n  ours {found:#?}\n  real {told:#?}"));
        }
        let same = api_rules::validate::update(&gvk, &old, &old);
        assert!(
            same.is_empty(),
            "an object as it is stored is refused: {same:?}"
        );
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// Upstream checks some things twice, and shows two values in the form of its own types.
fn comparable(faults: impl Iterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for fault in faults {
        let mut fault = fault.split('\n').next().unwrap_or_default().to_owned();
        if fault.starts_with("spec.template: Invalid value: ") {
            fault = "spec.template".to_owned();
        }
        if !kept.contains(&fault) {
            kept.push(fault);
        }
    }
    kept
}
