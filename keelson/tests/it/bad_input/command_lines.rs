//! Command lines that cannot be read, and flags that contradict each other or are missing.

use std::process::Command;

use anyhow::{Result, ensure};

use super::process::{Running, keelson, refused};

/// Arguments, exit status, words.
type Case<'a> = (&'a [&'a str], i32, &'a str);

/// Flags with which neither store takes a port that somebody may have.
const ANYWHERE: &[&str] = &[
    "--name=a",
    "--listen-peer-urls=http://127.0.0.1:0",
    "--listen-client-urls=http://127.0.0.1:0",
    "--advertise-client-urls=http://127.0.0.1:1",
    "--initial-advertise-peer-urls=http://127.0.0.1:9",
];

/// What the store and etcd refuse with the same status and the same words.
const LIKE_ETCD: &[Case<'_>] = &[
    (
        &["--nonsense"],
        2,
        "flag provided but not defined: -nonsense",
    ),
    (
        &["-nonsense=1"],
        2,
        "flag provided but not defined: -nonsense",
    ),
    (&["---name=a"], 2, "bad flag syntax: ---name=a"),
    (&["--name"], 2, "flag needs an argument: -name"),
    (
        &["--heartbeat-interval=abc"],
        2,
        "invalid value \"abc\" for flag -heartbeat-interval: parse error",
    ),
    (
        &["--strict-reconfig-check=maybe"],
        2,
        "invalid boolean value \"maybe\" for -strict-reconfig-check: parse error",
    ),
    (
        &["--initial-cluster-state=foo"],
        2,
        "invalid value \"foo\" for flag -initial-cluster-state: ",
    ),
    (
        &["--listen-peer-urls=http://127.0.0.1:x"],
        2,
        "parse \"http://127.0.0.1:x\": invalid port \":x\" after host",
    ),
    (
        &["--listen-peer-urls=http://127.0.0.1"],
        2,
        "URL address does not have the form \"host:port\": http://127.0.0.1",
    ),
    (
        &["--listen-peer-urls=ftp://127.0.0.1:1"],
        2,
        "URL scheme must be http, https, unix, or unixs: ftp://127.0.0.1:1",
    ),
    (
        &["--max-concurrent-streams=99999999999"],
        2,
        "strconv.ParseUint: parsing \"99999999999\": value out of range",
    ),
    // Quoted in another way by each version of etcd.
    (&["extra"], 1, " is not a valid flag"),
    (&["--name=a", "extra"], 1, " is not a valid flag"),
    (
        &["--listen-client-urls=http://127.0.0.1:1"],
        1,
        "--advertise-client-urls is required when --listen-client-urls is set explicitly",
    ),
    (
        &["--heartbeat-interval=500"],
        1,
        "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[500ms]",
    ),
    (
        &["--election-timeout=60000"],
        1,
        "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
    ),
    (
        &["--listen-peer-urls=http://foo.bar:1"],
        1,
        "expected IP in URL for binding (http://foo.bar:1)",
    ),
    (
        &["--auto-compaction-mode=foo"],
        1,
        "unknown auto-compaction-mode \"foo\"",
    ),
    (
        &["--listen-client-urls=http://127.0.0.1:99999"],
        1,
        "listen tcp: address 99999: invalid port",
    ),
    (
        &["--initial-cluster=b=http://127.0.0.1:9"],
        1,
        "couldn't find local name \"a\" in the initial cluster configuration",
    ),
    (
        &["--initial-cluster=a=http://127.0.0.1:8"],
        1,
        "--initial-cluster has a=http://127.0.0.1:8 but missing from --initial-advertise-peer-urls=http://127.0.0.1:9",
    ),
];

#[test]
fn the_store_refuses_what_etcd_refuses_and_in_its_words() -> Result<()> {
    let (ours_dir, etcd_dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
    for (args, status, words) in LIKE_ETCD {
        let starts = words.contains("initial") || words.contains("listen tcp");
        let place: &[&str] = if starts && *status == 1 {
            ANYWHERE
        } else {
            &[]
        };
        let mut ours = keelson(&["store"])?;
        let mut etcd = Command::new(testkit::peer("etcd")?);
        for (command, dir) in [(&mut ours, &ours_dir), (&mut etcd, &etcd_dir)] {
            command.args(place).args(*args).current_dir(dir.path());
            Running::start(command)?.end()?.says(*status, words)?;
        }
    }
    Ok(())
}

#[test]
fn the_store_tells_what_is_wrong_in_its_environment() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for mut command in [keelson(&["store"])?, Command::new(testkit::peer("etcd")?)] {
        command
            .env("ETCD_HEARTBEAT_INTERVAL", "x")
            .current_dir(dir.path());
        Running::start(&mut command)?.end()?.says(
            1,
            "invalid value \"x\" for ETCD_HEARTBEAT_INTERVAL: parse error",
        )?;
    }
    Ok(())
}

