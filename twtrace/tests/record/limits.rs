//! How large a recording may become, and what becomes of it where there is no room.

use crate::{
    folder::Folder,
    recording::{self, Record, one_line, refused, replay, skipped, twtrace},
    table,
    watch::{self, Watch},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What was written before is whole, and the reason is said once.
#[test]
fn a_full_disk_ends_it_with_one_line() {
    if skipped("a_full_disk_ends_it_with_one_line") {
        return;
    }
    let folder = Folder::new("record-full");
    let small = folder.0.join("small");
    fs::create_dir(&small).expect("a folder");
    let port = table::unused_port();
    // The mount is the script's own and gone with it, so it copies what is to be looked at.
    let script = r#"mount -t tmpfs -o size=256k none "$1" || exit 99
        "$0" record -w "$1/x.arrows" 2> "$1/../errors" & p=$!
        wait $p; status=$?; cp "$1/x.arrows" "$1/../copy.arrows"; exit $status"#;
    let mut child = Command::new("unshare")
        .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_twtrace")])
        .arg(&small)
        .stdin(Stdio::null())
        .spawn()
        .expect("unshare of util-linux");
    let errors = || fs::read_to_string(folder.0.join("errors")).unwrap_or_default();
    let begin = Instant::now();
    while child.try_wait().expect("it is ours").is_none() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it has not ended: {}", errors());
        refused(port, 20);
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = child.wait().expect("it is ours");
    let errors = errors();
    assert_eq!(status.code(), Some(1), "{errors}");
    let lines: Vec<&str> = errors.lines().filter(|line| line.contains("No space left on device")).collect();
    let [line] = lines[..] else { panic!("{errors}") };
    assert!(line.contains("small/x.arrows") && line.contains("Make room"), "{line}");
    let replayed = replay(&[&folder.0.join("copy.arrows")], port);
    assert!(replayed.lives.len() > 50, "{}: {}", replayed.lives.len(), replayed.errors);
    one_line(&replayed.errors, &["cut off at byte"]);
}

#[test]
fn a_rotated_recording_is_one_and_each_file_can_be_read_alone() {
    if skipped("a_rotated_recording_is_one_and_each_file_can_be_read_alone") {
        return;
    }
    let folder = Folder::new("record-rotate");
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a listener");
    let kept = listener.local_addr().expect("it is bound").port();
    let file = folder.0.join("x.arrows").display().to_string();
    let run = Watch::start(&["-w", &file, "--rotate-size", "40K"]);
    // It stays open over every cut.
    let _client = TcpStream::connect(("127.0.0.1", kept)).expect("it listens");
    let _server = listener.accept().expect("a connection");
    let pieces = || {
        let names = fs::read_dir(&folder.0).expect("it is there").map(|entry| entry.expect("a name").path());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    let port = table::unused_port();
    let begin = Instant::now();
    while pieces().len() < 4 {
        assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", pieces());
        refused(port, 20);
        std::thread::sleep(Duration::from_millis(20));
    }
    let run = run.end();
    let mut files = pieces();
    assert!(files[0].ends_with("x.0001.arrows") && files[1].ends_with("x.0002.arrows"), "{files:?}");
    // The last one may have been begun in the very last moment.
    let alone = files[files.len() - 2].clone();
    files.reverse();
    let arguments: Vec<&str> = ["-r"].into_iter().chain(files.iter().filter_map(|file| file.to_str())).collect();
    let again = recording::watch_json(&arguments);
    assert_eq!((again.errors.as_str(), &again.summary), ("", &run.summary));
    assert_eq!(again.lives, run.lifecycles);
    let alone = recording::watch_json(&["-r", alone.to_str().expect("a name"), "-D", &kept.to_string()]);
    let [life] = &alone.lives[..] else { panic!("{:?} {}", alone.lives, alone.errors) };
    assert_eq!((&life["preexisting"], &life["opened"], &life["complete"]), (&true.into(), &Value::Null, &false.into()));
    assert_eq!(life["owner"]["pid"], std::process::id());
    assert_eq!(life["states"][0]["state"], "ESTABLISHED");
}

#[test]
fn sizes_bound_a_recording() {
    if skipped("sizes_bound_a_recording") {
        return;
    }
    let folder = Folder::new("record-sizes");
    let (path, kept) = (folder.0.join("max.arrows"), folder.0.join("kept.arrows"));
    let full = Record::start(&path, &["--max-size", "40K"]);
    let rotated = Record::start(&kept, &["--rotate-size", "40K", "--rotate-count", "2"]);
    let port = table::unused_port();
    let begin = Instant::now();
    let mut full = Some(full);
    while full.is_some() || !folder.0.join("kept.0004.arrows").exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "no end");
        refused(port, 20);
        std::thread::sleep(Duration::from_millis(20));
        if full.as_mut().is_some_and(|full| full.child.try_wait().expect("it is ours").is_some()) {
            let (status, errors) = full.take().expect("it was there").finish();
            assert_eq!(status.code(), Some(0), "{errors}");
            assert!(errors.contains("max.arrows has its --max-size"), "{errors}");
        }
    }
    let size = fs::metadata(&path).expect("it is there").len();
    assert!((40 << 10..400 << 10).contains(&size), "{size}");
    assert_eq!(replay(&[&path], port).errors, "");
    watch::signal(&rotated.child, Signal::INT);
    let (status, errors) = rotated.finish();
    assert_eq!(status.code(), Some(0), "{errors}");
    let left = fs::read_dir(&folder.0).expect("it is there").count();
    assert_eq!(left, 3, "two files and the other recording");
    // Another run of that name does not mix with it.
    let (status, errors) = twtrace(&["record", "--rotate-size", "1M", "-w", kept.to_str().expect("a name")]);
    assert_eq!(status.code(), Some(1), "{errors}");
    let (_, errors) = Record::start(&kept, &["--rotate-size", "1M", "--force", "--duration", "100ms"]).finish();
    let names: Vec<_> =
        fs::read_dir(&folder.0).expect("it is there").map(|entry| entry.expect("a name").file_name()).collect();
    assert!(
        names.len() == 2 && names.iter().any(|name| Path::new(name) == Path::new("kept.0001.arrows")),
        "{names:?} {errors}"
    );
}
