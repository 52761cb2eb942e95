//! Turns the name of a PriorityClass into a pod's priority and preemption policy, and allows one
//! default class only.

use std::sync::Arc;

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::super::{Operation, Plugin, Request};
use crate::authz::builtin_kind;
use crate::cache::ObjectReader;

const GROUP: &str = "scheduling.k8s.io";
const RESOURCE: &str = "priorityclasses";

/// See the module.
pub struct Priority {
    reader: Arc<dyn ObjectReader>,
}

struct Class {
    name: String,
    value: i64,
    policy: Option<String>,
    is_default: bool,
}

impl Class {
    fn of(class: &Value) -> Self {
        Self {
            name: object::name(class).to_owned(),
            value: object::i64_at(class, &["value"]).unwrap_or_default(),
            policy: object::str_at(class, &["preemptionPolicy"]).map(str::to_owned),
            is_default: object::bool_at(class, &["globalDefault"]),
        }
    }
}

impl Priority {
    /// `reader` knows the classes.
    pub fn new(reader: Arc<dyn ObjectReader>) -> Self {
        Self { reader }
    }

    /// The default class; of several, which only a race can make, the one with the lowest value.
    fn default_class(&self) -> Result<Option<Class>, Status> {
        let mut found: Option<Class> = None;
        for object in self.reader.list(builtin_kind(GROUP, "v1", RESOURCE), None) {
            let class = Class::of(&object.value()?);
            if class.is_default && found.as_ref().is_none_or(|best| class.value < best.value) {
                found = Some(class);
            }
        }
        Ok(found)
    }

    async fn resolve(&self, request: &Request<'_>, name: &str) -> Result<Class, Status> {
        if name.is_empty() {
            let none = Class {
                name: String::new(),
                value: 0,
                policy: Some("PreemptLowerPriority".to_owned()),
                is_default: false,
            };
            return Ok(self.default_class()?.unwrap_or(none));
        }
        let kind = builtin_kind(GROUP, "v1", RESOURCE);
        let found = match self.reader.get(kind, "", name) {
            Some(found) => Some(found),
            // Upstream refuses at once; a class made through another replica deserves a look.
            None => self.reader.get_consistent(kind, "", name).await?,
        };
        match found {
            Some(object) => Ok(Class::of(&object.value()?)),
            None => Err(request.forbidden(&format!("no PriorityClass with name {name} was found"))),
        }
    }

