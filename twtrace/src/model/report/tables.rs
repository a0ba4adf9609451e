//! The tables of a report.

use super::{Peak, Quantiles, Series};
use crate::model::{
    Basis, Close, Comm, Direction, Endpoint, FourTuple, Ktime, LossPlace, Side, TcpState, TimeWaitEnd,
    summary::AuditLine,
};
use std::{collections::BTreeMap, net::IpAddr};

/// Processes of one name, for a server may fork and a client may be started a thousand times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// Their name.
    pub comm: Comm,
    /// The first process ids that were seen, in order.
    pub pids: Vec<u32>,
    /// More than these were seen.
    pub more_pids: bool,
}

/// What connections have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// They go out to here.
    To(Endpoint),
    /// They come in at this port.
    At(u16),
    /// The other end is here, and nobody can say who called whom.
    With(IpAddr),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// The first observation.
    pub start: Ktime,
    /// The last.
    pub end: Ktime,
    /// Connections that began in between.
    pub opened: u64,
    /// Of these, those that went out.
    pub opened_outbound: u64,
    /// Of these, those that came in.
    pub opened_inbound: u64,
    /// Connections that were there before.
    pub preexisting: u64,
    /// Connections that are wholly over, TIME_WAIT included.
    pub ended: u64,
    /// Connections that are not.
    pub open: u64,
    /// Connections of which something may be missing.
    pub damaged: u64,
    /// Connections opened a second, on the average; `None` for a run without length.
    pub open_rate: Option<f64>,
    /// The most that were opened within a second, and when.
    pub open_rate_peak: Peak,
    /// Connections opened, over time.
    pub opened_over_time: Series,
    /// Events that came in.
    pub events: u64,
    /// Events that are missing, by place.
    pub lost: BTreeMap<LossPlace, u64>,
    /// The kernel's counters against what was seen; empty where they were not read twice.
    pub audit: Vec<AuditLine>,
    /// By how much the kernel counted up each of its own counters; empty where they were not read twice.
    pub counters: BTreeMap<String, u64>,
    /// Connections by how they ended; under `None` those of which nobody can say.
    pub by_close: BTreeMap<Option<Close>, u64>,
    /// Connections by who closed first; under `None` those of which nobody can say.
    pub by_closed_first: BTreeMap<Option<Side>, u64>,
    /// State by state, in the order of a life; states that never occurred are left out.
    pub states: Vec<StateCount>,
}

impl Happened {
    /// No socket was seen at all, so there is nothing to judge.
    pub fn is_nothing(&self) -> bool {
        self.opened + self.preexisting + self.events == 0
    }
}

/// A state and the sockets in it.
#[derive(Clone, Debug, PartialEq)]
pub struct StateCount {
    /// Which one.
    pub state: TcpState,
    /// Connections that were in it at some time.
    pub entered: u64,
    /// Those that are in it at the end.
    pub now: u64,
    /// The most at once.
    pub peak: Peak,
    /// How long they stayed, those that have left it.
    pub lasted: Option<Quantiles>,
    /// How many were in it over time.
    pub over_time: Series,
}

/// The TIME_WAITs.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeWaits {
    /// How many there were.
    pub entered: u64,
    /// How many there are at the end.
    pub now: u64,
    /// The most at once.
    pub peak: Peak,
    /// How long they lasted, those that are over.
    pub lasted: Option<Quantiles>,
    /// How their lengths are known, those that are over.
    pub basis: BTreeMap<Basis, u64>,
    /// How they ended; `None` for those that are over of which nobody can say.
    pub ends: BTreeMap<Option<TimeWaitEnd>, u64>,
    /// How many times one was started again, by a FIN sent twice or an ACK.
    pub restarts: u64,
    /// How many were over time.
    pub over_time: Series,
    /// Who made them, the most first.
    pub makers: Vec<TimeWaitMaker>,
    /// Those of makers that are not in the list.
    pub other: u64,
}

/// TIME_WAITs of the same making.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeWaitMaker {
    /// Whose connections they were.
    pub owner: Option<Party>,
    /// Who closed them first.
    pub closer: Option<Party>,
    /// Which way they went.
    pub direction: Option<Direction>,
    /// Where to, or where they came in.
    pub place: Place,
    /// How many there were.
    pub entered: u64,
    /// How many there are at the end.
    pub now: u64,
    /// The most at once.
    pub peak: Peak,
    /// How many a connect or a SYN took over.
    pub reused: u64,
    /// How long they lasted on the average, those that are over.
    pub mean: Option<u64>,
}

/// Connections from one local address to one remote end: they share the local ports.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// Their network namespace.
    pub netns: Option<u32>,
    /// This end's address.
    pub local: IpAddr,
    /// The other end.
    pub remote: Endpoint,
    /// Who connects, the most first, a few of them.
    pub owners: Vec<Party>,
    /// How many began.
    pub opened: u64,
    /// How many a second, from the first to the last of them.
    pub open_rate: Option<f64>,
    /// How many found no local port.
    pub no_port: u64,
    /// How many found nobody listening.
    pub refused: u64,
    /// How many found nobody at all: no answer, or no way to get there.
    pub unanswered: u64,
    /// Those that went through TIME_WAIT at this end.
    pub time_waits: u64,
    /// Of these, those whose port a connect took over.
    pub reused: u64,
    /// Local ports held at the end.
    pub held: u64,
    /// The most held at once.
    pub held_peak: Peak,
    /// Of these, those in TIME_WAIT.
    pub time_wait_at_peak: u64,
    /// Local ports held over time, by connections and TIME_WAITs.
    pub held_over_time: Series,
    /// Ports that connect may choose from: the range less what is reserved; `None` where the namespace's settings are
    /// not known.
    pub pool: Option<u32>,
    /// How long a connection holds its port on the average, TIME_WAIT included.
    pub hold: Option<u64>,
    /// Of this, TIME_WAIT.
    pub hold_time_wait: Option<u64>,
    /// The highest rate a second that the pool allows with this mix, as it is set up now.
    pub sustainable: Option<f64>,
    /// The same with tcp_tw_reuse and timestamps at work.
    pub sustainable_with_reuse: Option<f64>,
    /// What tcp_tw_reuse does for these connections.
    pub reuse: Reuse,
    /// When the pool will be empty.
    pub full: Full,
}

