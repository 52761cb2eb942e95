//! What the service for other members lets in.

use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use crate::consensus::peers::{Lane, Peers};
use crate::consensus::{ConsensusConfig, peer_proto};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_for_another_cluster_or_member_are_refused() {
    let mut cluster = Cluster::new(1, |_| {}).await;
    cluster.leader().await;
    let member = cluster.places[0].member.clone();
    let peers_of = |cluster_id| {
        let config = ConsensusConfig {
            member_id: 99,
            cluster_id,
            ..ConsensusConfig::default()
        };
        Peers::new(&config, CancellationToken::new())
    };
    for (cluster_id, target) in [(cluster.id + 1, member.id), (cluster.id, member.id + 1)] {
        let peers = peers_of(cluster_id);
        let mut client = peers
            .client(target, &member.peer_urls, Lane::Forward)
            .unwrap();
        let status = client.elect(peer_proto::ElectRequest {}).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    }
    let peers = peers_of(cluster.id);
    let mut client = peers
        .client(member.id, &member.peer_urls, Lane::Forward)
        .unwrap();
    client.elect(peer_proto::ElectRequest {}).await.unwrap();
    assert!(
        peers
            .client(
                member.id,
                &["https://127.0.0.1:1".to_owned()],
                Lane::Forward
            )
            .is_err()
    );
    assert!(peers.client(member.id, &[], Lane::Forward).is_err());
    cluster.stop_all().await;
}