    async fn create_pod(&self, request: &mut Request<'_>) -> Result<(), Status> {
        let Some(pod) = &request.object else {
            return Ok(());
        };
        let asked_class = object::str_at(pod, &["spec", "priorityClassName"])
            .unwrap_or_default()
            .to_owned();
        let asked_value = object::i64_at(pod, &["spec", "priority"]);
        let asked_policy = object::str_at(pod, &["spec", "preemptionPolicy"]).map(str::to_owned);
        let class = self.resolve(request, &asked_class).await?;
        if let Some(asked) = asked_value
            && asked != class.value
        {
            return Err(request.forbidden(&format!(
                "the integer value of priority ({asked}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
                class.value
            )));
        }
        if let (Some(asked), Some(policy)) = (&asked_policy, &class.policy)
            && asked != policy
        {
            return Err(request.forbidden(&format!(
                "the string value of PreemptionPolicy ({asked}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            )));
        }
        let Some(pod) = &mut request.object else {
            return Ok(());
        };
        if !class.name.is_empty() {
            object::set(pod, &["spec", "priorityClassName"], json!(class.name));
        }
        object::set(pod, &["spec", "priority"], json!(class.value));
        if let Some(policy) = class.policy {
            object::set(pod, &["spec", "preemptionPolicy"], json!(policy));
        }
        Ok(())
    }
}

/// What was set at creation stays, where an update leaves it out.
fn keep_on_update(request: &mut Request<'_>) {
    let (Some(pod), Some(old)) = (&mut request.object, &request.old) else {
        return;
    };
    for field in ["priority", "preemptionPolicy"] {
        let path = ["spec", field];
        if object::at(pod, &path).is_none()
            && let Some(value) = object::at(old, &path)
        {
            object::set(pod, &path, value.clone());
        }
    }
}

#[async_trait]
impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        match request.operation {
            Operation::Create => self.create_pod(request).await?,
            Operation::Update => keep_on_update(request),
            Operation::Delete | Operation::Connect => {}
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>) -> Result<(), Status> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        if !writes || !request.is_for(GROUP, RESOURCE) {
            return Ok(());
        }
        let Some(class) = request.object.as_ref().map(Class::of) else {
            return Ok(());
        };
        if !class.is_default {
            return Ok(());
        }
        match self.default_class()? {
            Some(other) if request.operation == Operation::Create || other.name != class.name => {
                Err(request.forbidden(&format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    other.name
                )))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Priority;
    use crate::admission::{Operation, Plugin, Request};
    use crate::authz::builtin_kind;
    use crate::authz::testing::{Objects, pod_request, someone};

    fn class(name: &str, value: i64, default: bool) -> Value {
        json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
            "value": value, "globalDefault": default, "preemptionPolicy": "PreemptLowerPriority",
        })
    }

    async fn admit(classes: &[Value], spec: Value) -> Result<Value, String> {
        let plugin = Priority::new(Objects::shared(classes));
        let pod = json!({"metadata": {"name": "p"}, "spec": spec});
        let mut request = pod_request(Operation::Create, pod, None);
        plugin
            .mutate(&mut request)
            .await
            .map_err(|status| status.message)?;
        Ok(request.object.unwrap()["spec"].take())
    }

    #[tokio::test]
    async fn classes_become_numbers() {
        let classes = [class("high", 1000, false), class("mid", 10, true)];
        let high = admit(&classes, json!({"priorityClassName": "high"}))
            .await
            .unwrap();
        assert_eq!(
            (&high["priority"], &high["preemptionPolicy"]),
            (&json!(1000), &json!("PreemptLowerPriority"))
        );
        let default = admit(&classes, json!({})).await.unwrap();
        assert_eq!(
            (&default["priority"], &default["priorityClassName"]),
            (&json!(10), &json!("mid"))
        );
        let none = admit(&[], json!({})).await.unwrap();
        assert_eq!(
            (&none["priority"], &none["preemptionPolicy"]),
            (&json!(0), &json!("PreemptLowerPriority"))
        );
    }

    #[tokio::test]
    async fn wrong_wishes_are_refused_in_upstreams_words() {
        let classes = [class("high", 1000, false)];
        assert_eq!(
            admit(&classes, json!({"priorityClassName": "none"}))
                .await
                .unwrap_err(),
            r#"pods "p" is forbidden: no PriorityClass with name none was found"#
        );
        assert_eq!(
            admit(
                &classes,
                json!({"priorityClassName": "high", "priority": 5})
            )
            .await
            .unwrap_err(),
            r#"pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 1000 from the given PriorityClass name"#
        );
    }

    #[tokio::test]
    async fn an_update_keeps_what_was_computed() {
        let plugin = Priority::new(Objects::shared(&[]));
        let old = json!({"spec": {"priority": 7, "preemptionPolicy": "Never"}});
        let mut request = pod_request(Operation::Update, json!({"spec": {}}), Some(old));
        plugin.mutate(&mut request).await.unwrap();
        assert_eq!(
            request.object.unwrap()["spec"],
            json!({"priority": 7, "preemptionPolicy": "Never"})
        );
    }

    #[tokio::test]
    async fn there_is_one_default_class() {
        let plugin = Priority::new(Objects::shared(&[class("mid", 10, true)]));
        let user = someone();
        let request = |operation, object| Request {
            operation,
            kind: builtin_kind("scheduling.k8s.io", "v1", "priorityclasses"),
            subresource: None,
            namespace: "",
            name: "x",
            user: &user,
            object: Some(object),
            old: None,
            dry_run: false,
        };
        let refused = plugin
            .validate(&request(Operation::Create, class("x", 1, true)))
            .await
            .unwrap_err();
        assert!(
            refused
                .message
                .contains("PriorityClass mid is already marked as default"),
            "{}",
            refused.message
        );
        plugin
            .validate(&request(Operation::Update, class("mid", 1, true)))
            .await
            .unwrap();
        plugin
            .validate(&request(Operation::Create, class("x", 1, false)))
            .await
            .unwrap();
    }
}
