//! The reader's side of the lanes: what all CPUs wrote, as one stream in the order of time.
//!
//! A lane has one writer, which stores a record and then the lane's head, and one reader, which stores the tail. The
//! records of one lane are in order; those of all are merged up to a moment that every writer is known to be past.

use super::{
    clock,
    decode::{record_length, records},
};
use crate::model::Ktime;
use bytes::{Bytes, BytesMut};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    ffi::c_void,
    io,
    mem::offset_of,
    os::fd::AsFd,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use twtrace_common::{CHUNK, Head, Lane, flag, kind};
use zerocopy::FromBytes;

/// How long a store may take until another CPU sees it: a store buffer is empty within nanoseconds.
pub const SETTLED: Duration = Duration::from_micros(100);
/// How often to look again at a writer in the middle of a record, which is there for some 100 ns.
const LOOKS: u32 = 1000;

/// How much of what was read is kept to be looked at again, with the batch in which it ends.
const KEPT: usize = 64 * 1024;

/// The lanes of all CPUs, mapped from the kernel's memory.
pub struct Lanes {
    lanes: Region,
    records: Region,
    lane_bytes: u64,
    /// For each lane, all before this position has been read.
    tails: Vec<u64>,
    /// And all before this one can be.
    heads: Vec<u64>,
    /// Records left out because they say again what another one says.
    repeated: u64,
    /// What was read last, the newest behind.
    recent: VecDeque<Bytes>,
}

/// What one reading came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Things that are no records.
    pub garbage: u64,
    /// There was no room for more.
    pub more: bool,
}

impl Lanes {
    /// Maps `count` lanes of `lane_bytes` each, and what they carry.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses it.
    pub fn map(lanes: impl AsFd, records: impl AsFd, count: usize, lane_bytes: u64) -> io::Result<Self> {
        Ok(Self {
            lanes: Region::map(lanes, count * size_of::<Lane>())?,
            records: Region::map(records, count * lane_bytes as usize)?,
            lane_bytes,
            tails: vec![0; count],
            heads: vec![0; count],
            repeated: 0,
            recent: VecDeque::new(),
        })
    }

    /// Records that found no room so far.
    pub fn lost(&self) -> u64 {
        self.sum(offset_of!(Lane, lost))
    }

    /// State changes that the first copy of the program did not see and the second did.
    pub fn copied(&self) -> u64 {
        self.sum(offset_of!(Lane, copied)).saturating_sub(self.repeated)
    }

