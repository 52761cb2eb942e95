//! Gives Services of type LoadBalancer their addresses, and takes them back. A finalizer keeps a Service until that is done.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use client::events::{Recorder, Type};
use client::store::Key;
use client::{Client, Delta, Queue, Store};
use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Service};
use kube::api::Patch;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::local::current;
use super::provider::Provider;
use crate::act;
use crate::driver::{After, Builder, Part, Reconciler, all_of};
use crate::error::{Error, Result, is_not_found};

const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

struct Controller {
    client: Client,
    recorder: Recorder,
    services: Store<Service>,
    provider: Arc<dyn Provider>,
}

/// Adds the controller.
pub(crate) fn build(builder: &mut Builder) {
    let recorder = builder.recorder("service-controller");
    let queue = Queue::new();
    let provider = super::provider(&builder.options);
    let services = builder.informers.services();
    let watcher = Watcher {
        queue: queue.clone(),
        services: services.store(),
        provider: provider.clone(),
    };
    services.add_handler(move |delta| watcher.service(delta));
    let services = services.store();
    builder.part(Part {
        name: "service-lb-controller",
        queue,
        // One: what another worker is about to give away would look free.
        workers: 1,
        all: all_of(&services),
        reconciler: Arc::new(Controller {
            client: builder.client.clone(),
            recorder,
            services,
            provider,
        }),
    });
}

/// Wakes a Service that changed, and those that wait for an address when one may be free.
struct Watcher {
    queue: Queue<Key>,
    services: Store<Service>,
    provider: Arc<dyn Provider>,
}

impl Watcher {
    fn service(&self, delta: &Delta<'_, Service>) {
        let service = delta.object();
        self.queue.add(Key::of(service.as_ref()));
        let is_freed = if delta.is_deleted() {
            // Only now: as long as a Service is there, an address that was just given to it may not show yet.
            self.provider.forget(service);
            is_balanced(service) || !current(service).is_empty()
        } else {
            delta.old().is_some_and(|old| {
                let now = current(service);
                current(old).iter().any(|ip| !now.contains(ip))
            })
        };
        if is_freed {
            let all = self.services.list();
            let waiting = all.iter().filter(|one| is_waiting(one));
            waiting.for_each(|one| self.queue.add(Key::of(one.as_ref())));
        }
    }
}

fn is_balanced(service: &Service) -> bool {
    let kind = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
    kind == Some("LoadBalancer")
}

/// Whether the Service lacks an address, or the one that it asks for.
fn is_waiting(service: &Service) -> bool {
    let wish = service
        .spec
        .as_ref()
        .and_then(|spec| spec.load_balancer_ip.as_deref());
    let current = current(service);
    let is_served = match wish.filter(|text| !text.is_empty()) {
        Some(wish) => current.iter().any(|ip| ip.to_string() == wish),
        None => !current.is_empty(),
    };
    plan(service) == Step::Ensure && !is_served
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Ensure,
    Delete,
}

fn plan(service: &Service) -> Step {
    let spec = service.spec.clone().unwrap_or_default();
    // A class names another controller.
    let is_wanted = is_balanced(service)
        && spec.load_balancer_class.is_none()
        && service.metadata.deletion_timestamp.is_none();
    let is_held = service.finalizers().iter().any(|name| name == FINALIZER);
    match (is_wanted, is_held) {
        (true, _) => Step::Ensure,
        (false, true) => Step::Delete,
        (false, false) => Step::Nothing,
    }
}

#[async_trait]
impl Reconciler for Controller {
    async fn reconcile(&self, key: &Key) -> Result<After> {
        let Some(service) = self.services.at(key) else {
            return Ok(After::Done);
        };
        match plan(&service) {
            Step::Nothing => Ok(After::Done),
            Step::Ensure => self.ensure(key, &service).await,
            Step::Delete => self.delete(key, &service).await,
        }
    }
}

impl Controller {
    fn api(&self, key: &Key) -> Api<Service> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    async fn ensure(&self, key: &Key, service: &Service) -> Result<After> {
        let mut service = service.clone();
        if !service.finalizers().iter().any(|name| name == FINALIZER) {
            let text = "Ensuring load balancer";
            self.recorder
                .event(&service, Type::Normal, "EnsuringLoadBalancer", text);
            let mut finalizers = service.finalizers().to_vec();
            finalizers.push(FINALIZER.to_owned());
            let Some(patched) = self.set_finalizers(key, &service, finalizers).await? else {
                return Ok(After::Done);
            };
            service = patched;
        }
        let others = self
            .services
            .list()
            .into_iter()
            .filter(|one| one.uid() != service.uid());
        let taken: Vec<IpAddr> = others.flat_map(|one| current(&one)).collect();
        let wanted = match self.provider.ensure(&service, &taken).await {
            Ok(wanted) => wanted,
            Err(error) => {
                let text =
                    format!("Error syncing load balancer: failed to ensure load balancer: {error}");
                self.recorder
                    .event(&service, Type::Warning, "SyncLoadBalancerFailed", text);
                return Err(Error::Unready(error.to_string()));
            }
        };
        if current(&service) == wanted {
            return Ok(After::Done);
        }
        self.set_addresses(key, &mut service, &wanted).await?;
        self.recorder.event(
            &service,
            Type::Normal,
            "EnsuredLoadBalancer",
            "Ensured load balancer",
        );
        Ok(After::Done)
    }

