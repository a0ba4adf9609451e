//! From columns to observations.

use super::{
    encode::{monotonic, start},
    schema::{In, Kind, SocketIs},
    text::Reason,
};
use crate::model::{
    Endpoint, FourTuple, Ktime, Observation, Process, SocketId, Transition,
    attached::Clock,
    observation::{
        Container, Counters, Hold, Holder, Lost, ProcessReading, Reset, Row, SocketSays, Table, Timer, TimerEvent,
        Traffic,
    },
};

/// The columns of a batch, and what its times mean.
pub(super) struct Decoder {
    pub(super) columns: In,
    pub(super) clock: Clock,
}

impl Decoder {
    /// When the row was observed, if it says so.
    pub(super) fn at(&self, row: usize) -> Option<Ktime> {
        self.columns.time.get(row).map(|time| monotonic(&self.clock, time))
    }

    /// `None` where the row lacks something that its kind has.
    #[inline]
    pub(super) fn observation(&self, row: usize) -> Option<Observation> {
        Some(match self.columns.kind.get(row)? {
            Kind::Transition => Observation::Transition(self.transition(row)?),
            Kind::ResetSent => Observation::Reset(self.reset(row, true)?),
            Kind::ResetReceived => Observation::Reset(self.reset(row, false)?),
            Kind::Accepted => Observation::Hold(self.hold(row, true)?),
            Kind::Destroyed => Observation::Hold(self.hold(row, false)?),
            Kind::TimerStart => Observation::Timer(self.timer(row, TimerEvent::Start)?),
            Kind::TimerExpire => Observation::Timer(self.timer(row, TimerEvent::Expire)?),
            Kind::TimerCancel => {
                let event = TimerEvent::Cancel(self.columns.cause.get(row), self.process(row));
                Observation::Timer(self.timer(row, event)?)
            }
            kind @ (Kind::TableBegin | Kind::TableRow | Kind::TableAbsent | Kind::TableReady | Kind::TableEnd) => {
                Observation::Table(self.table(row, kind)?)
            }
            Kind::Holder => Observation::Holder(self.holder(row)?),
            Kind::Process => Observation::Process(Box::new(self.process_reading(row)?)),
            Kind::Lost => Observation::Lost(Lost {
                at: self.at(row)?,
                count: self.columns.count.get(row)?,
                place: self.columns.place.get(row)?,
            }),
            Kind::Counters => Observation::Counters(self.counters(row)?),
            Kind::Tick => Observation::Tick(self.at(row)?),
        })
    }

    #[inline]
    fn transition(&self, row: usize) -> Option<Transition> {
        let columns = &self.columns;
        Some(Transition {
            at: self.at(row)?,
            socket: self.socket(row)?,
            address: columns.address.get(row)?,
            netns: columns.netns.get(row),
            tuple: self.tuple(row)?,
            v4_mapped: columns.v4_mapped.get(row)?,
            from: columns.from.get(row)?,
            to: columns.to.get(row)?,
            socket_says: self.socket_says(row),
            task: self.process(row),
            kernel_thread: columns.kernel_thread.get(row)?,
        })
    }

    #[inline]
    fn socket_says(&self, row: usize) -> Option<SocketSays> {
        let columns = &self.columns;
        Some(SocketSays {
            error: columns.error.get(row)?,
            owned: columns.owned.get(row)?,
            done: columns.done.get(row)?,
            dead: columns.dead.get(row)?,
            full: columns.tw_full.get(row)?,
            inode: columns.inode.get(row),
            idle: columns.idle_ns.get(row),
            traffic: self.traffic(row),
        })
    }

    #[inline]
    fn traffic(&self, row: usize) -> Option<Traffic> {
        Some(Traffic {
            bytes_sent: self.columns.bytes_sent.get(row)?,
            bytes_received: self.columns.bytes_received.get(row)?,
            retransmits: self.columns.retransmits.get(row)?,
            srtt: self.columns.srtt_ns.get(row),
        })
    }

    fn reset(&self, row: usize, sent: bool) -> Option<Reset> {
        Some(Reset {
            at: self.at(row)?,
            socket: self.socket(row)?,
            address: self.columns.address.get(row)?,
            netns: self.columns.netns.get(row),
            sent,
            state: self.columns.state.get(row),
            reason: self.columns.reason.get(row).map(|Reason(name)| *name),
        })
    }

