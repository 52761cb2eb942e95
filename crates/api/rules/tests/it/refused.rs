//! Objects that the real server refused, with each fault that it told, and a few that it took.

use api_meta::{Gvk, object};
use serde_json::Value;

const RECORDED: &str = include_str!("golden/refused.json");

#[test]
fn faults_are_told_as_by_the_real_server() {
    let pairs: Vec<(Value, Vec<String>)> = serde_json::from_str(RECORDED).unwrap();
    assert!(pairs.len() > 150);
    let mut differences = Vec::new();
    for (sent, told) in pairs {
        let gvk = Gvk::from_api_version(object::api_version(&sent), object::kind(&sent));
        let mut made = sent.clone();
        object::set(&mut made, &["metadata", "namespace"], "default".into());
        api_machinery::schema::canonicalise(&gvk, &mut made);
        api_rules::defaults::apply(&gvk, &mut made);
        api_machinery::schema::canonicalise(&gvk, &mut made);
        let found: Vec<String> = api_rules::validate::create(&gvk, &made)
            .iter()
            .map(ToString::to_string)
            .collect();
        if found != told {
            differences.push(format!("{sent}\n  ours {found:#?}\n  real {told:#?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
