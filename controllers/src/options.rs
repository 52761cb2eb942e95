//! The settings of the controllers, read once from flags that bear upstream's names.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use client::ConnectOptions;
use client::flags::{Error, Flags, Known};
use ipnet::IpNet;

use crate::catalog;
use crate::credentials::ActAs;

/// What the controllers go by.
#[derive(Clone, Debug)]
pub struct Options {
    /// The CA that every namespace's `kube-root-ca.crt` shows. None: that controller does not run.
    pub root_ca: Option<String>,
    /// A node that has not renewed for this long is unknown. Default 50 s.
    pub node_monitor_grace: Duration,
    /// Between two looks at all nodes. Default 5 s.
    pub node_monitor_period: Duration,
    /// Nodes per second whose pods are evicted when they are lost. Default 0.1.
    pub node_eviction_rate: f64,
    /// Finished pods kept by the pod garbage collector. Default 12500; 0 keeps all.
    pub terminated_pods_max: usize,
    /// The addresses that the local provider gives to Services of type LoadBalancer.
    pub load_balancer_pool: Vec<IpNet>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            root_ca: None,
            node_monitor_grace: Duration::from_secs(50),
            node_monitor_period: Duration::from_secs(5),
            node_eviction_rate: 0.1,
            terminated_pods_max: 12_500,
            load_balancer_pool: Vec::new(),
        }
    }
}

/// The settings of the process around the controllers.
#[derive(Clone, Debug)]
pub struct Process {
    /// Where the api-servers are.
    pub connect: ConnectOptions,
    /// In whose name the controllers act. Default: the process's. Accounts cost a token an hour each, and the process needs
    /// the right to make them.
    pub act_as: ActAs,
    /// The election. None: lead at once and alone.
    pub election: Option<client::leader::Config>,
    /// The health port. None: none.
    pub serve: Option<client::serve::Config>,
    /// The controllers to run.
    pub enabled: Vec<&'static catalog::Entry>,
    /// The filter of log records.
    pub log_level: String,
    /// What the controllers go by.
    pub options: Options,
}

/// Which of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `kube-controller-manager`.
    Controllers,
    /// `cloud-controller-manager`.
    CloudControllers,
}

impl Program {
    /// Its name in messages, its lease and its user agent.
    pub fn name(self) -> &'static str {
        match self {
            Self::Controllers => "kube-controller-manager",
            Self::CloudControllers => "cloud-controller-manager",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Controllers => 10257,
            Self::CloudControllers => 10258,
        }
    }
}

/// Upstream's flags that have no meaning here: given, they are named in the log and otherwise without effect.
const WITHOUT_EFFECT: [&str; 25] = [
    "allocate-node-cidrs",
    "authentication-kubeconfig",
    "authorization-kubeconfig",
    "authorization-always-allow-paths",
    "cert-dir",
    "client-ca-file",
    "cluster-cidr",
    "cluster-name",
    "cluster-signing-cert-file",
    "cluster-signing-key-file",
    "concurrent-deployment-syncs",
    "concurrent-endpoint-syncs",
    "concurrent-gc-syncs",
    "concurrent-namespace-syncs",
    "concurrent-replicaset-syncs",
    "configure-cloud-routes",
    "kube-api-burst",
    "kube-api-qps",
    "leader-elect-resource-lock",
    "node-cidr-mask-size",
    "profiling",
    "requestheader-client-ca-file",
    "secondary-node-eviction-rate",
    "service-account-private-key-file",
    "service-cluster-ip-range",
];