#[test]
fn the_store_says_what_to_do_instead_of_what_it_cannot() -> Result<()> {
    let cases: &[Case<'_>] = &[
        (
            &["--cert-file=x"],
            1,
            "--cert-file and --key-file must be given together",
        ),
        (
            &["--peer-client-cert-auth"],
            1,
            "--peer-client-cert-auth needs --peer-trusted-ca-file",
        ),
        (
            &["--log-format=foo"],
            1,
            "unknown log format: foo, supported values json, console",
        ),
    ];
    for (args, status, words) in cases {
        refused(&[&["store"][..], *args].concat())?.says(*status, words)?;
    }
    // All faults at once, so that nobody has to try once for each.
    let several = refused(&["store", "--heartbeat-interval=0", "--cert-file=x"])?;
    for words in [
        "--heartbeat-interval must be >0",
        "--cert-file and --key-file",
    ] {
        several.says(1, words)?;
    }
    Ok(())
}

/// Flags that a component cannot do with, and what it says of them.
type Refusal<'a> = (&'a [&'a str], &'a str);

const COMPONENTS: &[(&str, &[Refusal<'_>])] = &[
    (
        "apiserver",
        &[
            (&["--secure-port"], "flag needs an argument: --secure-port"),
            (
                &["--secure-port=http"],
                "invalid argument \"http\" for \"--secure-port\" flag: strconv.ParseInt: parsing \"http\": invalid syntax",
            ),
            (
                &["--authorization-mode=Bogus"],
                "authorization-mode \"Bogus\" is not a valid mode",
            ),
            (
                &["--bind-address=here"],
                "invalid argument \"here\" for \"--bind-address\" flag: failed to parse IP: \"here\"",
            ),
            (&["--anonymous-auth=maybe"], "strconv.ParseBool"),
            (&["--encryption-provider-config=x"], "not supported yet"),
            // Everything that is missing, at once.
            (&[], "--etcd-servers must be specified"),
            (&[], "service-account-issuer is a required flag"),
            (&[], "--service-account-signing-key-file is a required flag"),
            (
                &[],
                "--tls-cert-file and --tls-private-key-file must be specified",
            ),
        ],
    ),
    ("controllers", ELECTED),
    ("cloud-controllers", ELECTED),
    ("scheduler", ELECTED),
    (
        "controllers",
        &[
            (
                &["--controllers=nonsense"],
                "\"nonsense\" is not in the list of known controllers",
            ),
            (
                &["--root-ca-file=/nonexistent/ca.crt"],
                "\"/nonexistent/ca.crt\" for \"--root-ca-file\"",
            ),
        ],
    ),
    (
        "cloud-controllers",
        &[
            (&["--cloud-provider=aws"], "unknown provider \"aws\""),
            (
                &["--load-balancer-pool=10.0.0"],
                "invalid CIDR address: 10.0.0",
            ),
        ],
    ),
    (
        "kubelet",
        &[
            (&["--kubeconfig"], "flag needs an argument: --kubeconfig"),
            (&["--port=70000"], "value out of range"),
            (
                &["--authorization-mode=Sometimes"],
                "must be Webhook or AlwaysAllow",
            ),
            (
                &["--hollow", "--kubeconfig=/nonexistent/k"],
                "/nonexistent/k",
            ),
            (&["--hollow"], NO_KUBECONFIG),
        ],
    ),
    (
        "proxy",
        &[
            (&["--kubeconfig"], "flag needs an argument: --kubeconfig"),
            (&["--proxy-mode=iptables"], "only nftables is supported"),
            (&["--cluster-cidr=here"], "must be an IPv4 range"),
            (&["--kubeconfig=/nonexistent/k"], "/nonexistent/k"),
            (&[], NO_KUBECONFIG),
        ],
    ),
];

const NO_KUBECONFIG: &str = "no kubeconfig was given and this is not a pod of the cluster";

/// What every component that is elected refuses.
const ELECTED: &[Refusal<'_>] = &[
    (&["--kubeconfig"], "flag needs an argument: --kubeconfig"),
    (
        &["--secure-port=http"],
        "invalid argument \"http\" for \"--secure-port\" flag: strconv.ParseInt: parsing \"http\": invalid syntax",
    ),
    (
        &["--leader-elect=maybe"],
        "invalid argument \"maybe\" for \"--leader-elect\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
    ),
    (
        &["--leader-elect-retry-period=5"],
        "time: missing unit in duration \"5\"",
    ),
    (&["--leader-elect-resource-lock=endpoints"], "endpoints"),
    (&["--tls-cert-file=/a"], "--tls-private-key-file"),
    (&["--tls-private-key-file=/a"], "--tls-cert-file"),
    (&["--kubeconfig=/nonexistent/k"], "/nonexistent/k"),
    (&[], NO_KUBECONFIG),
];

#[test]
fn components_refuse_flags_as_upstream_does() -> Result<()> {
    let names = [
        ("apiserver", "kube-apiserver"),
        ("controllers", "kube-controller-manager"),
        ("cloud-controllers", "cloud-controller-manager"),
        ("scheduler", "kube-scheduler"),
        ("kubelet", "kubelet"),
        ("proxy", "kube-proxy"),
    ];
    for (component, upstream) in names {
        let refused = |flag: &str| refused(&[component, flag]);
        refused("--nonsense")?.says(1, "Error: unknown flag: --nonsense\n")?;
        refused("--nonsense=1")?.says(1, "Error: unknown flag: --nonsense\n")?;
        refused("-x")?.says(1, "Error: unknown shorthand flag: 'x' in -x\n")?;
        refused("---v=1")?.says(1, "Error: bad flag syntax: ---v=1\n")?;
        refused("stray")?.says(
            1,
            &format!("Error: \"{upstream}\" does not take any arguments, got [\"stray\"]\n"),
        )?;
        refused("--v=loud")?.says(
            1,
            "flag: strconv.ParseInt: parsing \"loud\": invalid syntax\n",
        )?;
    }
    Ok(())
}

#[test]
fn components_name_the_flag_and_what_it_takes() -> Result<()> {
    for (component, cases) in COMPONENTS {
        for (args, words) in *cases {
            let mut command = keelson(&[component])?;
            // On a machine that is a pod the missing kubeconfig would be no fault.
            command.args(*args).env_remove("KUBERNETES_SERVICE_HOST");
            let ended = Running::start(&mut command)?.end()?;
            ended.says(1, words)?;
            ensure!(
                ended.text.contains("Error: ") || ended.text.contains("ERROR"),
                "{component} {args:?}: {}",
                ended.text
            );
        }
    }
    Ok(())
}

#[test]
fn times_of_an_election_that_contradict_each_other_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let kubeconfig = super::pki::Pki::new(dir.path())?.kubeconfig("https://127.0.0.1:1")?;
    for component in ["controllers", "cloud-controllers", "scheduler"] {
        let args = [
            component,
            "--leader-elect-renew-deadline=20s",
            "--secure-port=0",
            "--kubeconfig",
            &kubeconfig,
        ];
        refused(&args)?.says(1, "leaseDuration must be greater than renewDeadline")?;
    }
    Ok(())
}

#[test]
fn the_tool_refuses_with_2_what_it_cannot_read() -> Result<()> {
    let cases: &[Case<'_>] = &[
        (&[], 2, " <COMMAND>"),
        (&["nonsense"], 2, "unrecognized subcommand 'nonsense'"),
        (
            &["up", "--nonsense"],
            2,
            "unexpected argument '--nonsense' found",
        ),
        (
            &["up", "--stores", "many"],
            2,
            "invalid value 'many' for '--stores <N>'",
        ),
        (&["up", "--stores", "2"], 2, "[possible values: 1, 3, 5]"),
        (&["up", "--apiservers", "9"], 2, "9 is not in 0..=5"),
        (&["up", "--base-port", "80"], 2, "80 is not in 1024..=65000"),
        (&["up", "stray"], 2, "unexpected argument 'stray' found"),
        (
            &["down", "--data-dir"],
            2,
            "a value is required for '--data-dir <DIR>' but none was supplied",
        ),
        (
            &["status", "--output", "xml"],
            2,
            "[possible values: json, table]",
        ),
    ];
    for (args, status, words) in cases {
        refused(args)?.says(*status, words)?;
    }
    Ok(())
}
