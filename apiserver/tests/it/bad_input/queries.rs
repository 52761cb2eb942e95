//! Queries that cannot be read: versions, selectors, limits, tokens, wishes that nobody grants.

use http::{Method, StatusCode};
use http_body_util::Full;

use super::support::{Case, check};
use crate::harness::Cluster;

#[tokio::test]
async fn queries_of_lists_and_watches_that_cannot_be_read_are_refused() {
    let cluster = Cluster::start().await;
    let maps = |query: &str| format!("/api/v1/namespaces/default/configmaps?{query}");
    let cases = [
        ("resourceVersion=abc", "parsing \"abc\": invalid syntax"),
        ("resourceVersion=-1", "parsing \"-1\": invalid syntax"),
        (
            "watch=true&resourceVersion=abc",
            "parsing \"abc\": invalid syntax",
        ),
        ("limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        (
            "timeoutSeconds=x",
            "strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        ("continue=nonsense", "continue"),
        (
            "resourceVersion=7&continue=nonsense",
            "specifying resource version is not allowed when using continue",
        ),
        (
            "labelSelector=a,",
            "found '', expected: identifier after ','",
        ),
        (
            "labelSelector=a%20in%20b",
            "unable to parse requirement: found 'b' expected: '('",
        ),
        ("labelSelector=-a%3Db", "Invalid value: \"-a\""),
        (
            "fieldSelector=nonsense",
            "invalid selector: 'nonsense'; can't understand 'nonsense'",
        ),
        (
            "fieldSelector=data.x%3D1",
            "Unable to find \"/v1, Resource=configmaps\" that match label selector \"\", field selector \"data.x=1\"",
        ),
    ];
    let paths: Vec<_> = cases.iter().map(|(query, _)| maps(query)).collect();
    let refused = paths.iter().zip(cases);
    let refused = refused.map(|(path, (_, words))| Case::get(path, words));
    check(&cluster.admin(0), refused.collect()).await;

    let forbidden = [
        (
            "resourceVersionMatch=Exact",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        (
            "resourceVersion=7&resourceVersionMatch=Sometimes",
            "Sometimes",
        ),
        (
            "sendInitialEvents=true",
            "sendInitialEvents is forbidden for list",
        ),
        ("watch=true&sendInitialEvents=true", "resourceVersionMatch"),
    ];
    let paths: Vec<_> = forbidden.iter().map(|(query, _)| maps(query)).collect();
    let refused = paths.iter().zip(forbidden);
    let refused = refused.map(|(path, (_, words))| Case::get(path, words).refused(422, "Invalid"));
    check(&cluster.admin(0), refused.collect()).await;
}

#[tokio::test]
async fn forms_that_no_answer_has_are_refused() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    for accept in ["text/html", "application/json;as=Table;v=v9;g=meta.k8s.io"] {
        let request = admin
            .request(Method::GET, "/api/v1/namespaces/default/configmaps")
            .header("accept", accept)
            .body(Full::default())
            .unwrap();
        let (_, (code, status)) = admin.exchange(request).await;
        assert_eq!(code, StatusCode::NOT_ACCEPTABLE, "{status}");
        assert_eq!(status["reason"], "NotAcceptable");
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .starts_with("only the following media types are accepted: application/json"),
            "{status}"
        );
    }
}
