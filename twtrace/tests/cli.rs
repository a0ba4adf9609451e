//! The command line's promises: how a run ends, with what code, and what its filters show.

#[path = "live/folder.rs"]
mod folder;
#[path = "live/table.rs"]
mod table;
#[path = "live/watch.rs"]
mod watch;

use folder::Folder;
use rustix::process::Signal;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};
use watch::{Ended, Run, Watch};

#[test]
fn sigterm_is_as_good_as_sigint() {
    if skipped("sigterm_is_as_good_as_sigint") {
        return;
    }
    for end in [Signal::TERM, Signal::INT] {
        let port = table::unused_port();
        let watch = Watch::start(&["-D", &port.to_string()]);
        refused(port, 2);
        watch::signal(&watch.child, end);
        let ended = watch.finish();
        assert_eq!(ended.status.code(), Some(0), "{end:?}: {:?}", ended.errors);
        let run = Run::parse(&ended);
        assert_eq!(run.lifecycles.len(), 2, "{end:?}");
        assert_eq!(run.summary["events_lost"], 0, "{end:?}: {}", run.summary);
    }
}

/// With a stdout that nobody reads the first one cannot get done.
#[test]
fn a_second_sigint_ends_at_once() {
    if skipped("a_second_sigint_ends_at_once") {
        return;
    }
    let mut child = watch_json(&[]).spawn().expect("twtrace starts");
    let mut stdout = attached(&mut child);
    refused(table::unused_port(), 1000);
    watch::signal(&child, Signal::INT);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(child.try_wait().expect("it is ours"), None, "a thousand lifecycles fit into a pipe?");
    let second = Instant::now();
    watch::signal(&child, Signal::INT);
    let status = watch::wait(&mut child, Duration::from_secs(10));
    assert!(second.elapsed() < Duration::from_secs(5), "{status} after {:?}", second.elapsed());
    assert!(!status.success(), "it did not do its work: {status}");
    let mut said = String::new();
    stdout.read_to_string(&mut said).expect("what is left in the pipe");
    assert!(!said.contains(r#"{"type":"summary""#), "a summary after all");
}

#[test]
fn a_duration_ends_a_run() {
    if skipped("a_duration_ends_a_run") {
        return;
    }
    let before = Instant::now();
    let watch = Watch::start(&["--duration", "2s"]);
    let ended = watch.finish();
    assert_eq!(ended.status.code(), Some(0), "{:?}", ended.errors);
    assert!(before.elapsed() >= Duration::from_secs(2), "too early: {:?}", before.elapsed());
    assert!(before.elapsed() < Duration::from_secs(20), "too late: {:?}", before.elapsed());
    Run::parse(&ended);
}

#[test]
fn a_count_ends_a_run() {
    if skipped("a_count_ends_a_run") {
        return;
    }
    let port = table::unused_port();
    let watch = Watch::start(&["--count", "3", "-D", &port.to_string()]);
    refused(port, 5);
    let ended = watch.finish();
    assert_eq!(ended.status.code(), Some(0), "{:?}", ended.errors);
    assert_eq!(Run::parse(&ended).lifecycles.len(), 3);
}

#[test]
fn a_closed_pipe_is_a_normal_end() {
    if skipped("a_closed_pipe_is_a_normal_end") {
        return;
    }
    for format in ["json", "csv", "text"] {
        let port = table::unused_port();
        let mut child = Command::new(env!("CARGO_BIN_EXE_twtrace"))
            .args(["watch", "--format", format, "-D", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("twtrace starts");
        let mut errors = BufReader::new(child.stderr.take().expect("piped"));
        if format == "json" {
            drop(attached(&mut child));
        } else {
            let mut line = String::new();
            errors.read_line(&mut line).expect("stderr");
            assert!(line.contains("attached"), "{format}: {line}");
            drop(child.stdout.take());
        }
        refused(port, 3);
        let status = watch::wait(&mut child, Duration::from_secs(20));
        let mut rest = String::new();
        errors.read_to_string(&mut rest).expect("stderr");
        assert_eq!(status.code(), Some(0), "{format}: {status}: {rest}");
        assert!(!rest.contains("panicked") && !rest.to_lowercase().contains("broken pipe"), "{format}: {rest}");
    }
}

#[test]
fn not_root_is_one_line_with_a_remedy() {
    if skipped("not_root_is_one_line_with_a_remedy") {
        return;
    }
    // Where the build lies, nobody may not be let in.
    let folder = Folder::new("not-root");
    let copy = folder.0.join("twtrace");
    std::fs::copy(env!("CARGO_BIN_EXE_twtrace"), &copy).expect("a copy");
    const NOBODY: u32 = 65_534;
    let output = Command::new(&copy)
        .args(["watch", "--format", "json"])
        .current_dir("/")
        .stdin(Stdio::null())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .expect("nobody may start it");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("cannot"), "the act: {errors}");
    assert!(errors.contains("root") || errors.contains("CAP_BPF"), "the remedy: {errors}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn bad_usage_is_2() {
    let bad: &[&[&str]] = &[
        &["watch", "--ring", "5000"],
        &["watch", "--ring", "0"],
        &["watch", "--no-such-flag"],
        &["no-such-command"],
        &["watch", "--format", "yaml"],
        &["watch", "--tier", "magic"],
        &["watch", "-L", "70000"],
        &["watch", "-D", "9-1"],
        &["watch", "-p", "nginx"],
        &["watch", "--duration", "soon"],
        &["watch", "--local-addr", "127.0.0.0/33"],
        &["watch", "--metrics"],
        &[],
    ];
    for &arguments in bad {
        let Output { status, stdout, stderr } = twtrace(arguments);
        let errors = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&stdout));
        let offender = arguments.last().copied().unwrap_or("Usage");
        assert!(errors.contains(offender), "{arguments:?} is not named: {errors}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for argument in ["--help", "--version"] {
        let Output { status, stdout, .. } = twtrace(&[argument]);
        assert_eq!(status.code(), Some(0), "{argument}");
        assert!(String::from_utf8_lossy(&stdout).contains("twtrace"), "{argument}");
    }
}

#[test]
fn csv_has_a_header_and_parses() {
    if skipped("csv_has_a_header_and_parses") {
        return;
    }
    let port = table::unused_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let watch = Watch::start_as("csv", &["-D", &port.to_string()]);
    client_closes_first(&listener, 3);
    drop(listener);
    refused(port, 2);
    watch::signal(&watch.child, Signal::INT);
    let Ended { status, lines, errors } = watch.finish();
    assert_eq!(status.code(), Some(0), "{errors:?}");
    let rows: Vec<Vec<String>> = lines.iter().map(|line| fields(line)).collect();
    let (header, rows) = rows.split_first().expect("a header");
    let column = |name: &str| {
        let found = header.iter().position(|column| column == name);
        found.unwrap_or_else(|| panic!("no column {name} in {header:?}"))
    };
    assert_eq!(rows.len(), 5, "{lines:?}");
    assert!(rows.iter().all(|row| row.len() == header.len()), "{lines:?}");
    let count = |name: &str, value: &str| rows.iter().filter(|row| row[column(name)] == value).count();
    assert_eq!(count("remote_port", &port.to_string()), 5, "{lines:?}");
    assert_eq!(count("closed_first", "local"), 3, "{lines:?}");
    assert_eq!(count("closed_first", "neither"), 2, "{lines:?}");
    assert_eq!(count("close", "refused"), 2, "{lines:?}");
}

/// A shell that connects once it is told to: a process of its own with a name of its own.
struct Caller {
    child: Child,
}

impl Caller {
    fn new(folder: &Folder, name: &str, port: u16) -> Self {
        let link = folder.0.join(name);
        std::os::unix::fs::symlink("/bin/bash", &link).expect("a link");
        let child = Command::new(link)
            .args(["-c", &format!("read; exec 3<>/dev/tcp/127.0.0.1/{port}; exec 3>&-; read")])
            .stdin(Stdio::piped())
            .spawn()
            .expect("the shell starts");
        Self { child }
    }

    fn go(&mut self, listener: &TcpListener) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(b"\n").expect("it reads");
        let (mut connection, _) = listener.accept().expect("a connection");
        assert_eq!(connection.read(&mut [0]).expect("the end of the file"), 0);
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        watch::wait(&mut self.child, Duration::from_secs(10));
    }
}

#[test]
fn filters_show_what_they_should_and_nothing_else() {
    if skipped("filters_show_what_they_should_and_nothing_else") {
        return;
    }
    if !PathBuf::from("/bin/bash").exists() {
        return say_skipped("filters_show_what_they_should_and_nothing_else", "bash is not installed");
    }
    let folder = Folder::new("filters");
    let listen = || TcpListener::bind(("127.0.0.1", table::unused_port())).expect("the port is free");
    let (one, two) = (listen(), listen());
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    let (port_one, port_two) = (port(&one), port(&two));
    let mut first = Caller::new(&folder, "twt-first", port_one);
    let mut second = Caller::new(&folder, "twt-second", port_two);
    let (pid, both) = (first.child.id().to_string(), format!("{port_one},{port_two}"));
    let range = format!("{}-{}", port_one.min(port_two), port_one.max(port_two));

    /// The server's port of each lifecycle that is to be shown, and the end that has it.
    type Shown<'a> = &'a [(&'a str, u16)];
    let filters: [(&[&str], Shown<'_>); 9] = [
        (&["-p", &pid], &[("remote", port_one)]),
        (&["--comm", "twt-second"], &[("remote", port_two)]),
        (&["--comm", "twt-first,twt-second"], &[("remote", port_one), ("remote", port_two)]),
        (&["-D", &port_one.to_string()], &[("remote", port_one)]),
        (&["-L", &port_two.to_string()], &[("local", port_two)]),
        (&["-D", &both], &[("remote", port_one), ("remote", port_two)]),
        (&["-L", &range], &[("local", port_one), ("local", port_two)]),
        (&["--comm", "twt-first", "-D", &port_two.to_string()], &[]),
        (&["-6", "-D", &both], &[]),
    ];
    let runs: Vec<Watch> = filters.iter().map(|(arguments, _)| Watch::start(arguments)).collect();
    first.go(&one);
    second.go(&two);
    let settled = |sockets: &[table::Socket]| {
        sockets.iter().all(|s| matches!(s.state, twtrace::model::TcpState::Listen | twtrace::model::TcpState::TimeWait))
    };
    table::wait_for(port_one, "the last close", settled);
    table::wait_for(port_two, "the last close", settled);
    for (run, (arguments, wanted)) in runs.into_iter().zip(filters) {
        let run = run.end();
        let mut shown: Vec<(&str, u16)> = run.lifecycles.iter().map(server_port).collect();
        shown.sort_by_key(|&(_, port)| port != port_one);
        assert_eq!(shown, wanted, "{arguments:?}: {:?}", run.lifecycles);
    }

    /// The end with the lower port, which is the server's: the others are ephemeral.
    fn server_port(life: &Value) -> (&'static str, u16) {
        let port = |end: &str| life[end]["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        let (local, remote) = (port("local"), port("remote"));
        if local < remote { ("local", local) } else { ("remote", remote) }
    }
}

/// The fields of a row without line ends in its fields (RFC 4180).
fn fields(row: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = row.chars().peekable();
    while let Some(c) = characters.next() {
        let field = fields.last_mut().expect("it begins with one");
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    assert!(!quoted, "an open quote in {row}");
    fields
}

fn twtrace(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twtrace"));
    command.args(arguments).stdin(Stdio::null()).output().expect("twtrace starts")
}

fn watch_json(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twtrace"));
    command.args(["watch", "--format", "json"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Reads the first line of a JSON run.
fn attached(child: &mut Child) -> BufReader<ChildStdout> {
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a first line");
    assert!(line.starts_with(r#"{"type":"attached""#), "{line}");
    stdout
}

/// Connections that are over at once: nobody listens.
fn refused(port: u16, times: usize) {
    for _ in 0..times {
        let error = TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

fn client_closes_first(listener: &TcpListener, times: usize) {
    for _ in 0..times {
        drop(TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens"));
        let (mut connection, _) = listener.accept().expect("a connection");
        assert_eq!(connection.read(&mut [0]).expect("the end of the file"), 0);
    }
}

fn skipped(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        say_skipped(test, "needs root");
    }
    !is_root
}

fn say_skipped(test: &str, reason: &str) {
    println!("skipped: cli::{test}: {reason}");
}
