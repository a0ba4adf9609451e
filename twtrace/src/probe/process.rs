//! Processes as /proc shows them.
//!
//! A process may be gone at any moment, and its name is any bytes at all: so plain reads, and nothing is text.

use super::cgroup::{self, ThisHost};
use super::clock;
use crate::model::observation::{Container, ProcessReading, Runtime};
use crate::model::process::{Comm, Place, Process};
use rustix::fs::{CWD, Mode, OFlags, RawDir};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read as _};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// More of a file of text than any process has there: a line a cgroup hierarchy, a line a limit.
const LONGEST_TEXT: u64 = 64 << 10;

/// The numbers of all processes, in no order. Threads are left out.
pub fn pids() -> io::Result<Vec<u32>> {
    let proc = open_directory("/proc")?;
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(proc, buffer.spare_capacity_mut());
    let mut pids = Vec::new();
    while let Some(entry) = entries.next() {
        pids.extend(number::<u32>(entry?.file_name().to_bytes()));
    }
    Ok(pids)
}

/// Opens a directory to list it.
pub(super) fn open_directory(path: &str) -> rustix::io::Result<rustix::fd::OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Who has this number now; `None` where nobody has, or what /proc says cannot be read.
///
/// /proc counts the start in clock ticks, so [`Process::started`] is up to one (10 ms) before the kernel's own figure.
pub fn describe(pid: u32) -> Option<Process> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read(format!("/proc/{pid}/status")).ok()?;
    let (comm, ticks) = name_and_start(&stat)?;
    let per_tick = NANOS_PER_SECOND.checked_div(rustix::param::clock_ticks_per_second());
    let started = per_tick.and_then(|per_tick| ticks?.checked_mul(per_tick));
    Some(Process { pid, uid: real_uid(&status)?, started, comm })
}

/// What there is to know of this very process; `None` where it has gone, whoever has its number now.
pub fn read(process: Process) -> Option<ProcessReading> {
    let pid = process.pid;
    let Place { cgroup, container } =
        text(pid, "cgroup").map(|text| cgroup::place(&text, &ThisHost)).unwrap_or_default();
    let descriptors = descriptors(pid);
    let descriptor_limit = text(pid, "limits").and_then(|text| descriptor_limit(&text));
    // Last of all: until here the number was not another's.
    is_still(process, describe(pid)?).then(|| ProcessReading {
        at: clock::now(),
        process,
        cgroup,
        container,
        descriptors,
        descriptor_limit,
    })
}

/// What runs containers and services here: of each runtime, how many it runs, and in how many processes.
pub fn runtimes() -> io::Result<BTreeMap<Runtime, (usize, usize)>> {
    let texts = pids()?.into_iter().filter_map(|pid| text(pid, "cgroup"));
    let mut found: HashMap<Container, usize> = HashMap::new();
    for container in texts.filter_map(|text| cgroup::place(&text, &ThisHost).container) {
        *found.entry(container).or_default() += 1;
    }
    let mut runtimes = BTreeMap::new();
    for (container, processes) in found {
        let (containers, all) = runtimes.entry(container.runtime).or_insert((0, 0));
        *containers += 1;
        *all += processes;
    }
    Ok(runtimes)
}

/// A start from /proc is up to a tick before the kernel's own. Without a start the name has to do.
fn is_still(process: Process, found: Process) -> bool {
    match (process.started, found.started) {
        (Some(started), Some(found)) => started.abs_diff(found) <= NANOS_PER_SECOND / 100,
        _ => process.comm == found.comm,
    }
}

fn text(pid: u32, file: &str) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(format!("/proc/{pid}/{file}")).ok()?.take(LONGEST_TEXT).read_to_end(&mut text).ok()?;
    Some(text)
}

/// How many descriptors it has open. The kernel gives the number as the directory's size since 6.2
/// (`proc_fd_getattr()`, fs/proc/fd.c); before, each is counted.
fn descriptors(pid: u32) -> Option<u64> {
    let fds = open_directory(&format!("/proc/{pid}/fd")).ok()?;
    match rustix::fs::fstat(&fds).ok()?.st_size {
        0 => {}
        size => return u64::try_from(size).ok(),
    }
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(fds, buffer.spare_capacity_mut());
    let mut count = 0;
    while let Some(entry) = entries.next() {
        count += u64::from(number::<u32>(entry.ok()?.file_name().to_bytes()).is_some());
    }
    Some(count)
}

