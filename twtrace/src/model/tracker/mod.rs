//! Folds observations into lifecycles.
//!
//! Given the same observations it says the same things: no clock, no file, no kernel. What it would like to have
//! observed it asks for ([`Tracker::poll_question`]) and goes on without an answer.
//! Invariant: every connection that begins is given to [`Change::Ended`] exactly once, by [`Tracker::finish`] at
//! the latest.

mod closing;
mod connection;
mod index;
mod looks;
mod owners;
mod plans;
mod table;
mod time_wait;
mod transition;

use super::wheel::Wheel;
use super::{Change, FourTuple, Ktime, Lifecycle, Observation, Question, Shown, SocketId, observation::Lost};
use connection::{Connection, Phase};
use hashbrown::{HashMap, HashSet};
use index::Tuples;
use owners::Listeners;
use plans::{Plan, Plans, Purpose};
use std::collections::VecDeque;

/// How long a connection that is over is kept for what may still be said of it: the reset that
/// `tcp_send_active_reset()` traces after the state change, the other end's own end, and losses.
const SETTLE: u64 = 150_000_000;
/// How long the whole table may go unread while time-wait sockets are about. Each of them lasts 60 s unless it
/// is ended early, so each is seen at least twice.
const TABLE_PERIOD: u64 = 25_000_000_000;
/// Questions that may wait for an answer to be asked; what is planned beyond that waits for the next tick.
const QUESTIONS_PER_TICK: usize = 500;

/// What a run can observe besides transitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Means {
    /// The end of each time-wait timer is seen.
    pub timer_ends: bool,
    /// Its start and its cancelling, too (`--exact`).
    pub timer_starts: bool,
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
    /// Time-wait sockets that a connect took over: `TcpExtTWRecycled`.
    pub recycled: u64,
    /// Time-wait sockets that could not be made: `TcpExtTCPTimeWaitOverflow`.
    pub overflows: u64,
    /// Of all these, what happened while the kernel's counters were read, so that they may or may not have it.
    pub slack: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Tracker {
    means: Means,
    next_id: u64,
    /// Boxed, so that the table stays small and grows at little cost.
    connections: HashMap<SocketId, Box<Connection>>,
    tuples: Tuples,
    /// `LISTEN -> SYN_RECV` by the child's address: its cookie and tuple mean nothing before the next event.
    births: HashMap<u64, Ktime>,
    /// Time-wait sockets by the address of the full socket that they came from, until the next is there.
    remnants: HashMap<u64, SocketId>,
    listeners: Listeners,
    /// Inodes whose holder was asked for, or would be good to know.
    inodes: HashMap<u64, SocketId>,
    /// Connections that are over, by the moment at which they were.
    over: VecDeque<(Ktime, SocketId, u64)>,
    plans: Plans,
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
    audit_from: (Ktime, Ktime),
    audit_until: (Ktime, Ktime),
    lost: u64,
    now: Ktime,
    changes: VecDeque<Change>,
    questions: VecDeque<Question>,
}

