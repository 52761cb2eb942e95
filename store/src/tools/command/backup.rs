//! The flags of `backup`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::super::backup::{self, RestoreOptions, RunOptions};
use super::super::print::Format;
use super::super::source::Access;
use super::member::Member;
use super::{BAD_FEATURE, Outcome, failed, long};
use crate::config::parse_duration;

/// See the module.
#[derive(Subcommand)]
pub(super) enum Backup {
    /// Writes what the source has, and every change as it comes, into a directory
    Run(Box<Run>),
    /// Tells which revisions a backup holds
    List {
        /// The backup's directory
        #[arg(long)]
        dir: PathBuf,
    },
    /// Reads all of a backup: is it what was written?
    Verify {
        /// The backup's directory
        #[arg(long)]
        dir: PathBuf,
    },
    /// Makes a member of a new cluster of a backup, with everything as it was at a revision
    Restore(Box<Restore>),
}

#[derive(Args)]
pub(super) struct Run {
    /// gRPC endpoints, comma-separated
    #[arg(long, env = "ETCDCTL_ENDPOINTS", default_value = "127.0.0.1:2379")]
    endpoints: String,
    /// The backup's directory, made where it is missing
    #[arg(long)]
    dir: PathBuf,
    /// End as soon as everything is held that the source had at the beginning
    #[arg(long)]
    once: bool,
    /// How long a change may wait until it is on disk
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    interval: Duration,
    /// Take a new base first
    #[arg(long)]
    new_base: bool,
    /// Bases to keep, with the changes after each; older ones are removed when a new one is whole (default: all)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    #[command(flatten)]
    access: Access,
}

#[derive(Args)]
pub(super) struct Restore {
    /// The backup's directory
    #[arg(long)]
    dir: PathBuf,
    /// The revision to restore (default: the newest held)
    #[arg(long, default_value_t = 0)]
    revision: i64,
    /// Path to the WAL directory (use --data-dir if none given)
    #[arg(long)]
    wal_dir: Option<PathBuf>,
    #[command(flatten)]
    member: Member,
}

pub(super) fn run(command: Backup, format: Option<Format>) -> Outcome {
    match command {
        Backup::Run(flags) => {
            let options = RunOptions {
                endpoints: flags.endpoints,
                access: flags.access,
                dir: flags.dir,
                is_once: flags.once,
                interval: flags.interval,
                wants_base: flags.new_base,
                keep: flags.keep.and_then(|keep| keep.try_into().ok()),
            };
            let done = long::run(async |told| backup::run(&options, told).await)?;
            Ok(format!(
                "base {}: revisions {} to {} are held\n",
                done.base, done.first_revision, done.last_revision
            ))
        }
        Backup::List { dir } => {
            let format = match format {
                Some(format @ (Format::Simple | Format::Json)) => format,
                _ => return Err((BAD_FEATURE, "unsupported output format".to_owned())),
            };
            backup::list(&dir, format).map_err(failed)
        }
        Backup::Verify { dir } => backup::verify(&dir).map_err(failed),
        Backup::Restore(flags) => {
            let options = RestoreOptions {
                dir: flags.dir,
                revision: flags.revision,
                target: flags.member.options(flags.wal_dir),
            };
            let made = long::run(async |_| backup::restore(&options).await)?;
            let (identity, imported) = made;
            Ok(format!(
                "member {:x} of cluster {:x} at revision {}, {} leases, in {}\n",
                identity.member_id,
                identity.cluster_id,
                imported.head.revision,
                imported.leases,
                options.target.data_dir.display()
            ))
        }
    }
}
