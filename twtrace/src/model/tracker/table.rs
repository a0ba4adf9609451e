//! Readings of the socket table: what was there before tracing began, when a TIME_WAIT was started, and what
//! is gone without an event.
//!
//! A reading is no snapshot, and events overtake it. So an event always wins over a row: a row only fills in
//! what no event has said, and a socket that went while the table was being read stays gone.

use super::{
    super::{
        Basis, Direction, Ktime, Question, SocketId, TcpState,
        observation::{Row, Table},
    },
    Connection, Key, Moment, Phase, Purpose, TABLE_PERIOD, Tracker,
    time_wait::TIME_WAIT,
    transition::imply_first_closer,
};
use hashbrown::HashSet;
use std::num::NonZeroU64;

/// The same while sockets are in doubt.
const DOUBT_PERIOD: u64 = 1_000_000_000;

/// A reading under way.
#[derive(Debug)]
pub(super) struct Reading {
    began: Ktime,
    seen: HashSet<SocketId>,
}

/// What decides when a namespace's table is read again.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    asked: Option<Ktime>,
    time_waits: i64,
    /// Sockets of it may not be there, too many to ask for each.
    doubtful: bool,
}

impl Tracker {
    pub(super) fn table(&mut self, table: &Table) {
        match table {
            Table::Begin { at, netns } => {
                self.readings.insert(*netns, Reading { began: *at, seen: HashSet::new() });
            }
            Table::Row(row) => self.row(row),
            Table::Absent { at, socket } => {
                if let Some(key) = self.connections.find(*socket) {
                    self.absent(key, *at);
                }
            }
            Table::End { netns, whole, .. } => {
                if let Some(reading) = self.readings.remove(netns).filter(|_| *whole) {
                    self.miss(*netns, &reading);
                }
                if self.ready {
                    self.reading_ended();
                }
            }
            Table::Ready { .. } => {
                if std::mem::replace(&mut self.ready, true) {
                    // A recording begins there, and a reader of it alone is to know where everybody runs.
                    self.meet_again();
                }
                self.reading_ended();
            }
        }
    }

    fn reading_ended(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if self.outstanding == 0 {
            self.gone = HashSet::new();
        }
    }

    pub(super) fn count_time_wait(&mut self, netns: Option<u32>, by: i64) {
        self.namespaces.entry(netns.unwrap_or(0)).or_default().time_waits += by;
    }

    /// The next reading of this table should come soon.
    pub(super) fn doubt(&mut self, netns: Option<u32>) {
        self.namespaces.entry(netns.unwrap_or(0)).or_default().doubtful = true;
    }

    /// Every time-wait socket must be seen at least once before its 60 s are over.
    pub(super) fn ask_for_tables(&mut self) {
        if !self.means.table || !self.ready {
            return;
        }
        let mut questions = Vec::new();
        for (&netns, namespace) in &mut self.namespaces {
            let asked = *namespace.asked.get_or_insert(self.now);
            let period = if namespace.doubtful { DOUBT_PERIOD } else { TABLE_PERIOD };
            if namespace.time_waits > 0 && self.now.since(asked) >= period {
                namespace.asked = Some(self.now);
                namespace.doubtful = false;
                self.outstanding += 1;
                questions.push(Question::Table { netns: (netns != 0).then_some(netns) });
            }
        }
        questions.into_iter().for_each(|question| self.ask(question));
    }

    fn row(&mut self, row: &Row) {
        match row.state {
            TcpState::Listen => return self.listener_row(row),
            // A request, not a socket: the child that comes of it has another cookie.
            TcpState::NewSynRecv | TcpState::SynRecv | TcpState::Close => return,
            _ => {}
        }
        let known = self.connections.find(row.socket).or_else(|| {
            self.connections.with_tuple(Some(row.netns), row.tuple).filter(|key| self.stands_for(*key, row))
        });
        let socket = known.and_then(|key| self.connections.get(key)).map_or(row.socket, |known| known.socket);
        if let Some(reading) = self.readings.get_mut(&row.netns) {
            reading.seen.insert(socket);
        }
        match known {
            Some(key) => {
                self.settle_netns(key, row.netns);
                self.row_of(key, row);
            }
            None if self.gone.contains(&row.socket) || self.outstanding == 0 => {}
            None => self.begin_from_row(row),
        }
    }

    /// Whether a row with another id is this connection: where events give no cookie, or a time-wait socket was
    /// made before its full socket had one.
    fn stands_for(&self, key: Key, row: &Row) -> bool {
        let Some(connection) = self.connections.get(key) else { return false };
        match connection.socket {
            SocketId::Address(_) | SocketId::Remnant(_) => connection.phase != Phase::Over,
            SocketId::Cookie(_) => row.time_wait_left.is_some() && connection.phase.is_time_wait(),
        }
    }