    async fn delete(&self, key: &Key, service: &Service) -> Result<After> {
        self.recorder.event(
            service,
            Type::Normal,
            "DeletingLoadBalancer",
            "Deleting load balancer",
        );
        let deleted = self.provider.delete(service).await;
        deleted.map_err(|error| Error::Unready(error.to_string()))?;
        let mut service = service.clone();
        if !current(&service).is_empty() {
            self.set_addresses(key, &mut service, &[]).await?;
        }
        let finalizers = service
            .finalizers()
            .iter()
            .filter(|name| *name != FINALIZER);
        let finalizers = finalizers.cloned().collect();
        self.set_finalizers(key, &service, finalizers).await?;
        self.recorder.event(
            &service,
            Type::Normal,
            "DeletedLoadBalancer",
            "Deleted load balancer",
        );
        Ok(After::Done)
    }

    async fn set_addresses(&self, key: &Key, service: &mut Service, ips: &[IpAddr]) -> Result<()> {
        let ingress = ips.iter().map(|ip| LoadBalancerIngress {
            ip: Some(ip.to_string()),
            ip_mode: Some("VIP".to_owned()),
            ..LoadBalancerIngress::default()
        });
        let ingress: Vec<LoadBalancerIngress> = ingress.collect();
        service.status.get_or_insert_default().load_balancer = Some(LoadBalancerStatus {
            ingress: (!ingress.is_empty()).then_some(ingress),
        });
        *service = self
            .api(key)
            .replace_status(&key.name, &act::write(), service)
            .await?;
        Ok(())
    }

    /// None if the Service is gone. Through the status, as upstream: the role of this controller may change nothing else.
    async fn set_finalizers(
        &self,
        key: &Key,
        service: &Service,
        finalizers: Vec<String>,
    ) -> Result<Option<Service>> {
        let patch = json!({ "metadata": {
            "uid": service.metadata.uid,
            "resourceVersion": service.metadata.resource_version,
            "finalizers": finalizers,
        } });
        match self
            .api(key)
            .patch_status(&key.name, &act::patch(), &Patch::Merge(patch))
            .await
        {
            Ok(patched) => Ok(Some(patched)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use client::{Delta, Queue, Store};
    use k8s_openapi::api::core::v1::{
        LoadBalancerIngress, LoadBalancerStatus, Service, ServiceSpec, ServiceStatus,
    };

    use super::super::local::Local;
    use super::{FINALIZER, Step, Watcher, plan};

    fn service(name: &str, kind: &str, ip: Option<&str>) -> Service {
        let ingress = |ip: &str| LoadBalancerIngress {
            ip: Some(ip.into()),
            ..LoadBalancerIngress::default()
        };
        let mut service = Service {
            spec: Some(ServiceSpec {
                type_: Some(kind.into()),
                ..ServiceSpec::default()
            }),
            status: Some(ServiceStatus {
                load_balancer: Some(LoadBalancerStatus {
                    ingress: ip.map(|ip| vec![ingress(ip)]),
                }),
                conditions: None,
            }),
            ..Service::default()
        };
        service.metadata.namespace = Some("ns".into());
        service.metadata.name = Some(name.into());
        service.metadata.uid = Some(name.into());
        service
    }

    #[test]
    fn the_type_decides_and_the_finalizer_remembers() {
        let service = |kind: &str, is_held: bool| {
            let mut service = service("s", kind, None);
            service.metadata.finalizers = is_held.then(|| vec![FINALIZER.to_owned()]);
            service
        };
        assert_eq!(plan(&service("ClusterIP", false)), Step::Nothing);
        assert_eq!(plan(&service("LoadBalancer", false)), Step::Ensure);
        assert_eq!(plan(&service("LoadBalancer", true)), Step::Ensure);
        assert_eq!(plan(&service("ClusterIP", true)), Step::Delete);
        let mut going = service("LoadBalancer", true);
        going.metadata.deletion_timestamp = Some(client::times::now());
        assert_eq!(plan(&going), Step::Delete);
        let mut classed = service("LoadBalancer", false);
        classed.spec.as_mut().unwrap().load_balancer_class = Some("other".into());
        assert_eq!(plan(&classed), Step::Nothing);
    }

    /// The names that a change wakes in a cluster where `waiting` has no address, `wishing` not the one that it asks for,
    /// and two more need none.
    async fn woken(delta: Delta<'_, Service>) -> Vec<String> {
        let mut wishing = service("wishing", "LoadBalancer", Some("10.9.0.2"));
        wishing.spec.as_mut().unwrap().load_balancer_ip = Some("10.9.0.1".into());
        let services = Store::of([
            service("waiting", "LoadBalancer", None),
            wishing,
            service("served", "LoadBalancer", Some("10.9.0.3")),
            service("plain", "ClusterIP", None),
        ]);
        let watcher = Watcher {
            queue: Queue::new(),
            services,
            provider: Arc::new(Local::new(Vec::new())),
        };
        watcher.service(&delta);
        let mut names = Vec::new();
        while !watcher.queue.is_empty() {
            names.extend(watcher.queue.get().await.map(|key| key.name));
        }
        names
    }

    #[tokio::test]
    async fn a_freed_address_wakes_those_that_wait_for_one() {
        let with = |kind: &str, ip| Arc::new(service("s", kind, ip));
        let (held, bare) = (
            with("LoadBalancer", Some("10.9.0.1")),
            with("LoadBalancer", None),
        );
        let all = ["s", "waiting", "wishing"];
        let change = |old, new| Delta::Updated { old, new };
        assert_eq!(woken(change(&held, &bare)).await, all);
        assert_eq!(woken(Delta::Deleted(&bare)).await, all);
        assert_eq!(woken(change(&bare, &held)).await, ["s"]);
        assert_eq!(woken(Delta::Added(&held)).await, ["s"]);
        let plain = with("ClusterIP", None);
        assert_eq!(woken(Delta::Deleted(&plain)).await, ["s"]);
    }
}
