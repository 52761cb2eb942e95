//! The numbers of a rollout: how many pods are wanted, how many may be too many, how many may be missing. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The bounds of a Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// `spec.replicas`.
    pub(super) wanted: i32,
    /// Pods above `wanted` during a rolling update; zero for Recreate.
    pub(super) surge: i32,
    /// Pods that may be unavailable; zero for Recreate.
    pub(super) unavailable: i32,
}

impl Sizes {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let spec = super::spec(deployment);
        let wanted = spec.replicas.unwrap_or(1).max(0);
        if super::is_recreate(deployment) {
            return Self {
                wanted,
                surge: 0,
                unavailable: 0,
            };
        }
        let rolling = spec
            .strategy
            .and_then(|strategy| strategy.rolling_update)
            .unwrap_or_default();
        let surge = scaled(rolling.max_surge.as_ref(), wanted, Round::Up);
        let mut unavailable = scaled(rolling.max_unavailable.as_ref(), wanted, Round::Down);
        if surge == 0 && unavailable == 0 {
            // With neither nothing could ever move.
            unavailable = 1;
        }
        Self {
            wanted,
            surge,
            unavailable: unavailable.min(wanted),
        }
    }

    /// Pods that must stay available.
    pub(super) fn min_available(&self) -> i32 {
        self.wanted - self.unavailable
    }
}

#[derive(Clone, Copy)]
enum Round {
    Up,
    Down,
}

/// A number, or a percentage of `whole`. What cannot be read counts as zero; the server does not admit it.
fn scaled(value: Option<&IntOrString>, whole: i32, round: Round) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => (*number).max(0),
        Some(IntOrString::String(text)) => {
            let percent = text
                .strip_suffix('%')
                .and_then(|text| text.parse::<i64>().ok());
            let product = percent.unwrap_or(0).max(0).saturating_mul(i64::from(whole));
            let scaled = match round {
                Round::Up => product.saturating_add(99) / 100,
                Round::Down => product / 100,
            };
            i32::try_from(scaled).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{
        Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
    };
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    use super::Sizes;

    #[test]
    fn percentages_round_apart() {
        let check = |wanted: i32, surge: &str, unavailable: &str| {
            let parse = |text: &str| match text.parse() {
                Ok(number) => IntOrString::Int(number),
                Err(_) => IntOrString::String(text.into()),
            };
            let rolling = RollingUpdateDeployment {
                max_surge: Some(parse(surge)),
                max_unavailable: Some(parse(unavailable)),
            };
            let strategy = DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(rolling),
            };
            let spec = DeploymentSpec {
                replicas: Some(wanted),
                strategy: Some(strategy),
                ..DeploymentSpec::default()
            };
            let sizes = Sizes::of(&Deployment {
                spec: Some(spec),
                ..Deployment::default()
            });
            (sizes.surge, sizes.unavailable)
        };
        assert_eq!(check(10, "25%", "25%"), (3, 2));
        assert_eq!(check(1, "25%", "25%"), (1, 0));
        assert_eq!(check(10, "0", "0"), (0, 1));
        assert_eq!(check(0, "0", "0"), (0, 0));
        assert_eq!(check(3, "2", "5"), (2, 3));
        assert_eq!(check(4, "nonsense", "50%"), (0, 2));
    }
}
