//! Holds what was seen against what the kernel counted itself.

use super::{Window, read_counters};
use crate::{
    model::{Tracker, summary::AuditLine},
    probe::{counters::Counters, support::Support},
};

/// The counters at the start and at the end, in our own network namespace.
pub(super) struct Audit {
    netns: u32,
    begin: Option<Counters>,
    end: Option<Counters>,
    /// `TW` is counted when a time-wait socket is made, and not when it ends.
    time_waits_at_birth: bool,
}

impl Audit {
    /// `namespaces` says whether events tell their namespace: without that they cannot be held against anything.
    pub(super) fn begin(netns: u32, namespaces: bool, support: &Support) -> Self {
        // inet_twsk_schedule() counts since the death row moved into struct net (6.1).
        let time_waits_at_birth = support.layout.as_ref().is_ok_and(|layout| layout.tw_refcount != 0);
        let begin = namespaces.then(read_counters).flatten();
        Self { netns, begin, end: None, time_waits_at_birth }
    }

    pub(super) fn began(&self) -> Option<Window> {
        self.begin.as_ref().map(|counters| (counters.before, counters.after))
    }

    pub(super) fn end(&mut self) -> Option<Window> {
        self.end = self.begin.as_ref().and_then(|_| read_counters());
        self.end.as_ref().map(|counters| (counters.before, counters.after))
    }

    pub(super) fn lines(&self, tracker: &Tracker) -> Vec<AuditLine> {
        let (Some(begin), Some(end)) = (&self.begin, &self.end) else { return Vec::new() };
        let delta = |name: &str| {
            let value = |counters: &Counters| counters.values.get(name).copied().unwrap_or(0);
            value(end).saturating_sub(value(begin))
        };
        let seen = tracker.seen(self.netns);
        // A FIN_WAIT2 of 4 s or less is counted by another name: tcp_time_wait(), inet_twsk_schedule().
        let time_waits = delta("TW") + delta("TWKilled");
        let lines = [
            ("ActiveOpens", delta("ActiveOpens"), seen.active_opens),
            ("PassiveOpens", delta("PassiveOpens"), seen.passive_opens),
            ("TW", time_waits, seen.time_waits),
            ("TWRecycled", delta("TWRecycled"), seen.recycled),
            ("TCPTimeWaitOverflow", delta("TCPTimeWaitOverflow"), seen.overflows),
        ];
        lines
            .into_iter()
            .filter(|(counter, ..)| *counter != "TW" || self.time_waits_at_birth)
            .map(|(counter, kernel, seen_here)| AuditLine { counter, kernel, seen: seen_here, slack: seen.slack })
            .collect()
    }
}
