//! `export` of recordings that are written by hand. No kernel and no root: any host can read them.

#![expect(clippy::unwrap_used, reason = "a test panics")]

#[path = "live/folder.rs"]
mod folder;
#[path = "model/trace.rs"]
mod trace;
#[path = "live/written.rs"]
mod written;

use folder::Folder;
use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::Row,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use written::{DB, NEW_YEAR, WEB, header, record};

fn twtrace(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twtrace")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What an export wrote that went well without a word.
fn exported(folder: &Folder, name: &str, arguments: &[&str], recordings: &[&PathBuf]) -> PathBuf {
    let path = folder.0.join(name);
    let recordings = recordings.iter().map(|recording| recording.to_str().unwrap());
    let arguments: Vec<&str> = ["export", "-o", path.to_str().unwrap()]
        .into_iter()
        .chain(arguments.iter().copied())
        .chain(recordings)
        .collect();
    let output = twtrace(&arguments);
    assert_eq!(
        (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
        (Some(0), ""),
        "{arguments:?}"
    );
    path
}

fn web(folder: &Folder) -> PathBuf {
    record(folder, "web.arrows", &header("web1", NEW_YEAR), &[WEB])
}

/// The first row's columns, each as the reader prints it.
fn columns(row: &Row) -> BTreeMap<String, String> {
    row.get_column_iter().map(|(name, field)| (name.clone(), field.to_string())).collect()
}

fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let file = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    file.get_row_iter(None).unwrap().map(|row| columns(&row.unwrap())).collect()
}

#[test]
fn text_is_what_watch_says() {
    let folder = Folder::new("export-text");
    let web = web(&folder);
    for (name, format) in [("x.jsonl", "json"), ("x.csv", "csv")] {
        for more in [&["--events"][..], &["-D", "81"], &[]] {
            let path = folder.0.join(name);
            let said = twtrace(&[&["watch", "--format", format, "-r", web.to_str().unwrap()], more].concat());
            let written = twtrace(&[&["export", "-o", path.to_str().unwrap(), web.to_str().unwrap()], more].concat());
            assert_eq!(written.status.code(), Some(0));
            assert_eq!(String::from_utf8_lossy(&written.stderr), String::from_utf8_lossy(&said.stderr));
            assert_eq!(fs::read(&path).unwrap(), said.stdout, "{name} {more:?}");
        }
    }
    let to_stdout = twtrace(&["export", "--to", "jsonl", "-o", "-", web.to_str().unwrap()]);
    assert_eq!(to_stdout.stdout, fs::read(folder.0.join("x.jsonl")).unwrap());
}

#[test]
fn a_table_has_the_types_of_what_it_holds() {
    let folder = Folder::new("export-parquet");
    let path = exported(&folder, "x.parquet", &["--events"], &[&web(&folder)]);
    let [life] = &table(&path)[..] else { panic!("one life") };
    let second = |seconds: i64| (NEW_YEAR + seconds * 1_000_000_000).to_string();
    for (column, value) in [
        ("host", "\"web1\""),
        ("connection", "1"),
        ("local", "{ip: \"10.0.0.1\", port: 40000}"),
        ("opened", &second(1)),
        ("closed_first", "\"local\""),
        ("close_wait", "null"),
        ("direction", "\"outbound\""),
    ] {
        assert_eq!(life[column], value, "{column}");
    }
    assert!(life["states"].contains("{state: \"ESTABLISHED\", duration_ns: 500000000, basis: \"observed\"}"));
    assert!(life["time_wait"].starts_with("{duration_ns: 59999000000, end: \"expired\""), "{}", life["time_wait"]);
    let transitions = table(&folder.0.join("x.transitions.parquet"));
    let to: Vec<&str> = transitions.iter().map(|row| row["to"].trim_matches('"')).collect();
    assert_eq!(to, ["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE"]);
}

#[test]
fn rows_of_several_hosts_say_whose_they_are() {
    let folder = Folder::new("export-hosts");
    let db = record(&folder, "db.arrows", &header("db1", NEW_YEAR - 20_000_000_000), &[DB]);
    let path = exported(&folder, "x.parquet", &[], &[&web(&folder), &db]);
    let mut hosts: Vec<(String, String)> = table(&path)
        .into_iter()
        .map(|mut row| (row.remove("host").unwrap(), row.remove("closed_by").unwrap()))
        .collect();
    hosts.sort();
    assert!(hosts[0].0 == "\"db1\"" && hosts[0].1.ends_with("host: \"web1\"}"), "{hosts:?}");
    assert!(hosts[1].0 == "\"web1\"" && hosts[1].1.ends_with("host: null}"), "{hosts:?}");
}

#[test]
fn a_trace_has_the_fields_that_perfetto_reads() {
    let folder = Folder::new("export-perfetto");
    let trace = fs::read(exported(&folder, "x.pftrace", &[], &[&web(&folder)])).unwrap();
    let (mut kinds, mut slices, mut processes) = (BTreeMap::<u64, usize>::new(), Vec::new(), Vec::new());
    // protos/perfetto/trace: Trace.packet 1; TracePacket.track_event 11, .track_descriptor 60, .timestamp 8.
    for packet in messages(&trace, 1) {
        for event in messages(packet, 11) {
            assert_eq!(numbers(packet, 8).count(), 1);
            *kinds.entry(numbers(event, 9).next().unwrap()).or_default() += 1;
            slices.extend(messages(event, 23).map(|name| String::from_utf8_lossy(name)));
        }
        for process in messages(packet, 60).flat_map(|track| messages(track, 3)) {
            processes.push((numbers(process, 1).next().unwrap(), messages(process, 6).next().unwrap()));
        }
    }
    let states = ["10.0.0.1:40000 - 10.0.0.2:80", "SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"];
    assert_eq!(slices, states);
    assert_eq!(processes, [(812, &b"web"[..])]);
    // Slices that begin, that end, and counters.
    assert_eq!((kinds[&1], kinds[&2]), (6, 6));
    assert!(kinds[&4] > 4 && kinds.len() == 3, "{kinds:?}");
}

/// The fields of a protobuf message: number, then a number or bytes.
fn fields(mut message: &[u8]) -> Vec<(u64, Result<u64, &[u8]>)> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = varint(&mut message);
        fields.push((
            key >> 3,
            match key & 7 {
                0 => Ok(value),
                2 => {
                    let (bytes, rest) = message.split_at(usize::try_from(value).unwrap());
                    message = rest;
                    Err(bytes)
                }
                other => panic!("wire type {other}"),
            },
        ));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn messages(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).into_iter().filter_map(move |(found, value)| (found == number).then_some(value)?.err())
}

