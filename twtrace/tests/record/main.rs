//! `record`, and `watch -w`: real processes, real disks, and what the recordings hold in the end.

mod command;
#[path = "../live/folder.rs"]
mod folder;
mod kill;
mod limits;
#[path = "../live/recording.rs"]
mod recording;
#[path = "../live/table.rs"]
#[expect(dead_code, reason = "an unused port is all that is wanted of it here")]
mod table;
#[path = "../live/watch.rs"]
mod watch;

use folder::Folder;
use recording::{Record, one_line, refused, replay, skipped, twtrace};
use rustix::process::Signal;
use std::{
    fs,
    io::Read as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use watch::Watch;

#[test]
fn what_cannot_be_recorded_is_one_line() {
    let folder = Folder::new("record-refused");
    let there = folder.0.join("there.arrows");
    fs::write(&there, "precious").expect("a file");
    fs::write(folder.0.join("x.0007.arrows"), "precious").expect("a file");
    let named = |name: &str| folder.0.join(name).display().to_string();
    let there_too = named("there.arrows");
    let cases: [(&[&str], &[&str]); 6] = [
        (&["-w", &there_too], &["overwrite", "there.arrows", "--force"]),
        (&["-w", &named("x.arrows"), "--rotate-size", "1M"], &["overwrite", "x.0007.arrows", "--force"]),
        (&["-w", &named("")], &["is a directory"]),
        (&["-w", &named("no/where.arrows")], &["cannot make", "where.arrows", "No such file"]),
        (&["-w", "-", "--", "true"], &["stdout", "true"]),
        (&["-w", "/dev/null", "--rotate-size", "1M"], &["cannot rotate", "/dev/null"]),
    ];
    for (arguments, words) in cases {
        let (status, errors) = twtrace(&[&["record"], arguments].concat());
        assert_eq!(status.code(), Some(1), "{arguments:?}: {errors}");
        one_line(&errors, words);
    }
    let (status, errors) = twtrace(&["watch", "-w", "-"]);
    assert_eq!(status.code(), Some(1), "{errors}");
    one_line(&errors, &["stdout", "record -w -"]);
    assert_eq!(fs::read(&there).expect("it is there"), b"precious");
    assert_eq!(fs::read_dir(&folder.0).expect("it is there").count(), 2, "nothing was left behind");
    let usage: [&[&str]; 6] = [
        &["record"],
        &["record", "-w", "x", "--rotate-count", "2"],
        &["record", "-w", "x", "--max-size", "0"],
        &["watch", "--force"],
        &["watch", "-r", "x", "-w", "y"],
        &["watch", "-r", "x", "--exact"],
    ];
    for arguments in usage {
        assert_eq!(twtrace(arguments).0.code(), Some(2), "{arguments:?}");
    }
}

/// Whoever may not trace is told so, and no empty file claims to be a recording.
#[test]
fn not_root_leaves_no_file() {
    if skipped("not_root_leaves_no_file") {
        return;
    }
    const NOBODY: u32 = 65_534;
    let folder = Folder::new("record-nobody");
    let copy = folder.0.join("twtrace");
    fs::copy(env!("CARGO_BIN_EXE_twtrace"), &copy).expect("a copy");
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let output = Command::new(&copy)
        .args(["record", "-w", "x.arrows"])
        .current_dir(&folder.0)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .expect("nobody may start it");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    one_line(&errors, &["cannot", "CAP_BPF"]);
    assert!(!folder.0.join("x.arrows").exists());
}

#[test]
fn every_end_leaves_a_whole_recording() {
    if skipped("every_end_leaves_a_whole_recording") {
        return;
    }
    let folder = Folder::new("record-ends");
    for end in [Some(Signal::INT), Some(Signal::TERM), None] {
        let port = table::unused_port();
        let path = folder.0.join(format!("{end:?}.arrows"));
        let record = Record::start(&path, if end.is_none() { &["--duration", "2s"] } else { &[] });
        refused(port, 5);
        if let Some(end) = end {
            watch::signal(&record.child, end);
        }
        let (status, errors) = record.finish();
        assert_eq!(status.code(), Some(0), "{end:?}: {errors}");
        let size = fs::metadata(&path).expect("it is there").len();
        assert!(errors.contains(&format!("recorded {}: ", path.display())), "{errors}");
        assert!(size > 1000, "{size}");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777, 0o600);
        let replayed = replay(&[&path], port);
        assert_eq!((replayed.lives.len(), replayed.errors.as_str()), (5, ""), "{end:?}");
        assert_eq!(replayed.summary["audit"].as_array().map(Vec::len), Some(5), "{:?}", replayed.summary);
    }
}

