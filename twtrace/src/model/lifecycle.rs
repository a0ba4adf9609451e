//! The life of one connection, as one of its ends has it.

mod all;

use super::{
    FourTuple, Ktime, Process, TcpState,
    observation::{Container, Traffic},
    process::Place,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// The life of one connection, whole or so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// Unique in the run, counted from 1.
    pub id: u64,
    /// Both ends; the local port is 0 where none was ever chosen.
    pub tuple: FourTuple,
    /// The ends are v4-mapped IPv6 addresses.
    pub v4_mapped: bool,
    /// Who called whom, where known.
    pub direction: Option<Direction>,
    /// Inode number of the network namespace, where known.
    pub netns: Option<u32>,
    /// The process whose connection it is, where known.
    pub owner: Option<Owner>,
    /// Where that process runs, where known; shared by all its connections.
    pub place: Option<Arc<Place>>,
    /// When it began; `None` when that was before tracing.
    pub opened: Option<Ktime>,
    /// When it was wholly over, TIME_WAIT included.
    pub ended: Option<Ktime>,
    /// It was there before tracing began.
    pub preexisting: bool,
    /// The states it was in, in order. The last one is still running while `ended` is `None`.
    pub spans: Spans,
    /// Who closed first, where known.
    pub closed_first: Option<Side>,
    /// The process that closed first, where known.
    pub closed_by: Option<Closer>,
    /// The host of `closed_by`, where that is not the one that this life was seen on.
    pub closed_on: Option<Arc<str>>,
    /// How it ended, where known.
    pub close: Option<Close>,
    /// The kernel's own name of the reason of a reset.
    pub close_reason: Option<&'static str>,
    /// How its TIME_WAIT ended; `None` where it never entered, or nobody can say.
    pub time_wait_end: Option<TimeWaitEnd>,
    /// How many times its TIME_WAIT was seen to be started again.
    pub time_wait_restarts: u32,
    /// Nanoseconds from the last data, either way, to the first step of the closing; where there was none, from the
    /// handshake. `None` where the socket could not be read.
    pub idle_before_close: Option<u64>,
    /// What it carried. `None` where the socket could not be read, or its end was not seen.
    pub traffic: Option<Traffic>,
    /// What it had carried when the table said so last, while `traffic` is not known.
    pub so_far: Option<Box<SoFar>>,
    /// The application took it off the accept queue; `None` where that is not known or has no meaning.
    pub accepted: Option<bool>,
    /// How many lost events could have been this connection's.
    pub lost_evidence: u64,
    /// A transition did not begin where the one before had ended.
    pub broken: bool,
}

/// What a connection had carried at some moment, says the socket table ([`Basis::SockDiag`]); it went on since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoFar {
    /// When it was read.
    pub at: Ktime,
    /// What it had carried.
    pub traffic: Traffic,
}

/// Few lives have more states: all of one is in one place.
pub type Spans = SmallVec<[Span; 5]>;

/// A state and the time in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The state.
    pub state: TcpState,
    /// When it was entered, where known.
    pub entered: Option<Ktime>,
    /// Nanoseconds in it; `None` while it runs, or where they are not known.
    pub lasted: Option<u64>,
    /// The weaker of the two ways in which its two ends are known.
    pub basis: Basis,
}

/// How something is known, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// A state change was seen.
    Observed,
    /// A timer or another hook on the time-wait socket told it.
    Hook,
    /// The socket table told it, to a jiffy.
    SockDiag,
    /// It follows from something else.
    Inferred,
}

impl Basis {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Hook => "hook",
            Self::SockDiag => "sock_diag",
            Self::Inferred => "inferred",
        }
    }
}

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Direction {
    Outbound,
    Inbound,
}

impl Direction {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// Whose connection it is, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub process: Process,
    /// How it is known.
    pub basis: OwnerBasis,
}

/// How an owner is known, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerBasis {
    /// It called `connect`.
    Connect,
    /// It called `accept`.
    Accept,
    /// It closed the connection, holding the last descriptor, or shut it down.
    Close,
    /// It had a descriptor of the socket's file.
    SocketTable,
    /// It holds the listener that the connection came in by.
    Listener,
}

impl OwnerBasis {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Close => "close",
            Self::SocketTable => "socket_table",
            Self::Listener => "listener",
        }
    }
}

/// Which side closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// This end.
    Local,
    /// The other end.
    Remote,
    /// Both, each before it had seen the other's FIN.
    Simultaneous,
    /// It was refused, timed out or never established.
    Neither,
}

impl Side {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Simultaneous => "simultaneous",
            Self::Neither => "neither",
        }
    }
}

/// The process that closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closer {
    /// The process.
    pub process: Process,
    /// How sure that is.
    pub confidence: Confidence,
}

