//! What the socket table, /proc and the kernel's counters said, with the time at which they were read.

use super::{FourTuple, Ktime, SocketId, Traffic};
use crate::model::{Process, TcpState, state::TIME_WAIT};
use std::collections::BTreeMap;

/// Readings of the socket table of one network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// A reading of the whole table begins.
    Begin {
        /// When.
        at: Ktime,
        /// Whose table.
        netns: u32,
    },
    /// A socket is there.
    Row(Row),
    /// A socket that was asked for is not there.
    Absent {
        /// When.
        at: Ktime,
        /// Which one.
        socket: SocketId,
    },
    /// Every socket that was there when tracing began has been given.
    Ready {
        /// When.
        at: Ktime,
    },
    /// The reading that began last is complete, or the namespace is gone.
    End {
        /// When.
        at: Ktime,
        /// Whose table.
        netns: u32,
        /// False where the table could not be read to its end: what was not seen may still be there.
        whole: bool,
    },
}

/// A socket as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it was read.
    pub at: Ktime,
    /// Which socket; the table always knows a cookie.
    pub socket: SocketId,
    /// Its network namespace.
    pub netns: u32,
    /// Its two ends.
    pub tuple: FourTuple,
    /// The ends are v4-mapped IPv6 addresses.
    pub v4_mapped: bool,
    /// Its state; for a time-wait socket the substate.
    pub state: TcpState,
    /// It is a time-wait socket, and its timer runs out in so many nanoseconds (0: any moment now).
    pub time_wait_left: Option<u64>,
    /// Inode of its file; `None` when it has none.
    pub inode: Option<u64>,
    /// Nanoseconds since the last ACK came in (`tcpi_last_ack_recv`), where it was asked for.
    pub last_ack: Option<u64>,
    /// What it has carried so far, where it was asked for.
    pub traffic: Option<Traffic>,
}

impl Row {
    /// When a time-wait socket in TIME_WAIT began it, to a jiffy: its timer was set to 60 s then. Once the time is up that is no longer told, for the timer may be late.
    pub fn time_wait_began(&self) -> Option<Ktime> {
        let left = self.time_wait_left.filter(|left| self.state == TcpState::TimeWait && *left > 0)?;
        Some(self.at.before(TIME_WAIT.saturating_sub(left)))
    }
}

/// Who holds the socket with this inode, says /proc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// When it was read.
    pub at: Ktime,
    /// The inode.
    pub inode: u64,
    /// The processes with a descriptor of it, oldest first; empty when there is none.
    pub processes: Vec<Process>,
}

/// A process, as /proc has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessReading {
    /// When it was read.
    pub at: Ktime,
    /// Which one.
    pub process: Process,
    /// Its cgroup's path in the unified hierarchy, or in that of its container where there is none: any text at all.
    pub cgroup: Option<Box<str>>,
    /// The container it runs in, as far as the cgroup's path tells.
    pub container: Option<Container>,
    /// Descriptors that it has open.
    pub descriptors: Option<u64>,
    /// Descriptors that it may have open: the soft limit of RLIMIT_NOFILE.
    pub descriptor_limit: Option<u64>,
}

/// A container, a pod's or a service's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// What runs it.
    pub runtime: Runtime,
    /// Its id, or the unit's name: any text at all.
    pub id: Box<str>,
    /// `namespace/name` of its pod where the host knows it, else the pod's uid: any text at all.
    pub pod: Option<Box<str>>,
}

/// What runs a container or a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Runtime {
    Docker,
    Containerd,
    CriO,
    Podman,
    /// A pod's container of which the path does not tell what runs it.
    Kubernetes,
    Systemd,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Docker, Self::Containerd, Self::CriO, Self::Podman, Self::Kubernetes, Self::Systemd];

    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Kubernetes => "kubernetes",
            Self::Systemd => "systemd",
        }
    }
}

/// What the kernel itself has counted of TCP in one network namespace since that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// They were read not before.
    pub before: Ktime,
    /// And not after.
    pub after: Ktime,
    /// Whose they are.
    pub netns: u32,
    /// `TW` is counted when a time-wait socket is made, and not when it ends.
    pub time_waits_at_birth: bool,
    /// By the kernel's names: `ActiveOpens`, `TW`, `TCPTimeWaitOverflow`, …
    pub values: BTreeMap<String, u64>,
}
