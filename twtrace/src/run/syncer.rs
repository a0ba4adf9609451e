//! The thread that syncs a recording to the disk, beside the one that writes it.
//!
//! A busy disk may take seconds for it. What is written meanwhile outlives the process all the same, and only a power
//! cut would take it.

use super::recorder::CHUNKS;
use anyhow::{Context as _, anyhow};
use std::{
    fs::File,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

pub(super) struct Syncer {
    files: SyncSender<Arc<File>>,
    thread: JoinHandle<io::Result<()>>,
}

impl Syncer {
    pub(super) fn start() -> anyhow::Result<Self> {
        // As few wait as may wait to be written: where the disk takes longer still, the writing waits for it.
        let (files, wanted) = sync_channel(CHUNKS);
        let thread = thread::Builder::new().name("sync".to_owned()).spawn(move || sync_all(&wanted));
        Ok(Self { files, thread: thread.context("cannot start a thread to sync the recording")? })
    }

    /// What was written to it so far should be on the disk soon; false where that has failed.
    pub(super) fn sync(&self, file: &Arc<File>) -> bool {
        self.files.send(Arc::clone(file)).is_ok()
    }

    /// It is there, or it is said why not.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        drop(self.files);
        let broken = |_| anyhow!("the thread that syncs the recording broke down; please report this");
        Ok(self.thread.join().map_err(broken)??)
    }
}

fn sync_all(wanted: &Receiver<Arc<File>>) -> io::Result<()> {
    while let Ok(mut file) = wanted.recv() {
        // What came while the disk was busy is done in one go.
        for next in wanted.try_iter() {
            let before = std::mem::replace(&mut file, next);
            if !Arc::ptr_eq(&before, &file) {
                sync(&before)?;
            }
        }
        sync(&file)?;
    }
    Ok(())
}

/// So that a power cut does not take it back.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_data() {
        // A pipe or a device keeps nothing.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}
