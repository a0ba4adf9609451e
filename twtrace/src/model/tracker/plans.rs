//! What to look at again, and when.

use super::super::{Ktime, SocketId};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Something to look at later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Plan {
    pub(super) due: Ktime,
    pub(super) socket: SocketId,
    /// The connection for which it was made; the socket may be another's by then.
    pub(super) id: u64,
    pub(super) purpose: Purpose,
}

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// To ask /proc for its owner, if none has shown itself.
    Owner,
    /// To ask the table for a time-wait socket, for the first, second, … time.
    Look(u8),
    /// To see whether a TIME_WAIT is over whose time is up.
    End,
    /// To conclude from its absence.
    Conclude,
}

/// Plans in the order in which they fall due. Those that every connection makes come in that order already, the
/// delay being the same for all, and wait in lines; the others are sorted.
#[derive(Debug, Default)]
pub(super) struct Plans {
    owners: VecDeque<Plan>,
    first_looks: VecDeque<Plan>,
    others: BinaryHeap<Reverse<Plan>>,
}

impl Plans {
    pub(super) fn push(&mut self, plan: Plan) {
        match plan.purpose {
            Purpose::Owner => self.owners.push_back(plan),
            Purpose::Look(0) => self.first_looks.push_back(plan),
            _ => self.others.push(Reverse(plan)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.owners.len() + self.first_looks.len() + self.others.len()
    }

    /// One that is due; in which of the lines is no matter.
    pub(super) fn pop(&mut self, now: Ktime) -> Option<Plan> {
        let due = |plan: &Plan| plan.due <= now;
        for line in [&mut self.first_looks, &mut self.owners] {
            if line.front().is_some_and(due) {
                return line.pop_front();
            }
        }
        self.others.peek().filter(|Reverse(plan)| due(plan))?;
        self.others.pop().map(|Reverse(plan)| plan)
    }
}
