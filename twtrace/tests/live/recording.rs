//! A run of `twtrace record`, and what its recording holds.

use crate::watch::{self, PATIENCE};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

/// A running `twtrace record` whose probes are on.
pub(crate) struct Record {
    pub(crate) child: Child,
    errors: BufReader<ChildStderr>,
}

/// What a recording says.
pub(crate) struct Replayed {
    pub(crate) lives: Vec<Value>,
    pub(crate) summary: Value,
    pub(crate) errors: String,
}

impl Record {
    pub(crate) fn start(path: &Path, arguments: &[&str]) -> Self {
        Self::start_command(path, arguments, &[])
    }

    pub(crate) fn start_command(path: &Path, arguments: &[&str], command: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_twtrace"))
            .args(["record", "-w"])
            .arg(path)
            .args(arguments)
            .args(if command.is_empty() { None } else { Some("--") })
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("twtrace starts");
        let mut errors = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        errors.read_line(&mut line).expect("stderr");
        assert!(line.contains(" attached: "), "the first line is {line:?}");
        Self { child, errors }
    }

    /// Waits for its end; what it said on stderr.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        let status = watch::wait(&mut self.child, PATIENCE);
        let mut errors = String::new();
        self.errors.read_to_string(&mut errors).expect("stderr");
        (status, errors)
    }
}

/// This process's lives toward a port, out of recordings that are read as one.
pub(crate) fn replay(files: &[&PathBuf], port: u16) -> Replayed {
    let (port, own) = (port.to_string(), std::process::id().to_string());
    let files = files.iter().map(|file| file.to_str().expect("a name"));
    watch_json(&["-D", &port, "-p", &own, "-r"].into_iter().chain(files).collect::<Vec<_>>())
}

/// `watch --format json` that ends well by itself.
pub(crate) fn watch_json(arguments: &[&str]) -> Replayed {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twtrace"));
    let output = command.args(["watch", "--format", "json"]).args(arguments).output().expect("twtrace starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let lines = String::from_utf8(output.stdout).expect("text");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let (mut lives, mut summary) = (Vec::new(), Value::Null);
    for line in lines {
        match line["type"].as_str() {
            Some("lifecycle") => lives.push(line),
            Some("summary") => summary = line,
            _ => {}
        }
    }
    Replayed { lives, summary, errors }
}

/// Status and stderr of a run that ends by itself.
pub(crate) fn twtrace(arguments: &[&str]) -> (ExitStatus, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twtrace"));
    let output = command.args(arguments).stdin(Stdio::null()).output().expect("twtrace starts");
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// One line, which names what it should.
pub(crate) fn one_line(errors: &str, words: &[&str]) {
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(words.iter().all(|word| errors.contains(word)), "{words:?}: {errors}");
}

/// Connections that are over at once: nobody listens.
pub(crate) fn refused(port: u16, times: usize) {
    for _ in 0..times {
        let error = TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

pub(crate) fn skipped(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: record::{test}: needs root");
    }
    !is_root
}
