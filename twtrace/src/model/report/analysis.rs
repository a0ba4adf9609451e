//! Takes in a run and says what it means, at its end or at any moment of it.

use super::{
    Happened, Host, Report,
    gather::{
        close_waits::Holders,
        closes::Closers,
        counts::Counts,
        course::{Scale, Tally},
        destinations::Destinations,
        idle::IdleEnds,
        lived::Lived,
        pile_ups::PileUps,
        ports::Rules,
        processes::Processes,
        states::States,
        time_waits::Makers,
    },
    judge,
};
use crate::model::{
    Change, Close, Direction, Ktime, Lifecycle, Observation, Side, Tracker, filter::Filter, join::Origin,
    observation::Counters, summary::Summary,
};
use std::collections::BTreeMap;

const SECOND: u64 = 1_000_000_000;
/// The shortest step of what is drawn over time, and how many there may be.
const STEPS: (u64, u64) = (10_000_000, 1024);
/// So many seconds are told apart before two are taken as one: a day and a half.
const SECONDS: u64 = 1 << 17;

/// Keeps what a report is made of. Its room is bounded, however long the run.
///
/// It takes the calls of a sink. Lives are counted when they are wholly over or the run is; those that go on meanwhile
/// are taken from the tracker when a [report](Self::report) is asked for.
#[derive(Clone, Debug)]
pub struct Analysis {
    hosts: Vec<Host>,
    filter: Filter,
    rules: Rules,
    summary: Summary,
    processes: Processes,
    /// The first and the last of each network namespace of each host.
    counters: BTreeMap<(usize, u32), (Counters, Counters)>,
    /// Which of the hosts speaks, and what is to be added to its times.
    host: usize,
    ahead: u64,
    now: Ktime,
    /// `None` until something was observed.
    lives: Option<Lives>,
}

/// What is kept of the lives.
#[derive(Clone, Debug)]
struct Lives {
    scale: Scale,
    seconds: Scale,
    opened_over_time: Tally,
    opened_by_second: Tally,
    opened_outbound: u64,
    opened_inbound: u64,
    opened: u64,
    preexisting: u64,
    ended: u64,
    open: u64,
    damaged: u64,
    by_close: Counts<Option<Close>>,
    by_closed_first: Counts<Option<Side>>,
    states: States,
    makers: Makers,
    destinations: Destinations,
    holders: Holders,
    pile_ups: PileUps,
    closers: Closers,
    idle_ends: IdleEnds,
}

impl Analysis {
    /// Nothing yet. The filter is that of the run: lives that it does not let through are left out of
    /// [`Analysis::report`].
    pub fn new(hosts: Vec<Host>, filter: Filter) -> Self {
        let rules = Rules::new(&hosts);
        Self {
            hosts,
            filter,
            rules,
            summary: Summary::default(),
            processes: Processes::default(),
            counters: BTreeMap::new(),
            host: 0,
            ahead: 0,
            now: Ktime::default(),
            lives: None,
        }
    }

    /// Whose what follows is, where recordings of several hosts are read as one.
    pub fn origin(&mut self, origin: &Origin) {
        let is_of = |host: &Host| host.boot.as_deref() == Some(&*origin.boot);
        self.host = self.hosts.iter().position(is_of).unwrap_or(0);
        self.ahead = origin.ahead;
    }

    /// Something was observed.
    pub fn observation(&mut self, observation: &Observation) {
        self.summary.take(observation);
        let at = observation.at().after(self.ahead);
        self.now = self.now.max(at);
        match observation {
            Observation::Process(reading) => self.processes.take(self.host, reading),
            Observation::Counters(counters) => {
                let first_and_last = (counters.clone(), counters.clone());
                self.counters.entry((self.host, counters.netns)).or_insert(first_and_last).1 = counters.clone();
            }
            _ => {}
        }
        if self.lives.is_none() {
            self.lives = Some(Lives::from(at));
        }
    }

    /// Something changed.
    pub fn change(&mut self, change: &Change) {
        if let (Change::Ended { lifecycle, .. }, Some(lives)) = (change, &mut self.lives) {
            lives.take(lifecycle, self.host, &self.rules, self.now);
        }
    }

    /// The run is over, and every life was given: what it means.
    pub fn finish(&mut self, summary: &Summary) -> Report {
        self.summary = summary.clone();
        self.conclude(self.lives_so_far())
    }

    /// What the run means so far: the lives that are over, and those that the tracker follows.
    pub fn report(&self, tracker: &Tracker) -> Report {
        let mut lives = self.lives_so_far();
        for life in tracker.live().filter(|life| self.filter.matches(life)) {
            lives.take(&life, self.host, &self.rules, self.now);
        }
        self.conclude(lives)
    }

