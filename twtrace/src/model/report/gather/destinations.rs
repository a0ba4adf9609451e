//! Where connections go out to, and the local ports that they hold there.
//!
//! A local port is taken for a destination by any socket with that local address, port and remote end, in whatever
//! state, TIME_WAIT included (`__inet_check_established()`).

use super::{
    course::{Course, Scale},
    lived::Lived,
    names::Pids,
    ports::Rules,
    top::{Top, Weight},
};
use crate::model::{
    Close, Comm, Direction, Endpoint, Ktime, TcpState, TimeWaitEnd,
    report::{Destination, Party},
};
use std::net::IpAddr;

/// Destinations that are followed, and those that are shown.
const ROOM: usize = 256;
const SHOWN: usize = 30;
/// Owners of one destination that are followed, and those that are shown.
const OWNERS: usize = 8;
const OWNERS_SHOWN: usize = 3;

/// The host, its network namespace, its address, the other end.
pub(super) type Key = (usize, Option<u32>, IpAddr, Endpoint);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Destinations(Top<Key, Row>);

#[derive(Clone, Debug)]
pub(super) struct Row {
    owners: Top<Option<Comm>, OwnerRow>,
    /// Connections of which somebody here is known to have called.
    outbound: u64,
    pub(super) opened: u64,
    pub(super) first: Option<Ktime>,
    pub(super) last: Option<Ktime>,
    no_port: u64,
    pub(super) no_port_first: Option<Ktime>,
    refused: u64,
    unanswered: u64,
    /// Those that are over or in TIME_WAIT, and the time until then.
    pub(super) closed: u64,
    pub(super) open_time: u64,
    pub(super) time_waits: u64,
    reused: u64,
    /// TIME_WAITs that ran out, and their time.
    pub(super) expired: (u64, u64),
    held_now: u64,
    held: Course,
    waiting: Course,
}

#[derive(Clone, Debug, Default)]
struct OwnerRow {
    pids: Pids,
    count: u64,
}

impl Weight for OwnerRow {
    fn weight(&self) -> u64 {
        self.count
    }
}

impl Weight for Row {
    fn weight(&self) -> u64 {
        self.opened + self.held_now + self.no_port + self.time_waits
    }
}

impl Default for Row {
    fn default() -> Self {
        Self {
            owners: Top::new(OWNERS),
            outbound: 0,
            opened: 0,
            first: None,
            last: None,
            no_port: 0,
            no_port_first: None,
            refused: 0,
            unanswered: 0,
            closed: 0,
            open_time: 0,
            time_waits: 0,
            reused: 0,
            expired: (0, 0),
            held_now: 0,
            held: Course::default(),
            waiting: Course::default(),
        }
    }
}

impl Default for Destinations {
    fn default() -> Self {
        Self(Top::new(ROOM))
    }
}

impl Destinations {
    pub(crate) fn take(&mut self, lived: &Lived<'_>, rules: &Rules) {
        let life = lived.life;
        // What is there before tracing may have been connected; one that came in has the other side's port to itself.
        if life.direction == Some(Direction::Inbound) {
            return;
        }
        let row = self.0.row((lived.host, life.netns, life.tuple.local.ip, life.tuple.remote));
        row.outbound += u64::from(life.direction.is_some());
        let owner = row.owners.row(lived.comm);
        owner.pids.add(lived.owner);
        owner.count += 1;
        row.count(lived);
        row.hold(lived, rules);
    }

    /// The most ports at once first, and the connections to those that are not shown.
    pub(crate) fn table(&self, rules: &Rules, scale: Scale, end: Ktime) -> (Vec<Destination>, u64) {
        let mut rows: Vec<_> = self
            .0
            .iter()
            .filter(|(_, row)| row.outbound > 0 || row.weight() > 1)
            .map(|(key, row)| row.destination(key, rules, scale, end))
            .collect();
        rows.sort_unstable_by(|a, b| {
            let weight = |d: &Destination| (d.no_port > 0, d.held_peak.count, d.opened);
            weight(b).cmp(&weight(a)).then_with(|| (a.netns, a.local, a.remote).cmp(&(b.netns, b.local, b.remote)))
        });
        let shown = rows.len().min(SHOWN);
        let rest = rows.split_off(shown).iter().map(|row| row.opened).sum::<u64>();
        (rows, self.0.other() + rest)
    }
}

