//! What ends a run from outside: SIGINT and SIGTERM.

use crate::sink::tui;
use std::io;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// The exit code of a process that SIGINT has ended, as a shell has it.
const INTERRUPTED: i32 = 130;

/// The first signal asks for an end, and everything is done that belongs to one.
pub(super) struct Stops(watch::Receiver<bool>);

impl Stops {
    /// Whoever asks twice does not want to wait for the rest: the second signal ends the process at once, though the
    /// run itself may wait for an output that nobody reads.
    pub(super) fn listen() -> io::Result<Self> {
        let (mut interrupt, mut terminate) = signals()?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            ask.send_replace(true);
            either(&mut interrupt, &mut terminate).await;
            tui::give_back();
            std::process::exit(INTERRUPTED);
        });
        Ok(Self(asked))
    }

    /// Somebody has asked.
    pub(super) async fn first(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending().await
        }
    }
}

/// SIGINT and SIGTERM.
pub(super) fn signals() -> io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
