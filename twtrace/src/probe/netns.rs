//! The network namespaces of this host, and how to do something inside one.
//!
//! Found are those that a process is in, and those that a file is bound to where we can see it (`ip netns`, container
//! runtimes). A namespace that only a thread, a descriptor or a socket still holds is not found.

use super::process;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

const OWN: &str = "/proc/self/ns/net";

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    /// The number that it is known by. A later namespace may get the same.
    pub inode: u32,
    /// A file that stands for it, while it lasts.
    pub path: PathBuf,
}

/// What a search for namespaces came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Each one once; our own comes first, and a bound file goes before a process.
    pub found: Vec<Netns>,
    /// The namespace of every process is known, so what is not found is not there.
    pub whole: bool,
}

/// The one we are in.
pub fn own() -> io::Result<Netns> {
    let inode = number_of(rustix::fs::stat(OWN)?.st_ino)?;
    Ok(Netns { inode, path: OWN.into() })
}

/// Every one that can be found, at the price of one `stat` a process.
pub fn all() -> Survey {
    let mut search = Search { own_device: device("self"), found: Vec::new(), seen: HashSet::new(), whole: true };
    match own() {
        Ok(own) => search.add(own.inode, || own.path),
        Err(_) => search.whole = false,
    }
    match std::fs::read("/proc/self/mountinfo") {
        Ok(mounts) => bound(&mounts).for_each(|netns| search.add(netns.inode, || netns.path)),
        Err(_) => search.whole = false,
    }
    match process::pids() {
        Ok(pids) => pids.into_iter().for_each(|pid| search.process(pid)),
        Err(_) => search.whole = false,
    }
    Survey { found: search.found, whole: search.whole }
}

struct Search {
    /// See [`device`].
    own_device: Option<u64>,
    found: Vec<Netns>,
    seen: HashSet<u32>,
    whole: bool,
}

impl Search {
    fn process(&mut self, pid: u32) {
        let path = format!("/proc/{pid}/ns/net");
        match rustix::fs::stat(&path) {
            Ok(stat) => match number_of(stat.st_ino) {
                Ok(inode) => self.add(inode, || path.into()),
                Err(_) => self.whole = false,
            },
            // It has ended.
            Err(Errno::NOENT | Errno::SRCH) => {}
            Err(_) => self.whole &= self.own_device.is_some() && device(&pid.to_string()) == self.own_device,
        }
    }

    fn add(&mut self, inode: u32, path: impl FnOnce() -> PathBuf) {
        if self.seen.insert(inode) {
            self.found.push(Netns { inode, path: path() });
        }
    }
}

/// A number that processes of one namespace share, and that can be read of processes that may not be traced: every
/// namespace registers its own files below `net` (`get_proc_task_net()`, fs/proc/proc_net.c).
fn device(process: &str) -> Option<u64> {
    rustix::fs::stat(format!("/proc/{process}/net/dev")).ok().map(|stat| stat.st_ino)
}

/// The kernel keeps it in 32 bits (`struct ns_common.inum`).
fn number_of(inode: u64) -> io::Result<u32> {
    u32::try_from(inode).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no number of a namespace"))
}

/// Namespaces bound to files, by the text of mountinfo: id, parent, device, root, mount point, …
fn bound(mountinfo: &[u8]) -> impl Iterator<Item = Netns> {
    mountinfo.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let inode = process::number(root.strip_prefix(b"net:[")?.strip_suffix(b"]")?)?;
        Some(Netns { inode, path: OsString::from_vec(unescape(point)).into() })
    })
}

/// Spaces, tabs, newlines and backslashes stand as three octal digits (`show_mountinfo()`, fs/proc_namespace.c).
fn unescape(mut field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    while let Some((&byte, rest)) = field.split_first() {
        field = rest;
        plain.push(match rest {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..] if byte == b'\\' => {
                field = behind;
                (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')
            }
            _ => byte,
        });
    }
    plain
}

/// An open namespace. It lives while this does.
pub struct Door(OwnedFd);

impl Netns {
    /// [`io::ErrorKind::NotFound`] where the file no longer stands for this namespace: it is gone, or another file has
    /// to be found for it.
    pub fn open(&self) -> io::Result<Door> {
        let file = match rustix::fs::open(&self.path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::SRCH) => return Err(io::ErrorKind::NotFound.into()),
            Err(error) => return Err(error.into()),
        };
        // The process may be another by now, or the file another namespace's or none at all.
        if rustix::fs::fstat(&file)?.st_ino != u64::from(self.inode) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Door(file))
    }
}

impl Door {
    /// Does `act` on a thread that is inside the namespace and ends with it.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, || {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(act())
            })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Netns, all, bound, own, unescape};
    use proptest::prelude::*;
    use std::io::ErrorKind;

    #[test]
    fn bound_files_of_mountinfo() {
        let text = b"22 1 0:21 / /proc rw - proc proc rw\n\
            300 25 0:4 net:[4026532281] /run/netns/a\\040b\\134 rw shared:1 - nsfs nsfs rw\n\
            301 25 0:4 mnt:[4026532282] /run/x rw - nsfs nsfs rw\n\
            302 25 0:4 net:[99999999999] /run/y rw - nsfs nsfs rw\n\
            303 25 0:4 net:[1] /run/\xff rw - nsfs nsfs rw\n net:[";
        let found: Vec<_> = bound(text).map(|netns| (netns.inode, netns.path.into_os_string())).collect();
        use std::os::unix::ffi::OsStringExt;
        let name = |bytes: &[u8]| std::ffi::OsString::from_vec(bytes.to_vec());
        assert_eq!(found, [(4026532281, name(b"/run/netns/a b\\")), (1, name(b"/run/\xff"))]);
    }

    #[test]
    fn finds_its_own_first() {
        let own = own().expect("/proc is there");
        assert_eq!(all().found.first(), Some(&own));
    }

    #[test]
    fn what_is_gone_is_not_found() {
        let own = own().expect("/proc is there");
        let other = Netns { inode: own.inode ^ 1, path: own.path };
        let missing = Netns { inode: own.inode, path: "/proc/self/ns/nothing".into() };
        for netns in [other, missing] {
            assert_eq!(netns.open().err().map(|error| error.kind()), Some(ErrorKind::NotFound));
        }
    }

    proptest! {
        #[test]
        fn bytes_never_panic(bytes: Vec<u8>, digits in "[\\\\0-9 ]{0,30}") {
            bound(&bytes).for_each(drop);
            unescape(&bytes);
            unescape(digits.as_bytes());
        }
    }
}
