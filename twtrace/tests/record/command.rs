//! A recording that lasts as long as a command runs.

use crate::{
    folder::Folder,
    recording::{self, Record, one_line, replay, skipped, twtrace},
    table, watch,
};
use rustix::process::Signal;
use std::{
    fs,
    io::Read as _,
    time::{Duration, Instant},
};

#[test]
fn a_commands_life_is_recorded_and_its_status_handed_on() {
    if skipped("a_commands_life_is_recorded_and_its_status_handed_on") {
        return;
    }
    let folder = Folder::new("record-command");
    let path = folder.0.join("x.arrows");
    let file = path.to_str().expect("a name");
    let run = |command: &[&str]| {
        fs::remove_file(&path).ok();
        twtrace(&[&["record", "-w", file, "--"], command].concat())
    };
    let port = table::unused_port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; exit 7");
    let (status, errors) = run(&["bash", "-c", &connect]);
    assert_eq!(status.code(), Some(7), "{errors}");
    let replayed = recording::watch_json(&["-D", &port.to_string(), "--comm", "bash", "-r", file]);
    assert_eq!(replayed.lives.len(), 1, "{errors}");
    assert_eq!(replayed.lives[0]["owner"]["comm"], "bash");
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let (status, errors) = run(&["sh", "-c", script]);
        assert_eq!(status.code(), Some(code), "{script}: {errors}");
        assert!(path.exists());
    }
    for (command, code) in [("/no/such/program", 127), ("/etc/passwd", 126)] {
        let (status, errors) = run(&[command]);
        assert_eq!(status.code(), Some(code), "{errors}");
        one_line(&errors, &["cannot run", command]);
        assert!(!path.exists(), "{command} left a recording");
    }
}

/// Without a terminal a signal goes to twtrace alone, and the command has it from there. Where the recording ends
/// before the command, the command goes on.
#[test]
fn a_command_is_given_its_signals_and_its_time() {
    if skipped("a_command_is_given_its_signals_and_its_time") {
        return;
    }
    let folder = Folder::new("record-signals");
    for (number, (signal, code)) in [(Signal::INT, 9), (Signal::TERM, 10)].into_iter().enumerate() {
        let script = "trap 'exit 9' INT; trap 'exit 10' TERM; echo ready; while :; do sleep 0.05; done";
        let path = folder.0.join(format!("{number}.arrows"));
        let mut record = Record::start_command(&path, &[], &["sh", "-c", script]);
        let mut ready = [0; 6];
        record.child.stdout.take().expect("piped").read_exact(&mut ready).expect("the script starts");
        watch::signal(&record.child, signal);
        let (status, errors) = record.finish();
        assert_eq!(status.code(), Some(code), "{signal:?}: {errors}");
        assert_eq!(replay(&[&path], 1).errors, "");
    }
    let path = folder.0.join("short.arrows");
    let begin = Instant::now();
    let record = Record::start_command(&path, &["--duration", "200ms"], &["sh", "-c", "sleep 2; exit 5"]);
    let (status, errors) = record.finish();
    assert_eq!(status.code(), Some(5), "{errors}");
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
}
