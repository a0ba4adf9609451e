//! The thread that writes a recording: compresses, goes on in a new file, and ends where there is no more room.

use super::{
    files::{Files, Next},
    recorder::{CHUNKS, End, Order, Recording},
    syncer::{Chore, Syncer},
    watch::is_closed_pipe,
};
use crate::{
    model::{Observation, observation::Table},
    trace::{Header, Writer},
};
use anyhow::Context as _;
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How old an event may get before it is written. With what the ring and the way here take, that leaves 0.4 s of a second
/// for the writing itself, and whatever may take longer than that is another thread's.
const AGE: Duration = Duration::from_millis(500);
/// The same where nothing has happened but that time has passed.
const IDLE: Duration = Duration::from_secs(10);

/// How large a recording may become.
pub(super) struct Limits {
    /// One file of it.
    pub(super) piece: Option<u64>,
    /// All files together.
    pub(super) all: Option<u64>,
}

pub(super) struct Scribe {
    files: Files,
    header: Header,
    limits: Limits,
    recording: Arc<Recording>,
    path: PathBuf,
    file: Arc<File>,
    /// Gone when it has failed, or has nothing more to do.
    syncer: Option<Syncer>,
    writer: Writer<File>,
    /// Bytes of the files before this one.
    before: u64,
    /// What was observed and may not be written has to be by then.
    due: Option<Instant>,
    /// This file has a reading of all tables, so that it can be read alone and the next one may begin.
    surveyed: bool,
}

impl Scribe {
    pub(super) fn new(
        mut files: Files,
        header: Header,
        limits: Limits,
        recording: Arc<Recording>,
    ) -> anyhow::Result<Self> {
        let Next { path, file, .. } = files.next()?;
        let writer = file.try_clone().and_then(|file| Writer::new(file, &header));
        let writer = writer.with_context(|| cannot_write(&path))?;
        let surveyed = !header.means.table;
        let syncer = Syncer::start()?;
        syncer.wants(Chore::Name(path.clone()));
        let (file, syncer) = (Arc::new(file), Some(syncer));
        Ok(Self { files, header, limits, recording, path, file, syncer, writer, before: 0, due: None, surveyed })
    }

    /// Writes what comes until nothing more does.
    pub(super) fn write(mut self, orders: &Receiver<Order>) -> anyhow::Result<End> {
        let end = self.write_all(orders).and_then(|end| {
            self.writer.flush()?;
            Ok(end)
        });
        if end.is_err() && self.files.are_ours() {
            // The last batch may be there in part; what is before it is whole, and stays so where this cannot be done.
            let _ = self.file.set_len(self.writer.bytes());
        }
        let path = self.path.clone();
        match end.and_then(|end| self.finish().map(|()| end)) {
            // Whoever reads a pipe decides for how long.
            Err(error) if is_closed_pipe(&error) => Ok(End::Closed),
            end => end.with_context(|| cannot_write(&path)),
        }
    }

    fn write_all(&mut self, orders: &Receiver<Order>) -> anyhow::Result<End> {
        loop {
            let next = match self.due {
                Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(order) => self.carry_out(order)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Finished),
            }
            // What has come while the disk was busy goes into one batch.
            orders.try_iter().take(CHUNKS).try_for_each(|order| self.carry_out(order))?;
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.due = None;
                self.writer.flush()?;
                self.chore(Chore::Sync(Arc::clone(&self.file)))?;
            }
            let all = self.before + self.writer.bytes();
            self.recording.written(all);
            if self.limits.all.is_some_and(|limit| all >= limit) {
                return Ok(End::Full);
            }
            if self.may_cut() {
                self.recording.may_cut();
            }
        }
    }

    fn carry_out(&mut self, order: Order) -> anyhow::Result<()> {
        let (came, observations) = match order {
            // One that was given twice is meant once.
            Order::Cut => return if self.may_cut() { self.cut() } else { Ok(()) },
            Order::Write(came, observations) => (came, observations),
        };
        let idle = observations.iter().all(|observation| matches!(observation, Observation::Tick(_)));
        let due = came + if idle { IDLE } else { AGE };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        for observation in observations {
            self.surveyed |= matches!(observation, Observation::Table(Table::Ready { .. }));
            self.writer.push(observation)?;
        }
        Ok(())
    }

    /// A reading of all tables may be larger than a file should be, and one of them is enough. Where none comes, the
    /// disk is not to fill up for it.
    fn may_cut(&self) -> bool {
        let size = self.writer.bytes();
        self.limits.piece.is_some_and(|limit| size >= limit && (self.surveyed || size / 2 >= limit))
    }

    fn cut(&mut self) -> anyhow::Result<()> {
        let Next { path, file, outdated } = self.files.next()?;
        self.header.piece += 1;
        let writer = file.try_clone().and_then(|file| Writer::new(file, &self.header));
        let writer = writer.with_context(|| cannot_write(&path))?;
        let old = std::mem::replace(&mut self.writer, writer);
        self.before += old.bytes();
        old.finish()?;
        let old = std::mem::replace(&mut self.file, Arc::new(file));
        self.path = path;
        let chores = [Chore::Sync(old), Chore::Name(self.path.clone())];
        chores.into_iter().chain(outdated.into_iter().map(Chore::Delete)).try_for_each(|chore| self.chore(chore))?;
        self.surveyed = !self.header.means.table;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.recording.written(self.before + self.writer.bytes());
        self.writer.finish()?;
        if let Some(syncer) = self.syncer.take() {
            syncer.wants(Chore::Sync(self.file));
            syncer.finish()?;
        }
        Ok(())
    }

    /// Need not be waited for.
    fn chore(&mut self, chore: Chore) -> anyhow::Result<()> {
        let goes_on = self.syncer.as_ref().is_some_and(|syncer| syncer.wants(chore));
        if goes_on { Ok(()) } else { self.syncer.take().map_or(Ok(()), Syncer::finish) }
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot go on writing {}; what is in it is whole. Make room, or record elsewhere", path.display())
}
