//! Who makes TIME_WAITs, and how they end.

use super::{
    counts::Counts,
    course::{Course, Scale},
    lived::Lived,
    names::{Pids, comm},
    states::States,
    top::{Top, Weight},
};
use crate::model::{
    Basis, Comm, Direction, Ktime, TcpState, TimeWaitEnd,
    report::{Place, TimeWaitMaker, TimeWaits},
};

/// Makers that are followed, and those that are shown.
const ROOM: usize = 128;
const SHOWN: usize = 20;

type Key = (Option<Comm>, Option<Comm>, Place);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Makers {
    rows: Top<Key, Row>,
    basis: Counts<Basis>,
    ends: Counts<Option<TimeWaitEnd>>,
    restarts: u64,
}

#[derive(Clone, Debug, Default)]
struct Row {
    owners: Pids,
    closers: Pids,
    entered: u64,
    now: u64,
    reused: u64,
    lasted: (u64, u64),
    course: Course,
}

impl Weight for Row {
    fn weight(&self) -> u64 {
        self.entered
    }
}

impl Default for Makers {
    fn default() -> Self {
        Self { rows: Top::new(ROOM), basis: Counts::default(), ends: Counts::default(), restarts: 0 }
    }
}

impl Makers {
    pub(crate) fn take(&mut self, lived: &Lived<'_>) {
        let life = lived.life;
        if life.time_wait_end == Some(TimeWaitEnd::Overflow) {
            self.ends.add(life.time_wait_end);
        }
        let Some(stay) = lived.stay(TcpState::TimeWait) else { return };
        if !stay.open {
            self.basis.add(stay.span.basis);
            self.ends.add(life.time_wait_end);
        }
        self.restarts += u64::from(life.time_wait_restarts);
        let closer = life.closed_by.map(|closer| closer.process);
        let row = self.rows.row((lived.comm, comm(closer), lived.place));
        row.owners.add(lived.owner);
        row.closers.add(closer);
        row.entered += 1;
        row.now += u64::from(stay.open);
        row.reused += u64::from(matches!(life.time_wait_end, Some(TimeWaitEnd::Reused | TimeWaitEnd::TakenOver)));
        if let Some(lasted) = stay.span.lasted {
            row.lasted = (row.lasted.0.saturating_add(lasted), row.lasted.1 + 1);
        }
        if let Some(from) = stay.from {
            row.course.add(lived.scale, from, stay.until);
        }
    }

    pub(crate) fn table(&self, states: &States, scale: Scale, end: Ktime) -> TimeWaits {
        let all = states.of(TcpState::TimeWait);
        let over_time = all.course.series(scale, end);
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_unstable_by(|(a, x), (b, y)| y.entered.cmp(&x.entered).then_with(|| a.cmp(b)));
        let makers: Vec<_> = rows.iter().take(SHOWN).map(|(key, row)| row.maker(key, scale, end)).collect();
        let shown: u64 = makers.iter().map(|maker| maker.entered).sum();
        TimeWaits {
            entered: all.entered,
            now: all.now,
            peak: all.course.peak(&over_time, all.now, end),
            lasted: all.lasted.quantiles(),
            basis: self.basis.map(),
            ends: self.ends.map(),
            restarts: self.restarts,
            over_time,
            makers,
            other: all.entered - shown,
        }
    }
}

impl Row {
    fn maker(&self, (owner, closer, place): &Key, scale: Scale, end: Ktime) -> TimeWaitMaker {
        TimeWaitMaker {
            owner: self.owners.party(*owner),
            closer: self.closers.party(*closer),
            direction: match place {
                Place::To(_) => Some(Direction::Outbound),
                Place::At(_) => Some(Direction::Inbound),
                Place::With(_) => None,
            },
            place: *place,
            entered: self.entered,
            now: self.now,
            peak: self.course.peak(&self.course.series(scale, end), self.now, end),
            reused: self.reused,
            mean: self.lasted.0.checked_div(self.lasted.1),
        }
    }
}
