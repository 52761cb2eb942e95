//! Gives every active namespace its `default` service account. It never touches one that exists.

use std::sync::Arc;

use async_trait::async_trait;
use client::store::Key;
use client::{Client, Queue, Store};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;

use crate::act;
use crate::driver::{After, Builder, Part, Reconciler, all_of};
use crate::error::{Result, is_already_exists, is_namespace_terminating, is_not_found};

const NAME: &str = "default";

struct Controller {
    client: Client,
    namespaces: Store<Namespace>,
    accounts: Store<ServiceAccount>,
}

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let queue = Queue::new();
    let wake = queue.clone();
    let namespaces = builder.informers.namespaces();
    // Keys are namespaces, whatever woke the controller.
    namespaces.add_handler(move |delta| wake.add(Key::of(delta.object().as_ref())));
    let namespaces = namespaces.store();
    let wake = queue.clone();
    let accounts = builder.informers.service_accounts();
    accounts.add_handler(move |delta| {
        if delta.is_deleted() {
            wake.add(Key::new(
                "",
                delta
                    .object()
                    .metadata
                    .namespace
                    .clone()
                    .unwrap_or_default(),
            ));
        }
    });
    let accounts = accounts.store();
    builder.part(Part {
        name: "serviceaccount-controller",
        queue,
        workers: 2,
        all: all_of(&namespaces),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            namespaces,
            accounts,
        }),
    });
}

/// Whether the namespace lacks the account.
fn plan(namespace: &Namespace, account: Option<&ServiceAccount>) -> bool {
    let phase = namespace
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    account.is_none() && phase == Some("Active")
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(namespace) = self.namespaces.get("", &key.name) else {
            return Ok(After::Done);
        };
        if !plan(&namespace, self.accounts.get(&key.name, NAME).as_deref()) {
            return Ok(After::Done);
        }
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(NAME.to_owned());
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.name);
        match api.create(&act::write(), &account).await {
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
    use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus, ServiceAccount};

    use super::plan;

    #[test]
    fn only_active_namespaces_without_the_account_get_it() {
        let namespace = |phase: &str| Namespace {
            status: Some(NamespaceStatus {
                phase: Some(phase.into()),
                conditions: None,
            }),
            ..Namespace::default()
        };
        assert!(plan(&namespace("Active"), None));
        assert!(!plan(
            &namespace("Active"),
            Some(&ServiceAccount::default())
        ));
        assert!(!plan(&namespace("Terminating"), None));
        assert!(!plan(&Namespace::default(), None));
    }
}
