//! One tracker and some sinks, whatever the source: what a run says of the observations that it is given.
//!
//! The same observations and the same end give the same words, live or out of a recording.

use super::output::Output;
use crate::{
    model::{Ktime, Observation, Question, Tracker, audit::Audit, filter::Filter, join::Origin, tracker::Means},
    sink::{Attached, Sink},
};
use std::io;

/// When enough has been shown.
#[derive(Clone, Copy, Default)]
pub(super) struct Limit {
    /// So many lifecycles; `None` for no limit.
    pub(super) lifecycles: Option<u64>,
    /// A lifecycle counts when its closing is done, not when all is over.
    pub(super) early: bool,
}

pub(super) struct Session {
    tracker: Tracker,
    filter: Filter,
    audit: Audit,
    output: Output,
}

impl Session {
    pub(super) fn new(means: Means, filter: Filter, sinks: Vec<Box<dyn Sink>>, limit: Limit) -> Self {
        let output = Output::new(sinks, limit);
        Self { tracker: Tracker::new(means), filter, audit: Audit::default(), output }
    }

    /// A recording is replayed.
    pub(super) fn replays(&mut self, origin: &Origin) {
        self.output.sinks.iter_mut().for_each(|sink| sink.origin(origin));
    }

    pub(super) fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.output.each(|sink| sink.attached(attached))
    }

    /// Enough has been shown.
    pub(super) fn done(&self) -> bool {
        self.output.done()
    }

    pub(super) fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    pub(super) fn lost(&self) -> u64 {
        self.output.summary.total_lost()
    }

    pub(super) fn observe(&mut self, observation: &Observation) -> io::Result<()> {
        if let Observation::Counters(counters) = observation {
            self.audit.counters(counters);
        }
        self.output.observation(observation)?;
        self.tracker.handle(observation);
        self.changes()?;
        if let Observation::Tick(at) = observation {
            self.output.each(|sink| sink.tick(*at, &self.tracker))?;
        }
        Ok(())
    }

    /// More is waiting than there is time for, and so no tick comes: whoever shows something is to go on all the same.
    pub(super) fn breathe(&mut self, at: Ktime) -> io::Result<()> {
        self.output.each(|sink| sink.tick(at, &self.tracker))
    }

    /// What the tracker would like to have observed. To be asked after each observation.
    pub(super) fn questions(&mut self) -> impl Iterator<Item = Question> {
        std::iter::from_fn(|| self.tracker.poll_question())
    }

    /// What the sinks would. To be asked once in a while.
    pub(super) fn questions_of_sinks(&mut self) -> impl Iterator<Item = Question> {
        self.output.sinks.iter_mut().flat_map(|sink| std::iter::from_fn(|| sink.question()))
    }

    /// All events have been given: the questions of which only the table knows the answer.
    pub(super) fn ask_once_more(&mut self) {
        self.tracker.ask_once_more();
    }

    /// The run is over.
    pub(super) fn finish(&mut self, at: Ktime) -> io::Result<()> {
        self.observe(&Observation::Tick(at))?;
        self.tracker.finish(at);
        self.changes()?;
        self.output.finish(self.audit.lines(&self.tracker))
    }

    fn changes(&mut self) -> io::Result<()> {
        while let Some(change) = self.tracker.poll() {
            self.output.change(&change, &self.filter)?;
        }
        Ok(())
    }
}
