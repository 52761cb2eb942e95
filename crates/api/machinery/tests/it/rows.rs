//! Rows of Tables as the real server made them of the same objects. Ages move on, so what is an age
//! is compared as such.

use api_machinery::table::rows;
use api_meta::{Kinds, object};
use serde_json::Value;

const RECORDED: &str = include_str!("golden/rows.json");

#[test]
fn rows_are_those_of_the_real_server() {
    let pairs: Vec<(Value, Vec<Value>)> = serde_json::from_str(RECORDED).unwrap();
    assert!(pairs.len() > 50);
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let mut differences = Vec::new();
    for (object, expected) in pairs {
        let (group, version) = api_meta::gvk::split_api_version(object::api_version(&object));
        let kind = Kinds::builtin()
            .by_kind(group, version, object::kind(&object))
            .unwrap();
        let found = rows::cells(&kind.group, &kind.resource, &object, now);
        let same = found.len() == expected.len()
            && found
                .iter()
                .zip(&expected)
                .all(|(one, other)| ageless(one) == ageless(other));
        if !same {
            let name = object::name(&object);
            let (ours, real) = (Value::from(found), Value::from(expected));
            differences.push(format!(
                "{} {name}\n  ours {ours}\n  real {real}",
                kind.kind
            ));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// The cell with `AGE` in place of a duration such as `5m3s`, alone or before ` ago`.
fn ageless(cell: &Value) -> Value {
    let Some(text) = cell.as_str() else {
        return cell.clone();
    };
    let is_age = |word: &str| {
        word.ends_with(['s', 'm', 'h', 'd', 'y'])
            && word.starts_with(|c: char| c.is_ascii_digit())
            && word
                .chars()
                .all(|c| c.is_ascii_digit() || "smhdy".contains(c))
    };
    let words = text.split(' ').map(|word| {
        let bare = word.trim_start_matches('(');
        if is_age(bare) {
            word.replace(bare, "AGE")
        } else {
            word.to_owned()
        }
    });
    words.collect::<Vec<_>>().join(" ").into()
}
