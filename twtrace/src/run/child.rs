//! The command that a run lasts as long as.
//!
//! It belongs to the same process group, so a terminal gives SIGINT to both, and one that went to twtrace alone is
//! handed on. While it runs, signals are its business: twtrace ends when it has.

use anyhow::Context as _;
use rustix::process::{Pid, PidfdFlags, getpgrp, pidfd_open, pidfd_send_signal};
use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitStatus, Stdio},
};
use tokio::{signal::unix::Signal, sync::oneshot, task::JoinHandle};

/// A command that runs.
pub(super) struct Child(JoinHandle<anyhow::Result<ExitStatus>>);

impl Child {
    /// Runs a command with its arguments. The outer error is ours; the inner one says why it cannot be run.
    pub(super) fn spawn(
        words: &[OsString],
        stdout: Stdio,
        signals: (Signal, Signal),
    ) -> anyhow::Result<io::Result<Self>> {
        let [program, arguments @ ..] = words else { anyhow::bail!("no command was given") };
        let (mut interrupt, mut terminate) = signals;
        let mut process = match Command::new(program).args(arguments).stdout(stdout).spawn() {
            Ok(process) => process,
            Err(error) => return Ok(Err(error)),
        };
        // Its number may be another's as soon as it has been waited for.
        let pidfd = pidfd_open(Pid::from_child(&process), PidfdFlags::empty()).context("cannot watch the command")?;
        let (report, mut ended) = oneshot::channel();
        std::thread::Builder::new().name("command".to_owned()).spawn(move || report.send(process.wait()))?;
        let wait = async move {
            loop {
                let sent = tokio::select! {
                    status = &mut ended => break status.context("nobody waits for the command any more")?,
                    _ = interrupt.recv() => if at_a_terminal() { continue } else { rustix::process::Signal::INT },
                    _ = terminate.recv() => rustix::process::Signal::TERM,
                };
                // It may have ended this moment.
                let _ = pidfd_send_signal(&pidfd, sent);
            }
            .context("cannot wait for the command")
        };
        Ok(Ok(Self(tokio::spawn(wait))))
    }

    /// Its status, when it has ended; to be waited for once.
    pub(super) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        (&mut self.0).await.context("waiting for the command broke down")?
    }
}

/// As a shell hands it on: 128 and the signal's number where one ended it.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// What a shell exits with where a command cannot be run.
pub(super) fn code_of_unstarted(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

/// A terminal has given the SIGINT to the whole of its foreground process group already. One that somebody sent to
/// twtrace alone looks the same there, and is taken for the terminal's.
fn at_a_terminal() -> bool {
    let Ok(terminal) = File::open("/dev/tty") else { return false };
    rustix::termios::tcgetpgrp(&terminal).is_ok_and(|foreground| foreground == getpgrp())
}
