//! What the tracker tells the sinks, and what it would like to be told.

use super::{Basis, FourTuple, Ktime, Lifecycle, Process, SocketId, TcpState, observation::Lost, process::Place};
use std::sync::Arc;

/// What an observation changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A connection changed its state. Given only where [`Tracker::show_transitions`](super::Tracker) is on.
    Transition(Shown),
    /// A connection's closing is done; what is left is a time-wait socket without an owner.
    Closed(Box<Lifecycle>),
    /// A connection is wholly over, or was still open when the run ended.
    Ended {
        /// Its life.
        lifecycle: Box<Lifecycle>,
        /// [`Change::Closed`] came before, or it had closed before tracing began.
        announced: bool,
    },
    /// Events are missing.
    Lost(Lost),
}

/// A state change as a person should see it: TIME_WAIT and the FIN_WAIT2 of an orphaned socket as what they
/// are, not as the CLOSE of the full socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When.
    pub at: Ktime,
    /// [`Lifecycle::id`].
    pub connection: u64,
    /// Both ends.
    pub tuple: FourTuple,
    /// The ends are v4-mapped IPv6 addresses.
    pub v4_mapped: bool,
    /// Inode number of the network namespace, where known.
    pub netns: Option<u32>,
    /// The state it leaves.
    pub from: TcpState,
    /// The state it enters.
    pub to: TcpState,
    /// Nanoseconds in `from`, where known.
    pub lasted: Option<u64>,
    /// Who did it, where that is known.
    pub process: Option<Process>,
    /// The connection's owner, where known.
    pub owner: Option<Process>,
    /// Where that process runs, where known.
    pub place: Option<Arc<Place>>,
    /// How it is known.
    pub basis: Basis,
}

/// What the tracker would like to have observed; the answer, if any, comes as an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is this socket in the table, and with how much time left?
    Socket {
        /// Which one.
        socket: SocketId,
        /// Where.
        netns: Option<u32>,
        /// Its two ends.
        tuple: FourTuple,
        /// The addresses in the table are v4-mapped IPv6 ones.
        v4_mapped: bool,
        /// And what has it carried so far? That costs it a lock.
        carried: bool,
    },
    /// What has each connection in this namespace carried so far?
    Carried {
        /// Which one.
        netns: Option<u32>,
    },
    /// Read the whole table of this namespace.
    Table {
        /// Which one.
        netns: Option<u32>,
    },
    /// Which sockets are there, in every namespace, and who holds them? As it is read at the start of a run.
    Everything,
    /// Which processes hold the socket with this inode?
    Holder {
        /// Its inode.
        inode: u64,
    },
    /// Where does it run, and how many descriptors has it?
    Process(Process),
}