    fn hold(&self, row: usize, accepted: bool) -> Option<Hold> {
        Some(Hold { at: self.at(row)?, socket: self.socket(row)?, accepted, process: self.process(row) })
    }

    fn timer(&self, row: usize, event: TimerEvent) -> Option<Timer> {
        Some(Timer {
            at: self.at(row)?,
            socket: self.socket(row)?,
            netns: self.columns.netns.get(row),
            tuple: self.tuple(row)?,
            substate: self.columns.state.get(row)?,
            due: monotonic(&self.clock, self.columns.due.get(row)?),
            event,
        })
    }

    fn table(&self, row: usize, kind: Kind) -> Option<Table> {
        let at = self.at(row)?;
        Some(match kind {
            Kind::TableBegin => Table::Begin { at, netns: self.columns.netns.get(row)? },
            Kind::TableRow => Table::Row(self.table_row(row)?),
            Kind::TableAbsent => Table::Absent { at, socket: self.socket(row)? },
            Kind::TableReady => Table::Ready { at },
            _ => Table::End { at, netns: self.columns.netns.get(row)?, whole: self.columns.whole.get(row)? },
        })
    }

    fn table_row(&self, row: usize) -> Option<Row> {
        let columns = &self.columns;
        Some(Row {
            at: self.at(row)?,
            socket: self.socket(row)?,
            netns: columns.netns.get(row)?,
            tuple: self.tuple(row)?,
            v4_mapped: columns.v4_mapped.get(row)?,
            state: columns.state.get(row)?,
            time_wait_left: columns.time_wait_left_ns.get(row),
            inode: columns.inode.get(row),
            last_ack: columns.last_ack_ns.get(row),
            traffic: self.traffic(row),
        })
    }

    fn holder(&self, row: usize) -> Option<Holder> {
        let holders = self.columns.holders.get(row)?;
        let process = |held: super::nested::Holding| Process {
            pid: held.pid,
            uid: held.uid,
            started: held.started.map(|time| start(&self.clock, time)),
            comm: held.comm,
        };
        Some(Holder {
            at: self.at(row)?,
            inode: self.columns.inode.get(row)?,
            processes: holders.into_iter().map(process).collect(),
        })
    }

    fn process_reading(&self, row: usize) -> Option<ProcessReading> {
        let columns = &self.columns;
        let container = match columns.runtime.get(row) {
            Some(runtime) => {
                Some(Container { runtime, id: columns.container.get(row)?.clone(), pod: columns.pod.get(row).cloned() })
            }
            None => None,
        };
        Some(ProcessReading {
            at: self.at(row)?,
            process: self.process(row)?,
            cgroup: columns.cgroup.get(row).cloned(),
            container,
            descriptors: columns.descriptors.get(row),
            descriptor_limit: columns.descriptor_limit.get(row),
        })
    }

    fn counters(&self, row: usize) -> Option<Counters> {
        Some(Counters {
            before: monotonic(&self.clock, self.columns.begun.get(row)?),
            after: self.at(row)?,
            netns: self.columns.netns.get(row)?,
            time_waits_at_birth: self.columns.time_waits_at_birth.get(row)?,
            values: self.columns.counters.get(row)?,
        })
    }

    #[inline]
    fn socket(&self, row: usize) -> Option<SocketId> {
        let number = self.columns.socket.get(row)?;
        Some(match self.columns.socket_is.get(row)? {
            SocketIs::Cookie => SocketId::Cookie(number),
            SocketIs::Address => SocketId::Address(number),
            SocketIs::Remnant => SocketId::Remnant(number),
        })
    }

    #[inline]
    fn tuple(&self, row: usize) -> Option<FourTuple> {
        let columns = &self.columns;
        Some(FourTuple {
            local: Endpoint { ip: *columns.local_ip.get(row)?, port: columns.local_port.get(row)? },
            remote: Endpoint { ip: *columns.remote_ip.get(row)?, port: columns.remote_port.get(row)? },
        })
    }

    #[inline]
    fn process(&self, row: usize) -> Option<Process> {
        Some(Process {
            pid: self.columns.pid.get(row)?,
            uid: self.columns.uid.get(row)?,
            started: self.columns.started.get(row).map(|time| start(&self.clock, time)),
            comm: *self.columns.comm.get(row)?,
        })
    }
}
