//! Folds observations into lifecycles.
//!
//! Given the same observations it says the same things: no clock, no file, no kernel. What it would like to have
//! observed it asks for ([`Tracker::poll_question`]) and goes on without an answer.
//! Invariant: every connection that begins is given to [`Change::Ended`] exactly once, by [`Tracker::finish`] at
//! the latest.

mod closing;
mod connection;
mod connections;
mod looks;
mod owners;
mod phantoms;
mod plans;
mod processes;
mod table;
mod time_wait;
mod told;
mod transition;

use super::wheel::Wheel;
use super::{Change, Ktime, Lifecycle, Observation, Process, Question, Shown, SocketId, observation::Lost};
use connection::{Connection, Moment, Phase, Step};
use connections::{Connections, Key};
use hashbrown::{HashMap, HashSet};
use owners::Listeners;
use phantoms::Suspect;
use plans::{Plan, Plans, Purpose};
use processes::Processes;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
pub use told::Glance;

/// How long a connection that is over is kept for what may still be said of it: the reset that
/// `tcp_send_active_reset()` traces after the state change, the other end's own end, and losses.
const SETTLE: u64 = 150_000_000;
/// Connections that are given out together.
const TOGETHER: usize = 64;
/// How long the whole table may go unread while time-wait sockets are about. Each of them lasts 60 s unless it
/// is ended early, so each is seen at least twice.
const TABLE_PERIOD: u64 = 25_000_000_000;
/// Questions from one tick to the next; what is planned beyond that waits for its turn.
const QUESTIONS_PER_TICK: usize = 500;

/// What a run can observe besides transitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Means {
    /// The end of each time-wait timer is seen.
    pub timer_ends: bool,
    /// Its start and its cancelling, too (`--exact`).
    pub timer_starts: bool,
    /// Every `accept` is seen: what somebody has without one came to it in another way.
    #[serde(default)]
    pub accepts: bool,
    /// The socket table can be asked.
    pub table: bool,
    /// Nanoseconds before a connect may take over a TIME_WAIT's port (tcp_tw_reuse_delay, since 6.14); `None` where
    /// whole seconds of another clock count.
    pub reuse_delay: Option<u64>,
    /// When timers run out, where jiffies can be read: the end of a TIME_WAIT without its timer.
    pub wheel: Option<Wheel>,
    /// Changes include every transition.
    pub show_transitions: bool,
}

/// How often what the kernel counts was seen to happen in one network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// SYNs of our own: `TcpActiveOpens`.
    pub active_opens: u64,
    /// Connections that a listener made: `TcpPassiveOpens`.
    pub passive_opens: u64,
    /// Time-wait sockets made, those that stand for FIN_WAIT2 included: `TcpExtTW`.
    pub time_waits: u64,
    /// Those whose timer ran out: `TcpExtTW` before 5.17. Only where timers are traced.
    pub timed_out: u64,
    /// Time-wait sockets that a connect took over: `TcpExtTWRecycled`.
    pub recycled: u64,
    /// Time-wait sockets that could not be made: `TcpExtTCPTimeWaitOverflow`.
    pub overflows: u64,
    /// Of all these, what happened while the kernel's counters were read, so that they may or may not have it.
    pub slack: u64,
}

/// From and until.
type Window = (Ktime, Ktime);

/// See the module.
#[derive(Debug)]
pub struct Tracker {
    means: Means,
    next_id: u64,
    connections: Connections,
    /// `LISTEN -> SYN_RECV` by the child's address: its cookie and tuple mean nothing before the next event.
    births: HashMap<u64, Ktime>,
    /// Who has accepted a child before its first event after birth: TCP Fast Open lets them.
    early: HashMap<SocketId, Process>,
    /// Children that may have been none, in the order of their ends.
    suspects: VecDeque<Suspect>,
    /// Time-wait sockets by the address of the full socket that they came from, until the next is there.
    remnants: HashMap<u64, SocketId>,
    listeners: Listeners,
    /// Inodes whose holder was asked for, or would be good to know.
    inodes: HashMap<u64, SocketId>,
    /// Connections that are over, by the moment at which they were.
    over: VecDeque<(Ktime, Key)>,
    plans: Plans,
    processes: Processes,
    readings: HashMap<u32, table::Reading>,
    /// Sockets that went while a reading of the table was under way: a row read before that may come after.
    gone: HashSet<SocketId>,
    /// Readings of the table under way; the one at the start counts.
    outstanding: usize,
    /// That one is done.
    ready: bool,
    /// When each namespace's table was asked for last, and how many time-wait sockets are known there.
    namespaces: HashMap<u32, table::Namespace>,
    seen: HashMap<u32, Seen>,
    /// What happened before the audit began, which nobody asks for.
    unaudited: Seen,
    /// When the kernel's counters were read first, and when again.
    audit: (Option<Window>, Option<Window>),
    lost: u64,
    now: Ktime,
    changes: VecDeque<Change>,
    questions: VecDeque<Question>,
    /// How many there have been since the last tick, whether or not anybody has taken them.
    asked: usize,
}