impl Row {
    fn count(&mut self, lived: &Lived<'_>) {
        let life = lived.life;
        if let Some(opened) = life.opened {
            self.opened += 1;
            self.first = Some(self.first.map_or(opened, |first| first.min(opened)));
            self.last = Some(self.last.map_or(opened, |last| last.max(opened)));
        }
        match life.close {
            Some(Close::NoPort) => {
                self.no_port += 1;
                self.no_port_first = self.no_port_first.into_iter().chain(life.ended).min();
                return;
            }
            Some(Close::Refused) => self.refused += 1,
            Some(Close::TimedOut | Close::Unreachable) if life.span(TcpState::Established).is_none() => {
                self.unanswered += 1;
            }
            _ => {}
        }
        let wait = lived.stay(TcpState::TimeWait);
        self.time_waits += u64::from(wait.is_some());
        self.reused += u64::from(life.time_wait_end == Some(TimeWaitEnd::Reused));
        if let (Some(lasted), Some(TimeWaitEnd::Expired)) = (wait.and_then(|wait| wait.span.lasted), life.time_wait_end)
        {
            self.expired = (self.expired.0 + 1, self.expired.1.saturating_add(lasted));
        }
        let closed = wait.and_then(|wait| wait.from).or(life.ended);
        if let (Some(opened), Some(closed)) = (life.opened, closed) {
            self.closed += 1;
            self.open_time = self.open_time.saturating_add(closed.since(opened));
        }
    }

    /// The port that it holds from its beginning to its very end.
    fn hold(&mut self, lived: &Lived<'_>, rules: &Rules) {
        let life = lived.life;
        let port = life.tuple.local.port;
        // While SYN_SENT is all there was, the port is not known; without a port there is none to hold.
        let counts = if port == 0 { lived.is_open() } else { rules.counts(lived.host, life.netns, port) };
        if !counts || life.close == Some(Close::NoPort) {
            return;
        }
        self.held_now += u64::from(lived.is_open());
        let first = lived.stays.first().and_then(|stay| stay.from);
        if let Some(from) = life.opened.or(first) {
            self.held.add(lived.scale, from, life.ended);
        }
        if let Some(wait) = lived.stay(TcpState::TimeWait)
            && let Some(from) = wait.from
        {
            self.waiting.add(lived.scale, from, wait.until);
        }
    }

    fn destination(&self, key: &Key, rules: &Rules, scale: Scale, end: Ktime) -> Destination {
        let &(_, netns, local, remote) = key;
        let held_over_time = self.held.series(scale, end);
        let held_peak = self.held.peak(&held_over_time, self.held_now, end);
        let waiting = self.waiting.series(scale, end);
        let time_wait_at_peak = held_peak.at.and_then(|at| waiting.at(at)).unwrap_or(0);
        let outlook = rules.outlook(key, self, &held_over_time, held_peak, self.held_now, end);
        Destination {
            netns,
            local,
            remote,
            owners: self.owners(),
            opened: self.opened,
            open_rate: outlook.open_rate,
            no_port: self.no_port,
            refused: self.refused,
            unanswered: self.unanswered,
            time_waits: self.time_waits,
            reused: self.reused,
            held: self.held_now,
            held_peak,
            time_wait_at_peak,
            held_over_time,
            pool: outlook.pool,
            hold: outlook.hold,
            hold_time_wait: outlook.hold_time_wait,
            sustainable: outlook.sustainable,
            sustainable_with_reuse: outlook.sustainable_with_reuse,
            reuse: outlook.reuse,
            full: outlook.full,
        }
    }

    fn owners(&self) -> Vec<Party> {
        let mut owners: Vec<_> = self.owners.iter().collect();
        owners.sort_unstable_by(|(a, x), (b, y)| y.count.cmp(&x.count).then_with(|| a.cmp(b)));
        let parties = owners.into_iter().filter_map(|(comm, owner)| owner.pids.party(*comm));
        parties.take(OWNERS_SHOWN).collect()
    }
}
