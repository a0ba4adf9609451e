//! The loop's body: observations into the tracker, changes out to the sink, questions on their way.

use super::audit::Audit;
use crate::{
    model::{
        Change, Ktime, LossPlace, Observation, Question, Tracker, filter::Filter, observation::Lost, summary::Summary,
        tracker::Means,
    },
    probe::{collect::Batch, decode::Decoder},
    sink::{Attached, Sink},
};
use std::{collections::VecDeque, io, rc::Rc};

/// Takes questions, until it is dropped.
pub(super) type Questions = std::sync::mpsc::Sender<Vec<Question>>;

/// When enough has been shown.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// So many lifecycles; `None` for no limit.
    pub(super) lifecycles: Option<u64>,
    /// A lifecycle counts when its closing is done, not when all is over.
    pub(super) early: bool,
}

pub(super) struct Engine {
    tracker: Tracker,
    /// Shared with nobody but the loop over a batch, which borrows the rest.
    decoder: Rc<Decoder>,
    filter: Filter,
    sink: Box<dyn Sink>,
    limit: Limit,
    shown: u64,
    summary: Summary,
    audit: Audit,
    asker: Option<Questions>,
    questions: Vec<Question>,
    /// Answers that the events have not caught up with: what the table said at some moment counts after the
    /// events before it.
    answers: VecDeque<Observation>,
}

impl Engine {
    pub(super) fn new(
        means: Means,
        decoder: Decoder,
        filter: Filter,
        sink: Box<dyn Sink>,
        limit: Limit,
        audit: Audit,
    ) -> Self {
        let mut tracker = Tracker::new(means);
        if let Some(window) = audit.began() {
            tracker.audit_from(window);
        }
        Self {
            tracker,
            decoder: Rc::new(decoder),
            filter,
            sink,
            limit,
            shown: 0,
            summary: Summary::default(),
            audit,
            asker: None,
            questions: Vec::new(),
            answers: VecDeque::new(),
        }
    }

    pub(super) fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.sink.attached(attached)
    }

    /// Questions can be asked from now on, if at all.
    pub(super) fn ask(&mut self, asker: Option<Questions>) {
        self.asker = asker;
    }

    /// Enough has been shown.
    pub(super) fn done(&self) -> bool {
        self.limit.lifecycles.is_some_and(|limit| self.shown >= limit)
    }

    pub(super) fn lost(&self) -> u64 {
        self.summary.total_lost()
    }

    pub(super) fn batch(&mut self, batch: Batch) -> io::Result<()> {
        let Batch { records, drained, lost, recursions, garbage } = batch;
        let decoder = Rc::clone(&self.decoder);
        let mut last = Ktime(0);
        let mut senseless = garbage;
        for observation in decoder.batch(&records) {
            match observation {
                Some(observation) => {
                    self.summary.events += 1;
                    last = observation.at();
                    self.observe(&observation)?;
                }
                None => senseless += 1,
            }
        }
        let at = drained.unwrap_or(last);
        let places = [(LossPlace::Ring, lost), (LossPlace::Recursion, recursions), (LossPlace::Decode, senseless)];
        for (place, count) in places {
            if count > 0 {
                *self.summary.lost.entry(place).or_default() += count;
                self.observe(&Observation::Lost(Lost { at, count, place }))?;
            }
        }
        match drained {
            Some(at) => self.tick(at),
            None => Ok(()),
        }
    }

    pub(super) fn answers(&mut self, answers: Vec<Observation>) -> io::Result<()> {
        self.answers.extend(answers);
        Ok(())
    }

    /// All events before `at` have been given.
    fn tick(&mut self, at: Ktime) -> io::Result<()> {
        while self.answers.front().is_some_and(|answer| answer.at() <= at) {
            if let Some(answer) = self.answers.pop_front() {
                self.observe(&answer)?;
            }
        }
        self.observe(&Observation::Tick(at))?;
        self.sink.tick(at, &self.tracker)?;
        if let (Some(asker), false) = (&self.asker, self.questions.is_empty()) {
            // The thread is gone only when the run is over.
            let _ = asker.send(std::mem::take(&mut self.questions));
        }
        Ok(())
    }

    fn observe(&mut self, observation: &Observation) -> io::Result<()> {
        self.sink.observation(observation)?;
        self.tracker.handle(observation);
        self.changes()?;
        while let Some(question) = self.tracker.poll_question() {
            self.questions.push(question);
        }
        Ok(())
    }

    fn changes(&mut self) -> io::Result<()> {
        while let Some(change) = self.tracker.poll() {
            if self.wanted(&change) {
                self.count(&change);
                self.sink.change(&change)?;
            }
        }
        Ok(())
    }

    fn wanted(&self, change: &Change) -> bool {
        match change {
            Change::Lost(_) => true,
            Change::Transition(shown) => !self.done() && self.filter.matches_shown(shown),
            Change::Closed(lifecycle) | Change::Ended { lifecycle, .. } => {
                !self.done() && self.filter.matches(lifecycle)
            }
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

    /// The kernel's counters are read for the last time; what happens from now on is not held against them.
    pub(super) fn end_audit(&mut self) {
        if let Some(window) = self.audit.end() {
            self.tracker.audit_until(window);
        }
    }

    /// All events have been given: asks what is still unsure, and then nothing more.
    pub(super) fn ask_once_more(&mut self) {
        self.tracker.ask_once_more();
        while let Some(question) = self.tracker.poll_question() {
            self.questions.push(question);
        }
        if let Some(asker) = self.asker.take() {
            // The thread is gone only when the run is over.
            let _ = asker.send(std::mem::take(&mut self.questions));
        }
    }

    pub(super) fn finish(&mut self, at: Ktime) -> io::Result<()> {
        self.tick(at)?;
        self.tracker.finish(at);
        self.changes()?;
        self.summary.audit = self.audit.lines(&self.tracker);
        self.sink.finish(&self.summary)
    }
}
