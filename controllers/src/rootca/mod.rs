//! Keeps the ConfigMap `kube-root-ca.crt` with the cluster's CA in every active namespace, against every change.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use client::store::Key;
use client::{Client, Queue, Store};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;

use crate::act;
use crate::driver::{After, Builder, Part, Reconciler, all_of};
use crate::error::{Result, is_already_exists, is_namespace_terminating, is_not_found};

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION_KEY: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

struct Controller {
    client: Client,
    root_ca: String,
    namespaces: Store<Namespace>,
    maps: Store<ConfigMap>,
}

/// Adds the controller, if the settings name a CA.
pub(crate) fn build(builder: &mut Builder) {
    let Some(root_ca) = builder.options.root_ca.clone() else {
        tracing::warn!("root-ca-certificate-publisher-controller does not run: no --root-ca-file");
        return;
    };
    let queue = Queue::new();
    let wake = queue.clone();
    let namespaces = builder.informers.namespaces();
    namespaces.add_handler(move |delta| wake.add(Key::of(delta.object().as_ref())));
    let namespaces = namespaces.store();
    let wake = queue.clone();
    let maps = builder.informers.root_ca();
    maps.add_handler(move |delta| {
        wake.add(Key::new(
            "",
            delta
                .object()
                .metadata
                .namespace
                .clone()
                .unwrap_or_default(),
        ));
    });
    let maps = maps.store();
    builder.part(Part {
        name: "root-ca-certificate-publisher-controller",
        queue,
        workers: 2,
        all: all_of(&namespaces),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            root_ca,
            namespaces,
            maps,
        }),
    });
}

#[derive(Debug, PartialEq)]
enum Action {
    Nothing,
    Create(Box<ConfigMap>),
    Replace(Box<ConfigMap>),
}

fn plan(namespace: &Namespace, current: Option<&ConfigMap>, root_ca: &str) -> Action {
    let phase = namespace
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if phase != Some("Active") {
        return Action::Nothing;
    }
    let wanted = BTreeMap::from([("ca.crt".to_owned(), root_ca.to_owned())]);
    let mut map = current.cloned().unwrap_or_default();
    let annotations = map.metadata.annotations.get_or_insert_default();
    if current.is_some() {
        let is_described = annotations
            .get(DESCRIPTION_KEY)
            .is_some_and(|text| !text.is_empty());
        if is_described && map.data.as_ref() == Some(&wanted) {
            return Action::Nothing;
        }
    }
    annotations.insert(DESCRIPTION_KEY.to_owned(), DESCRIPTION.to_owned());
    map.data = Some(wanted);
    map.metadata.name = Some(NAME.to_owned());
    match current {
        None => Action::Create(Box::new(map)),
        Some(_) => Action::Replace(Box::new(map)),
    }
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(namespace) = self.namespaces.get("", &key.name) else {
            return Ok(After::Done);
        };
        let current = self.maps.get(&key.name, NAME);
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.name);
        let done = match plan(&namespace, current.as_deref(), &self.root_ca) {
            Action::Nothing => return Ok(After::Done),
            Action::Create(map) => api.create(&act::write(), &map).await,
            Action::Replace(map) => api.replace(NAME, &act::write(), &map).await,
        };
        match done {
            Ok(_) => Ok(After::Done),
            Err(error)
                if is_already_exists(&error)
                    || is_not_found(&error)
                    || is_namespace_terminating(&error) =>
            {
                Ok(After::Done)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace, NamespaceStatus};

    use super::{Action, plan};

    #[test]
    fn the_map_is_made_and_mended() {
        let active = Namespace {
            status: Some(NamespaceStatus {
                phase: Some("Active".into()),
                conditions: None,
            }),
            ..Namespace::default()
        };
        let Action::Create(made) = plan(&active, None, "CA") else {
            panic!("must be created")
        };
        assert_eq!(plan(&active, Some(&made), "CA"), Action::Nothing);
        let Action::Replace(mended) = plan(&active, Some(&made), "NEW") else {
            panic!("must change")
        };
        assert_eq!(mended.data.unwrap()["ca.crt"], "NEW");
        let Action::Replace(_) = plan(&active, Some(&ConfigMap::default()), "CA") else {
            panic!("must change")
        };
        assert_eq!(plan(&Namespace::default(), None, "CA"), Action::Nothing);
    }
}
