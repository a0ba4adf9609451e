//! Runs of one host at the same time have seen the same: it is counted once.
//!
//! The first one says what happened up to its end, and the other goes on from there: sockets have the same numbers in both,
//! and times are of one clock. When a run ended is known only to who has read it, so that is done where runs are of one
//! boot, and nowhere else.

use super::{Piece, Recorded, reader};
use crate::{
    model::{Ktime, tracker::Means},
    trace::Header,
};
use anyhow::{Context as _, bail};

/// A recording, and from when to when it saw.
struct Spanned {
    begin: Ktime,
    end: Ktime,
    recorded: Recorded,
}

/// Puts together what was recorded at the same time on the same host.
pub(super) fn counted_once(recorded: Vec<Recorded>) -> anyhow::Result<Vec<Recorded>> {
    let boots: Vec<Option<String>> = recorded.iter().map(|recorded| recorded.header.boot.clone()).collect();
    let is_alone = |boot: &Option<String>| boot.is_none() || boots.iter().filter(|other| *other == boot).count() == 1;
    let mut done: Vec<Recorded> = Vec::new();
    let mut spanned: Vec<Spanned> = Vec::new();
    for recorded in recorded {
        if is_alone(&recorded.header.boot) { done.push(recorded) } else { spanned.push(Spanned::new(recorded)?) }
    }
    spanned.sort_by_key(|spanned| spanned.begin);
    let mut kept: Vec<Spanned> = Vec::new();
    for next in spanned {
        let boot = &next.recorded.header.boot;
        let overlaps = |one: &&mut Spanned| one.recorded.header.boot == *boot && one.end >= next.begin;
        match kept.iter_mut().find(overlaps) {
            Some(first) => first.goes_on_with(next)?,
            None => kept.push(next),
        }
    }
    done.extend(kept.into_iter().map(|spanned| spanned.recorded));
    // The order in which they are told.
    done.sort_by(|one, other| one.pieces.front().map(Piece::begin).cmp(&other.pieces.front().map(Piece::begin)));
    Ok(done)
}

impl Spanned {
    fn new(mut recorded: Recorded) -> anyhow::Result<Self> {
        let mut begin = recorded.header.attached.at;
        let mut end = begin;
        let number = recorded.pieces.front().map_or(1, Piece::number);
        let last = recorded.pieces.len().saturating_sub(1);
        for (index, piece) in recorded.pieces.iter_mut().enumerate() {
            let is_missing_its_begin = index == 0 && number > 1;
            if index < last && !is_missing_its_begin {
                continue;
            }
            let (first, latest) = piece.span()?;
            if is_missing_its_begin {
                begin = first.unwrap_or(begin);
            }
            end = end.max(latest.unwrap_or(begin));
        }
        Ok(Self { begin, end, recorded })
    }

    fn goes_on_with(&mut self, next: Self) -> anyhow::Result<()> {
        let names = |spanned: &Self| spanned.recorded.pieces.front().map(|piece| piece.path.display().to_string());
        let names = (names(self).unwrap_or_default(), names(&next).unwrap_or_default());
        let host = &self.recorded.header.host;
        if sees(&self.recorded.header) != sees(&next.recorded.header) {
            bail!(
                "{} and {} were recorded on {host} at the same time, not with the same probes, filters or network namespace: give one of them",
                names.0,
                names.1
            );
        }
        log::warn!(
            "{} and {} were recorded on {host} at the same time: what both saw is counted once, out of the first",
            names.0,
            names.1
        );
        // It has seen nothing more.
        if next.end <= self.end {
            return Ok(());
        }
        let mut pieces = next.recorded.pieces;
        if let Some(piece) = pieces.front_mut() {
            piece.takes_over = true;
        }
        self.recorded.pieces.append(&mut pieces);
        self.recorded.cut |= next.recorded.cut;
        self.end = next.end;
        Ok(())
    }
}

/// What the tracker and the audit go by: one cannot go on for another that saw less, or more.
fn sees(header: &Header) -> impl PartialEq + use<> {
    let means = Means { wheel: None, ..header.means };
    (means, header.attached.precision, header.own_netns, header.filters.clone())
}

impl Piece {
    /// The first and the last moment of which it says something.
    fn span(&mut self) -> anyhow::Result<(Option<Ktime>, Option<Ktime>)> {
        let path = &self.path;
        if self.reader.is_some() {
            bail!(
                "cannot tell whether {} was recorded at the same time as another on the same host: it is no file",
                path.display()
            );
        }
        let mut reader = reader(path)?;
        let mut first = None;
        while let Some(batch) = reader.batch() {
            let mut batch = batch.with_context(|| format!("cannot read {}", path.display()))?;
            first = first.or_else(|| Some(batch.next()?.at()));
        }
        Ok((first, reader.latest()))
    }
}
