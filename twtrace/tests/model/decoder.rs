//! Bytes from the ring, whatever they are: each record is an observation or a loss, and the batch ends.

use proptest::{collection::vec, prelude::*, sample::select};
use std::io::Cursor;
use twtrace::{
    model::{Ktime, Observation, SocketId, TcpState},
    probe::{
        decode::{Decoder, record_length},
        support::Support,
        symbols::Symbols,
    },
};
use twtrace_common::{Addresses, Head, Hold, Idle, Task, Traffic, Transition, kind, part};
use zerocopy::{FromZeros, IntoBytes};

const KINDS: [(u8, usize); 8] = [
    (kind::TRANSITION, size_of::<Transition>()),
    (kind::RESET_RECEIVED, size_of::<twtrace_common::Reset>()),
    (kind::RESET_SENT, size_of::<twtrace_common::Reset>()),
    (kind::ACCEPTED, size_of::<Hold>()),
    (kind::DESTROYED, size_of::<Hold>()),
    (kind::TIMER_START, size_of::<twtrace_common::Timer>()),
    (kind::TIMER_EXPIRE, size_of::<twtrace_common::Timer>()),
    (kind::TIMER_CANCEL, size_of::<twtrace_common::Cancel>()),
];
const PARTS: [(u8, usize); 4] = [
    (part::V6, size_of::<Addresses>()),
    (part::TASK, size_of::<Task>()),
    (part::IDLE, size_of::<Idle>()),
    (part::TRAFFIC, size_of::<Traffic>()),
];
const KALLSYMS: &str = "1000 T tw_timer_handler\n2000 T inet_twsk_deschedule_put\n3000 T tcp_v4_rcv\n4000 T end\n";

fn decoder() -> Decoder {
    Decoder::new(&Support {
        kernel: "6.18.0".to_owned(),
        layout: Err(String::new()),
        tracepoints: Vec::new(),
        reset_reasons: vec![(2, "NOT_SPECIFIED".to_owned())],
        symbols: Symbols::parse(Cursor::new(KALLSYMS)),
        tracefs: Err(String::new()),
        jiffy: 4_000_000,
        lockdown: None,
        sock_diag: Ok(()),
    })
}

/// A record of a known kind, right in its length and its states, and with anything else in it.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let body = vec(any::<u8>(), 208);
    let parts = 0..=part::ALL;
    (select(KINDS.to_vec()), parts, body, 1u8..13, 1u8..13).prop_map(|((kind, length), parts, mut bytes, from, to)| {
        let mut length = length;
        if kind == kind::TRANSITION {
            bytes[std::mem::offset_of!(Transition, parts)] = parts;
            length += PARTS.iter().filter(|(bit, _)| parts & bit != 0).map(|(_, length)| length).sum::<usize>();
        }
        bytes.truncate(length);
        bytes[std::mem::offset_of!(Head, kind)] = kind;
        bytes[std::mem::offset_of!(Head, old_state)] = from;
        bytes[std::mem::offset_of!(Head, new_state)] = to;
        bytes
    })
}

/// By the lengths that the records themselves give; what follows the last whole one counts as one.
fn count(mut bytes: &[u8]) -> usize {
    let mut records = 0;
    while !bytes.is_empty() {
        records += 1;
        let length = record_length(bytes).unwrap_or(usize::MAX);
        bytes = bytes.get(length..).unwrap_or(&[]);
    }
    records
}

proptest! {
    #[test]
    fn records_are_observations(records in vec(record(), 0..20)) {
        let observed: Vec<_> = decoder().batch(&records.concat()).collect();
        prop_assert_eq!(observed.len(), records.len());
        for (observation, record) in observed.iter().zip(&records) {
            let Some(observation) = observation else { panic!("{record:?} is no observation") };
            prop_assert_eq!(observation.at(), Ktime(u64::from_ne_bytes(record[..8].try_into().unwrap())));
        }
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(decoder().batch(&bytes).count(), count(&bytes));
    }

    /// Small numbers, so that many bytes make a kind and a state.
    #[test]
    fn small_bytes(bytes in vec(0u8..10, 0..2000)) {
        prop_assert_eq!(decoder().batch(&bytes).count(), count(&bytes));
    }

    #[test]
    fn flipped_and_cut(
        records in vec(record(), 1..10), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = records.concat();
        for (place, flip) in flips {
            *place.get_mut(&mut bytes) ^= flip;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        prop_assert_eq!(decoder().batch(&bytes).count(), count(&bytes));
    }

    /// A record cut short is a loss, and those before it are whole.
    #[test]
    fn cut(records in vec(record(), 1..10), missing in 1usize..40) {
        let bytes = records.concat();
        let observed: Vec<_> = decoder().batch(&bytes[..bytes.len() - missing]).collect();
        prop_assert_eq!(observed.len(), records.len());
        prop_assert!(observed[..records.len() - 1].iter().all(Option::is_some));
        prop_assert!(observed[records.len() - 1].is_none());
    }
}

/// Where in memory they lie does not matter.
#[test]
fn at_an_odd_address() {
    let mut bytes = vec![0; 1 + size_of::<twtrace_common::Reset>()];
    bytes[1 + std::mem::offset_of!(Head, kind)] = kind::RESET_SENT;
    assert!(decoder().batch(&bytes[1..]).all(|observation| observation.is_some()));
}

/// What makes no sense in a record of the right length is that record's loss alone.
#[test]
fn a_state_that_no_kernel_has() {
    let mut bytes = vec![0; size_of::<Transition>()];
    bytes[std::mem::offset_of!(Head, kind)] = kind::TRANSITION;
    bytes[std::mem::offset_of!(Head, old_state)] = 13;
    bytes[std::mem::offset_of!(Head, new_state)] = TcpState::Close as u8;
    let wrong = bytes.clone();
    bytes[std::mem::offset_of!(Head, old_state)] = TcpState::LastAck as u8;
    let observed: Vec<_> = decoder().batch(&[wrong, bytes].concat()).collect();
    let [None, Some(Observation::Transition(transition))] = observed.as_slice() else { panic!("{observed:?}") };
    assert_eq!((transition.socket, transition.from, transition.task), (SocketId::Address(0), TcpState::LastAck, None));
}

/// Before 5.11 nothing but its name says what a kernel thread is; where more can be read, a name says nothing.
#[test]
fn a_kernel_thread_by_its_name() {
    let accepted_by = |name: &[u8], start_time: u64| {
        let mut comm = [0; 16];
        comm[..name.len()].copy_from_slice(name);
        let mut record = Hold::new_zeroed();
        record.head.kind = kind::ACCEPTED;
        record.task = Task { start_time, pid: 516, uid: 0, comm };
        let observed: Vec<_> = decoder().batch(record.as_bytes()).collect();
        let [Some(Observation::Hold(hold))] = &observed[..] else { panic!("{observed:?}") };
        hold.process.map(|process| process.pid)
    };
    assert_eq!(accepted_by(b"kworker/0:4", 0), None);
    assert_eq!(accepted_by(b"ksoftirqd/1", 0), None);
    assert_eq!(accepted_by(b"nginx", 0), Some(516));
    assert_eq!(accepted_by(b"kworker/0:4", 7), Some(516));
}
