//! The clock of the kernel's events, read from user space.

use crate::model::Ktime;
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` now: what `bpf_ktime_get_ns` gives.
pub fn now() -> Ktime {
    let now = clock_gettime(ClockId::Monotonic);
    // Never negative: it counts from the boot of the machine.
    Ktime((now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64))
}

/// What `CLOCK_REALTIME` and `CLOCK_BOOTTIME` are ahead of it now, in nanoseconds.
pub fn ahead() -> (i64, i64) {
    let nanos = |id| {
        let time = clock_gettime(id);
        time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
    };
    let monotonic = nanos(ClockId::Monotonic);
    (nanos(ClockId::Realtime).saturating_sub(monotonic), nanos(ClockId::Boottime).saturating_sub(monotonic))
}
