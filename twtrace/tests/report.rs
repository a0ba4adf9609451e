//! Incidents that real processes acted (incidents/scenes.py), out of their recordings: the first finding names the
//! culprit, the mechanism and the cure.

#![expect(clippy::unwrap_used, reason = "a test panics")]

use serde_json::Value;
use std::process::{Command, Output};

const INCIDENTS: [&str; 7] = ["flood", "exhausted", "leak", "proxy", "queue", "idle", "healthy"];

fn twtrace(args: &[&str]) -> Output {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    Command::new(env!("CARGO_BIN_EXE_twtrace")).args(args).current_dir(folder).output().unwrap()
}

fn said(args: &[&str]) -> String {
    let output = twtrace(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&said(&[args, &["--format", "json"]].concat())).unwrap()
}

/// What the scene did is known; what the report must say first follows.
#[track_caller]
fn first(incident: &str) -> Value {
    let report = json(&["report", &format!("{incident}.arrows")]);
    assert_eq!((&report["type"], &report["schema"]), (&"report".into(), &1.into()));
    report["findings"][0].clone()
}

#[track_caller]
fn check(incident: &str, kind: &str, culprit: &str, mechanism: &str, cure: &str) -> Value {
    let finding = first(incident);
    assert_eq!((finding["id"].as_str(), finding["culprit"]["comm"].as_str()), (Some(kind), Some(culprit)));
    for (field, part) in [("mechanism", mechanism), ("cure", cure)] {
        assert!(finding[field].as_str().unwrap().contains(part), "{finding:#}");
    }
    finding
}

fn figure(finding: &Value, name: &str) -> Value {
    finding["figures"][name]["value"].clone()
}

/// 330 calls, each with a connection of its own, out of 400 ports.
#[test]
fn a_client_that_floods_one_destination() {
    let finding = check("flood", "ports-running-out", "api", "closes first", "Keep connections alive");
    assert_eq!(figure(&finding, "ports_held_peak"), 330);
    assert_eq!(figure(&finding, "port_pool"), 400);
    assert_eq!(finding["place"]["to"]["port"], 5432);
}

/// 130 calls out of 100 ports.
#[test]
fn ports_that_are_used_up() {
    let finding = check("exhausted", "ports-exhausted", "api", "closes first", "Keep connections alive");
    assert_eq!(figure(&finding, "connects_without_port"), 30);
    assert_eq!(figure(&finding, "ports_held_peak"), 100);
}

/// 50 clients that close, and a server that does not.
#[test]
fn a_server_that_never_closes() {
    let finding = check("leak", "not-closed", "billing", "Until it calls close()", "Mend the program");
    assert_eq!(figure(&finding, "close_wait_not_closed"), 50);
    assert_eq!((&finding["severity"], figure(&finding, "descriptor_limit")), (&"critical".into(), 64.into()));
    assert_eq!(finding["place"]["at_port"], 8080);
}

/// 200 requests, each by a connection to the upstream that the proxy closes first.
#[test]
fn a_proxy_that_closes_first() {
    let finding = check("proxy", "time-wait-flood", "proxy", "closes first", "Keep connections alive");
    assert_eq!(finding["place"]["to"]["port"], 9000);
    let report = json(&["report", "proxy.arrows"]);
    let second = &report["findings"][1];
    assert_eq!((&second["id"], &second["place"]["at_port"]), (&"server-closes-first".into(), &8080.into()));
    assert_eq!(figure(second, "time_waits"), 200);
}

/// A backlog of 16 holds 17; of 30 clients 8 close, and the others wait.
#[test]
fn an_accept_queue_that_nobody_empties() {
    let finding = check("queue", "not-accepted", "worker", "does not call accept()", "accept loop");
    assert_eq!(figure(&finding, "not_accepted"), 17);
    assert!(figure(&finding, "queue_overflows").as_u64().unwrap() > 0);
}

/// 12 connections that the server closes 5 s after their only request.
#[test]
fn a_server_that_closes_after_a_while_without_data() {
    let finding = check("idle", "idle-timeout", "httpd", "keep-alive timeout", "shorter idle timeout");
    assert_eq!(figure(&finding, "idle_timeout"), 5_000_000_000_u64);
    assert_eq!(figure(&finding, "idle_closes"), 12);
    assert_eq!(finding["place"]["at_port"], 8080);
}

#[test]
fn a_healthy_run_calls_for_nothing() {
    let report = json(&["report", "healthy.arrows"]);
    assert_eq!((&report["findings"], &report["advice"]), (&Value::Array(Vec::new()), &Value::Array(Vec::new())));
}

#[test]
fn as_text() {
    for incident in INCIDENTS {
        insta::with_settings!({snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(incident, said(&["report", &format!("{incident}.arrows")]));
        });
    }
}

#[test]
fn as_json() {
    for incident in ["exhausted", "leak"] {
        let report = json(&["report", &format!("{incident}.arrows")]);
        insta::with_settings!({snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(format!("{incident}-json"), serde_json::to_string_pretty(&report).unwrap());
        });
    }
}

/// No recording makes a line that steers a terminal, or a page that is none.
#[test]
fn a_page_and_a_file() {
    let folder = std::env::temp_dir().join(format!("twtrace-report-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("leak.html");
    said(&["report", "leak.arrows", "--format", "html", "-o", file.to_str().unwrap()]);
    let page = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("billing"), "{page}");
}

#[test]
fn before_and_after() {
    let verdict = |before: &str, after: &str| {
        let comparison = json(&["report", "--diff", &format!("{before}.arrows"), &format!("{after}.arrows")]);
        (comparison["outcome"].as_str().unwrap().to_owned(), comparison["verdict"].as_str().unwrap().to_owned())
    };
    let (outcome, sentence) = verdict("exhausted", "healthy");
    assert_eq!(outcome, "fixed");
    assert!(sentence.contains("found no local port for 30 connects"), "{sentence}");
    assert_eq!(verdict("exhausted", "flood").0, "better");
    assert_eq!(verdict("healthy", "leak").0, "worse");
    assert_eq!(verdict("leak", "leak").0, "same");
    assert_eq!(verdict("healthy", "healthy").0, "healthy");
    let text = said(&["report", "--diff", "exhausted.arrows", "healthy.arrows"]);
    insta::with_settings!({snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("exhausted-healthy", text);
    });
    let page = said(&["report", "--diff", "exhausted.arrows", "healthy.arrows", "--format", "html"]);
    for told in ["<!DOCTYPE html>", &sentence, ">fixed</span>", "connects without a port"] {
        assert!(page.contains(told), "{told} is not in {page}");
    }
}

#[test]
fn what_cannot_be_read_is_said_in_one_line() {
    let output = twtrace(&["report", "no-such.arrows"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.contains("no-such.arrows"), "{said}");
    assert_eq!(twtrace(&["report"]).status.code(), Some(2));
    assert_eq!(twtrace(&["report", "--diff", "leak.arrows"]).status.code(), Some(2));
}
