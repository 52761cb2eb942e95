//! What a pod asks for as a whole, where it limits itself as a whole: what its containers ask for
//! together, or else the limit.

use api_meta::quantity::{self, Quantity};
use serde_json::{Map, Value};

use super::{child, made, text};

/// The resources that may be promised more often than they exist, so that their sum is a default.
const SHARED: [&str; 2] = ["cpu", "memory"];

/// Fills in the requests of a pod that has limits of its own. The containers have their defaults.
pub(super) fn requests(spec: &mut Map<String, Value>) {
    let asked: Vec<(&str, String)> = SHARED
        .iter()
        .filter_map(|name| Some((*name, of_containers(spec, name)?)))
        .collect();
    let Some(resources) = child(spec, "resources") else {
        return;
    };
    let limits = resources.get("limits").and_then(Value::as_object).cloned();
    let Some(limits) = limits.filter(|limits| !limits.is_empty()) else {
        return;
    };
    let Some(requests) = made(resources, "requests") else {
        return;
    };
    for (name, amount) in asked {
        requests
            .entry(name)
            .or_insert_with(|| Value::String(amount));
    }
    for (name, limit) in limits {
        if SHARED.contains(&name.as_str()) || name.starts_with("hugepages-") {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// What the containers ask for together: all that run at one time, or what one init container needs
/// beside the sidecars before it, whichever is more.
fn of_containers(spec: &Map<String, Value>, name: &str) -> Option<String> {
    let list = |field: &str| spec.get(field).and_then(Value::as_array);
    let mut sidecars = Sum::default();
    let mut at_start = Sum::default();
    for container in list("initContainers").into_iter().flatten() {
        let Some(asked) = asked(container, name) else {
            continue;
        };
        let is_sidecar = container
            .as_object()
            .is_some_and(|c| text(c, "restartPolicy") == "Always");
        let beside = sidecars.plus(&asked);
        if is_sidecar {
            sidecars = beside.clone();
        }
        if beside.amount > at_start.amount {
            at_start = beside;
        }
    }
    let containers = list("containers").into_iter().flatten();
    let running = containers
        .filter_map(|container| asked(container, name))
        .fold(sidecars, |sum, asked| sum.plus(&asked));
    let most = if at_start.amount > running.amount {
        at_start
    } else {
        running
    };
    most.text(name)
}

fn asked(container: &Value, name: &str) -> Option<String> {
    let amount = container.get("resources")?.get("requests")?.get(name)?;
    amount.as_str().map(str::to_owned)
}

/// A sum in thousandths, written as its first part is.
#[derive(Clone, Default)]
struct Sum {
    amount: i128,
    parts: usize,
    first: String,
}

impl Sum {
    fn plus(&self, text: &str) -> Self {
        let Ok(quantity) = text.parse::<Quantity>() else {
            return self.clone();
        };
        let first = if self.parts == 0 { text } else { &self.first };
        // Thousandths of a large amount of bytes would not fit; whole units always do.
        let amount = match i128::from(quantity.units()) {
            units if units > 1 << 40 => units * 1000,
            _ => i128::from(quantity.millis()),
        };
        Self {
            amount: self.amount + amount,
            parts: self.parts + 1,
            first: first.to_owned(),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.parts {
            0 => None,
            1 => Some(self.first.clone()),
            _ => {
                const KIBI: i128 = 1024 * 1000;
                let text = if name != "memory" {
                    format!("{}m", self.amount)
                } else if self.first.ends_with('i') && self.amount % KIBI == 0 {
                    format!("{}Ki", self.amount / KIBI)
                } else {
                    (self.amount / 1000).to_string()
                };
                quantity::written(&text, true).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn requests(mut spec: Value) -> Value {
        super::requests(spec.as_object_mut().unwrap());
        spec["resources"]["requests"].take()
    }

    #[test]
    fn a_limit_of_the_pod_is_its_request_unless_its_containers_ask() {
        let limits = json!({"cpu": "4", "memory": "1Gi", "example.com/x": "1"});
        assert_eq!(
            requests(json!({"resources": {"limits": limits}, "containers": [{}]})),
            json!({"cpu": "4", "memory": "1Gi"})
        );
        let asks = |cpu: &str, memory: &str| json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}});
        assert_eq!(
            requests(json!({
                "resources": {"limits": limits},
                "containers": [asks("500m", "128Mi"), asks("500m", "128Mi")],
                "initContainers": [asks("100m", "1Mi"), asks("3", "1Mi")],
            })),
            json!({"cpu": "3", "memory": "256Mi"})
        );
        assert_eq!(
            requests(
                json!({"resources": {"limits": limits, "requests": {"cpu": "2"}}, "containers": [asks("1", "1Gi")]})
            ),
            json!({"cpu": "2", "memory": "1Gi"})
        );
        assert_eq!(
            requests(json!({"resources": {"requests": {}}, "containers": [asks("1", "1Gi")]})),
            json!({})
        );
        assert_eq!(
            requests(json!({"containers": [asks("1", "1Gi")]})),
            Value::Null
        );
    }
}
