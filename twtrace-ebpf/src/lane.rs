//! The way of a record to user space: one lane a CPU, with no lock and nothing that two CPUs write to.
//!
//! A lane's writer is alone: programs run with preemption off, and one that runs in an interrupt of another takes
//! the CPU's second lane. So a record costs its own stores and one for the position. The BPF ring buffer's lock and
//! shared cache lines cost more than all that a record says.

use crate::{emit::count_lost, socket::layout};
use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_F_MMAPABLE, BPF_RB_FORCE_WAKEUP},
    helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::map,
    maps::{Array, RingBuf},
};
use core::{
    ptr::{addr_of, addr_of_mut},
    sync::atomic::{Ordering, compiler_fence},
};
use twtrace_common::{CHUNK, LEVELS, Lane};

/// The numbers of entries are set at load (`--ring`, and the CPUs there are).
#[map]
static LANES: Array<Lane> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
static RECORDS: Array<[u8; CHUNK as usize]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
static DOORBELL: RingBuf = RingBuf::with_byte_size(4096, 0);

/// The CPU that the program runs on, by its first lane.
pub struct Cpu {
    index: u32,
    lane: *mut Lane,
}

impl Cpu {
    #[inline(always)]
    pub fn current() -> Option<Self> {
        let index = unsafe { bpf_get_smp_processor_id() } * LEVELS;
        Some(Self { index, lane: LANES.get_ptr_mut(index)? })
    }

    /// The first copy of the program sees to this socket's change.
    #[inline(always)]
    pub fn see(&self, address: u64) {
        unsafe { addr_of_mut!((*self.lane).seen).write_volatile(address) };
    }

    /// Whether the first copy did not see to this socket's change, as far as the second can tell: an interrupt between
    /// the two may have hidden that it did. Counted where it did not.
    #[inline(always)]
    pub fn is_unseen(&self, address: u64) -> bool {
        let seen = unsafe { addr_of!((*self.lane).seen).read_volatile() } == address;
        if seen {
            // A stale mark would hide the socket's next change.
            self.see(0);
        } else {
            unsafe { (*self.lane).copied += 1 };
        }
        !seen
    }

    /// Room for a record of up to `SIZE` bytes; `None` where there is none, which is counted.
    #[inline(always)]
    pub fn room<const SIZE: u64>(self, ctx: &impl EbpfContext) -> Option<Room> {
        let Self { index, lane } = self.claim()?;
        let room = find::<SIZE>(ctx, lane, index);
        if room.is_none() {
            release(lane);
        }
        room
    }

    /// The first lane of this CPU that nobody is writing to: it is the caller's until it is released.
    #[inline(always)]
    fn claim(self) -> Option<Self> {
        let Self { mut index, mut lane } = self;
        if unsafe { addr_of!((*lane).busy).read_volatile() } != 0 {
            index += 1;
            lane = LANES.get_ptr_mut(index)?;
            if unsafe { addr_of!((*lane).busy).read_volatile() } != 0 {
                unsafe { (*lane).lost += 1 };
                return None;
            }
        }
        unsafe { addr_of_mut!((*lane).busy).write_volatile(1) };
        compiler_fence(Ordering::SeqCst);
        Some(Self { index, lane })
    }
}

/// A record's place in a lane that is the caller's until this is published.
pub struct Room {
    pub place: *mut u8,
    /// The moment of the record.
    pub ktime: u64,
    head: u64,
    lane: *mut Lane,
}

impl Room {
    /// Shows the reader the record in it, which is so long.
    #[inline(always)]
    pub fn publish(self, length: usize) {
        compiler_fence(Ordering::SeqCst);
        unsafe { addr_of_mut!((*self.lane).head).write_volatile(self.head + length as u64) };
        release(self.lane);
    }
}

#[inline(always)]
fn release(lane: *mut Lane) {
    compiler_fence(Ordering::SeqCst);
    unsafe { addr_of_mut!((*lane).busy).write_volatile(0) };
}

#[inline(always)]
fn find<const SIZE: u64>(ctx: &impl EbpfContext, lane: *mut Lane, index: u32) -> Option<Room> {
    let ktime = unsafe { bpf_ktime_get_ns() };
    let mut head = unsafe { addr_of!((*lane).head).read_volatile() };
    let mut used = head % CHUNK;
    if used == 0 || used > CHUNK - SIZE {
        if !next_chunk(lane, index) {
            count_lost(ctx.as_ptr(), lane);
            return None;
        }
        head = unsafe { addr_of!((*lane).head).read_volatile() };
        used = 0;
    }
    let chunk = chunk(index, head)?;
    Some(Room { place: unsafe { chunk.byte_add(used as usize) }, ktime, head, lane })
}

/// The chunk that has this position of a lane.
#[inline(always)]
fn chunk(lane: u32, position: u64) -> Option<*mut u8> {
    let chunks = layout!(lane_bytes) / CHUNK;
    let index = (u64::from(lane) << layout!(lane_shift)) + (position / CHUNK & (chunks - 1));
    RECORDS.get_ptr_mut(index as u32).map(<*mut _>::cast)
}

/// Moves the lane's head to the start of the next chunk; false where the reader has not been there yet.
///
/// Out of line: only one record in some fifty comes here.
#[inline(never)]
fn next_chunk(lane: *mut Lane, index: u32) -> bool {
    let head = unsafe { addr_of!((*lane).head).read_volatile() };
    let tail = unsafe { addr_of!((*lane).tail).read_volatile() };
    let used = head % CHUNK;
    let next = (head + CHUNK - 1) & !(CHUNK - 1);
    if (next + CHUNK).wrapping_sub(tail) > layout!(lane_bytes) {
        return false;
    }
    if used != 0 {
        // A record's first word is never 0, so this is the end of what is in this chunk.
        if let Some(chunk) = chunk(index, head) {
            unsafe { chunk.byte_add((used & (CHUNK - 8)) as usize).cast::<u64>().write_volatile(0) };
        }
        compiler_fence(Ordering::SeqCst);
        unsafe { addr_of_mut!((*lane).head).write_volatile(next) };
    }
    let quarter = layout!(lane_bytes) / 4;
    if next & quarter.wrapping_sub(1) == 0 && next.wrapping_sub(tail) >= quarter {
        let _ = DOORBELL.output::<u64>(&next, BPF_RB_FORCE_WAKEUP.into());
    }
    true
}
