//! The thread that does what a busy disk may take seconds for, beside the one that writes a recording: it syncs files
//! and folders, and deletes what is kept no longer.
//!
//! What is written meanwhile outlives the process all the same, and only a power cut would take it.

use super::files::folder;
use anyhow::{Context as _, anyhow};
use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

pub(super) struct Syncer {
    chores: Sender<Chore>,
    thread: JoinHandle<anyhow::Result<()>>,
}

pub(super) enum Chore {
    /// What was written to it so far should be on the disk soon.
    Sync(Arc<File>),
    /// So should the name of this file.
    Name(PathBuf),
    Delete(PathBuf),
}

impl Syncer {
    pub(super) fn start() -> anyhow::Result<Self> {
        // However long the disk takes, the writing does not wait for it; and these are some few a second.
        let (chores, wanted) = channel();
        let thread = thread::Builder::new().name("sync".to_owned()).spawn(move || do_all(&wanted));
        Ok(Self { chores, thread: thread.context("cannot start a thread to sync the recording")? })
    }

    /// False where something has failed.
    pub(super) fn wants(&self, chore: Chore) -> bool {
        self.chores.send(chore).is_ok()
    }

    /// All is done, or it is said why not.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        drop(self.chores);
        let broken = |_| anyhow!("the thread that syncs the recording broke down; please report this");
        self.thread.join().map_err(broken)?
    }
}

fn do_all(wanted: &Receiver<Chore>) -> anyhow::Result<()> {
    while let Ok(first) = wanted.recv() {
        // What came while the disk was busy is done in one go.
        let mut chores = [first].into_iter().chain(wanted.try_iter()).peekable();
        while let Some(chore) = chores.next() {
            match (&chore, chores.peek()) {
                (Chore::Sync(file), Some(Chore::Sync(next))) if Arc::ptr_eq(file, next) => {}
                _ => chore.run()?,
            }
        }
    }
    Ok(())
}

impl Chore {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Sync(file) => Ok(sync(&file)?),
            Self::Name(path) => {
                // Not every file system can.
                let _ = File::open(folder(&path)).and_then(|folder| folder.sync_all());
                Ok(())
            }
            Self::Delete(path) => match fs::remove_file(&path) {
                // Somebody may have taken it away already.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(error).with_context(|| format!("cannot delete {}", path.display()))
                }
                _ => Ok(()),
            },
        }
    }
}

/// So that a power cut does not take it back.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_data() {
        // A pipe or a device keeps nothing.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}
