//! What to look at again, and when.

use super::{super::Ktime, Key};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Something to look at later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Plan {
    pub(super) due: Ktime,
    pub(super) key: Key,
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
    lines: [VecDeque<Plan>; 3],
    others: BinaryHeap<Reverse<Plan>>,
}

impl Plans {
    pub(super) fn push(&mut self, plan: Plan) {
        let line = match plan.purpose {
            Purpose::Owner => &mut self.lines[0],
            Purpose::Look(0) => &mut self.lines[1],
            Purpose::End => &mut self.lines[2],
            _ => return self.others.push(Reverse(plan)),
        };
        if line.back().is_none_or(|last| last.due <= plan.due) {
            line.push_back(plan);
        } else {
            self.others.push(Reverse(plan));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lines.iter().map(VecDeque::len).sum::<usize>() + self.others.len()
    }

    /// The one that is due first, if it is due by now.
    pub(super) fn pop(&mut self, now: Ktime) -> Option<Plan> {
        let line = self.lines.iter_mut().min_by_key(|line| line.front().map_or(Ktime(u64::MAX), |plan| plan.due))?;
        let front = line.front().filter(|plan| plan.due <= now);
        match (front, self.others.peek().filter(|Reverse(plan)| plan.due <= now)) {
            (Some(front), Some(Reverse(other))) if other.due < front.due => self.others.pop().map(|Reverse(plan)| plan),
            (Some(_), _) => line.pop_front(),
            (None, Some(_)) => self.others.pop().map(|Reverse(plan)| plan),
            (None, None) => None,
        }
    }
}