fn numbers(message: &[u8], number: u64) -> impl Iterator<Item = u64> {
    fields(message).into_iter().filter_map(move |(found, value)| (found == number).then_some(value)?.ok())
}

#[test]
fn what_cannot_be_written_is_said_in_one_line_and_leaves_nothing() {
    let folder = Folder::new("export-errors");
    let web = web(&folder);
    let (web, here) = (web.to_str().unwrap(), folder.0.to_str().unwrap());
    let cases = [
        (1, &["-o", web, "--to", "csv"][..], "will not replace the recording "),
        (1, &["-o", here, "--to", "csv"], "it is a directory: name a file in it"),
        (1, &["-o", "/nowhere/x.csv"], "cannot write /nowhere/x.csv: No such file or directory"),
        (
            1,
            &["-o", "/dev/full", "--to", "jsonl"],
            "cannot write /dev/full: No space left on device (os error 28): make room",
        ),
        (
            1,
            &["-o", "/dev/full", "--to", "csv"],
            "cannot write /dev/full: No space left on device (os error 28): make room",
        ),
        (
            1,
            &["-o", "/dev/full", "--to", "parquet"],
            "cannot write /dev/full: No space left on device (os error 28): make room",
        ),
        (
            1,
            &["-o", "/dev/full", "--to", "perfetto"],
            "cannot write /dev/full: No space left on device (os error 28): make room",
        ),
        (2, &["-o", "x.txt"], "cannot tell from OUT's name what to write"),
        (2, &["-o", "x.pftrace", "--events"], "--events does not go with perfetto"),
        (2, &["-o", "-", "--to", "parquet", "--events"], "--events makes two files of parquet"),
    ];
    let before = fs::read(web).unwrap();
    for (status, arguments, words) in cases {
        let output = twtrace(&[&["export", web], arguments].concat());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
        let line = errors.lines().find(|line| line.contains(words));
        assert!(line.is_some(), "{arguments:?}: {errors}");
        let said = errors.lines().filter(|line| line.starts_with("twtrace: ")).count();
        assert_eq!(said, usize::from(status == 1), "{errors}");
    }
    assert_eq!(fs::read(web).unwrap(), before);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn what_is_whole_of_a_cut_recording_is_kept() {
    let folder = Folder::new("export-cut");
    let path = record(&folder, "web.arrows", &header("web1", NEW_YEAR), &[WEB, WEB]);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 600]).unwrap();
    let out = folder.0.join("x.parquet");
    let output = twtrace(&["export", path.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let [cut, lost] = errors.lines().collect::<Vec<_>>()[..] else { panic!("{errors}") };
    assert!(cut.starts_with("twtrace: warning: ") && cut.contains("web.arrows: cut off at byte "), "{errors}");
    assert!(lost.contains(" events were lost when this was recorded"), "{errors}");
    assert_eq!(table(&out).len(), 1);
}
