//! TIME_WAIT, and the FIN_WAIT2 of a socket whose descriptor is closed: the kernel keeps both in a small socket
//! of their own (`tcp_time_wait()`), of which the full socket's last event says nothing.

use super::{
    super::{
        Basis, Close, Direction, Ktime, SocketId, TcpState, TimeWaitEnd, Transition,
        observation::{Cause, Timer, TimerEvent},
    },
    Key, Phase, Purpose, QUESTIONS_PER_TICK, Tracker,
    looks::{GONE, LOOKS},
};
use TcpState::{FinWait2, TimeWait};

pub(super) use super::super::state::TIME_WAIT;
/// A start that much later than the one known is another one; jiffies are 10 ms at the most.
const RESTART: u64 = 100_000_000;

impl Tracker {
    /// The full socket's end is the beginning of TIME_WAIT.
    pub(super) fn enter_time_wait(&mut self, key: Key, t: &Transition) {
        self.leave_full_socket(key, t, Phase::TimeWait);
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.life.close = Some(Close::Fin);
        connection.armed = t.at.into();
        let step = connection.enter(TimeWait, Some(t.at), Basis::Observed);
        self.show(key, step, None);
        if self.expect_time_wait(key, t) {
            self.announce(key);
            if !self.means.timer_ends {
                self.plan(key, t.at.after(TIME_WAIT), Purpose::End);
            }
        }
    }

    /// The full socket is gone and FIN_WAIT2 goes on without it.
    pub(super) fn orphan(&mut self, key: Key, t: &Transition) {
        self.leave_full_socket(key, t, Phase::Orphan);
        if self.expect_time_wait(key, t) {
            self.plan(key, t.at.after(LOOKS[0]), Purpose::Look(0));
        }
    }

    /// Without a look at the socket only the table tells TIME_WAIT from FIN_WAIT2 and from nothing.
    pub(super) fn unsettled(&mut self, key: Key, t: &Transition) {
        self.leave_full_socket(key, t, Phase::Unsettled);
        self.plan(key, t.at.after(LOOKS[0]), Purpose::Look(0));
    }

    /// A time-wait socket takes over. The connection goes by a name of its own from now on where it went by the
    /// full socket's address, which the next socket may have at once.
    fn leave_full_socket(&mut self, key: Key, t: &Transition, phase: Phase) {
        self.seen_at(t.at, t.netns).time_waits += 1;
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.left_full = t.at;
        connection.phase = phase;
        let (id, netns) = (connection.life.id, connection.life.netns);
        self.count_time_wait(netns, 1);
        if let SocketId::Cookie(_) = t.socket {
            return;
        }
        let remnant = SocketId::Remnant(id);
        self.connections.rename(key, remnant);
        self.connections.claim_tuple(key);
        self.remnants.insert(t.address, remnant);
    }

    /// Whether a time-wait socket was made, as far as is known; if the table must say, it is asked.
    fn expect_time_wait(&mut self, key: Key, t: &Transition) -> bool {
        let Some(connection) = self.connections.get_mut(key) else { return false };
        // inet_twsk_schedule() starts the timer before tcp_done() closes the full socket.
        let none_made = self.means.timer_starts && !connection.timer_seen && self.lost == connection.lost_before;
        if none_made && connection.phase == Phase::Orphan {
            // Or it was aborted: data came with the ACK of our FIN, or TCP_LINGER2 is negative. Then a reset follows.
            connection.overflow_likely = true;
            connection.missing = t.at.into();
            self.plan(key, t.at.after(GONE), Purpose::Conclude);
            return false;
        }
        if none_made {
            self.overflow(key, t.at, Basis::Hook);
            return false;
        }
        if t.socket_says.is_some_and(|says| says.full) && self.means.table && !connection.timer_seen {
            connection.overflow_likely = true;
            self.ask_whether_made(key);
            return false;
        }
        true
    }

