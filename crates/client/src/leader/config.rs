//! The settings of an election, and what they must obey.

use std::time::Duration;

use super::Error;

/// Tries to acquire are spread by up to this factor, as client-go's.
pub(super) const JITTER: f64 = 1.2;

/// The settings of an election.
#[derive(Clone, Debug)]
pub struct Config {
    /// The lease's namespace, `kube-system` for the control plane.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// This candidate; must differ between processes.
    pub identity: String,
    /// How long others wait after the last renewal. Default 15 s.
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it steps down. Default 10 s, less than the lease's duration.
    pub renew_deadline: Duration,
    /// Between tries. Default 2 s.
    pub retry_period: Duration,
}

impl Config {
    /// Upstream's timing, and an identity of the host's name and a random part.
    pub fn new(namespace: &str, name: &str) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: format!("{}_{}", host.trim(), uuid::Uuid::new_v4()),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }

    /// Upstream's rules for the three times.
    pub fn check(&self) -> Result<(), Error> {
        if self.lease_duration <= self.renew_deadline {
            return Err(Error::Config(
                "leaseDuration must be greater than renewDeadline",
            ));
        }
        if self.renew_deadline <= self.retry_period.mul_f64(JITTER) {
            return Err(Error::Config(
                "renewDeadline must be greater than retryPeriod*JitterFactor",
            ));
        }
        if self.lease_duration.as_secs() < 1 {
            return Err(Error::Config("leaseDuration must be greater than zero"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Config;

    #[test]
    fn contradictory_times_are_refused() {
        let mut config = Config::new("kube-system", "x");
        assert!(config.check().is_ok());
        config.renew_deadline = Duration::from_secs(15);
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "leaseDuration must be greater than renewDeadline"
        );
        config.renew_deadline = Duration::from_secs(2);
        assert!(config.check().is_err());
    }
}
