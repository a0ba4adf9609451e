//! Who holds CLOSE_WAITs, since when, and whether it ever accepted them.

use super::{
    course::{Course, Scale},
    lived::{Lived, Stay},
    names::Pids,
    processes::Processes,
    states::States,
    top::{Top, Weight},
};
use crate::model::{
    Comm, Ktime, TcpState,
    report::{CloseWaitHolder, CloseWaits, Oldest, Place, Series},
};

/// Names that are followed, and those that are shown.
const ROOM: usize = 64;
const SHOWN: usize = 20;
/// Places of a name that are followed.
const PLACES: usize = 8;
/// The oldest that are shown.
const OLDEST: usize = 10;
const MINUTE: u64 = 60_000_000_000;
/// A shorter time says nothing of growth.
const LEAST_TIME: u64 = 1_000_000_000;

/// The host, and the name of the process.
type Key = (usize, Option<Comm>);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Holders(Top<Key, Row>);

#[derive(Clone, Debug)]
struct Row {
    pids: Pids,
    places: Top<Place, u64>,
    entered: u64,
    now: u64,
    not_accepted: u64,
    over_a_minute: u64,
    course: Course,
    oldest: Vec<Oldest>,
}

impl Weight for u64 {
    fn weight(&self) -> u64 {
        *self
    }
}

impl Weight for Row {
    fn weight(&self) -> u64 {
        self.entered
    }
}

impl Default for Row {
    fn default() -> Self {
        Self {
            pids: Pids::default(),
            places: Top::new(PLACES),
            entered: 0,
            now: 0,
            not_accepted: 0,
            over_a_minute: 0,
            course: Course::default(),
            oldest: Vec::new(),
        }
    }
}

impl Default for Holders {
    fn default() -> Self {
        Self(Top::new(ROOM))
    }
}

impl Holders {
    pub(crate) fn take(&mut self, lived: &Lived<'_>) {
        let Some(stay) = lived.stay(TcpState::CloseWait) else { return };
        let row = self.0.row((lived.host, lived.comm));
        row.pids.add(lived.owner);
        *row.places.row(lived.place) += 1;
        row.entered += 1;
        if let Some(from) = stay.from {
            row.course.add(lived.scale, from, stay.until);
        }
        if stay.open {
            row.take_open(lived, stay);
        }
    }

    pub(crate) fn table(&self, states: &States, processes: &Processes, scale: Scale, end: Ktime) -> CloseWaits {
        let all = states.of(TcpState::CloseWait);
        let over_time = all.course.series(scale, end);
        let mut rows: Vec<_> = self.0.iter().collect();
        rows.sort_unstable_by(|(a, x), (b, y)| (y.now, y.entered).cmp(&(x.now, x.entered)).then_with(|| a.cmp(b)));
        let holders: Vec<_> =
            rows.iter().take(SHOWN).map(|(key, row)| row.holder(**key, processes, scale, end)).collect();
        let shown: u64 = holders.iter().map(|holder| holder.entered).sum();
        CloseWaits {
            entered: all.entered,
            now: all.now,
            peak: all.course.peak(&over_time, all.now, end),
            lasted: all.lasted.quantiles(),
            over_time,
            holders,
            other: all.entered - shown,
        }
    }
}

impl Row {
    fn take_open(&mut self, lived: &Lived<'_>, stay: &Stay<'_>) {
        let life = lived.life;
        self.now += 1;
        self.not_accepted += u64::from(life.accepted == Some(false));
        let Some(age) = stay.length(lived.end) else { return };
        self.over_a_minute += u64::from(age >= MINUTE);
        let place = self.oldest.partition_point(|older| (older.age, life.id) >= (age, older.connection));
        if place < OLDEST {
            self.oldest.truncate(OLDEST - 1);
            self.oldest.insert(
                place,
                Oldest {
                    connection: life.id,
                    tuple: life.tuple,
                    pid: lived.owner.map(|owner| owner.pid),
                    age,
                    basis: stay.span.basis,
                    accepted: life.accepted,
                },
            );
        }
    }

    fn holder(&self, (host, comm): Key, processes: &Processes, scale: Scale, end: Ktime) -> CloseWaitHolder {
        let over_time = self.course.series(scale, end);
        let party = self.pids.party(comm);
        let growth = growth(&over_time, self.now, end);
        let fullest = party.as_ref().and_then(|party| processes.fullest(host, &party.pids));
        let alone = party.as_ref().is_some_and(|party| party.pids.len() == 1);
        let limit_in = fullest.zip(growth).filter(|(_, growth)| alone && *growth > 0.0).map(|(fullest, growth)| {
            let room = fullest.limit.saturating_sub(fullest.descriptors);
            (room as f64 / growth * MINUTE as f64) as u64
        });
        let mut places: Vec<_> = self.places.iter().collect();
        places.sort_unstable_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        CloseWaitHolder {
            party,
            place: places.first().map(|(place, _)| **place),
            entered: self.entered,
            now: self.now,
            peak: self.course.peak(&over_time, self.now, end),
            not_closed: self.now - self.not_accepted,
            not_accepted: self.not_accepted,
            over_a_minute: self.over_a_minute,
            growth_per_minute: growth,
            over_time,
            oldest: self.oldest.clone(),
            descriptors: fullest.map(|fullest| fullest.descriptors),
            descriptor_limit: fullest.map(|fullest| fullest.limit),
            limit_in,
        }
    }
}

/// Growth a minute over the last minute, or the whole run where it is shorter.
fn growth(series: &Series, now: u64, end: Ktime) -> Option<f64> {
    let time = end.since(series.start).min(MINUTE);
    if time < LEAST_TIME {
        return None;
    }
    let before = series.at(end.before(time))?;
    Some((now as f64 - before as f64) * MINUTE as f64 / time as f64)
}