/// How sure a closer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confidence {
    /// It was seen to do it.
    Certain,
    /// It follows from what else was seen, and could be otherwise.
    Likely,
}

impl Confidence {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Close {
    /// By FINs.
    Fin,
    /// This end sent a reset.
    ResetSent,
    /// The other end sent a reset.
    ResetReceived,
    /// Nobody listened.
    Refused,
    /// No answer came in time.
    TimedOut,
    /// Somebody had the kernel destroy it (`ss -K`).
    Destroyed,
    /// The network said that the other end cannot be reached.
    Unreachable,
    /// No local port was free: `connect` failed with EADDRNOTAVAIL.
    NoPort,
    /// The application closed it before it was established.
    Abandoned,
}

impl Close {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::ResetSent => "reset_sent",
            Self::ResetReceived => "reset_received",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Destroyed => "destroyed",
            Self::Unreachable => "unreachable",
            Self::NoPort => "no_port",
            Self::Abandoned => "abandoned",
        }
    }
}

/// How a TIME_WAIT ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeWaitEnd {
    /// Its timer ran out.
    Expired,
    /// A local `connect` took the tuple.
    Reused,
    /// A SYN of the peer took the tuple.
    TakenOver,
    /// A reset of the peer killed it.
    Reset,
    /// It was asked to go (`ss -K`), or its namespace is gone.
    Purged,
    /// None could be made: `tcp_max_tw_buckets`, or no memory.
    Overflow,
}

impl TimeWaitEnd {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Reused => "reused",
            Self::TakenOver => "taken_over",
            Self::Reset => "reset",
            Self::Purged => "purged",
            Self::Overflow => "overflow",
        }
    }
}

/// A TIME_WAIT, derived from a [`Lifecycle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWait {
    /// Nanoseconds it lasted; `None` while it runs, or where they are not known.
    pub lasted: Option<u64>,
    /// How it ended; `None` where it is over and nobody can say.
    pub end: Option<TimeWaitEnd>,
    /// It has not ended.
    pub open: bool,
    /// How both ends are known.
    pub basis: Basis,
}

/// A CLOSE_WAIT, derived from a [`Lifecycle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseWait {
    /// Nanoseconds it lasted; `None` while it runs, or where they are not known.
    pub lasted: Option<u64>,
    /// The application took the connection off the accept queue, where known.
    pub accepted: Option<bool>,
}

impl Lifecycle {
    /// One of which nothing is known but its two ends.
    pub fn new(id: u64, tuple: FourTuple) -> Self {
        Self {
            id,
            tuple,
            v4_mapped: false,
            direction: None,
            netns: None,
            owner: None,
            place: None,
            opened: None,
            ended: None,
            preexisting: false,
            spans: Spans::new(),
            closed_first: None,
            closed_by: None,
            closed_on: None,
            close: None,
            close_reason: None,
            time_wait_end: None,
            time_wait_restarts: 0,
            idle_before_close: None,
            traffic: None,
            so_far: None,
            accepted: None,
            lost_evidence: 0,
            broken: false,
        }
    }

    /// What it carried: all of it, or what it had at that moment.
    pub fn carried(&self) -> Option<(Traffic, Option<Ktime>)> {
        let so_far = || self.so_far.as_deref().map(|so_far| (so_far.traffic, Some(so_far.at)));
        self.traffic.map(|traffic| (traffic, None)).or_else(so_far)
    }

    /// The state it is in, or was in last.
    pub fn state(&self) -> Option<TcpState> {
        self.spans.last().map(|span| span.state)
    }

    /// The span of a state that it enters once at the most.
    pub fn span(&self, state: TcpState) -> Option<&Span> {
        self.spans.iter().find(|span| span.state == state)
    }

    /// The cgroup of its owner, where known.
    pub fn cgroup(&self) -> Option<&str> {
        self.place.as_ref()?.cgroup.as_deref()
    }

    /// The container that its owner runs in, where that is known to be one.
    pub fn container(&self) -> Option<&Container> {
        self.place.as_ref()?.container.as_ref()
    }

    /// Seen from its first to its last transition, with nothing lost between.
    pub fn complete(&self) -> bool {
        self.opened.is_some() && self.ended.is_some() && !self.broken && self.lost_evidence == 0
    }

    /// Its TIME_WAIT; `None` when it never entered.
    pub fn time_wait(&self) -> Option<TimeWait> {
        let span = self.span(TcpState::TimeWait)?;
        Some(TimeWait { lasted: span.lasted, end: self.time_wait_end, open: self.ended.is_none(), basis: span.basis })
    }

    /// Its CLOSE_WAIT; `None` when it never entered.
    pub fn close_wait(&self) -> Option<CloseWait> {
        let span = self.span(TcpState::CloseWait)?;
        Some(CloseWait { lasted: span.lasted, accepted: self.accepted })
    }
}
