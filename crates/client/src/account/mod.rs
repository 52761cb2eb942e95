//! Clients that act as service accounts: the bearer token comes from the TokenRequest subresource, and is renewed well
//! before its end and when a server refuses it.
//!
//! [`accounts`] makes them, [`schedule`] decides when a token is asked for, [`renewer`] asks, [`tokens`] is what asking
//! and requests share, and [`bearer`] puts the token on requests.

mod accounts;
mod bearer;
mod renewer;
mod schedule;
mod tokens;

pub use accounts::Accounts;
pub use renewer::Renewer;
pub use tokens::NoToken;