/// What tcp_tw_reuse does for connections to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reuse {
    /// A connect takes over a TIME_WAIT's port once it is this old, in nanoseconds.
    After(u64),
    /// It is off.
    Off,
    /// It is on for loopback alone, and this is not loopback.
    LoopbackOnly,
    /// tcp_timestamps is off, and without them no port can be taken over.
    NoTimestamps,
    /// The settings are not known.
    Unknown,
}

/// When a pool of ports will be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Full {
    /// It is, or was.
    Was(Ktime),
    /// In so many nanoseconds from the end of the run, if things go on as they do.
    In(u64),
    /// Never, if things go on as they do.
    Never,
    /// Nobody can say.
    Unknown,
}

/// The CLOSE_WAITs.
#[derive(Clone, Debug, PartialEq)]
pub struct CloseWaits {
    /// How many there were.
    pub entered: u64,
    /// How many there are at the end.
    pub now: u64,
    /// The most at once.
    pub peak: Peak,
    /// How long they lasted, those that are over.
    pub lasted: Option<Quantiles>,
    /// How many were over time.
    pub over_time: Series,
    /// Who holds them, the most at the end first.
    pub holders: Vec<CloseWaitHolder>,
    /// Those of holders that are not in the list.
    pub other: u64,
}

/// A process's CLOSE_WAITs, or those of all processes of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct CloseWaitHolder {
    /// Who; `None` where nobody can say.
    pub party: Option<Party>,
    /// Where most of them came in, or went.
    pub place: Option<Place>,
    /// How many there were.
    pub entered: u64,
    /// How many there are at the end.
    pub now: u64,
    /// The most at once.
    pub peak: Peak,
    /// Of those at the end, accepted and not closed, or not known to be never accepted.
    pub not_closed: u64,
    /// Of those at the end, never accepted.
    pub not_accepted: u64,
    /// Of those at the end, in CLOSE_WAIT for a minute or longer.
    pub over_a_minute: u64,
    /// Growth a minute over the last minute, or the whole run; `None` for a run too short to say.
    pub growth_per_minute: Option<f64>,
    /// How many were over time.
    pub over_time: Series,
    /// The oldest at the end, the oldest first, ten at the most.
    pub oldest: Vec<Oldest>,
    /// Descriptors that the process of these with the most has open, as read last.
    pub descriptors: Option<u64>,
    /// How many it may have.
    pub descriptor_limit: Option<u64>,
    /// When it will have reached that, in nanoseconds from the end of the run, if things go on as they do; `None`
    /// where several processes share the growth.
    pub limit_in: Option<u64>,
}

/// A connection that has stayed in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// [`Lifecycle::id`](crate::model::Lifecycle).
    pub connection: u64,
    /// Both ends.
    pub tuple: FourTuple,
    /// Its process, where known.
    pub pid: Option<u32>,
    /// Nanoseconds in the state; at least these, where it was there before the run.
    pub age: u64,
    /// How that is known.
    pub basis: Basis,
    /// The application took it off the accept queue, where known.
    pub accepted: Option<bool>,
}

/// Connections that stay in a state which they should pass through.
#[derive(Clone, Debug, PartialEq)]
pub struct PileUp {
    /// Which state.
    pub state: TcpState,
    /// Whose they are.
    pub owner: Option<Party>,
    /// Where to, or where they came in.
    pub place: Place,
    /// How many there were.
    pub entered: u64,
    /// How many there are at the end.
    pub now: u64,
    /// The most at once.
    pub peak: Peak,
    /// The longest that one stayed, to the end of the run where it has not left.
    pub longest: u64,
    /// Of those at the end, never accepted; counts in ESTABLISHED alone.
    pub not_accepted: u64,
}

/// Who closes first, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Closes {
    /// The process whose connections these are; `None` where unknown, or by peer.
    pub party: Option<Party>,
    /// The peer, by peer.
    pub place: Option<Place>,
    /// Connections that are over.
    pub closed: u64,
    /// By who closed first.
    pub first: BTreeMap<Option<Side>, u64>,
    /// By how they ended.
    pub close: BTreeMap<Option<Close>, u64>,
    /// Resets by the kernel's own reason.
    pub reasons: BTreeMap<&'static str, u64>,
}

/// Lives that end after the same time without data: a timeout on the side that closes.
#[derive(Clone, Debug, PartialEq)]
pub struct IdleEnd {
    /// The side that closes.
    pub side: Side,
    /// The process that closes, where known.
    pub closer: Option<Party>,
    /// Where to, or where they came in.
    pub place: Place,
    /// The time without data, in nanoseconds, rounded to what somebody would set.
    pub timeout: u64,
    /// How many ended after it.
    pub count: u64,
    /// Of so many of which that is known.
    pub of: u64,
}