    fn sum(&self, field: usize) -> u64 {
        (0..self.tails.len()).map(|lane| self.word(lane, field).load(Ordering::Relaxed)).sum()
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> u64 {
        self.heads.iter().zip(&self.tails).map(|(head, tail)| head.wrapping_sub(*tail)).sum()
    }

    /// Looks how far the writers are, and says up to which moment nothing is missing. `None` where a writer is held
    /// up in the middle of a record, by an interrupt or by a hypervisor.
    ///
    /// A writer shows itself before it takes the time. So one that is not to be seen a while after a moment has
    /// written all that it will ever write from before it.
    pub fn look(&mut self) -> Option<Ktime> {
        let until = clock::now().before(SETTLED.as_nanos() as u64);
        let settled = (0..self.tails.len()).all(|lane| self.is_past(lane));
        for lane in 0..self.tails.len() {
            self.heads[lane] = self.word(lane, offset_of!(Lane, head)).load(Ordering::Acquire);
        }
        if !cfg!(target_arch = "x86_64") {
            // There a head may be seen before the record. This lasts until each CPU has left what it was at.
            let _ = rustix::thread::membarrier(rustix::thread::MembarrierCommand::Global);
        }
        settled.then_some(until)
    }

    /// Whoever was writing to the lane a moment ago has finished.
    fn is_past(&self, lane: usize) -> bool {
        let state = || {
            let load = |field| self.word(lane, field).load(Ordering::Acquire);
            (load(offset_of!(Lane, busy)), load(offset_of!(Lane, head)), load(offset_of!(Lane, lost)))
        };
        let first = state();
        let is_new = |now: (u64, u64, u64)| now.0 == 0 || (now.1, now.2) != (first.1, first.2);
        is_new(first) || (0..LOOKS).any(|_| is_new(state()))
    }

    /// Moves the records up to `until`, as many as there is room for, to `out`.
    pub fn read(&mut self, until: Ktime, out: &mut BytesMut) -> Reading {
        let mut reading = Reading::default();
        let recent = std::mem::take(&mut self.recent);
        let mut next = BinaryHeap::new();
        for lane in 0..self.tails.len() {
            next.extend(self.next(lane, &mut reading.garbage).map(|(ktime, _)| Reverse((ktime, lane))));
        }
        while let Some(Reverse((first, lane))) = next.pop() {
            if first > until.0 || reading.more {
                break;
            }
            // As far as no other lane comes first.
            let limit = next.peek().map_or(until.0, |Reverse((other, _))| until.0.min(*other));
            while let Some((ktime, record)) = self.next(lane, &mut reading.garbage) {
                if ktime > limit {
                    next.push(Reverse((ktime, lane)));
                    break;
                }
                let length = record.len();
                if length > out.capacity() - out.len() {
                    reading.more = true;
                    break;
                }
                let repeats = is_repetition(record, out, &recent);
                if !repeats {
                    out.extend_from_slice(record);
                }
                self.repeated += u64::from(repeats);
                self.tails[lane] += length as u64;
            }
        }
        for (lane, tail) in self.tails.iter().enumerate() {
            self.word(lane, offset_of!(Lane, tail)).store(*tail, Ordering::Release);
        }
        self.recent = recent;
        reading
    }

    /// Keeps what was read, until there is more of what came later.
    pub fn keep(&mut self, batch: &Bytes) {
        if !batch.is_empty() {
            self.recent.push_back(batch.clone());
        }
        let mut kept: usize = self.recent.iter().map(Bytes::len).sum();
        while let Some(oldest) = self.recent.front().map(Bytes::len).filter(|oldest| kept - oldest >= KEPT) {
            self.recent.pop_front();
            kept -= oldest;
        }
    }

    /// The next record of a lane and its time, after what is none has been skipped and counted.
    fn next(&mut self, lane: usize, garbage: &mut u64) -> Option<(u64, &[u8])> {
        while self.tails[lane] < self.heads[lane] {
            let tail = self.tails[lane];
            let left = (CHUNK - tail % CHUNK).min(self.heads[lane] - tail);
            let bytes = self.records.bytes(lane as u64 * self.lane_bytes + tail % self.lane_bytes, left);
            let ktime = bytes.first_chunk().map_or(0, |first| u64::from_ne_bytes(*first));
            let length = record_length(bytes).filter(|length| *length <= bytes.len());
            if let (1.., Some(length)) = (ktime, length) {
                return Some((ktime, &bytes[..length]));
            }
            *garbage += u64::from(ktime != 0);
            self.tails[lane] = tail + left;
        }
        None
    }

    fn word(&self, lane: usize, field: usize) -> &AtomicU64 {
        self.lanes.word(lane * size_of::<Lane>() + field)
    }
}

/// Whether the second copy of the program says again what the first has said: the last that is known of that socket.
///
/// A socket does not make the same change twice in a row. The first may be some batches before: an interrupt between the
/// two copies takes as long as a hypervisor lets it.
fn is_repetition(record: &[u8], before: &[u8], recent: &VecDeque<Bytes>) -> bool {
    let change = |record: &[u8]| {
        let (head, _) = Head::read_from_prefix(record).ok()?;
        (head.kind == kind::TRANSITION).then_some(head)
    };
    let Some(copy) = change(record).filter(|head| head.flags & flag::COPY != 0) else { return false };
    let last_in =
        |batch| records(batch).flatten().filter_map(change).filter(|head| head.address == copy.address).last();
    let last = last_in(before).or_else(|| recent.iter().rev().find_map(|batch| last_in(batch)));
    last.is_some_and(|last| (last.old_state, last.new_state) == (copy.old_state, copy.new_state))
}

/// Memory shared with the kernel.
struct Region {
    start: ptr::NonNull<c_void>,
    length: usize,
}

// SAFETY: memory that stays mapped as long as the value lives, that no thread owns, and that only the kernel writes to
// but for whole words.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn map(file: impl AsFd, length: usize) -> io::Result<Self> {
        // SAFETY: at a place of the kernel's choice, so over nothing that is in use.
        let start =
            unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0) }?;
        Ok(Self { start: ptr::NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?, length })
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset + size_of::<AtomicU64>() <= self.length && offset.is_multiple_of(align_of::<AtomicU64>()));
        // SAFETY: inside the mapping, aligned, and everybody stores to it whole words at a time.
        unsafe { self.start.byte_add(offset).cast().as_ref() }
    }

    /// What the writer has left alone since it published it, and does until the tail is past it.
    fn bytes(&self, offset: u64, length: u64) -> &[u8] {
        let (offset, length) = (offset as usize, length as usize);
        assert!(offset + length <= self.length);
        // SAFETY: inside the mapping; nobody writes to it, see above.
        unsafe { std::slice::from_raw_parts(self.start.byte_add(offset).cast().as_ptr(), length) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped by this value, which nobody borrows any more.
        let _ = unsafe { munmap(self.start.as_ptr(), self.length) };
    }
}

#[cfg(test)]
mod tests;
