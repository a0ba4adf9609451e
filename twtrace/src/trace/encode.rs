//! From observations to columns.

use super::{
    nested::Holding,
    schema::{Kind, Out, SocketIs},
    text::Reason,
};
use crate::model::{
    FourTuple, Ktime, Observation, Process, SocketId, Transition,
    attached::Clock,
    observation::{
        Counters, Hold, Holder, Lost, ProcessReading, Reset, Row, SocketSays, Table, Timer, TimerEvent, Traffic,
    },
};

/// As a moment of wall time; wraps, so that every moment is read back as it was.
pub(super) fn wall(clock: &Clock, at: Ktime) -> i64 {
    at.0.cast_signed().wrapping_add(clock.realtime)
}

/// The other way.
pub(super) fn monotonic(clock: &Clock, time: i64) -> Ktime {
    Ktime(time.wrapping_sub(clock.realtime).cast_unsigned())
}

/// A process's start, which is counted by `CLOCK_BOOTTIME`, as a moment of wall time.
pub(super) fn wall_of_start(clock: &Clock, started: u64) -> i64 {
    started.cast_signed().wrapping_sub(clock.boottime).wrapping_add(clock.realtime)
}

/// The other way.
pub(super) fn start(clock: &Clock, time: i64) -> u64 {
    time.wrapping_sub(clock.realtime).wrapping_add(clock.boottime).cast_unsigned()
}

pub(super) fn socket(id: SocketId) -> (SocketIs, u64) {
    match id {
        SocketId::Cookie(number) => (SocketIs::Cookie, number),
        SocketId::Address(number) => (SocketIs::Address, number),
        SocketId::Remnant(number) => (SocketIs::Remnant, number),
    }
}

/// The socket that an observation is of.
pub(super) fn socket_of(observation: &Observation) -> Option<SocketId> {
    match observation {
        Observation::Transition(transition) => Some(transition.socket),
        Observation::Reset(reset) => Some(reset.socket),
        Observation::Hold(hold) => Some(hold.socket),
        Observation::Timer(timer) => Some(timer.socket),
        Observation::Table(Table::Row(row)) => Some(row.socket),
        Observation::Table(Table::Absent { socket, .. }) => Some(*socket),
        Observation::Table(Table::Begin { .. } | Table::Ready { .. } | Table::End { .. })
        | Observation::Holder(_)
        | Observation::Process(_)
        | Observation::Lost(_)
        | Observation::Counters(_)
        | Observation::Tick(_) => None,
    }
}

/// Fills one row of the columns at a time.
pub(super) struct Encoder<'a> {
    pub(super) out: Out,
    pub(super) clock: &'a Clock,
    pub(super) row: usize,
}

