//! What was seen, held against the kernel's counters, of which `TW` means different things by version.

use crate::{
    time_wait::{ORPHAN, WAITS},
    trace,
    verdict::Tier,
};
use twtrace::model::{Ktime, Observation, Tracker, audit::Audit, observation::Counters};

/// Of the traces.
const NETNS: u32 = 1;

/// What the kernel counted and what was seen, if `TW` is held against anything.
#[track_caller]
fn time_waits(tier: Tier, at_birth: bool, trace: &str, kernel: u64) -> Option<(u64, u64)> {
    let counters = |at: u64, count: u64| Counters {
        before: Ktime(at),
        after: Ktime(at),
        netns: NETNS,
        time_waits_at_birth: at_birth,
        values: [("TW".to_owned(), 10 + count)].into(),
    };
    let (begin, end) = (counters(0, 0), counters(120_000_000_000, kernel));
    let mut tracker = Tracker::new(tier.means());
    let mut audit = Audit::default();
    audit.counters(&begin);
    tracker.handle(&Observation::Counters(begin));
    trace::parse(trace)
        .into_iter()
        .filter_map(|(observation, _)| tier.sees(observation))
        .for_each(|o| tracker.handle(&o));
    audit.counters(&end);
    tracker.handle(&Observation::Counters(end));
    let line = audit.lines(&tracker).into_iter().find(|line| line.counter == "TW")?;
    Some((line.kernel, line.seen))
}

/// inet_twsk_alloc() and tcp_time_wait() since 5.17, tw_timer_handler() before.
#[test]
fn time_waits_are_counted_when_they_begin_or_end() {
    let both = format!("{WAITS} 62s #7 timer expire TIME_WAIT due=60.004s");
    let killed = format!("{WAITS} 1s #7 timer cancel TIME_WAIT abort");
    let orphan = format!("{ORPHAN} 62s #7 timer expire FIN_WAIT2 due=60.004s");
    for tier in [Tier::Exact, Tier::Timers] {
        for trace in [&both, &killed, &orphan] {
            assert_eq!(time_waits(tier, true, trace, 1), Some((1, 1)), "{trace}");
        }
        assert_eq!(time_waits(tier, false, &both, 1), Some((1, 1)));
        assert_eq!(time_waits(tier, false, &orphan, 1), Some((1, 1)));
        assert_eq!(time_waits(tier, false, &killed, 0), Some((0, 0)), "it did not run out");
    }
    assert_eq!(time_waits(Tier::Table, true, &both, 1), Some((1, 1)));
    assert_eq!(time_waits(Tier::Table, false, &both, 1), None, "ends that no event tells");
}
