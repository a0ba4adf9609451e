//! Lives that end after the same round time without data: somebody's timeout, on the side that closes.

use super::{
    lived::Lived,
    names::{Pids, comm},
    top::{Top, Weight},
};
use crate::model::{
    Comm, Side,
    report::{IdleEnd, Place},
};
use std::collections::BTreeMap;

/// Rows that are followed, and times of a row.
const ROOM: usize = 128;
const TIMES: usize = 256;
/// Times are told apart to this.
const GRAIN: u64 = 50_000_000;
/// Nobody sets a shorter timeout for idle connections.
const SHORTEST: u64 = 1_000_000_000;
/// A timer is late by so much, for loops that look every so often; never early, but for a jiffy.
const LATE: u64 = 500_000_000;
const EARLY: u64 = 20_000_000;
/// Fewer are no sign of a timeout.
const LEAST: u64 = 3;

type Key = (Side, Option<Comm>, Place);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct IdleEnds(Top<Key, Row>);

#[derive(Clone, Debug, Default)]
struct Row {
    closers: Pids,
    /// Lives whose idle time is known.
    of: u64,
    /// How many ended after so many grains.
    times: BTreeMap<u64, u64>,
}

impl Weight for Row {
    fn weight(&self) -> u64 {
        self.of
    }
}

impl Default for IdleEnds {
    fn default() -> Self {
        Self(Top::new(ROOM))
    }
}

impl IdleEnds {
    pub(crate) fn take(&mut self, lived: &Lived<'_>) {
        let life = lived.life;
        let (Some(idle), Some(side @ (Side::Local | Side::Remote))) = (life.idle_before_close, life.closed_first)
        else {
            return;
        };
        let closer = life.closed_by.map(|closer| closer.process);
        let row = self.0.row((side, comm(closer), lived.place));
        row.closers.add(closer);
        row.of += 1;
        let time = idle / GRAIN;
        if idle >= SHORTEST - EARLY && (row.times.len() < TIMES || row.times.contains_key(&time)) {
            *row.times.entry(time).or_default() += 1;
        }
    }

    /// Where most lives ended after the same time, and somebody may have set it: the most first.
    pub(crate) fn table(&self) -> Vec<IdleEnd> {
        let rows = self.0.iter();
        let mut ends: Vec<IdleEnd> = rows.filter_map(|(key, row)| row.end(key)).collect();
        ends.sort_unstable_by(|a, b| {
            let key = |end: &IdleEnd| (end.side, end.place, end.timeout);
            b.count.cmp(&a.count).then_with(|| key(a).cmp(&key(b)))
        });
        ends
    }
}

impl Row {
    fn end(&self, &(side, closer, place): &Key) -> Option<IdleEnd> {
        let near = |timeout: u64| {
            let (first, last) = (timeout.saturating_sub(EARLY) / GRAIN, (timeout + LATE) / GRAIN);
            self.times.range(first..=last).map(|(_, number)| number).sum::<u64>()
        };
        let timeouts = self.times.keys().map(|time| round((time + 1) * GRAIN));
        let (count, timeout) = timeouts
            .map(|timeout| (near(timeout), timeout))
            .max_by_key(|&(count, timeout)| (count, std::cmp::Reverse(timeout)))?;
        let enough = count >= LEAST && count * 2 >= self.of;
        enough.then(|| IdleEnd { side, closer: self.closers.party(closer), place, timeout, count, of: self.of })
    }
}

/// The last time before that somebody would set: whole seconds, and from two minutes on half minutes.
fn round(nanos: u64) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    let step = if nanos < 120 * SECOND { SECOND } else { 30 * SECOND };
    nanos / step * step
}
