//! A table that keeps the heaviest rows, whatever the number of keys: what falls out is counted in one.

use hashbrown::HashMap;
use std::hash::Hash;

/// What decides which rows stay.
pub(crate) trait Weight {
    /// How many connections stand behind it.
    fn weight(&self) -> u64;
}

/// See the module. A row that fell out and comes again begins anew, so what it shows is the least that it had.
#[derive(Clone, Debug)]
pub(crate) struct Top<K, V> {
    rows: Vec<(K, V)>,
    places: HashMap<K, usize>,
    /// Where the last two were: the two ends of a connection take turns.
    recent: [usize; 2],
    room: usize,
    other: u64,
}

impl<K: Copy + Eq + Hash + Ord, V: Default + Weight> Top<K, V> {
    /// At least the `room` heaviest rows stay.
    pub(crate) fn new(room: usize) -> Self {
        Self { rows: Vec::new(), places: HashMap::new(), recent: [0; 2], room, other: 0 }
    }

    pub(crate) fn row(&mut self, key: K) -> &mut V {
        let is_it = |place: &usize| self.rows.get(*place).is_some_and(|(known, _)| *known == key);
        let place = self.recent.iter().copied().find(is_it).unwrap_or_else(|| self.look_up(key));
        &mut self.rows[place].1
    }

    fn look_up(&mut self, key: K) -> usize {
        if self.rows.len() >= 2 * self.room && !self.places.contains_key(&key) {
            self.prune();
        }
        let place = *self.places.entry(key).or_insert(self.rows.len());
        if place == self.rows.len() {
            self.rows.push((key, V::default()));
        }
        self.recent = [place, self.recent[0]];
        place
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, row)| (key, row))
    }

    /// The weight of the rows that fell out.
    pub(crate) fn other(&self) -> u64 {
        self.other
    }

    /// Of rows as heavy as one another the keys decide: the same observations leave the same rows.
    fn prune(&mut self) {
        self.rows.sort_unstable_by(|(a, x), (b, y)| y.weight().cmp(&x.weight()).then_with(|| a.cmp(b)));
        self.other += self.rows.drain(self.room..).map(|(_, row)| row.weight()).sum::<u64>();
        self.places = self.rows.iter().enumerate().map(|(place, (key, _))| (*key, place)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::{Top, Weight};

    #[derive(Default)]
    struct Count(u64);

    impl Weight for Count {
        fn weight(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn the_heavy_stay_and_nothing_is_forgotten() {
        let mut top: Top<u32, Count> = Top::new(8);
        for round in 0..1000 {
            (0..4).for_each(|heavy| top.row(heavy).0 += 1);
            top.row(1000 + round).0 += 1;
        }
        for heavy in 0..4 {
            assert_eq!(top.row(heavy).0, 1000);
        }
        assert!(top.iter().count() <= 16);
        let kept: u64 = top.iter().map(|(_, row)| row.0).sum();
        assert_eq!(kept + top.other(), 5000);
    }
}