/// The flags of a program.
pub fn known(program: Program) -> Known {
    let mut known = Known::new()
        .value("kubeconfig", "Path to kubeconfig file with authorization and api-server location information.")
        .value("server", "URLs of api-server replicas, separated by commas, that replace the kubeconfig's server.")
        .switch("leader-elect", "Start a leader election client and gain leadership before executing the main loop. (default true)")
        .value("leader-elect-lease-duration", "How long others wait after the last renewal. (default 15s)")
        .value("leader-elect-renew-deadline", "How long the leader tries to renew before it stops leading. (default 10s)")
        .value("leader-elect-retry-period", "How long to wait between tries. (default 2s)")
        .value("leader-elect-resource-name", "The name of the lease.")
        .value("leader-elect-identity", "Who stands for election; must differ between replicas. (default: the host's name and a random part)")
        .value("leader-elect-resource-namespace", "The namespace of the lease. (default kube-system)")
        .value("bind-address", "The IP address on which to listen for the --secure-port port. (default 0.0.0.0)")
        .value("secure-port", "The port on which to serve HTTPS; 0 for none.")
        .value("tls-cert-file", "The certificate of the port; self-signed if none is given.")
        .value("tls-private-key-file", "The key of --tls-cert-file.")
        .value("controllers", "The controllers to run: '*' all that are on by default, 'foo' runs foo, '-foo' does not.")
        .switch("use-service-account-credentials", "If true, use individual service account credentials for each controller.")
        .value("v", "The verbosity of the log: 0 to 10.")
        .value("log-level", "The filter of log records, in place of --v.");
    if program == Program::Controllers {
        known = known
            .value(
                "root-ca-file",
                "The CA that service accounts' pods find in kube-root-ca.crt.",
            )
            .value(
                "node-monitor-grace-period",
                "How long a node may be silent before it is unknown. (default 50s)",
            )
            .value(
                "node-monitor-period",
                "Between two looks at the nodes. (default 5s)",
            )
            .value(
                "node-eviction-rate",
                "Lost nodes per second whose pods are evicted. (default 0.1)",
            )
            .value(
                "terminated-pod-gc-threshold",
                "Finished pods that may exist before they are deleted. (default 12500)",
            );
    } else {
        known = known
            .value("cloud-provider", "The provider; only 'local' exists.")
            .value(
                "load-balancer-pool",
                "The addresses for Services of type LoadBalancer, as CIDRs separated by commas.",
            );
    }
    for name in WITHOUT_EFFECT {
        known = match name {
            "allocate-node-cidrs" | "configure-cloud-routes" | "profiling" => {
                known.switch(name, "Accepted, without effect.")
            }
            _ => known.value(name, "Accepted, without effect."),
        };
    }
    known
}

/// Reads the flags into settings.
pub fn read(program: Program, flags: &Flags) -> Result<Process, Error> {
    let mut options = Options::default();
    if let Some(path) = flags.get("root-ca-file") {
        let text = std::fs::read_to_string(path);
        options.root_ca =
            Some(text.map_err(|error| flags.invalid("root-ca-file", error.to_string()))?);
    }
    options.node_monitor_grace =
        flags.duration("node-monitor-grace-period", options.node_monitor_grace)?;
    options.node_monitor_period =
        flags.duration("node-monitor-period", options.node_monitor_period)?;
    options.node_eviction_rate = flags.parsed("node-eviction-rate", options.node_eviction_rate)?;
    options.terminated_pods_max =
        flags.parsed("terminated-pod-gc-threshold", options.terminated_pods_max)?;
    for cidr in flags.list("load-balancer-pool") {
        let net = cidr.parse().map_err(|_| {
            flags.invalid(
                "load-balancer-pool",
                format!("invalid CIDR address: {cidr}"),
            )
        })?;
        options.load_balancer_pool.push(net);
    }
    if let Some(provider) = flags.get("cloud-provider").filter(|name| *name != "local") {
        return Err(flags.invalid("cloud-provider", format!("unknown provider {provider:?}")));
    }
    let connect = ConnectOptions {
        kubeconfig: flags.get("kubeconfig").map(PathBuf::from),
        servers: flags.list("server"),
        user_agent: format!("{}/v{}", program.name(), env!("CARGO_PKG_VERSION")),
    };
    let act_as = match flags.switch("use-service-account-credentials", false) {
        true => ActAs::ServiceAccounts,
        false => ActAs::Process,
    };
    Ok(Process {
        connect,
        act_as,
        election: election(program, flags)?,
        serve: serve(program, flags)?,
        enabled: enabled(program, flags)?,
        log_level: log_level(flags)?,
        options,
    })
}

/// The flags that were given and do nothing.
pub fn without_effect(flags: &Flags) -> Vec<&'static str> {
    WITHOUT_EFFECT
        .into_iter()
        .filter(|name| flags.get(name).is_some())
        .collect()
}

fn election(program: Program, flags: &Flags) -> Result<Option<client::leader::Config>, Error> {
    if !flags.switch("leader-elect", true) {
        return Ok(None);
    }
    if let Some(lock) = flags
        .get("leader-elect-resource-lock")
        .filter(|lock| *lock != "leases")
    {
        let cause = format!("Invalid lock-type {lock}");
        return Err(flags.invalid("leader-elect-resource-lock", cause));
    }
    let namespace = flags
        .get("leader-elect-resource-namespace")
        .unwrap_or("kube-system");
    let name = flags
        .get("leader-elect-resource-name")
        .unwrap_or(program.name());
    let mut config = client::leader::Config::new(namespace, name);
    if let Some(identity) = flags.get("leader-elect-identity") {
        identity.clone_into(&mut config.identity);
    }
    config.lease_duration = flags.duration("leader-elect-lease-duration", config.lease_duration)?;
    config.renew_deadline = flags.duration("leader-elect-renew-deadline", config.renew_deadline)?;
    config.retry_period = flags.duration("leader-elect-retry-period", config.retry_period)?;
    let checked = config.check();
    checked.map_err(|error| flags.invalid("leader-elect-lease-duration", error.to_string()))?;
    Ok(Some(config))
}

