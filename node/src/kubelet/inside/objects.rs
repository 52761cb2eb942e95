//! ConfigMaps and Secrets that pods use: read when needed, and kept for a minute.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::Api;
use kube::Resource;
use parking_lot::Mutex;
use proto_cri::v1;
use serde::de::DeserializeOwned;

use super::super::steps::NotStarted;

/// How old a copy may be. Upstream's `configMapAndSecretChangeDetectionStrategy: Cache`.
const AGE_MAX: Duration = Duration::from_secs(60);
const READ_TIME_MAX: Duration = Duration::from_secs(10);

type Kept<K> = Mutex<BTreeMap<(String, String), (Arc<K>, Instant)>>;

/// The reader.
pub(in super::super) struct Objects {
    pub(super) client: kube::Client,
    config_maps: Kept<ConfigMap>,
    secrets: Kept<Secret>,
    pub(super) tokens: super::token::Tokens,
}

impl Objects {
    pub(in super::super) fn new(client: kube::Client) -> Self {
        Self {
            client,
            config_maps: Mutex::default(),
            secrets: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    /// A ConfigMap; None where it is missing and may be.
    pub(super) async fn config_map(
        &self,
        namespace: &str,
        name: &str,
        optional: bool,
    ) -> Result<Option<Arc<ConfigMap>>, NotStarted> {
        let found = read(&self.client, &self.config_maps, namespace, name).await?;
        present(found, optional, || format!("configmap {name:?} not found"))
    }

    /// A Secret; None where it is missing and may be.
    pub(super) async fn secret(
        &self,
        namespace: &str,
        name: &str,
        optional: bool,
    ) -> Result<Option<Arc<Secret>>, NotStarted> {
        let found = read(&self.client, &self.secrets, namespace, name).await?;
        present(found, optional, || format!("secret {name:?} not found"))
    }
}

fn present<K>(
    found: Option<Arc<K>>,
    optional: bool,
    text: impl FnOnce() -> String,
) -> Result<Option<Arc<K>>, NotStarted> {
    if found.is_none() && !optional {
        return Err(NotStarted::new("CreateContainerConfigError", text()));
    }
    Ok(found)
}

async fn read<K>(
    client: &kube::Client,
    kept: &Kept<K>,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<K>>, NotStarted>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let key = (namespace.to_owned(), name.to_owned());
    if let Some((object, at)) = kept.lock().get(&key)
        && at.elapsed() < AGE_MAX
    {
        return Ok(Some(object.clone()));
    }
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let failed = |error: String| NotStarted::new("CreateContainerConfigError", error);
    let found = tokio::time::timeout(READ_TIME_MAX, api.get_opt(name)).await;
    let found = found.map_err(|_| failed("timed out reading from the api-server".to_owned()))?;
    let found = found
        .map_err(|error| failed(base::report(&error).to_string()))?
        .map(Arc::new);
    let mut kept = kept.lock();
    kept.retain(|_, (_, at)| at.elapsed() < AGE_MAX);
    if let Some(object) = &found {
        kept.insert(key, (object.clone(), Instant::now()));
    }
    Ok(found)
}

/// The values of a secret that are text.
pub(super) fn texts(secret: &Secret) -> BTreeMap<String, String> {
    let text = |(key, value): (&String, &k8s_openapi::ByteString)| {
        Some((key.clone(), String::from_utf8(value.0.clone()).ok()?))
    };
    secret.data.iter().flatten().filter_map(text).collect()
}

/// The credentials in the pod's pull secrets that fit the image's registry.
pub(super) async fn pull_credentials(
    objects: &Objects,
    pod: &Pod,
    image: &str,
) -> Vec<v1::AuthConfig> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut out = Vec::new();
    for reference in pod
        .spec
        .iter()
        .flat_map(|s| s.image_pull_secrets.iter().flatten())
    {
        if let Ok(Some(secret)) = objects.secret(namespace, &reference.name, true).await {
            let texts = texts(&secret);
            out.extend(
                texts
                    .get(".dockerconfigjson")
                    .into_iter()
                    .flat_map(|text| credentials(text, image)),
            );
        }
    }
    out
}

fn credentials(config: &str, image: &str) -> Vec<v1::AuthConfig> {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        auths: BTreeMap<String, Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(default)]
        username: String,
        #[serde(default)]
        password: String,
        #[serde(default)]
        auth: String,
        #[serde(default, rename = "identitytoken")]
        identity_token: String,
    }
    let Ok(config) = serde_json::from_str::<Config>(config) else {
        return Vec::new();
    };
    let first = image.split('/').next().unwrap_or_default();
    let is_host = image.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let registry = if is_host { first } else { "docker.io" };
    let fits = |address: &str| {
        let host = address
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        let host = host.split('/').next().unwrap_or_default();
        host == registry || (registry == "docker.io" && host == "index.docker.io")
    };
    let fitting = config
        .auths
        .into_iter()
        .filter(|(address, _)| fits(address));
    fitting
        .map(|(address, entry)| v1::AuthConfig {
            username: entry.username,
            password: entry.password,
            auth: entry.auth,
            server_address: address,
            identity_token: entry.identity_token,
            registry_token: String::new(),
        })
        .collect()
}
