//! A tracer under measurement: twtrace or a peer, as a child process from its readiness to its end.

use super::programs;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub(super) struct Tracer {
    child: Child,
    /// Reads its output to the end and keeps the tail, where that is wanted.
    tail: Option<JoinHandle<Vec<u8>>>,
}

/// Where a tracer's output goes.
pub(super) enum Output {
    Nowhere,
    /// Through a pipe, as to another program, keeping the last of it.
    Tail,
}

impl Tracer {
    /// Starts `command` and waits until its programs are attached.
    pub(super) fn start(mut command: Command, output: Output, log: &Path) -> Result<Self> {
        let log_file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let stdout = match output {
            Output::Nowhere => Stdio::null(),
            Output::Tail => Stdio::piped(),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let tail = child.stdout.take().map(|mut pipe| thread::spawn(move || keep_tail(&mut pipe)));
        let mut tracer = Self { child, tail };
        tracer.wait_until_attached().with_context(|| {
            let said = fs::read_to_string(log).unwrap_or_default();
            format!("{:?} does not trace: {}", command.get_program(), said.trim())
        })?;
        Ok(tracer)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// No tracer says in the same way when it is ready, but each is when it loads no more programs.
    fn wait_until_attached(&mut self) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(30);
        const QUIET: Duration = Duration::from_millis(500);
        let start = Instant::now();
        let mut since = start;
        let mut last = 0;
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            let held = programs::held_by(self.pid())?.len();
            if held != last {
                (last, since) = (held, Instant::now());
            }
            if held > 0 && since.elapsed() > QUIET {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("it holds no BPF program after {PATIENCE:?}")
    }

    /// Interrupts it as a person would, waits for its end, and gives the tail of its output.
    pub(super) fn stop(mut self) -> Result<String> {
        const PATIENCE: Duration = Duration::from_secs(120);
        kill_process(Pid::from_child(&self.child), Signal::INT).context("cannot interrupt the tracer")?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                bail!("the tracer does not end within {PATIENCE:?} of SIGINT");
            }
            thread::sleep(Duration::from_millis(20));
        }
        let tail = self.tail.take().map(JoinHandle::join).transpose();
        let tail = tail.map_err(|_| anyhow::anyhow!("the output's reader panicked"))?;
        Ok(String::from_utf8_lossy(&tail.unwrap_or_default()).into_owned())
    }

    /// Resident memory in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        let kilobytes = status_field(&format!("/proc/{}/status", self.pid()), "VmRSS:")?;
        Ok(kilobytes * 1024)
    }

    /// How often one of its threads went to sleep of its own accord, so was woken again.
    pub(super) fn wake_ups(&self) -> Result<u64> {
        let folder = format!("/proc/{}/task", self.pid());
        let mut sum = 0;
        for task in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
            let status = task?.path().join("status");
            sum += status_field(&status.to_string_lossy(), "voluntary_ctxt_switches:")?;
        }
        Ok(sum)
    }

    /// CPU time of all its threads.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.pid());
        let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // After the name, which may hold anything, fields 14 and 15 of proc_pid_stat(5) are user and system time.
        let (_, fields) = stat.rsplit_once(')').context("a stat without a name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }
}

impl Drop for Tracer {
    /// Nothing that this started outlives it, whatever went wrong.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn status_field(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    value.with_context(|| format!("{path} has no {name}"))?.parse().context("no number")
}

fn keep_tail(pipe: &mut impl Read) -> Vec<u8> {
    const KEPT: usize = 64 << 10;
    let mut tail = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        tail.extend_from_slice(&buffer[..read]);
        let surplus = tail.len().saturating_sub(KEPT);
        tail.drain(..surplus);
    }
    tail
}
