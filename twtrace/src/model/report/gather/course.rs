//! Counts over time in bounded room: steps of time that double when the room is full.

use super::super::{Peak, Series};
use crate::model::Ktime;
use smallvec::SmallVec;

/// Steps of equal length from one moment on. Courses and tallies of one scale share them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    origin: Ktime,
    shortest: u64,
    room: u64,
    /// How many times the step has doubled.
    doublings: u32,
}

impl Scale {
    /// Steps of `shortest` nanoseconds, as long as there is room for them.
    pub(crate) fn new(origin: Ktime, shortest: u64, room: u64) -> Self {
        Self { origin, shortest, room, doublings: 0 }
    }

    pub(crate) fn origin(self) -> Ktime {
        self.origin
    }

    pub(crate) fn step(self) -> u64 {
        self.shortest << self.doublings
    }

    /// Makes room for moments up to `at`.
    pub(crate) fn reach(&mut self, at: Ktime) {
        while at.since(self.origin) / self.step() >= self.room - 1 {
            self.doublings += 1;
        }
    }

    /// The first step that is not before `at`. What lies before the origin was there at the origin.
    fn first_from(self, at: Ktime) -> usize {
        self.narrow(at.since(self.origin).div_ceil(self.step()))
    }

    /// The step that `at` falls into.
    fn of(self, at: Ktime) -> usize {
        self.narrow(at.since(self.origin) / self.step())
    }

    /// How many steps begin up to `end`, the one at the origin included.
    fn len(self, end: Ktime) -> usize {
        self.of(end) + 1
    }

    /// A moment beyond the room, which only a senseless one can be, falls into its last step.
    fn narrow(self, index: u64) -> usize {
        index.min(self.room) as usize
    }
}

/// How many of something there are, at each step exactly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course {
    doublings: u32,
    /// There was one at all.
    touched: bool,
    /// What is added at which step, as long as it is little: of many courses, most are those of a single connection.
    few: SmallVec<[(u32, i32); FEW]>,
    /// What is added at each step, then.
    changes: Vec<i32>,
}

const FEW: usize = 4;

impl Course {
    /// One that is there from `from` until `until`, or on and on.
    pub(crate) fn add(&mut self, scale: Scale, from: Ktime, until: Option<Ktime>) {
        self.touched = true;
        self.fold(scale);
        let (first, last) = (scale.first_from(from), until.map(|until| scale.first_from(until.max(from))));
        // What comes and goes between two steps is at none.
        if last == Some(first) {
            return;
        }
        self.change(first, 1);
        if let Some(last) = last {
            self.change(last, -1);
        }
    }

    fn change(&mut self, index: usize, by: i32) {
        if self.changes.is_empty() {
            if self.few.len() < FEW {
                return self.few.push((index as u32, by));
            }
            for (index, by) in std::mem::take(&mut self.few) {
                self.change_at(index as usize, by);
            }
        }
        self.change_at(index, by);
    }

    fn change_at(&mut self, index: usize, by: i32) {
        if self.changes.len() <= index {
            self.changes.resize(index + 1, 0);
        }
        self.changes[index] = self.changes[index].saturating_add(by);
    }

    /// A step that falls away gives what it adds to the next that stays.
    fn fold(&mut self, scale: Scale) {
        while self.doublings < scale.doublings {
            self.doublings += 1;
            for (index, _) in &mut self.few {
                *index = index.div_ceil(2);
            }
            for index in 0..self.changes.len() {
                let change = std::mem::take(&mut self.changes[index]);
                let to = index.div_ceil(2);
                self.changes[to] = self.changes[to].saturating_add(change);
            }
            self.changes.truncate(self.changes.len() / 2 + 1);
        }
    }

