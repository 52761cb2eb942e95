//! Servers that cannot start say why. The whole process is looked at where the binary is tested.

use crate::harness::Cluster;

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let cluster = Cluster::start().await;
    let build = |change: &dyn Fn(&mut apiserver::Config)| {
        let mut config = cluster.config();
        change(&mut config);
        async move {
            let error = apiserver::Server::build(config).await.unwrap_err();
            base::report(&error).to_string()
        }
    };
    let port = cluster.servers[0]
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let text = build(&|config| config.secure_port = port).await;
    assert!(
        text.contains("failed to listen on 127.0.0.1:") && text.contains("in use"),
        "{text}"
    );
    let text = build(&|config| config.tls_cert_file = "/nonexistent/server.crt".into()).await;
    assert!(text.contains("/nonexistent/server.crt"), "{text}");
    let other = cluster.dir.path().join("admin.key");
    let text = build(&|config| config.tls_key_file.clone_from(&other)).await;
    assert!(text.contains("cannot be used together"), "{text}");
    let text = build(&|config| config.client_ca_file = Some(other.clone())).await;
    assert!(text.contains("client CA"), "{text}");
    let text = build(&|config| config.enable_admission_plugins = vec!["Nonsense".into()]).await;
    assert!(
        text.contains("enable-admission-plugins plugin \"Nonsense\" is unknown"),
        "{text}"
    );
    let text = build(&|config| {
        config.enable_admission_plugins = vec!["Priority".into()];
        config.disable_admission_plugins = vec!["Priority".into()];
    })
    .await;
    assert!(text.contains("overlapped"), "{text}");
}
