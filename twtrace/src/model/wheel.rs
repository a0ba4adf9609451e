//! When the kernel's timer wheel lets a timer run out.
//!
//! A timer falls into a level by how far away it is, and runs out at that level's next step behind its time: each
//! level has 64 steps, 8 times coarser than those of the one below (`calc_wheel_index()`, kernel/time/timer.c).

use super::Ktime;
use serde::{Deserialize, Serialize};

/// The wheel's clock: at `at` it had counted so many jiffies, to a jiffy or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wheel {
    /// Nanoseconds of a jiffy.
    pub jiffy: u64,
    /// The moment.
    pub at: Ktime,
    /// `jiffies` then.
    pub jiffies: u64,
}

impl Wheel {
    /// Nanoseconds between two steps of the level that a timer of this length falls into.
    pub fn step(jiffy: u64, length: u64) -> u64 {
        let jiffy = jiffy.max(1);
        let mut granularity = 1_u64;
        while length / jiffy >= 63 * granularity && granularity < 1 << 21 {
            granularity *= 8;
        }
        granularity * jiffy
    }

    /// The first step behind `armed + length` at which a timer that was still running at `running` can have run out.
    pub fn runs_out(&self, armed: Ktime, length: u64, running: Ktime) -> Ktime {
        let step = Self::step(self.jiffy, length);
        // The moment of jiffy 0 is out of range; where in a step the clock stood at `at` is all that counts.
        let phase = (self.jiffies % (step / self.jiffy.max(1)).max(1)) * self.jiffy;
        let origin = self.at.0.saturating_sub(phase) % step;
        let due = armed.after(length).max(running).0;
        Ktime(due.saturating_sub(origin) / step * step + step + origin)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ktime, Wheel};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_minute_ends_at_the_next_step_of_512_jiffies() {
        assert_eq!(Wheel::step(4_000_000, 60 * SECOND), 2_048_000_000);
        assert_eq!(Wheel::step(1_000_000, 60 * SECOND), 4_096_000_000);
        // Jiffy 1000 at 100 s: step 1024 is 24 jiffies, 96 ms, later, and every 2.048 s from there.
        let wheel = Wheel { jiffy: 4_000_000, at: Ktime(100 * SECOND), jiffies: 1000 };
        let end = |armed: u64, running: u64| wheel.runs_out(Ktime(armed), 60 * SECOND, Ktime(running)).0;
        assert_eq!(end(40 * SECOND, 0), 100_096_000_000);
        assert_eq!(end(40 * SECOND + 96_000_000, 0), 102_144_000_000);
        assert_eq!(end(40 * SECOND, 100_200_000_000), 102_144_000_000, "it was still there");
    }
}
