//! A run of `twtrace watch`, as a script has one: wait until it is attached, do something, end it, read.

use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

/// Nothing here takes as long; it is there so that a hang fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running twtrace whose probes are on.
pub(crate) struct Watch {
    pub(crate) child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

/// A twtrace that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) lines: Vec<String>,
    pub(crate) errors: Vec<String>,
}

/// What a run said in JSON.
pub(crate) struct Run {
    pub(crate) lifecycles: Vec<Value>,
    pub(crate) summary: Value,
}

impl Watch {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_as("json", arguments)
    }

    pub(crate) fn start_as(format: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_twtrace"))
            .args(["watch", "--format", format])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("twtrace starts");
        let lines = read_aside(child.stdout.take().expect("piped"));
        let errors = read_aside(child.stderr.take().expect("piped"));
        let watch = Self { child, lines, errors };
        // JSON says it in its first line, the others beside their rows.
        let (channel, sign) =
            if format == "json" { (&watch.lines, r#"{"type":"attached""#) } else { (&watch.errors, "attached") };
        match channel.recv_timeout(PATIENCE) {
            Ok(line) if line.contains(sign) => watch,
            Ok(line) => panic!("the first line is {line:?}, then {:?}", watch.finish()),
            Err(_) => panic!("it did not attach: {:?}", watch.finish()),
        }
    }

    /// Interrupts it and reads all that it says.
    pub(crate) fn end(self) -> Run {
        signal(&self.child, Signal::INT);
        let ended = self.finish();
        assert!(ended.status.success(), "{}: {:?}", ended.status, ended.errors);
        Run::parse(&ended)
    }

    /// Reads all that it says until it ends.
    pub(crate) fn finish(mut self) -> Ended {
        let lines = read_all(&self.lines);
        let status = wait(&mut self.child, Duration::from_secs(10));
        Ended { status, lines, errors: read_all(&self.errors) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        wait(&mut self.child, Duration::ZERO);
    }
}

impl Run {
    /// Of the lines behind the first, which said that it was attached.
    pub(crate) fn parse(ended: &Ended) -> Self {
        let mut lifecycles = Vec::new();
        let mut summary = None;
        for line in &ended.lines {
            assert!(summary.is_none(), "a line after the summary: {line}");
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
            assert_eq!(value["schema"], 1, "{line}");
            match value["type"].as_str() {
                Some("lifecycle") => lifecycles.push(value),
                Some("summary") => summary = Some(value),
                Some("lost" | "transition") => {}
                _ => panic!("a line of an unknown type: {line}"),
            }
        }
        let summary = summary.unwrap_or_else(|| panic!("no summary: {:?}", ended.errors));
        Self { lifecycles, summary }
    }
}

/// Takes the lines of a pipe off it as they come, so that it never fills.
fn read_aside(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn read_all(lines: &Receiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => all.push(line),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return all,
        }
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).expect("the child is ours and not yet waited for");
}

/// Waits for a child of ours to end, and kills it when it takes too long.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> ExitStatus {
    let deadline = Instant::now() + patience;
    loop {
        match child.try_wait().expect("the child is ours") {
            Some(status) => return status,
            None if Instant::now() >= deadline => {
                child.kill().expect("the child is ours");
                return child.wait().expect("the child is ours");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