impl Tracker {
    /// A tracker for a run with these means. Where it has a table, [`super::observation::Table::Ready`] must come once the
    /// sockets that were there at the start have been given.
    pub fn new(means: Means) -> Self {
        Self {
            means,
            next_id: 1,
            connections: HashMap::new(),
            tuples: Tuples::default(),
            births: HashMap::new(),
            remnants: HashMap::new(),
            listeners: Listeners::default(),
            inodes: HashMap::new(),
            over: VecDeque::new(),
            plans: Plans::default(),
            readings: HashMap::new(),
            gone: HashSet::new(),
            outstanding: usize::from(means.table),
            ready: !means.table,
            namespaces: HashMap::new(),
            seen: HashMap::new(),
            unaudited: Seen::default(),
            audit_from: (Ktime(0), Ktime(0)),
            audit_until: (Ktime(u64::MAX), Ktime(u64::MAX)),
            lost: 0,
            now: Ktime(0),
            changes: VecDeque::new(),
            questions: VecDeque::new(),
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

    /// The kernel's counters were read within this window: counts begin with it.
    pub fn audit_from(&mut self, window: (Ktime, Ktime)) {
        self.audit_from = window;
    }

    /// They were read again: counts end with it.
    pub fn audit_until(&mut self, window: (Ktime, Ktime)) {
        self.audit_until = window;
    }

    /// What was seen in a namespace, for the audit.
    pub fn seen(&self, netns: u32) -> Seen {
        self.seen.get(&netns).copied().unwrap_or_default()
    }

    /// The lives that are not wholly over.
    pub fn live(&self) -> impl Iterator<Item = &Lifecycle> {
        self.connections.values().filter(|c| c.phase != Phase::Over).map(|c| &c.life)
    }

    /// Entries that it keeps for connections, those that are over included: what would grow if one were forgotten.
    pub fn kept(&self) -> usize {
        let by_socket = self.connections.len() + self.tuples.len() + self.inodes.len() + self.gone.len();
        let by_address = self.births.len() + self.remnants.len();
        by_socket + by_address + self.over.len() + self.plans.len() + self.readings.len()
    }

    /// The probes are off: asks for the sockets of which only the table knows what has become. What it says
    /// is to be given before [`Tracker::finish`].
    pub fn ask_once_more(&mut self) {
        let unsure = |c: &Connection| matches!(c.phase, Phase::Orphan | Phase::Unsettled) && c.missing.is_none();
        let sockets: Vec<_> = self.connections.iter().filter(|(_, c)| unsure(c)).map(|(socket, _)| *socket).collect();
        for socket in sockets {
            self.ask_for_socket(socket);
        }
    }

    /// The run is over: gives every connection that is left.
    pub fn finish(&mut self, at: Ktime) {
        self.now = self.now.max(at);
        // No event is under way any more that could say why.
        let missing: Vec<_> =
            self.connections.iter().filter(|(_, c)| c.missing.is_some()).map(|(socket, _)| *socket).collect();
        for socket in missing {
            self.conclude(socket);
        }
        let mut left: Vec<_> = self.connections.iter().map(|(socket, c)| (c.life.id, *socket)).collect();
        left.sort_unstable();
        for (_, socket) in left {
            self.emit(socket);
        }
    }

    fn tick(&mut self, at: Ktime) {
        self.now = self.now.max(at);
        while let Some(&(ended, socket, id)) = self.over.front() {
            if self.now.since(ended) < SETTLE {
                break;
            }
            self.over.pop_front();
            if self.connections.get(&socket).is_some_and(|c| c.life.id == id) {
                self.emit(socket);
            }
        }
        while self.questions.len() < QUESTIONS_PER_TICK
            && let Some(plan) = self.plans.pop(self.now)
        {
            self.carry_out(plan);
        }
        self.ask_for_tables();
    }

    fn lose(&mut self, lost: Lost) {
        self.lost += lost.count;
        self.changes.push_back(Change::Lost(lost));
    }

    /// Looks at a connection again when `due`.
    fn plan(&mut self, socket: SocketId, due: Ktime, purpose: Purpose) {
        if let Some(connection) = self.connections.get(&socket) {
            self.plans.push(Plan { due, socket, id: connection.life.id, purpose });
        }
    }

    /// The connection is wholly over at `at`; it settles, then is given out.
    fn over(&mut self, socket: SocketId, at: Ktime) {
        let Some(connection) = self.connections.get_mut(&socket) else { return };
        let was = std::mem::replace(&mut connection.phase, Phase::Over);
        connection.life.ended = Some(at);
        let (id, netns) = (connection.life.id, connection.life.netns);
        if was.is_time_wait() {
            self.count_time_wait(netns, -1);
        }
        self.over.push_back((self.now.max(at), socket, id));
    }

    /// Gives out a connection for good.
    fn emit(&mut self, socket: SocketId) {
        let Some(mut connection) = self.connections.remove(&socket) else { return };
        if connection.phase.is_time_wait() {
            self.count_time_wait(connection.life.netns, -1);
        }
        if let Some(inode) = connection.inode {
            self.inodes.remove(&inode);
        }
        self.tuples.remove(connection.life.netns, connection.life.tuple, socket);
        if self.outstanding > 0 {
            self.gone.insert(socket);
        }
        connection.life.lost_evidence = self.lost - connection.lost_before;
        self.changes.push_back(Change::Ended { lifecycle: Box::new(connection.life), announced: connection.announced });
    }

    /// Its closing is done, and a time-wait socket is left.
    fn announce(&mut self, socket: SocketId) {
        let Some(connection) = self.connections.get_mut(&socket) else { return };
        if !std::mem::replace(&mut connection.announced, true) {
            let mut lifecycle = Box::new(connection.life.clone());
            lifecycle.lost_evidence = self.lost - connection.lost_before;
            self.changes.push_back(Change::Closed(lifecycle));
        }
    }

    fn show(&mut self, shown: Option<Shown>) {
        if let (true, Some(shown)) = (self.means.show_transitions, shown) {
            self.changes.push_back(Change::Transition(shown));
        }
    }

    /// Where to count what happened at `at`.
    fn seen_at(&mut self, at: Ktime, netns: Option<u32>) -> &mut Seen {
        let (from, until) = (self.audit_from, self.audit_until);
        if at < from.0 || at > until.1 {
            return &mut self.unaudited;
        }
        let seen = self.seen.entry(netns.unwrap_or(0)).or_default();
        seen.slack += u64::from(at <= from.1 || at >= until.0);
        seen
    }
}