impl Encoder<'_> {
    /// The next row but for the columns that say its place.
    pub(super) fn observation(&mut self, observation: &Observation) {
        self.out.time.set(self.row, wall(self.clock, observation.at()));
        if let Some(id) = socket_of(observation) {
            let (is, number) = socket(id);
            self.out.socket.set(self.row, number);
            self.out.socket_is.set(self.row, is);
        }
        match observation {
            Observation::Transition(transition) => self.transition(transition),
            Observation::Reset(reset) => self.reset(reset),
            Observation::Hold(hold) => self.hold(hold),
            Observation::Timer(timer) => self.timer(timer),
            Observation::Table(table) => self.table(table),
            Observation::Holder(holder) => self.holder(holder),
            Observation::Process(reading) => self.process_reading(reading),
            Observation::Lost(lost) => self.lost(lost),
            Observation::Counters(counters) => self.counters(counters),
            Observation::Tick(_) => self.kind(Kind::Tick),
        }
        self.row += 1;
    }

    fn kind(&mut self, kind: Kind) {
        self.out.kind.set(self.row, kind);
    }

    fn transition(&mut self, transition: &Transition) {
        let Transition { at: _, socket: _, address, netns, tuple, v4_mapped, from, to, .. } = transition;
        self.kind(Kind::Transition);
        self.out.address.set(self.row, *address);
        self.netns(*netns);
        self.tuple(tuple);
        self.out.v4_mapped.set(self.row, *v4_mapped);
        self.out.from.set(self.row, *from);
        self.out.to.set(self.row, *to);
        if let Some(says) = &transition.socket_says {
            self.socket_says(says);
        }
        if let Some(task) = &transition.task {
            self.process(task);
        }
        self.out.kernel_thread.set(self.row, transition.kernel_thread);
    }

    fn socket_says(&mut self, says: &SocketSays) {
        let (out, row) = (&mut self.out, self.row);
        let SocketSays { owned, done, dead, full, error, inode, idle, traffic } = *says;
        out.owned.set(row, owned);
        out.done.set(row, done);
        out.dead.set(row, dead);
        out.tw_full.set(row, full);
        out.error.set(row, error);
        set(inode, |inode| out.inode.set(row, inode));
        set(idle, |idle| out.idle_ns.set(row, idle));
        set(traffic, |traffic| self.traffic(traffic));
    }

    fn traffic(&mut self, Traffic { bytes_sent, bytes_received, retransmits, srtt }: Traffic) {
        let (out, row) = (&mut self.out, self.row);
        out.bytes_sent.set(row, bytes_sent);
        out.bytes_received.set(row, bytes_received);
        out.retransmits.set(row, retransmits);
        set(srtt, |srtt| out.srtt_ns.set(row, srtt));
    }

    fn reset(&mut self, Reset { at: _, socket: _, address, netns, sent, state, reason }: &Reset) {
        self.kind(if *sent { Kind::ResetSent } else { Kind::ResetReceived });
        self.out.address.set(self.row, *address);
        self.netns(*netns);
        set(*state, |state| self.out.state.set(self.row, state));
        set(*reason, |reason| self.out.reason.set(self.row, &Reason(reason)));
    }

    fn hold(&mut self, Hold { at: _, socket: _, accepted, process }: &Hold) {
        self.kind(if *accepted { Kind::Accepted } else { Kind::Destroyed });
        set(process.as_ref(), |process| self.process(process));
    }

    fn timer(&mut self, Timer { at: _, socket: _, netns, tuple, substate, due, event }: &Timer) {
        self.netns(*netns);
        self.tuple(tuple);
        self.out.state.set(self.row, *substate);
        self.out.due.set(self.row, wall(self.clock, *due));
        match event {
            TimerEvent::Start => self.kind(Kind::TimerStart),
            TimerEvent::Expire => self.kind(Kind::TimerExpire),
            TimerEvent::Cancel(cause, by) => {
                self.kind(Kind::TimerCancel);
                set(*cause, |cause| self.out.cause.set(self.row, cause));
                set(by.as_ref(), |by| self.process(by));
            }
        }
    }

    fn table(&mut self, table: &Table) {
        match table {
            Table::Begin { at: _, netns } => {
                self.kind(Kind::TableBegin);
                self.netns(Some(*netns));
            }
            Table::Row(row) => self.table_row(row),
            Table::Absent { .. } => self.kind(Kind::TableAbsent),
            Table::Ready { .. } => self.kind(Kind::TableReady),
            Table::End { at: _, netns, whole } => {
                self.kind(Kind::TableEnd);
                self.netns(Some(*netns));
                self.out.whole.set(self.row, *whole);
            }
        }
    }

    fn table_row(&mut self, row: &Row) {
        let Row { at: _, socket: _, netns, tuple, v4_mapped, state, time_wait_left, inode, last_ack, traffic } = *row;
        self.kind(Kind::TableRow);
        self.netns(Some(netns));
        self.tuple(&tuple);
        self.out.v4_mapped.set(self.row, v4_mapped);
        self.out.state.set(self.row, state);
        set(time_wait_left, |left| self.out.time_wait_left_ns.set(self.row, left));
        set(inode, |inode| self.out.inode.set(self.row, inode));
        set(last_ack, |ago| self.out.last_ack_ns.set(self.row, ago));
        set(traffic, |traffic| self.traffic(traffic));
    }

    fn holder(&mut self, Holder { at: _, inode, processes }: &Holder) {
        self.kind(Kind::Holder);
        self.out.inode.set(self.row, *inode);
        let clock = self.clock;
        let holding = |process: &Process| Holding {
            pid: process.pid,
            uid: process.uid,
            started: process.started.map(|started| wall_of_start(clock, started)),
            comm: process.comm,
        };
        self.out.holders.set(self.row, processes.iter().map(holding).collect());
    }

    fn process_reading(&mut self, reading: &ProcessReading) {
        let ProcessReading { at: _, process, cgroup, container, descriptors, descriptor_limit } = reading;
        self.kind(Kind::Process);
        self.process(process);
        set(cgroup.as_ref(), |cgroup| self.out.cgroup.set(self.row, cgroup));
        if let Some(container) = container {
            self.out.runtime.set(self.row, container.runtime);
            self.out.container.set(self.row, &container.id);
            set(container.pod.as_ref(), |pod| self.out.pod.set(self.row, pod));
        }
        set(*descriptors, |number| self.out.descriptors.set(self.row, number));
        set(*descriptor_limit, |limit| self.out.descriptor_limit.set(self.row, limit));
    }

    fn lost(&mut self, Lost { at: _, count, place }: &Lost) {
        self.kind(Kind::Lost);
        self.out.count.set(self.row, *count);
        self.out.place.set(self.row, *place);
    }

    fn counters(&mut self, Counters { before, after: _, netns, time_waits_at_birth, values }: &Counters) {
        self.kind(Kind::Counters);
        self.out.begun.set(self.row, wall(self.clock, *before));
        self.netns(Some(*netns));
        self.out.time_waits_at_birth.set(self.row, *time_waits_at_birth);
        self.out.counters.set(self.row, values.iter().map(|(name, value)| (name.clone(), *value)).collect());
    }

    fn netns(&mut self, netns: Option<u32>) {
        set(netns, |netns| self.out.netns.set(self.row, netns));
    }

    fn tuple(&mut self, FourTuple { local, remote }: &FourTuple) {
        self.out.local_ip.set(self.row, &local.ip);
        self.out.local_port.set(self.row, local.port);
        self.out.remote_ip.set(self.row, &remote.ip);
        self.out.remote_port.set(self.row, remote.port);
    }

    fn process(&mut self, Process { pid, uid, started, comm }: &Process) {
        self.out.pid.set(self.row, *pid);
        self.out.uid.set(self.row, *uid);
        set(*started, |started| self.out.started.set(self.row, wall_of_start(self.clock, started)));
        self.out.comm.set(self.row, comm);
    }
}

/// Unknown stays null.
fn set<T>(value: Option<T>, known: impl FnOnce(T)) {
    if let Some(value) = value {
        known(value);
    }
}
