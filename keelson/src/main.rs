//! `keelson`: one binary for every component. Called under an upstream program's name it is that
//! program.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its user"
)]

mod up;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A Kubernetes control plane on its own etcd replacement.
#[derive(Parser)]
#[command(name = "keelson", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a local, highly available cluster.
    Up(up::Options),
    /// Shows the components of a cluster started by `up`, and who leads.
    Status {
        #[command(flatten)]
        target: up::Target,
        /// Print JSON, for scripts.
        #[arg(short, long, value_parser = ["json", "table"], default_value = "table")]
        output: String,
    },
    /// Stops components in order.
    Down(up::Target),
    /// Stops components and starts them again with their state.
    Restart(up::Target),
    /// Kills components at once (SIGKILL), as a failure would.
    Kill(up::Target),
    /// Pauses components (SIGSTOP).
    Pause(up::Target),
    /// Lets paused components go on (SIGCONT).
    Resume(up::Target),
    /// Breaks a running cluster on purpose and judges what happened.
    Jepsen(jepsen_tests::Command),
}

/// Component, upstream's program name, and entry point.
type Program = (&'static str, &'static str, fn(Vec<String>) -> ExitCode);

/// The components. Their flags are upstream's, so each reads its own command line.
const PROGRAMS: &[Program] = &[
    ("store", "etcd", store::server::main_store),
    ("etcdutl", "etcdutl", store::tools::main_etcdutl),
    ("apiserver", "kube-apiserver", apiserver::main_apiserver),
    (
        "controllers",
        "kube-controller-manager",
        controllers::main_controllers,
    ),
    (
        "cloud-controllers",
        "cloud-controller-manager",
        controllers::main_cloud_controllers,
    ),
    ("scheduler", "kube-scheduler", scheduler::main_scheduler),
    ("kubelet", "kubelet", node::main_kubelet),
    ("proxy", "kube-proxy", node::main_proxy),
];

const COMPONENTS_HELP: &str = "\
Components, each with its upstream's flags (see `keelson COMPONENT --help`):
  store              a member of the store (etcd)
  etcdutl            snapshots and stopped members of the store (etcdutl)
  apiserver          an api-server (kube-apiserver)
  controllers        the controllers (kube-controller-manager)
  cloud-controllers  the cloud controllers (cloud-controller-manager)
  scheduler          the scheduler (kube-scheduler)
  kubelet            a node's agent (kubelet)
  proxy              a node's service proxy (kube-proxy)
A link to this binary under an upstream name is that program.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let called = args
        .first()
        .map(Path::new)
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy());
    if let Some((_, _, run)) = PROGRAMS
        .iter()
        .find(|(_, name, _)| called.as_deref() == Some(name))
    {
        return run(args[1..].to_vec());
    }
    let component = PROGRAMS
        .iter()
        .find(|(name, _, _)| args.get(1).is_some_and(|arg| arg == name));
    if let Some((_, _, run)) = component {
        return run(args[2..].to_vec());
    }
    let matches = <Cli as clap::CommandFactory>::command()
        .after_help(COMPONENTS_HELP)
        .get_matches();
    match <Cli as clap::FromArgMatches>::from_arg_matches(&matches) {
        Ok(cli) => steer(cli.command),
        Err(error) => error.exit(),
    }
}

/// Runs a command that is no component.
fn steer(command: Command) -> ExitCode {
    // fuser warns of each disk that was taken off before it was told.
    base::logging::init("warn,fuser::mnt=error", base::logging::Format::Text);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let outcome = match command {
        Command::Up(options) => runtime.block_on(up::run(&options)),
        Command::Status { target, output } => runtime
            .block_on(up::report(&target, output == "json"))
            .map(|text| println!("{}", text.trim_end())),
        Command::Down(target) => up::act(up::Act::Down, &target),
        Command::Restart(target) => up::act(up::Act::Restart, &target),
        Command::Kill(target) => up::act(up::Act::Kill, &target),
        Command::Pause(target) => up::act(up::Act::Pause, &target),
        Command::Resume(target) => up::act(up::Act::Resume, &target),
        Command::Jepsen(command) => return runtime.block_on(jepsen_tests::run(command)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
