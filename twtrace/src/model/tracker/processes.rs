//! Where processes run: asked once for each owner of a connection, and again for those that leave connections in
//! CLOSE_WAIT, whose descriptors run out.
//!
//! Kept by process and looked up when a lifecycle is given out, so that a connection costs nothing for it.

use super::{
    super::{Ktime, Process, Question, TcpState, observation::ProcessReading, process::Place},
    Connection, Phase, Tracker,
};
use hashbrown::{HashMap, HashSet};
use std::{collections::VecDeque, sync::Arc};

/// /proc counts the start of a process in these; the kernel's own figure is up to one later.
const TICK: u64 = 10_000_000;
/// Processes asked for at a tick, so that a host where many begin is not busy with telling where.
const ASKED_PER_TICK: usize = 8;
/// Those that wait to be asked for; of more it is asked when they own the next connection.
const WAITING: usize = 1024;
/// Between two readings of a process that has connections in CLOSE_WAIT.
const LEAK_PERIOD: u64 = 5_000_000_000;
/// A CLOSE_WAIT of this age is one that may stay.
const LEAK_AGE: u64 = 1_000_000_000;
/// Processes read again in a period: those with most connections in CLOSE_WAIT.
const LEAKING: usize = 32;
/// Below that it is not worth looking who is still needed.
const FEW: usize = 1024;

/// A process, told from a later one of the same number by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(u32, Option<u64>);

impl Key {
    fn of(process: &Process) -> Self {
        Self(process.pid, process.started.map(|started| started / TICK))
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// What is known of each that was asked for: `None` while nobody has answered.
    known: HashMap<Key, Option<Arc<Place>>>,
    /// The last one met: a server has many connections.
    last: Option<Key>,
    waiting: VecDeque<Process>,
    leaks_asked: Ktime,
    /// When so many are known, those without a connection are forgotten.
    full: usize,
}

impl Processes {
    /// It owns a connection.
    pub(super) fn meet(&mut self, process: Process) {
        let key = Key::of(&process);
        if self.last == Some(key) || self.known.contains_key(&key) {
            self.last = Some(key);
        } else if self.waiting.len() < WAITING {
            self.last = Some(key);
            self.known.insert(key, None);
            self.waiting.push_back(process);
        }
    }

    /// Where it runs, where that is known.
    pub(super) fn place(&self, process: &Process) -> Option<&Arc<Place>> {
        self.known.get(&Key::of(process))?.as_ref()
    }

    pub(super) fn read(&mut self, reading: &ProcessReading) {
        let ProcessReading { process, cgroup, container, .. } = reading;
        let known = self.known.entry(Key::of(process)).or_default();
        let is_same = |place: &Arc<Place>| place.cgroup == *cgroup && place.container == *container;
        if !known.as_ref().is_some_and(is_same) {
            *known = Some(Arc::new(Place { cgroup: cgroup.clone(), container: container.clone() }));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len() + self.waiting.len()
    }
}

impl Tracker {
    /// Asks for some of those who wait, for those who leak, and forgets those who are done.
    pub(super) fn tend_processes(&mut self) {
        let some = self.processes.waiting.len().min(ASKED_PER_TICK);
        self.questions.extend(self.processes.waiting.drain(..some).map(Question::Process));
        if self.now.since(self.processes.leaks_asked) >= LEAK_PERIOD {
            self.processes.leaks_asked = self.now;
            self.ask_for_leaks();
        }
        if self.processes.known.len() > self.processes.full.max(FEW) {
            self.forget_processes();
        }
    }

    /// Asks once more for all who own a connection.
    pub(super) fn meet_again(&mut self) {
        let owners = self.connections.iter().filter_map(|(_, connection)| connection.life.owner);
        let mut asked: HashSet<Key> = self.processes.waiting.iter().map(Key::of).collect();
        let again = owners.map(|owner| owner.process).filter(|process| asked.insert(Key::of(process)));
        let room = WAITING.saturating_sub(self.processes.waiting.len());
        let mut again: Vec<_> = again.take(room).collect();
        again.sort_unstable_by_key(|process| process.pid);
        self.processes.waiting.extend(again);
    }

    fn ask_for_leaks(&mut self) {
        let mut leaks: HashMap<Key, (usize, Process)> = HashMap::new();
        // Of the many in TIME_WAIT the phase is all that is looked at.
        let waits = |c: &Connection| c.phase == Phase::Full && c.state() == TcpState::CloseWait;
        for (_, connection) in self.connections.iter().filter(|(_, c)| waits(c)) {
            let is_old = connection.entered().is_none_or(|entered| self.now.since(entered) >= LEAK_AGE);
            if let (true, Some(owner)) = (is_old, connection.life.owner) {
                leaks.entry(Key::of(&owner.process)).or_insert((0, owner.process)).0 += 1;
            }
        }
        let mut leaks: Vec<_> = leaks.into_values().collect();
        leaks.sort_unstable_by_key(|&(count, process)| (std::cmp::Reverse(count), process.pid));
        self.questions.extend(leaks.into_iter().take(LEAKING).map(|(_, process)| Question::Process(process)));
    }

    fn forget_processes(&mut self) {
        let Processes { known, waiting, last, full, .. } = &mut self.processes;
        let owners = self.connections.iter().filter_map(|(_, connection)| connection.life.owner);
        let needed = owners.map(|owner| owner.process).chain(waiting.iter().copied());
        let needed: HashSet<Key> = needed.map(|process| Key::of(&process)).collect();
        known.retain(|key, _| needed.contains(key));
        *last = None;
        *full = known.len() * 2;
    }
}
