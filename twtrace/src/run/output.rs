//! The sinks of a run, what of the changes they are given, and what all of it comes to.

use super::session::Limit;
use crate::{
    model::{
        Change, Observation,
        filter::Filter,
        summary::{AuditLine, Summary},
    },
    sink::Sink,
};
use std::io;

pub(super) struct Output {
    pub(super) sinks: Vec<Box<dyn Sink>>,
    pub(super) summary: Summary,
    limit: Limit,
    shown: u64,
}

impl Output {
    pub(super) fn new(sinks: Vec<Box<dyn Sink>>, limit: Limit) -> Self {
        Self { sinks, summary: Summary::default(), limit, shown: 0 }
    }

    pub(super) fn each(&mut self, act: impl FnMut(&mut Box<dyn Sink>) -> io::Result<()>) -> io::Result<()> {
        self.sinks.iter_mut().try_for_each(act)
    }

    /// Enough has been shown.
    pub(super) fn done(&self) -> bool {
        self.limit.lifecycles.is_some_and(|limit| self.shown >= limit)
    }

    pub(super) fn observation(&mut self, observation: &Observation) -> io::Result<()> {
        self.summary.take(observation);
        self.each(|sink| sink.observation(observation))
    }

    /// Gives a change to the sinks if it is wanted.
    pub(super) fn change(&mut self, change: &Change, filter: &Filter) -> io::Result<()> {
        if !self.wanted(change, filter) {
            return Ok(());
        }
        self.count(change);
        self.each(|sink| sink.change(change))
    }

    pub(super) fn finish(&mut self, audit: Vec<AuditLine>) -> io::Result<()> {
        self.summary.audit = audit;
        self.sinks.iter_mut().try_for_each(|sink| sink.finish(&self.summary))
    }

    fn wanted(&self, change: &Change, filter: &Filter) -> bool {
        match change {
            Change::Lost(_) => true,
            Change::Transition(shown) => !self.done() && filter.matches_shown(shown),
            Change::Closed(lifecycle) | Change::Ended { lifecycle, .. } => !self.done() && filter.matches(lifecycle),
        }
    }

    fn count(&mut self, change: &Change) {
        if let Change::Ended { lifecycle, .. } = change {
            self.summary.count(lifecycle);
        }
        self.shown += match change {
            Change::Closed(_) => u64::from(self.limit.early),
            Change::Ended { announced, .. } => u64::from(!(self.limit.early && *announced)),
            Change::Transition(_) | Change::Lost(_) => 0,
        };
    }
}
