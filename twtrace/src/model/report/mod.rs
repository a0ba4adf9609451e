//! What a run means: what happened, what is wrong, who did it and what to do.
//!
//! [`Report`] is plain data, ready to be shown; nothing in it has to be worked out again. Every count covers the
//! connections that the filter let through. What is not known is `None`, and what was left out of a table for want of
//! room is counted beside it.

mod analysis;
mod diff;
mod figure;
mod finding;
mod gather;
mod judge;
mod tables;

pub use analysis::Analysis;
pub use diff::{Compared, Comparison, Fate, FindingChange, Outcome};
pub use figure::{Figure, Peak, Quantiles, Series, Value};
pub use finding::{Advice, AdviceKind, Finding, FindingKind, Severity, Stance};
pub(crate) use gather::course::{Course, Scale};
pub use tables::{
    CloseWaitHolder, CloseWaits, Closes, Destination, Full, Happened, IdleEnd, Oldest, Party, PileUp, Place, Reuse,
    StateCount, TimeWaitMaker, TimeWaits,
};

use super::{
    attached::{Clock, Precision},
    sysctls::Sysctls,
};

/// What a run means.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Where it was.
    pub hosts: Vec<Host>,
    /// What is wrong, the worst first; empty where there is nothing to do.
    pub findings: Vec<Finding>,
    /// What to do about the findings, and what not to; empty where there is nothing to do.
    pub advice: Vec<Advice>,
    /// What happened.
    pub happened: Happened,
    /// The TIME_WAITs.
    pub time_wait: TimeWaits,
    /// Where connections went out to, with the local ports that they held; the most ports at once first.
    pub destinations: Vec<Destination>,
    /// Connections to destinations that are not in the list.
    pub other_destinations: u64,
    /// The CLOSE_WAITs.
    pub close_wait: CloseWaits,
    /// Other states in which connections stayed, the most at once first.
    pub pile_ups: Vec<PileUp>,
    /// Who closes first, by process.
    pub closes_by_process: Vec<Closes>,
    /// Who closes first, by peer.
    pub closes_by_peer: Vec<Closes>,
    /// Lives that ended after a round time without data.
    pub idle_ends: Vec<IdleEnd>,
}

/// A host, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its name: any text at all.
    pub name: Option<String>,
    /// What tells this boot of it from any other.
    pub boot: Option<String>,
    /// `uname -r`.
    pub kernel: Option<String>,
    /// The network namespace whose settings these are, by its inode number.
    pub netns: Option<u32>,
    /// Its settings by name, `net.ipv4.tcp_tw_reuse`, as the kernel prints them; what could not be read is not there.
    pub sysctls: Sysctls,
    /// How TIME_WAIT was measured.
    pub precision: Option<Precision>,
    /// What the kernel's clocks mean as wall time.
    pub clock: Option<Clock>,
}

impl Report {
    /// What the moments of the report mean as wall time: those of several hosts are told by the first one's clock.
    pub fn clock(&self) -> Option<Clock> {
        self.hosts.first()?.clock
    }
}