    fn lives_so_far(&self) -> Lives {
        self.lives.clone().unwrap_or_else(|| Lives::from(self.now))
    }

    fn conclude(&self, mut lives: Lives) -> Report {
        lives.reach(self.now);
        let (scale, end) = (lives.scale, self.now);
        let (destinations, other_destinations) = lives.destinations.table(&self.rules, scale, end);
        let mut report = Report {
            hosts: self.hosts.clone(),
            findings: Vec::new(),
            advice: Vec::new(),
            happened: lives.happened(&self.summary, self.counted(), end),
            time_wait: lives.makers.table(&lives.states, scale, end),
            destinations,
            other_destinations,
            close_wait: lives.holders.table(&lives.states, &self.processes, scale, end),
            pile_ups: lives.pile_ups.table(scale, end),
            closes_by_process: lives.closers.by_process(),
            closes_by_peer: lives.closers.by_peer(),
            idle_ends: lives.idle_ends.table(),
        };
        judge::judge(&mut report);
        report
    }

    /// By how much the kernel counted up, in all namespaces whose counters were read twice.
    fn counted(&self) -> BTreeMap<String, u64> {
        let mut counted = BTreeMap::new();
        for (first, last) in self.counters.values().filter(|(first, last)| first.after < last.after) {
            for (name, value) in &last.values {
                let before = first.values.get(name).copied().unwrap_or(0);
                *counted.entry(name.clone()).or_default() += value.saturating_sub(before);
            }
        }
        counted
    }
}

impl Lives {
    fn from(origin: Ktime) -> Self {
        let (shortest, room) = STEPS;
        Self {
            scale: Scale::new(origin, shortest, room),
            seconds: Scale::new(origin, SECOND, SECONDS),
            opened_over_time: Tally::default(),
            opened_by_second: Tally::default(),
            opened_outbound: 0,
            opened_inbound: 0,
            opened: 0,
            preexisting: 0,
            ended: 0,
            open: 0,
            damaged: 0,
            by_close: Counts::default(),
            by_closed_first: Counts::default(),
            states: States::default(),
            makers: Makers::default(),
            destinations: Destinations::default(),
            holders: Holders::default(),
            pile_ups: PileUps::default(),
            closers: Closers::default(),
            idle_ends: IdleEnds::default(),
        }
    }

    fn reach(&mut self, now: Ktime) {
        self.scale.reach(now);
        self.seconds.reach(now);
    }

    fn take(&mut self, life: &Lifecycle, host: usize, rules: &Rules, now: Ktime) {
        self.reach(now);
        if let Some(opened) = life.opened {
            self.opened += 1;
            self.opened_outbound += u64::from(life.direction == Some(Direction::Outbound));
            self.opened_inbound += u64::from(life.direction == Some(Direction::Inbound));
            self.opened_over_time.add(self.scale, opened);
            self.opened_by_second.add(self.seconds, opened);
        }
        self.preexisting += u64::from(life.preexisting);
        self.damaged += u64::from(life.broken || life.lost_evidence > 0);
        *(if life.ended.is_some() { &mut self.ended } else { &mut self.open }) += 1;
        if life.close.is_some() || life.ended.is_some() {
            self.by_close.add(life.close);
        }
        if life.closed_first.is_some() || life.ended.is_some() {
            self.by_closed_first.add(life.closed_first);
        }
        let lived = Lived::new(life, host, self.scale, now);
        self.states.take(&lived);
        self.makers.take(&lived);
        self.destinations.take(&lived, rules);
        self.holders.take(&lived);
        self.pile_ups.take(&lived);
        self.closers.take(&lived);
        self.idle_ends.take(&lived);
    }

    fn happened(&self, summary: &Summary, counters: BTreeMap<String, u64>, end: Ktime) -> Happened {
        let start = self.scale.origin();
        let length = end.since(start);
        Happened {
            start,
            end,
            opened: self.opened,
            opened_outbound: self.opened_outbound,
            opened_inbound: self.opened_inbound,
            preexisting: self.preexisting,
            ended: self.ended,
            open: self.open,
            damaged: self.damaged,
            open_rate: (length > 0).then(|| self.opened as f64 / (length as f64 / SECOND as f64)),
            open_rate_peak: self.opened_by_second.series(self.seconds, end).peak(),
            opened_over_time: self.opened_over_time.series(self.scale, end),
            events: summary.events,
            lost: summary.lost.clone(),
            audit: summary.audit.clone(),
            counters,
            by_close: self.by_close.map(),
            by_closed_first: self.by_closed_first.map(),
            states: self.states.counts(self.scale, end),
        }
    }
}
