//! Tolerations of two sides as one list, without those that another one covers.

use serde_json::Value;

/// The first side's come first; of two that are alike the first is kept.
pub(super) fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (place, one) in all.iter().enumerate() {
        let is_covered = merged.iter().any(|kept| covers(kept, one));
        let will_be = all
            .iter()
            .skip(place + 1)
            .any(|later| later != one && covers(later, one));
        if !is_covered && !will_be {
            merged.push((*one).clone());
        }
    }
    merged
}

/// Whether one toleration bears all that the other bears.
fn covers(wider: &Value, one: &Value) -> bool {
    if wider == one {
        return true;
    }
    let text = |value: &'static str| {
        move |toleration: &'_ Value| {
            let text = toleration.get(value).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        }
    };
    let (key, operator, effect) = (text("key"), text("operator"), text("effect"));
    let bears_all_keys = key(wider).is_empty() && operator(wider) == "Exists";
    if key(wider) != key(one) && !bears_all_keys {
        return false;
    }
    if effect(wider) != effect(one) && !effect(wider).is_empty() {
        return false;
    }
    let seconds = |toleration: &Value| toleration.get("tolerationSeconds").and_then(Value::as_i64);
    if effect(wider) == "NoExecute"
        && let Some(most) = seconds(wider)
        && seconds(one).is_none_or(|seconds| seconds > most)
    {
        return false;
    }
    match operator(wider).as_str() {
        "Equal" | "" => {
            let value = text("value");
            operator(one) == "Equal" && value(wider) == value(one)
        }
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::merge;

    #[test]
    fn what_another_covers_is_left_out() {
        let exact = json!({"key": "a", "operator": "Equal", "value": "x", "effect": "NoSchedule"});
        let any = json!({"key": "a", "operator": "Exists"});
        let all = json!({"operator": "Exists"});
        let short = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let long = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9});
        let check = |first: Value, second: Value, expected: Value| {
            let merged = merge(first.as_array().unwrap(), second.as_array().unwrap());
            assert_eq!(json!(merged), expected);
        };
        check(json!([exact]), json!([any]), json!([any]));
        check(json!([any]), json!([exact]), json!([any]));
        check(json!([exact]), json!([exact]), json!([exact]));
        check(json!([exact, any]), json!([all]), json!([all]));
        check(json!([short]), json!([long]), json!([long]));
        check(json!([long]), json!([short]), json!([long]));
        let other = json!({"key": "b", "operator": "Exists"});
        check(json!([any]), json!([other]), json!([any, other]));
    }
}