    /// Asks for it alone or, where too many are in doubt, for the whole table.
    fn ask_whether_made(&mut self, key: Key) {
        if self.asked < QUESTIONS_PER_TICK {
            return self.ask_for_socket(key);
        }
        let netns = self.connections.get(key).and_then(|connection| connection.life.netns);
        self.doubt(netns);
    }

    /// None could be made: `inet_twsk_alloc()` refuses past tcp_max_tw_buckets. The connection is over at once.
    pub(super) fn overflow(&mut self, key: Key, asked: Ktime, basis: Basis) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let at = connection.entered().filter(|_| connection.state() == TimeWait).unwrap_or(asked);
        let entered = (connection.state() != TimeWait).then(|| connection.enter(TimeWait, Some(at), basis));
        connection.life.time_wait_end = Some(TimeWaitEnd::Overflow);
        connection.life.close.get_or_insert(Close::Fin);
        let step = connection.enter(TcpState::Close, Some(at), basis);
        let (left_full, netns) = (connection.left_full, connection.life.netns);
        let seen = self.seen_at(left_full, netns);
        seen.time_waits -= 1;
        seen.overflows += 1;
        for step in entered.into_iter().chain([step]) {
            self.show(key, step, None);
        }
        self.over(key, at);
    }

    pub(super) fn timer(&mut self, timer: &Timer) {
        if timer.event == TimerEvent::Expire {
            self.seen_at(timer.at, timer.netns).timed_out += 1;
        }
        let Some(key) = self.time_wait_socket(timer) else { return };
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.last_seen = timer.at;
        match timer.event {
            TimerEvent::Start => self.started(key, timer),
            TimerEvent::Expire => self.expired(key, timer),
            TimerEvent::Cancel(Some(cause), _) => self.cancelled(key, timer, cause),
            TimerEvent::Cancel(None, _) => {}
        }
    }

    /// The connection behind a time-wait socket. One that was there before the cookies were given has another
    /// cookie than the full socket had, and before 5.12 there are none, so the tuple decides: of the full socket, too,
    /// whose place is taken when the timer starts.
    fn time_wait_socket(&self, timer: &Timer) -> Option<Key> {
        self.connections.find(timer.socket).or_else(|| {
            let key = self.connections.with_tuple(timer.netns, timer.tuple)?;
            let phase = self.connections.get(key)?.phase;
            let begins = phase == Phase::Full && timer.event == TimerEvent::Start;
            (phase.is_time_wait() || begins).then_some(key)
        })
    }

    fn started(&mut self, key: Key, timer: &Timer) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.phase {
            Phase::Full => connection.timer_seen = true,
            Phase::Orphan if timer.substate == TimeWait => {
                self.peer_closed(key, timer.at, Basis::Hook);
            }
            Phase::TimeWait => {
                connection.armed = timer.at.into();
                connection.life.time_wait_restarts += 1;
            }
            _ => {}
        }
    }

    fn expired(&mut self, key: Key, timer: &Timer) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.phase == Phase::Over {
            return;
        }
        if timer.substate == FinWait2 {
            return self.fin_wait2_timed_out(key, timer.at);
        }
        self.learn_start(key, timer);
        self.end_time_wait(key, Some(timer.at), Some(TimeWaitEnd::Expired), Basis::Hook);
    }

    /// A timer that ends tells when it was started, to a jiffy. That is not always seen: one that is started again for
    /// nearly the same moment stays where it is in the wheel, without a word (`__mod_timer()`, kernel/time/timer.c).
    fn learn_start(&mut self, key: Key, timer: &Timer) {
        let Some(connection) = self.connections.get(key) else { return };
        let started = timer.due.before(TIME_WAIT);
        if connection.phase == Phase::TimeWait {
            self.confirm_start(key, started);
            self.note_start(key, started);
        } else {
            self.peer_closed(key, started, Basis::Hook);
        }
    }

    /// The peer never closed, and the kernel forgot the connection after tcp_fin_timeout.
    fn fin_wait2_timed_out(&mut self, key: Key, at: Ktime) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.life.close = Some(Close::TimedOut);
        let step = connection.enter(TcpState::Close, Some(at), Basis::Hook);
        self.show(key, step, None);
        self.over(key, at);
    }

    fn cancelled(&mut self, key: Key, timer: &Timer, cause: Cause) {
        let at = timer.at;
        let small = self.connections.get(key).is_some_and(|known| known.phase.is_time_wait());
        if small && timer.substate == TimeWait {
            self.learn_start(key, timer);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.phase {
            Phase::TimeWait => {
                let end = match cause {
                    Cause::Connect => Some(TimeWaitEnd::Reused),
                    Cause::Segment => Some(TimeWaitEnd::TakenOver),
                    Cause::Reset => Some(TimeWaitEnd::Reset),
                    Cause::Abort | Cause::Namespace => Some(TimeWaitEnd::Purged),
                    Cause::Other => None,
                };
                self.end_time_wait(key, Some(at), end, Basis::Hook);
            }
            Phase::Orphan => {
                connection.life.close = match cause {
                    Cause::Segment => Some(Close::ResetSent),
                    Cause::Reset => Some(Close::ResetReceived),
                    Cause::Abort => Some(Close::Destroyed),
                    Cause::Connect | Cause::Namespace | Cause::Other => None,
                };
                let step = connection.enter(TcpState::Close, Some(at), Basis::Hook);
                self.show(key, step, None);
                self.over(key, at);
            }
            _ => {}
        }
    }

    /// The peer's FIN has come to an orphan: TIME_WAIT begins.
    pub(super) fn peer_closed(&mut self, key: Key, at: Ktime, basis: Basis) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        // To a jiffy it may seem to have come while the full socket knew of none.
        let at = at.max(connection.left_full);
        connection.phase = Phase::TimeWait;
        connection.armed = at.into();
        connection.life.close = Some(Close::Fin);
        let step = connection.enter(TimeWait, Some(at), basis);
        self.show(key, step, None);
        self.announce(key);
        if !self.means.timer_ends {
            self.plan(key, at.after(TIME_WAIT), Purpose::End);
        }
    }

    /// The timer bears out, to a jiffy, a start that was known from something weaker.
    fn confirm_start(&mut self, key: Key, started: Ktime) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(entered) = connection.entered() else { return };
        // Between the peer's FIN and our ACK of it, it may have begun at any time.
        let latest = if connection.life.time_wait_restarts == 0 { connection.armed.get() } else { None };
        if started.after(RESTART) > entered && started < latest.unwrap_or(entered).after(RESTART) {
            connection.confirm(Basis::Hook);
            if started.since(entered) >= RESTART {
                connection.began(started);
            }
        }
    }

    /// The timer or the table tells when it was started last.
    pub(super) fn note_start(&mut self, key: Key, started: Ktime) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.armed.get().is_some_and(|armed| started.since(armed) > RESTART) {
            connection.life.time_wait_restarts += 1;
            connection.armed = started.into();
        }
    }

    /// TIME_WAIT is over; `None` for what nobody can say.
    pub(super) fn end_time_wait(&mut self, key: Key, ended: Option<Ktime>, end: Option<TimeWaitEnd>, basis: Basis) {
        if end == Some(TimeWaitEnd::Reused) {
            let netns = self.connections.get(key).and_then(|c| c.life.netns);
            self.seen_at(ended.unwrap_or(self.now), netns).recycled += 1;
        }
        let now = self.now;
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.life.time_wait_end = end;
        let step = connection.enter(TcpState::Close, ended, basis);
        let at = ended.or(connection.missing.get()).unwrap_or(now);
        self.show(key, step, None);
        self.over(key, at);
    }

    /// Gives a connection its tuple; a time-wait socket that had it has gone in its favour.
    pub(super) fn claim_tuple(&mut self, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        let life = &connection.life;
        let (netns, tuple, direction) = (life.netns, life.tuple, life.direction);
        let opened = life.opened;
        let old = self.connections.with_tuple(netns, tuple).filter(|old| *old != key);
        if let (Some(old), Some(opened)) = (old, opened) {
            match direction {
                // tcp_v4_connect(): SYN_SENT, then __inet_check_established() takes the port in the same call.
                Some(Direction::Outbound) if self.may_reuse(old, key, opened) => {
                    self.replaced(old, Some(opened), Some(TimeWaitEnd::Reused), Basis::Observed);
                }
                // Too young to be taken: something had ended it before, and nobody saw what.
                Some(Direction::Outbound) => self.replaced(old, None, None, Basis::Inferred),
                // The SYN was at most a handshake earlier; where the other end is here, it is known when.
                Some(Direction::Inbound) => {
                    let peer = self.connections.with_tuple_anywhere(netns, tuple.reversed());
                    let sent = peer.and_then(|peer| self.connections.get(peer)?.life.opened);
                    let sent = sent.filter(|sent| *sent <= opened);
                    let basis = if sent.is_some() { Basis::Observed } else { Basis::Inferred };
                    self.replaced(old, Some(sent.unwrap_or(opened)), Some(TimeWaitEnd::TakenOver), basis);
                }
                None => {}
            }
        }
        self.connections.claim_tuple(key);
    }

    /// Whether a connect may take over this time-wait socket: `tcp_twsk_unique()` lets one have a port of the
    /// kernel's choice only after tcp_tw_reuse_delay.
    fn may_reuse(&self, old: Key, new: Key, at: Ktime) -> bool {
        let (Some(delay), Some(new)) = (self.means.reuse_delay, self.connections.get(new)) else { return true };
        let armed = self.connections.get(old).and_then(|old| old.armed.get());
        // The delay counts from the last segment, which was there before TIME_WAIT.
        new.port_chosen || armed.is_none_or(|armed| at.since(armed) + RESTART >= delay)
    }

    fn replaced(&mut self, old: Key, at: Option<Ktime>, end: Option<TimeWaitEnd>, basis: Basis) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(old) else { return };
        let ended = at.unwrap_or(now);
        match connection.phase {
            Phase::TimeWait => self.end_time_wait(old, at, end, basis),
            Phase::Orphan | Phase::Unsettled => {
                let netns = connection.life.netns;
                let step = connection.enter(TcpState::Close, at, basis);
                if end == Some(TimeWaitEnd::Reused) {
                    // __inet_check_established() counts whatever time-wait socket it takes over.
                    self.seen_at(ended, netns).recycled += 1;
                }
                self.show(old, step, None);
                self.over(old, ended);
            }
            // Its end was lost.
            Phase::Full => {
                connection.life.broken = true;
                connection.enter(TcpState::Close, None, Basis::Inferred);
                self.over(old, ended);
            }
            Phase::Over => {}
        }
    }

    /// The FIN that this end sent has been acknowledged. Where the other end is an orphan in FIN_WAIT2 of the same
    /// namespace, that was its doing: it is in TIME_WAIT, since after the FIN was sent and before this moment.
    pub(super) fn peer_has_acknowledged(&mut self, key: Key, t: &Transition) {
        let Some(connection) = self.connections.get(key) else { return };
        let sent = connection.life.span(TcpState::LastAck).and_then(|span| span.entered);
        let Some(peer) = self.connections.with_tuple(t.netns, t.tuple.reversed()) else { return };
        let is_orphan = self.connections.get(peer).is_some_and(|peer| peer.phase == Phase::Orphan);
        // A FIN that was sent once has started the timer once, whenever that was.
        let sent_once = connection.life.traffic.is_some_and(|traffic| traffic.retransmits == 0);
        if let (Some(sent), true) = (sent, is_orphan) {
            self.peer_closed(peer, sent, Basis::Inferred);
            if let (Some(peer), true) = (self.connections.get_mut(peer), sent_once) {
                peer.armed = t.at.into();
            }
        }
    }
}
