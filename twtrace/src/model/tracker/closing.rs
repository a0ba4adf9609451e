//! The change to CLOSE: what it means, and the resets that explain it.

use super::{
    super::{
        Basis, Close, Closer, Confidence, Owner, OwnerBasis, Process, Side, TcpState, Transition,
        observation::{Reset, SocketSays},
    },
    Key, Phase, Tracker,
};
use TcpState::{Closing, FinWait1, FinWait2, LastAck, SynRecv, SynSent};

/// Errnos in `sk_err`, as include/uapi/asm-generic/errno.h has them.
mod errno {
    pub(super) const EPIPE: u16 = 32;
    pub(super) const ENETUNREACH: u16 = 101;
    pub(super) const ECONNABORTED: u16 = 103;
    pub(super) const ECONNRESET: u16 = 104;
    pub(super) const ETIMEDOUT: u16 = 110;
    pub(super) const ECONNREFUSED: u16 = 111;
    pub(super) const EHOSTUNREACH: u16 = 113;
}

/// A reset belongs to a state change this close to it; both are of one call, but the CPU may be held up between them.
const RESET_WINDOW: u64 = 100_000_000;

/// What a change to CLOSE turns out to be.
enum Verdict {
    /// TIME_WAIT begins.
    TimeWait,
    /// A time-wait socket stands for the FIN_WAIT2 that goes on.
    Orphan,
    /// One of the two, or neither: the table knows.
    AskTable,
    /// It is over.
    Over(Option<Close>, Option<Side>, Option<Closer>),
}

impl Tracker {
    pub(super) fn closing(&mut self, key: Key, t: &Transition, by: Option<Process>) {
        if t.from == SynSent && t.tuple.local.port != 0 {
            self.settle_tuple(key, t);
        }
        match self.judge(key, t, by) {
            Verdict::TimeWait => self.enter_time_wait(key, t),
            Verdict::Orphan => self.orphan(key, t),
            Verdict::AskTable => self.unsettled(key, t),
            Verdict::Over(close, side, closer) => {
                let opened = self.connections.get(key).and_then(|c| c.life.opened);
                if let (Some(Close::NoPort), Some(opened)) = (close, opened) {
                    // tcp_connect() counts, and was not reached.
                    self.seen_at(opened, t.netns).active_opens -= 1;
                }
                let Some(connection) = self.connections.get_mut(key) else { return };
                connection.life.close = close;
                if let Some(side) = side {
                    connection.closed_first(side, closer);
                }
                if let Some((at, reason)) = connection.reset_sent.as_deref().copied()
                    && t.at.since(at) < RESET_WINDOW
                {
                    connection.life.close_reason = reason;
                }
                let local_abort = matches!(close, Some(Close::ResetSent | Close::Abandoned));
                if let (Some(process), true) = (by, local_abort) {
                    connection.own(Owner { process, basis: OwnerBasis::Close });
                    self.processes.meet(process);
                }
                let step = connection.enter(TcpState::Close, Some(t.at), Basis::Observed);
                connection.life.ended = Some(t.at);
                self.listeners.settle(&mut connection.life, self.means.accepts);
                self.show(key, step, by);
                self.over(key, t.at);
                if t.from == LastAck && t.socket_says.is_some_and(|says| says.error == 0) {
                    self.peer_has_acknowledged(key, t);
                }
            }
        }
    }

    /// The table of KERNEL facts: tcp_fin() sets SOCK_DONE before tcp_time_wait(), sk_err is set before
    /// tcp_done(), and a socket in FIN_WAIT2 cannot have seen a FIN before.
    fn judge(&self, key: Key, t: &Transition, by: Option<Process>) -> Verdict {
        let Some(says) = t.socket_says else { return self.judge_blindly(t) };
        match (t.from, says.error) {
            (SynSent, error) => Verdict::Over(never_established(t, error), Some(Side::Neither), None),
            (FinWait2 | Closing, 0) if says.done => Verdict::TimeWait,
            (FinWait2, 0) if says.dead => Verdict::Orphan,
            (LastAck, 0) => Verdict::Over(Some(Close::Fin), None, None),
            (SynRecv, error) => {
                let close = aborted(error).unwrap_or(Close::ResetSent);
                Verdict::Over(Some(close), Some(Side::Neither), None)
            }
            (_, 0) => Verdict::Over(Some(Close::ResetSent), Some(Side::Local), self.aborter(key, t, says, by)),
            (_, error) => self.judge_error(t, error, by),
        }
    }

