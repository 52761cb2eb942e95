//! Makes sure that a container's image is on the node: pulls it when it must, and waits longer
//! after each failure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::events::Type;
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod};
use parking_lot::Mutex;
use proto_cri::v1;
use tokio::sync::Semaphore;

use super::context::Context;
use super::steps::NotStarted;

/// The first wait after a failed pull, and the longest. Upstream's.
const BACKOFF_FIRST: Duration = Duration::from_secs(10);
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// Pulls at one time; others wait their turn.
const PULLS_MAX: usize = 4;
/// Failures remembered; the oldest is forgotten.
const FAILURES_MAX: usize = 1000;

/// The pulls of this node.
pub(super) struct Images {
    failures: Mutex<BTreeMap<(String, String), Failure>>,
    room: Semaphore,
}

#[derive(Clone)]
struct Failure {
    wait: Duration,
    at: Instant,
    message: String,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            failures: Mutex::default(),
            room: Semaphore::new(PULLS_MAX),
        }
    }
}

impl Images {
    /// The reference of the container's image, once the node has it.
    pub(super) async fn ensure(
        &self,
        context: &Context,
        pod: &Pod,
        spec: &Container,
        regarding: &ObjectReference,
    ) -> Result<String, NotStarted> {
        let given = spec.image.clone().unwrap_or_default();
        let name = with_tag(&given);
        let event = |kind, reason: &str, text: String| {
            context
                .recorder
                .about(regarding.clone(), kind, reason, text)
        };
        let present = context.runtime.image(&name).await.map_err(|error| {
            let text = format!("Failed to inspect image {given:?}: {error}");
            event(Type::Warning, "InspectFailed", text.clone());
            NotStarted::new("ImageInspectError", text)
        })?;
        let policy = spec
            .image_pull_policy
            .as_deref()
            .unwrap_or_else(|| default_policy(&name));
        let is_local = is_under(context.config.local_images.as_deref(), &name);
        let policy = if is_local && present.is_some() {
            "IfNotPresent"
        } else {
            policy
        };
        match (policy, present) {
            ("Always", _) | ("IfNotPresent", None) => {}
            ("Never", None) => {
                let text =
                    format!("Container image {given:?} is not present with pull policy of Never");
                event(Type::Warning, "ErrImageNeverPull", text.clone());
                return Err(NotStarted::new("ErrImageNeverPull", text));
            }
            (_, present) => {
                let text = format!(
                    "Container image {given:?} already present on machine and can be accessed by the pod"
                );
                event(Type::Normal, "Pulled", text);
                return Ok(present.map_or(name, |image| image.id));
            }
        }
        self.pull_or_wait(context, pod, &given, regarding).await
    }

    /// Pulls, unless a failure is too recent.
    async fn pull_or_wait(
        &self,
        context: &Context,
        pod: &Pod,
        given: &str,
        regarding: &ObjectReference,
    ) -> Result<String, NotStarted> {
        let event = |kind, reason: &str, text: String| {
            context
                .recorder
                .about(regarding.clone(), kind, reason, text);
        };
        let name = with_tag(given);
        let key = (pod.metadata.uid.clone().unwrap_or_default(), name.clone());
        if let Some(failure) = self.in_backoff(&key) {
            let text = format!("Back-off pulling image {given:?}");
            event(Type::Normal, "BackOff", text.clone());
            event(
                Type::Warning,
                "Failed",
                "Error: ImagePullBackOff".to_owned(),
            );
            let due = failure.at + failure.wait;
            return Err(NotStarted {
                retry: Some(due.saturating_duration_since(Instant::now())),
                ..NotStarted::new("ImagePullBackOff", format!("{text}: {}", failure.message))
            });
        }
        event(Type::Normal, "Pulling", format!("Pulling image {given:?}"));
        match self.pull(context, pod, &name).await {
            Ok((reference, took, size)) => {
                self.failures.lock().remove(&key);
                let took = format!("{took} ({took} including waiting)");
                let text = format!(
                    "Successfully pulled image {given:?} in {took}. Image size: {size} bytes."
                );
                event(Type::Normal, "Pulled", text);
                Ok(reference)
            }
            Err(error) => {
                event(
                    Type::Warning,
                    "Failed",
                    format!("Failed to pull image {given:?}: {error}"),
                );
                event(Type::Warning, "Failed", "Error: ErrImagePull".to_owned());
                let wait = self.note_failure(key, &error);
                Err(NotStarted {
                    retry: Some(wait),
                    ..NotStarted::new("ErrImagePull", error)
                })
            }
        }
    }

