//! The simple tokens that one member knows: each stands for a user until it was not used for a while.
//!
//! Every member learns of every token from the log, and each keeps its own time, so that a token
//! holds at whichever member it is used. They are not stored: a member that starts anew, or gets its
//! state from another one, knows none, and a client that is refused asks for another.
//! Limit: `TOKENS_MAX`; beyond it the token that would end first goes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::plan::TokenChange;
use crate::limits::{TOKEN_LETTERS, TOKENS_MAX};

const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// See the module.
pub struct Tokens {
    ttl: Duration,
    max: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tokens: HashMap<String, Token>,
    /// Every token once, under its end or an earlier time; and some that are gone.
    queue: BinaryHeap<Reverse<(Instant, String)>>,
}

struct Token {
    user: String,
    until: Instant,
}

impl Tokens {
    /// No tokens yet; each will hold for `ttl` after its last use.
    pub fn new(ttl: Duration) -> Self {
        Self::with_max(ttl, TOKENS_MAX)
    }

    fn with_max(ttl: Duration, max: usize) -> Self {
        Self {
            ttl,
            max,
            known: Mutex::default(),
        }
    }

    /// Does a change that came by the log.
    pub fn apply(&self, change: TokenChange, now: Instant) {
        let mut known = self.known.lock();
        match change {
            TokenChange::Assign { token, user } => {
                known.drop_ended(now);
                while known.tokens.len() >= self.max && known.drop_first() {}
                let until = now + self.ttl;
                known.queue.push(Reverse((until, token.clone())));
                known.tokens.insert(token, Token { user, until });
            }
            TokenChange::Forget { user } => known.tokens.retain(|_, token| token.user != user),
            TokenChange::ForgetAll => *known = Known::default(),
        }
    }

    /// The user that a token stands for, which holds on from now. None if it has ended or never was.
    pub fn find(&self, token: &str, now: Instant) -> Option<String> {
        let mut known = self.known.lock();
        let found = known.tokens.get_mut(token)?;
        if found.until <= now {
            known.tokens.remove(token);
            return None;
        }
        found.until = now + self.ttl;
        Some(found.user.clone())
    }
}

impl Known {
    fn drop_ended(&mut self, now: Instant) {
        while let Some(Reverse((due, _))) = self.queue.peek()
            && *due <= now
        {
            self.step(Some(now));
        }
    }

    /// True unless there is none.
    fn drop_first(&mut self) -> bool {
        let before = self.tokens.len();
        while self.tokens.len() == before && !self.queue.is_empty() {
            self.step(None);
        }
        self.tokens.len() < before
    }

    /// Takes the first of the queue. A token that was used since comes back under its new end;
    /// otherwise it goes, if it has ended at `now` or there is no `now`.
    fn step(&mut self, now: Option<Instant>) {
        let Some(Reverse((due, token))) = self.queue.pop() else {
            return;
        };
        let Some(until) = self.tokens.get(&token).map(|token| token.until) else {
            return;
        };
        if until > due {
            self.queue.push(Reverse((until, token)));
        } else if now.is_none_or(|now| until <= now) {
            self.tokens.remove(&token);
        }
    }
}

/// The place in the log that a simple token names; none if it is no simple token.
pub fn index_of(token: &str) -> Option<u64> {
    let (_, index) = token.split_once('.')?;
    index.parse().ok()
}

/// The random part of a new token.
pub fn random_part() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut text = String::with_capacity(TOKEN_LETTERS);
    while text.len() < TOKEN_LETTERS {
        let mut bytes = [0; TOKEN_LETTERS];
        aws_lc_rs::rand::fill(&mut bytes)?;
        let room = TOKEN_LETTERS - text.len();
        text.extend(bytes.iter().filter_map(|byte| letter(*byte)).take(room));
    }
    Ok(text)
}

