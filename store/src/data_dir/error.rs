//! Folders that are refused.

use std::io;
use std::path::PathBuf;

use super::FORMAT;

/// Why a folder cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be created, read or written.
    #[error("cannot access data directory {}: {action}", path.display())]
    Access {
        /// Which file or folder.
        path: PathBuf,
        /// What failed.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "data directory {} is in use by another process: stop that one, or give each member its own --data-dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// etcd wrote it.
    #[error(
        "data directory {} holds the files of etcd itself ({found}), which this store cannot read: \
         give an empty --data-dir, or one that `keelson etcdutl snapshot restore` made of a snapshot of that etcd",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What gave it away.
        found: &'static str,
    },
    /// There is data without an identity, or an identity that cannot be read.
    #[error(
        "data directory {} is damaged ({what}): restore it, or remove the member from its cluster \
         and add it again with an empty folder",
        path.display()
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Making it from a snapshot, from a backup or from a running etcd did not come to its end.
    #[error(
        "data directory {} holds a restore or a migration that did not finish: run the same `etcdutl migrate` \
         again, or remove the directory (and the --wal-dir, if one was given) and run the same \
         `etcdutl snapshot restore` or `etcdutl backup restore` again",
        .0.display()
    )]
    HalfRestored(PathBuf),
    /// A later program wrote it.
    #[error("data directory {} has format {found}, this program reads up to {FORMAT}: use a newer one", path.display())]
    TooNew {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It belongs to a cluster that the flags do not describe.
    #[error(
        "data directory {} belongs to another cluster: it was made with --initial-cluster-token={found:?} \
         (cluster ID {cluster_id:x}), the flags say {flags:?}: give this member's own --data-dir",
        path.display()
    )]
    OtherCluster {
        /// The folder.
        path: PathBuf,
        /// Its token.
        found: String,
        /// Its cluster.
        cluster_id: u64,
        /// The flags' token.
        flags: String,
    },
    /// It belongs to a member that the flags do not describe.
    #[error(
        "data directory {} belongs to another member: it is that of {found:?} (member ID {member_id:x}), \
         the flags describe {flags:?}: give this member's own --data-dir",
        path.display()
    )]
    OtherMember {
        /// The folder.
        path: PathBuf,
        /// Its member's name.
        found: String,
        /// Its member.
        member_id: u64,
        /// The flags' name.
        flags: String,
    },
}
