//! What applying a command gave: etcd's response, or why it was refused.

use bytes::Bytes;
use prost::Message;

/// Why a command changed nothing. The numbers travel between members: never use one again for
/// another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[repr(u32)]
pub enum ApplyError {
    /// A put that keeps the old value or lease found no old pair.
    #[error("key not found")]
    KeyNotFound = 1,
    /// No lease has that id.
    #[error("requested lease not found")]
    LeaseNotFound = 2,
    /// A lease with that id is there.
    #[error("lease already exists")]
    LeaseExists = 3,
    /// The time to live is too large.
    #[error("too large lease TTL")]
    LeaseTtlTooLarge = 4,
    /// The revision has been compacted.
    #[error("required revision has been compacted")]
    Compacted = 5,
    /// The revision is not there yet.
    #[error("required revision is a future revision")]
    FutureRev = 6,
    /// The store is full. A put may have been applied all the same, as in etcd; the caller raises
    /// the alarm.
    #[error("database space exceeded")]
    NoSpace = 7,
    /// The data are suspected to be damaged.
    #[error("corrupt cluster")]
    Corrupt = 8,
    /// A put that keeps the old value has one of its own.
    #[error("value is provided")]
    ValueProvided = 9,
    /// A put that keeps the old lease names one.
    #[error("lease is provided")]
    LeaseProvided = 10,
    /// A transaction writes a key twice.
    #[error("duplicate key given in txn request")]
    DuplicateKey = 11,
    /// No member has that id.
    #[error("member not found")]
    MemberNotFound = 12,
    /// This program does not do what the command asks for yet.
    #[error("not supported by this version")]
    Unsupported = 13,
    /// The command cannot be read.
    #[error("malformed command")]
    Malformed = 14,
    /// There is no root user.
    #[error("root user does not exist")]
    RootUserNotExist = 15,
    /// The root user does not have the root role.
    #[error("root user does not have root role")]
    RootRoleNotExist = 16,
    /// A user of that name is there.
    #[error("user name already exists")]
    UserExists = 17,
    /// Nobody said who asks, or which user.
    #[error("user name is empty")]
    UserEmpty = 18,
    /// No user has that name.
    #[error("user name not found")]
    UserNotFound = 19,
    /// A role of that name is there.
    #[error("role name already exists")]
    RoleExists = 20,
    /// No role has that name.
    #[error("role name not found")]
    RoleNotFound = 21,
    /// A role without a name.
    #[error("role name is empty")]
    RoleEmpty = 22,
    /// No such user, or not its password.
    #[error("authentication failed")]
    AuthFailed = 23,
    /// A grant without what to grant.
    #[error("permission not given")]
    PermissionNotGiven = 24,
    /// The user may not do that.
    #[error("permission denied")]
    PermissionDenied = 25,
    /// The user does not have that role.
    #[error("role is not granted to the user")]
    RoleNotGranted = 26,
    /// The role does not have that permission.
    #[error("permission is not granted to the role")]
    PermissionNotGranted = 27,
    /// Nobody has to say who they are.
    #[error("authentication is not enabled")]
    AuthNotEnabled = 28,
    /// It would lock everybody out, or is no range of keys.
    #[error("invalid auth management")]
    InvalidAuthMgmt = 29,
    /// Users or roles have changed since the asker was looked up. Worth another try with a new token.
    #[error("revision of auth store is old")]
    AuthOldRevision = 30,
    /// A user without a password, or a password that no proposer sends.
    #[error("password was given for no password user")]
    NoPasswordUser = 31,
}

