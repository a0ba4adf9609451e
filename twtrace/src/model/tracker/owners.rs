//! Whose connection it is, and who closed it: only what the kernel's own bookkeeping vouches for.
//!
//! The task on the CPU is the actor only while the socket's lock is owned (`sk_lock.owned`, set by
//! `lock_sock()` in process context); in softirq it is whoever happened to be running. A kernel thread works
//! for somebody else.

use super::{
    super::{
        Close, Closer, Confidence, Direction, FourTuple, Ktime, Lifecycle, Owner, OwnerBasis, Process, Question, Side,
        SocketId, TcpState, Transition,
        observation::{Hold, Holder, Row},
    },
    Connection, Key, Phase, Purpose, Tracker,
};
use hashbrown::HashMap;
use std::num::NonZeroU64;

/// How long a process may take to accept a connection before /proc is asked who holds it.
const ACCEPT_PATIENCE: u64 = 1_000_000_000;

/// How long after its listener a queue may be reset: in the same call.
const STOPPING: u64 = 1_000_000_000;

/// The process that made this transition, where that is known.
pub(super) fn actor(transition: &Transition) -> Option<Process> {
    use TcpState::{CloseWait, Established, FinWait1, LastAck, Listen, SynSent};
    let acts = match transition.socket_says {
        Some(says) => says.owned,
        // Without the lock's bit: the changes that nothing but a system call makes.
        None => match (transition.from, transition.to) {
            (TcpState::Close, Listen | SynSent) | (Listen, TcpState::Close) => true,
            (Established, FinWait1) | (CloseWait, LastAck) => true,
            (from, to) => from == to,
        },
    };
    transition.task.filter(|_| acts && !transition.kernel_thread)
}

/// The listening sockets, by namespace and port.
#[derive(Debug, Default)]
pub(super) struct Listeners(HashMap<(u32, u16), Vec<Listener>>);

#[derive(Debug)]
struct Listener {
    socket: SocketId,
    inode: Option<u64>,
    owner: Option<Process>,
    closed: Option<(Ktime, Option<Process>)>,
}

impl Listeners {
    pub(super) fn open(
        &mut self,
        netns: Option<u32>,
        port: u16,
        socket: SocketId,
        owner: Option<Process>,
        inode: Option<u64>,
    ) {
        let here = self.0.entry((netns.unwrap_or(0), port)).or_default();
        // One that is closed is kept only until the next: its queue is reset right behind it.
        here.retain(|l| l.closed.is_none() && l.socket != socket);
        here.push(Listener { socket, inode, owner, closed: None });
    }

    pub(super) fn close(&mut self, netns: Option<u32>, port: u16, socket: SocketId, at: Ktime, by: Option<Process>) {
        let here = self.0.entry((netns.unwrap_or(0), port)).or_default();
        here.retain(|l| l.closed.is_none());
        match here.iter_mut().find(|l| l.socket == socket) {
            Some(listener) => listener.closed = Some((at, by)),
            None => here.push(Listener { socket, inode: None, owner: by, closed: Some((at, by)) }),
        }
    }

    /// The holder of the port, where there is just one.
    fn owner(&self, netns: Option<u32>, port: u16) -> Option<Process> {
        match self.at(netns, port) {
            [listener] => listener.owner,
            _ => None,
        }
    }

    fn at(&self, netns: Option<u32>, port: u16) -> &[Listener] {
        self.0.get(&(netns.unwrap_or(0), port)).map_or(&[], Vec::as_slice)
    }

    /// Whoever listens has what is in the queue, as long as it is there, and nothing else.
    pub(super) fn settle(&self, life: &mut Lifecycle, accepts: bool) {
        let inbound = life.direction == Some(Direction::Inbound) && life.opened.is_some();
        if !inbound || life.owner.is_some_and(|owner| owner.basis != OwnerBasis::Listener) {
            return;
        }
        match life.accepted {
            Some(false) => {
                let process = self.in_queue_of(life);
                life.owner = process.map(|process| Owner { process, basis: OwnerBasis::Listener });
            }
            // Taken, and not by accept: through io_uring, or as a path of MPTCP, whose socket is another. By whom?
            _ if accepts => life.owner = None,
            _ => {}
        }
    }

    /// A queue outlives its listener where tcp_migrate_req is set (`inet_csk_listen_stop()`): what is in it moves to
    /// another one of the group.
    fn in_queue_of(&self, life: &Lifecycle) -> Option<Process> {
        let here = self.at(life.netns, life.tuple.local.port);
        let closed_over = |l: &&Listener| {
            let at = l.closed.map(|(at, _)| at).filter(|_| life.close == Some(Close::ResetSent));
            at.zip(life.ended).is_some_and(|(at, ended)| at <= ended && ended.since(at) < STOPPING)
        };
        if let Some(listener) = here.iter().find(closed_over) {
            return listener.owner;
        }
        let known = life.owner.map(|owner| owner.process);
        let mut open = here.iter().filter(|l| l.closed.is_none());
        let first = open.next()?;
        match open.next() {
            None => first.owner,
            Some(_) => known.filter(|known| here.iter().any(|l| l.closed.is_none() && l.owner == Some(*known))),
        }
    }

