//! The sockets of this host now: the tables of its network namespaces, counted as they are read, and who holds what.
//!
//! No snapshot: the namespaces are read one after the other, and /proc after them. What could not be seen is said.

use super::{
    clock, holders, netns,
    netns::Netns,
    process, sysctl,
    table::{Ask, Beside, Seen, SocketTable},
};
use crate::model::{
    Ktime, Process, SocketId, TcpState,
    filter::Filter,
    observation::{ProcessReading, Row},
    sockets::{Idle, Reading, Sockets},
};
use hashbrown::{HashMap, HashSet};
use std::io;

/// Processes of which more is read than that they hold sockets.
const PROCESSES: usize = 1024;

/// Threads that look for who holds what.
const THREADS: usize = 4;

/// What is to be read.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which sockets.
    pub filter: Filter,
    /// Keep the row of each.
    pub keep: bool,
    /// Look in /proc for who holds them.
    pub processes: bool,
}

/// Reads all that is wished for.
pub fn read(wish: &Wish) -> Reading {
    let began = clock::now();
    let mut reader = Reader::new(wish);
    let own = netns::own().map(|own| own.inode);
    let netns::Survey { found, whole } = netns::all();
    for netns in found.iter().filter(|netns| wish.filter.wants_netns(netns.inode)) {
        let is_own = own.as_ref().is_ok_and(|own| *own == netns.inode);
        if let Err(error) = reader.visit(netns, is_own) {
            reader.unread.push((netns.inode, error.to_string()));
        }
    }
    reader.finish(began, whole)
}

struct Reader<'a> {
    wish: &'a Wish,
    /// What can be told from a row alone.
    of_connections: Filter,
    sockets: Sockets,
    /// Rows that the filter may want when their holder is known.
    pending: Vec<(Row, Beside)>,
    /// It is about holders at all.
    by_owner: bool,
    idle: HashMap<(u32, SocketId), Idle>,
    unread: Vec<(u32, String)>,
    partial: Vec<u32>,
}

impl<'a> Reader<'a> {
    fn new(wish: &'a Wish) -> Self {
        let of_connections = wish.filter.of_connections();
        Self {
            wish,
            by_owner: of_connections != wish.filter,
            of_connections,
            sockets: Sockets::new(wish.keep),
            pending: Vec::new(),
            idle: HashMap::new(),
            unread: Vec::new(),
            partial: Vec::new(),
        }
    }

    fn visit(&mut self, netns: &Netns, is_own: bool) -> io::Result<()> {
        if is_own {
            return self.read(netns.inode);
        }
        match netns.open() {
            Ok(door) => door.inside(|| self.read(netns.inode))?,
            // It has ended, and its sockets with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The namespace that this thread is in.
    fn read(&mut self, netns: u32) -> io::Result<()> {
        let mut table = SocketTable::open(netns)?;
        self.sockets.enter(netns, sysctl::port_range());
        let mut leaks = false;
        let mut whole = table.survey(Ask::ALL, |seen| {
            leaks |= matches!(seen, Seen::Socket(row, _) if row.state == TcpState::CloseWait);
            self.take(netns, seen);
        })?;
        if leaks {
            whole &= table.survey(Ask::only(TcpState::CloseWait).with_tcp_info(), |seen| {
                if let Seen::Socket(row, beside) = seen {
                    self.idle.insert((netns, row.socket), Idle { data: beside.last_data, ack: row.last_ack });
                }
            })?;
        }
        if !whole {
            self.partial.push(netns);
        }
        Ok(())
    }

    fn take(&mut self, netns: u32, seen: Seen) {
        let wanted = |tuple| self.of_connections.matches_all(tuple, Some(netns), None, None);
        match seen {
            Seen::HalfOpen(tuple) if !self.by_owner && wanted(&tuple) => self.sockets.half_open(netns, tuple),
            Seen::HalfOpen(_) => {}
            Seen::Socket(row, beside) => {
                if row.state == TcpState::Listen {
                    self.sockets.listens(&row);
                }
                if !wanted(&row.tuple) {
                } else if !self.by_owner {
                    count(&mut self.sockets, &row, &beside);
                } else if row.inode.is_some() {
                    self.pending.push((row, beside));
                }
            }
        }
    }

    fn finish(self, at: Ktime, all_found: bool) -> Reading {
        let Self { wish, mut sockets, pending, idle, unread, partial, by_owner, .. } = self;
        let inodes: HashSet<u64> = pending.iter().filter_map(|(row, _)| row.inode).chain(sockets.inodes()).collect();
        let looked = wish.processes || by_owner;
        // Somebody is waiting for it.
        let threads = std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(THREADS));
        let holders = if looked { holders::holders(&inodes, threads) } else { Vec::new() };
        let hidden = if looked { inodes.len() - holders.len() } else { 0 };
        let owners: HashMap<u64, Vec<Process>> = holders.into_iter().map(|one| (one.inode, one.processes)).collect();
        let mut places = Places::default();
        for (row, beside) in &pending {
            let owner = row.inode.and_then(|inode| owners.get(&inode)?.first());
            let cgroup = owner.filter(|_| wish.filter.asks_for_cgroup()).and_then(|owner| places.cgroup(*owner));
            if wish.filter.matches_all(&row.tuple, Some(row.netns), owner, cgroup) {
                count(&mut sockets, row, beside);
            }
        }
        sockets.ages(idle);
        sockets.settle(&owners);
        for owned in sockets.owned().into_iter().take(PROCESSES) {
            places.read(owned.process);
        }
        let owners = owners.into_iter().filter_map(|(inode, owners)| Some((inode, *owners.first()?)));
        let owners = if wish.keep { owners.collect() } else { HashMap::new() };
        let took = clock::now().since(at);
        Reading { at, took, sockets, owners, processes: places.0, unread, partial, all_found, hidden, looked }
    }
}

fn count(sockets: &mut Sockets, row: &Row, beside: &Beside) {
    if row.state == TcpState::Listen {
        sockets.listener(row, beside.receive_queue, beside.send_queue);
    } else {
        sockets.connection(row);
    }
}

/// What was read of each process, once.
#[derive(Default)]
struct Places(HashMap<u32, Option<ProcessReading>>);

impl Places {
    fn read(&mut self, process: Process) -> Option<&ProcessReading> {
        self.0.entry(process.pid).or_insert_with(|| process::read(process)).as_ref()
    }

    fn cgroup(&mut self, process: Process) -> Option<&str> {
        self.read(process)?.cgroup.as_deref()
    }
}