impl ApplyError {
    /// Every one of them.
    pub const ALL: [Self; 31] = [
        Self::KeyNotFound,
        Self::LeaseNotFound,
        Self::LeaseExists,
        Self::LeaseTtlTooLarge,
        Self::Compacted,
        Self::FutureRev,
        Self::NoSpace,
        Self::Corrupt,
        Self::ValueProvided,
        Self::LeaseProvided,
        Self::DuplicateKey,
        Self::MemberNotFound,
        Self::Unsupported,
        Self::Malformed,
        Self::RootUserNotExist,
        Self::RootRoleNotExist,
        Self::UserExists,
        Self::UserEmpty,
        Self::UserNotFound,
        Self::RoleExists,
        Self::RoleNotFound,
        Self::RoleEmpty,
        Self::AuthFailed,
        Self::PermissionNotGiven,
        Self::PermissionDenied,
        Self::RoleNotGranted,
        Self::PermissionNotGranted,
        Self::AuthNotEnabled,
        Self::InvalidAuthMgmt,
        Self::AuthOldRevision,
        Self::NoPasswordUser,
    ];

    /// The number that travels.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The error with that number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.code() == code)
    }
}

/// What applying a command gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The store's revision after the command.
    pub revision: i64,
    /// The response message of the request's kind, encoded; or why there is none.
    pub result: Result<Bytes, ApplyError>,
}

/// A reply that cannot be read: a later program made it, or it was damaged on the way.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReplyError {
    /// Not a reply, or not the response that was asked for.
    #[error("malformed reply")]
    Decode(#[from] prost::DecodeError),
    /// An error that this program does not know.
    #[error("unknown error code {0}")]
    UnknownCode(u32),
}

#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(int64, tag = "1")]
    revision: i64,
    /// 0 if there is a response.
    #[prost(uint32, tag = "2")]
    error: u32,
    #[prost(bytes = "bytes", tag = "3")]
    response: Bytes,
}

impl Reply {
    /// To bytes.
    pub fn encode(&self) -> Bytes {
        let (error, response) = match &self.result {
            Ok(response) => (0, response.clone()),
            Err(error) => (error.code(), Bytes::new()),
        };
        Wire {
            revision: self.revision,
            error,
            response,
        }
        .encode_to_vec()
        .into()
    }

    /// From bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, ReplyError> {
        let wire = Wire::decode(bytes)?;
        let result = match wire.error {
            0 => Ok(wire.response),
            code => Err(ApplyError::from_code(code).ok_or(ReplyError::UnknownCode(code))?),
        };
        Ok(Self {
            revision: wire.revision,
            result,
        })
    }

    /// The response as the message of the request's kind.
    pub fn response<M: Message + Default>(self) -> Result<Result<M, ApplyError>, ReplyError> {
        match self.result {
            Ok(bytes) => Ok(Ok(M::decode(bytes)?)),
            Err(error) => Ok(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto_etcd::etcdserverpb::PutResponse;

    #[test]
    fn codes_are_unique_and_stable() {
        let codes: Vec<_> = ApplyError::ALL.into_iter().map(ApplyError::code).collect();
        assert_eq!(codes, (1..=31).collect::<Vec<_>>());
        assert_eq!(ApplyError::from_code(0), None);
        assert_eq!(ApplyError::from_code(7), Some(ApplyError::NoSpace));
    }

    #[test]
    fn replies_round_trip() {
        let response = PutResponse::default();
        let good = Reply {
            revision: 5,
            result: Ok(response.encode_to_vec().into()),
        };
        assert_eq!(Reply::decode(good.encode()), Ok(good.clone()));
        assert_eq!(good.response::<PutResponse>(), Ok(Ok(response)));
        for error in ApplyError::ALL {
            let bad = Reply {
                revision: 5,
                result: Err(error),
            };
            assert_eq!(Reply::decode(bad.encode()), Ok(bad.clone()));
            assert_eq!(bad.response::<PutResponse>(), Ok(Err(error)));
        }
        let unknown = Wire {
            revision: 1,
            error: 99,
            response: Bytes::new(),
        };
        assert_eq!(
            Reply::decode(unknown.encode_to_vec().into()),
            Err(ReplyError::UnknownCode(99))
        );
    }
}
