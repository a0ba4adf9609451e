//! What is told of connections that are not given out yet.

use super::{
    super::{Ktime, Lifecycle, Process, SocketId, TcpState, process::Place},
    Connection, Phase, Tracker,
};
use std::sync::Arc;

/// A connection at a glance.
#[derive(Clone, Copy, Debug)]
pub struct Glance<'a> {
    /// Its socket.
    pub socket: SocketId,
    /// The state it is in.
    pub state: TcpState,
    /// When it entered it, where known.
    pub since: Option<Ktime>,
    /// Its life as it is kept: without what may be missing in it, and where its owner runs.
    pub life: &'a Lifecycle,
}

impl Tracker {
    /// The lives that are not wholly over, as they would be given out now.
    pub fn live(&self) -> impl Iterator<Item = Lifecycle> {
        self.connections.iter().filter(|(_, c)| c.phase != Phase::Over).map(|(_, c)| self.tell(c))
    }

    /// Where a process runs that owns a connection, where that is known.
    pub fn place(&self, process: &Process) -> Option<&Arc<Place>> {
        self.processes.place(process)
    }

    /// The same at a glance, which makes no life of each.
    pub fn glances(&self) -> impl Iterator<Item = Glance<'_>> {
        let live = self.connections.iter().filter(|(_, c)| c.phase != Phase::Over);
        live.map(|(_, c)| Glance { socket: c.socket, state: c.state(), since: c.entered(), life: &c.life })
    }

    /// The life of this socket so far, if it is followed.
    pub fn life(&self, socket: SocketId) -> Option<Lifecycle> {
        self.connections.get(self.connections.find(socket)?).map(|c| self.tell(c))
    }

    /// The other end of a connection, where it is on this host and followed.
    pub fn other_end(&self, life: &Lifecycle) -> Option<Lifecycle> {
        let key = self.connections.with_tuple_anywhere(life.netns, life.tuple.reversed())?;
        self.connections.get(key).map(|c| self.tell(c))
    }

    pub(super) fn tell(&self, connection: &Connection) -> Lifecycle {
        let mut lifecycle = connection.told(self.lost);
        self.put_in_place(&mut lifecycle, connection.phase);
        lifecycle
    }

    /// Says whose it is as far as that still holds, and where that runs.
    pub(super) fn put_in_place(&self, lifecycle: &mut Lifecycle, phase: Phase) {
        if phase != Phase::Over {
            self.listeners.settle(lifecycle, self.means.accepts);
        }
        lifecycle.place = lifecycle.owner.and_then(|owner| self.place(&owner.process)).cloned();
    }
}
