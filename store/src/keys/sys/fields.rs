//! What rows of family `sys` hold, read from their bytes.

use super::{AlarmRow, AuthRow, Seat};
use crate::keys::Damaged;

pub(super) fn parse_auth(body: &[u8]) -> Result<AuthRow, Damaged> {
    let fault = |fault| Damaged::new("auth", fault);
    let (is_enabled, revision) = body.split_first().ok_or(fault("too short"))?;
    let is_enabled = match is_enabled {
        0 => false,
        1 => true,
        _ => return Err(fault("neither on nor off")),
    };
    let revision = <[u8; 8]>::try_from(revision).map_err(|_| fault("revision of wrong length"))?;
    Ok(AuthRow {
        is_enabled,
        revision: u64::from_be_bytes(revision),
    })
}

pub(super) fn parse_seat(body: &[u8]) -> Result<Seat, Damaged> {
    match body {
        [1] => Ok(Seat::Held),
        [2] => Ok(Seat::Left),
        _ => Err(Damaged::new("seat", "neither held nor left")),
    }
}

pub(super) fn parse_version(kind: &'static str, body: &[u8]) -> Result<String, Damaged> {
    let text = String::from_utf8(body.to_vec());
    text.map_err(|_| Damaged::new(kind, "not UTF-8"))
}

/// The name stands in the key and in the value: one that differs would be two users.
pub(super) fn check_name(kind: &'static str, key: &[u8], name: &[u8]) -> Result<(), Damaged> {
    if key == name {
        Ok(())
    } else {
        Err(Damaged::new(kind, "another name in its key"))
    }
}

pub(super) fn parse_alarm(suffix: &[u8]) -> Result<AlarmRow, Damaged> {
    let fault = || Damaged::new("alarm", "key of wrong length");
    let (alarm, member) = suffix.split_first_chunk::<4>().ok_or_else(fault)?;
    let member = <[u8; 8]>::try_from(member).map_err(|_| fault())?;
    Ok(AlarmRow {
        alarm: i32::from_be_bytes(*alarm),
        member_id: u64::from_be_bytes(member),
    })
}

pub(super) fn numbers<const N: usize>(
    mut bytes: &[u8],
    kind: &'static str,
) -> Result<[i64; N], Damaged> {
    let mut out = [0; N];
    for number in &mut out {
        let (head, rest) = bytes
            .split_first_chunk::<8>()
            .ok_or(Damaged::new(kind, "too short"))?;
        *number = i64::from_be_bytes(*head);
        bytes = rest;
    }
    if bytes.is_empty() {
        Ok(out)
    } else {
        Err(Damaged::new(kind, "trailing bytes"))
    }
}
