//! A connection while it is followed: its life so far, and what is needed to judge what comes.

use super::super::{
    Basis, Closer, FourTuple, Ktime, Lifecycle, Owner, OwnerBasis, Question, Side, SoFar, SocketId, Span, TcpState,
    observation::Row,
};
use std::num::NonZeroU64;

/// What stands behind a connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A full socket.
    Full,
    /// The full socket is gone and may have left a time-wait socket; the table has been asked.
    Unsettled,
    /// A time-wait socket that stands for FIN_WAIT2: the peer has not closed.
    Orphan,
    /// A time-wait socket in TIME_WAIT.
    TimeWait,
    /// Nothing.
    Over,
}

impl Phase {
    /// There is, or may be, a time-wait socket.
    pub(super) fn is_time_wait(self) -> bool {
        matches!(self, Self::Unsettled | Self::Orphan | Self::TimeWait)
    }
}

/// When something was, if it was and that is known: in half the room of an `Option`, as there may be a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(Ktime);

impl Moment {
    pub(super) const UNKNOWN: Self = Self(Ktime(u64::MAX));

    pub(super) fn get(self) -> Option<Ktime> {
        (self != Self::UNKNOWN).then_some(self.0)
    }
}

impl From<Ktime> for Moment {
    fn from(at: Ktime) -> Self {
        Self(at)
    }
}

impl From<Option<Ktime>> for Moment {
    fn from(at: Option<Ktime>) -> Self {
        at.map_or(Self::UNKNOWN, Self)
    }
}

/// A change of state as it was taken down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) at: Option<Ktime>,
    pub(super) from: TcpState,
    pub(super) to: TcpState,
    pub(super) lasted: Option<u64>,
    pub(super) basis: Basis,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    /// The name by which observations know it.
    pub(super) socket: SocketId,
    /// Where it was made, and from where it is given out: to move it takes longer than to tell it.
    pub(super) life: Box<Lifecycle>,
    pub(super) phase: Phase,
    /// An event, and not the table alone, has told of it.
    pub(super) vouched: bool,
    pub(super) announced: bool,
    /// It can be found by its tuple, unless another has claimed that since.
    pub(super) claimed: bool,
    pub(super) inode: Option<NonZeroU64>,
    /// `connect` found a local port chosen already, by `bind` or by the connection before.
    pub(super) port_chosen: bool,
    /// Events lost before it began.
    pub(super) lost_before: u64,
    /// When something was seen of it last.
    pub(super) last_seen: Ktime,
    /// When the full socket gave way to a time-wait socket, if it did.
    pub(super) left_full: Ktime,
    /// When its TIME_WAIT was last started, where known: later than its first start if started again.
    pub(super) armed: Moment,
    /// The timer of its time-wait socket was seen to start.
    pub(super) timer_seen: bool,
    /// The table of time-wait sockets was full when it wanted one.
    pub(super) overflow_likely: bool,
    /// A reset was traced before the state change that it explains, at this moment.
    pub(super) reset_sent: Option<Box<(Ktime, Option<&'static str>)>>,
    /// The table no longer had it at this moment.
    pub(super) missing: Moment,
}

impl Connection {
    pub(super) fn new(id: u64, socket: SocketId, tuple: FourTuple, at: Ktime, lost_before: u64) -> Self {
        Self {
            socket,
            life: Box::new(Lifecycle::new(id, tuple)),
            phase: Phase::Full,
            vouched: true,
            left_full: at,
            announced: false,
            claimed: false,
            inode: None,
            port_chosen: false,
            lost_before,
            last_seen: at,
            armed: Moment::UNKNOWN,
            timer_seen: false,
            overflow_likely: false,
            reset_sent: None,
            missing: Moment::UNKNOWN,
        }
    }

    /// Asks the table for it, and for what it has carried.
    pub(super) fn question(&self, carried: bool) -> Question {
        let Lifecycle { netns, tuple, v4_mapped, .. } = *self.life;
        Question::Socket { socket: self.socket, netns, tuple, v4_mapped, carried }
    }

    /// The state it is in; `Close` when nothing is known of it yet.
    pub(super) fn state(&self) -> TcpState {
        self.life.state().unwrap_or(TcpState::Close)
    }

    /// Ends the span that runs and, unless it is `Close`, begins another.
    pub(super) fn enter(&mut self, to: TcpState, at: Option<Ktime>, basis: Basis) -> Step {
        let from = self.state();
        let lasted = self.life.spans.last_mut().and_then(|span| {
            span.lasted = span.entered.zip(at).map(|(entered, at)| at.since(entered));
            span.basis = span.basis.max(basis);
            span.lasted
        });
        if to != TcpState::Close {
            self.life.spans.push(Span { state: to, entered: at, lasted: None, basis });
        }
        Step { at, from, to, lasted, basis }
    }

    /// When it entered the state that it is in, where that is known.
    pub(super) fn entered(&self) -> Option<Ktime> {
        self.life.spans.last()?.entered
    }

    /// That moment is known from something better now.
    pub(super) fn confirm(&mut self, basis: Basis) {
        if let Some(span) = self.life.spans.last_mut() {
            span.basis = span.basis.min(basis);
        }
    }

    /// It began later than it seemed, and the state before lasted longer.
    pub(super) fn began(&mut self, at: Ktime) {
        if let [.., before, last] = &mut self.life.spans[..] {
            before.lasted = before.entered.map(|entered| at.since(entered));
            last.entered = Some(at);
        }
    }

    /// Its life so far, with what may be missing in it.
    pub(super) fn told(&self, lost: u64) -> Lifecycle {
        Lifecycle { lost_evidence: lost - self.lost_before, ..(*self.life).clone() }
    }

    /// The table says what it has carried so far, unless its end has told.
    pub(super) fn carried(&mut self, row: &Row) {
        if let (Some(traffic), None) = (row.traffic, self.life.traffic) {
            self.life.so_far = Some(Box::new(SoFar { at: row.at, traffic }));
        }
    }

    /// Takes the better of two owners.
    pub(super) fn own(&mut self, owner: Owner) {
        if self.life.owner.is_none_or(|known| owner.basis < known.basis) {
            self.life.owner = Some(owner);
        }
    }

    /// Its owner was seen at work on it.
    pub(super) fn has_shown_owner(&self) -> bool {
        self.life.owner.is_some_and(|owner| owner.basis < OwnerBasis::SocketTable)
    }

    /// The first to close stays the first.
    pub(super) fn closed_first(&mut self, side: Side, by: Option<Closer>) {
        if self.life.closed_first.is_none() {
            self.life.closed_first = Some(side);
            self.life.closed_by = by;
        }
    }
}
