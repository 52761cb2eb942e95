//! Why a member does not start.

use std::path::PathBuf;

use super::discovery::DiscoveryError;
use super::listen::ListenError;
use super::srv::SrvError;
use crate::auth::jwt::JwtError;
use crate::consensus::Fatal;
use crate::data_dir::DataDirError;
use crate::tls::{SelfMadeError, TlsError};
use crate::traces::TracesError;

/// Every one is final: trying again without a change will not help.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A certificate.
    #[error("TLS of the {side} side")]
    Tls {
        /// Clients' or peers'.
        side: &'static str,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// A certificate that the member was to make itself.
    #[error("failed to get {side} self-signed certs")]
    SelfMade {
        /// Clients' or peers'.
        side: &'static str,
        /// Why.
        #[source]
        source: SelfMadeError,
    },
    /// `--memory-mlock`.
    #[error("--memory-mlock: cannot lock memory: {why}")]
    LockMemory {
        /// What to do.
        why: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The keys of users' tokens.
    #[error("failed to create token provider")]
    Tokens(#[from] JwtError),
    /// The collector of traces.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The folder.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// `--name` is not in `--initial-cluster`.
    #[error("couldn't find local name {0:?} in the initial cluster configuration")]
    NoLocalName(String),
    /// Two members share a URL.
    #[error("initial cluster {0} has duplicate url")]
    DuplicateUrl(String),
    /// The same among those that have met.
    #[error("discovery cluster {0} has duplicate url")]
    DuplicateDiscovered(String),
    /// The members did not meet.
    #[error("failed to join discovery cluster")]
    Discovery(#[source] Box<DiscoveryError>),
    /// The two flags on this member's peer URLs contradict each other.
    #[error("{0}")]
    Advertise(String),
    /// `--discovery-srv` names no cluster.
    #[error("error setting up initial cluster")]
    Srv(#[from] SrvError),
    /// This member has been part of the cluster with data that is gone.
    #[error("member {0:x} has already been bootstrapped")]
    AlreadyBootstrapped(u64),
    /// Nobody told who belongs to the cluster.
    #[error(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs ({0})"
    )]
    CannotFetchCluster(String),
    /// `--initial-cluster` and the running cluster differ.
    #[error("error validating peerURLs: {0}")]
    JoinMismatch(String),
    /// `--force-new-cluster` where nothing is lost.
    #[error(
        "--force-new-cluster: member {0:x} still has a leader, so the cluster is not lost: start this \
         member without the flag, or stop all other members first"
    )]
    NotLost(u64),
    /// `--force-new-cluster` again and again.
    #[error(
        "--force-new-cluster: this data directory was forced {0} times already: save its content by a \
         snapshot and restore that into an empty one"
    )]
    ForcedTooOften(usize),
    /// The state cannot be opened.
    #[error(
        "open the state in {}: restore the data directory, or remove the member from its cluster \
         and add it again with an empty folder",
        path.display()
    )]
    State {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: Fatal,
    },
    /// Consensus cannot be started.
    #[error("start consensus")]
    Consensus(#[source] crate::consensus::StartError),
    /// A thread is gone.
    #[error("start a thread")]
    Thread(#[source] tokio::task::JoinError),
}
