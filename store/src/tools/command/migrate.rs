//! The flags of `migrate`, and its last words.

use std::path::PathBuf;

use clap::Args;

use super::super::migrate::{self, Moved, Options, Until};
use super::super::source::Access;
use super::member::Member;
use super::{Outcome, long};

/// See the module.
#[derive(Args)]
pub(super) struct Migrate {
    /// gRPC endpoints of the etcd to move, comma-separated
    #[arg(long, env = "ETCDCTL_ENDPOINTS", default_value = "127.0.0.1:2379")]
    from: String,
    /// End as soon as everything is here that the source had at the beginning
    #[arg(long, conflicts_with = "until_revision")]
    until_synced: bool,
    /// End at this revision
    #[arg(long)]
    until_revision: Option<i64>,
    /// Path to the WAL directory (use --data-dir if none given)
    #[arg(long)]
    wal_dir: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    member: Member,
}

pub(super) fn run(flags: Migrate) -> Outcome {
    let until = match (flags.until_revision, flags.until_synced) {
        (Some(revision), _) => Until::Revision(revision),
        (None, true) => Until::Synced,
        (None, false) => Until::Told,
    };
    let options = Options {
        from: flags.from,
        access: flags.access,
        target: flags.member.options(flags.wal_dir),
        until,
    };
    let moved = long::run(async |told| migrate::migrate(&options, told).await)?;
    Ok(words(&options, &moved))
}

fn words(options: &Options, moved: &Moved) -> String {
    let hash = moved.hash;
    let missing = moved.source_revision - hash.hash_revision;
    let and = match missing {
        0 => "the source is there, too".to_owned(),
        _ => format!("the source has gone on by {missing} revisions, which are NOT here"),
    };
    let orphans = match moved.orphans {
        0 => String::new(),
        count => format!(
            "{count} leases have keys here and are gone from the source by now: those keys go a moment after the start. "
        ),
    };
    let target = &options.target;
    let wal_dir = target
        .wal_dir
        .as_ref()
        .map(|dir| format!(" --wal-dir {}", dir.display()));
    let wal_dir = wal_dir.unwrap_or_default();
    format!(
        "equal: cluster {:x} up to revision {} (compacted at {}) has hash {} there and here, {} leases; {and}. {orphans}\
         Next: keep clients from writing to the source, start `keelson store --name {} --data-dir {}{wal_dir} --initial-cluster {}` \
         with the flags that the etcd had, point clients to it, and add further members with `etcdctl member add`.\n",
        moved.source_cluster_id,
        hash.hash_revision,
        hash.compact_revision,
        hash.hash,
        moved.leases,
        moved.identity.name,
        target.data_dir.display(),
        target.initial_cluster,
    )
}