/// Each letter for as many bytes as any other; the few bytes that are left over stand for none.
fn letter(byte: u8) -> Option<char> {
    let whole = u8::MAX - u8::MAX % 52;
    let at = usize::from(byte % 52);
    let letter = LETTERS.get(at).filter(|_| byte < whole)?;
    Some(char::from(*letter))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use super::super::plan::TokenChange;
    use super::{Tokens, index_of, letter, random_part};

    fn assign(tokens: &Tokens, token: &str, user: &str, now: Instant) {
        let change = TokenChange::Assign {
            token: token.into(),
            user: user.into(),
        };
        tokens.apply(change, now);
    }

    #[test]
    fn a_token_ends_when_it_is_not_used() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let tokens = Tokens::new(Duration::from_secs(10));
        assign(&tokens, "a.1", "ann", at(0));
        assign(&tokens, "b.2", "bob", at(0));
        assert_eq!(tokens.find("a.1", at(9)).as_deref(), Some("ann"));
        // Its use at 9 has moved its end to 19; the other one's end was at 10.
        assert_eq!(tokens.find("b.2", at(10)), None);
        assert_eq!(
            tokens.find("b.2", at(9)),
            None,
            "what has ended stays ended"
        );
        assign(&tokens, "c.3", "cid", at(18));
        assert_eq!(tokens.find("a.1", at(18)).as_deref(), Some("ann"));
        assert_eq!(tokens.find("a.1", at(28)), None);
        assert_eq!(tokens.find("nothing", at(0)), None);
    }

    #[test]
    fn changes_of_users_take_their_tokens() {
        let now = Instant::now();
        let tokens = Tokens::new(Duration::from_secs(10));
        for (token, user) in [("a.1", "ann"), ("a.2", "ann"), ("b.3", "bob")] {
            assign(&tokens, token, user, now);
        }
        tokens.apply(TokenChange::Forget { user: "ann".into() }, now);
        assert_eq!(tokens.find("a.1", now), None);
        assert_eq!(tokens.find("a.2", now), None);
        assert_eq!(tokens.find("b.3", now).as_deref(), Some("bob"));
        tokens.apply(TokenChange::ForgetAll, now);
        assert_eq!(tokens.find("b.3", now), None);
    }

    #[test]
    fn too_many_tokens_drive_out_those_that_end_first() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let tokens = Tokens::with_max(Duration::from_secs(100), 2);
        assign(&tokens, "a.1", "ann", at(0));
        assign(&tokens, "b.2", "bob", at(1));
        assert!(tokens.find("a.1", at(2)).is_some());
        assign(&tokens, "c.3", "cid", at(3));
        assert_eq!(tokens.find("b.2", at(4)), None, "it was used longest ago");
        assert!(tokens.find("a.1", at(4)).is_some() && tokens.find("c.3", at(4)).is_some());
        for number in 0..100 {
            assign(&tokens, &format!("n.{number}"), "ned", at(5));
        }
        let known = tokens.known.lock();
        assert!(known.tokens.len() == 2 && known.queue.len() <= 3);
    }

    #[test]
    fn a_token_names_its_place_in_the_log() {
        let cases = [
            ("abc.12", Some(12)),
            ("abc", None),
            ("abc.x", None),
            ("a.b.3", None),
            (".7", Some(7)),
            ("a.-1", None),
            ("a.99999999999999999999", None),
        ];
        for (token, index) in cases {
            assert_eq!(index_of(token), index, "{token}");
        }
    }

    #[test]
    fn the_random_part_is_of_letters_that_are_equally_likely() {
        let mut counts = BTreeMap::new();
        for letter in (0..=u8::MAX).filter_map(letter) {
            *counts.entry(letter).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 52);
        assert!(counts.values().all(|count| *count == 4));
        let (one, other) = (random_part().unwrap(), random_part().unwrap());
        assert!(one.len() == 16 && one.chars().all(|c| c.is_ascii_alphabetic()));
        assert_ne!(one, other);
    }
}
