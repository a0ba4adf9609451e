//! A terminal behind a slow line: a pseudo-terminal that is read as slowly as 9,600 baud, and then not at all.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{FromRawFd, OwnedFd},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Bytes of a tenth of a second at 9,600 baud.
const TENTH: usize = 96;
const SIZE: libc::winsize = libc::winsize { ws_row: 70, ws_col: 250, ws_xpixel: 0, ws_ypixel: 0 };

pub(crate) struct Line {
    master: File,
    /// Bytes that came over it.
    came: Arc<AtomicUsize>,
    stalled: Arc<AtomicBool>,
    program: Child,
}

impl Line {
    /// Runs a program on the other end; what it says on the side is in `notes`.
    pub(crate) fn new(command: &mut Command, notes: &Path) -> Self {
        let (master, slave) = open();
        let (came, stalled) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut reader = master.try_clone().expect("a descriptor");
        let (count, stop) = (came.clone(), stalled.clone());
        thread::spawn(move || {
            let mut tenth = [0; TENTH];
            while !stop.load(Ordering::Relaxed) {
                match reader.read(&mut tenth) {
                    Ok(0) | Err(_) => break,
                    Ok(bytes) => count.fetch_add(bytes, Ordering::Relaxed),
                };
                thread::sleep(Duration::from_millis(100));
            }
        });
        let stdin = slave.try_clone().expect("a descriptor");
        let notes = File::create(notes).expect("a file");
        let program = command.stdin(stdin).stdout(slave).stderr(notes).spawn().expect("it starts");
        // Its end of the line is its alone, once this is dropped.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self { master, came, stalled, program }
    }

    pub(crate) fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }

    /// From now on nobody reads.
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn press(&mut self, key: &str) {
        self.master.write_all(key.as_bytes()).expect("the line takes keys");
    }

    /// Its exit code, which comes in time though nobody reads.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        wait_for("its end", || self.program.try_wait().expect("it is ours")).code()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Nothing where it has ended.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Both ends of a pseudo-terminal.
fn open() -> (File, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: the pointers are to what it reads and writes, or null where it allows that.
    let done = unsafe { libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null(), &SIZE) };
    assert_eq!(done, 0, "no pseudo-terminal: {}", std::io::Error::last_os_error());
    // SAFETY: both have just been opened, and belong to nobody else.
    unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    // Nothing here takes as long; it is there so that a hang fails instead of hanging.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}
