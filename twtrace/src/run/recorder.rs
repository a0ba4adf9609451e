//! Makes a recording beside a run: a sink that hands what is observed to a thread, which compresses and writes.
//!
//! What waits for the thread is bounded. Where the disk cannot keep up, the run waits for it, and events wait in the
//! ring, where those that find no room are counted. So nothing is dropped in between: what is recorded is what the
//! tracker was given, and a replay says what the run said.

use super::{
    files::Files,
    scribe::{Limits, Scribe},
};
use crate::{
    cli::WritingArgs,
    model::{Change, Ktime, Observation, Question, Tracker, summary::Summary},
    sink::{Attached, Sink},
    trace::Header,
};
use anyhow::anyhow;
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Instant,
};
use tokio::sync::Notify;

/// Observations that are handed over at once, if no tick comes before.
const CHUNK: usize = 4096;
/// Chunks that may wait to be written.
pub(super) const CHUNKS: usize = 16;

/// A recording, as those see it who do not make it.
#[derive(Default)]
pub(super) struct Recording {
    /// Bytes written, in all files.
    bytes: AtomicU64,
    /// The file is as large as it should be, and has what a reader of it alone needs.
    may_cut: AtomicBool,
    end: Mutex<Option<anyhow::Result<End>>>,
    over: Notify,
}

/// How a recording came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The run was over.
    Finished,
    /// It has its `--max-size`.
    Full,
    /// Nobody reads it any more.
    Closed,
}

impl Recording {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn may_cut(&self) {
        self.may_cut.store(true, Ordering::Relaxed);
    }

    fn ended(&self, end: anyhow::Result<End>) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        self.over.notify_one();
    }

    /// It has ended, though the run may go on.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }

    /// It has ended, and nobody was told how.
    pub(super) fn is_over(&self) -> bool {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// How it ended, once it has; told once.
    pub(super) fn end(&self) -> Option<anyhow::Result<End>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// See the module.
pub(super) struct Recorder {
    recording: Arc<Recording>,
    waiting: Vec<Observation>,
    /// Gone when the recording has ended.
    scribe: Option<(SyncSender<Order>, JoinHandle<()>)>,
}

/// What the thread has to do.
pub(super) enum Order {
    /// To write what was observed up to this moment.
    Write(Instant, Vec<Observation>),
    /// To go on in a new file.
    Cut,
}

impl Recorder {
    /// Begins a recording.
    pub(super) fn start(files: Files, header: Header, args: &WritingArgs) -> anyhow::Result<Self> {
        let recording = Arc::<Recording>::default();
        let limits = Limits { piece: args.rotate_size, all: args.max_size };
        let scribe = Scribe::new(files, header, limits, recording.clone())?;
        let (sender, orders) = sync_channel(CHUNKS);
        let write = {
            let recording = recording.clone();
            move || recording.ended(scribe.write(&orders))
        };
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn(write)?;
        Ok(Self { recording, waiting: Vec::new(), scribe: Some((sender, thread)) })
    }

    pub(super) fn recording(&self) -> Arc<Recording> {
        self.recording.clone()
    }

    fn hand_over(&mut self) {
        let next = Vec::with_capacity(self.waiting.len());
        let waiting = std::mem::replace(&mut self.waiting, next);
        if !waiting.is_empty() {
            self.order(Order::Write(Instant::now(), waiting));
        }
    }

    fn order(&self, order: Order) {
        // What cannot be written any more is not kept; the recording says why it ended.
        if let Some((sender, _)) = &self.scribe {
            let _ = sender.send(order);
        }
    }

    fn end(&mut self) {
        self.hand_over();
        if let Some((sender, thread)) = self.scribe.take() {
            drop(sender);
            if thread.join().is_err() {
                self.recording
                    .ended(Err(anyhow!("the thread that writes the recording broke down; please report this")));
            }
        }
    }
}

impl Sink for Recorder {
    fn attached(&mut self, _attached: &Attached) -> io::Result<()> {
        Ok(())
    }

    fn observation(&mut self, observation: &Observation) -> io::Result<()> {
        self.waiting.push(observation.clone());
        if self.waiting.len() >= CHUNK {
            self.hand_over();
        }
        Ok(())
    }

    fn change(&mut self, _change: &Change) -> io::Result<()> {
        Ok(())
    }

    fn tick(&mut self, _at: Ktime, _tracker: &Tracker) -> io::Result<()> {
        self.hand_over();
        Ok(())
    }

    /// The next file should have what a reader of it alone cannot know, so none is begun where nobody can be asked.
    fn question(&mut self) -> Option<Question> {
        if !self.recording.may_cut.swap(false, Ordering::Relaxed) {
            return None;
        }
        self.hand_over();
        self.order(Order::Cut);
        Some(Question::Everything)
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        self.end();
        Ok(())
    }
}

/// A run that failed has made a recording all the same.
impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}
