//! Sets of completion indexes, in the form of a status: `0-2,5`. Pure.

use std::collections::BTreeSet;
use std::fmt;

/// Indexes in one status; the server admits no more than this many completions of an indexed job.
const INDEXES_MAX: i32 = 1_000_000;

/// A set of indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(BTreeSet<i32>);

impl Indexes {
    /// Reads a status; what cannot be read is left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut all = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
                all.extend(first.max(0)..=last.min(INDEXES_MAX));
            }
        }
        Self(all)
    }

    /// Without those from `limit` on.
    pub(super) fn below(mut self, limit: i32) -> Self {
        self.0.split_off(&limit);
        self
    }

    pub(super) fn extend(&mut self, more: impl Iterator<Item = i32>) {
        self.0.extend(more);
    }

    pub(super) fn contains(&self, index: i32) -> bool {
        self.0.contains(&index)
    }

    pub(super) fn count(&self) -> i32 {
        i32::try_from(self.0.len()).unwrap_or(i32::MAX)
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.iter().copied().peekable();
        let mut separator = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if(|next| *next == last + 1) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            // Two neighbours are two indexes, three are a range.
            match last - first {
                0 => {}
                1 => write!(f, ",{last}")?,
                _ => write!(f, "-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Indexes;

    #[test]
    fn reads_what_it_writes() {
        for text in ["", "0", "0,1", "0-2,5", "1,3-7,9,10"] {
            assert_eq!(Indexes::parse(text).to_string(), text);
        }
        assert_eq!(Indexes::parse("2,x,-5,4-3").to_string(), "2");
        assert_eq!(Indexes::parse("0-2,5").count(), 4);
        assert_eq!(Indexes::parse("0-2,5").below(2).to_string(), "0,1");
    }
}
