//! Going back one minor release, step by step as etcd 3.7 does.

use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{DowngradeRequest, SnapshotRequest, StatusRequest};
use tonic::transport::Channel;

use super::harness::{Cluster, SOON, connect};
use super::http::get;
use super::real::{normal, real_etcds};

/// What etcd 3.7.3 answers. Its cluster's version stands before each part.
const RECORDED: &[&str] = &[
    "cluster 3.7.0, files 3.7.0, downgrade to nothing",
    "0 3.6.0: 3.7",
    "0 3.6: 3.7",
    "0 3.6.5: 3.7",
    "0 3.5.0: InvalidArgument: etcdserver: invalid downgrade target version",
    "0 3.7.0: InvalidArgument: etcdserver: invalid downgrade target version",
    "0 4.6.0: InvalidArgument: etcdserver: invalid downgrade target version",
    "0 3.6.x: InvalidArgument: etcdserver: wrong downgrade target version format",
    "0 -: InvalidArgument: etcdserver: wrong downgrade target version format",
    "2 -: 3.7",
    "7 3.6.0: Unknown: etcdserver: unknown method",
    "1 3.5.0: InvalidArgument: etcdserver: invalid downgrade target version",
    "1 3.6.4: 3.7",
    "cluster 3.6.0, files 3.6.0, downgrade to 3.6.0",
    "1 3.6.0: InvalidArgument: etcdserver: invalid downgrade target version",
    "0 3.5.0: FailedPrecondition: etcdserver: cluster has a downgrade job in progress",
    "2 -: 3.6",
    "cluster 3.7.0, files 3.7.0, downgrade to nothing",
    "2 3.6.0: 3.7",
];

async fn ask(channel: &Channel, action: i32, version: &str) -> String {
    let request = DowngradeRequest {
        action,
        version: version.replace('-', ""),
    };
    let mut client = MaintenanceClient::new(channel.clone());
    let answer = match client.downgrade(request).await {
        Ok(answer) => answer.into_inner().version,
        Err(status) => normal::<()>(Err(status)),
    };
    format!("{action} {version}: {answer}")
}

async fn versions(endpoint: &str) -> Result<String, String> {
    let (_, body) = get(endpoint, "/version").await;
    let version: serde_json::Value =
        serde_json::from_str(&body).map_err(|error| error.to_string())?;
    let mut client = MaintenanceClient::new(connect(endpoint).await);
    let status = client.status(StatusRequest {}).await;
    let status = status.map_err(|status| status.to_string())?.into_inner();
    let info = status.downgrade_info.clone().unwrap_or_default();
    let target = match info.enabled {
        true => info.target_version.as_str(),
        false => "nothing",
    };
    let (cluster, files) = (&version["etcdcluster"], &version["storage"]);
    let is_one = files.as_str() == Some(status.storage_version.as_str());
    if !is_one {
        return Err(format!("{version} beside {status:?}"));
    }
    Ok(format!("cluster {cluster}, files {files}, downgrade to {target}").replace('"', ""))
}

async fn transcript(endpoint: &str) -> Vec<String> {
    let channel = connect(endpoint).await;
    let mut lines: Vec<String> = Vec::new();
    for recorded in RECORDED {
        if recorded.starts_with("cluster ") {
            let settled = testkit::poll(SOON, recorded, async || {
                let found = versions(endpoint).await?;
                if found == *recorded {
                    Ok(())
                } else {
                    Err(found)
                }
            });
            settled.await.unwrap();
            lines.push((*recorded).to_owned());
            continue;
        }
        let (request, _) = recorded.split_once(": ").unwrap();
        let (action, version) = request.split_once(' ').unwrap();
        // A dash stands for no version.
        lines.push(ask(&channel, action.parse().unwrap(), version).await);
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downgrade_goes_as_with_the_real_etcd() {
    let cluster = Cluster::start_with(3, &["--downgrade-check-time=100ms"]).await;
    let ours = transcript(&cluster.endpoint(1)).await;
    assert_eq!(ours, RECORDED);
    for (name, real) in real_etcds(&[]).await {
        if name == "etcd-3.7" {
            assert_eq!(transcript(&real.endpoint).await, RECORDED);
        }
    }
}

/// Every member knows of it after a restart, and a snapshot is one of the older release.
#[tokio::test(flavor = "multi_thread")]
async fn a_downgrade_outlives_its_members() {
    let mut cluster = Cluster::start_with(3, &["--downgrade-check-time=100ms"]).await;
    let channel = cluster.channel(0).await;
    assert_eq!(ask(&channel, 1, "3.6").await, "1 3.6: 3.7");
    let lowered = "cluster 3.6.0, files 3.6.0, downgrade to 3.6.0";
    let is_lowered = async |cluster: &Cluster, number: usize| {
        let endpoint = cluster.endpoint(number);
        let found = testkit::poll(SOON, lowered, async || {
            let found = versions(&endpoint).await?;
            if found == lowered { Ok(()) } else { Err(found) }
        });
        found.await.unwrap();
    };
    is_lowered(&cluster, 2).await;
    for number in 0..3 {
        cluster.stop(number).await;
    }
    cluster.restart_all().await;
    for number in 0..3 {
        is_lowered(&cluster, number).await;
    }
    let mut client = MaintenanceClient::new(cluster.channel(1).await);
    let mut parts = client
        .snapshot(SnapshotRequest {})
        .await
        .unwrap()
        .into_inner();
    let first = parts.message().await.unwrap().unwrap();
    assert_eq!(first.version, "3.6.0");
    let mut file = Vec::from(first.blob);
    while let Some(part) = parts.message().await.unwrap() {
        file.extend(part.blob);
    }
    let holds = |text: &[u8]| file.windows(text.len()).any(|part| part == text);
    assert!(holds(br#"{"target-version":"3.6.0","enabled":true}"#));
    assert!(holds(b"storageVersion3.6.0"));
    assert!(!holds(b"3.7.0"));
}