    /// The table tells the namespace where events do not.
    fn settle_netns(&mut self, key: Key, netns: u32) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.life.netns.is_some() {
            return;
        }
        connection.life.netns = Some(netns);
        let time_wait = connection.phase.is_time_wait();
        self.connections.leave_tuple(key);
        self.connections.claim_tuple(key);
        if time_wait {
            self.count_time_wait(None, -1);
            self.count_time_wait(Some(netns), 1);
        }
    }

    fn row_of(&mut self, key: Key, row: &Row) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.phase == Phase::Over || row.at < connection.last_seen {
            return;
        }
        connection.last_seen = row.at;
        connection.missing = Moment::UNKNOWN;
        connection.overflow_likely = false;
        connection.carried(row);
        let Some(left) = row.time_wait_left else {
            if connection.phase == Phase::Full && row.inode.is_some() {
                connection.inode = row.inode.and_then(NonZeroU64::new);
                if connection.life.direction == Some(Direction::Inbound) {
                    connection.life.accepted = Some(true);
                }
                // What was carried is read again and again.
                if row.traffic.is_none() {
                    self.seek_owner(key);
                }
            }
            return;
        };
        let started = row.at.before(TIME_WAIT.saturating_sub(left));
        match (connection.phase, row.state) {
            (Phase::Orphan | Phase::Unsettled, TcpState::TimeWait) => {
                self.peer_closed(key, started, Basis::SockDiag);
            }
            (Phase::Unsettled, TcpState::FinWait2) => connection.phase = Phase::Orphan,
            (Phase::TimeWait, TcpState::TimeWait) => {
                self.announce(key);
                // Once the time is up, the row no longer tells when it began.
                if left > 0 {
                    self.note_start(key, started);
                }
            }
            _ => {}
        }
    }

    /// It was there before tracing began.
    fn begin_from_row(&mut self, row: &Row) {
        let mut connection = Connection::new(self.fresh_id(), row.socket, row.tuple, row.at, self.lost);
        connection.life.v4_mapped = row.v4_mapped;
        connection.life.netns = Some(row.netns);
        connection.life.preexisting = true;
        connection.inode = row.inode.and_then(NonZeroU64::new);
        connection.vouched = false;
        connection.carried(row);
        let (entered, basis) = match (row.time_wait_left, row.state) {
            (Some(left), TcpState::TimeWait) => {
                connection.phase = Phase::TimeWait;
                connection.announced = true;
                (Some(row.at.before(TIME_WAIT.saturating_sub(left))), Basis::SockDiag)
            }
            (Some(_), _) => {
                connection.phase = Phase::Orphan;
                (None, Basis::SockDiag)
            }
            // The peer's FIN was the last thing that it had to say, unless it answers keepalives.
            (None, TcpState::CloseWait) => (row.last_ack.map(|ago| row.at.before(ago)), Basis::Inferred),
            (None, _) => (None, Basis::SockDiag),
        };
        connection.armed = entered.filter(|_| connection.phase == Phase::TimeWait).into();
        connection.enter(row.state, entered, basis);
        imply_first_closer(&mut connection, row.state);
        if self.listeners.has(row.netns, row.tuple.local.port) {
            connection.life.direction = Some(Direction::Inbound);
        }
        if row.state == TcpState::SynSent {
            connection.life.direction = Some(Direction::Outbound);
        }
        if matches!(row.state, TcpState::Established | TcpState::CloseWait) {
            // One with a file may have been connected; one without was never accepted.
            connection.life.accepted = match (row.inode, connection.life.direction) {
                (None, _) => Some(false),
                (Some(_), Some(Direction::Inbound)) => Some(true),
                (Some(_), _) => None,
            };
        }
        if let Some(inode) = row.inode {
            self.inodes.insert(inode, row.socket);
        }
        let mut planned = None;
        if connection.phase.is_time_wait() {
            self.count_time_wait(Some(row.netns), 1);
            if let (Some(armed), false) = (connection.armed.get(), self.means.timer_ends) {
                planned = Some(armed.after(TIME_WAIT));
            }
        }
        let key = self.connections.insert(connection);
        self.connections.claim_tuple(key);
        if let Some(due) = planned {
            self.plan(key, due, Purpose::End);
        }
    }

    /// Forgets a connection that is another one.
    pub(super) fn forget(&mut self, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        let (netns, time_wait) = (connection.life.netns, connection.phase.is_time_wait());
        self.connections.remove(key);
        if time_wait {
            self.count_time_wait(netns, -1);
        }
    }

    /// What a whole reading did not have, and no event has touched since it began, is gone.
    fn miss(&mut self, netns: u32, reading: &Reading) {
        let missed: Vec<Key> = self
            .connections
            .iter()
            .filter(|(_, c)| {
                // One whose namespace is not known is not judged by one namespace's table.
                c.life.netns == Some(netns) && c.last_seen < reading.began && !reading.seen.contains(&c.socket)
            })
            .map(|(key, _)| key)
            .collect();
        for key in missed {
            self.absent(key, reading.began);
        }
    }
}
