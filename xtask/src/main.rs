//! `cargo xtask`: everything that a newcomer or CI runs. It starts other programs and depends on
//! no crate of the workspace, so that it builds in seconds on a fresh machine.
#![expect(clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod bench;
mod check;
mod codegen;
mod command;
mod differential;
mod jepsen;
mod packages;
mod peers;
mod rocksdb;
mod setup;
mod sim;
mod tidy;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The commands of the Keelson workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what building and testing need: packages, RocksDB (built once per machine), the packaged peers.
    Setup {
        /// Also what `up` needs for a real node (as root).
        #[arg(long)]
        node: bool,
    },
    /// Builds a release binary and starts a local, highly available cluster; all arguments go to `keelson up`.
    #[command(disable_help_flag = true)]
    Up {
        /// See `cargo xtask up --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Installs what the tests need and runs everything: format, lints, tidy, unit, integration, end to end.
    Test,
    /// Format, tidy and lints, without the tests.
    Verify,
    /// Formats the code and applies the lints' own suggestions.
    Fix,
    /// Checks the arrows between crates, file sizes, words and headers.
    Tidy {
        /// Write today's sizes of long files down as their limits.
        #[arg(long)]
        accept: bool,
    },
    /// Reads a running kube-apiserver and writes the tables of kinds.
    Codegen {
        /// See the message that it prints without arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Compares ours with peers that are built from Go; not part of CI.
    Differential {
        /// Folder of the peers' programs; default: the `bin` folder of the peers' cache.
        #[arg(long)]
        peers: Option<std::path::PathBuf>,
    },
    /// Simulates clusters on virtual time, network and disk: many seeds, one digest.
    #[command(disable_help_flag = true)]
    Sim {
        /// See `cargo xtask sim --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Breaks clusters of the store on purpose and judges what came of it. Ends with a line `N passed, N failed`.
    Jepsen(jepsen::Asked),
    /// Measures the store beside a real etcd, alternating, with etcd's own load tool.
    Bench {
        /// Folder of the peers' programs (`etcd-3.7` and `benchmark`).
        #[arg(long)]
        peers: Option<std::path::PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Setup { node } => setup::run(node).map(|_| ()),
        Task::Up { args } => up::run(&args),
        Task::Test => check::test(),
        Task::Verify => check::verify(),
        Task::Fix => check::fix(),
        Task::Tidy { accept } => tidy::run(accept),
        Task::Codegen { args } => codegen::run(&args),
        Task::Differential { peers } => differential::run(peers),
        Task::Sim { args } => sim::run(&args),
        Task::Jepsen(asked) => jepsen::run(&asked),
        Task::Bench { peers } => bench::run(peers),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            match error.downcast_ref::<packages::Missing>() {
                Some(_) => ExitCode::from(2),
                None => ExitCode::FAILURE,
            }
        }
    }
}
