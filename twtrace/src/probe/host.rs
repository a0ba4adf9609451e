//! Which host this is, and which boot of it.

/// Its name.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The boot's id: `CLOCK_MONOTONIC` and the cookies of sockets begin anew with each.
pub fn boot() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim_end().to_owned())
}