fn serve(program: Program, flags: &Flags) -> Result<Option<client::serve::Config>, Error> {
    let port: u16 = flags.parsed("secure-port", program.port())?;
    if port == 0 {
        return Ok(None);
    }
    let address = flags.parsed("bind-address", std::net::IpAddr::from([0, 0, 0, 0]))?;
    let file = |name: &str| flags.get(name).map(PathBuf::from);
    let certificate = match (file("tls-cert-file"), file("tls-private-key-file")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(Error::NeedsArgument("tls-private-key-file".to_owned())),
        (None, Some(_)) => return Err(Error::NeedsArgument("tls-cert-file".to_owned())),
    };
    Ok(Some(client::serve::Config {
        address: SocketAddr::new(address, port),
        certificate,
    }))
}

fn enabled(program: Program, flags: &Flags) -> Result<Vec<&'static catalog::Entry>, Error> {
    let all = catalog::entries(program);
    let given = flags.list("controllers");
    for name in &given {
        let bare = name.strip_prefix('-').unwrap_or(name);
        if bare != "*" && !all.iter().any(|entry| entry.name == bare) {
            let cause = format!("{bare:?} is not in the list of known controllers");
            return Err(flags.invalid("controllers", cause));
        }
    }
    let has = |name: &str| given.iter().any(|one| one == name);
    let wanted = |entry: &&catalog::Entry| {
        let by_default = given.is_empty() || has("*");
        has(entry.name) || (by_default && !has(&format!("-{}", entry.name)))
    };
    Ok(all.iter().filter(wanted).collect())
}

fn log_level(flags: &Flags) -> Result<String, Error> {
    if let Some(level) = flags.get("log-level") {
        return Ok(level.to_owned());
    }
    let level = match flags.parsed("v", 2_u8)? {
        0..=3 => "info",
        4..=5 => "debug",
        _ => "trace",
    };
    Ok(level.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Process, Program, known, read};
    use crate::credentials::ActAs;

    fn parse(line: &str) -> Result<Process, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let flags = known(Program::Controllers).parse("kube-controller-manager", &args);
        let flags = flags.map_err(|error| error.to_string())?;
        read(Program::Controllers, &flags).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_upstreams() {
        let process = parse("").unwrap();
        let election = process.election.unwrap();
        assert_eq!(election.name, "kube-controller-manager");
        assert_eq!(election.namespace, "kube-system");
        assert_eq!(election.lease_duration.as_secs(), 15);
        assert_eq!(process.serve.unwrap().address.port(), 10257);
        assert_eq!(process.options.node_monitor_grace.as_secs(), 50);
        assert_eq!(process.act_as, ActAs::Process);
    }

    #[test]
    fn controllers_act_as_accounts_where_that_is_asked_for() {
        let act_as = |line: &str| parse(line).unwrap().act_as;
        let flag = "--use-service-account-credentials";
        assert_eq!(act_as(flag), ActAs::ServiceAccounts);
        assert_eq!(act_as(&format!("{flag}=false")), ActAs::Process);
    }

    #[test]
    fn controllers_are_chosen_by_name() {
        let names = |line: &str| -> Vec<&str> {
            parse(line)
                .unwrap()
                .enabled
                .iter()
                .map(|entry| entry.name)
                .collect()
        };
        assert_eq!(
            names("--controllers=namespace-controller"),
            ["namespace-controller"]
        );
        let all = names("").len();
        assert_eq!(
            names("--controllers=*,-namespace-controller").len(),
            all - 1
        );
        assert!(
            parse("--controllers=nonsense")
                .unwrap_err()
                .contains("not in the list of known")
        );
    }

    #[test]
    fn faults_are_refused_in_upstreams_words() {
        assert_eq!(parse("--foo").unwrap_err(), "unknown flag: --foo");
        let text = parse("--leader-elect-renew-deadline=20s").unwrap_err();
        assert!(
            text.contains("leaseDuration must be greater than renewDeadline"),
            "{text}"
        );
        assert!(parse("--root-ca-file=/nonexistent").is_err());
        assert!(parse("--tls-cert-file=/a").is_err());
    }
}
