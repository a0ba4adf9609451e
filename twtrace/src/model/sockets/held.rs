//! Who holds the sockets.
//!
//! Connections that have no file have no holder: in TIME_WAIT, closed and not yet done, or never accepted.

use super::{
    super::{Process, TcpState, observation::Row},
    Counts,
};
use hashbrown::HashMap;

/// The sockets of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The oldest that holds them.
    pub process: Process,
    /// By state.
    pub counts: Counts,
    /// How many of them other processes hold too.
    pub shared: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Held {
    sockets: Vec<(u64, TcpState)>,
    owned: HashMap<(u32, Option<u64>), Owned>,
    /// Those of which no holder was found.
    pub(super) ownerless: Counts,
}

impl Held {
    pub(super) fn hold(&mut self, row: &Row) {
        self.sockets.extend(row.inode.map(|inode| (inode, row.state)));
    }

    pub(super) fn inodes(&self) -> impl Iterator<Item = u64> {
        self.sockets.iter().map(|(inode, _)| *inode)
    }

    pub(super) fn settle(&mut self, owners: &HashMap<u64, Vec<Process>>) {
        for (inode, state) in self.sockets.drain(..) {
            // One that is not among them may be held by a process that cannot be looked into.
            let Some(holders) = owners.get(&inode) else { continue };
            let Some((&process, others)) = holders.split_first() else {
                self.ownerless.add(state);
                continue;
            };
            let none = Owned { process, counts: Counts::default(), shared: 0 };
            let owned = self.owned.entry((process.pid, process.started)).or_insert(none);
            owned.counts.add(state);
            owned.shared += u64::from(!others.is_empty());
        }
    }

    pub(super) fn owned(&self) -> Vec<&Owned> {
        let mut owned: Vec<&Owned> = self.owned.values().collect();
        let rank = |one: &Owned| (one.counts.of(TcpState::CloseWait), one.counts.total());
        owned.sort_unstable_by_key(|one| (std::cmp::Reverse(rank(one)), one.process.pid));
        owned
    }
}
