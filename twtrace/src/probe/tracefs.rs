//! Where the kernel lists its tracepoints, and how a file system is mounted for one thread alone.

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};
use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Where tracefs is.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] where it is not mounted.
pub fn find() -> io::Result<PathBuf> {
    let mut failure = io::Error::from(ErrorKind::NotFound);
    for place in PLACES {
        match Path::new(place).join("events").metadata() {
            Ok(_) => return Ok(place.into()),
            // The usual place says more than the old one, which lies behind debugfs.
            Err(error) if failure.kind() == ErrorKind::NotFound => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}

/// Why it is not there, and what to do.
pub(super) fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("tracefs is not mounted: mount -t tracefs tracefs {}", PLACES[0]),
        _ => format!("tracefs cannot be read: {error} (needs root, or CAP_DAC_READ_SEARCH)"),
    }
}

/// Does `act` where tracefs is mounted: on this thread, or where nobody has mounted it on one of its own that has, and
/// ends with it. The mounts of the host stay as they are, and so does what this process sees of them.
///
/// Where mounting does not work, the hooks that need tracefs are done without and say so.
///
/// # Errors
///
/// Where a thread is needed and cannot be started.
pub fn mounted<T: Send>(act: impl FnOnce() -> T + Send) -> io::Result<T> {
    let missing = |error: io::Error| error.kind() == ErrorKind::NotFound;
    if !find().is_err_and(missing) {
        return Ok(act());
    }
    with("tracefs", PLACES[0], act)
}

/// Does `act` on a thread of its own that has this file system at that place, if it can be mounted.
///
/// # Errors
///
/// Where the thread cannot be started.
pub(super) fn with<T: Send>(name: &str, place: &str, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, || {
            if let Err(error) = mount_for_this_thread(name, place) {
                log::debug!("cannot mount {name} at {place}: {error}");
            }
            act()
        })?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn mount_for_this_thread(name: &str, place: &str) -> rustix::io::Result<()> {
    // SAFETY: a mount namespace is all that is unshared (and what goes with it, the working directory), no memory and
    // no descriptor; nothing that runs on this thread relies on a mount or directory that another thread makes.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount(name, place, name, MountFlags::empty(), None)
}
