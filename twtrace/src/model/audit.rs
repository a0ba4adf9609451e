//! Holds what was seen against what the kernel counted itself.

use super::{Tracker, observation::Counters, summary::AuditLine};

/// The kernel's counters at the start and at the end of a run.
#[derive(Debug, Default)]
pub struct Audit {
    begin: Option<Counters>,
    end: Option<Counters>,
}

impl Audit {
    /// The first are those of the start; the last, those of the end.
    pub fn counters(&mut self, counters: &Counters) {
        let place = if self.begin.is_none() { &mut self.begin } else { &mut self.end };
        *place = Some(counters.clone());
    }

    /// Counter by counter; nothing where they were not read twice.
    pub fn lines(&self, tracker: &Tracker) -> Vec<AuditLine> {
        let (Some(begin), Some(end)) = (&self.begin, &self.end) else { return Vec::new() };
        let delta = |name: &str| {
            let value = |counters: &Counters| counters.values.get(name).copied().unwrap_or(0);
            value(end).saturating_sub(value(begin))
        };
        let seen = tracker.seen(begin.netns);
        // A FIN_WAIT2 of 4 s or less is counted by another name: tcp_time_wait(), inet_twsk_schedule().
        let time_waits = delta("TW") + delta("TWKilled");
        // Before 5.17, the same two are counted by tw_timer_handler().
        let ends = tracker.sees_timers().then_some(seen.timed_out);
        let lines = [
            ("ActiveOpens", delta("ActiveOpens"), Some(seen.active_opens)),
            ("PassiveOpens", delta("PassiveOpens"), Some(seen.passive_opens)),
            ("TW", time_waits, if begin.time_waits_at_birth { Some(seen.time_waits) } else { ends }),
            ("TWRecycled", delta("TWRecycled"), Some(seen.recycled)),
            ("TCPTimeWaitOverflow", delta("TCPTimeWaitOverflow"), Some(seen.overflows)),
        ];
        let line = |(counter, kernel, here): (_, _, Option<u64>)| {
            Some(AuditLine { counter, kernel, seen: here?, slack: seen.slack })
        };
        lines.into_iter().filter_map(line).collect()
    }
}
