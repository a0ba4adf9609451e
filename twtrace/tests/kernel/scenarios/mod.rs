//! What is played, by topic.

mod before;
mod closing;
mod fin_wait2;
mod groups;
mod load;
mod mptcp;
mod opening;
mod owners;
mod places;
mod raw;
mod resets;
mod tiers;
mod time_wait;
mod traffic;
mod uring;

use crate::Scenario;
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::time::Duration;

/// Every scenario.
pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    [
        load::all(),
        before::all(),
        opening::all(),
        closing::all(),
        resets::all(),
        owners::all(),
        places::all(),
        raw::all(),
        groups::all(),
        mptcp::all(),
        uring::all(),
        time_wait::all(),
        fin_wait2::all(),
        traffic::all(),
        tiers::all(),
    ]
    .into_iter()
    .flatten()
}

/// How long a state is held that is to be told from one that is passed through.
const HELD: Duration = Duration::from_millis(300);

/// A TIME_WAIT that nobody disturbs: 60 s, and what the timer wheel adds. The kernel counts it in jiffies, of which it
/// may be one short.
static EXPIRED: LazyLock<RangeInclusive<u64>> = LazyLock::new(|| {
    // Timers this far ahead are rounded up to 512 or 4096 jiffies: kernel/time/timer.c, LVL_GRAN().
    let slack = match crate::net::jiffies_a_second() {
        Some(100) => 5_130,
        Some(250) => 2_060,
        Some(300) => 1_720,
        Some(1000) => 4_110,
        _ => 5_200,
    };
    // Where the table is read for its end, that is at the next reading.
    59_990_000_000..=60_300_000_000 + slack * 1_000_000 + crate::puppet::EMULATED.as_nanos() as u64
});
