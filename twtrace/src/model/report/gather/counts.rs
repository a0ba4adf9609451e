//! Counts of a few kinds.

use smallvec::SmallVec;
use std::collections::BTreeMap;

/// How often each of a few values was there: faster than a map, for there is only a handful.
#[derive(Clone, Debug)]
pub(crate) struct Counts<K>(SmallVec<[(K, u64); 4]>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<K: Copy + Ord> Counts<K> {
    pub(crate) fn add(&mut self, kind: K) {
        match self.0.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.0.push((kind, 1)),
        }
    }

    pub(crate) fn map(&self) -> BTreeMap<K, u64> {
        self.0.iter().copied().collect()
    }
}
