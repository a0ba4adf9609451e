//! Recordings through the same trackers, filters and sinks as a live run.
//!
//! One recording is said as the run itself said it. Several have a tracker each, and their changes come together in
//! order of wall time.

use super::{
    recordings::{self, Recorded},
    session::{Limit, Session},
    several::Several,
};
use crate::{
    cli::FilterArgs,
    model::{Ktime, Observation, filter::Filter, tracker::Means},
    sink::Sink,
    stderr,
    trace::Header,
};
use anyhow::anyhow;
use std::path::PathBuf;

/// What of the recordings is wanted.
pub(super) struct Wanted<'a> {
    pub(super) files: &'a [PathBuf],
    pub(super) filter: &'a FilterArgs,
    /// Everything, though a recording was made with filters.
    pub(super) all: bool,
    /// Every transition, too.
    pub(super) transitions: bool,
}

/// What a replay came to.
pub(super) struct Replayed {
    /// Events that are missing in the recordings.
    pub(super) lost: u64,
    /// Something in them could not be believed.
    pub(super) damaged: bool,
    /// One of them has no end.
    pub(super) cut: bool,
}

/// Replays recordings.
///
/// # Errors
///
/// Where they cannot be read, and those of the sinks.
pub(super) fn replay(wanted: &Wanted<'_>, sinks: Vec<Box<dyn Sink>>, limit: Limit) -> anyhow::Result<Replayed> {
    replay_all(recordings::open(wanted.files)?, wanted, sinks, limit)
}

/// The same of recordings that are open.
pub(super) fn replay_all(
    mut recordings: Vec<Recorded>,
    wanted: &Wanted<'_>,
    sinks: Vec<Box<dyn Sink>>,
    limit: Limit,
) -> anyhow::Result<Replayed> {
    if recordings.len() > 1 {
        return Several::new(recordings, wanted, sinks, limit)?.replay();
    }
    let Some(mut recorded) = recordings.pop() else { return Err(anyhow!("no recording was given")) };
    let means = wanted.means(&recorded.header);
    let mut session = Session::new(means, wanted.filter(&recorded.header)?, sinks, limit);
    session.replays(&recorded.header.origin());
    session.attached(&recorded.header.attached)?;
    let end = feed(&mut recorded, &mut session)?;
    session.finish(end)?;
    Ok(Replayed { lost: session.lost(), damaged: recorded.damaged, cut: recorded.cut })
}

/// Gives all that was observed; the moment at which it ended.
fn feed(recorded: &mut Recorded, session: &mut Session) -> anyhow::Result<Ktime> {
    // Where nothing was observed, it was over as it began.
    let mut end = recorded.header.attached.at;
    // The last tick is the end's, which the run itself saw but once.
    let mut held = None;
    while !session.done()
        && let Some(observation) = recorded.next()?
    {
        if let Some(tick) = held.take() {
            session.observe(&tick)?;
            session.questions().for_each(drop);
        }
        end = end.max(observation.at());
        match observation {
            Observation::Tick(_) => held = Some(observation),
            _ => {
                session.observe(&observation)?;
                session.questions().for_each(drop);
            }
        }
    }
    Ok(end)
}

impl Wanted<'_> {
    pub(super) fn means(&self, header: &Header) -> Means {
        Means { show_transitions: self.transitions, ..header.means }
    }

    /// The filters that were given or else those that the recording was made with.
    pub(super) fn filter(&self, header: &Header) -> anyhow::Result<Filter> {
        if self.all || !self.filter.words().is_empty() || header.filters.is_empty() {
            return Ok(self.filter.clone().filter());
        }
        let words = header.filters.join(" ");
        let filter = FilterArgs::parse(&header.filters).map_err(|_| {
            anyhow!(
                "cannot filter by {words:?}, as the recording from {} was: give other filters or --all",
                header.host
            )
        })?;
        stderr::note(&format!("filtered as it was recorded: {words}; --all shows everything"));
        Ok(filter.filter())
    }
}
