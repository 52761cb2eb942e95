//! TLS of listeners and of outgoing connections, from files that may change while the store runs.
//!
//! The files are read for every handshake and the settings rebuilt when they differ, so that a
//! renewed certificate needs no restart. A bad new file refuses new connections and leaves old ones.

mod admit;
mod client;
mod names;
mod pem;
mod self_made;
mod server;
mod words;

pub use self::client::{ClientTls, PeerConnector};
pub use self::names::common_name;
pub use self::pem::TlsError;
pub use self::self_made::{SelfMadeError, ensure as ensure_self_made};
pub use self::server::ServerTls;
pub(crate) use self::words::{Rejection, of_handshake};
