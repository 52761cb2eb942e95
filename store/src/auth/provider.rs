//! The kind of tokens that a member gives and takes, as `--auth-token` says. All members of a
//! cluster must be told the same.

use super::jwt::{Jwt, JwtError};
use crate::config::AuthToken;

/// See the module.
pub enum Provider {
    /// Random ones that each member remembers.
    Simple,
    /// Signed ones that nobody has to remember.
    Jwt(Box<Jwt>),
    /// None: users are known by their certificates alone.
    Off,
}

impl Provider {
    /// Reads the keys where there are some. Blocks on files.
    pub fn open(kind: &AuthToken) -> Result<Self, JwtError> {
        Ok(match kind {
            AuthToken::Simple => Self::Simple,
            AuthToken::Jwt(options) => Self::Jwt(Box::new(Jwt::open(options)?)),
            AuthToken::Off => Self::Off,
        })
    }
}