    /// The counts from the origin to `end`.
    pub(crate) fn series(&self, scale: Scale, end: Ktime) -> Series {
        let mut folded = self.clone();
        folded.fold(scale);
        for (index, by) in std::mem::take(&mut folded.few) {
            folded.change_at(index as usize, by);
        }
        let mut count = 0_i64;
        let values = (0..scale.len(end))
            .map(|index| {
                count += i64::from(folded.changes.get(index).copied().unwrap_or(0));
                u64::try_from(count).unwrap_or(0)
            })
            .collect();
        Series { start: scale.origin, step: scale.step(), values }
    }
}

impl Course {
    /// The most at once, at the steps and at the end; of what came and went between two steps there was one at least.
    pub(crate) fn peak(&self, series: &Series, now: u64, end: Ktime) -> Peak {
        let peak = series.peak();
        if now > peak.count {
            return Peak { count: now, at: Some(end) };
        }
        Peak { count: peak.count.max(u64::from(self.touched)), ..peak }
    }
}

/// How many events there were in each step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    doublings: u32,
    counts: Vec<u32>,
}

impl Tally {
    pub(crate) fn add(&mut self, scale: Scale, at: Ktime) {
        while self.doublings < scale.doublings {
            self.doublings += 1;
            self.counts = self.counts.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
        let index = scale.of(at);
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
    }

    pub(crate) fn series(&self, scale: Scale, end: Ktime) -> Series {
        let merged = 1 << (scale.doublings - self.doublings).min(31);
        let mut values: Vec<u64> =
            self.counts.chunks(merged).map(|part| part.iter().map(|&count| u64::from(count)).sum()).collect();
        values.resize(scale.len(end), 0);
        Series { start: scale.origin, step: scale.step(), values }
    }
}

impl Series {
    /// The most at once, and the first step at which it was so.
    pub fn peak(&self) -> Peak {
        let mut peak = Peak::default();
        for (index, &count) in self.values.iter().enumerate() {
            if count > peak.count {
                peak = Peak { count, at: Some(self.start.after(self.step.saturating_mul(index as u64))) };
            }
        }
        peak
    }

    /// The value at the step that `at` falls into.
    pub fn at(&self, at: Ktime) -> Option<u64> {
        let index = at.since(self.start).checked_div(self.step)?;
        self.values.get(usize::try_from(index).ok()?).copied()
    }

    /// The last.
    pub fn last(&self) -> u64 {
        self.values.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Course, Ktime, Scale, Tally};
    use proptest::prelude::*;

    proptest! {
        /// However often the steps have doubled meanwhile, each step has exactly those that were there.
        #[test]
        fn a_course_is_exact_at_its_steps(mut stays in prop::collection::vec((0_u64..9_000, 0_u64..9_000), 0..40)) {
            let mut scale = Scale::new(Ktime(1_000), 10, 16);
            let mut course = Course::default();
            stays.sort_unstable_by_key(|(from, lasted)| from + lasted);
            for &(from, lasted) in &stays {
                scale.reach(Ktime(from + lasted));
                course.add(scale, Ktime(from), Some(Ktime(from + lasted)));
            }
            let series = course.series(scale, Ktime(19_000));
            prop_assert!(series.values.len() <= 17);
            for (index, &count) in series.values.iter().enumerate() {
                let at = 1_000 + series.step * index as u64;
                let there = stays.iter().filter(|(from, lasted)| *from <= at && at < from + lasted).count();
                prop_assert_eq!(count, there as u64, "at {}", at);
            }
        }

        #[test]
        fn a_tally_forgets_nothing(mut moments in prop::collection::vec(1_000_u64..9_000, 1..60)) {
            let mut scale = Scale::new(Ktime(1_000), 10, 16);
            let mut tally = Tally::default();
            moments.sort_unstable();
            for &at in &moments {
                scale.reach(Ktime(at));
                tally.add(scale, Ktime(at));
            }
            let series = tally.series(scale, Ktime(9_000));
            prop_assert_eq!(series.values.iter().sum::<u64>(), moments.len() as u64);
        }
    }
}
