//! Service account tokens for pods: asked of the api-server, and renewed before they end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;

use super::objects::Objects;

/// A token is renewed after this share of its life, in hundredths. Upstream's.
const RENEW_PERCENT: u32 = 80;
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// Tokens by pod uid, audience and wanted life, with the time at which each is renewed.
pub(super) type Tokens = Mutex<BTreeMap<(String, String, i64), (String, Instant)>>;

impl Objects {
    /// A token of the pod's service account. The error is for the user.
    pub(super) async fn token(
        &self,
        pod: &Pod,
        audience: Option<&str>,
        seconds: i64,
    ) -> Result<String, String> {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let (uid, namespace) = (text(&pod.metadata.uid), text(&pod.metadata.namespace));
        let key = (
            uid.clone(),
            audience.unwrap_or_default().to_owned(),
            seconds,
        );
        if let Some((token, renew)) = self.tokens.lock().get(&key)
            && Instant::now() < *renew
        {
            return Ok(token.clone());
        }
        let account = pod
            .spec
            .as_ref()
            .and_then(|s| s.service_account_name.clone());
        let account = account
            .filter(|a| !a.is_empty())
            .unwrap_or_else(|| "default".to_owned());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: audience.map(|a| vec![a.to_owned()]),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: Some(uid),
                }),
            }),
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &namespace);
        let params = PostParams::default();
        let asked = accounts.create_token_request(&account, &params, &request);
        let answer = tokio::time::timeout(REQUEST_TIME_MAX, asked).await;
        let answer = answer.map_err(|_| "timed out asking for a token".to_owned())?;
        let answer =
            answer.map_err(|error| format!("failed to fetch token: {}", base::report(&error)))?;
        let status = answer
            .status
            .ok_or("the api-server answered without a token")?;
        let token = status
            .token
            .ok_or("the api-server answered without a token")?;
        let ends = status
            .expiration_timestamp
            .map_or(jiff::Timestamp::UNIX_EPOCH, |t| t.0);
        let life = client::times::between(jiff::Timestamp::now(), ends);
        let renew = Instant::now() + life * RENEW_PERCENT / 100;
        let mut tokens = self.tokens.lock();
        tokens.retain(|_, (_, renew)| *renew > Instant::now());
        tokens.insert(key, (token.clone(), renew));
        Ok(token)
    }
}
