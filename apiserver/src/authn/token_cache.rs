//! Remembers tokens whose signature was verified, by hash. Bounded: two generations; when the young
//! one is full the old one is dropped. It remembers what a token says, never whether it is still
//! valid: time and bound objects are asked on every use.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::claims::Claims;

/// Tokens per generation. With claims of about 1 KiB both generations stay below 10 MiB.
const GENERATION_MAX: usize = 4096;

type Key = [u8; 32];

/// The cache. Shared by all requests of the process.
#[derive(Debug, Default)]
pub struct TokenCache {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Arc<Claims>>,
    old: HashMap<Key, Arc<Claims>>,
}

impl TokenCache {
    /// The claims of a token that was verified before.
    pub fn get(&self, token: &str) -> Option<Arc<Claims>> {
        let key = hash(token);
        let mut generations = self.generations.lock();
        if let Some(claims) = generations.young.get(&key) {
            return Some(claims.clone());
        }
        let claims = generations.old.get(&key)?.clone();
        generations.insert(key, claims.clone());
        Some(claims)
    }

    /// Remembers the claims of a token whose signature is good.
    pub fn put(&self, token: &str, claims: Arc<Claims>) {
        self.generations.lock().insert(hash(token), claims);
    }
}

impl Generations {
    fn insert(&mut self, key: Key, claims: Arc<Claims>) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, claims);
    }
}

fn hash(token: &str) -> Key {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Claims, GENERATION_MAX, TokenCache};

    #[test]
    fn stays_bounded_and_keeps_what_is_used() {
        let cache = TokenCache::default();
        cache.put("hot", Arc::new(Claims::default()));
        for number in 0..GENERATION_MAX * 5 {
            cache.put(&number.to_string(), Arc::new(Claims::default()));
            assert!(cache.get("hot").is_some());
        }
        let generations = cache.generations.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
        assert!(!generations.old.contains_key(&super::hash("0")));
    }
}
