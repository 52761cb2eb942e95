//! Small objects of many kinds, and what the real server made of them: decoded, defaulted, encoded.
//! What admission and the strategies of single kinds add has been taken out of the recording.

use api_meta::{Gvk, object};
use serde_json::Value;

const RECORDED: &str = include_str!("golden/created.json");

#[test]
fn objects_get_the_defaults_of_the_real_server() {
    let pairs: Vec<(Value, Value)> = serde_json::from_str(RECORDED).unwrap();
    assert!(pairs.len() > 50);
    let mut faults = Vec::new();
    for (sent, answered) in pairs {
        let gvk = Gvk::from_api_version(object::api_version(&sent), object::kind(&sent));
        let mut made = sent.clone();
        write_form(&gvk, &mut made);
        if made != answered {
            faults.push(format!(
                "sent     {sent}\nmade     {made}\nanswered {answered}\n"
            ));
        }
        let once = made.clone();
        api_rules::defaults::apply(&gvk, &mut made);
        api_machinery::schema::canonicalise(&gvk, &mut made);
        assert_eq!(made.get("spec"), once.get("spec"), "defaults applied twice");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn write_form(gvk: &Gvk, object: &mut Value) {
    api_machinery::schema::canonicalise(gvk, object);
    api_rules::defaults::apply(gvk, object);
    api_machinery::schema::canonicalise(gvk, object);
    if gvk.kind != "Node"
        && let Some(object) = object.as_object_mut()
    {
        object.remove("status");
    }
}
