//! Users, roles and tokens: who asks, and what they may do.
//!
//! [`State`] is replicated and changes only as the plans in [`plan`] say, which apply asks for in
//! the order of the log. It must never see a password, a clock or a setting of this member: a
//! password is hashed before it is proposed, and a [`Tokens`] store belongs to one member and is lost
//! with it. Whether a request may pass is decided by [`check`], at apply for what changes the store
//! and under the lock of the read for what reads it.

pub mod check;
pub mod jwt;
pub mod password;
pub mod plan;
pub mod provider;
pub mod ranges;
pub mod state;
pub mod tokens;

pub use check::{Asker, Identity};
pub use jwt::Jwt;
pub use password::Passwords;
pub use plan::{Plan, TokenChange};
pub use provider::Provider;
pub use state::{Change, State};
pub use tokens::Tokens;

/// The user, and the role, that may do everything.
pub const ROOT: &str = "root";
