//! Connections that stay where they should pass through.

use super::{
    course::{Course, Scale},
    lived::Lived,
    names::Pids,
    top::{Top, Weight},
};
use crate::model::{
    Comm, Ktime, TcpState,
    report::{PileUp, Place},
};

/// Rows that are followed, and those that are shown.
const ROOM: usize = 128;
const SHOWN: usize = 30;
/// Whoever has left sooner has passed through: the first SYN is sent again after a second.
const LINGERS: u64 = 1_000_000_000;

type Key = (TcpState, Option<Comm>, Place);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct PileUps(Top<Key, Row>);

#[derive(Clone, Debug, Default)]
struct Row {
    pids: Pids,
    entered: u64,
    now: u64,
    not_accepted: u64,
    longest: u64,
    course: Course,
}

impl Weight for Row {
    fn weight(&self) -> u64 {
        self.entered
    }
}

impl Default for PileUps {
    fn default() -> Self {
        Self(Top::new(ROOM))
    }
}

impl PileUps {
    pub(crate) fn take(&mut self, lived: &Lived<'_>) {
        let not_accepted = lived.life.accepted == Some(false);
        for stay in &lived.stays {
            let passes = match stay.span.state {
                TcpState::Established => not_accepted,
                TcpState::TimeWait | TcpState::CloseWait => false,
                _ => true,
            };
            let Some(length) = stay.length(lived.end).filter(|&length| passes && length >= LINGERS) else { continue };
            let row = self.0.row((stay.span.state, lived.comm, lived.place));
            row.pids.add(lived.owner);
            row.entered += 1;
            row.now += u64::from(stay.open);
            row.not_accepted += u64::from(stay.open && not_accepted);
            row.longest = row.longest.max(length);
            if let Some(from) = stay.from {
                row.course.add(lived.scale, from, stay.until);
            }
        }
    }

    /// The most at once first.
    pub(crate) fn table(&self, scale: Scale, end: Ktime) -> Vec<PileUp> {
        let mut rows: Vec<_> = self
            .0
            .iter()
            .map(|(key, row)| (key, row, row.course.peak(&row.course.series(scale, end), row.now, end)))
            .collect();
        rows.sort_unstable_by(|(a, _, x), (b, _, y)| y.count.cmp(&x.count).then_with(|| a.cmp(b)));
        let rows = rows.into_iter().take(SHOWN);
        rows.map(|(&(state, comm, place), row, peak)| PileUp {
            state,
            owner: row.pids.party(comm),
            place,
            entered: row.entered,
            now: row.now,
            peak,
            longest: row.longest,
            not_accepted: row.not_accepted,
        })
        .collect()
    }
}
