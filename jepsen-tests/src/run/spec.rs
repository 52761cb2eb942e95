//! What a run is made of: enough to do it again.

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::check::Workload;
use crate::disk;
use crate::nemesis::{CATCH_UP_ENTRIES, Nemesis, SNAPSHOT_ENTRIES};
use crate::target::{Disks, Kind, Network, why_no_namespaces};
use crate::workload::QUOTA_BYTES;

const SECONDS_MAX: u64 = 24 * 3600;

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What clients do.
    pub workload: Workload,
    /// What is done to the cluster, all at once.
    pub nemesis: Vec<Nemesis>,
    /// Seconds under faults.
    pub time_s: u64,
    /// What chance follows from.
    pub seed: u64,
    /// Which servers.
    pub target: Kind,
    /// How many of them.
    pub members: usize,
    /// Where they are, if they are not ours.
    pub endpoints: Vec<String>,
    /// How they reach each other, if they are ours. Runs that do not say it had proxies.
    #[serde(default)]
    pub network: Network,
}

/// The network that a run has where none is asked for, and what keeps it from having namespaces.
pub fn usual_network(target: Kind, nemesis: &[Nemesis]) -> (Network, Option<&'static str>) {
    let why = match target {
        Kind::Endpoints => Some("its members are not ours"),
        _ if nemesis.contains(&Nemesis::Delay) => Some("the nemesis delay needs proxies"),
        _ => why_no_namespaces(),
    };
    let network = match why {
        Some(_) => Network::Proxies,
        None => Network::Namespaces,
    };
    (network, why)
}

impl Spec {
    /// Refuses what cannot be done.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(
            (1..=SECONDS_MAX).contains(&self.time_s),
            "--time {} s: choose from 1 s to 24 h",
            self.time_s
        );
        ensure!(
            self.workload != Workload::Puts,
            "the workload puts is recorded by the scenarios kill-all-stores and plane-kills alone"
        );
        if self.nemesis.contains(&Nemesis::Clock) {
            ensure!(
                self.target == Kind::Ours,
                "the nemesis clock needs --target ours: a real etcd asks the kernel for the time, and not the C library whose answer is changed"
            );
        }
        if self.target == Kind::Etcd && self.disks() == Disks::Own {
            bail!(
                "{} need --target ours: a real etcd maps its database into memory, which these disks do not allow; every other nemesis but clock runs on it",
                disk_nemeses()
            );
        }
        for nemesis in &self.nemesis {
            if let Some(why) = nemesis.lacks() {
                bail!("the nemesis {} cannot be used here: {why}", nemesis.name());
            }
        }
        ensure!(
            self.workload == Workload::Tls || !self.nemesis.contains(&Nemesis::Certificates),
            "the nemesis certificates needs --workload tls: members of others have none"
        );
        if self.workload == Workload::QuorumLoss || self.nemesis.contains(&Nemesis::Membership) {
            ensure!(self.members > 1, "one member alone has no other to lose");
        }
        if self.target != Kind::Endpoints {
            ensure!(
                self.endpoints.is_empty(),
                "--endpoints needs --target endpoints"
            );
            if self.disks() == Disks::Own
                && let Some(why) = disk::why_not()
            {
                bail!(
                    "{why}; every nemesis but {} runs without it",
                    disk_nemeses()
                );
            }
            return self.check_network();
        }
        ensure!(
            !self.workload.needs_control(),
            "--target endpoints is a cluster of others: the workload {} changes it as a whole",
            self.workload.name()
        );
        let refused: Vec<&str> = self
            .nemesis
            .iter()
            .filter(|nemesis| nemesis.needs_control())
            .map(|nemesis| nemesis.name())
            .collect();
        if !refused.is_empty() {
            bail!(
                "--target endpoints is a cluster whose processes are not ours: no {}; what can be run on it are all workloads, with --nemesis compact,defrag or none",
                refused.join(", ")
            );
        }
        Ok(())
    }

    fn check_network(&self) -> Result<()> {
        match self.network {
            Network::Proxies => ensure!(
                !self.nemesis.contains(&Nemesis::Loss),
                "the nemesis loss needs --network namespaces, without delay: a proxy passes streams, of which nothing can be lost"
            ),
            Network::Namespaces => {
                ensure!(
                    !self.nemesis.contains(&Nemesis::Delay),
                    "the nemesis delay needs --network proxies: between namespaces packets pass at once or not at all"
                );
                if let Some(why) = why_no_namespaces() {
                    bail!("{why}; every nemesis but loss runs with --network proxies");
                }
            }
        }
        Ok(())
    }

    /// Flags that its members need besides the usual ones.
    pub(super) fn flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if self.nemesis.iter().any(|nemesis| nemesis.needs_snapshots()) {
            flags.push(format!("--snapshot-count={SNAPSHOT_ENTRIES}"));
            let name = match self.target {
                // The name that version 3.5 has.
                Kind::Etcd => "experimental-snapshot-catchup-entries",
                Kind::Ours | Kind::Endpoints => "snapshot-catchup-entries",
            };
            flags.push(format!("--{name}={CATCH_UP_ENTRIES}"));
        }
        match self.workload {
            Workload::Quota => flags.push(format!("--quota-backend-bytes={QUOTA_BYTES}")),
            // The least: what is tested are rights, not passwords.
            Workload::Auth => flags.push("--bcrypt-cost=4".to_owned()),
            _ => {}
        }
        flags
    }

    /// Whether somebody looks if the cluster is there: not where a write may rightly be refused, or
    /// members are given too much to do.
    pub(super) fn is_probed(&self) -> bool {
        let is_refused = matches!(
            self.workload,
            Workload::Auth | Workload::Quota | Workload::Overload
        );
        self.target != Kind::Endpoints && self.members > 2 && !is_refused
    }

    /// Where its members keep their state.
    pub(crate) fn disks(&self) -> Disks {
        match self.nemesis.iter().any(|nemesis| nemesis.needs_disks()) {
            true => Disks::Own,
            false => Disks::Shared,
        }
    }

    /// The command that does it again.
    pub fn command(&self) -> String {
        let mut words = vec![
            "keelson jepsen run".to_owned(),
            format!("--workload {}", self.workload.name()),
        ];
        if !self.nemesis.is_empty() {
            let names: Vec<&str> = self.nemesis.iter().map(|nemesis| nemesis.name()).collect();
            words.push(format!("--nemesis {}", names.join(",")));
        }
        words.push(format!("--time {}s --seed {}", self.time_s, self.seed));
        words.push(format!("--target {}", self.target.name()));
        match self.target {
            Kind::Endpoints => words.push(format!("--endpoints {}", self.endpoints.join(","))),
            _ => {
                words.push(format!("--members {}", self.members));
                words.push(format!("--network {}", self.network.name()));
            }
        }
        words.join(" ")
    }
}

