use super::{Options, json, text};
use crate::{
    model::{
        Comm, Endpoint, FourTuple, Ktime, Process, SocketId, TcpState,
        observation::{Container, ProcessReading, Row, Runtime},
        sockets::{Idle, Reading, Sockets},
        sysctls::{PORT_RANGE, PortRange, RESERVED_PORTS},
    },
    sink::Clock,
};
use hashbrown::HashMap;
use serde_json::Value;

const S: u64 = 1_000_000_000;
const CLOCK: Clock = Clock { realtime: 1_767_225_500_000_000_000, boottime: 0 };
/// 2026-01-01T00:00:00.
const NOW: Ktime = Ktime(100 * S);

fn row(state: TcpState, local: (&str, u16), remote: (&str, u16), inode: u64) -> Row {
    let [local, remote] = [local, remote].map(|(ip, port)| Endpoint { ip: ip.parse().expect("an address"), port });
    Row {
        at: NOW,
        socket: SocketId::Cookie(inode),
        netns: 1,
        tuple: FourTuple { local, remote },
        v4_mapped: false,
        state,
        time_wait_left: None,
        inode: (inode != 0).then_some(inode),
        last_ack: None,
        traffic: None,
    }
}

/// A server that leaks, whose own connections to its database wait; its name does what names can.
fn reading(keep: bool) -> Reading {
    let api = Process { pid: 812, uid: 33, started: Some(90 * S), comm: Comm::new(b"a\x1b[2Jpi") };
    let values = [(PORT_RANGE, "32768 60999"), (RESERVED_PORTS, "")];
    let mut sockets = Sockets::new(keep);
    sockets.enter(1, PortRange::of(&values.map(|(name, value)| (name.to_owned(), value.to_owned())).into()));
    let listener = row(TcpState::Listen, ("0.0.0.0", 80), ("0.0.0.0", 0), 1);
    sockets.listens(&listener);
    sockets.listener(&listener, 3, 2);
    for index in 0..4 {
        let wait = row(TcpState::TimeWait, ("10.0.0.1", 40_000 + index), ("10.0.0.9", 5432), 0);
        sockets.connection(&Row { time_wait_left: Some(u64::from(index) * 15 * S), ..wait });
    }
    sockets.connection(&row(TcpState::CloseWait, ("10.0.0.1", 80), ("10.0.0.7", 50_000), 5));
    sockets.connection(&row(TcpState::CloseWait, ("10.0.0.1", 80), ("10.0.0.7", 50_001), 0));
    sockets.connection(&row(TcpState::Established, ("10.0.0.1", 80), ("10.0.0.7", 50_002), 6));
    let idle = |ack, data| Idle { data: Some(data), ack: Some(ack) };
    let key = |cookie| (1, SocketId::Cookie(cookie));
    sockets.ages([(key(5), idle(75 * S, 7_200 * S)), (key(0), idle(S, S))].into_iter().collect());
    sockets.settle(&[(1, vec![api]), (5, vec![api])].into_iter().collect());
    let process = ProcessReading {
        at: NOW,
        process: api,
        cgroup: Some("/system.slice/api.service".into()),
        container: Some(Container { runtime: Runtime::Systemd, id: "api.service".into(), pod: None }),
        descriptors: Some(900),
        descriptor_limit: Some(1024),
    };
    Reading {
        at: NOW,
        took: 41_000_000,
        sockets,
        owners: HashMap::from_iter([(5, api)]),
        processes: HashMap::from_iter([(812, Some(process))]),
        unread: vec![(2, "Operation not\npermitted".to_owned())],
        partial: vec![1],
        all_found: false,
        hidden: 1,
        looked: true,
    }
}

fn printed(reading: &Reading, top: usize) -> String {
    let mut out = Vec::new();
    let options = Options { top, each: reading.sockets.all().is_some() };
    text(&mut out, reading, None, CLOCK, options).expect("memory takes it");
    String::from_utf8(out).expect("text")
}

#[test]
fn a_person_sees_what_there_is_most_of_first() {
    insta::assert_snapshot!(printed(&reading(false), 10));
}

#[test]
fn tables_end_at_the_top() {
    let text = printed(&reading(false), 1);
    assert!(text.contains("and 1 more: --top 2 shows all"), "{text}");
}

#[test]
fn each_socket_on_a_row() {
    insta::assert_snapshot!(printed(&reading(true), 0).split("each socket").nth(1).expect("it is there"));
}

#[test]
fn changes_stand_beside_the_counts() {
    let (reading, mut before) = (reading(false), crate::model::sockets::Counts::default());
    (0..6).for_each(|_| before.add(TcpState::TimeWait));
    before.add(TcpState::LastAck);
    let mut out = Vec::new();
    text(&mut out, &reading, Some(&before), CLOCK, Options { top: 0, each: false }).expect("memory takes it");
    let text = String::from_utf8(out).expect("text");
    let line = |state: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(state)).expect("a row");
        line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("TIME_WAIT"), ["TIME_WAIT", "4", "-2"]);
    assert_eq!(line("LAST_ACK"), ["LAST_ACK", "0", "-1"]);
    assert_eq!(line("CLOSE_WAIT"), ["CLOSE_WAIT", "2", "+2"]);
}

#[test]
fn a_script_gets_one_object_and_null_for_unknown() {
    let mut out = Vec::new();
    json(&mut out, &reading(true), CLOCK).expect("memory takes it");
    let text = String::from_utf8(out).expect("text");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 9);
    let waits = lines.iter().find(|line| line["time_wait_left_ns"] == 45 * S).expect("the last");
    assert_eq!(waits["time_wait_since"], "2025-12-31T23:59:45.000000000Z");
    assert_eq!((&waits["process"], &lines[0]["remote"]), (&Value::Null, &Value::Null));
    insta::assert_snapshot!(serde_json::to_string_pretty(&lines[8]).expect("JSON"));
}
