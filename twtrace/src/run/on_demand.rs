//! A recording that a person starts and stops while the run goes on.
//!
//! It is as whole as that of a run: it begins with the kernel's counters and a reading of the socket table, and ends with
//! the counters and all that happened before they were read. What happened before its begin is not in it.

use super::{
    files::Files,
    recorder::{End, Recorder, Recording},
    screen::SharedDoing,
};
use crate::{
    cli::WritingArgs,
    model::{
        Change, Ktime, Observation, Question, Tracker,
        observation::{Counters, Table},
        summary::Summary,
    },
    sink::{Attached, Sink, format},
    stderr,
    trace::Header,
};
use std::{cell::Cell, io, path::PathBuf, rc::Rc, sync::Arc};

/// How long a recording that is to stop waits for the reading of the socket table that it began with.
const PATIENCE: u64 = 5_000_000_000;

/// Reads the kernel's counters.
pub(super) type ReadCounters = Box<dyn Fn() -> Option<Counters>>;

/// See the module.
pub(super) struct OnDemand {
    header: Header,
    counters: ReadCounters,
    args: WritingArgs,
    doing: SharedDoing,
    /// A recording is wanted.
    wanted: Rc<Cell<bool>>,
    running: Option<Running>,
    /// It has just begun: what is there already is to be recorded first.
    fresh: bool,
}

struct Running {
    recorder: Recorder,
    recording: Arc<Recording>,
    name: String,
    /// What was there at its begin has been given.
    ready: bool,
    /// It is to stop, since that moment, once all is in it that the counters at its end may have counted.
    stopping: Option<Ktime>,
}

impl OnDemand {
    /// The second part says whether a recording is wanted.
    pub(super) fn new(
        header: Header,
        args: &WritingArgs,
        doing: SharedDoing,
        counters: ReadCounters,
    ) -> (Self, Rc<Cell<bool>>) {
        let wanted = Rc::<Cell<bool>>::default();
        let args = args.clone();
        (Self { header, counters, args, doing, wanted: wanted.clone(), running: None, fresh: false }, wanted)
    }

    fn start(&mut self, at: Ktime) -> anyhow::Result<()> {
        let path = PathBuf::from(name(at, &self.header.attached));
        let files = Files::claim(&path, &self.args)?;
        let name = files.name();
        // A run of its own: another one of the same run has another begin.
        let attached = Attached { at, ..self.header.attached.clone() };
        let mut recorder = Recorder::start(files, Header { attached, ..self.header.clone() }, &self.args)?;
        // To the recording alone: the run has its own.
        if let Some(begin) = (self.counters)() {
            recorder.observation(&Observation::Counters(begin))?;
        }
        let ready = !self.header.means.table;
        self.doing.borrow_mut().recording = Some(name.clone());
        self.running = Some(Running { recording: recorder.recording(), recorder, name, ready, stopping: None });
        self.fresh = true;
        Ok(())
    }

    /// Stops when all is in it; what is observed meanwhile is still recorded.
    fn stop_when_whole(&mut self, at: Ktime) -> io::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let Some(since) = running.stopping else {
            let end = (self.counters)();
            running.stopping = Some(end.as_ref().map_or(at, |end| end.after));
            return end.map_or(Ok(()), |end| running.recorder.observation(&Observation::Counters(end)));
        };
        if at > since && (running.ready || at.since(since) > PATIENCE) {
            self.stop();
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.wanted.set(false);
        self.doing.borrow_mut().recording = None;
        let Some(Running { recorder, recording, name, .. }) = self.running.take() else { return };
        // It writes what it has, and then says how it ended.
        drop(recorder);
        match recording.end() {
            Some(Err(error)) => stderr::fail(&error),
            Some(Ok(End::Full)) => stderr::note(&format!("{name} has its --max-size: the recording has ended")),
            _ => stderr::note(&format!("recorded to {name}")),
        }
    }

    fn running(&mut self) -> Option<&mut Recorder> {
        self.running.as_mut().map(|running| &mut running.recorder)
    }
}

/// `twtrace-20260101T000000Z.arrows`: when it began.
fn name(at: Ktime, attached: &Attached) -> String {
    let wall = format::wall(at, attached.clock);
    let seconds: String = wall.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    format!("twtrace-{seconds}Z.arrows")
}

impl Sink for OnDemand {
    fn attached(&mut self, _attached: &Attached) -> io::Result<()> {
        Ok(())
    }

    fn observation(&mut self, observation: &Observation) -> io::Result<()> {
        let Some(running) = &mut self.running else { return Ok(()) };
        running.ready |= matches!(observation, Observation::Table(Table::Ready { .. }));
        running.recorder.observation(observation)
    }

    fn change(&mut self, _change: &Change) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, at: Ktime, tracker: &Tracker) -> io::Result<()> {
        match (self.wanted.get(), &self.running) {
            (true, None) => {
                if let Err(error) = self.start(at) {
                    self.wanted.set(false);
                    stderr::fail(&error.context("cannot start recording"));
                }
            }
            // The disk is full, or whatever else has ended it.
            (_, Some(running)) if running.recording.is_over() => self.stop(),
            (wanted, Some(running)) if !wanted || running.stopping.is_some() => self.stop_when_whole(at)?,
            _ => {}
        }
        self.running().map_or(Ok(()), |recorder| recorder.tick(at, tracker))
    }

    fn question(&mut self) -> Option<Question> {
        if std::mem::take(&mut self.fresh) {
            return Some(Question::Everything);
        }
        self.running().and_then(Recorder::question)
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        self.stop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::name;
    use crate::{model::Ktime, sink::samples};

    #[test]
    fn a_recording_is_called_by_its_begin() {
        let attached = samples::attached();
        assert_eq!(name(attached.at, &attached), "twtrace-20260101T000000Z.arrows");
        let later = Ktime(attached.at.0 + 3_661_999_000_000);
        assert_eq!(name(later, &attached), "twtrace-20260101T010101Z.arrows");
    }
}
