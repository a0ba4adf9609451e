//! Connections by process and by destination.

use super::{Wanted, is_outbound};
use crate::{
    model::{Comm, Endpoint, Ktime, Lifecycle, TcpState, tracker::Glance},
    sink::tui::{
        ports::{HORIZON, Held, Outlook},
        view::{List, Sort},
    },
};
use std::{
    cmp::Reverse,
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};

const SECOND: u64 = 1_000_000_000;
/// With fewer TIME_WAITs nothing is about to fill, and no schedule of them is worth its memory.
const WORTH_A_SCHEDULE: u32 = 32;

/// Connections of the processes of one name, or of one process.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// `None` where nobody can tell whose connections these are.
    pub(crate) owner: Option<(Comm, Pids)>,
    pub(crate) count: u32,
    /// Of these, entered in the last seconds.
    pub(crate) entered: u32,
    /// The earliest; `None` where one began before tracing.
    pub(crate) oldest: Option<Ktime>,
    pub(crate) never_accepted: u32,
}

/// One process, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pids {
    One(u32),
    Several,
}

impl Pids {
    pub(super) fn add(&mut self, pid: u32) {
        if *self != Self::One(pid) {
            *self = Self::Several;
        }
    }
}

/// What the connections to a destination share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// From this address out to that end: each takes a port of ours.
    Out(IpAddr, Endpoint),
    /// In to this port of ours from that address.
    In(u16, IpAddr),
}

impl Route {
    pub(super) fn of(life: &Lifecycle) -> Option<Self> {
        let tuple = life.tuple;
        life.direction?;
        Some(match is_outbound(life) {
            true => Self::Out(tuple.local.ip, tuple.remote),
            false => Self::In(tuple.local.port, tuple.remote.ip),
        })
    }
}

/// Where connections go.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) netns: Option<u32>,
    pub(crate) route: Route,
    pub(crate) time_waits: u32,
    pub(crate) entered: u32,
    /// The ports toward it; `None` where none are taken, or the range is not known.
    pub(crate) ports: Option<PortUse>,
}

/// How it stands with the ports toward a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortUse {
    pub(crate) pool: u32,
    pub(crate) held: u32,
    /// Of these, TIME_WAITs whose port connect() may have at once.
    pub(crate) reusable: u32,
    pub(crate) outlook: Outlook,
}

/// Groups under construction.
#[derive(Default)]
pub(super) struct Groups {
    processes: HashMap<Option<(Comm, Option<u32>)>, Group>,
    routes: HashMap<(Option<u32>, Route), Tally>,
}

#[derive(Default)]
struct Tally {
    time_waits: u32,
    entered: u32,
    /// Of the ports that connect() chooses from.
    open: u32,
    waiting: u32,
    taken: u32,
    freed: Option<Box<[u32; HORIZON + 1]>>,
}

impl Groups {
    /// A TIME_WAIT, or what may hold a port beside some.
    pub(super) fn time_wait(&mut self, glance: &Glance<'_>, wanted: &Wanted<'_>) {
        let life = glance.life;
        let is_time_wait = glance.state == TcpState::TimeWait;
        if is_time_wait {
            // Of a script that forks, the name is what counts.
            self.process(life.owner.map(|owner| (owner.process.comm, None)), glance, wanted);
        }
        let Some(route) = Route::of(life).filter(|route| is_time_wait || matches!(route, Route::Out(..))) else {
            return;
        };
        let tally = self.routes.entry((life.netns, route)).or_default();
        if is_time_wait {
            tally.time_waits += 1;
            tally.entered += u32::from(is_recent(glance.since, wanted));
        }
        let in_range = wanted.ports.range_in(life.netns).is_some_and(|range| range.contains(life.tuple.local.port));
        if matches!(route, Route::Out(..)) && in_range {
            tally.hold(glance, is_time_wait, wanted);
        }
    }

    pub(super) fn close_wait(&mut self, glance: &Glance<'_>, wanted: &Wanted<'_>) {
        // A descriptor limit is that of a process.
        let process = glance.life.owner.map(|owner| (owner.process.comm, Some(owner.process.pid)));
        self.process(process, glance, wanted);
    }

