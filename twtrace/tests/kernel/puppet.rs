//! The scenario's end of an [`actor`](crate::actor): one process for each.

use crate::actor::monotonic;
use crate::net::Netns;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than anything an actor waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the network may add between a system call and what it makes the kernel do on the other side, on a
/// machine that is busy.
const SLACK: Duration = Duration::from_millis(100);

/// What an emulated machine may add to that, by `TWTRACE_SLACK` in milliseconds.
pub(crate) static EMULATED: LazyLock<Duration> = LazyLock::new(|| {
    let slack = std::env::var("TWTRACE_SLACK").ok().and_then(|slack| slack.parse().ok());
    Duration::from_millis(slack.unwrap_or(0))
});

/// A process that does what it is told.
pub(crate) struct Puppet {
    child: Child,
    answers: Receiver<String>,
}

/// Something a puppet did, and when: by `CLOCK_MONOTONIC`, around the system calls.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) before: u64,
    pub(crate) after: u64,
    value: String,
}

impl Puppet {
    pub(crate) fn new(netns: &Netns) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--actor").arg(netns.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start an actor")?;
        let lines = BufReader::new(child.stdout.take().context("an actor without stdout")?).lines();
        let (sender, answers) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { child, answers })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says what to do and does not wait for it.
    pub(crate) fn start(&mut self, command: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("an actor without stdin")?;
        writeln!(stdin, "{command}").with_context(|| format!("cannot tell an actor to {command}"))
    }

    /// Waits for what was started, which must have gone well.
    pub(crate) fn done(&mut self) -> Result<Act> {
        match self.answer()? {
            (act, None) => Ok(act),
            (_, Some(errno)) => bail!("an actor's system call failed: errno {errno}"),
        }
    }

    pub(crate) fn does(&mut self, command: &str) -> Result<Act> {
        self.start(command)?;
        self.done().with_context(|| format!("cannot {command}"))
    }

    /// Does what this kernel may refuse, with this error then.
    pub(crate) fn tries(&mut self, command: &str) -> Result<Result<Act, i32>> {
        self.start(command)?;
        let (act, errno) = self.answer()?;
        Ok(errno.map_or(Ok(act), Err))
    }

    /// Does what must fail with this error.
    pub(crate) fn fails(&mut self, command: &str, errno: i32) -> Result<Act> {
        self.start(command)?;
        match self.answer()? {
            (act, Some(got)) if got == errno => Ok(act),
            (_, got) => bail!("{command} should fail with errno {errno}, and gave {got:?}"),
        }
    }

    fn answer(&mut self) -> Result<(Act, Option<i32>)> {
        let line = self.answers.recv_timeout(PATIENCE).context("an actor gives no answer")?;
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().with_context(|| format!("an actor says {line:?}"));
        let (before, after) = (word()?.parse()?, word()?.parse()?);
        let (outcome, value) = (word()?, word()?.to_owned());
        let errno = if outcome == "errno" { Some(value.parse()?) } else { None };
        Ok((Act { before, after, value }, errno))
    }

    /// Ends it with SIGKILL, and waits until its sockets are closed.
    pub(crate) fn kill(mut self) -> Result<Act> {
        let before = monotonic();
        self.child.kill()?;
        self.child.wait()?;
        Ok(Act::between(before, monotonic()))
    }

    /// Lets it exit by itself, without closing anything.
    pub(crate) fn exit(mut self) -> Result<Act> {
        let before = monotonic();
        self.start("exit")?;
        self.child.wait()?;
        Ok(Act::between(before, monotonic()))
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // Already gone is as good; nothing can be done about any other failure.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Act {
    /// Something that was not done by a puppet.
    pub(crate) fn between(before: u64, after: u64) -> Self {
        Self { before, after, value: String::new() }
    }

    /// What the puppet had to say.
    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// The end that the socket has after a connect, a bind or an accept.
    pub(crate) fn end(&self) -> Result<SocketAddr> {
        let end: SocketAddr = self.value.parse().with_context(|| format!("no address: {:?}", self.value))?;
        Ok(SocketAddr::new(end.ip().to_canonical(), end.port()))
    }

    /// How long something lasted that this act began and a later one ended.
    pub(crate) fn until(&self, later: &Self) -> RangeInclusive<u64> {
        self.until_within(later, SLACK)
    }

    pub(crate) fn until_within(&self, later: &Self, slack: Duration) -> RangeInclusive<u64> {
        let slack = (slack + *EMULATED).as_nanos() as u64;
        later.before.saturating_sub(self.after + slack)..=later.after - self.before + slack
    }

    /// How long the act itself lasted at the most.
    pub(crate) fn itself(&self) -> RangeInclusive<u64> {
        0..=self.after - self.before + (SLACK + *EMULATED).as_nanos() as u64
    }
}

/// Keeps a state for a while: part of what happens, not a way of waiting for something.
pub(crate) fn hold(time: Duration) {
    std::thread::sleep(time);
}

/// Asks again and again until it is so.
pub(crate) fn until(what: &str, patience: Duration, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let give_up = std::time::Instant::now() + patience;
    while !so()? {
        ensure!(std::time::Instant::now() < give_up, "in {patience:?} it was not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
