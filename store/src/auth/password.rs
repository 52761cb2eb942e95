//! Passwords: hashed with bcrypt before they are proposed, and compared with what is stored.
//!
//! Either takes a processor for as long as `--bcrypt-cost` wants it to, so it happens on other
//! threads, a few at once, and never while a lock is held. Others wait their turn.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::limits::PASSWORDS_IN_FLIGHT_MAX;

/// bcrypt sees no more of a password; etcd refuses longer ones.
const PASSWORD_BYTES_MAX: usize = 72;

/// What Go writes before a hash.
const VERSION: bcrypt::Version = bcrypt::Version::TwoA;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The password is too long. Not worth another try. etcd's words.
    #[error("bcrypt: password length exceeds 72 bytes")]
    TooLong,
    /// There is no chance to be had from the system, or a cost that is none.
    #[error("the password cannot be hashed")]
    Hash(#[source] bcrypt::BcryptError),
    /// The member ends.
    #[error("the password cannot be looked at: this member ends")]
    Stopped,
}

/// Hashes and compares. Cheap to share.
pub struct Passwords {
    cost: u32,
    turns: Arc<Semaphore>,
}

impl Passwords {
    /// New hashes will take `cost`, which doubles with each step; from 4 to 31.
    pub fn new(cost: u32) -> Self {
        Self {
            cost,
            turns: Arc::new(Semaphore::new(PASSWORDS_IN_FLIGHT_MAX)),
        }
    }

    /// The hash of a password, as a request carries it. Cancel-safe.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        let cost = self.cost;
        self.in_turn(move || {
            let parts = bcrypt::hash_with_result(password, cost).map_err(PasswordError::Hash)?;
            Ok(STANDARD.encode(parts.format_for_version(VERSION)))
        })
        .await?
    }

    /// Whether a password is the one whose hash is stored. Cancel-safe.
    pub async fn is_right(&self, password: String, hash: Bytes) -> Result<bool, PasswordError> {
        self.in_turn(move || is_right(&password, &hash)).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turns = self.turns.clone();
        let turn = turns.acquire_owned().await;
        let turn = turn.map_err(|_| PasswordError::Stopped)?;
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        task.await.map_err(|_| PasswordError::Stopped)
    }
}

/// What is no hash is nobody's.
fn is_right(password: &str, hash: &[u8]) -> bool {
    std::str::from_utf8(hash).is_ok_and(|hash| bcrypt::verify(password, hash).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::{PasswordError, Passwords, is_right};

    #[tokio::test]
    async fn a_password_is_known_by_its_hash() {
        let passwords = Passwords::new(4);
        for password in ["", "pw", "with \0 in it", "ö", &"x".repeat(72)] {
            let hash = passwords.hash(password.to_owned()).await.unwrap();
            let hash = STANDARD.decode(hash).unwrap();
            assert!(hash.starts_with(b"$2a$04$"), "{hash:?}");
            assert!(is_right(password, &hash), "{password:?}");
            assert!(!is_right("other", &hash), "{password:?}");
        }
        let long = passwords.hash("x".repeat(73)).await;
        assert!(matches!(long, Err(PasswordError::TooLong)));
    }

    #[test]
    fn hashes_of_etcd_are_understood_and_what_is_none_is_nobodys() {
        // Made by etcd 3.7's own library, of the password "pw".
        let go = b"$2a$04$UCCxlpqJq468nqKaIpcZq.MHWFCqa3DZptldkDcbjuPhnhFmVvR/u";
        assert!(is_right("pw", go) && !is_right("pw ", go));
        for none in [&b""[..], b"pw", b"\xff\xff", b"$2a$04$short"] {
            assert!(!is_right("pw", none), "{none:?}");
        }
    }
}
