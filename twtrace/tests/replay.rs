//! `watch -r` of recordings that are written by hand: what is shown, of which files, and with what status.
//! No kernel and no root: any host can read them.

#![expect(clippy::unwrap_used, reason = "a test panics")]

#[path = "live/folder.rs"]
mod folder;
#[path = "model/trace.rs"]
mod trace;
#[path = "live/written.rs"]
mod written;

use folder::Folder;
use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};
use twtrace::{model::Ktime, trace::Writer};
use written::{DB, NEW_YEAR, WEB, header, record};

fn watch(arguments: &[&str], files: &[&PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twtrace"));
    command.arg("watch").args(arguments).arg("-r").args(files).stdin(Stdio::null()).output().unwrap()
}

/// What is said in JSON, and on stderr; with this status.
fn said(status: i32, arguments: &[&str], files: &[&PathBuf]) -> (Vec<Value>, String) {
    let output = watch(&[&["--format", "json"], arguments].concat(), files);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), errors)
}

fn lives(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["type"] == "lifecycle").collect()
}

/// One line, which names what it should.
fn one_line(errors: &str, words: &[&str]) {
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(words.iter().all(|word| errors.contains(word)), "{words:?}: {errors}");
}

#[test]
fn a_recording_is_told_as_its_host_was() {
    let folder = Folder::new("replay-one");
    let web = record(&folder, "web.arrows", &header("web1", NEW_YEAR), &[WEB]);
    let (lines, errors) = said(0, &["--events"], &[&web]);
    assert_eq!(errors, "");
    assert_eq!(lines[0]["replayed"]["host"], "web1");
    assert_eq!((&lines[0]["version"], &lines[0]["kernel"]), (&"0.0.9".into(), &"6.6.6".into()));
    assert!(lines.iter().all(|line| line["host"].is_null()), "there is one host: {lines:?}");
    let [life] = lives(&lines)[..] else { panic!("{lines:?}") };
    assert_eq!(life["opened"], "2026-01-01T00:00:01.000000000Z");
    assert_eq!((&life["time_wait"]["end"], &life["complete"]), (&"expired".into(), &true.into()));
    assert_eq!(lines.iter().filter(|line| line["type"] == "transition").count(), 6, "{lines:?}");
    assert_eq!(lines.last().unwrap()["type"], "summary");
    let text = watch(&[], &[&web]);
    let errors = String::from_utf8(text.stderr).unwrap();
    assert!(
        errors.starts_with("recorded on web1 from 2026-01-01T00:00:00.000000000Z by twtrace 0.0.9: kernel 6.6.6"),
        "{errors}"
    );
}

#[test]
fn two_hosts_give_the_remote_closer_a_name() {
    let folder = Folder::new("replay-hosts");
    let web = record(&folder, "web.arrows", &header("web1", NEW_YEAR), &[WEB]);
    // Its clock is 300 ms ahead.
    let db = header("db1", NEW_YEAR - 20_000_000_000 + 300_000_000);
    let db = record(&folder, "db.arrows", &db, &[DB]);
    for files in [[&web, &db], [&db, &web]] {
        let (lines, errors) = said(0, &[], &files);
        assert_eq!(errors, "");
        let lives = lives(&lines);
        let on = |host: &str| *lives.iter().find(|life| life["host"] == host).unwrap_or_else(|| panic!("{lines:?}"));
        let (here, there) = (on("web1"), on("db1"));
        assert_eq!((lives.len(), here["connection"] != there["connection"]), (2, true));
        assert_eq!((&here["closed_by"]["pid"], &here["closed_by"]["confidence"]), (&812.into(), &"certain".into()));
        assert_eq!(here["closed_by"]["host"], Value::Null);
        assert_eq!((&there["closed_first"], &there["closed_by"]["pid"]), (&"remote".into(), &812.into()));
        assert_eq!(
            (&there["closed_by"]["host"], &there["closed_by"]["confidence"]),
            (&"web1".into(), &"likely".into())
        );
        assert_eq!(there["opened"], "2026-01-01T00:00:01.300000000Z");
        assert_eq!(here["opened"], "2026-01-01T00:00:01.000000000Z");
        // The other's TIME_WAIT ends a minute later.
        assert_eq!(lives[0]["host"], "db1");
        let attached = lines.iter().filter(|line| line["type"] == "attached");
        assert_eq!(attached.map(|line| line["host"].as_str().unwrap()).collect::<Vec<_>>().len(), 2);
    }
    let (lines, _) = said(0, &["-L", "80"], &[&web, &db]);
    let [life] = lives(&lines)[..] else { panic!("{lines:?}") };
    assert_eq!(life["closed_by"]["comm"], "web", "a filter hides a life and not what it knows");
    let text = String::from_utf8(watch(&[], &[&web, &db]).stdout).unwrap();
    assert!(text.lines().any(|row| row.starts_with("db1 ") && row.contains("remote web/812@web1?")), "{text}");
    assert_eq!(text.matches("CLOSED-BY").count(), 1, "{text}");
    let csv = String::from_utf8(watch(&["--format", "csv"], &[&web, &db]).stdout).unwrap();
    assert!(csv.lines().next().unwrap().ends_with(",host,closed_by_host"), "{csv}");
    assert!(csv.lines().any(|row| row.ends_with(",db1,web1")), "{csv}");
}

