//! Lanes in a file of memory, with a writer as the programs in the kernel are.

use super::{CHUNK, Lane, Lanes, Reading};
use crate::model::Ktime;
use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::{
    mem::offset_of,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use twtrace_common::{Head, Hold, Reset, Timer, Transition, flag, kind};

const COUNT: usize = 4;
/// Kinds whose records are of four lengths.
const KINDS: [(u8, usize); 4] = [
    (kind::RESET_SENT, size_of::<Reset>()),
    (kind::TRANSITION, size_of::<Transition>()),
    (kind::ACCEPTED, size_of::<Hold>()),
    (kind::TIMER_EXPIRE, size_of::<Timer>()),
];

fn memory(name: &str, length: u64) -> OwnedFd {
    let file = memfd_create(name, MemfdFlags::CLOEXEC).expect("memory");
    ftruncate(&file, length).expect("room");
    file
}

/// Both sides of the same memory.
struct Both {
    reader: Lanes,
    /// The mapping that the writer uses is the reader's own kind of thing, with nothing of the reader's in it.
    writer: Lanes,
    bytes: u64,
    heads: [u64; COUNT],
    lost: u64,
}

impl Both {
    fn new(chunks: u64) -> Self {
        let bytes = chunks * CHUNK;
        let lanes = memory("lanes", (COUNT * size_of::<Lane>()) as u64);
        let records = memory("records", COUNT as u64 * bytes);
        let map = || Lanes::map(&lanes, &records, COUNT, bytes).expect("mapped");
        Self { reader: map(), writer: map(), bytes, heads: [0; COUNT], lost: 0 }
    }

    fn word(&self, lane: usize, field: usize) -> &AtomicU64 {
        self.writer.word(lane, field)
    }

    fn store(&self, lane: usize, position: u64, bytes: &[u8]) {
        for (index, word) in bytes.chunks_exact(8).enumerate() {
            let place = lane as u64 * self.bytes + position % self.bytes + index as u64 * 8;
            let word = u64::from_ne_bytes(word.try_into().expect("eight bytes"));
            self.writer.records.word(place as usize).store(word, Relaxed);
        }
    }

    /// As `room()` and `publish()` of the eBPF side.
    fn write(&mut self, lane: usize, record: &[u8]) -> bool {
        let mut head = self.heads[lane];
        let used = head % CHUNK;
        if used == 0 || used + record.len() as u64 > CHUNK {
            let next = head.next_multiple_of(CHUNK);
            let tail = self.word(lane, offset_of!(Lane, tail)).load(Relaxed);
            if next + CHUNK - tail > self.bytes {
                self.lost += 1;
                self.word(lane, offset_of!(Lane, lost)).fetch_add(1, Relaxed);
                return false;
            }
            if used != 0 {
                self.store(lane, head, &[0; 8]);
            }
            head = next;
        }
        self.store(lane, head, record);
        self.publish(lane, head + record.len() as u64);
        true
    }

    fn publish(&mut self, lane: usize, head: u64) {
        self.heads[lane] = head;
        self.word(lane, offset_of!(Lane, head)).store(head, Relaxed);
    }

    fn read(&mut self, until: u64, room: usize) -> (Vec<u8>, Reading) {
        let _ = self.reader.look();
        let mut out = BytesMut::with_capacity(room);
        let reading = self.reader.read(Ktime(until), &mut out);
        let out = out.freeze();
        self.reader.keep(&out);
        (out.to_vec(), reading)
    }
}

fn record((kind, length): (u8, usize), ktime: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[..8].copy_from_slice(&ktime.to_ne_bytes());
    bytes[offset_of!(Head, kind)] = kind;
    bytes
}

/// What happens, in the order of time: a record in a lane, or a reading up to some time ago with little room.
#[derive(Clone, Debug)]
enum Step {
    Write { lane: usize, kind: usize },
    Read { ago: u64, room: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (0..COUNT, 0..KINDS.len()).prop_map(|(lane, kind)| Step::Write { lane, kind }),
        1 => (0u64..20, 300usize..9000).prop_map(|(ago, room)| Step::Read { ago, room }),
    ]
}

proptest! {
    /// Every record that found room comes, once, in the order of time, and every other is counted.
    #[test]
    fn one_stream(steps in vec(step(), 0..1000), chunks in prop::sample::select(vec![1u64, 2, 4])) {
        let mut both = Both::new(chunks);
        let (mut written, mut given) = (Vec::new(), Vec::new());
        for (time, step) in steps.iter().enumerate() {
            let now = time as u64 + 1;
            match *step {
                Step::Write { lane, kind } => {
                    let record = record(KINDS[kind], now);
                    if both.write(lane, &record) {
                        written.extend(record);
                    }
                }
                Step::Read { ago, room } => {
                    let (bytes, reading) = both.read(now.saturating_sub(ago), room);
                    prop_assert!(bytes.len() <= room.next_power_of_two());
                    prop_assert_eq!(reading.garbage, 0);
                    given.extend(bytes);
                }
            }
        }
        let rest = both.read(u64::MAX, 1 << 20);
        prop_assert_eq!(rest.1, Reading::default());
        given.extend(rest.0);
        prop_assert_eq!(given, written);
        prop_assert_eq!(both.reader.lost(), both.lost);
        prop_assert_eq!(both.reader.waiting(), 0);
    }

    /// Whatever is in the memory, a reading ends, gives records alone, and leaves nothing behind.
    #[test]
    fn any_bytes(bytes in vec(0u8..10, 0..9000), heads in prop::array::uniform4(0u64..=2 * CHUNK)) {
        let mut both = Both::new(2);
        for (lane, head) in heads.into_iter().enumerate() {
            both.store(lane, 0, &bytes[..bytes.len().min(2 * CHUNK as usize)]);
            both.publish(lane, head & !7);
        }
        let (out, reading) = both.read(u64::MAX, 1 << 20);
        prop_assert!(reading.garbage <= 2 * COUNT as u64);
        prop_assert_eq!(both.reader.waiting(), 0);
        let length = |records: &[u8]| super::record_length(records).expect("a record");
        let mut rest = &out[..];
        while !rest.is_empty() {
            rest = &rest[length(rest)..];
        }
        prop_assert!(out.len() as u64 <= heads.iter().sum());
    }
}

/// What is younger than the moment asked for waits, in every lane.
#[test]
fn held_back() {
    let mut both = Both::new(2);
    for (lane, ktime) in [(0, 10), (1, 20), (2, 30), (0, 40)] {
        assert!(both.write(lane, &record(KINDS[0], ktime)));
    }
    let times = |bytes: &[u8]| -> Vec<u64> {
        let first = |record: &[u8]| u64::from_ne_bytes(record[..8].try_into().expect("eight bytes"));
        bytes.chunks(KINDS[0].1).map(first).collect()
    };
    assert_eq!(times(&both.read(20, 4096).0), [10, 20]);
    assert_eq!(times(&both.read(29, 4096).0), [0u64; 0]);
    assert_eq!(times(&both.read(50, 4096).0), [30, 40]);
}

/// With no room left the reading says so, and the next one goes on.
#[test]
fn little_room() {
    let mut both = Both::new(2);
    let records: Vec<_> = (1..=3).map(|ktime| record(KINDS[1], ktime)).collect();
    for record in &records {
        assert!(both.write(0, record));
    }
    let (first, reading) = both.read(9, 2 * KINDS[1].1);
    assert!(reading.more);
    let (second, reading) = both.read(9, 4096);
    assert!(!reading.more);
    assert_eq!([first, second].concat(), records.concat());
}

/// A writer in the middle of a record may write one from before any moment: nothing can be said until it has.
#[test]
fn in_the_middle() {
    let mut both = Both::new(2);
    assert!(both.reader.look().is_some());
    both.word(1, offset_of!(Lane, busy)).store(1, Relaxed);
    assert_eq!(both.reader.look(), None);
    both.word(1, offset_of!(Lane, busy)).store(0, Relaxed);
    assert!(both.reader.look().is_some());
}

/// What makes no sense is one loss, with what follows it in its chunk; the next chunk is read.
#[test]
fn garbage_in_between() {
    let mut both = Both::new(2);
    let (first, last) = (record(KINDS[0], 1), record(KINDS[0], 3));
    assert!(both.write(0, &first));
    both.store(0, both.heads[0], &[0xff; 64]);
    both.publish(0, both.heads[0] + 64);
    assert!(both.write(0, &record(KINDS[0], 2)));
    both.publish(0, CHUNK);
    assert!(both.write(0, &last));
    let (out, reading) = both.read(9, 1 << 16);
    assert_eq!(reading, Reading { garbage: 1, more: false });
    assert_eq!(out, [first, last].concat());
}

/// What both copies of the program saw comes once; what the second saw alone stays.
#[test]
fn seen_twice() {
    for untils in [&[9][..], &[1, 2, 9], &[1, 2, 3, 4]] {
        seen_twice_in(untils);
    }
}

fn seen_twice_in(untils: &[u64]) {
    let mut both = Both::new(2);
    let change = |ktime, address: u64, (from, to), flags| {
        let mut bytes = record(KINDS[1], ktime);
        bytes[offset_of!(Head, address)..][..8].copy_from_slice(&address.to_ne_bytes());
        (bytes[offset_of!(Head, old_state)], bytes[offset_of!(Head, new_state)]) = (from, to);
        bytes[offset_of!(Head, flags)] = flags;
        bytes
    };
    let first = change(1, 7, (1, 4), 0);
    let nested = change(2, 8, (1, 8), flag::COPY);
    let again = change(3, 7, (1, 4), flag::COPY);
    let next = change(4, 7, (4, 7), flag::COPY);
    for (lane, record) in [(0, &first), (1, &nested), (1, &again), (1, &next)] {
        assert!(both.write(lane, record));
    }
    both.word(0, offset_of!(Lane, copied)).store(3, Relaxed);
    // In one batch, or with batches in between: a guest may stand still in an interrupt.
    let mut out = Vec::new();
    for until in untils {
        let (bytes, reading) = both.read(*until, 4096);
        assert_eq!(reading, Reading::default());
        out.extend(bytes);
    }
    assert_eq!(out, [first, nested, next].concat(), "{untils:?}");
    assert_eq!(both.reader.copied(), 2);
}
