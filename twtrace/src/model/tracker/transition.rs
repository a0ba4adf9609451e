//! State changes of full sockets: beginnings, and every step up to CLOSE.

use super::{
    super::{
        Basis, Closer, Confidence, Direction, FourTuple, Ktime, Owner, OwnerBasis, Process, Side, SocketId, TcpState,
        Transition,
    },
    Connection, Key, Phase, Tracker,
    owners::actor,
};
use TcpState::{Close, CloseWait, Closing, Established, FinWait1, LastAck, Listen, SynRecv, SynSent};
use std::num::NonZeroU64;

impl Tracker {
    pub(super) fn transition(&mut self, t: &Transition) {
        let port = t.tuple.local.port;
        match (t.from, t.to) {
            (_, Listen) => {
                let inode = t.socket_says.and_then(|says| says.inode);
                self.listeners.open(t.netns, port, t.socket, actor(t), inode);
            }
            (Listen, Close) => self.listeners.close(t.netns, port, t.socket, t.at, actor(t)),
            (Listen, SynRecv) => {
                self.seen_at(t.at, t.netns).passive_opens += 1;
                self.births.insert(t.address, t.at);
            }
            (Close, SynSent) => self.begin_outbound(t),
            _ => {
                if let Some(key) = self.find_or_begin(t) {
                    self.step(key, t);
                }
            }
        }
    }

    fn begin_outbound(&mut self, t: &Transition) {
        self.seen_at(t.at, t.netns).active_opens += 1;
        // The local port may be none, or that of the connection before (connect(AF_UNSPEC)): it is not the
        // connection's before the handshake is done.
        let mut tuple = t.tuple;
        tuple.local.port = 0;
        let mut connection = self.begin(t, tuple);
        connection.life.opened = Some(t.at);
        connection.life.direction = Some(Direction::Outbound);
        connection.port_chosen = t.tuple.local.port != 0;
        if let Some(process) = actor(t) {
            connection.own(Owner { process, basis: OwnerBasis::Connect });
        }
        let step = connection.enter(SynSent, Some(t.at), Basis::Observed);
        let key = self.connections.insert(connection);
        self.show(key, step, actor(t));
        actor(t).into_iter().for_each(|process| self.processes.meet(process));
    }

    /// A fresh connection for this socket; whatever was there before is given out.
    fn begin(&mut self, t: &Transition, tuple: FourTuple) -> Connection {
        self.remnants.remove(&t.address);
        if let Some(known) = self.connections.find(t.socket) {
            // If the table was read while it began, it is this very one.
            let is_this = self.connections.get(known).is_some_and(|known| !known.vouched);
            if is_this { self.forget(known) } else { self.emit(known) }
        }
        let mut connection = Connection::new(self.fresh_id(), t.socket, tuple, t.at, self.lost);
        connection.life.v4_mapped = t.v4_mapped;
        connection.life.netns = t.netns;
        connection
    }

    /// The connection that makes this step, one that begins in mid-life if need be.
    fn find_or_begin(&mut self, t: &Transition) -> Option<Key> {
        if let Some(birth) = self.births.remove(&t.address) {
            return self.begin_inbound(t, birth);
        }
        let is_full = |key: &Key| self.connections.get(*key).is_some_and(|c| c.phase == Phase::Full);
        let known = self.connections.find(t.socket).filter(is_full);
        known.or_else(|| self.adopt(t)).or_else(|| Some(self.begin_in_mid_life(t)))
    }

    fn begin_inbound(&mut self, t: &Transition, birth: Ktime) -> Option<Key> {
        if self.suspect(birth, t) {
            return None;
        }
        let readable = t.socket_says.is_some();
        let mut connection = self.begin(t, t.tuple);
        connection.life.opened = Some(birth);
        connection.life.direction = Some(Direction::Inbound);
        connection.life.accepted = readable.then_some(false);
        let step = connection.enter(SynRecv, Some(birth), Basis::Observed);
        self.own_by_listener(&mut connection);
        self.own_early(&mut connection);
        let key = self.connections.insert(connection);
        self.show(key, step, None);
        self.claim_tuple(key);
        self.plan_owner(key, t.at);
        Some(key)
    }

    /// Where events know a socket by its address alone, one that the table told of goes by its cookie until the first
    /// event gives it away by its tuple.
    fn adopt(&mut self, t: &Transition) -> Option<Key> {
        let SocketId::Address(_) = t.socket else { return None };
        let row = self.connections.with_tuple(t.netns, t.tuple)?;
        let connection = self.connections.get(row).filter(|c| !c.vouched && c.phase == Phase::Full)?;
        if let Some(inode) = connection.inode {
            self.inodes.insert(inode.get(), t.socket);
        }
        if let Some(before) = self.connections.find(t.socket) {
            self.emit(before);
        }
        self.connections.rename(row, t.socket);
        Some(row)
    }