#[test]
fn clocks_too_far_apart_name_nobody() {
    let folder = Folder::new("replay-clocks");
    let web = record(&folder, "web.arrows", &header("web1", NEW_YEAR), &[WEB]);
    let db = record(&folder, "db.arrows", &header("db1", NEW_YEAR - 17_000_000_000), &[DB]);
    let (lines, _) = said(0, &["-L", "80"], &[&web, &db]);
    let [life] = lives(&lines)[..] else { panic!("{lines:?}") };
    assert_eq!((&life["closed_first"], &life["closed_by"]), (&"remote".into(), &Value::Null));
}

#[test]
fn the_files_of_one_run_are_one_recording_in_any_order() {
    let folder = Folder::new("replay-pieces");
    let lines: Vec<&str> = WEB.trim().lines().collect();
    let mut one = header("web1", NEW_YEAR);
    let whole = record(&folder, "whole.arrows", &one, &[WEB]);
    let pieces: Vec<PathBuf> = (1..=3)
        .map(|number| {
            one.piece = number;
            let from = (number as usize - 1) * 3;
            // The ends of a socket are those of its first line.
            let ends = "0s #7 10.0.0.1:40000 10.0.0.2:80 CLOSE>CLOSE\n".to_owned();
            let part = if number == 1 { String::new() } else { ends } + &lines[from..from + 3].join("\n");
            let path = folder.0.join(format!("{number}.arrows"));
            let mut writer = Writer::new(fs::File::create(&path).unwrap(), &one).unwrap();
            let observations = trace::parse(&part).into_iter().skip(usize::from(number > 1));
            observations.for_each(|(observation, _)| writer.push(observation).unwrap());
            writer.finish().unwrap();
            path
        })
        .collect();
    let (told, _) = said(0, &["--events"], &[&whole]);
    let (again, errors) = said(0, &["--events"], &[&pieces[2], &pieces[0], &pieces[1]]);
    assert_eq!((&told, errors.as_str()), (&again, ""));
    let (_, errors) = said(1, &[], &[&pieces[0], &pieces[1], &pieces[0]]);
    one_line(&errors, &["1.arrows", "the same recording"]);
    // It was killed as it began the next file.
    let empty = folder.0.join("4.arrows");
    fs::write(&empty, "").unwrap();
    let (again, errors) = said(0, &["--events"], &[&pieces[2], &empty, &pieces[0], &pieces[1]]);
    assert_eq!(told, again);
    one_line(&errors, &["4.arrows: it is empty"]);
    let (lines, errors) = said(0, &[], &[&pieces[0], &pieces[2]]);
    one_line(&errors, &["files are missing", "1.arrows", "3.arrows"]);
    assert_eq!(lives(&lines).len(), 1, "{lines:?}");
}

/// Two runs on one host, which saw the same for a while.
#[test]
fn what_two_recordings_of_one_host_saw_is_counted_once() {
    let folder = Folder::new("replay-overlap");
    let lines: Vec<&str> = WEB.trim().lines().collect();
    let run = |name: &str, host: &str, at: u64, lines: &[&str]| {
        let mut header = header(host, NEW_YEAR);
        header.attached.at = Ktime(at);
        // The ends of a socket are those of its first line.
        let ends = "0s #7 10.0.0.1:40000 10.0.0.2:80 CLOSE>CLOSE\n".to_owned();
        let path = folder.0.join(name);
        let mut writer = Writer::new(fs::File::create(&path).unwrap(), &header).unwrap();
        for (observation, _) in trace::parse(&(ends + &lines.join("\n"))).into_iter().skip(1) {
            writer.push(observation).unwrap();
        }
        writer.finish().unwrap();
        path
    };
    let whole = run("whole.arrows", "web1", 0, &lines);
    let (first, second) =
        (run("1.arrows", "web1", 0, &lines[..6]), run("2.arrows", "web1", 1_200_000_000, &lines[2..]));
    let within = run("3.arrows", "web1", 1_300_000_000, &lines[3..6]);
    let (told, _) = said(0, &["--events"], &[&whole]);
    assert_eq!(lives(&told).len(), 1);
    for files in [[&first, &second], [&second, &first], [&whole, &second], [&within, &whole]] {
        let (again, errors) = said(0, &["--events"], &files);
        assert_eq!(told, again, "{files:?}");
        one_line(&errors, &["on web1 at the same time", "counted once"]);
    }
    let (again, errors) = said(0, &["--events"], &[&within, &first, &second]);
    assert_eq!((told, errors.lines().count()), (again, 2), "{errors}");
    // Another host has other numbers, and what comes later is another recording.
    let elsewhere = run("4.arrows", "web2", 1_200_000_000, &lines[2..]);
    assert_eq!(said(0, &[], &[&first, &elsewhere]).1, "");
    let later = run("5.arrows", "web1", 4_000_000_000, &lines[6..]);
    assert_eq!(said(0, &[], &[&first, &later]).1, "");
    // Where the two looked in other ways, neither can go on for the other.
    let mut other = header("web1", NEW_YEAR);
    (other.attached.at, other.means.timer_ends) = (Ktime(1), false);
    let other = record(&folder, "6.arrows", &other, &[WEB]);
    one_line(&said(1, &[], &[&whole, &other]).1, &["whole.arrows", "6.arrows", "give one of them"]);
}