/// A run shows and its recording says the same, though the one is filtered and the other is not; a closed stdout ends
/// both, and the recording is whole.
#[test]
fn watching_records_on_the_side() {
    if skipped("watching_records_on_the_side") {
        return;
    }
    let folder = Folder::new("record-side");
    let path = folder.0.join("side.arrows");
    let (port, other) = (table::unused_port(), table::unused_port());
    let file = path.display().to_string();
    let run = Watch::start(&["-w", &file, "-D", &port.to_string()]);
    refused(port, 3);
    refused(other, 4);
    let run = run.end();
    assert_eq!(run.lifecycles.len(), 3);
    let again = recording::watch_json(&["-r", &file]);
    assert_eq!(again.lives, run.lifecycles);
    assert_eq!(replay(&[&path], other).lives.len(), 4, "everything is recorded");
    let closed = folder.0.join("closed.arrows");
    let mut child = Command::new(env!("CARGO_BIN_EXE_twtrace"))
        .args(["watch", "--format", "json", "-w"])
        .arg(&closed)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("twtrace starts");
    let mut first = [0];
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_exact(&mut first).expect("the first line");
    drop(stdout);
    refused(port, 2);
    assert_eq!(watch::wait(&mut child, Duration::from_secs(20)).code(), Some(0));
    assert_eq!(replay(&[&closed], port).errors, "", "it has its end mark");
}

/// `ssh host twtrace record -w - > file`: and whoever stops reading ends it.
#[test]
fn a_recording_goes_to_stdout() {
    if skipped("a_recording_goes_to_stdout") {
        return;
    }
    let folder = Folder::new("record-stdout");
    let path = folder.0.join("x.arrows");
    let port = table::unused_port();
    let mut record = Record::start(Path::new("-"), &["--duration", "1500ms"]);
    let mut stdout = record.child.stdout.take().expect("piped");
    refused(port, 3);
    let mut bytes = Vec::new();
    stdout.read_to_end(&mut bytes).expect("a pipe");
    fs::write(&path, &bytes).expect("a file");
    assert_eq!(record.finish().0.code(), Some(0));
    let replayed = replay(&[&path], port);
    assert_eq!((replayed.lives.len(), replayed.errors.as_str()), (3, ""));
    let mut record = Record::start(Path::new("-"), &[]);
    drop(record.child.stdout.take());
    refused(port, 3);
    let (status, errors) = record.finish();
    assert_eq!(status.code(), Some(0), "{errors}");
    assert!(!errors.to_lowercase().contains("broken pipe"), "{errors}");
}

/// The run waits for whoever reads the recording; a second signal does not.
#[test]
fn a_second_sigint_ends_it_at_once() {
    if skipped("a_second_sigint_ends_it_at_once") {
        return;
    }
    let mut record = Record::start(Path::new("-"), &[]);
    refused(table::unused_port(), 20_000);
    watch::signal(&record.child, Signal::INT);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(record.child.try_wait().expect("it is ours"), None, "60,000 events fit into a pipe?");
    let second = Instant::now();
    watch::signal(&record.child, Signal::INT);
    let (status, errors) = record.finish();
    assert!(second.elapsed() < Duration::from_secs(5), "{status} after {:?}: {errors}", second.elapsed());
    assert_eq!(status.code(), Some(130), "{errors}");
}
