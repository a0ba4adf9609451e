//! Which processes hold which sockets, by the descriptors in /proc.
//!
//! One look at every descriptor of the host; a socket that is handed on meanwhile may be missed or found twice. Only
//! the descriptors of a process's main thread are looked at.

use super::{clock, process};
use crate::model::Process;
use crate::model::observation::Holder;
use rustix::fs::{RawDir, readlinkat_raw};
use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;

/// Who holds each of `inodes`. An inode that was not found is left out where some process could not be read, for that
/// one may hold it.
pub fn holders(inodes: &HashSet<u64>) -> Vec<Holder> {
    let mut scan = Scan { inodes, found: HashMap::new(), whole: true, directory: Vec::with_capacity(32 << 10) };
    match process::pids() {
        Ok(pids) => pids.into_iter().for_each(|pid| scan.process(pid)),
        Err(_) => scan.whole = false,
    }
    let Scan { mut found, whole, .. } = scan;
    let at = clock::now();
    let holder = |&inode: &u64| {
        let mut processes = found.remove(&inode).or_else(|| whole.then(Vec::new))?;
        processes.sort_by_key(|process| (process.started, process.pid));
        Some(Holder { at, inode, processes })
    };
    inodes.iter().filter_map(holder).collect()
}

/// How many processes there are, and of how many the descriptors cannot be read.
pub fn unreadable() -> std::io::Result<(usize, usize)> {
    let pids = process::pids()?;
    let nothing = HashSet::new();
    let mut scan =
        Scan { inodes: &nothing, found: HashMap::new(), whole: true, directory: Vec::with_capacity(32 << 10) };
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
    found: HashMap<u64, Vec<Process>>,
    /// Every process that is there could be read.
    whole: bool,
    /// Room for directory entries.
    directory: Vec<u8>,
}

impl Scan<'_> {
    fn process(&mut self, pid: u32) {
        let fds = match process::open_directory(&format!("/proc/{pid}/fd")) {
            Ok(fds) => fds,
            Err(error) => {
                self.whole &= is_gone(error);
                return;
            }
        };
        let mut holds = HashSet::new();
        let mut entries = RawDir::new(&fds, self.directory.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.whole &= is_gone(error);
                    break;
                }
            };
            let mut target = [MaybeUninit::<u8>::uninit(); 64];
            match readlinkat_raw(&fds, entry.file_name(), &mut target) {
                Ok((target, _)) => holds.extend(socket_inode(target).filter(|inode| self.inodes.contains(inode))),
                // `.` and `..` are no links.
                Err(error) => self.whole &= is_gone(error) || error == rustix::io::Errno::INVAL,
            }
        }
        if holds.is_empty() {
            return;
        }
        // Where it ended in between, so did its descriptors.
        if let Some(process) = process::describe(pid) {
            holds.into_iter().for_each(|inode| self.found.entry(inode).or_default().push(process));
        }
    }
}

/// It ended while it was looked at.
fn is_gone(error: rustix::io::Errno) -> bool {
    matches!(error, rustix::io::Errno::NOENT | rustix::io::Errno::SRCH)
}

/// The inode in `socket:[4711]`.
fn socket_inode(target: &[u8]) -> Option<u64> {
    process::number(target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

#[cfg(test)]
mod tests {
    use super::{holders, socket_inode};
    use std::collections::HashSet;

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
        let found = holders(&HashSet::from([inode, nobodys]));
        let holder = found.iter().find(|holder| holder.inode == inode).expect("it is held");
        assert_eq!(holder.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [std::process::id()]);
        // Where another's descriptors cannot be read, it is not said that nobody has it.
        let nobody = found.iter().find(|holder| holder.inode == nobodys);
        assert!(nobody.is_none_or(|holder| holder.processes.is_empty()));
        drop(other);
    }
}