    pub(super) fn has(&self, netns: u32, port: u16) -> bool {
        self.0.contains_key(&(netns, port))
    }

    fn own(&mut self, inode: u64, process: Process) {
        for listener in self.0.values_mut().flatten().filter(|l| l.inode == Some(inode)) {
            listener.owner.get_or_insert(process);
        }
    }

    /// Who closed the port's listener just before `at`: its queue is reset in the same call.
    pub(super) fn closer(&self, netns: Option<u32>, port: u16, at: Ktime) -> Option<Process> {
        let mut closed = self.at(netns, port).iter().filter_map(|l| l.closed);
        let (_, by) = closed.find(|(closed, _)| *closed <= at && at.since(*closed) < STOPPING)?;
        by
    }
}

impl Tracker {
    /// An accepted connection is the listener's until more is known.
    pub(super) fn own_by_listener(&mut self, connection: &mut Connection) {
        let life = &connection.life;
        if let Some(process) = self.listeners.owner(life.netns, life.tuple.local.port) {
            connection.own(Owner { process, basis: OwnerBasis::Listener });
            self.processes.meet(process);
        }
    }

    /// `accept` gave it to a process, or a process destroyed it.
    pub(super) fn hold(&mut self, hold: &Hold) {
        let Some(key) = self.connections.find(hold.socket) else { return self.hold_early(hold) };
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.last_seen = hold.at;
        if hold.accepted {
            connection.life.accepted = Some(true);
        }
        // `ss -K` destroys what it does not hold (tcp_abort()).
        let destroyer = connection.life.close == Some(Close::Destroyed);
        let basis = if hold.accepted { OwnerBasis::Accept } else { OwnerBasis::Close };
        if let (Some(process), false) = (hold.process, destroyer) {
            connection.own(Owner { process, basis });
            self.processes.meet(process);
        }
    }

    /// The child of a SYN that brought data is accepted before the handshake is done (`tcp_try_fastopen()`), and nothing
    /// is known of it but its birth.
    fn hold_early(&mut self, hold: &Hold) {
        if let (Some(process), true) = (hold.process, hold.accepted && self.early.len() < self.births.len()) {
            self.early.insert(hold.socket, process);
        }
    }

    pub(super) fn own_early(&mut self, connection: &mut Connection) {
        if let Some(process) = self.early.remove(&connection.socket) {
            connection.life.accepted = Some(true);
            connection.own(Owner { process, basis: OwnerBasis::Accept });
            self.processes.meet(process);
        }
        if self.births.is_empty() {
            self.early.clear();
        }
    }

    pub(super) fn holder(&mut self, holder: &Holder) {
        let Some(&process) = holder.processes.first() else { return };
        self.processes.meet(process);
        self.listeners.own(holder.inode, process);
        let key = self.inodes.remove(&holder.inode).and_then(|socket| self.connections.find(socket));
        let Some(connection) = key.and_then(|key| self.connections.get_mut(key)) else { return };
        connection.own(Owner { process, basis: OwnerBasis::SocketTable });
    }

    /// Asks /proc for the holder of a socket that has been around for a while and has no owner yet.
    pub(super) fn seek_owner(&mut self, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.has_shown_owner() || connection.phase != Phase::Full {
            return;
        }
        match connection.inode.map(NonZeroU64::get) {
            Some(inode) => {
                self.inodes.insert(inode, connection.socket);
                self.ask(Question::Holder { inode });
            }
            None => self.ask_for_socket(key),
        }
    }

    /// Plans to [seek the owner](Self::seek_owner) unless it shows itself.
    pub(super) fn plan_owner(&mut self, key: Key, at: Ktime) {
        if !self.connections.get(key).is_some_and(Connection::has_shown_owner) {
            self.plan(key, at.after(ACCEPT_PATIENCE), Purpose::Owner);
        }
    }

    /// A listener of the socket table.
    pub(super) fn listener_row(&mut self, row: &Row) {
        self.listeners.open(Some(row.netns), row.tuple.local.port, row.socket, None, row.inode);
    }

    /// The process that closed first at the other end, where that end is on this host and was seen to close.
    pub(super) fn remote_closer(&self, netns: Option<u32>, tuple: FourTuple) -> Option<Closer> {
        let peer = self.connections.with_tuple_anywhere(netns, tuple.reversed())?;
        let peer = &self.connections.get(peer)?.life;
        if !matches!(peer.closed_first, Some(Side::Local | Side::Simultaneous)) {
            return None;
        }
        let closer = peer.closed_by?;
        // Two namespaces may have the same addresses.
        let confidence = if peer.netns == netns { closer.confidence } else { Confidence::Likely };
        Some(Closer { confidence, ..closer })
    }
}
