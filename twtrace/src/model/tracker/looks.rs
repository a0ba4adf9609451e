//! Looking again: at what was planned, and what the table's answer leads to when it has nothing.

use super::{
    super::{Basis, Ktime, Lifecycle, Question, TcpState, TimeWaitEnd, Transition},
    Connection, Key, Moment, Phase, Plan, Purpose, Tracker,
    time_wait::TIME_WAIT,
};

/// When to look for the peer's FIN after our side is done, before the whole table is read anyway.
pub(super) const LOOKS: [u64; 3] = [20_000_000, 300_000_000, 3_000_000_000];
/// How often to look whether a TIME_WAIT is gone when its time is up: the timer wheel lets it live on for up
/// to 2 s at HZ=250.
const END_LOOK: u64 = 100_000_000;
/// By how much the timer wheel may let one live on: 5.1 s at HZ=100 (kernel/time/timer.c, LVL_GRAN()).
const LATE: u64 = 6_000_000_000;
/// How long events may be under way when the table says that a socket is gone.
pub(super) const GONE: u64 = 300_000_000;

impl Tracker {
    /// The other end of this connection has just sent its FIN: if it is ours and waits for it, it has it now.
    pub(super) fn peer_has_closed(&mut self, t: &Transition) {
        let Some(peer) = self.connections.with_tuple_anywhere(t.netns, t.tuple.reversed()) else { return };
        let Some(connection) = self.connections.get(peer) else { return };
        // A FIN that closes within milliseconds is caught by the look that is planned already.
        if connection.phase == Phase::Orphan && t.at.since(connection.last_seen) > LOOKS[0] {
            self.plan(peer, t.at.after(LOOKS[0]), Purpose::Look(LOOKS.len() as u8 - 1));
        }
    }

    pub(super) fn carry_out(&mut self, plan: Plan) {
        let Some(connection) = self.connections.get(plan.key) else { return };
        match (plan.purpose, connection.phase) {
            (Purpose::Conclude, _) => self.conclude(plan.key),
            (Purpose::Owner, Phase::Full) => self.seek_owner(plan.key),
            (Purpose::Look(look), Phase::Orphan | Phase::Unsettled) => {
                self.ask_for_socket(plan.key);
                let next = look + 1;
                if let (Some(&wait), true) = (LOOKS.get(usize::from(next)), self.means.table) {
                    self.plan(plan.key, self.now.after(wait), Purpose::Look(next));
                }
            }
            (Purpose::End, Phase::TimeWait) if !self.means.timer_ends => {
                // It may have been started again since.
                let up = connection.armed.get().map_or(plan.due, |armed| armed.after(TIME_WAIT));
                self.look_for_end(plan, up);
            }
            _ => {}
        }
    }

    fn look_for_end(&mut self, plan: Plan, up: Ktime) {
        if up > self.now {
            self.plan(plan.key, up, Purpose::End);
        } else if self.means.table {
            self.ask_for_socket(plan.key);
            let next = self.runs_out(plan.key).map_or(Ktime(0), |end| end.after(LOOKS[0]));
            self.plan(plan.key, self.now.after(END_LOOK).max(next), Purpose::End);
        } else {
            self.end_time_wait(plan.key, Some(up), Some(TimeWaitEnd::Expired), Basis::Inferred);
        }
    }

    /// When the timer of a TIME_WAIT, which was there when it was seen last, runs out.
    fn runs_out(&self, key: Key) -> Option<Ktime> {
        let connection = self.connections.get(key)?;
        Some(self.means.wheel?.runs_out(connection.armed.get()?, TIME_WAIT, connection.last_seen))
    }

    /// The table does not have it. Events may still be under way that say why.
    pub(super) fn absent(&mut self, key: Key, at: Ktime) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.phase != Phase::Over && connection.missing.get().is_none() {
            connection.missing = at.into();
            self.plan(key, at.after(GONE), Purpose::Conclude);
        }
    }

    pub(super) fn conclude(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let Some(at) = connection.missing.get() else { return };
        let nothing_lost = self.lost == connection.lost_before;
        if connection.last_seen > at || nothing_lost && connection.is_timed(at) {
            connection.missing = Moment::UNKNOWN;
            return;
        }
        let up = connection.armed.get().is_some_and(|armed| at.since(armed) >= TIME_WAIT);
        match connection.phase {
            Phase::Over => {}
            _ if connection.overflow_likely => {
                let told = if self.means.timer_starts { Basis::Hook } else { Basis::SockDiag };
                let asked = connection.last_seen;
                self.overflow(key, asked, told);
            }
            Phase::TimeWait if up && !self.means.timer_ends => {
                // With many to look for, the look that found it gone may have come late; the wheel did not.
                let ended = self.runs_out(key).map_or(at, |end| end.min(at));
                self.end_time_wait(key, Some(ended), Some(TimeWaitEnd::Expired), Basis::SockDiag);
            }
            Phase::TimeWait => self.end_time_wait(key, None, None, Basis::SockDiag),
            // Nothing is left: an abort, or no room. Or something that went before anybody looked, so how long
            // its last state lasted is not known.
            Phase::Unsettled => {
                let ended = connection.left_full;
                connection.enter(TcpState::Close, None, Basis::SockDiag);
                self.over(key, ended);
            }
            Phase::Orphan | Phase::Full => {
                connection.life.broken |= connection.phase == Phase::Full;
                connection.enter(TcpState::Close, None, Basis::SockDiag);
                self.over(key, at);
            }
        }
    }

    pub(super) fn ask_for_socket(&mut self, key: Key) {
        if !self.means.table {
            return;
        }
        let Some(connection) = self.connections.get(key) else { return };
        self.ask(connection.question(false));
    }

    /// How to ask what the connection of this life has carried so far, while there is a socket that knows.
    pub fn question_of_carried(&self, life: &Lifecycle) -> Option<Question> {
        let key = self.connections.with_tuple_anywhere(life.netns, life.tuple)?;
        let connection = self.connections.get(key).filter(|connection| connection.life.id == life.id)?;
        let knows = self.means.table && connection.phase == Phase::Full && connection.state().carries();
        knows.then(|| connection.question(true))
    }
}

impl Connection {
    /// A timer of which every step is seen is still to end. A namespace is out of sight before the kernel takes down what
    /// is in it, which may be long before (`cleanup_net()`, net/core/net_namespace.c).
    fn is_timed(&self, at: Ktime) -> bool {
        let started = self.armed.get().unwrap_or(self.left_full);
        self.timer_seen && self.phase.is_time_wait() && at.since(started) < TIME_WAIT + LATE
    }
}