fn disk_nemeses() -> String {
    let all = Nemesis::value_variants().iter();
    let names: Vec<&str> = all
        .filter(|nemesis| nemesis.needs_disks())
        .map(|nemesis| nemesis.name())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(target: Kind, nemesis: &[Nemesis]) -> Spec {
        Spec {
            workload: Workload::Set,
            nemesis: nemesis.to_vec(),
            time_s: 5,
            seed: 7,
            target,
            members: 3,
            endpoints: Vec::new(),
            network: Network::Proxies,
        }
    }

    #[test]
    fn packets_are_lost_between_namespaces_and_late_behind_proxies() {
        let error = spec(Kind::Ours, &[Nemesis::Loss]).check().unwrap_err();
        // Without namespaces it is said that they are missing.
        assert!(error.to_string().contains("namespaces"), "{error}");
        let delay = Spec {
            network: Network::Namespaces,
            ..spec(Kind::Ours, &[Nemesis::Delay])
        };
        let error = delay.check().unwrap_err().to_string();
        assert!(error.contains("--network proxies"), "{error}");
        let (network, why) = usual_network(Kind::Ours, &[Nemesis::Kill, Nemesis::Delay]);
        assert_eq!((network, why.is_some()), (Network::Proxies, true));
        let (network, why) = usual_network(Kind::Ours, &[Nemesis::Kill]);
        assert_eq!(network == Network::Proxies, why.is_some());
    }

    #[test]
    fn a_run_that_does_not_say_its_network_had_proxies() {
        let mut run = serde_json::to_value(spec(Kind::Ours, &[])).unwrap();
        run.as_object_mut().unwrap().remove("network");
        let run: Spec = serde_json::from_value(run).unwrap();
        assert_eq!(run.network, Network::Proxies);
    }

    #[test]
    fn a_cluster_of_others_is_not_killed() {
        let all = [Nemesis::Kill, Nemesis::Compact, Nemesis::Partition];
        let error = spec(Kind::Endpoints, &all).check().unwrap_err().to_string();
        assert!(error.contains("no kill, partition;"), "{error}");
        assert!(error.contains("compact,defrag"), "{error}");
        spec(Kind::Endpoints, &[Nemesis::Compact]).check().unwrap();
        spec(Kind::Ours, &all).check().unwrap();
    }

    #[test]
    fn the_command_says_everything() {
        let spec = spec(Kind::Etcd, &[Nemesis::Kill, Nemesis::TornTail]);
        assert_eq!(
            spec.command(),
            "keelson jepsen run --workload set --nemesis kill,torn-tail --time 5s --seed 7 --target etcd --members 3 --network proxies"
        );
    }
}
