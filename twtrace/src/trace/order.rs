//! The order of rows.
//!
//! Rows of one socket stand together in a batch: what they have in common then costs next to nothing, where rows in
//! order of time would say it anew each time. The order in which they were observed is that of their times, which
//! are there anyway, but for the few that were observed late: `delay_ns` says how late, and `tie` which of several
//! came first.

use super::encode::{socket, socket_of};
use crate::model::{Ktime, Observation};

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
    let keys = observations.iter().zip(0_u32..).map(|(observation, number)| match socket_of(observation).map(socket) {
        Some((is, socket)) => (socket, is as u8, number),
        // What is of no socket comes last.
        None => (u64::MAX, u8::MAX, number),
    });
    let mut keys: Vec<_> = keys.collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, _, number)| number).collect()
}

/// The rows' numbers in the order in which they were observed, from the time and the place of each.
pub(super) fn as_observed(rows: impl Iterator<Item = (Ktime, Place)>) -> Vec<u32> {
    // Ties first: together with the row they are one number to compare.
    let key = |((at, place), row): ((Ktime, Place), u32)| {
        (at.after(place.delay), u64::from(place.tie) << u32::BITS | u64::from(row))
    };
    let mut keys: Vec<_> = rows.zip(0_u32..).map(key).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, row)| row as u32).collect()
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