    async fn pull(
        &self,
        context: &Context,
        pod: &Pod,
        name: &str,
    ) -> Result<(String, String, u64), String> {
        let Ok(_permit) = self.room.acquire().await else {
            return Err("the kubelet is ending".to_owned());
        };
        let began = Instant::now();
        let mut last = None;
        let credentials = match &context.inside {
            Some(inside) => inside.pull_credentials(pod, name).await,
            None => Vec::new(),
        };
        // Each set of credentials in turn; without any, anonymously.
        let tries: Vec<Option<v1::AuthConfig>> = if credentials.is_empty() {
            vec![None]
        } else {
            credentials.into_iter().map(Some).collect()
        };
        for auth in tries {
            match context.runtime.pull(name, auth).await {
                Ok(reference) => {
                    let image = context.runtime.image(name).await.ok().flatten();
                    let took = format!("{:.3}s", began.elapsed().as_secs_f64());
                    return Ok((reference, took, image.map_or(0, |i| i.size)));
                }
                Err(error) => last = Some(error.to_string()),
            }
        }
        Err(last.unwrap_or_default())
    }

    fn in_backoff(&self, key: &(String, String)) -> Option<Failure> {
        self.failures
            .lock()
            .get(key)
            .filter(|f| f.at.elapsed() < f.wait)
            .cloned()
    }

    fn note_failure(&self, key: (String, String), message: &str) -> Duration {
        let mut failures = self.failures.lock();
        let wait = failures
            .get(&key)
            .map_or(BACKOFF_FIRST, |old| (old.wait * 2).min(BACKOFF_MAX));
        if failures.len() >= FAILURES_MAX
            && let Some(oldest) = failures
                .iter()
                .min_by_key(|(_, f)| f.at)
                .map(|(k, _)| k.clone())
        {
            failures.remove(&oldest);
        }
        failures.insert(
            key,
            Failure {
                wait,
                at: Instant::now(),
                message: message.to_owned(),
            },
        );
        wait
    }
}

/// The name with the tag that is meant where none is written.
pub(super) fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') || name.contains('@') {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

/// Whether the whole name begins with `prefix`; a name without a registry means Docker's.
fn is_under(prefix: Option<&str>, name: &str) -> bool {
    let Some(prefix) = prefix else { return false };
    let first = name.split('/').next().unwrap_or_default();
    let has_registry = name.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let whole = if has_registry {
        name.to_owned()
    } else if name.contains('/') {
        format!("docker.io/{name}")
    } else {
        format!("docker.io/library/{name}")
    };
    whole.starts_with(prefix)
}

/// What the api-server would have filled in.
fn default_policy(name: &str) -> &'static str {
    if name.ends_with(":latest") {
        "Always"
    } else {
        "IfNotPresent"
    }
}

#[cfg(test)]
mod tests {
    use super::{is_under, with_tag};

    #[test]
    fn local_images_are_known_by_their_whole_names() {
        let prefix = Some("docker.io/keelson/");
        assert!(is_under(prefix, "keelson/tour:latest"));
        assert!(is_under(prefix, "docker.io/keelson/tour:latest"));
        assert!(!is_under(prefix, "example.com/keelson/tour:latest"));
        assert!(!is_under(prefix, "tour:latest"));
        assert!(!is_under(None, "keelson/tour:latest"));
    }

    #[test]
    fn a_missing_tag_is_latest() {
        for (name, want) in [
            ("busybox", "busybox:latest"),
            ("busybox:1", "busybox:1"),
            ("host:5000/busybox", "host:5000/busybox:latest"),
            ("busybox@sha256:ab", "busybox@sha256:ab"),
        ] {
            assert_eq!(with_tag(name), want);
        }
    }
}
