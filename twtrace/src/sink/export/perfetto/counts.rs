//! How many connections were in each state over time, out of lives that come in any order.

use crate::model::{
    Ktime, TcpState,
    report::{Course, Scale},
};

/// The shortest step of the counts, and how many there may be.
const STEPS: (u64, u64) = (1_000_000, 1 << 13);

pub(super) struct Counts {
    scale: Scale,
    courses: [Course; TcpState::ALL.len()],
    end: Ktime,
}

impl Counts {
    /// From `start` on; what was there earlier is there then.
    pub(super) fn new(start: Ktime) -> Self {
        let (shortest, room) = STEPS;
        Self { scale: Scale::new(start, shortest, room), courses: Default::default(), end: start }
    }

    /// A connection was in `state` from `begin` on.
    pub(super) fn add(&mut self, state: TcpState, begin: Ktime, end: Option<Ktime>) {
        self.end = self.end.max(end.unwrap_or(begin));
        self.scale.reach(self.end);
        self.courses[state as usize - 1].add(self.scale, begin, end);
    }

    /// The states that a step met a connection in, with each step at which the count is another than before.
    pub(super) fn changes(&self) -> impl Iterator<Item = (TcpState, Vec<(Ktime, u64)>)> {
        // What changed within the last step is there at the next.
        let end = self.end.after(self.scale.step());
        TcpState::ALL.into_iter().zip(&self.courses).filter_map(move |(state, course)| {
            let series = course.series(self.scale, end);
            let mut last = None;
            let steps = (0..).zip(&series.values).filter(|(_, count)| last.replace(**count) != Some(**count));
            let changes = steps.map(|(step, count)| (series.start.after(series.step.saturating_mul(step)), *count));
            let changes: Vec<_> = changes.collect();
            changes.iter().any(|(_, count)| *count > 0).then_some((state, changes))
        })
    }
}
