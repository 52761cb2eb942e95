//! Which taints a pod tolerates.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Marks a node on which nothing new is placed.
pub const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";

/// Whether `toleration` tolerates `taint`.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    let key = toleration.key.as_deref().unwrap_or_default();
    if !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref() {
        None | Some("" | "Equal") => {
            toleration.value.as_deref().unwrap_or_default()
                == taint.value.as_deref().unwrap_or_default()
        }
        Some("Exists") => true,
        Some(_) => false,
    }
}

/// Whether one of `tolerations` tolerates `taint`.
pub fn any_tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|t| tolerates(t, taint))
}

/// Whether a taint keeps new pods away.
pub fn repels(taint: &Taint) -> bool {
    taint.effect == "NoSchedule" || taint.effect == "NoExecute"
}

/// The first of `taints` that keeps a pod with `tolerations` away.
pub fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints
        .iter()
        .find(|taint| repels(taint) && !any_tolerates(tolerations, taint))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::untolerated;

    fn check(tolerations: Value, taints: Value, want: Option<&str>) {
        let tolerations: Vec<_> = serde_json::from_value(tolerations).expect("tolerations");
        let taints: Vec<_> = serde_json::from_value(taints).expect("taints");
        assert_eq!(
            untolerated(&taints, &tolerations).map(|t| t.key.as_str()),
            want
        );
    }

    #[test]
    fn tolerations_match_by_key_operator_value_and_effect() {
        let taint = json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]);
        check(json!([]), json!([]), None);
        check(json!([]), taint.clone(), Some("k"));
        check(json!([{"key": "k", "value": "v"}]), taint.clone(), None);
        check(
            json!([{"key": "k", "value": "w"}]),
            taint.clone(),
            Some("k"),
        );
        check(
            json!([{"key": "k", "operator": "Exists"}]),
            taint.clone(),
            None,
        );
        check(json!([{"operator": "Exists"}]), taint.clone(), None);
        check(
            json!([{"key": "k", "operator": "Exists", "effect": "NoExecute"}]),
            taint,
            Some("k"),
        );
        check(
            json!([]),
            json!([{"key": "k", "effect": "PreferNoSchedule"}]),
            None,
        );
    }
}
