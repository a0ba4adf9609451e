//! One pass over the connections that there are: what the tab that is looked at needs, and nothing else.
//!
//! Running totals would have to be kept in step with every way in which the tracker can change its mind; a pass says
//! what the tracker says. It costs some 100 ns a connection, so the desk takes care how often there is one.

mod groups;
mod ledger;

pub(super) use groups::{Destination, Group, Pids, PortUse, Route, identity};
pub(super) use ledger::Entry;

use super::{
    feed::Closings,
    ports::PACE,
    view::{List, Sort, Tab},
};
use crate::model::{
    Direction, Ktime, Lifecycle, SocketId, TcpState, Tracker,
    filter::Filter,
    sysctls::{self, PortRange, Sysctls},
    tracker::Glance,
};
use groups::Groups;
use std::collections::BTreeSet;

/// The connections: those of the tracker, or as they were when the picture was stopped.
#[derive(Clone, Copy)]
pub(super) enum Lives<'a> {
    Live(&'a Tracker),
    Still(&'a Still),
}

/// What a stopped picture is made of.
#[derive(Clone, Debug)]
pub(super) struct Still {
    lives: Vec<(SocketId, Lifecycle)>,
}

impl Still {
    pub(super) fn new(tracker: &Tracker) -> Self {
        let lives = tracker.glances().filter_map(|glance| Some((glance.socket, tracker.life(glance.socket)?)));
        let mut lives: Vec<_> = lives.collect();
        lives.sort_unstable_by_key(|(_, life)| life.id);
        Self { lives }
    }
}

impl<'a> Lives<'a> {
    pub(super) fn get(self, place: Place) -> Option<Lifecycle> {
        match self {
            Self::Live(tracker) => tracker.life(place.socket).filter(|life| life.id == place.id),
            Self::Still(still) => {
                let at = still.lives.binary_search_by_key(&place.id, |(_, life)| life.id).ok()?;
                still.lives.get(at).map(|(_, life)| life.clone())
            }
        }
    }

    /// Where this connection is to be found, if it is there.
    pub(super) fn find(self, id: u64) -> Option<Place> {
        let mut found = None;
        self.each(|glance| {
            if glance.life.id == id {
                found = Some(Place { key: 0, id, socket: glance.socket });
            }
        });
        found
    }

    pub(super) fn other_end(self, life: &Lifecycle) -> Option<Lifecycle> {
        match self {
            Self::Live(tracker) => tracker.other_end(life),
            Self::Still(still) => {
                let reversed = life.tuple.reversed();
                still.lives.iter().map(|(_, other)| other).find(|other| other.tuple == reversed).cloned()
            }
        }
    }

    fn cgroup(self, life: &'a Lifecycle) -> Option<&'a str> {
        match self {
            Self::Live(tracker) => tracker.place(&life.owner?.process)?.cgroup.as_deref(),
            Self::Still(_) => life.cgroup(),
        }
    }

    fn each(self, mut seen: impl FnMut(Glance<'a>)) {
        match self {
            Self::Live(tracker) => tracker.glances().for_each(seen),
            Self::Still(still) => still.lives.iter().for_each(|(socket, life)| {
                if let Some(state) = life.state() {
                    seen(Glance { socket: *socket, state, since: since(life), life });
                }
            }),
        }
    }
}

/// Where a connection is, and what it is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: u64,
    pub(super) id: u64,
    pub(super) socket: SocketId,
}

/// What is asked of a pass.
pub(super) struct Wanted<'a> {
    pub(super) tab: Tab,
    pub(super) now: Ktime,
    /// The seconds that "the last seconds" are.
    pub(super) pace: u64,
    /// That of the command line, and that of the screen.
    pub(super) filters: [&'a Filter; 2],
    pub(super) closings: &'a Closings,
    pub(super) ports: &'a Ports,
    /// How each list of the tab is sorted.
    pub(super) sort: &'a dyn Fn(List) -> (Sort, bool),
}

impl Wanted<'_> {
    fn takes<'a>(&self, life: &'a Lifecycle, lives: Lives<'a>) -> bool {
        self.filters.iter().all(|filter| {
            if filter.cgroups.is_empty() {
                return filter.matches(life);
            }
            // Looked up, which costs, for those alone that ask for it.
            let owner = life.owner.map(|owner| owner.process);
            filter.matches_all(&life.tuple, life.netns, owner.as_ref(), lives.cgroup(life))
        })
    }
}

/// What is known of the ports that connect() chooses from, in twtrace's own network namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct Ports {
    pub(super) range: Option<PortRange>,
    netns: Option<u32>,
    /// Nanoseconds of TIME_WAIT after which connect() may take its port, to this host's own addresses and to others;
    /// `None` where it may not.
    reuse: [Option<u64>; 2],
}

