//! The one list of gRPC services that a client listener offers.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::Response;
use proto_etcd::etcdserverpb::auth_server::AuthServer;
use proto_etcd::etcdserverpb::cluster_server::ClusterServer;
use proto_etcd::etcdserverpb::kv_server::KvServer;
use proto_etcd::etcdserverpb::lease_server::LeaseServer;
use proto_etcd::etcdserverpb::maintenance_server::MaintenanceServer;
use proto_etcd::etcdserverpb::watch_server::WatchServer;
use proto_etcd::v3electionpb::election_server::ElectionServer;
use proto_etcd::v3lockpb::lock_server::LockServer;
use tonic::service::Routes;

use super::context::Context;
use super::http::text;
use super::{auth, cluster, election, gate, kv, lease, lock, maintenance, traced, watch};
use crate::limits;
use crate::traces::Tracer;

/// All services, behind the gate that every request passes, and with spans where there is a tracer. What
/// is no service is not answered.
pub(crate) async fn grpc_routes(context: &Arc<Context>, tracer: Option<&Tracer>) -> Router {
    // What etcd takes: the request itself and what its frame adds. Answers have no limit.
    let bytes_max = context.limits.max_request_bytes + limits::GRPC_OVERHEAD_BYTES;
    let (reporter, health) = tonic_health::server::health_reporter();
    // The whole server, by the empty name, serves from the start; etcd has no other name.
    reporter
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    let services =
        Routes::new(KvServer::new(kv::Kv(context.clone())).max_decoding_message_size(bytes_max))
            .add_service(
                WatchServer::new(watch::Watch(context.clone()))
                    .max_decoding_message_size(bytes_max),
            )
            .add_service(
                LeaseServer::new(lease::Lease(context.clone()))
                    .max_decoding_message_size(bytes_max),
            )
            .add_service(ClusterServer::new(cluster::Cluster(context.clone())))
            .add_service(MaintenanceServer::new(maintenance::Maintenance(
                context.clone(),
            )))
            .add_service(AuthServer::new(auth::Auth(context.clone())))
            .add_service(
                LockServer::new(lock::Lock(context.clone())).max_decoding_message_size(bytes_max),
            )
            .add_service(
                ElectionServer::new(election::Election(context.clone()))
                    .max_decoding_message_size(bytes_max),
            )
            .add_service(health);
    let gate = axum::middleware::from_fn_with_state(context.clone(), gate::gate);
    let mut routes = services.into_axum_router().layer(gate);
    if let Some(tracer) = tracer {
        let traced = axum::middleware::from_fn_with_state(tracer.clone(), traced::traced);
        routes = routes.layer(traced);
    }
    routes.reset_fallback()
}

/// Answers callers of what does not exist in the protocol that they speak.
pub async fn not_found(request: Request) -> Response {
    let is_grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        let service = request.uri().path().split('/').nth(1).unwrap_or_default();
        tonic::Status::unimplemented(format!("unknown service {service}")).into_http()
    } else {
        text(StatusCode::NOT_FOUND, "404 page not found\n".into())
    }
}
