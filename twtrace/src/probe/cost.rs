//! What this process itself takes.

use rustix::{
    param::page_size,
    time::{ClockId, clock_gettime},
};

/// Seconds of CPU that it has used, in all its threads.
pub fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Bytes of memory that it has resident; `None` where /proc cannot be read.
pub fn resident_bytes() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<u64>().ok()? * page_size() as u64)
}
