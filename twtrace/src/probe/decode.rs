//! From the ring's bytes to observations.
//!
//! Whatever the bytes are, this cannot panic: what makes no sense is counted as lost.

use super::{support::Support, symbols::Symbols};
use crate::model::{
    Comm, FourTuple, Ktime, Observation, Process, SocketId, TcpState, Transition,
    observation::{Hold, Reset, SocketSays, Timer, TimerEvent, Traffic},
};
use twtrace_common::{self as wire, flag, kind, part};
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

    /// The observations of a batch; `None` for what is no record.
    pub fn batch<'a>(&'a self, batch: &'a [u8]) -> impl Iterator<Item = Option<Observation>> + 'a {
        records(batch).map(|record| self.record(record?))
    }

    fn record(&self, record: &[u8]) -> Option<Observation> {
        let (head, _) = wire::Head::read_from_prefix(record).ok()?;
        Some(match head.kind {
            kind::TRANSITION => Observation::Transition(transition(record, self.jiffy)?),
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

/// Splits a batch into records. What is none ends it with `None`, since nothing says where the next one begins.
pub fn records(mut batch: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        if batch.is_empty() {
            return None;
        }
        let length = record_length(batch).filter(|length| *length <= batch.len());
        let (record, rest) = batch.split_at(length.unwrap_or(batch.len()));
        batch = rest;
        Some(length.is_some().then_some(record))
    })
}

/// The length of the record at the front; `None` where it is not one.
pub fn record_length(records: &[u8]) -> Option<usize> {
    let (head, _) = wire::Head::read_from_prefix(records).ok()?;
    Some(match head.kind {
        kind::TRANSITION => {
            let (record, _) = wire::Transition::read_from_prefix(records).ok()?;
            if record.parts & !part::ALL != 0 {
                return None;
            }
            let length = |bit, length| if record.parts & bit != 0 { length } else { 0 };
            size_of::<wire::Transition>()
                + length(part::V6, size_of::<wire::Addresses>())
                + length(part::TASK, size_of::<wire::Task>())
                + length(part::IDLE, size_of::<wire::Idle>())
                + length(part::TRAFFIC, size_of::<wire::Traffic>())
        }
        kind::RESET_RECEIVED | kind::RESET_SENT => size_of::<wire::Reset>(),
        kind::ACCEPTED | kind::DESTROYED => size_of::<wire::Hold>(),
        kind::TIMER_START | kind::TIMER_EXPIRE => size_of::<wire::Timer>(),
        kind::TIMER_CANCEL => size_of::<wire::Cancel>(),
        _ => return None,
    })
}

fn transition(record: &[u8], jiffy: u64) -> Option<Transition> {
    let (record, rest) = wire::Transition::read_from_prefix(record).ok()?;
    let wire::Transition { head, local_port, remote_port, error, parts, local, remote, inode, .. } = record;
    let (addresses, rest) = optional::<wire::Addresses>(parts & part::V6 != 0, rest)?;
    let (task, rest) = optional::<wire::Task>(parts & part::TASK != 0, rest)?;
    let (idle, rest) = optional::<wire::Idle>(parts & part::IDLE != 0, rest)?;
    let (traffic, _) = optional::<wire::Traffic>(parts & part::TRAFFIC != 0, rest)?;
    let (ends, v4_mapped) = match addresses {
        Some(wire::Addresses { local, remote }) => {
            FourTuple::from_kernel(true, (local, local_port), (remote, remote_port))
        }
        None => FourTuple::from_kernel(false, (widen(local), local_port), (widen(remote), remote_port)),
    };
    let has = |bit: u8| head.flags & bit != 0;
    let says = SocketSays {
        owned: has(flag::OWNED),
        done: has(flag::DONE),
        dead: has(flag::DEAD),
        full: has(flag::FULL),
        error,
        inode: (inode != 0).then_some(inode),
        idle: idle.map(|idle| idle.jiffies.saturating_mul(jiffy)),
        traffic: traffic.map(|traffic| Traffic {
            bytes_sent: traffic.bytes_sent,
            // With the FIN, which is no data, once that is in (tcp_rcv_nxt_update(); tcp_fin() then sets SOCK_DONE).
            bytes_received: traffic.bytes_received.saturating_sub(u64::from(has(flag::DONE))),
            retransmits: traffic.retransmits,
            // In eighths of a microsecond.
            srtt: (traffic.smoothed_rtt != 0).then(|| u64::from(traffic.smoothed_rtt) * 125),
        }),
    };
    Some(Transition {
        at: Ktime(head.ktime),
        socket: socket(&head),
        address: head.address,
        netns: netns(&head),
        tuple: ends,
        v4_mapped,
        from: TcpState::from_number(head.old_state)?,
        to: TcpState::from_number(head.new_state)?,
        socket_says: (!has(flag::CLASSIC)).then_some(says),
        task: task.as_ref().and_then(process),
        kernel_thread: has(flag::KTHREAD),
    })
}

/// The `T` at the front, where there is to be one, and what follows it.
fn optional<T: FromBytes>(there: bool, bytes: &[u8]) -> Option<(Option<T>, &[u8])> {
    if !there {
        return Some((None, bytes));
    }
    let (value, rest) = T::read_from_prefix(bytes).ok()?;
    Some((Some(value), rest))
}

/// As wide as an IPv6 address, of which the first four bytes count.
fn widen([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
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

/// `None` for nobody, for the idle task, and for a kernel thread that only its name gives away.
fn process(task: &wire::Task) -> Option<Process> {
    (task.pid != 0 && !is_named_as_kernel_thread(task)).then(|| Process {
        pid: task.pid,
        uid: task.uid,
        started: (task.start_time != 0).then_some(task.start_time),
        comm: Comm::new(&task.comm),
    })
}

/// Before 5.11 a task has no type, so neither its start nor its flags can be read. A process that goes by the name of such
/// a thread is then nobody, too: better than that a kernel thread were somebody.
fn is_named_as_kernel_thread(task: &wire::Task) -> bool {
    let names: [&[u8]; 2] = [b"kworker/", b"ksoftirqd/"];
    task.start_time == 0 && names.iter().any(|name| task.comm.starts_with(name))
}
