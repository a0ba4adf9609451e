//! `expect`: what it says of incidents whose scenes are known (incidents/scenes.py), of commands that do what they are
//! told, and of specifications that are none.

#![expect(clippy::unwrap_used, reason = "a test panics")]

mod command;
#[path = "../live/folder.rs"]
mod folder;
#[path = "../live/namespace.rs"]
mod namespace;
#[path = "../live/watch.rs"]
#[expect(dead_code, reason = "a signal and an end to wait for are all that is wanted of it here")]
mod watch;

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

/// Of a run that ends by itself, where the recordings of the incidents lie.
fn expect(spec: &str, arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_twtrace"))
        .args(["expect", "-"])
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(spec.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Each result, without what is said of it.
fn results(output: &Output) -> Vec<String> {
    let lines = text(&output.stdout);
    let (head, rest) = lines.split_once("\n1..").unwrap();
    let (plan, rest) = rest.split_once('\n').unwrap();
    let results: Vec<_> = rest.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    assert_eq!((head, plan), ("KTAP version 1", results.len().to_string().as_str()), "{lines}");
    results
}

/// A server that does not close 50 connections, a proxy that closes 200 first, a server that closes 12 after 5 s
/// without data, 30 connects without a port, and a backlog of 17, of which every fourth client closes.
#[test]
fn incidents_are_as_their_scenes_were() {
    let cases = [
        ("leak", "where = \"-L 8080\"\ncount = 50\nnone = { close_wait = \"not null\", ended = \"null\" }", "not ok"),
        (
            "leak",
            "where = \"-L 8080\"\nevery = { close_wait.duration_ns = \"> 500ms\", owner.comm = \"billing\" }",
            "ok",
        ),
        ("leak", "where = \"-L 8080\"\nevery = { close_wait.duration_ns = \"< 2s\" }", "not ok"),
        ("leak", "count = 100\nnone = { states.TIME_WAIT = \"not null\" }", "ok"),
        (
            "proxy",
            "where = \"-D 9000\"\ncount = 200\nevery = { closed_first = \"local\", closed_by.comm = \"proxy\" }",
            "ok",
        ),
        ("proxy", "where = \"-L 8080\"\nevery = { closed_first = \"remote\" }", "not ok"),
        ("proxy", "where = \"-D 9000\"\ncount = \"201..\"", "not ok"),
        ("idle", "where = \"-L 8080\"\nwhen = { idle_before_close_ns = \"4.5s..6s\" }\ncount = 12", "ok"),
        ("exhausted", "where = \"-D 5432\"\nwhen = { close = \"no_port\" }\ncount = 30", "ok"),
        ("exhausted", "where = \"-D 5432\"\nnone = { local.port = \"null\" }", "not ok"),
        ("queue", "where = \"-L 8080\"\nwhen = { close_wait.accepted = false }\ncount = 5", "ok"),
        ("healthy", "where = \"--comm api\"\nevery = { close = \"fin\", close_wait = \"null\" }", "ok"),
        ("healthy", "where = \"--comm apj\"\nevery = { close = \"fin\" }", "not ok"),
        ("healthy", "where = \"-D 5432\"\nevery = { time_wait.duration_ns = \"60s..62s\" }", "not ok"),
    ];
    for (incident, test, result) in cases {
        let output = expect(&format!("[[expect]]\nname = \"it\"\n{test}\n"), &["-r", &format!("{incident}.arrows")]);
        let told = text(&output.stdout);
        assert_eq!(results(&output), ["ok 1 nothing was lost", &format!("{result} 2 it")], "{test}: {told}");
        assert_eq!(output.status.code(), Some(i32::from(result != "ok")), "{test}: {told}");
        let errors = if result == "ok" { "" } else { "twtrace: 1 of 2 tests failed\n" };
        assert_eq!(text(&output.stderr), errors, "{test}");
    }
}

#[test]
fn a_failure_is_told_whole() {
    let spec = "where = \"-L 8080\"\n[[expect]]\nname = \"the server closes\"\nnone = { states = \"* > CLOSE_WAIT\" }\n\
                [[expect]]\nname = \"soon\"\ncount = \"< 50\"\nevery = { close_wait.duration_ns = \"< 1s\" }\n";
    let output = expect(spec, &["-r", "leak.arrows", "--show", "2"]);
    insta::with_settings!({omit_expression => true}, {
        insta::assert_snapshot!(text(&output.stdout));
    });
    let alone = expect(spec, &["-r", "leak.arrows", "-D", "57420"]);
    assert!(text(&alone.stdout).contains("# 1 lifecycle\n"), "{}", text(&alone.stdout));
    let both = expect("[[expect]]\nname = \"a\"\ncount = 108\n", &["-r", "leak.arrows", "healthy.arrows"]);
    assert_eq!(both.status.code(), Some(0), "{}", text(&both.stdout));
}

/// What was cut off is missing, whatever else the recording shows.
#[test]
fn a_recording_without_its_end_fails() {
    let folder = folder::Folder::new("expect-cut");
    let whole = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/leak.arrows")).unwrap();
    let path = folder.0.join("cut.arrows");
    std::fs::write(&path, &whole[..whole.len() - 8]).unwrap();
    let test = "[[expect]]\nname = \"it\"\ncount = \"1..\"\n";
    let output = expect(test, &["-r", path.to_str().unwrap()]);
    assert_eq!(results(&output), ["not ok 1 nothing was lost", "ok 2 it"]);
    assert_eq!(output.status.code(), Some(1));
    let output = expect(&format!("lost = \"any\"\n{test}"), &["-r", path.to_str().unwrap()]);
    assert_eq!(results(&output), ["ok 1 nothing was lost # SKIP lost = \"any\"", "ok 2 it"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_no_specification_is_2_and_one_line() {
    let folder = folder::Folder::new("expect-spec");
    let path = folder.0.join("x.toml");
    let cases: [(&[u8], &str); 4] = [
        (b"[[expect]]\nname = \"a\"\nnone = { clsoe = \"fin\" }\n", "x.toml:3:10: a lifecycle has no field \"clsoe\""),
        (b"[[expect]]\nname = \"a\n", "x.toml:2:"),
        (b"", "x.toml:1:1: nothing is expected"),
        (b"\xff", "x.toml: it is no UTF-8 text"),
    ];
    for (bytes, words) in cases {
        std::fs::write(&path, bytes).unwrap();
        refused(&[path.to_str().unwrap(), "-r", "leak.arrows"], 2, &["cannot use", words]);
    }
    refused(&["/no/such.toml", "-r", "leak.arrows"], 2, &["cannot read /no/such.toml"]);
    refused(&["/dev/zero", "-r", "leak.arrows"], 2, &["/dev/zero:1:1: it is longer than 1.0 MB"]);
    refused(&["-", "-r", "-"], 1, &["stdin"]);
    std::fs::write(&path, "[[expect]]\nname = \"a\"\ncount = 1\n").unwrap();
    let spec = path.to_str().unwrap();
    refused(&[spec, "-r", "/no/such.arrows"], 1, &["cannot read /no/such.arrows"]);
    refused(&[spec, "-r", spec], 1, &["cannot read", "x.toml"]);
    refused(&[spec, "-w", "-"], 1, &["stdout", "name a file"]);
    let usage: [&[&str]; 6] = [
        &[],
        &[spec, "-r", "x", "--", "true"],
        &[spec, "-r", "x", "-w", "y"],
        &[spec, "--settle", "1s"],
        &[spec, "--duration", "1s", "--", "true"],
        &[spec, "--settle", "soon", "--", "true"],
    ];
    for arguments in usage {
        let output = Command::new(env!("CARGO_BIN_EXE_twtrace")).arg("expect").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_example_of_the_help_is_understood() {
    let help = Command::new(env!("CARGO_BIN_EXE_twtrace")).args(["expect", "--help"]).output().unwrap();
    let help = text(&help.stdout);
    let (_, rest) = help.split_once("a test for each [[expect]]:\n").unwrap();
    let (spec, _) = rest.split_once("\nKeys of a test").unwrap();
    let output = expect(spec, &["-r", "leak.arrows"]);
    assert_eq!(results(&output).len(), 3, "{spec}{}", text(&output.stderr));
}

/// With this status, one line and no result.
#[track_caller]
fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twtrace"));
    let command = command.arg("expect").args(arguments).stdin(Stdio::null());
    let output = command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).output().unwrap();
    let errors = text(&output.stderr);
    assert_eq!((output.status.code(), errors.lines().count()), (Some(code), 1), "{arguments:?}: {errors}");
    assert!(words.iter().all(|word| errors.contains(word)), "{words:?}: {errors}");
    assert!(!text(&output.stdout).contains("ok "), "{}", text(&output.stdout));
}