impl Ports {
    /// What the settings come to.
    pub(super) fn of(values: &Sysctls, netns: Option<u32>) -> Self {
        let value = |name: &str| values.get(name).map(String::as_str);
        let delay = value(sysctls::TW_REUSE_DELAY).and_then(|millis| millis.parse::<u64>().ok()).unwrap_or(1_000);
        let delay = (value(sysctls::TIMESTAMPS) != Some("0")).then_some(delay.saturating_mul(1_000_000));
        // tcp_twsk_unique(), net/ipv4/tcp_ipv4.c
        let reuse = match value(sysctls::TW_REUSE) {
            Some("1") => [delay, delay],
            Some("2") => [delay, None],
            _ => [None, None],
        };
        Self { range: PortRange::of(values), netns, reuse }
    }

    /// What is known of those in this namespace: another one has settings of its own.
    fn range_in(&self, netns: Option<u32>) -> Option<&PortRange> {
        self.range.as_ref().filter(|_| netns.is_none() || self.netns.is_none() || netns == self.netns)
    }

    fn reuse(&self, life: &Lifecycle) -> Option<u64> {
        let [loopback, elsewhere] = self.reuse;
        if life.tuple.local.ip.is_loopback() || life.tuple.remote.ip.is_loopback() { loopback } else { elsewhere }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    /// What it was for.
    pub(super) tab: Tab,
    /// The seconds over which what is new was counted.
    pub(super) pace: u64,
    pub(super) counts: [u64; TcpState::ALL.len()],
    /// Connections, or CLOSE_WAITs, in order.
    pub(super) places: Vec<Place>,
    /// TIME_WAITs, or CLOSE_WAITs, by process.
    pub(super) groups: Vec<Group>,
    pub(super) destinations: Vec<Destination>,
    /// Closings by who and how.
    pub(super) ledger: Vec<Entry>,
    /// Where connections are that could say what they carry, if that is what they are sorted by.
    pub(super) carry: BTreeSet<Option<u32>>,
}

impl Survey {
    /// Nothing has been counted.
    pub(super) fn new(tab: Tab) -> Self {
        Self {
            tab,
            pace: PACE,
            counts: [0; _],
            places: Vec::new(),
            groups: Vec::new(),
            destinations: Vec::new(),
            ledger: Vec::new(),
            carry: BTreeSet::new(),
        }
    }

    pub(super) fn of(lives: Lives<'_>, wanted: &Wanted<'_>) -> Self {
        let mut survey = Self { pace: wanted.pace, ..Self::new(wanted.tab) };
        let mut groups = Groups::default();
        let by_bytes = (wanted.sort)(List::Connections).0 == Sort::Bytes;
        lives.each(|glance| {
            let Glance { socket, state, since, life } = glance;
            if matches!(state, TcpState::Listen | TcpState::Close) || !wanted.takes(life, lives) {
                return;
            }
            survey.counts[state as usize - 1] += 1;
            let mut place = |key| survey.places.push(Place { key, id: life.id, socket });
            match wanted.tab {
                Tab::Overview | Tab::Closers | Tab::Events => {}
                Tab::Connections => {
                    place(order(&glance, (wanted.sort)(List::Connections).0));
                    if by_bytes && state.carries() {
                        survey.carry.insert(life.netns);
                    }
                }
                Tab::TimeWait => groups.time_wait(&glance, wanted),
                Tab::CloseWait if state == TcpState::CloseWait => {
                    groups.close_wait(&glance, wanted);
                    place(since.map_or(0, |entered| entered.0));
                }
                Tab::CloseWait => {}
            }
        });
        survey.arrange(groups, wanted);
        survey
    }

    fn arrange(&mut self, mut groups: Groups, wanted: &Wanted<'_>) {
        let by_process = match wanted.tab {
            Tab::CloseWait => List::CloseWaitProcesses,
            _ => List::TimeWaitProcesses,
        };
        let places = if wanted.tab == Tab::CloseWait { List::CloseWaits } else { List::Connections };
        self.places.sort_unstable_by_key(|place| (place.key, place.id));
        if (wanted.sort)(places).1 {
            self.places.reverse();
        }
        self.groups = groups.by_process((wanted.sort)(by_process));
        self.destinations = groups.by_destination(wanted);
        if wanted.tab == Tab::Closers {
            let taken = wanted.closings.iter().filter(|life| wanted.filters.iter().all(|filter| filter.matches(life)));
            self.ledger = ledger::ledger(taken, (wanted.sort)(List::Closers));
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn count(&self, state: TcpState) -> u64 {
        self.counts[state as usize - 1]
    }
}

/// Since when it is in its state, where known.
pub(super) fn since(life: &Lifecycle) -> Option<Ktime> {
    life.spans.last()?.entered
}

/// The smallest comes first: the oldest, the earliest state.
fn order(glance: &Glance<'_>, sort: Sort) -> u64 {
    let since = glance.since.map_or(0, |at| at.0);
    match sort {
        Sort::State => {
            let place =
                TcpState::COURSE.iter().position(|&known| known == glance.state).unwrap_or(TcpState::COURSE.len());
            (place as u64) << 58 | since >> 6
        }
        Sort::InState => since,
        // The most first, and what is not known last.
        Sort::Bytes => glance.life.carried().map_or(u64::MAX, |(traffic, _)| !traffic.bytes()),
        _ => glance.life.opened.map_or(0, |at| at.0),
    }
}

/// This end called.
fn is_outbound(life: &Lifecycle) -> bool {
    life.direction == Some(Direction::Outbound)
}
