//! Where changes go: one sink a format. Sinks know the model and not one another.

pub mod csv;
pub mod doctor;
pub mod expect;
pub mod export;
pub mod format;
pub mod html;
pub mod json;
pub mod metrics;
mod notes;
pub mod progress;
mod record;
pub mod report;
#[cfg(test)]
pub(crate) mod samples;
pub mod states;
pub mod text;
pub mod tui;

pub use crate::model::attached::{Attached, Clock, Precision, Probe};

use crate::model::{Change, Ktime, Observation, Question, Tracker, join::Origin, summary::Summary};
use std::io;

/// One way of showing or keeping what happens.
///
/// Errors are those of the output; a closed pipe is [`io::ErrorKind::BrokenPipe`] and ends the run quietly.
pub trait Sink {
    /// A recording is replayed: whose what follows is, up to the next such word.
    ///
    /// Of several, changes, ticks and what is attached have common times and numbers; an observation has its host's own.
    fn origin(&mut self, _origin: &Origin) {}

    /// The probes are on; events come from now on.
    fn attached(&mut self, attached: &Attached) -> io::Result<()>;

    /// Something was observed.
    fn observation(&mut self, _observation: &Observation) -> io::Result<()> {
        Ok(())
    }

    /// Something changed.
    fn change(&mut self, change: &Change) -> io::Result<()>;

    /// All that is known at `at` has been given: a good moment to flush.
    fn tick(&mut self, _at: Ktime, _tracker: &Tracker) -> io::Result<()> {
        Ok(())
    }

    /// What it would like to have observed: asked until it has nothing more to ask.
    fn question(&mut self) -> Option<Question> {
        None
    }

    /// The run is over.
    fn finish(&mut self, summary: &Summary) -> io::Result<()>;
}

/// A sink that is told of everything but of transitions, which another asked for.
pub struct Untold(pub Box<dyn Sink>);

impl Sink for Untold {
    fn origin(&mut self, origin: &Origin) {
        self.0.origin(origin);
    }

    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.0.attached(attached)
    }

    fn observation(&mut self, observation: &Observation) -> io::Result<()> {
        self.0.observation(observation)
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        match change {
            Change::Transition(_) => Ok(()),
            _ => self.0.change(change),
        }
    }

    fn tick(&mut self, at: Ktime, tracker: &Tracker) -> io::Result<()> {
        self.0.tick(at, tracker)
    }

    fn question(&mut self) -> Option<Question> {
        self.0.question()
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.0.finish(summary)
    }
}
