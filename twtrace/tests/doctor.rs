//! `twtrace doctor` against this kernel, as root and as nobody.

#[path = "live/folder.rs"]
mod folder;

use folder::Folder;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Command, Output, Stdio},
};

const NOBODY: u32 = 65_534;
/// Run by a shell in a mount namespace of its own: the host's mounts stay.
const WITHOUT_TRACEFS: &str = "while umount /sys/kernel/tracing 2>/dev/null; do :; done; \
                               umount -R /sys/kernel/debug 2>/dev/null; \
                               ! test -e /sys/kernel/tracing/events || exit 9; ";

#[test]
fn root_gets_hooks_that_were_really_attached() {
    if skipped("root_gets_hooks_that_were_really_attached") {
        return;
    }
    let output = doctor(Command::new(env!("CARGO_BIN_EXE_twtrace")));
    let report = parse(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(report["watch"]["runs"], true, "{report}");
    assert_eq!(report["kernel"], rustix::system::uname().release().to_str().expect("text"), "{report}");
    assert_eq!(report["socket_table"]["readable"], true, "{report}");
    let hooks = report["hooks"].as_array().expect("hooks");
    assert!(hooks.iter().any(|hook| hook["default"]["on"] == true), "{report}");
    for hook in hooks {
        for how in ["default", "exact"] {
            assert_eq!(hook[how]["on"] == true, hook[how]["reason"].is_null(), "{hook}");
        }
    }
    let own = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fin_timeout").expect("it is there");
    let shown = report["sysctls"].as_array().and_then(|all| {
        all.iter().find(|line| line["name"] == "net.ipv4.tcp_fin_timeout")?["value"].as_str().map(str::to_owned)
    });
    assert_eq!(shown.as_deref(), Some(own.trim()), "{report}");
    assert!(report["namespaces"]["readable"].as_u64() >= Some(1), "{report}");
}

/// What it says of itself is what `watch` then says.
#[test]
fn watch_has_what_doctor_promised() {
    if skipped("watch_has_what_doctor_promised") {
        return;
    }
    for (how, arguments) in [("default", &[][..]), ("exact", &["--exact"][..])] {
        let report = parse(&doctor(Command::new(env!("CARGO_BIN_EXE_twtrace"))));
        let promised: Vec<&Value> = report["hooks"]
            .as_array()
            .expect("hooks")
            .iter()
            .filter(|hook| hook[how]["on"] == true)
            .map(|hook| &hook["name"])
            .collect();
        let output = Command::new(env!("CARGO_BIN_EXE_twtrace"))
            .args(["watch", "--format", "json", "--duration", "100ms"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("twtrace starts");
        let first = output.stdout.split(|&byte| byte == b'\n').next().expect("a line");
        let attached: Value = serde_json::from_slice(first).expect("JSON");
        assert_eq!(
            attached["probes_on"].as_array().expect("probes").iter().collect::<Vec<_>>(),
            promised,
            "{attached}"
        );
        assert_eq!(attached["precision"], report["time_wait"][how]["precision"], "{attached}");
    }
}

#[test]
fn nobody_is_told_why_and_what_to_do() {
    if skipped("nobody_is_told_why_and_what_to_do") {
        return;
    }
    // Where the build lies, nobody may not be let in.
    let folder = Folder::new("doctor");
    let copy = folder.0.join("twtrace");
    std::fs::copy(env!("CARGO_BIN_EXE_twtrace"), &copy).expect("a copy");
    let nobody = || {
        let mut command = Command::new(&copy);
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        command
    };
    let output = doctor(nobody());
    let report = parse(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(report["watch"]["runs"], false, "{report}");
    assert!(report["watch"]["remedy"].as_str().is_some_and(|remedy| remedy.contains("CAP_BPF")), "{report}");
    assert_eq!(report["socket_table"]["readable"], true, "{report}");
    assert_eq!(report["time_wait"]["default"], Value::Null, "{report}");
    for hook in report["hooks"].as_array().expect("hooks") {
        assert_eq!(hook["default"]["on"], false, "{hook}");
    }

    let output = nobody().arg("doctor").stdin(Stdio::null()).output().expect("nobody may start it");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines = text.lines();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(lines.next().is_some_and(|line| line.starts_with("watch cannot run: cannot ")), "{text}");
    assert!(lines.next().is_some_and(|line| line.starts_with("to change: ") && line.contains("root")), "{text}");
}

#[test]
fn tracefs_is_mounted_where_it_is_missing_and_for_nobody_else() {
    const NAME: &str = "tracefs_is_mounted_where_it_is_missing_and_for_nobody_else";
    if skipped(NAME) {
        return;
    }
    let before = tracefs_mounts();
    let script = format!("{WITHOUT_TRACEFS} readlink /proc/self/ns/mnt; exec \"$0\" watch --format json --duration 2s");
    let mut child = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_twtrace")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = || {
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        line
    };
    let namespace = line();
    let attached: Value = serde_json::from_str(&line()).expect("the first line");
    // Namespaces that come later are mounted there: it must see them.
    let stays = std::fs::read_link(format!("/proc/{}/ns/mnt", child.id())).expect("it runs");
    assert_eq!(stays.to_string_lossy(), namespace.trim(), "it left its mount namespace");
    let probes = attached["probes_on"].as_array().expect("probes");
    assert!(probes.iter().any(|name| name == "tracepoint/syscalls/sys_exit_accept4"), "{attached}");
    assert_eq!(tracefs_mounts(), before, "the host's mounts");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("the rest");
    assert!(child.wait().expect("it is ours").success(), "{rest}");

    let script = format!("{WITHOUT_TRACEFS} exec \"$0\" doctor --format json");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_twtrace")]);
    let report = parse(&command.stdin(Stdio::null()).output().expect("unshare starts"));
    assert_eq!(report["tracefs"]["readable"], true, "{report}");
}

/// As on a kernel that is built without.
#[test]
fn without_btf_the_classic_tracepoint_is_on() {
    if skipped("without_btf_the_classic_tracepoint_is_on") {
        return;
    }
    let script = "mount -t tmpfs tmpfs /sys/kernel/btf && exec \"$0\" doctor --format json";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_twtrace")]);
    let output = command.stdin(Stdio::null()).output().expect("unshare starts");
    let report = parse(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(report["btf"]["readable"], false, "{report}");
    assert_eq!(report["time_wait"]["default"]["tier"], "classic", "{report}");
    assert_eq!(report["time_wait"]["default"]["precision"], "sock_diag", "{report}");
}

fn tracefs_mounts() -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    mounts.lines().filter(|line| line.contains("tracefs")).map(str::to_owned).collect()
}

fn doctor(mut command: Command) -> Output {
    command.args(["doctor", "--format", "json"]).stdin(Stdio::null()).output().expect("twtrace starts")
}

fn parse(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    assert_eq!((&report["type"], &report["schema"]), (&Value::from("doctor"), &Value::from(1)));
    report
}

fn skipped(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: doctor::{test}: needs root");
    }
    !is_root
}
