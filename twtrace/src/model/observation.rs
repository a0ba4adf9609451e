//! What was observed, by whatever means, with the time at which it was so.

mod readings;

pub use readings::{Container, Counters, Holder, ProcessReading, Row, Runtime, Table};

use super::{Process, TcpState};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Nanoseconds of `CLOCK_MONOTONIC`: the clock of the kernel's events and of TIME_WAIT itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ktime(pub u64);

impl Ktime {
    /// Nanoseconds since `earlier`; 0 where `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `nanos` later.
    pub fn after(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// `nanos` earlier.
    pub fn before(self, nanos: u64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }
}

/// One end of a connection. A v4-mapped address is kept as the IPv4 address that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// The port; 0 while none is chosen.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::net::SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

/// Both ends, as the socket that was observed sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourTuple {
    /// The socket's own end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
}

impl FourTuple {
    /// The same connection as its other end sees it.
    pub fn reversed(self) -> Self {
        Self { local: self.remote, remote: self.local }
    }

    /// From the kernel's form: `AF_INET` addresses stand in the first four bytes. The flag is `v4_mapped`.
    pub fn from_kernel(
        ipv6: bool,
        (local, local_port): ([u8; 16], u16),
        (remote, remote_port): ([u8; 16], u16),
    ) -> (Self, bool) {
        let [(local, mapped), (remote, _)] = [local, remote].map(|bytes| address(ipv6, bytes));
        let tuple = Self {
            local: Endpoint { ip: local, port: local_port },
            remote: Endpoint { ip: remote, port: remote_port },
        };
        (tuple, mapped)
    }
}

fn address(ipv6: bool, bytes: [u8; 16]) -> (IpAddr, bool) {
    if !ipv6 {
        let [a, b, c, d, ..] = bytes;
        return (Ipv4Addr::new(a, b, c, d).into(), false);
    }
    let v6 = Ipv6Addr::from(bytes);
    match v6.to_ipv4_mapped() {
        Some(v4) => (v4.into(), true),
        None => (v6.into(), false),
    }
}

/// What tells one socket from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketId {
    /// The kernel's cookie: never used twice, and kept by the time-wait socket.
    Cookie(u64),
    /// The address, where there is no cookie: used again at once, so good from one birth to the next.
    Address(u64),
    /// What is left of a socket that was known by its address, by [`Lifecycle::id`](super::Lifecycle): the address
    /// is free for the next.
    Remnant(u64),
}

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// `sock:inet_sock_set_state`.
    Transition(Transition),
    /// `tcp:tcp_receive_reset` or `tcp:tcp_send_reset`.
    Reset(Reset),
    /// A process was given a socket by `accept`, or destroyed it.
    Hold(Hold),
    /// The timer of a time-wait socket.
    Timer(Timer),
    /// A reading of the socket table.
    Table(Table),
    /// What /proc said of who holds a socket's file.
    Holder(Holder),
    /// What /proc said of a process.
    Process(Box<ProcessReading>),
    /// Events that happened and were not seen.
    Lost(Lost),
    /// The kernel's own counters: at the start, and again at the end.
    Counters(Counters),
    /// Time passes.
    Tick(Ktime),
}

impl Observation {
    /// It came from the kernel as it happened.
    pub fn is_event(&self) -> bool {
        matches!(self, Self::Transition(_) | Self::Reset(_) | Self::Hold(_) | Self::Timer(_))
    }

    /// When it was so.
    pub fn at(&self) -> Ktime {
        match self {
            Self::Transition(transition) => transition.at,
            Self::Reset(reset) => reset.at,
            Self::Hold(hold) => hold.at,
            Self::Timer(timer) => timer.at,
            Self::Table(Table::Begin { at, .. } | Table::Absent { at, .. } | Table::End { at, .. }) => *at,
            Self::Table(Table::Row(row)) => row.at,
            Self::Table(Table::Ready { at }) => *at,
            Self::Holder(holder) => holder.at,
            Self::Process(reading) => reading.at,
            Self::Lost(lost) => lost.at,
            Self::Counters(counters) => counters.after,
            Self::Tick(at) => *at,
        }
    }
}

/// A socket changes its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Ktime,
    /// Which socket.
    pub socket: SocketId,
    /// Its address in the kernel.
    pub address: u64,
    /// Its network namespace, where known.
    pub netns: Option<u32>,
    /// Its two ends.
    pub tuple: FourTuple,
    /// The ends are v4-mapped IPv6 addresses.
    pub v4_mapped: bool,
    /// The state it leaves.
    pub from: TcpState,
    /// The state it enters.
    pub to: TcpState,
    /// What the socket says of itself; `None` where it could not be read.
    pub socket_says: Option<SocketSays>,
    /// The task on the CPU, which need not have to do with it.
    pub task: Option<Process>,
    /// That task is a kernel thread.
    pub kernel_thread: bool,
}

