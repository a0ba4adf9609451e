//! What a run comes to, and whether the kernel's own counters agree.

use super::{Close, Lifecycle, LossPlace, Observation, Side};
use std::collections::BTreeMap;

/// What a run comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events that came in.
    pub events: u64,
    /// Events that are missing, by place.
    pub lost: BTreeMap<LossPlace, u64>,
    /// Lifecycles by how they ended.
    pub by_close: BTreeMap<Option<Close>, u64>,
    /// Lifecycles by who closed first.
    pub by_closed_first: BTreeMap<Option<Side>, u64>,
    /// The kernel's counters against what was seen.
    pub audit: Vec<AuditLine>,
}

/// One counter of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// Its name, as in /proc/net/snmp and /proc/net/netstat.
    pub counter: &'static str,
    /// By how much the kernel counted it up.
    pub kernel: u64,
    /// How many such events were seen.
    pub seen: u64,
    /// Events that fell into the moment in which a counter was read, so that either side may have them.
    pub slack: u64,
}

impl AuditLine {
    /// The two agree.
    pub fn agrees(&self) -> bool {
        self.kernel.abs_diff(self.seen) <= self.slack
    }
}

impl Summary {
    /// Counts an event, or those that are missing.
    pub fn take(&mut self, observation: &Observation) {
        self.events += u64::from(observation.is_event());
        if let Observation::Lost(lost) = observation {
            *self.lost.entry(lost.place).or_default() += lost.count;
        }
    }

    /// Counts a lifecycle that has ended.
    pub fn count(&mut self, lifecycle: &Lifecycle) {
        *self.by_close.entry(lifecycle.close).or_default() += 1;
        *self.by_closed_first.entry(lifecycle.closed_first).or_default() += 1;
    }

    /// Events that are missing, from everywhere.
    pub fn total_lost(&self) -> u64 {
        self.lost.values().sum()
    }
}
