//! What went wrong further in, in the words of the table.

use super::Error;
use crate::apply::ReadError;
use crate::auth::jwt::JwtError;
use crate::auth::password::PasswordError;
use crate::command::ApplyError;
use crate::consensus::{self, Fatal, MembershipError, ProposeError};

impl From<ProposeError> for Error {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NoLeader => Self::TimeoutLeaderFailed,
            ProposeError::Overloaded => Self::TooManyRequests,
            // The command may yet be applied; nothing that reads as a refusal may be said.
            ProposeError::Unknown(_) => Self::TimeoutConnectionLost,
            ProposeError::Timeout => Self::Timeout,
            ProposeError::Stopped => Self::Stopped,
        }
    }
}

impl From<consensus::ReadError> for Error {
    fn from(error: consensus::ReadError) -> Self {
        match error {
            consensus::ReadError::NoLeader => Self::NoLeader,
            consensus::ReadError::Timeout => Self::Timeout,
            consensus::ReadError::Stopped => Self::Stopped,
        }
    }
}

impl From<MembershipError> for Error {
    fn from(error: MembershipError) -> Self {
        match error {
            MembershipError::NotFound(_) => Self::MemberNotFound,
            MembershipError::IdExists(_) => Self::MemberExists,
            MembershipError::PeerUrlsExist => Self::PeerUrlsExist,
            MembershipError::NotLearner(_) => Self::NotLearner,
            MembershipError::LearnerNotReady(_) => Self::LearnerNotReady,
            MembershipError::TooManyLearners => Self::TooManyLearners,
            MembershipError::NotEnoughStarted => Self::NotEnoughStarted,
            MembershipError::Unhealthy => Self::Unhealthy,
            MembershipError::Propose(error) => error.into(),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Compacted => Self::Compacted,
            ReadError::FutureRev => Self::FutureRevision,
            ReadError::Refused(error) => error.into(),
            ReadError::NotReadOnly | ReadError::Busy => Self::Internal(error.to_string()),
            ReadError::Storage(fatal) => fatal.into(),
        }
    }
}

impl From<Fatal> for Error {
    fn from(fatal: Fatal) -> Self {
        tracing::error!(error = %base::report(&fatal), "the state cannot be read");
        Self::Internal(format!("the state cannot be read: {fatal}"))
    }
}

impl From<ApplyError> for Error {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::KeyNotFound => Self::KeyNotFound,
            ApplyError::LeaseNotFound => Self::LeaseNotFound,
            ApplyError::LeaseExists => Self::LeaseExists,
            ApplyError::LeaseTtlTooLarge => Self::LeaseTtlTooLarge,
            ApplyError::Compacted => Self::Compacted,
            ApplyError::FutureRev => Self::FutureRevision,
            ApplyError::NoSpace => Self::NoSpace,
            ApplyError::Corrupt => Self::Corrupt,
            ApplyError::ValueProvided => Self::ValueProvided,
            ApplyError::LeaseProvided => Self::LeaseProvided,
            ApplyError::DuplicateKey => Self::DuplicateKey,
            ApplyError::MemberNotFound => Self::MemberNotFound,
            ApplyError::Unsupported => {
                Self::Unsupported("not supported yet by the leader of this cluster")
            }
            ApplyError::Malformed => Self::Internal("the command could not be read".into()),
            ApplyError::RootUserNotExist => Self::RootUserNotExist,
            ApplyError::RootRoleNotExist => Self::RootRoleNotExist,
            ApplyError::UserExists => Self::UserExists,
            ApplyError::UserEmpty => Self::UserEmpty,
            ApplyError::UserNotFound => Self::UserNotFound,
            ApplyError::RoleExists => Self::RoleExists,
            ApplyError::RoleNotFound => Self::RoleNotFound,
            ApplyError::RoleEmpty => Self::RoleEmpty,
            ApplyError::AuthFailed => Self::AuthFailed,
            ApplyError::PermissionNotGiven => Self::PermissionNotGiven,
            ApplyError::PermissionDenied => Self::PermissionDenied,
            ApplyError::RoleNotGranted => Self::RoleNotGranted,
            ApplyError::PermissionNotGranted => Self::PermissionNotGranted,
            ApplyError::AuthNotEnabled => Self::AuthNotEnabled,
            ApplyError::InvalidAuthMgmt => Self::InvalidAuthMgmt,
            ApplyError::AuthOldRevision => Self::AuthOldRevision,
            ApplyError::NoPasswordUser => Self::NoPasswordUser,
        }
    }
}

impl From<PasswordError> for Error {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::TooLong => Self::Refused(error.to_string()),
            PasswordError::Stopped => Self::Stopped,
            PasswordError::Hash(_) => {
                tracing::error!(error = %base::report(&error), "no password can be hashed");
                Self::Internal(error.to_string())
            }
        }
    }
}

impl From<JwtError> for Error {
    fn from(error: JwtError) -> Self {
        tracing::warn!(error = %base::report(&error), "no token can be made");
        Self::Refused(error.to_string())
    }
}