/// The soft limit in the line `Max open files  1024  524288  files`.
fn descriptor_limit(limits: &[u8]) -> Option<u64> {
    let line = limits.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Max open files"))?;
    words(line).next().and_then(number)
}

/// Fields 2 and 22 of /proc/PID/stat. The name may hold anything, parentheses and newlines too: it ends at the last
/// parenthesis, behind which only numbers follow.
fn name_and_start(stat: &[u8]) -> Option<(Comm, Option<u64>)> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let name = stat.get(open + 1..close)?;
    let ticks = words(stat.get(close + 1..)?).nth(22 - 3).and_then(number);
    Some((Comm::new(name), ticks))
}

/// The first of the four in the line `Uid:`. The name stands further up, with its newlines escaped.
fn real_uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    words(line).next().and_then(number)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// `bytes` are a number and nothing else.
pub(super) fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    let digits = bytes.first()?.is_ascii_digit();
    std::str::from_utf8(bytes).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{describe, descriptor_limit, name_and_start, number, pids, read, real_uid};
    use crate::model::{Comm, Process};
    use proptest::prelude::*;

    fn stat(name: &str) -> Vec<u8> {
        format!("17 ({name}) S 1 17 17 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 10\n").into_bytes()
    }

    #[test]
    fn a_name_may_hold_anything() {
        for name in ["sh", "a b", ") R 1 2 (", "((", "))", "a\nUid: 0", ""] {
            assert_eq!(name_and_start(&stat(name)), Some((Comm::new(name.as_bytes()), Some(4711))), "{name:?}");
        }
        assert_eq!(name_and_start(b"17 sh S 1"), None);
        assert_eq!(name_and_start(b"17 )sh( S 1"), None);
        assert_eq!(name_and_start(b"17 (sh) S 1"), Some((Comm::new(b"sh"), None)));
    }

    #[test]
    fn the_real_user_is_the_first() {
        assert_eq!(real_uid(b"Name:\tUid: 7\\n\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n"), Some(1000));
        assert_eq!(real_uid(b"Name:\tsh\n"), None);
        assert_eq!(real_uid(b"Uid:\tx"), None);
    }

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(number::<u32>(b"12"), Some(12));
        for wrong in [&b""[..], b"+1", b"1a", b"-1", b"99999999999", b"\xff"] {
            assert_eq!(number::<u32>(wrong), None);
        }
    }

    #[test]
    fn finds_itself() {
        let own = std::process::id();
        assert!(pids().expect("/proc is there").contains(&own));
        let process = describe(own).expect("it runs");
        assert_eq!(process.uid, rustix::process::getuid().as_raw());
        assert!(process.started.is_some_and(|started| started > 0));
        assert_eq!(describe(u32::MAX), None);
    }

    #[test]
    fn the_soft_limit_counts() {
        let limits = b"Limit                     Soft Limit           Hard Limit           Units     \n\
            Max processes             96365                96365                processes \n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(descriptor_limit(limits), Some(1024));
        assert_eq!(
            descriptor_limit(b"Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(descriptor_limit(b""), None);
    }

    #[test]
    fn reads_what_it_is_itself() {
        let own = describe(std::process::id()).expect("it runs");
        let reading = read(own).expect("it runs");
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        assert_eq!((reading.process, reading.descriptor_limit), (own, limit));
        assert!(reading.cgroup.is_none_or(|path| path.starts_with('/')));
        // Other tests open and close theirs meanwhile; the standard three and this one's own are open.
        assert!(reading.descriptors.is_some_and(|open| (3..10_000).contains(&open)), "{:?}", reading.descriptors);
        // Another that had the same number.
        assert_eq!(read(Process { started: Some(1), ..own }), None);
        assert_eq!(read(Process { started: None, comm: Comm::new(b"another"), ..own }), None);
        assert_eq!(read(Process { pid: u32::MAX, ..own }), None);
    }

    proptest! {
        #[test]
        fn bytes_never_panic(bytes: Vec<u8>) {
            let _ = descriptor_limit(&bytes);
            let _ = descriptor_limit(&[b"Max open files", &bytes[..]].concat());
            let _ = name_and_start(&bytes);
            let _ = real_uid(&bytes);
            let _ = number::<u64>(&bytes);
        }
    }
}
