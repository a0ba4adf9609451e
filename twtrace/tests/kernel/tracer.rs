//! `twtrace watch --format json --events`, running beside the scenarios, and its recording, which must say the same.

use crate::Tier;
use crate::folder::Folder;
use crate::net::Netns;
use crate::puppet::EMULATED;
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Loading and attaching, on a machine that is busy.
const ATTACH: Duration = Duration::from_secs(180);

/// From SIGINT to the summary.
const FINISH: Duration = Duration::from_secs(180);

const TWTRACE: &str = env!("CARGO_BIN_EXE_twtrace");
const WATCH_JSON: [&str; 4] = ["watch", "--format", "json", "--events"];

/// The largest recording that is brought out of a guest; a scenario's has some 100 KB.
const LARGEST: u64 = 16 << 20;

/// A tracer at work.
pub(crate) struct Tracer {
    name: String,
    child: Mutex<Child>,
    shown: Arc<Shown>,
    recording: Folder,
}

/// The lines it has shown so far.
#[derive(Default)]
struct Shown {
    lines: Mutex<Output>,
    more: Condvar,
}

#[derive(Default)]
struct Output {
    lines: Vec<Value>,
    /// The same, word for word.
    said: Vec<String>,
    garbage: Vec<String>,
    complaints: String,
    over: bool,
}

/// A tracer's whole run.
pub(crate) struct Run {
    pub(crate) lines: Vec<Value>,
    pub(crate) exit: Option<i32>,
}

impl Tracer {
    /// Returns when it is attached. Its recording is known by the name.
    pub(crate) fn start(name: String, tier: Tier, arguments: &[&str]) -> Result<Self> {
        Self::start_as(Command::new(TWTRACE), name, tier, arguments)
    }

    /// The same inside a namespace, whose counters it holds against what it sees.
    pub(crate) fn start_in(netns: &Netns, name: String, tier: Tier, arguments: &[&str]) -> Result<Self> {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net={}", netns.path())).arg(TWTRACE);
        Self::start_as(inside, name, tier, arguments)
    }

    fn start_as(mut command: Command, name: String, tier: Tier, arguments: &[&str]) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let recording = Folder::new(&format!("kernel-{}", STARTED.fetch_add(1, Ordering::Relaxed)));
        command.args(WATCH_JSON).arg("-w").arg(recording.file()).args(tier.arguments()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start twtrace")?;
        let shown = Arc::<Shown>::default();
        let output = BufReader::new(child.stdout.take().context("twtrace without stdout")?);
        let mut errors = child.stderr.take().context("twtrace without stderr")?;
        std::thread::spawn({
            let shown = shown.clone();
            move || {
                for line in output.lines().map_while(Result::ok) {
                    let parsed = serde_json::from_str(&line);
                    let mut output = shown.lock();
                    match parsed {
                        Ok(value) => {
                            output.lines.push(value);
                            output.said.push(line);
                        }
                        Err(_) => output.garbage.push(line),
                    }
                    shown.more.notify_all();
                }
                shown.lock().over = true;
                shown.more.notify_all();
            }
        });
        std::thread::spawn({
            let shown = shown.clone();
            move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = errors.read(&mut buffer) {
                    shown.lock().complaints.push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
            }
        });
        let tracer = Self { name, child: Mutex::new(child), shown, recording };
        let attached = |lines: &[Value]| lines.iter().any(|line| line["type"] == "attached").then_some(());
        tracer.wait("the attached line", ATTACH + *EMULATED * 60, attached)?;
        Ok(tracer)
    }

    /// Waits until `find` finds what it looks for in all that was shown so far.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        mut find: impl FnMut(&[Value]) -> Option<T>,
    ) -> Result<T> {
        let give_up = Instant::now() + patience;
        let mut output = self.shown.lock();
        loop {
            if let Some(found) = find(&output.lines) {
                return Ok(found);
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if output.over || left.is_zero() {
                let when = if output.over { "twtrace ended without" } else { "twtrace did not show" };
                bail!("{when} {what}; it complains: {:?}; not JSON: {:?}", output.complaints, output.garbage);
            }
            output = self.shown.more.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All lines so far that `wanted` picks.
    pub(crate) fn lines(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.shown.lock().lines.iter().filter(|line| wanted(line)).cloned().collect()
    }

    /// Sends SIGINT and waits for the end; the recording must say what the run has said.
    pub(crate) fn finish(&self) -> Result<Run> {
        let status = self.end()?;
        let over = |output: &mut Output| !output.over;
        let output = self.shown.more.wait_while(self.shown.lock(), over).unwrap_or_else(PoisonError::into_inner);
        ensure!(output.garbage.is_empty(), "not JSON: {:?}", output.garbage);
        let mut replay = Command::new(TWTRACE);
        let replayed =
            replay.args(WATCH_JSON).arg("-r").arg(self.recording.file()).output().context("cannot start twtrace")?;
        let said = |lines: &[String]| lines.get(1..).map(<[String]>::to_vec).unwrap_or_default();
        let replayed: Vec<String> = String::from_utf8(replayed.stdout)?.lines().map(str::to_owned).collect();
        differ(&said(&output.said), &said(&replayed))?;
        Ok(Run { lines: output.lines.clone(), exit: status.code() })
    }

    /// Has it end by itself.
    fn end(&self) -> Result<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        kill_process(Pid::from_child(&child), Signal::INT).context("twtrace has ended by itself")?;
        let give_up = Instant::now() + FINISH;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < give_up, "twtrace does not end on SIGINT in {FINISH:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Brings the recording to the folder that `TWTRACE_RECORDINGS` names, whatever became of its scenario.
    fn bring(&self) -> Result<()> {
        let Some(folder) = std::env::var_os("TWTRACE_RECORDINGS") else { return Ok(()) };
        self.end()?;
        let size = std::fs::metadata(self.recording.file())?.len();
        ensure!(size <= LARGEST, "it has {size} bytes, more than {LARGEST}");
        // A scenario may have one tracer after another.
        let names = (1..).map(|number| match number {
            1 => format!("{}.arrows", self.name),
            _ => format!("{}-{number}.arrows", self.name),
        });
        let mut places = names.map(|name| PathBuf::from(&folder).join(name.replace("::", "-")));
        let place = places.find(|place| !place.exists()).context("no name is left")?;
        std::fs::copy(self.recording.file(), place)?;
        Ok(())
    }
}

/// The first line in which a replay differs from its run, if there is one. The lines before are about the run itself.
fn differ(live: &[String], replayed: &[String]) -> Result<()> {
    for (number, (live, replayed)) in live.iter().zip(replayed).enumerate() {
        ensure!(live == replayed, "line {number} of the replay differs:\n  live {live}\nreplay {replayed}");
    }
    ensure!(live.len() == replayed.len(), "the run said {} lines, and its replay {}", live.len(), replayed.len());
    Ok(())
}

impl Folder {
    fn file(&self) -> PathBuf {
        self.0.join("run.arrows")
    }
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, Output> {
        // A test that panicked with the lock held has done nothing to the lines.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Err(error) = self.bring() {
            println!("the recording of {} is not brought: {error:#}", self.name);
        }
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // Already gone is as good.
        let _gone = child.kill();
        let _gone = child.wait();
    }
}

impl Run {
    /// The last line.
    pub(crate) fn summary(&self) -> Result<&Value> {
        let last = self.lines.last().context("twtrace showed nothing")?;
        ensure!(last["type"] == "summary", "the last line is no summary but {last}");
        Ok(last)
    }

    pub(crate) fn lifecycles(&self) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(|line| line["type"] == "lifecycle")
    }
}
