//! The order of rows.
//!
//! Rows of one socket stand together in a batch: what they have in common then costs next to nothing, where rows in
//! order of time would say it anew each time. The order in which they were observed is that of their times, which
//! are there anyway, but for the few that were observed late: `delay_ns` says how late, and `tie` which of several
//! came first.

use super::encode::{socket, socket_of};
use crate::model::{Ktime, Observation};

/// Bits of a row's number in a packed key.
const PACKED_ROW: u32 = 16;
/// Keys that differ by less can be packed: 4.3 s of nanoseconds, or so many sockets' cookies.
const PACKED_SPAN: u64 = (1 << 32) - 1;

/// Where a row stood among those of its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// How much earlier its time is than the latest time before it.
    pub(super) delay: u64,
    /// How many rows with the same time and delay together were before it.
    pub(super) tie: u16,
}

/// The place of each observation, in the order in which they are given.
pub(super) fn places(observations: &[Observation]) -> impl Iterator<Item = Place> + '_ {
    let mut latest = Ktime(0);
    let mut ties = 0;
    observations.iter().map(move |observation| {
        let at = observation.at();
        if at > latest {
            (latest, ties) = (at, 0);
        }
        let place = Place { delay: latest.since(at), tie: ties };
        ties = ties.wrapping_add(1);
        place
    })
}

/// The observations' numbers as they are to be written: by socket, and in their order within one.
pub(super) fn by_socket(observations: &[Observation]) -> Vec<u32> {
    let keys = observations.iter().map(|observation| match socket_of(observation).map(socket) {
        Some((is, socket)) => (socket, is as u16),
        // What is of no socket comes last.
        None => (u64::MAX, u16::MAX),
    });
    sorted(&keys.collect::<Vec<_>>())
}

/// The rows' numbers in the order in which they were observed, from the time and the place of each.
pub(super) fn as_observed(rows: impl Iterator<Item = (Ktime, Place)>) -> Vec<u32> {
    let keys = rows.map(|(at, place)| (at.after(place.delay).0, place.tie));
    sorted(&keys.collect::<Vec<_>>())
}

/// The keys' numbers in the order of the keys, and of the numbers where those are equal.
fn sorted(keys: &[(u64, u16)]) -> Vec<u32> {
    let numbered = || keys.iter().zip(0_u32..);
    // What a key says beyond the smallest has room in one integer, which is sorted in half the time, unless the last
    // stands for none.
    let real = || keys.iter().map(|key| key.0).filter(|number| *number != u64::MAX);
    let (least, most) = (real().min().unwrap_or_default(), real().max().unwrap_or_default());
    if most - least < PACKED_SPAN && keys.len() <= 1 << PACKED_ROW {
        let pack = |(&(number, second), row): (&(u64, u16), u32)| {
            let number = (number - least).min(PACKED_SPAN);
            (number << u16::BITS | u64::from(second)) << PACKED_ROW | u64::from(row)
        };
        let mut packed: Vec<u64> = numbered().map(pack).collect();
        packed.sort_unstable();
        return packed.into_iter().map(|key| key as u32 & ((1 << PACKED_ROW) - 1)).collect();
    }
    let mut pairs: Vec<_> = numbered().map(|(key, row)| (*key, row)).collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::{as_observed, by_socket, places};
    use crate::model::{Ktime, Observation, SocketId, observation::Table};
    use proptest::prelude::*;

    fn seen(at: u64, socket: Option<u64>) -> Observation {
        let at = Ktime(at);
        match socket {
            Some(socket) => Observation::Table(Table::Absent { at, socket: SocketId::Cookie(socket) }),
            None => Observation::Tick(at),
        }
    }

    proptest! {
        #[test]
        fn whatever_the_order_it_is_found_again(
            rows in proptest::collection::vec((0u64..20, proptest::option::of(0u64..5)), 0..60)
        ) {
            let observations: Vec<_> = rows.into_iter().map(|(at, socket)| seen(at, socket)).collect();
            let places: Vec<_> = places(&observations).collect();
            let written = by_socket(&observations);
            let rows = written.iter().map(|&number| (observations[number as usize].at(), places[number as usize]));
            let read: Vec<_> = as_observed(rows).into_iter().map(|row| written[row as usize]).collect();
            prop_assert_eq!(read, (0..observations.len() as u32).collect::<Vec<_>>());
        }
    }
}