    fn judge_error(&self, t: &Transition, error: u16, by: Option<Process>) -> Verdict {
        let close = aborted(error);
        let (side, closer) = match close {
            Some(Close::ResetReceived) => (Some(Side::Remote), self.remote_closer(t.netns, t.tuple)),
            Some(Close::Destroyed) => (Some(Side::Local), self.certain(by)),
            Some(_) => (Some(Side::Neither), None),
            None => (None, None),
        };
        Verdict::Over(close, side, closer)
    }

    /// Who aborted: the process at work on the socket or, where nobody is, the one that has just closed the
    /// listener over it (inet_csk_listen_stop()).
    fn aborter(&self, key: Key, t: &Transition, says: SocketSays, by: Option<Process>) -> Option<Closer> {
        if says.owned {
            return self.local_closer(key, by);
        }
        let process = self.listeners.closer(t.netns, t.tuple.local.port, t.at)?;
        Some(Closer { process, confidence: Confidence::Likely })
    }

    fn certain(&self, by: Option<Process>) -> Option<Closer> {
        by.map(|process| Closer { process, confidence: Confidence::Certain })
    }

    /// Without a look at the socket most ends look alike.
    fn judge_blindly(&self, t: &Transition) -> Verdict {
        match t.from {
            FinWait2 | Closing if self.means.table => Verdict::AskTable,
            SynSent if t.tuple.local.port == 0 => Verdict::Over(Some(Close::NoPort), Some(Side::Neither), None),
            SynSent | SynRecv => Verdict::Over(None, Some(Side::Neither), None),
            _ => Verdict::Over(None, None, None),
        }
    }

    pub(super) fn reset(&mut self, reset: &Reset) {
        let remnant = || self.connections.find(*self.remnants.get(&reset.address)?);
        let Some(key) = self.connections.find(reset.socket).or_else(remnant) else { return };
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.last_seen = reset.at;
        if !reset.sent {
            // sk_err says the same at the state change.
            return;
        }
        match connection.phase {
            // ss -K and keepalive send theirs before the state change.
            Phase::Full => connection.reset_sent = Some(Box::new((reset.at, reset.reason))),
            Phase::Over => {
                let near = connection.life.ended.is_some_and(|end| reset.at.since(end) < RESET_WINDOW);
                if near {
                    // Data after close() looks like a reset received until ours goes out (tcp_reset() is
                    // called by tcp_rcv_state_process() without any RST having come).
                    let was_closing = matches!(connection.state(), FinWait1 | FinWait2 | Closing | LastAck);
                    if connection.life.close == Some(Close::ResetReceived) && was_closing {
                        connection.life.close = Some(Close::ResetSent);
                    }
                    connection.life.close_reason = reset.reason;
                }
            }
            Phase::Orphan | Phase::Unsettled => {
                // Of the full socket: data came with the ACK of our FIN, or TCP_LINGER2 is negative; there is no
                // time-wait socket. Of the time-wait socket: data or a SYN came for it.
                connection.life.close = Some(Close::ResetSent);
                connection.life.close_reason = reset.reason;
                let step = connection.enter(TcpState::Close, Some(reset.at), Basis::Observed);
                if reset.state != Some(TcpState::TimeWait) {
                    let (at, netns) = (connection.left_full, connection.life.netns);
                    self.seen_at(at, netns).time_waits -= 1;
                }
                self.show(key, step, None);
                self.over(key, reset.at);
            }
            // One in TIME_WAIT answers with an ACK.
            Phase::TimeWait => {}
        }
    }
}

fn never_established(t: &Transition, error: u16) -> Option<Close> {
    match error {
        0 if t.tuple.local.port == 0 => Some(Close::NoPort),
        0 => Some(Close::Abandoned),
        errno::ECONNREFUSED | errno::ECONNRESET => Some(Close::Refused),
        _ => aborted(error),
    }
}

fn aborted(error: u16) -> Option<Close> {
    match error {
        errno::ECONNRESET | errno::EPIPE | errno::ECONNREFUSED => Some(Close::ResetReceived),
        errno::ETIMEDOUT => Some(Close::TimedOut),
        errno::ECONNABORTED => Some(Close::Destroyed),
        errno::ENETUNREACH | errno::EHOSTUNREACH => Some(Close::Unreachable),
        _ => None,
    }
}
