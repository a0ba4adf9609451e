//! The loop's body of a live run: records become observations, answers wait for their moment, questions go out.

use super::session::Session;
use crate::{
    model::{Ktime, LossPlace, Observation, Question, observation::Lost},
    probe::{collect::Batch, decode::Decoder},
};
use std::{collections::VecDeque, io, rc::Rc};

/// Takes questions, until it is dropped.
pub(super) type Questions = std::sync::mpsc::Sender<Vec<Question>>;

pub(super) struct Engine {
    pub(super) session: Session,
    /// Shared with nobody but the loop over a batch, which borrows the rest.
    decoder: Rc<Decoder>,
    asker: Option<Questions>,
    /// Nobody will ever answer.
    unanswered: bool,
    questions: Vec<Question>,
    /// Answers that the events have not caught up with: what the table said at some moment counts after the
    /// events before it.
    answers: VecDeque<Observation>,
}

impl Engine {
    pub(super) fn new(session: Session, decoder: Decoder) -> Self {
        let (questions, answers) = (Vec::new(), VecDeque::new());
        Self { session, decoder: Rc::new(decoder), asker: None, unanswered: false, questions, answers }
    }

    /// Questions can be asked from now on, if at all.
    pub(super) fn ask(&mut self, asker: Option<Questions>) {
        self.unanswered = asker.is_none();
        self.asker = asker;
    }

    pub(super) fn batch(&mut self, batch: Batch) -> io::Result<()> {
        let Batch { records, drained, lost, recursions, garbage } = batch;
        let decoder = Rc::clone(&self.decoder);
        let mut last = Ktime(0);
        let mut senseless = garbage;
        for observation in decoder.batch(&records) {
            match observation {
                Some(observation) => {
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
                self.observe(&Observation::Lost(Lost { at, count, place }))?;
            }
        }
        match drained {
            Some(at) => self.tick(at),
            None => self.session.breathe(at),
        }
    }

    pub(super) fn answers(&mut self, answers: Vec<Observation>) {
        self.answers.extend(answers);
    }

    /// All events before `at` have been given.
    fn tick(&mut self, at: Ktime) -> io::Result<()> {
        self.answers_until(at)?;
        self.observe(&Observation::Tick(at))?;
        self.questions.extend(self.session.questions_of_sinks());
        self.send_questions();
        Ok(())
    }

    fn answers_until(&mut self, at: Ktime) -> io::Result<()> {
        while self.answers.front().is_some_and(|answer| answer.at() <= at) {
            if let Some(answer) = self.answers.pop_front() {
                self.observe(&answer)?;
            }
        }
        Ok(())
    }

    pub(super) fn observe(&mut self, observation: &Observation) -> io::Result<()> {
        self.session.observe(observation)?;
        self.questions.extend(self.session.questions());
        Ok(())
    }

    fn send_questions(&mut self) {
        if self.unanswered {
            self.questions.clear();
        }
        if let (Some(asker), false) = (&self.asker, self.questions.is_empty()) {
            // The thread is gone only when the run is over.
            let _ = asker.send(std::mem::take(&mut self.questions));
        }
    }

    /// All events have been given: asks what is still unsure, and then nothing more.
    pub(super) fn ask_once_more(&mut self) {
        self.session.ask_once_more();
        self.questions.extend(self.session.questions());
        self.send_questions();
        self.asker = None;
    }

    pub(super) fn finish(&mut self, at: Ktime) -> io::Result<()> {
        self.answers_until(at)?;
        self.session.finish(at)
    }
}
