//! From the ring's bytes to observations.
//!
//! Whatever the bytes are, this cannot panic: what makes no sense is counted as lost.

use super::{support::Support, symbols::Symbols};
use crate::model::{
    Comm, FourTuple, Ktime, Observation, Process, SocketId, TcpState, Transition,
    observation::{Hold, Reset, SocketSays, Timer, TimerEvent},
};
use twtrace_common::{self as wire, flag, kind};
use zerocopy::FromBytes;

const AF_INET6: u16 = 10;

/// What a record means on this kernel.
#[derive(Clone, Debug)]
pub struct Decoder {
    jiffy: u64,
    symbols: Symbols,
    /// By number. Leaked once a run, so that observations stay plain values.
    reasons: Vec<(u32, &'static str)>,
}

impl Decoder {
    /// For the kernel with this support.
    pub fn new(support: &Support) -> Self {
        let reasons = support.reset_reasons.iter();
        Self {
            jiffy: support.jiffy,
            symbols: support.symbols.clone(),
            reasons: reasons.map(|(number, name)| (*number, &*name.clone().leak())).collect(),
        }
    }

    /// Splits a batch of records into observations; `Err` for each record that makes no sense.
    pub fn batch<'a>(&'a self, mut records: &'a [u8]) -> impl Iterator<Item = Option<Observation>> + 'a {
        std::iter::from_fn(move || {
            if records.is_empty() {
                return None;
            }
            let length = record_length(records).filter(|length| *length <= records.len());
            let Some(length) = length else {
                // Nothing says where the next one begins.
                records = &[];
                return Some(None);
            };
            let (record, rest) = records.split_at(length);
            records = rest;
            Some(self.record(record))
        })
    }

    fn record(&self, record: &[u8]) -> Option<Observation> {
        let (head, _) = wire::Head::read_from_prefix(record).ok()?;
        Some(match head.kind {
            kind::TRANSITION => Observation::Transition(transition(&FromBytes::read_from_bytes(record).ok()?, None)?),
            kind::DEED => {
                let wire::Deed { transition: change, task } = FromBytes::read_from_bytes(record).ok()?;
                Observation::Transition(transition(&change, process(&task))?)
            }
            kind::RESET_RECEIVED | kind::RESET_SENT => {
                Observation::Reset(self.reset(&FromBytes::read_from_bytes(record).ok()?))
            }
            kind::ACCEPTED | kind::DESTROYED => Observation::Hold(hold(&FromBytes::read_from_bytes(record).ok()?)),
            kind::TIMER_START => {
                let timer = FromBytes::read_from_bytes(record).ok()?;
                Observation::Timer(self.timer(&timer, TimerEvent::Start)?)
            }
            kind::TIMER_EXPIRE => {
                let timer = FromBytes::read_from_bytes(record).ok()?;
                Observation::Timer(self.timer(&timer, TimerEvent::Expire)?)
            }
            kind::TIMER_CANCEL => {
                let wire::Cancel { timer, task, stack } = FromBytes::read_from_bytes(record).ok()?;
                let cause = self.symbols.cause(&stack);
                let by = process(&task).filter(|_| timer.head.flags & flag::KTHREAD == 0);
                Observation::Timer(self.timer(&timer, TimerEvent::Cancel(cause, by))?)
            }
            _ => return None,
        })
    }

    fn reset(&self, wire::Reset { head, reason }: &wire::Reset) -> Reset {
        let name = |(number, name): &(u32, &'static str)| (u64::from(*number) == *reason).then_some(*name);
        Reset {
            at: Ktime(head.ktime),
            socket: socket(head),
            address: head.address,
            netns: netns(head),
            sent: head.kind == kind::RESET_SENT,
            state: TcpState::from_number(head.old_state),
            reason: self.reasons.iter().find_map(name),
        }
    }

    fn timer(&self, wire::Timer { head, tuple, remaining }: &wire::Timer, event: TimerEvent) -> Option<Timer> {
        let (tuple, _) = four_tuple(tuple);
        let left = remaining.unsigned_abs().saturating_mul(self.jiffy);
        let now = Ktime(head.ktime);
        Some(Timer {
            at: now,
            socket: socket(head),
            netns: netns(head),
            tuple,
            substate: TcpState::from_number(head.old_state)?,
            due: if *remaining < 0 { now.before(left) } else { now.after(left) },
            event,
        })
    }
}

/// The length of the record at the front; `None` where it is not one.
pub fn record_length(records: &[u8]) -> Option<usize> {
    let (head, _) = wire::Head::read_from_prefix(records).ok()?;
    Some(match head.kind {
        kind::TRANSITION => size_of::<wire::Transition>(),
        kind::DEED => size_of::<wire::Deed>(),
        kind::RESET_RECEIVED | kind::RESET_SENT => size_of::<wire::Reset>(),
        kind::ACCEPTED | kind::DESTROYED => size_of::<wire::Hold>(),
        kind::TIMER_START | kind::TIMER_EXPIRE => size_of::<wire::Timer>(),
        kind::TIMER_CANCEL => size_of::<wire::Cancel>(),
        _ => return None,
    })
}

fn transition(record: &wire::Transition, task: Option<Process>) -> Option<Transition> {
    let wire::Transition { head, tuple, inode } = record;
    let has = |bit: u8| head.flags & bit != 0;
    let says = SocketSays {
        owned: has(flag::OWNED),
        done: has(flag::DONE),
        dead: has(flag::DEAD),
        full: has(flag::FULL),
        error: tuple.error,
        inode: (*inode != 0).then_some(*inode),
    };
    let (ends, v4_mapped) = four_tuple(tuple);
    Some(Transition {
        at: Ktime(head.ktime),
        socket: socket(head),
        address: head.address,
        netns: netns(head),
        tuple: ends,
        v4_mapped,
        from: TcpState::from_number(head.old_state)?,
        to: TcpState::from_number(head.new_state)?,
        socket_says: (!has(flag::CLASSIC)).then_some(says),
        task,
        kernel_thread: has(flag::KTHREAD),
    })
}

fn hold(wire::Hold { head, task, .. }: &wire::Hold) -> Hold {
    Hold {
        at: Ktime(head.ktime),
        socket: socket(head),
        accepted: head.kind == kind::ACCEPTED,
        process: process(task).filter(|_| head.flags & flag::KTHREAD == 0),
    }
}

fn socket(head: &wire::Head) -> SocketId {
    match head.cookie {
        0 => SocketId::Address(head.address),
        cookie => SocketId::Cookie(cookie),
    }
}

fn netns(head: &wire::Head) -> Option<u32> {
    (head.netns != 0).then_some(head.netns)
}

fn four_tuple(tuple: &wire::Tuple) -> (FourTuple, bool) {
    FourTuple::from_kernel(tuple.family == AF_INET6, (tuple.local, tuple.local_port), (tuple.remote, tuple.remote_port))
}

/// `None` for nobody, and for the idle task.
fn process(task: &wire::Task) -> Option<Process> {
    (task.pid != 0).then(|| Process {
        pid: task.pid,
        uid: task.uid,
        started: (task.start_time != 0).then_some(task.start_time),
        comm: Comm::new(&task.comm),
    })
}
