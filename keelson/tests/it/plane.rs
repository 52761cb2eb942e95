//! The whole plane with hollow nodes under the real kubectl: the README's tour.

use anyhow::{Result, ensure};
use testkit::{Cluster, Shape};

use crate::run::{fails, ok};

#[test]
fn a_deployment_runs_and_obeys_kubectl() -> Result<()> {
    let cluster = Cluster::start(Shape::PLANE)?;
    let kubectl = |words: &str| cluster.kubectl(&words.split(' ').collect::<Vec<_>>());
    ensure!(ok(kubectl("get nodes"))?.matches(" Ready ").count() == 2);
    ok(kubectl(
        "create deployment web --image=keelson/tour:latest --replicas=3",
    ))?;
    ok(kubectl("rollout status deployment/web --timeout=60s"))?;
    ensure!(
        ok(kubectl("get pods -l app=web"))?
            .matches("Running")
            .count()
            == 3
    );
    ok(kubectl(
        "expose deployment web --port=80 --target-port=8080",
    ))?;
    ensure!(ok(kubectl("get service web"))?.contains("10.96."));
    ok(kubectl("scale deployment/web --replicas=5"))?;
    ok(kubectl("rollout status deployment/web --timeout=60s"))?;
    ok(kubectl("set image deployment/web tour=keelson/tour:next"))?;
    ok(kubectl("rollout status deployment/web --timeout=60s"))?;
    ok(kubectl("rollout undo deployment/web"))?;
    ok(kubectl("rollout status deployment/web --timeout=60s"))?;
    ensure!(
        ok(kubectl(
            "get deployment web -o jsonpath={.spec.template.spec.containers[0].image}"
        ))? == "keelson/tour:latest"
    );
    ensure!(ok(kubectl("describe deployment web"))?.contains("5 desired"));
    ok(kubectl("label deployment web tier=front"))?;
    ensure!(ok(kubectl("auth can-i create pods"))?.trim() == "yes");
    ok(kubectl("get all -A"))?;
    ensure!(ok(kubectl("api-resources"))?.contains("deployments"));
    ok(kubectl("delete deployment,service web"))?;
    let gone = testkit::poll_blocking(60, || {
        ok(kubectl("get pods -l app=web -o name")).is_ok_and(|names| names.is_empty())
    });
    ensure!(gone, "the pods of a deleted deployment stay");
    Ok(())
}

#[test]
fn objects_can_be_created_patched_watched_and_deleted() -> Result<()> {
    let cluster = Cluster::start(Shape {
        stores: 1,
        apiservers: 1,
        controllers: 1,
        schedulers: 0,
        hollow: Some(0),
    })?;
    let kubectl = |words: &str| cluster.kubectl(&words.split(' ').collect::<Vec<_>>());
    ok(kubectl("create configmap c --from-literal=a=1"))?;
    ok(cluster.kubectl(&["patch", "configmap", "c", "-p", r#"{"data":{"b":"2"}}"#]))?;
    ensure!(ok(kubectl("get configmap c -o jsonpath={.data}"))? == r#"{"a":"1","b":"2"}"#);
    ensure!(fails(kubectl("create configmap c"))?.contains("\"c\" already exists"));
    ok(kubectl("create secret generic s --from-literal=k=v"))?;
    ensure!(ok(kubectl("get secret s -o jsonpath={.data.k}"))? == "dg==");
    ok(kubectl("create namespace n"))?;
    ok(kubectl("create configmap inside -n n"))?;
    ok(kubectl("delete namespace n --timeout=60s"))?;
    ensure!(fails(kubectl("get configmap inside -n n"))?.contains("not found"));
    ok(kubectl("delete configmap c"))?;
    ensure!(fails(kubectl("get configmap c"))?.contains("(NotFound)"));
    Ok(())
}
