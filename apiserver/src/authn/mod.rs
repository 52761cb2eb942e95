//! Who is asking: client certificates, service account tokens, or nobody.
//!
//! Reading order: [`user`] (the answer), [`authenticator`] (the order of the methods), [`x509`],
//! [`service_account`] with [`keys`], [`claims`] and [`token_cache`], [`openid`] (what others need to
//! verify our tokens). It never decides what a user may do: that is `authz`.

pub mod authenticator;
pub mod claims;
pub mod keys;
pub mod openid;
pub mod service_account;
pub mod token_cache;
pub mod user;
pub mod x509;

pub use authenticator::{Authenticator, AuthnConfig, TokenAnswer};
pub use service_account::ServiceAccountTokens;
pub use user::UserInfo;
pub use x509::{ClientCa, PeerChain, PossessionVerifier};