/// Fields of the socket at a transition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketSays {
    /// `sk_lock.owned`: the task on the CPU is at work on this socket.
    pub owned: bool,
    /// `SOCK_DONE`: the peer's FIN is in.
    pub done: bool,
    /// `SOCK_DEAD`: no descriptor is left.
    pub dead: bool,
    /// The table of time-wait sockets of its namespace is full.
    pub full: bool,
    /// `sk_err`, an errno.
    pub error: u16,
    /// Inode of its file; `None` when it has none.
    pub inode: Option<u64>,
    /// Nanoseconds since data last went either way, to a jiffy; at the transition that begins the closing alone.
    pub idle: Option<u64>,
    /// What it carried; at its last transition alone.
    pub traffic: Option<Traffic>,
}

/// What a socket has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of data sent, those sent again included (`tcpi_bytes_sent`).
    pub bytes_sent: u64,
    /// Bytes of data received in order (`tcpi_bytes_received`, which counts the FIN, less the FIN).
    pub bytes_received: u64,
    /// Segments sent again (`tcpi_total_retrans`).
    pub retransmits: u32,
    /// The smoothed round-trip time, in nanoseconds; `None` where none was measured.
    pub srtt: Option<u64>,
}

impl Traffic {
    /// Both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes_sent.saturating_add(self.bytes_received)
    }
}

/// A reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// When.
    pub at: Ktime,
    /// Of which socket.
    pub socket: SocketId,
    /// Its address in the kernel.
    pub address: u64,
    /// Its network namespace, where known.
    pub netns: Option<u32>,
    /// Sent, or else received.
    pub sent: bool,
    /// The state it was in; `TimeWait` for a time-wait socket.
    pub state: Option<TcpState>,
    /// The kernel's name of the reason.
    pub reason: Option<&'static str>,
}

/// A process and a socket it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When.
    pub at: Ktime,
    /// Which socket.
    pub socket: SocketId,
    /// Accepted now, or else destroyed now.
    pub accepted: bool,
    /// Who; `None` for a kernel thread.
    pub process: Option<Process>,
}

/// What the timer of a time-wait socket did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// When.
    pub at: Ktime,
    /// Of which socket: the cookie is that of the full socket it stands for.
    pub socket: SocketId,
    /// Its network namespace, where known.
    pub netns: Option<u32>,
    /// Its two ends.
    pub tuple: FourTuple,
    /// FIN_WAIT2 or TIME_WAIT: what the time-wait socket stands for.
    pub substate: TcpState,
    /// The moment for which it was last armed, to a jiffy.
    pub due: Ktime,
    /// What happened.
    pub event: TimerEvent,
}

/// See [`Timer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerEvent {
    /// Armed, or armed again.
    Start,
    /// Run out: the socket is gone.
    Expire,
    /// Taken off the wheel: to be armed again, to run out, or for good by this cause.
    Cancel(Option<Cause>, Option<Process>),
}

/// Which function of the kernel ended a time-wait socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `__inet_check_established()`: a connect takes its place.
    Connect,
    /// `tcp_v4_rcv()` itself: a SYN takes its place, or something that does not belong to a FIN_WAIT2.
    Segment,
    /// `tcp_timewait_state_process()`: a RST.
    Reset,
    /// `tcp_abort()`: somebody asked for it (`ss -K`).
    Abort,
    /// `inet_twsk_purge()`: its namespace is gone.
    Namespace,
    /// Something that is not known to end one.
    Other,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Connect, Self::Segment, Self::Reset, Self::Abort, Self::Namespace, Self::Other];

    /// As recorded.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Segment => "segment",
            Self::Reset => "reset",
            Self::Abort => "abort",
            Self::Namespace => "namespace",
            Self::Other => "other",
        }
    }
}

/// Events that were not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// When it became known.
    pub at: Ktime,
    /// How many.
    pub count: u64,
    /// Where.
    pub place: LossPlace,
}

/// Where events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LossPlace {
    /// The ring was full.
    Ring,
    /// The kernel skipped the program because it was running already on that CPU.
    Recursion,
    /// A record that makes no sense.
    Decode,
    /// The recording is damaged there.
    Recording,
}

impl LossPlace {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ring, Self::Recursion, Self::Decode, Self::Recording];

    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Recursion => "recursion",
            Self::Decode => "decode",
            Self::Recording => "recording",
        }
    }
}
