//! Who closes first, and how.

use super::{
    counts::Counts,
    lived::Lived,
    names::Pids,
    top::{Top, Weight},
};
use crate::model::{
    Close, Comm, Side,
    report::{Closes, Place},
};

/// Rows that are followed, and those that are shown.
const ROOM: usize = 128;
const SHOWN: usize = 20;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Closers {
    by_process: Top<Option<Comm>, Row>,
    by_peer: Top<Place, Row>,
}

#[derive(Clone, Debug, Default)]
struct Row {
    pids: Pids,
    closed: u64,
    first: Counts<Option<Side>>,
    close: Counts<Option<Close>>,
    reasons: Counts<&'static str>,
}

impl Weight for Row {
    fn weight(&self) -> u64 {
        self.closed
    }
}

impl Default for Closers {
    fn default() -> Self {
        Self { by_process: Top::new(ROOM), by_peer: Top::new(ROOM) }
    }
}

impl Closers {
    pub(crate) fn take(&mut self, lived: &Lived<'_>) {
        if lived.is_open() && lived.life.closed_first.is_none() {
            return;
        }
        let row = self.by_process.row(lived.comm);
        row.pids.add(lived.owner);
        row.take(lived);
        let peer = match lived.place {
            Place::At(_) => Place::With(lived.life.tuple.remote.ip),
            place => place,
        };
        self.by_peer.row(peer).take(lived);
    }

    pub(crate) fn by_process(&self) -> Vec<Closes> {
        table(&self.by_process, |comm, row| Closes { party: row.pids.party(*comm), ..row.closes() })
    }

    pub(crate) fn by_peer(&self) -> Vec<Closes> {
        table(&self.by_peer, |place, row| Closes { place: Some(*place), ..row.closes() })
    }
}

fn table<K: Copy + Eq + std::hash::Hash + Ord>(rows: &Top<K, Row>, closes: impl Fn(&K, &Row) -> Closes) -> Vec<Closes> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_unstable_by(|(a, x), (b, y)| y.closed.cmp(&x.closed).then_with(|| a.cmp(b)));
    rows.into_iter().take(SHOWN).map(|(key, row)| closes(key, row)).collect()
}

impl Row {
    fn take(&mut self, lived: &Lived<'_>) {
        let life = lived.life;
        self.closed += 1;
        self.first.add(life.closed_first);
        if life.close.is_some() || !lived.is_open() {
            self.close.add(life.close);
        }
        if let Some(reason) = life.close_reason {
            self.reasons.add(reason);
        }
    }

    fn closes(&self) -> Closes {
        Closes {
            party: None,
            place: None,
            closed: self.closed,
            first: self.first.map(),
            close: self.close.map(),
            reasons: self.reasons.map(),
        }
    }
}
