//! Where the observations of a live run come from: the collector, and the thread that reads tables and /proc.

use super::engine::{Engine, Questions};
use crate::{
    model::Observation,
    probe::{
        ask, clock,
        collect::{Batch, collect},
        load::Loaded,
    },
};
use anyhow::Context as _;
use std::{io, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

/// Batches that may wait for the tracker: beyond that they wait in the ring, where losses are counted.
const BATCHES: usize = 1024;
/// How long the last answers may take: the table gives some 100,000 sockets a second.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

pub(super) struct Source {
    batches: mpsc::Receiver<Batch>,
    collector: JoinHandle<io::Result<()>>,
    stop: watch::Sender<bool>,
    answers: mpsc::UnboundedReceiver<Vec<Observation>>,
    /// Comes once every socket that was there at the start has been given.
    asker: oneshot::Receiver<Questions>,
    asking: bool,
}

impl Source {
    pub(super) fn start(loaded: Loaded, table: bool) -> anyhow::Result<Self> {
        let (to_tracker, batches) = mpsc::channel(BATCHES);
        let (stop, stopped) = watch::channel(false);
        let collector = tokio::spawn(collect(loaded, to_tracker, stopped));
        let (to_answers, answers) = mpsc::unbounded_channel();
        let (ready, asker) = oneshot::channel();
        let reader = ask::Reader::new(to_answers.clone()).context("cannot read the socket table")?;
        let bootstrap = move || bootstrap(reader, table, &to_answers, ready);
        std::thread::Builder::new().name("bootstrap".to_owned()).spawn(bootstrap)?;
        Ok(Self { batches, collector, stop, answers, asker, asking: false })
    }

    /// Gives the engine what comes next; false where nothing more will come.
    pub(super) async fn next(&mut self, engine: &mut Engine) -> io::Result<bool> {
        tokio::select! {
            batch = self.batches.recv() => match batch {
                Some(batch) => engine.batch(batch)?,
                // The collector has failed; finishing says how.
                None => return Ok(false),
            },
            Some(answers) = self.answers.recv() => engine.answers(answers),
            asker = &mut self.asker, if !self.asking => {
                self.asking = true;
                engine.ask(asker.ok());
            }
        }
        Ok(true)
    }

    /// Takes the probes off, and gives out what is left.
    pub(super) async fn finish(mut self, engine: &mut Engine) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        while let Some(batch) = self.batches.recv().await {
            engine.batch(batch)?;
        }
        engine.ask_once_more();
        // Nobody is left to ask, so the answers come to an end; a reading of the start that still goes on may be cut
        // off.
        self.asker.close();
        let last_answers = async {
            while let Some(answers) = self.answers.recv().await {
                engine.answers(answers);
            }
        };
        let _ = tokio::time::timeout(LAST_ANSWERS, last_answers).await;
        engine.finish(clock::now())?;
        self.collector.await.context("the collector broke down")?.context("cannot read the ring")
    }
}

/// The probes are on: now what was there before them.
fn bootstrap(
    mut reader: ask::Reader,
    table: bool,
    answers: &mpsc::UnboundedSender<Vec<Observation>>,
    ready: oneshot::Sender<Questions>,
) {
    if table {
        reader.bootstrap();
        if answers.is_closed() {
            return;
        }
    }
    match reader.start() {
        Ok(questions) => {
            let _ = ready.send(questions);
        }
        Err(error) => log::warn!("cannot start the thread that reads the socket table: {error}"),
    }
}