    fn process(&mut self, key: Option<(Comm, Option<u32>)>, glance: &Glance<'_>, wanted: &Wanted<'_>) {
        let (life, entered) = (glance.life, glance.since);
        let owner = life.owner.map(|owner| (owner.process.comm, Pids::One(owner.process.pid)));
        let new = || Group { owner, count: 0, entered: 0, oldest: entered, never_accepted: 0 };
        let group = self.processes.entry(key).or_insert_with(new);
        if let (Some((_, pids)), Some(owner)) = (&mut group.owner, life.owner) {
            pids.add(owner.process.pid);
        }
        group.count += 1;
        group.entered += u32::from(is_recent(entered, wanted));
        group.oldest = group.oldest.min(entered);
        group.never_accepted += u32::from(life.accepted == Some(false));
    }

    pub(super) fn by_process(&mut self, (sort, reversed): (Sort, bool)) -> Vec<Group> {
        let mut groups: Vec<_> = std::mem::take(&mut self.processes).into_values().collect();
        groups.sort_unstable_by_key(|group| {
            let key = match sort {
                Sort::Rate => u64::MAX - u64::from(group.entered),
                Sort::Oldest => group.oldest.map_or(0, |oldest| oldest.0),
                _ => u64::MAX - u64::from(group.count),
            };
            (key, Reverse(group.count), group.owner.map(|(comm, _)| comm))
        });
        if reversed {
            groups.reverse();
        }
        groups
    }

    pub(super) fn by_destination(self, wanted: &Wanted<'_>) -> Vec<Destination> {
        let (sort, reversed) = (wanted.sort)(List::Destinations);
        let mut destinations: Vec<_> =
            self.routes.into_iter().map(|((netns, route), tally)| tally.destination(netns, route, wanted)).collect();
        destinations.sort_unstable_by_key(|destination| {
            let key = match sort {
                Sort::Use => destination.ports.map_or(0, |ports| ports.held),
                Sort::Rate => destination.entered,
                _ => destination.time_waits,
            };
            (Reverse(key), Reverse(destination.time_waits), identity(&(destination.netns, destination.route)))
        });
        if reversed {
            destinations.reverse();
        }
        destinations
    }
}

impl Tally {
    fn hold(&mut self, glance: &Glance<'_>, is_time_wait: bool, wanted: &Wanted<'_>) {
        self.taken += u32::from(is_recent(glance.life.opened, wanted));
        if !is_time_wait {
            self.open += 1;
            return;
        }
        self.waiting += 1;
        if self.waiting > WORTH_A_SCHEDULE {
            let freed = self.freed.get_or_insert_with(|| Box::new([0; HORIZON + 1]));
            freed[free_in(glance, wanted)] += 1;
        }
    }

    fn destination(self, netns: Option<u32>, route: Route, wanted: &Wanted<'_>) -> Destination {
        let Self { time_waits, entered, open, waiting, taken, freed } = self;
        let range = wanted.ports.range_in(netns).filter(|_| matches!(route, Route::Out(..)));
        let ports = range.map(|range| {
            let (pool, pace) = (range.pool(), wanted.pace);
            let mut freed = freed.map_or([0; HORIZON + 1], |freed| *freed);
            // The few without a schedule count as if they had just begun.
            freed[HORIZON] += waiting.min(WORTH_A_SCHEDULE);
            let reusable = freed[0];
            PortUse { pool, held: open + waiting, reusable, outlook: Held { pool, open, freed, taken, pace }.outlook() }
        });
        Destination { netns, route, time_waits, entered, ports }
    }
}

/// In how many seconds a connect may have the port of this TIME_WAIT.
fn free_in(glance: &Glance<'_>, wanted: &Wanted<'_>) -> usize {
    let Some(entered) = glance.since else { return HORIZON };
    let whole = HORIZON as u64 * SECOND;
    let length = wanted.ports.reuse(glance.life).map_or(whole, |delay| delay.min(whole));
    let left = entered.after(length).since(wanted.now);
    usize::try_from(left.div_ceil(SECOND)).map_or(HORIZON, |left| left.min(HORIZON))
}

fn is_recent(at: Option<Ktime>, wanted: &Wanted<'_>) -> bool {
    at.is_some_and(|at| wanted.now.since(at) < wanted.pace * SECOND)
}

/// A number that stands for a group, so that the cursor can follow it.
pub(crate) fn identity(key: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