impl Tracker {
    /// A tracker for a run with these means. Where it has a table, [`super::observation::Table::Ready`] must come once the
    /// sockets that were there at the start have been given.
    pub fn new(means: Means) -> Self {
        Self {
            means,
            next_id: 1,
            connections: Connections::default(),
            births: HashMap::new(),
            early: HashMap::new(),
            suspects: VecDeque::new(),
            remnants: HashMap::new(),
            listeners: Listeners::default(),
            inodes: HashMap::new(),
            over: VecDeque::new(),
            plans: Plans::default(),
            processes: Processes::default(),
            readings: HashMap::new(),
            gone: HashSet::new(),
            outstanding: usize::from(means.table),
            ready: !means.table,
            namespaces: HashMap::new(),
            seen: HashMap::new(),
            unaudited: Seen::default(),
            audit: (None, None),
            lost: 0,
            now: Ktime(0),
            changes: VecDeque::new(),
            questions: VecDeque::new(),
            asked: 0,
        }
    }

    /// Takes in one observation. It cannot fail: what does not fit is a gap, and is counted as one.
    pub fn handle(&mut self, observation: &Observation) {
        match observation {
            Observation::Transition(transition) => self.transition(transition),
            Observation::Reset(reset) => self.reset(reset),
            Observation::Hold(hold) => self.hold(hold),
            Observation::Timer(timer) => self.timer(timer),
            Observation::Table(table) => self.table(table),
            Observation::Holder(holder) => self.holder(holder),
            Observation::Lost(lost) => self.lose(*lost),
            Observation::Process(reading) => self.processes.read(reading),
            Observation::Counters(counters) => self.count_between((counters.before, counters.after)),
            Observation::Tick(at) => self.tick(*at),
        }
    }

