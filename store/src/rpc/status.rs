//! The one table from what went wrong to what a client sees: a gRPC code and etcd's exact words.
//! Clients compare both, so neither may change.

use tonic::{Code, Status};

mod from;

/// Everything that a request can end in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A request without a key.
    #[error("key is not provided")]
    EmptyKey,
    /// An empty operation, or an ignored field of a key that is not there.
    #[error("key not found")]
    KeyNotFound,
    /// A value beside `ignore_value`.
    #[error("value is provided")]
    ValueProvided,
    /// A lease beside `ignore_lease`.
    #[error("lease is provided")]
    LeaseProvided,
    /// More operations than `--max-txn-ops`.
    #[error("too many operations in txn request")]
    TooManyOps,
    /// Two writes of one key in one transaction.
    #[error("duplicate key given in txn request")]
    DuplicateKey,
    /// A sort order or target that does not exist.
    #[error("invalid sort option")]
    InvalidSortOption,
    /// More bytes than `--max-request-bytes`.
    #[error("request is too large")]
    RequestTooLarge,
    /// A revision that is gone.
    #[error("mvcc: required revision has been compacted")]
    Compacted,
    /// A revision that is not there yet.
    #[error("mvcc: required revision is a future revision")]
    FutureRevision,
    /// The quota is reached.
    #[error("mvcc: database space exceeded")]
    NoSpace,
    /// A member's data differs from the others'.
    #[error("corrupt cluster")]
    Corrupt,
    /// No such lease.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The lease id is taken.
    #[error("lease already exists")]
    LeaseExists,
    /// A lifetime beyond all clocks.
    #[error("too large lease TTL")]
    LeaseTtlTooLarge,
    /// No such member.
    #[error("member not found")]
    MemberNotFound,
    /// The member id is taken.
    #[error("member ID already exist")]
    MemberExists,
    /// Another member has one of the peer URLs.
    #[error("Peer URLs already exists")]
    PeerUrlsExist,
    /// Peer URLs that are none.
    #[error("given member URLs are invalid")]
    BadMemberUrls,
    /// The change would leave fewer started members than a quorum.
    #[error("re-configuration failed due to not enough started members")]
    NotEnoughStarted,
    /// Only learners are promoted.
    #[error("can only promote a learner member")]
    NotLearner,
    /// The learner lags.
    #[error("can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    /// Too many learners.
    #[error("too many learner members in cluster")]
    TooManyLearners,
    /// A member is not reachable.
    #[error("unhealthy cluster")]
    Unhealthy,
    /// Too much waits to be applied.
    #[error("too many requests")]
    TooManyRequests,
    /// Nobody leads.
    #[error("no leader")]
    NoLeader,
    /// Somebody else leads.
    #[error("not leader")]
    NotLeader,
    /// Somebody else leads now.
    #[error("leader changed")]
    LeaderChanged,
    /// The member is ending.
    #[error("server stopped")]
    Stopped,
    /// No answer in time; the outcome is unknown.
    #[error("request timed out")]
    Timeout,
    /// As before, while nobody led.
    #[error("request timed out, possibly due to previous leader failure")]
    TimeoutLeaderFailed,
    /// As before, while forwarding.
    #[error("request timed out, possibly due to connection lost")]
    TimeoutConnectionLost,
    /// The member lags behind what it knows to be committed.
    #[error("request timed out, waiting for the applied index took too long")]
    TimeoutWaitApplied,
    /// A learner serves only serializable reads.
    #[error("rpc not supported for learner")]
    NotSupportedForLearner,
    /// The target cannot lead.
    #[error("bad leader transferee")]
    BadTransferee,
    /// There is no root user.
    #[error("root user does not exist")]
    RootUserNotExist,
    /// The root user does not have the root role.
    #[error("root user does not have root role")]
    RootRoleNotExist,
    /// A user of that name is there.
    #[error("user name already exists")]
    UserExists,
    /// Nobody said who asks, or which user.
    #[error("user name is empty")]
    UserEmpty,
    /// No such user.
    #[error("user name not found")]
    UserNotFound,
    /// A role of that name is there.
    #[error("role name already exists")]
    RoleExists,
    /// No such role.
    #[error("role name not found")]
    RoleNotFound,
    /// A role without a name.
    #[error("role name is empty")]
    RoleEmpty,
    /// No such user, or not its password.
    #[error("authentication failed, invalid user ID or password")]
    AuthFailed,
    /// A grant without what to grant.
    #[error("permission not given")]
    PermissionNotGiven,
    /// The user may not do that.
    #[error("permission denied")]
    PermissionDenied,
    /// The user does not have that role.
    #[error("role is not granted to the user")]
    RoleNotGranted,
    /// The role does not have that permission.
    #[error("permission is not granted to the role")]
    PermissionNotGranted,
    /// Nobody has to say who they are.
    #[error("authentication is not enabled")]
    AuthNotEnabled,
    /// A token that stands for nobody, or no longer.
    #[error("invalid auth token")]
    InvalidAuthToken,
    /// It would lock everybody out, or is no range of keys.
    #[error("invalid auth management")]
    InvalidAuthMgmt,
    /// Users or roles have changed since the user was looked up.
    #[error("revision of auth store is old")]
    AuthOldRevision,
    /// A user without a password was to be known by one.
    #[error("auth: authentication failed, password was given for no password user")]
    NoPasswordUser,
    /// A version that is none.
    #[error("wrong downgrade target version format")]
    DowngradeFormat,
    /// Another version than the minor release before the cluster's.
    #[error("invalid downgrade target version")]
    DowngradeTarget,
    /// A downgrade is under way.
    #[error("cluster has a downgrade job in progress")]
    DowngradeInProgress,
    /// The cluster has not decided on its version yet.
    #[error("cluster version not found during downgrade")]
    ClusterVersionUnknown,
    /// An action that does not exist.
    #[error("unknown method")]
    UnknownMethod,
    /// A password that is too long, or a token that cannot be made: in the words of what refused it.
    #[error("{0}")]
    Refused(String),
    /// The lease of a key that waited for a lock has ended.
    #[error("mutex: session is expired")]
    SessionExpired,
    /// Somebody else leads the election, or nobody.
    #[error("election: not leader")]
    NotElected,
    /// Nobody leads the election.
    #[error("election: no leader")]
    NobodyElected,
    /// A leader's request that does not say by which key it leads.
    #[error("\"leader\" field must be provided")]
    LeaderKeyMissing,
    /// A streamed range in an order of its own.
    #[error("RangeStream does not support custom sort orders")]
    StreamSort,
    /// A streamed range with filters.
    #[error("RangeStream does not support revision filters")]
    StreamFilters,
    /// What etcd has and the store does not have yet.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A fault of the store itself.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The gRPC code; exhaustive on purpose.
    pub fn code(&self) -> Code {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::InvalidSortOption
            | Self::RequestTooLarge
            | Self::BadMemberUrls
            | Self::UserEmpty
            | Self::RoleEmpty
            | Self::AuthFailed
            | Self::PermissionNotGiven
            | Self::InvalidAuthMgmt
            | Self::AuthOldRevision
            | Self::DowngradeFormat
            | Self::DowngradeTarget => Code::InvalidArgument,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::InvalidAuthToken => Code::Unauthenticated,
            Self::Compacted | Self::FutureRevision | Self::LeaseTtlTooLarge => Code::OutOfRange,
            Self::NoSpace => Code::ResourceExhausted,
            Self::Corrupt => Code::DataLoss,
            Self::LeaseNotFound | Self::MemberNotFound => Code::NotFound,
            Self::LeaseExists
            | Self::MemberExists
            | Self::PeerUrlsExist
            | Self::NotLearner
            | Self::LearnerNotReady
            | Self::TooManyLearners
            | Self::NotLeader
            | Self::NotSupportedForLearner
            | Self::BadTransferee
            | Self::RootUserNotExist
            | Self::RootRoleNotExist
            | Self::UserExists
            | Self::UserNotFound
            | Self::RoleExists
            | Self::RoleNotFound
            | Self::RoleNotGranted
            | Self::PermissionNotGranted
            | Self::AuthNotEnabled
            | Self::DowngradeInProgress
            | Self::ClusterVersionUnknown => Code::FailedPrecondition,
            // etcd maps these two to errors of its client library, which reach the wire as Unknown,
            Self::TooManyRequests | Self::NotEnoughStarted => Code::Unknown,
            // and has no code for these.
            Self::NoPasswordUser | Self::Refused(_) | Self::UnknownMethod => Code::Unknown,
            Self::SessionExpired
            | Self::NotElected
            | Self::NobodyElected
            | Self::LeaderKeyMissing => Code::Unknown,
            Self::Unhealthy
            | Self::NoLeader
            | Self::LeaderChanged
            | Self::Stopped
            | Self::Timeout
            | Self::TimeoutLeaderFailed
            | Self::TimeoutConnectionLost
            | Self::TimeoutWaitApplied => Code::Unavailable,
            Self::StreamSort | Self::StreamFilters | Self::Unsupported(_) => Code::Unimplemented,
            Self::Internal(_) => Code::Unknown,
        }
    }

    /// The words that a client sees.
    pub fn message(&self) -> String {
        match self {
            Self::StreamSort
            | Self::StreamFilters
            | Self::NoPasswordUser
            | Self::Refused(_)
            | Self::SessionExpired
            | Self::NotElected
            | Self::NobodyElected
            | Self::LeaderKeyMissing
            | Self::Internal(_) => self.to_string(),
            _ => format!("etcdserver: {self}"),
        }
    }
}

impl Error {
    /// What it is where etcd asks itself through its own client, as for locks and elections: the
    /// client's errors reach the wire without their code.
    pub(super) fn through_client(&self) -> Status {
        Status::unknown(self.message())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.message())
    }
}