#[test]
fn filters_are_those_of_the_recording_unless_there_are_others() {
    let folder = Folder::new("replay-filters");
    let mut filtered = header("web1", NEW_YEAR);
    filtered.filters = ["--remote-port=443", "--comm=web"].map(str::to_owned).into();
    let web = record(&folder, "web.arrows", &filtered, &[WEB]);
    let shown = |arguments: &[&str], status: i32| {
        let (lines, errors) = said(status, arguments, &[&web]);
        (lives(&lines).len(), errors)
    };
    let (number, errors) = shown(&[], 0);
    assert_eq!(number, 0);
    one_line(&errors, &["--remote-port=443 --comm=web", "--all"]);
    assert_eq!(shown(&["--all"], 0), (1, String::new()));
    assert_eq!(shown(&["-D", "80"], 0), (1, String::new()));
    filtered.filters = vec!["--not-yet-known=1".to_owned()];
    record(&folder, "web.arrows", &filtered, &[WEB]);
    one_line(&shown(&[], 1).1, &["--not-yet-known=1", "--all"]);
    assert_eq!(shown(&["--all"], 0).0, 1);
}

#[test]
fn a_cut_is_a_warning_and_damage_a_failure() {
    let folder = Folder::new("replay-damage");
    let path = record(&folder, "web.arrows", &header("web1", NEW_YEAR), &[WEB, "70s tick", DB]);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    let (lines, errors) = said(0, &[], &[&path]);
    one_line(&errors, &["web.arrows", "cut off at byte"]);
    assert_eq!(lives(&lines).len(), 1, "all before the cut: {lines:?}");
    let mut broken = bytes.clone();
    broken[bytes.len() - 400] ^= 1;
    fs::write(&path, &broken).unwrap();
    let (lines, errors) = said(1, &[], &[&path]);
    one_line(&errors, &["web.arrows", "checksum", "at byte"]);
    assert_eq!(lives(&lines).len(), 1, "{lines:?}");
    assert_eq!(lines.last().unwrap()["type"], "summary");
    for (text, words) in [("", "it is empty"), ("hello, world\n", "no recording")] {
        fs::write(&path, text).unwrap();
        let (lines, errors) = said(1, &[], &[&path]);
        one_line(&errors, &["cannot read", "web.arrows", words]);
        assert!(lines.is_empty());
    }
    let (_, errors) = said(1, &[], &[&folder.0.join("nowhere.arrows")]);
    one_line(&errors, &["cannot read", "nowhere.arrows", "No such file"]);
}

/// `kill -9` before the first second is over: the recording says when and where it began, and nothing else.
#[test]
fn a_recording_of_nothing_is_not_called_healthy() {
    let folder = Folder::new("replay-nothing");
    let mut begun = header("web1", NEW_YEAR);
    begun.attached.at = Ktime(5_000_000_000);
    let path = record(&folder, "web.arrows", &begun, &[]);
    let mut report = Command::new(env!("CARGO_BIN_EXE_twtrace"));
    let text = String::from_utf8(report.arg("report").arg(&path).output().unwrap().stdout).unwrap();
    assert!(text.contains("Nothing was observed") && !text.contains("Nothing to do"), "{text}");
    assert!(text.contains("2026-01-01 00:00:05 to 2026-01-01 00:00:05 UTC"), "{text}");
}

#[test]
fn a_count_and_a_closed_pipe_end_a_replay() {
    let folder = Folder::new("replay-ends");
    let lives_of =
        |number: u64| WEB.replace("#7", &format!("#{number}")).replace("40000", &format!("{}", 40_000 + number));
    let parts: Vec<String> = (1..300).map(lives_of).collect();
    let web =
        record(&folder, "web.arrows", &header("web1", NEW_YEAR), &parts.iter().map(String::as_str).collect::<Vec<_>>());
    let (lines, _) = said(0, &["--count", "3"], &[&web]);
    assert_eq!(lives(&lines).len(), 3);
    let mut child = Command::new(env!("CARGO_BIN_EXE_twtrace"))
        .args(["watch", "--format", "json", "-r"])
        .arg(&web)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
