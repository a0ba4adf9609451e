//! The sockets of one moment, counted: by state, by who holds them, by where they lead.
//!
//! Pure, and fed a row at a time, so that a table of any length is counted as it is read. A reading of the table is
//! no snapshot, and a row tells no direction: which end is the service follows from the listeners and the port range.

mod held;

pub use held::{Held, Owned};

use super::{
    Endpoint, FourTuple, Ktime, Process, SocketId, TcpState,
    observation::{ProcessReading, Row},
    sysctls::PortRange,
};
use hashbrown::HashMap;
use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

/// How many sockets are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u32; TcpState::ALL.len()]);

impl Counts {
    /// One more.
    pub fn add(&mut self, state: TcpState) {
        let count = &mut self.0[state as usize - 1];
        *count = count.saturating_add(1);
    }

    /// Those in this state.
    pub fn of(&self, state: TcpState) -> u64 {
        self.0[state as usize - 1].into()
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().copied().map(u64::from).sum()
    }

    /// The states in which there is one.
    pub fn each(&self) -> impl Iterator<Item = (TcpState, u64)> {
        TcpState::ALL.into_iter().zip(self.0.map(u64::from)).filter(|(_, count)| *count > 0)
    }
}

/// Where connections lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// From here to a service there: each takes one of the ports that this address has toward it.
    Out {
        /// The address here.
        from: IpAddr,
        /// The service there.
        to: Endpoint,
    },
    /// From there to a service here.
    In {
        /// The service here.
        at: Endpoint,
    },
}

/// The connections of one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// By state.
    pub counts: Counts,
    /// Of an outgoing way, how many hold a port that connect() may choose; none holds the same as another.
    pub ports: u64,
    /// The least and the most that a TIME_WAIT has left, in nanoseconds.
    pub time_wait_left: Option<(u64, u64)>,
}

/// A connection in CLOSE_WAIT: the peer has closed, and this end has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseWait {
    /// Its row.
    pub row: Row,
    /// Nanoseconds since the last ACK came in. The peer's FIN was that or came before, so it is at least as old.
    pub at_least: Option<u64>,
    /// Nanoseconds since data came in last, or since the handshake. The FIN came after, so it is no older.
    pub at_most: Option<u64>,
    /// The oldest process that holds it; `None` where there is none that can be seen.
    pub owner: Option<Process>,
}

/// Nanoseconds since something came in last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Data; the handshake where none did.
    pub data: Option<u64>,
    /// An ACK.
    pub ack: Option<u64>,
}

impl CloseWait {
    /// Nobody has accepted it: it has no file.
    pub fn is_in_accept_queue(&self) -> bool {
        self.row.inode.is_none()
    }
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its row.
    pub row: Row,
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// As many may wait, and one more (`sk_acceptq_is_full()`, include/net/sock.h).
    pub backlog: u32,
    /// The oldest process that holds it; `None` where there is none that can be seen.
    pub owner: Option<Process>,
}

impl Listener {
    /// The next connection is turned away.
    pub fn is_full(&self) -> bool {
        self.waiting > self.backlog
    }
}

/// A network namespace and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// By state.
    pub counts: Counts,
    /// The ports that connect() chooses from, where known.
    pub ports: Option<PortRange>,
    /// Addresses that are listened on, by port.
    listening: HashMap<u16, Vec<IpAddr>>,
}

impl Namespace {
    fn listens(&self, at: Endpoint) -> bool {
        let here = self.listening.get(&at.port);
        here.is_some_and(|here| here.iter().any(|ip| *ip == at.ip || ip.is_unspecified()))
    }

