//! The register: what each operation does to it, and what it must have seen.

/// Stands for every value that nobody observes.
pub(super) const UNSEEN: u32 = u32::MAX;

/// What an operation did. Values are numbers of an interner, whose 0 is the absent value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::check) enum Change {
    /// Saw this value.
    Read(u32),
    /// Wrote this value.
    Write(u32),
    /// Saw the old value and wrote the new one.
    Cas {
        /// What it saw.
        old: u32,
        /// What it wrote.
        new: u32,
    },
}

/// An operation with what its answer told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::check) struct Call {
    /// What it did.
    pub(in crate::check) change: Change,
    /// The key's version that it saw or made.
    pub(in crate::check) version: Option<i64>,
    /// The key's revision that it saw or made.
    pub(in crate::check) revision: Option<i64>,
}

/// The register between two operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) value: u32,
    /// How often it was written.
    pub(super) version: i64,
    /// The revision of the last write, or the least that it can have.
    revision: i64,
    is_exact: bool,
}

impl State {
    /// Of a key that was never written.
    pub(super) const INITIAL: Self = Self {
        value: 0,
        version: 0,
        revision: 0,
        is_exact: false,
    };

    /// The state after `call`, or nothing if the call cannot have happened here.
    pub(super) fn step(self, call: &Call) -> Option<Self> {
        match call.change {
            Change::Read(value) => self.read(value, call),
            Change::Write(value) => self.write(value, call),
            Change::Cas { old, new } if old == self.value => self.write(new, call),
            Change::Cas { .. } => None,
        }
    }

    fn read(self, value: u32, call: &Call) -> Option<Self> {
        let fits = value == self.value && call.version.is_none_or(|told| told == self.version);
        match call.revision {
            _ if !fits => None,
            None => Some(self),
            Some(told) if self.is_exact => (told == self.revision).then_some(self),
            // The write's own answer never came, and this read tells its revision.
            Some(told) => (told >= self.revision).then_some(Self {
                revision: told,
                is_exact: true,
                ..self
            }),
        }
    }

    fn write(self, value: u32, call: &Call) -> Option<Self> {
        let version = self.version + 1;
        if call.version.is_some_and(|told| told != version) {
            return None;
        }
        let least = self.revision + 1;
        if call.revision.is_some_and(|told| told < least) {
            return None;
        }
        Some(Self {
            value,
            version,
            revision: call.revision.unwrap_or(least),
            is_exact: call.revision.is_some(),
        })
    }

    /// 128 bits that stand for the state.
    pub(super) fn hash(self) -> u128 {
        let value = scatter(u64::from(self.value), 3) ^ scatter(self.version as u64, 4);
        let revision = scatter(self.revision as u64, if self.is_exact { 5 } else { 6 });
        value ^ revision
    }
}

/// 128 well-mixed bits of a number, different for each `kind` of number (splitmix64 twice).
pub(super) fn scatter(number: u64, kind: u64) -> u128 {
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let high = mix(number.wrapping_add(kind.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let low = mix(high ^ kind.wrapping_add(0x9e37_79b9_7f4a_7c15));
    (u128::from(high) << 64) | u128::from(low)
}