    fn begin_in_mid_life(&mut self, t: &Transition) -> Key {
        let first_reading = self.outstanding > 0;
        let nothing_lost = self.lost == 0;
        let mut connection = self.begin(t, t.tuple);
        connection.life.preexisting = first_reading || nothing_lost;
        if t.from == SynSent {
            connection.life.direction = Some(Direction::Outbound);
        }
        connection.enter(t.from, None, Basis::Observed);
        imply_first_closer(&mut connection, t.from);
        let key = self.connections.insert(connection);
        self.claim_tuple(key);
        key
    }

    pub(super) fn step(&mut self, key: Key, t: &Transition) {
        let by = actor(t);
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.last_seen = t.at;
        connection.vouched = true;
        if connection.state() != t.from {
            connection.life.broken = true;
            connection.enter(t.from, None, Basis::Observed);
            imply_first_closer(connection, t.from);
        }
        if let Some(inode) = t.socket_says.and_then(|says| says.inode) {
            connection.inode = NonZeroU64::new(inode);
            if connection.life.direction == Some(Direction::Inbound) {
                connection.life.accepted = Some(true);
            }
        }
        if let Some(says) = t.socket_says {
            connection.life.idle_before_close = says.idle.or(connection.life.idle_before_close);
            if says.traffic.is_some() {
                connection.life.traffic = says.traffic;
                connection.life.so_far = None;
            }
        }
        if let (FinWait1 | LastAck, Some(false)) = (t.to, connection.life.accepted) {
            // What is in the queue is only ever reset (inet_csk_listen_stop()). So it was taken, and nobody saw how.
            connection.life.accepted = None;
        }
        // Whoever closes with the last descriptor, or shuts down, holds the socket.
        if let (Some(process), FinWait1 | LastAck) = (by, t.to) {
            connection.own(Owner { process, basis: OwnerBasis::Close });
            self.processes.meet(process);
        }
        if matches!(t.to, FinWait1 | LastAck) {
            self.listeners.settle(&mut connection.life, self.means.accepts);
        }
        if t.from == t.to {
            return;
        }
        if t.to == Close {
            return self.closing(key, t, by);
        }
        match t.to {
            FinWait1 => {
                let closer = self.local_closer(key, by);
                if let Some(connection) = self.connections.get_mut(key) {
                    connection.closed_first(Side::Local, closer);
                }
            }
            CloseWait => {
                let closer = self.remote_closer(t.netns, t.tuple);
                if let Some(connection) = self.connections.get_mut(key) {
                    connection.closed_first(Side::Remote, closer);
                }
                self.plan_owner(key, t.at);
            }
            _ => {}
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        if t.to == Closing {
            connection.life.closed_first = Some(Side::Simultaneous);
        }
        if (t.from, t.to) == (SynSent, Established) || (t.from, t.to) == (SynSent, SynRecv) {
            self.settle_tuple(key, t);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        let step = connection.enter(t.to, Some(t.at), Basis::Observed);
        self.show(key, step, by);
        if t.to == LastAck {
            self.peer_has_closed(t);
        }
    }

    /// The process that closes this end: seen to do it or, where a kernel thread does it, likely its owner; whoever
    /// listens need not be that.
    pub(super) fn local_closer(&self, key: Key, by: Option<Process>) -> Option<Closer> {
        let owner = || self.connections.get(key)?.life.owner.filter(|owner| owner.basis != OwnerBasis::Listener);
        by.map(|process| Closer { process, confidence: Confidence::Certain })
            .or_else(|| Some(Closer { process: owner()?.process, confidence: Confidence::Likely }))
    }

    /// The handshake has settled which local port an outbound connection has.
    pub(super) fn settle_tuple(&mut self, key: Key, t: &Transition) {
        self.connections.leave_tuple(key);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.life.tuple = t.tuple;
            connection.life.v4_mapped = t.v4_mapped;
            self.claim_tuple(key);
        }
    }
}

/// States that only one of the two sides can have brought about.
pub(super) fn imply_first_closer(connection: &mut Connection, state: TcpState) {
    let side = match state {
        FinWait1 | TcpState::FinWait2 => Side::Local,
        CloseWait | LastAck => Side::Remote,
        Closing => Side::Simultaneous,
        _ => return,
    };
    connection.closed_first(side, None);
}