    /// The next change, in order.
    pub fn poll(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// The next thing that it would help to observe.
    pub fn poll_question(&mut self) -> Option<Question> {
        self.questions.pop_front()
    }

    /// What was seen in a namespace, for the audit.
    pub fn seen(&self, netns: u32) -> Seen {
        self.seen.get(&netns).copied().unwrap_or_default()
    }

    /// Whether it is told when the timer of a time-wait socket runs out.
    pub fn sees_timers(&self) -> bool {
        self.means.timer_ends
    }

    /// Entries that it keeps for connections, those that are over included: what would grow if one were forgotten.
    pub fn kept(&self) -> usize {
        let by_socket = self.connections.kept() + self.inodes.len() + self.gone.len();
        let by_address = self.births.len() + self.early.len() + self.suspects.len() + self.remnants.len();
        by_socket + by_address + self.over.len() + self.plans.len() + self.readings.len()
    }

    /// Processes that it keeps something of; those that own no connection are forgotten from time to time.
    pub fn kept_processes(&self) -> usize {
        self.processes.len()
    }

    /// The probes are off: asks for the sockets of which only the table knows what has become. What it says
    /// is to be given before [`Tracker::finish`].
    pub fn ask_once_more(&mut self) {
        let unsure = |c: &Connection| matches!(c.phase, Phase::Orphan | Phase::Unsettled) && c.missing.get().is_none();
        let unsure: Vec<_> = self.connections.iter().filter(|(_, c)| unsure(c)).map(|(key, _)| key).collect();
        for key in unsure {
            self.ask_for_socket(key);
        }
    }

    /// The run is over: gives every connection that is left.
    pub fn finish(&mut self, at: Ktime) {
        self.now = self.now.max(at);
        self.settle_suspects(self.now.after(SETTLE));
        // No event is under way any more that could say why.
        let mut left: Vec<_> = self.connections.iter().map(|(key, c)| (c.life.id, key)).collect();
        left.sort_unstable();
        for (_, key) in &left {
            self.conclude(*key);
        }
        for (_, key) in left {
            self.emit(key);
        }
    }

    fn tick(&mut self, at: Ktime) {
        self.now = self.now.max(at);
        self.settle_suspects(self.now);
        loop {
            let settled = self.over.iter().take(TOGETHER).take_while(|(ended, _)| self.now.since(*ended) >= SETTLE);
            let keys: Vec<_> = settled.map(|(_, key)| *key).collect();
            if keys.is_empty() {
                break;
            }
            self.over.drain(..keys.len());
            self.connections.leave_tuples(&keys);
            keys.into_iter().for_each(|key| self.emit(key));
        }
        self.asked = 0;
        while self.asked < QUESTIONS_PER_TICK
            && let Some(plan) = self.plans.pop(self.now)
        {
            self.carry_out(plan);
        }
        self.ask_for_tables();
        self.tend_processes();
    }

    /// The kernel's counters were read within this window: counts begin with the first, and end with the last.
    fn count_between(&mut self, window: Window) {
        match self.audit.0 {
            None => self.audit.0 = Some(window),
            Some(_) => self.audit.1 = Some(window),
        }
    }

    fn lose(&mut self, lost: Lost) {
        self.lost += lost.count;
        self.changes.push_back(Change::Lost(lost));
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn ask(&mut self, question: Question) {
        self.asked += 1;
        self.questions.push_back(question);
    }

    /// Looks at a connection again when `due`.
    fn plan(&mut self, key: Key, due: Ktime, purpose: Purpose) {
        self.plans.push(Plan { due, key, purpose });
    }

    /// The connection is wholly over at `at`; it settles, then is given out.
    fn over(&mut self, key: Key, at: Ktime) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let was = std::mem::replace(&mut connection.phase, Phase::Over);
        connection.life.ended = Some(at);
        let netns = connection.life.netns;
        if was.is_time_wait() {
            self.count_time_wait(netns, -1);
        }
        self.over.push_back((self.now.max(at), key));
    }

    /// Gives out a connection for good.
    fn emit(&mut self, key: Key) {
        let Some(connection) = self.connections.remove(key) else { return };
        if let Some(inode) = connection.inode {
            self.inodes.remove(&inode.get());
        }
        if self.outstanding > 0 {
            self.gone.insert(connection.socket);
        }
        if connection.phase.is_time_wait() {
            self.count_time_wait(connection.life.netns, -1);
        }
        let mut lifecycle = connection.life;
        lifecycle.lost_evidence = self.lost - connection.lost_before;
        self.put_in_place(&mut lifecycle, connection.phase);
        self.changes.push_back(Change::Ended { lifecycle, announced: connection.announced });
    }

    /// Its closing is done, and a time-wait socket is left.
    fn announce(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.announced, true) {
            let lifecycle = self.connections.get(key).map(|connection| Box::new(self.tell(connection)));
            self.changes.extend(lifecycle.map(Change::Closed));
        }
    }

    /// Gives out a step of a connection, brought about by a process where that is known, to those who want each.
    fn show(&mut self, key: Key, step: Step, process: Option<Process>) {
        if self.means.show_transitions
            && let (Some(at), Some(connection)) = (step.at, self.connections.get(key))
        {
            let Step { from, to, lasted, basis, .. } = step;
            let Lifecycle { id, tuple, v4_mapped, netns, owner, .. } = *connection.life;
            let owner = owner.map(|owner| owner.process);
            let place = owner.and_then(|owner| self.place(&owner)).cloned();
            self.changes.push_back(Change::Transition(Shown {
                at,
                connection: id,
                tuple,
                v4_mapped,
                netns,
                from,
                to,
                lasted,
                process,
                owner,
                place,
                basis,
            }));
        }
    }

    /// Where to count what happened at `at`.
    fn seen_at(&mut self, at: Ktime, netns: Option<u32>) -> &mut Seen {
        let (from, until) = self.audit;
        if from.is_some_and(|from| at < from.0) || until.is_some_and(|until| at > until.1) {
            return &mut self.unaudited;
        }
        let seen = self.seen.entry(netns.unwrap_or(0)).or_default();
        seen.slack += u64::from(from.is_some_and(|from| at <= from.1) || until.is_some_and(|until| at >= until.0));
        seen
    }
}