    /// The service is at the end that listens; where none does, at the one whose port nobody chose for a connect.
    fn way(&self, FourTuple { local, remote }: FourTuple) -> Way {
        let chosen = |port| self.ports.as_ref().is_some_and(|ports| ports.contains(port));
        if self.listens(local) || !chosen(local.port) && chosen(remote.port) {
            Way::In { at: local }
        } else {
            Way::Out { from: local.ip, to: remote }
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Sockets {
    /// By state.
    pub counts: Counts,
    /// By number.
    pub namespaces: BTreeMap<u32, Namespace>,
    /// Connections in CLOSE_WAIT, oldest first once [`Sockets::settle`] is done.
    pub close_waits: Vec<CloseWait>,
    /// Listening sockets, in no order.
    pub listeners: Vec<Listener>,
    /// Established connections that nobody has accepted.
    pub unaccepted: u64,
    /// The least and the most that a TIME_WAIT has left, in nanoseconds.
    pub time_wait_left: Option<(u64, u64)>,
    ways: HashMap<(u32, Way), Load>,
    held: Held,
    /// Every one that was counted, where they are wanted.
    all: Option<Vec<Row>>,
}

impl Sockets {
    /// None yet; `keep` them beside counting them.
    pub fn new(keep: bool) -> Self {
        Self { all: keep.then(Vec::new), ..Self::default() }
    }

    /// Begins with a namespace, whose listeners come before its connections.
    pub fn enter(&mut self, netns: u32, ports: Option<PortRange>) {
        self.namespaces.insert(netns, Namespace { ports, ..Namespace::default() });
    }

    /// A listener is there, whether it is to be counted or not: connections are told by it.
    pub fn listens(&mut self, row: &Row) {
        if let Some(namespace) = self.namespaces.get_mut(&row.netns) {
            let Endpoint { ip, port } = row.tuple.local;
            namespace.listening.entry(port).or_default().push(ip);
        }
    }

    /// Counts a listener.
    pub fn listener(&mut self, row: &Row, waiting: u32, backlog: u32) {
        self.count(row.netns, TcpState::Listen);
        self.held.hold(row);
        self.listeners.push(Listener { row: *row, waiting, backlog, owner: None });
        self.all.iter_mut().for_each(|all| all.push(*row));
    }

    /// Counts a connection of the SYN queue, of which nothing else is known.
    pub fn half_open(&mut self, netns: u32, tuple: FourTuple) {
        self.count(netns, TcpState::SynRecv);
        if let Some(load) = self.load(netns, tuple) {
            load.counts.add(TcpState::SynRecv);
        }
    }

    /// Counts a connection.
    pub fn connection(&mut self, row: &Row) {
        self.count(row.netns, row.state);
        let in_range = self.namespaces.get(&row.netns).and_then(|namespace| namespace.ports.as_ref());
        let takes_port = in_range.is_some_and(|ports| ports.contains(row.tuple.local.port));
        let left = row.time_wait_left.filter(|_| row.state == TcpState::TimeWait);
        widen(&mut self.time_wait_left, left);
        if let Some(load) = self.load(row.netns, row.tuple) {
            load.counts.add(row.state);
            load.ports += u64::from(takes_port);
            widen(&mut load.time_wait_left, left);
        }
        self.held.hold(row);
        match row.state {
            TcpState::CloseWait => {
                self.close_waits.push(CloseWait { row: *row, at_least: None, at_most: None, owner: None });
            }
            TcpState::Established if row.inode.is_none() => self.unaccepted += 1,
            _ => {}
        }
        self.all.iter_mut().for_each(|all| all.push(*row));
    }

    fn count(&mut self, netns: u32, state: TcpState) {
        self.counts.add(state);
        self.namespaces.entry(netns).or_default().counts.add(state);
    }

    fn load(&mut self, netns: u32, tuple: FourTuple) -> Option<&mut Load> {
        let way = self.namespaces.get(&netns)?.way(tuple);
        Some(self.ways.entry((netns, way)).or_default())
    }

    /// When something came in last, of connections in CLOSE_WAIT; of those that were not counted it is passed over.
    pub fn ages(&mut self, mut idle: HashMap<(u32, SocketId), Idle>) {
        for one in &mut self.close_waits {
            if let Some(Idle { data, ack }) = idle.remove(&(one.row.netns, one.row.socket)) {
                (one.at_least, one.at_most) = (ack, data);
            }
        }
    }

    /// Who holds what; then all is known.
    pub fn settle(&mut self, owners: &HashMap<u64, Vec<Process>>) {
        self.held.settle(owners);
        let oldest = |inode: Option<u64>| owners.get(&inode?)?.first().copied();
        self.close_waits.iter_mut().for_each(|one| one.owner = oldest(one.row.inode));
        self.listeners.iter_mut().for_each(|one| one.owner = oldest(one.row.inode));
        self.close_waits.sort_by_key(|one| Reverse((one.at_least, one.at_most)));
    }

    /// The processes that hold sockets, those with most in CLOSE_WAIT first, then those with most.
    pub fn owned(&self) -> Vec<&Owned> {
        self.held.owned()
    }

    /// Sockets with a file that no process was found to hold: it is hidden, or the kernel's own.
    pub fn ownerless(&self) -> Counts {
        self.held.ownerless
    }

    /// What [`Sockets::settle`] wants to know the holders of.
    pub fn inodes(&self) -> impl Iterator<Item = u64> {
        self.held.inodes()
    }

    /// Outgoing ways, those that hold most ports first, then those with most connections; and how many there are.
    pub fn outgoing(&self, top: usize) -> (Vec<(u32, IpAddr, Endpoint, &Load)>, usize) {
        let one = |(&(netns, way), load)| match way {
            Way::Out { from, to } => Some((netns, from, to, load)),
            Way::In { .. } => None,
        };
        let rank = |load: &Load| Reverse((load.ports, load.counts.total()));
        first(self.ways.iter().filter_map(one), top, |&(netns, from, to, load)| (rank(load), netns, from, to))
    }

    /// Services here, those with most connections first; and how many there are.
    pub fn incoming(&self, top: usize) -> (Vec<(u32, Endpoint, &Load)>, usize) {
        let one = |(&(netns, way), load)| match way {
            Way::In { at } => Some((netns, at, load)),
            Way::Out { .. } => None,
        };
        let rank = |load: &Load| Reverse(load.counts.total());
        first(self.ways.iter().filter_map(one), top, |&(netns, at, load)| (rank(load), netns, at))
    }

    /// Every one that was counted with a row of its own, where they were to be kept.
    pub fn all(&self) -> Option<&[Row]> {
        self.all.as_deref()
    }
}

fn widen(span: &mut Option<(u64, u64)>, value: Option<u64>) {
    if let Some(value) = value {
        let (least, most) = span.unwrap_or((value, value));
        *span = Some((least.min(value), most.max(value)));
    }
}

/// The first of them in order, for which the rest need not be in order; and how many there are.
fn first<T, K: Ord>(all: impl Iterator<Item = T>, top: usize, key: impl Fn(&T) -> K) -> (Vec<T>, usize) {
    let mut all: Vec<T> = all.collect();
    let count = all.len();
    if top < count {
        all.select_nth_unstable_by_key(top, &key);
        all.truncate(top);
    }
    all.sort_unstable_by_key(key);
    (all, count)
}

/// What was read at one moment, and what was not.
#[derive(Debug)]
pub struct Reading {
    /// When it began.
    pub at: Ktime,
    /// Nanoseconds that it took.
    pub took: u64,
    /// The sockets.
    pub sockets: Sockets,
    /// The oldest process that holds each inode, where each socket was to be kept.
    pub owners: HashMap<u64, Process>,
    /// More of the processes that hold some, by number; `None` of those that ended meanwhile.
    pub processes: HashMap<u32, Option<ProcessReading>>,
    /// Namespaces that could not be read, and why.
    pub unread: Vec<(u32, String)>,
    /// Namespaces of which the kernel may have left something out, for they changed meanwhile.
    pub partial: Vec<u32>,
    /// Every namespace of this host was found.
    pub all_found: bool,
    /// Sockets whose holder may be a process that cannot be looked into.
    pub hidden: usize,
    /// /proc was looked into at all.
    pub looked: bool,
}

#[cfg(test)]
mod tests;
