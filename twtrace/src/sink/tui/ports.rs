//! Will the ports toward a destination run out, and when.
//!
//! Each connection of one local address to one remote address and port takes a local port of its own for as long as it
//! or its TIME_WAIT lasts. Pure arithmetic on what is held now and on the pace of the last seconds; what it says holds
//! while that pace does.

/// A TIME_WAIT lasts so many seconds (`TCP_TIMEWAIT_LEN`, include/net/tcp.h), so nothing that is held now by one is
/// held longer.
pub(super) const HORIZON: usize = 60;

/// What holds ports toward a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Ports that connect() may choose from.
    pub(super) pool: u32,
    /// Of these, taken by connections that are no TIME_WAIT.
    pub(super) open: u32,
    /// And by TIME_WAITs, by the second from now in which connect() may have the port again; the first is free already.
    pub(super) freed: [u32; HORIZON + 1],
    /// Taken in the last seconds, and held still.
    pub(super) taken: u32,
    /// How many seconds those are.
    pub(super) pace: u64,
}

/// The seconds over which the pace is taken, once the run is as old.
pub(super) const PACE: u64 = 10;

/// What will become of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// No port is left now.
    Full,
    /// None will be left after so many seconds.
    FullIn(u32),
    /// As many as are taken come back: at this pace no more than so many are ever held.
    Levels(u32),
}

impl Held {
    /// Ports that connect() cannot have now.
    pub(super) fn blocked(&self) -> u32 {
        self.open + self.freed[1..].iter().sum::<u32>()
    }

    /// What will become of it at this pace.
    pub(super) fn outlook(&self) -> Outlook {
        let mut blocked = self.blocked();
        if blocked >= self.pool {
            return Outlook::Full;
        }
        let mut most = blocked;
        for (second, freed) in (1u64..).zip(&self.freed[1..]) {
            blocked = blocked.saturating_sub(*freed);
            let taken = u64::from(self.taken) * second / self.pace.max(1);
            let then = u32::try_from(taken).unwrap_or(u32::MAX).saturating_add(blocked);
            if then >= self.pool {
                return Outlook::FullIn(u32::try_from(second).unwrap_or(u32::MAX));
            }
            most = most.max(then);
        }
        Outlook::Levels(most)
    }
}

#[cfg(test)]
mod tests {
    use super::{HORIZON, Held, Outlook, PACE};

    fn idle(pool: u32) -> Held {
        Held { pool, open: 0, freed: [0; HORIZON + 1], taken: 0, pace: PACE }
    }

    #[test]
    fn nothing_happens_without_a_pace() {
        let mut held = idle(100);
        assert_eq!(held.outlook(), Outlook::Levels(0));
        held.open = 40;
        held.freed[30] = 20;
        assert_eq!((held.blocked(), held.outlook()), (60, Outlook::Levels(60)));
        held.open = 80;
        assert_eq!(held.outlook(), Outlook::Full);
    }

    #[test]
    fn a_port_that_may_be_taken_again_is_not_missing() {
        let mut held = idle(100);
        held.freed[0] = 100;
        assert_eq!((held.blocked(), held.outlook()), (0, Outlook::Levels(0)));
    }

    /// 1,000 ports, ten a second, each held for 60 s: 600 at the most.
    #[test]
    fn a_pace_that_the_pool_bears_levels() {
        let mut held = idle(1_000);
        held.taken = 100;
        held.freed[51..].fill(10);
        assert_eq!(held.outlook(), Outlook::Levels(600));
    }

    /// 20 a second: 500 are free, and the first of those held comes back after 51 s.
    #[test]
    fn a_pace_that_it_does_not_bear_fills_it() {
        let mut held = idle(1_000);
        held.taken = 200;
        held.open = 300;
        held.freed[51..].fill(20);
        assert_eq!((held.blocked(), held.outlook()), (500, Outlook::FullIn(25)));
        held.taken = u32::MAX;
        assert_eq!(held.outlook(), Outlook::FullIn(1));
    }
}
