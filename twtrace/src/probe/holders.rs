//! Which processes hold which sockets, by the descriptors in /proc.
//!
//! One look at every descriptor of the host; a socket that is handed on meanwhile may be missed or found twice. Only
//! the descriptors of a process's main thread are looked at.

use super::{clock, process};
use crate::model::Process;
use crate::model::observation::Holder;
use hashbrown::HashSet;
use rustix::fd::OwnedFd;
use rustix::fs::{RawDir, fstat, readlinkat_raw};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Who holds each of `inodes`, by so many threads. An inode that was not found is left out where some process could not be
/// read, for that one may hold it.
pub fn holders(inodes: &HashSet<u64>, threads: usize) -> Vec<Holder> {
    let pids = process::pids();
    let next = AtomicUsize::new(0);
    let scan = || {
        let mut scan = Scan::new(inodes);
        let pids = pids.as_deref().unwrap_or_default();
        while let Some(pid) = pids.get(next.fetch_add(1, Ordering::Relaxed)) {
            scan.process(*pid);
        }
        (scan.found, scan.whole)
    };
    let (mut found, mut whole) = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(scan)).collect();
        let (mut found, mut whole) = scan();
        for other in others {
            let (others, all) = other.join().unwrap_or_default();
            found.extend(others);
            whole &= all;
        }
        (found, whole)
    });
    whole &= pids.is_ok();
    found.sort_unstable_by_key(|(inode, process)| (*inode, process.started, process.pid));
    let at = clock::now();
    let held = found.chunk_by(|(one, _), (other, _)| one == other);
    let mut holders: Vec<Holder> = held
        .filter_map(|of_one| Some((of_one.first()?.0, of_one.iter().map(|(_, process)| *process).collect())))
        .map(|(inode, processes)| Holder { at, inode, processes })
        .collect();
    if whole && holders.len() < inodes.len() {
        let held: HashSet<u64> = holders.iter().map(|holder| holder.inode).collect();
        let nobodys = inodes.iter().filter(|inode| !held.contains(*inode));
        holders.extend(nobodys.map(|&inode| Holder { at, inode, processes: Vec::new() }));
    }
    holders
}

/// How many processes there are, and of how many the descriptors cannot be read.
pub fn unreadable() -> std::io::Result<(usize, usize)> {
    let pids = process::pids()?;
    let nothing = HashSet::new();
    let mut scan = Scan::new(&nothing);
    let hidden = pids.iter().filter(|&&pid| {
        scan.whole = true;
        scan.process(pid);
        !scan.whole
    });
    let hidden = hidden.count();
    Ok((pids.len(), hidden))
}

struct Scan<'a> {
    inodes: &'a HashSet<u64>,
    found: Vec<(u64, Process)>,
    /// Every process that is there could be read.
    whole: bool,
    /// Those of `inodes` that the process has which is being looked at, some more than once.
    holds: Vec<u64>,
    /// Room for directory entries.
    directory: Vec<u8>,
}

impl<'a> Scan<'a> {
    fn new(inodes: &'a HashSet<u64>) -> Self {
        Self { inodes, found: Vec::new(), whole: true, holds: Vec::new(), directory: Vec::with_capacity(32 << 10) }
    }

    fn process(&mut self, pid: u32) {
        let fds = match process::open_directory(&format!("/proc/{pid}/fd")) {
            Ok(fds) => fds,
            Err(error) => {
                self.whole &= is_gone(error);
                return;
            }
        };
        self.holds.clear();
        if !self.by_number(&fds) {
            self.by_name(&fds);
        }
        if self.holds.is_empty() {
            return;
        }
        self.holds.sort_unstable();
        self.holds.dedup();
        // Where it ended in between, so did its descriptors.
        if let Some(process) = process::describe(pid) {
            self.found.extend(self.holds.iter().map(|inode| (*inode, process)));
        }
    }

