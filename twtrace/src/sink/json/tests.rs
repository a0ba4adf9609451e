use super::*;
use crate::{
    model::{Lifecycle, observation::Traffic},
    sink::samples::*,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn lines(changes: &[Change]) -> String {
    let mut out = Vec::new();
    run(&mut Json::new(&mut out), changes).expect("memory takes it");
    String::from_utf8(out).expect("text")
}

fn lifecycle(life: Lifecycle) -> Value {
    let lines = lines(&[ended(life)]);
    let line = lines.lines().nth(1).expect("attached, lifecycle, summary");
    serde_json::from_str(line).expect("JSON")
}

/// The fields that these pointers name.
fn check(life: Lifecycle, fields: &[(&str, Value)]) {
    let record = lifecycle(life);
    for (pointer, value) in fields {
        assert_eq!(record.pointer(pointer), Some(value), "{pointer} of {record}");
    }
}

#[test]
fn a_run() {
    let out =
        lines(&[Change::Transition(transition()), Change::Closed(Box::new(closing())), announced(expired()), lost()]);
    insta::assert_snapshot!(out, @r#"
    {"type":"attached","schema":1,"time":"2026-01-01T00:00:00.000000000Z","kernel":"6.18.0-test","version":"0.1.0","probes_on":["tp_btf/inet_sock_set_state"],"probes_off":[{"name":"tp/timer_expire_entry","reason":"EPERM: needs [31mCAP_PERFMON"}],"precision":"hook"}
    {"type":"transition","schema":1,"time":"2026-01-01T00:00:01.102000000Z","connection":1,"family":"ipv4","v4_mapped":false,"local":{"ip":"10.0.0.1","port":40000},"remote":{"ip":"10.0.0.2","port":80},"netns":4026531840,"from":"ESTABLISHED","to":"FIN_WAIT1","duration_ns":1000000000,"process":{"pid":4242,"comm":"curl","uid":33,"start_time":"2025-12-31T23:59:52.500000000Z"},"basis":"observed"}
    {"type":"lifecycle","schema":1,"connection":1,"family":"ipv4","v4_mapped":false,"local":{"ip":"10.0.0.1","port":40000},"remote":{"ip":"10.0.0.2","port":80},"direction":"outbound","netns":4026531840,"cgroup":null,"container":null,"container_runtime":null,"pod":null,"owner":{"pid":4242,"comm":"curl","uid":33,"start_time":"2025-12-31T23:59:52.500000000Z","basis":"connect"},"opened":"2026-01-01T00:00:00.100000000Z","ended":"2026-01-01T00:01:01.160000000Z","preexisting":false,"complete":true,"states":[{"state":"SYN_SENT","duration_ns":2000000,"basis":"observed"},{"state":"ESTABLISHED","duration_ns":1000000000,"basis":"observed"},{"state":"FIN_WAIT1","duration_ns":1000000,"basis":"observed"},{"state":"FIN_WAIT2","duration_ns":37000000,"basis":"observed"},{"state":"TIME_WAIT","duration_ns":60020000000,"basis":"hook"}],"closed_first":"local","closed_by":{"pid":4242,"comm":"curl","uid":33,"start_time":"2025-12-31T23:59:52.500000000Z","confidence":"certain"},"close":"fin","close_reason":null,"time_wait":{"duration_ns":60020000000,"end":"expired","restarts":0,"basis":"hook"},"close_wait":null,"idle_before_close_ns":null,"bytes_sent":null,"bytes_received":null,"retransmits":null,"srtt_ns":null,"lost_evidence":0}
    {"type":"lost","schema":1,"time":"2026-01-01T00:00:03.000000000Z","count":12,"where":"ring"}
    {"type":"summary","schema":1,"events_received":1234,"events_lost":12,"lost_by_place":{"ring":12},"by_close":{"fin":2,"reset_sent":1,"unknown":1},"by_closed_first":{"local":1,"remote":2,"unknown":1},"audit":[{"counter":"ActiveOpens","kernel":20000,"seen":20000,"slack":0,"agrees":true},{"counter":"PassiveOpens","kernel":20001,"seen":20000,"slack":1,"agrees":true},{"counter":"TW","kernel":20000,"seen":19988,"slack":0,"agrees":false}]}
    "#);
}

#[test]
fn in_a_container() {
    check(
        contained(),
        &[
            ("/cgroup", json!("/kubepods.slice/a,\"b\"")),
            ("/container", json!("01fd96f7ad29")),
            ("/container_runtime", json!("containerd")),
            ("/pod", json!("shop/web-0")),
        ],
    );
    let unknown = ["/cgroup", "/container", "/container_runtime", "/pod"].map(|field| (field, json!(null)));
    check(expired(), &unknown);
}

#[test]
fn what_it_carried() {
    let mut life = expired();
    life.idle_before_close = Some(1_200_000_000);
    life.traffic = Some(Traffic { bytes_sent: 1000, bytes_received: 0, retransmits: 2, srtt: None });
    check(
        life,
        &[
            ("/idle_before_close_ns", json!(1_200_000_000)),
            ("/bytes_sent", json!(1000)),
            ("/bytes_received", json!(0)),
            ("/retransmits", json!(2)),
            ("/srtt_ns", json!(null)),
        ],
    );
}

#[test]
fn open_before_tracing_began() {
    check(
        preexisting(),
        &[
            ("/family", json!("ipv4")),
            ("/v4_mapped", json!(true)),
            ("/opened", json!(null)),
            ("/preexisting", json!(true)),
            ("/complete", json!(false)),
            ("/netns", json!(null)),
            ("/owner/basis", json!("socket_table")),
            ("/closed_by/confidence", json!("likely")),
            ("/states/0", json!({"state": "ESTABLISHED", "duration_ns": null, "basis": "sock_diag"})),
            ("/time_wait", json!(null)),
            ("/close_wait", json!({"duration_ns": 2_499_000_000_u64, "accepted": true, "basis": "observed"})),
        ],
    );
}

#[test]
fn never_accepted_and_damaged() {
    check(
        never_accepted(),
        &[
            ("/family", json!("ipv6")),
            ("/local/ip", json!("2001:db8:1234:5678:9abc:def0:1234:5678")),
            ("/closed_by", json!(null)),
            ("/close", json!("reset_sent")),
            ("/close_reason", json!("TCP_STATE")),
            ("/close_wait/accepted", json!(false)),
            ("/lost_evidence", json!(3)),
            ("/complete", json!(false)),
        ],
    );
}

#[test]
fn no_free_port() {
    check(
        no_port(),
        &[
            ("/local", json!({"ip": "127.0.0.1", "port": null})),
            ("/close", json!("no_port")),
            ("/closed_first", json!("neither")),
            ("/owner/comm", json!("ab")),
        ],
    );
}

#[test]
fn unknown_is_null() {
    let mut fields = vec![
        ("/ended", json!(null)),
        ("/close_wait", json!({"duration_ns": null, "accepted": null, "basis": "observed"})),
    ];
    let null = ["direction", "netns", "owner", "closed_first", "closed_by", "close", "close_reason", "time_wait"];
    let null = null.map(|name| format!("/{name}"));
    fields.extend(null.iter().map(|pointer| (pointer.as_str(), json!(null))));
    check(unknown(), &fields);
}

#[test]
fn ends_of_time_wait() {
    check(closing(), &[("/time_wait/end", json!("open")), ("/time_wait/duration_ns", json!(null))]);
    check(taken_over(), &[("/time_wait/end", json!("taken_over")), ("/time_wait/restarts", json!(2))]);
    let mut nobody_saw = expired();
    nobody_saw.time_wait_end = None;
    check(nobody_saw, &[("/time_wait/end", json!(null)), ("/complete", json!(true))]);
    check(overflow(), &[("/time_wait/end", json!("overflow")), ("/time_wait/duration_ns", json!(0))]);
    check(orphan(), &[("/time_wait", json!(null)), ("/close", json!("timed_out"))]);
}

#[test]
fn hostile_names_are_escaped_before_json_escapes_them() {
    let shown = hostile().map(|life| lifecycle(life)["owner"]["comm"].as_str().map(str::to_owned));
    let expected =
        ["\\u{1b}[31mred\\u{1b}[0m", "two\\nlines", "say \"hi\"\\\\", "\\xff\\xfe\\x80", "a\\u{202e}txt.exe", "=1+2,3"];
    assert_eq!(shown, expected.map(|comm| Some(comm.to_owned())));
}

#[test]
fn without_a_clock_times_are_unknown() {
    let mut out = Vec::new();
    Json::new(&mut out).change(&ended(expired())).expect("memory takes it");
    let record: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!((&record["opened"], &record["owner"]["start_time"]), (&Value::Null, &Value::Null));
    assert_eq!(record["time_wait"]["duration_ns"], json!(60_020_000_000_u64));
}

#[test]
fn attached_comes_at_once_and_the_rest_on_ticks() {
    let mut counted = Counted::default();
    let mut json = Json::new(&mut counted);
    json.attached(&attached()).expect("taken");
    for _ in 0..50 {
        json.change(&ended(expired())).expect("taken");
    }
    json.tick(at(1), &Tracker::new(crate::model::tracker::Means::default())).expect("taken");
    drop(json);
    assert_eq!(counted.0, 2);
}

#[test]
fn a_closed_pipe_is_told_as_one() {
    let error = run(&mut Json::new(Closed), &[]).expect_err("closed");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

proptest! {
    #[test]
    fn a_record_is_a_line_whatever_the_name(comm in prop::collection::vec(any::<u8>(), 0..20)) {
        let mut shown = transition();
        shown.process = Some(process(1, &comm));
        let out = lines(&[Change::Transition(shown), ended(named(&comm))]);
        prop_assert_eq!(out.lines().count(), 4);
        for line in out.lines() {
            let record: Value = serde_json::from_str(line)?;
            prop_assert_eq!(&record["schema"], 1);
            for comm in record.pointer("/owner/comm").iter().chain(&record.pointer("/process/comm")) {
                prop_assert!(!comm.as_str().unwrap_or("\n").contains(char::is_control));
            }
        }
    }
}
