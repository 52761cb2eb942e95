//! What a new membership changes beside itself: who is forgotten, and whose seat is taken or left.

use proto_etcd::membershippb::Attributes;

use super::memory::Memory;
use crate::consensus::Member;
use crate::keys::sys::Seat;

/// Attributes of members that are not in a new membership go.
pub(super) fn forget(memory: &Memory, members: &[Member]) -> Vec<(u64, Option<Attributes>)> {
    let is_member = |id: &u64| members.iter().any(|member| member.id == *id);
    // An empty list says nothing about anybody.
    let known = memory.members.keys().filter(|_| !members.is_empty());
    known
        .filter(|id| !is_member(id))
        .map(|id| (*id, None))
        .collect()
}

/// The seats that a new membership takes and leaves. Which ones were left is the state's to know: whoever
/// is told that it was removed must never hear it by mistake.
pub(super) fn reseat(memory: &Memory, members: &[Member]) -> Vec<(u64, Seat)> {
    let is_member = |id: u64| members.iter().any(|member| member.id == id);
    let held = |id: &u64| memory.seats.contains_key(id);
    let taken = members
        .iter()
        .map(|member| member.id)
        .filter(|id| !held(id))
        .map(|id| (id, Seat::Held));
    // An empty list says nothing about anybody.
    let known = memory.seats.iter().filter(|_| !members.is_empty());
    let left = known
        .filter(|(id, seat)| **seat == Seat::Held && !is_member(**id))
        .map(|(id, _)| (*id, Seat::Left));
    taken.chain(left).collect()
}
