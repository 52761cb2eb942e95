//! The client side of a member: what each of its listeners serves.

use std::sync::Arc;

use axum::Router;

use super::super::announce;
use super::super::serve::{Door, accept};
use super::Store;
use crate::gateway;
use crate::rpc::{self, Access};

/// What a client listener is for.
#[derive(Clone, Copy)]
enum Serves {
    /// gRPC, and HTTP unless it has listeners of its own.
    Clients,
    Http,
    Metrics,
}

impl Store {
    /// Lets clients in.
    pub(super) async fn serve_clients(&mut self) {
        let grpc = rpc::grpc_routes(&self.context, self.tracer.as_ref()).await;
        let has_own_http = !self.listeners.http.is_empty();
        let groups = [
            (std::mem::take(&mut self.listeners.client), Serves::Clients),
            (std::mem::take(&mut self.listeners.http), Serves::Http),
            (std::mem::take(&mut self.listeners.metrics), Serves::Metrics),
        ];
        tracing::info!("ready to serve client requests");
        for (bounds, serves) in groups {
            for bound in bounds {
                let tls = self.client_tls.clone().filter(|_| bound.url.is_tls());
                let router = match serves {
                    Serves::Clients if has_own_http => grpc.clone().fallback(rpc::not_found),
                    Serves::Clients => grpc.clone().merge(self.http(&grpc, tls.is_some())),
                    Serves::Http => self.http(&grpc, tls.is_some()),
                    Serves::Metrics => rpc::health_routes(&self.context)
                        .merge(rpc::metrics_routes(&self.context))
                        .fallback(rpc::not_found),
                };
                // As in etcd, where HTTP beside gRPC over TLS is served by a part that does not count.
                let counts_pings =
                    matches!(serves, Serves::Clients) && (has_own_http || tls.is_none());
                let door = Arc::new(Door {
                    side: "client",
                    router,
                    tls,
                    keep_alive: Some(self.config.keep_alive),
                    ping_min: counts_pings.then_some(self.config.keep_alive.min_time),
                    max_streams: self.config.max_concurrent_streams,
                    is_traced: self.tracer.is_some(),
                    kill: self.clients.kill.clone(),
                });
                let traffic = match serves {
                    Serves::Clients if has_own_http => Some("grpc"),
                    Serves::Clients => Some("grpc+http"),
                    Serves::Http => Some("http"),
                    Serves::Metrics => None,
                };
                match traffic {
                    Some(traffic) => announce::serving(&bound.url, &bound.shown(), traffic),
                    None => tracing::info!(address = %bound.url, "serving metrics"),
                }
                let tasks = &self.clients.tasks;
                tasks.spawn_infallible("client listener", accept(bound, door, tasks.clone()));
            }
        }
        self.ready.send_replace(true);
    }

    /// Plain HTTP for clients.
    fn http(&self, grpc: &Router, is_tls: bool) -> Router {
        let mut http = Router::new()
            .merge(rpc::health_routes(&self.context))
            .merge(rpc::version_routes(&self.context))
            .merge(rpc::metrics_routes(&self.context))
            .fallback(rpc::not_found);
        if self.config.enable_pprof {
            http = http.merge(rpc::profile_routes());
        }
        let has_gateway = self.config.enable_grpc_gateway;
        if has_gateway {
            http = http.merge(gateway::door(&self.context, grpc));
        }
        let access = Access {
            context: self.context.clone(),
            origins: self.config.cors.clone(),
            hosts: self.config.host_whitelist.clone(),
            has_gateway,
            is_tls,
        };
        rpc::guarded(http, access)
    }
}