    /// Descriptors are numbered from 0, and a directory that says how many there are need not be listed, which takes the
    /// kernel half as long as the rest. False where that did not find them all.
    fn by_number(&mut self, fds: &OwnedFd) -> bool {
        // 0 before 6.2: proc_fd_getattr(), fs/proc/fd.c.
        let open = fstat(fds).map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or_default());
        // Where there are many gaps, it takes longer than a list.
        let gaps = open / 8 + 8;
        let mut found = 0;
        for number in 0..open.saturating_add(gaps) {
            if found == open {
                break;
            }
            let mut name = [0; 24];
            // A number of 64 bits has 20 digits at the most.
            let Ok(()) = write!(&mut name[..23], "{number}") else { return false };
            let Ok(name) = CStr::from_bytes_until_nul(&name) else { return false };
            match self.look(fds, name) {
                Ok(()) => found += 1,
                Err(Errno::NOENT) => {}
                Err(_) => return false,
            }
        }
        open > 0 && found == open
    }

    fn by_name(&mut self, fds: &OwnedFd) {
        let mut directory = std::mem::take(&mut self.directory);
        let mut entries = RawDir::new(fds, directory.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.whole &= is_gone(error);
                    break;
                }
            };
            // `.` and `..` are no links.
            if let Err(error) = self.look(fds, entry.file_name()) {
                self.whole &= is_gone(error) || error == Errno::INVAL;
            }
        }
        self.directory = directory;
    }

    fn look(&mut self, fds: &OwnedFd, name: &CStr) -> rustix::io::Result<()> {
        let mut target = [MaybeUninit::<u8>::uninit(); 64];
        let (target, _) = readlinkat_raw(fds, name, &mut target)?;
        self.holds.extend(socket_inode(target).filter(|inode| self.inodes.contains(inode)));
        Ok(())
    }
}

/// It ended while it was looked at.
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::SRCH)
}

/// The inode in `socket:[4711]`.
fn socket_inode(target: &[u8]) -> Option<u64> {
    process::number(target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

#[cfg(test)]
mod tests {
    use super::{holders, socket_inode};
    use hashbrown::HashSet;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn only_sockets_count() {
        assert_eq!(socket_inode(b"socket:[4711]"), Some(4711));
        for other in [&b"pipe:[4711]"[..], b"/tmp/socket:[4711]", b"socket:[]", b"socket:[-1]", b"socket:[1", b""] {
            assert_eq!(socket_inode(other), None);
        }
    }

    #[test]
    fn finds_its_own_sockets() {
        let (one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let inode = rustix::fs::fstat(&one).expect("its inode").st_ino;
        let nobodys = u64::MAX;
        let found = holders(&HashSet::from([inode, nobodys]), 2);
        let holder = found.iter().find(|holder| holder.inode == inode).expect("it is held");
        assert_eq!(holder.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [std::process::id()]);
        // Where another's descriptors cannot be read, it is not said that nobody has it.
        let nobody = found.iter().find(|holder| holder.inode == nobodys);
        assert!(nobody.is_none_or(|holder| holder.processes.is_empty()));
        drop(other);
    }

    /// Whatever the numbers of its descriptors.
    #[test]
    fn gaps_hide_nothing() {
        let many: Vec<_> = (0..64).map(|_| std::os::unix::net::UnixStream::pair().expect("a pair")).collect();
        let (kept, closed): (Vec<_>, Vec<_>) = many.into_iter().partition(|(one, _)| one.as_raw_fd() % 16 == 3);
        let (last, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        drop(closed);
        let kept: Vec<_> = kept.iter().map(|(one, _)| one).chain([&last]).collect();
        let inodes: HashSet<u64> = kept.iter().map(|one| rustix::fs::fstat(one).expect("its inode").st_ino).collect();
        let found = holders(&inodes, 1);
        let own = |processes: &[crate::model::Process]| processes.iter().any(|one| one.pid == std::process::id());
        assert_eq!(found.iter().filter(|holder| own(&holder.processes)).count(), inodes.len());
    }
}
