//! What the views keep of the changes as they come: all of it bounded.

use crate::model::{
    Change, Ktime, Lifecycle, LossPlace, Observation, Shown, TcpState, filter::Filter, observation::Lost,
};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Transitions that are kept.
const EVENTS: usize = 10_000;
/// Connections that have closed and are kept, to say who closes.
const CLOSINGS: usize = 20_000;
/// Seconds of history.
const SECONDS: usize = 600;
/// Processes that are kept.
const PROCESSES: usize = 10_000;
const SECOND: u64 = 1_000_000_000;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Feed {
    /// Observations so far: events of the kernel alone.
    pub(super) received: u64,
    pub(super) lost: BTreeMap<LossPlace, u64>,
    /// The newest last.
    pub(super) events: VecDeque<Event>,
    /// Events before the first one that is kept.
    pub(super) events_before: u64,
    pub(super) closings: Closings,
    pub(super) processes: HashMap<u32, Known>,
    pub(super) history: History,
}

/// A row of the events.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Shown(Shown),
    Lost(Lost),
}

/// What /proc said of a process last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Descriptors that it has open, and may.
    pub(super) descriptors: Option<u64>,
    pub(super) limit: Option<u64>,
}

impl Feed {
    pub(super) fn observation(&mut self, observation: &Observation) {
        match observation {
            Observation::Transition(_) | Observation::Reset(_) | Observation::Hold(_) | Observation::Timer(_) => {
                self.received += 1;
                self.history.now.events += 1;
            }
            Observation::Process(reading) => {
                if self.processes.len() >= PROCESSES {
                    self.processes.clear();
                }
                let known = Known { descriptors: reading.descriptors, limit: reading.descriptor_limit };
                self.processes.insert(reading.process.pid, known);
            }
            _ => {}
        }
    }

    pub(super) fn change(&mut self, change: &Change, filter: &Filter) {
        match change {
            Change::Transition(shown) => {
                self.keep(Event::Shown(shown.clone()));
                if shown.to == TcpState::Established && filter.matches_shown(shown) {
                    self.history.now.established += 1;
                }
            }
            Change::Closed(life) => self.closed(life, filter),
            Change::Ended { lifecycle, announced: false } if lifecycle.ended.is_some() => {
                self.closed(lifecycle, filter);
            }
            Change::Ended { lifecycle, .. } => self.closings.mend(lifecycle),
            Change::Lost(lost) => {
                *self.lost.entry(lost.place).or_default() += lost.count;
                self.keep(Event::Lost(*lost));
            }
        }
    }

    fn closed(&mut self, life: &Lifecycle, filter: &Filter) {
        self.history.now.closed += u64::from(filter.matches(life));
        self.closings.push(life);
    }

    fn keep(&mut self, event: Event) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
            self.events_before += 1;
        }
        self.events.push_back(event);
    }

    pub(super) fn total_lost(&self) -> u64 {
        self.lost.values().sum()
    }
}

/// The connections that closed last, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Closings {
    lives: VecDeque<Lifecycle>,
    /// Those before the first one that is kept.
    before: u64,
    /// How many came before each, by its id.
    places: HashMap<u64, u64>,
}

impl Closings {
    fn push(&mut self, life: &Lifecycle) {
        if self.lives.len() == CLOSINGS
            && let Some(first) = self.lives.pop_front()
        {
            self.before += 1;
            self.places.remove(&first.id);
        }
        self.places.insert(life.id, self.before + self.lives.len() as u64);
        self.lives.push_back(life.clone());
    }

    /// More is known of it now.
    fn mend(&mut self, life: &Lifecycle) {
        if let Some(place) = self.place(life.id) {
            self.lives[place] = life.clone();
        }
    }

    fn place(&self, id: u64) -> Option<usize> {
        usize::try_from(self.places.get(&id)?.checked_sub(self.before)?).ok()
    }

    pub(super) fn get(&self, id: u64) -> Option<&Lifecycle> {
        self.lives.get(self.place(id)?)
    }

    /// The latest one with the other end of this tuple.
    pub(super) fn other_end(&self, life: &Lifecycle) -> Option<&Lifecycle> {
        let reversed = life.tuple.reversed();
        self.lives.iter().rev().find(|other| other.tuple == reversed && other.netns == life.netns)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Lifecycle> {
        self.lives.iter()
    }

    /// Some have been dropped.
    pub(super) fn is_cut(&self) -> bool {
        self.before > 0
    }
}

/// What there was, second by second.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// The newest last; none of them is under way.
    pub(super) seconds: VecDeque<Second>,
    now: Second,
    /// When the one under way began.
    began: Option<Ktime>,
}

/// A second of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Second {
    pub(super) events: u64,
    pub(super) established: u64,
    pub(super) closed: u64,
    /// Connections by state at its end, as counted last.
    pub(super) counts: [u64; TcpState::ALL.len()],
}

impl History {
    /// It is `at` now, and so many connections were counted last.
    pub(super) fn pass(&mut self, at: Ktime, counts: &[u64; TcpState::ALL.len()]) {
        let mut began = *self.began.get_or_insert(at);
        // After a leap there is nothing to tell of the time between.
        if at.since(began) > SECONDS as u64 * SECOND {
            began = at.before(SECOND);
        }
        while at.since(began) >= SECOND {
            let second = Second { counts: *counts, ..std::mem::take(&mut self.now) };
            if self.seconds.len() == SECONDS {
                self.seconds.pop_front();
            }
            self.seconds.push_back(second);
            began = began.after(SECOND);
        }
        self.began = Some(began);
    }

    /// The second before this one.
    pub(super) fn last(&self) -> Second {
        self.seconds.back().copied().unwrap_or_default()
    }

    /// Other connections are counted from now on.
    pub(super) fn forget(&mut self) {
        *self = Self { began: self.began, ..Self::default() };
    }
}
