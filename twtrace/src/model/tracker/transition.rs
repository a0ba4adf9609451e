//! State changes of full sockets: beginnings, and every step up to CLOSE.

use super::{
    super::{Basis, Closer, Confidence, Direction, Ktime, Owner, OwnerBasis, Side, SocketId, TcpState, Transition},
    Connection, Phase, Tracker,
    owners::actor,
};
use TcpState::{Close, CloseWait, Closing, Established, FinWait1, LastAck, Listen, SynRecv, SynSent};

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
                if self.find_or_begin(t) {
                    self.step(t);
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
        let connection = self.begin(t, tuple);
        connection.life.opened = Some(t.at);
        connection.life.direction = Some(Direction::Outbound);
        connection.port_chosen = t.tuple.local.port != 0;
        if let Some(process) = actor(t) {
            connection.own(Owner { process, basis: OwnerBasis::Connect });
        }
        let shown = connection.enter(SynSent, Some(t.at), Basis::Observed, actor(t));
        self.show(shown);
    }

    /// A fresh connection at this socket; whatever was there before is given out.
    fn begin(&mut self, t: &Transition, tuple: super::FourTuple) -> &mut Connection {
        self.remnants.remove(&t.address);
        match self.connections.get(&t.socket) {
            // The table was read while it began: it is this very one.
            Some(known) if !known.vouched => self.forget(t.socket),
            Some(_) => self.emit(t.socket),
            None => {}
        }
        let id = self.next_id;
        self.next_id += 1;
        let mut connection = Connection::new(id, tuple, t.at, self.lost);
        connection.life.v4_mapped = t.v4_mapped;
        connection.life.netns = t.netns;
        self.connections.entry(t.socket).insert(Box::new(connection)).into_mut()
    }

    /// Whether there is a connection to make this step, one that begins in mid-life if need be.
    fn find_or_begin(&mut self, t: &Transition) -> bool {
        let birth = self.births.remove(&t.address);
        if let Some(birth) = birth {
            return self.begin_inbound(t, birth);
        }
        let known = self.connections.get(&t.socket).is_some_and(|c| c.phase == Phase::Full);
        if !known && !self.adopt(t) {
            self.begin_in_mid_life(t);
        }
        true
    }

    fn begin_inbound(&mut self, t: &Transition, birth: Ktime) -> bool {
        // A child that lost the race for its place in the hash is thrown away: inet_csk_complete_hashdance(),
        // inet_ehash_nolisten(). It never was a connection; the one with this tuple is.
        let phantom = (t.from, t.to) == (SynRecv, Close)
            && self.tuples.find(t.netns, t.tuple).is_some_and(|socket| socket != t.socket);
        if phantom {
            return false;
        }
        let readable = t.socket_says.is_some();
        let connection = self.begin(t, t.tuple);
        connection.life.opened = Some(birth);
        connection.life.direction = Some(Direction::Inbound);
        connection.life.accepted = readable.then_some(false);
        let shown = connection.enter(SynRecv, Some(birth), Basis::Observed, None);
        self.show(shown);
        self.claim_tuple(t.socket);
        self.own_by_listener(t.socket);
        self.plan_owner(t.socket, t.at);
        true
    }

    /// Where events know a socket by its address alone, one that the table told of goes by its cookie until the first
    /// event gives it away by its tuple.
    fn adopt(&mut self, t: &Transition) -> bool {
        let SocketId::Address(_) = t.socket else { return false };
        let Some(row) = self.tuples.find(t.netns, t.tuple) else { return false };
        if self.connections.get(&row).is_none_or(|c| c.vouched || c.phase != Phase::Full) {
            return false;
        }
        let Some(connection) = self.connections.remove(&row) else { return false };
        self.tuples.insert(connection.life.netns, connection.life.tuple, t.socket);
        if let Some(inode) = connection.inode {
            self.inodes.insert(inode, t.socket);
        }
        self.emit(t.socket);
        self.connections.insert(t.socket, connection);
        true
    }

    fn begin_in_mid_life(&mut self, t: &Transition) {
        let first_reading = self.outstanding > 0;
        let nothing_lost = self.lost == 0;
        let connection = self.begin(t, t.tuple);
        connection.life.preexisting = first_reading || nothing_lost;
        if t.from == SynSent {
            connection.life.direction = Some(Direction::Outbound);
        }
        connection.enter(t.from, None, Basis::Observed, None);
        imply_first_closer(connection, t.from);
        self.claim_tuple(t.socket);
    }

    fn step(&mut self, t: &Transition) {
        let by = actor(t);
        let Some(connection) = self.connections.get_mut(&t.socket) else { return };
        connection.last_seen = t.at;
        connection.vouched = true;
        if connection.state() != t.from {
            connection.life.broken = true;
            connection.enter(t.from, None, Basis::Observed, None);
            imply_first_closer(connection, t.from);
        }
        if let Some(inode) = t.socket_says.and_then(|says| says.inode) {
            connection.inode = Some(inode);
            if connection.life.direction == Some(Direction::Inbound) {
                connection.life.accepted = Some(true);
            }
        }
        // Whoever closes with the last descriptor, or shuts down, holds the socket.
        if let (Some(process), FinWait1 | LastAck) = (by, t.to) {
            connection.own(Owner { process, basis: OwnerBasis::Close });
        }
        if t.from == t.to {
            return;
        }
        if t.to == Close {
            return self.closing(t, by);
        }
        match t.to {
            FinWait1 => {
                let closer = self.local_closer(t.socket, by);
                if let Some(connection) = self.connections.get_mut(&t.socket) {
                    connection.closed_first(Side::Local, closer);
                }
            }
            CloseWait => {
                let closer = self.remote_closer(t.netns, t.tuple);
                if let Some(connection) = self.connections.get_mut(&t.socket) {
                    connection.closed_first(Side::Remote, closer);
                }
                self.plan_owner(t.socket, t.at);
            }
            _ => {}
        }
        let Some(connection) = self.connections.get_mut(&t.socket) else { return };
        if t.to == Closing {
            connection.life.closed_first = Some(Side::Simultaneous);
        }
        if (t.from, t.to) == (SynSent, Established) || (t.from, t.to) == (SynSent, SynRecv) {
            self.settle_tuple(t);
        }
        let Some(connection) = self.connections.get_mut(&t.socket) else { return };
        let shown = connection.enter(t.to, Some(t.at), Basis::Observed, by);
        self.show(shown);
        if t.to == LastAck {
            self.peer_has_closed(t);
        }
    }

    /// The process that closes this end: seen to do it or, where a kernel thread does it, likely its owner.
    pub(super) fn local_closer(&self, socket: SocketId, by: Option<super::super::Process>) -> Option<Closer> {
        let owner = || Some(self.connections.get(&socket)?.life.owner?.process);
        by.map(|process| Closer { process, confidence: Confidence::Certain })
            .or_else(|| Some(Closer { process: owner()?, confidence: Confidence::Likely }))
    }

    /// The handshake has settled which local port an outbound connection has.
    pub(super) fn settle_tuple(&mut self, t: &Transition) {
        if let Some(connection) = self.connections.get_mut(&t.socket) {
            connection.life.tuple = t.tuple;
            connection.life.v4_mapped = t.v4_mapped;
            self.claim_tuple(t.socket);
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
