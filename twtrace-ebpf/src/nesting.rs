//! A program is not run again on a CPU on which it is running (`__bpf_trace_run()`, `prog->active`): an interrupt
//! that comes in the middle of it, and brings about a state change of its own, would go unseen. So there are two of
//! it, and the second works while the first is interrupted. There is no third level: a softirq is not interrupted
//! by another.

use aya_ebpf::{macros::map, maps::PerCpuArray};

/// The first one is running on this CPU.
#[map]
static BUSY: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
pub fn busy(busy: bool) {
    if let Some(place) = BUSY.get_ptr_mut(0) {
        unsafe { place.write_volatile(u32::from(busy)) };
    }
}

#[inline(always)]
pub fn is_busy() -> bool {
    BUSY.get_ptr(0).is_some_and(|place| unsafe { place.read_volatile() } != 0)
}
