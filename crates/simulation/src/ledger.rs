//! What no member and no client sees alone, and must hold all the same: one leader a term, and one
//! entry a place in the log, whoever applies it and however often it starts anew.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use store::consensus::{Committed, LogId, Payload};

/// What was noticed in one run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    leaders: BTreeMap<u64, u64>,
    applied: BTreeMap<u64, (LogId, u64)>,
    /// Whole states that went from member to member.
    pub(crate) snapshots: u64,
    /// Promises broken, in words.
    pub(crate) broken: Vec<String>,
}

impl Ledger {
    /// A member says that it leads.
    pub(crate) fn leads(&mut self, term: u64, member: u64) {
        let known = *self.leaders.entry(term).or_insert(member);
        if known != member {
            let text = format!("term {term} has two leaders: members {known} and {member}");
            self.broken.push(text);
        }
    }

    /// Terms in which somebody led.
    pub(crate) fn elections(&self) -> usize {
        self.leaders.len()
    }

    /// A member has applied an entry.
    pub(crate) fn applied(&mut self, member: u64, entry: &Committed) {
        // Compared within one run alone, so that the hash need not be the same everywhere.
        let mut hasher = DefaultHasher::new();
        match &entry.payload {
            Payload::Blank => 0_u8.hash(&mut hasher),
            Payload::Command(command) => (1_u8, command).hash(&mut hasher),
            Payload::Membership { encoded, .. } => (2_u8, encoded).hash(&mut hasher),
        }
        let seen = (entry.log_id, hasher.finish());
        let known = *self.applied.entry(entry.log_id.index).or_insert(seen);
        if known != seen {
            let text = format!(
                "member {member} applied {:?} where {:?} had been applied",
                entry.log_id, known.0
            );
            self.broken.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(term: u64, index: u64, command: &'static str) -> Committed {
        Committed {
            log_id: LogId { term, index },
            payload: Payload::Command(command.into()),
        }
    }

    #[test]
    fn a_second_leader_and_another_entry_are_noticed() {
        let mut ledger = Ledger::default();
        ledger.leads(1, 1);
        ledger.leads(2, 2);
        ledger.leads(1, 1);
        ledger.applied(1, &entry(1, 1, "a"));
        ledger.applied(2, &entry(1, 1, "a"));
        assert!(ledger.broken.is_empty() && ledger.elections() == 2);
        ledger.leads(2, 3);
        ledger.applied(3, &entry(1, 1, "b"));
        ledger.applied(3, &entry(2, 1, "a"));
        assert_eq!(ledger.broken.len(), 3, "{:?}", ledger.broken);
    }
}
