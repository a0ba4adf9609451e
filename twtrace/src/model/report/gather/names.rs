//! Processes of one name.

use super::super::{Party, Place};
use crate::model::{Comm, Direction, Lifecycle, Process};
use smallvec::SmallVec;

/// So many are named; that there are more is said.
const PIDS: usize = 8;

/// Process ids of one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pids {
    first: SmallVec<[u32; PIDS]>,
    more: bool,
}

impl Pids {
    pub(crate) fn add(&mut self, process: Option<Process>) {
        let Some(Process { pid, .. }) = process else { return };
        if self.first.contains(&pid) {
            return;
        }
        if self.first.len() < PIDS {
            self.first.push(pid);
        } else {
            self.more = true;
        }
    }

    pub(crate) fn party(&self, comm: Option<Comm>) -> Option<Party> {
        let mut pids = self.first.to_vec();
        pids.sort_unstable();
        Some(Party { comm: comm?, pids, more_pids: self.more })
    }
}

/// The owner of a connection.
pub(crate) fn owner(life: &Lifecycle) -> Option<Process> {
    life.owner.map(|owner| owner.process)
}

pub(crate) fn comm(process: Option<Process>) -> Option<Comm> {
    process.map(|process| process.comm)
}

/// Where a connection goes to or comes in.
pub(crate) fn place(life: &Lifecycle) -> Place {
    match life.direction {
        Some(Direction::Outbound) => Place::To(life.tuple.remote),
        Some(Direction::Inbound) => Place::At(life.tuple.local.port),
        None => Place::With(life.tuple.remote.ip),
    }
}
