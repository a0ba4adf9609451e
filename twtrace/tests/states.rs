//! `twtrace states` against `ss`, /proc and the scenario itself, in a network namespace of its own.

#[path = "live/folder.rs"]
mod folder;
#[path = "live/namespace.rs"]
mod namespace;

use folder::Folder;
use namespace::TestNetns;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Command, Output},
    time::{Duration, Instant},
};

const NOBODY: u32 = 65_534;
/// So long before a connection is half closed, data came in; so long after, the table is read.
const HELD: Duration = Duration::from_millis(400);

/// On one port: three open connections, one of them not accepted; three of which the client has closed, one of them
/// not accepted; two in TIME_WAIT, which hold a port toward it.
struct Scene {
    netns: TestNetns,
    inode: u32,
    port: u16,
    /// Around the closing of those that are then in CLOSE_WAIT.
    closed: (Instant, Instant),
    waits_since: Instant,
    _streams: Vec<TcpStream>,
    _listener: TcpListener,
}

impl Scene {
    fn new(name: &str) -> Option<Self> {
        let netns = TestNetns::new(name)?;
        let door = netns.find().open().expect("root may");
        let inode = netns.find().inode;
        Some(door.inside(|| Self::inside(netns, inode)).expect("root may"))
    }

    fn inside(netns: TestNetns, inode: u32) -> Self {
        for (name, value) in [("ip_local_port_range", "40000 40099"), ("ip_local_reserved_ports", "40010-40019,50000")]
        {
            std::fs::write(format!("/proc/sys/net/ipv4/{name}"), value).expect("root may");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let to = listener.local_addr().expect("its address");
        let connect = || TcpStream::connect(to).expect("a connection");
        let accept = || listener.accept().expect("its other end").0;
        let mut streams = Vec::new();
        for _ in 0..2 {
            let client = connect();
            drop(client);
            drop(accept());
        }
        let waits_since = Instant::now();
        for _ in 0..2 {
            streams.extend([connect(), accept()]);
        }
        let mut half_closed: Vec<TcpStream> = Vec::new();
        for _ in 0..2 {
            let mut client = connect();
            client.write_all(b"never read").expect("room");
            half_closed.push(client);
            streams.push(accept());
        }
        // From here on nobody accepts.
        half_closed.push(connect());
        streams.push(connect());
        std::thread::sleep(HELD);
        let before = Instant::now();
        half_closed.iter().for_each(|client| client.shutdown(Shutdown::Write).expect("open"));
        let closed = (before, Instant::now());
        std::thread::sleep(HELD);
        streams.extend(half_closed);
        Self { netns, inode, port: to.port(), closed, waits_since, _streams: streams, _listener: listener }
    }

    fn states(&self, arguments: &[&str]) -> Value {
        let lines = self.lines(arguments);
        lines.into_iter().next_back().expect("a line")
    }

    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["--format", "json"], arguments].concat());
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twtrace"));
        let output = command.args(["states", "--netns", &self.inode.to_string()]).args(arguments).output();
        let output = output.expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    fn in_netns(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("ip");
        let output = command.args(["netns", "exec", &self.netns.0, program]).args(arguments).output().expect("ip");
        String::from_utf8(output.stdout).expect("text")
    }
}

/// By the kernel's names, from the words of the first column.
fn counted<'a>(states: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for state in states {
        let name = match state {
            "ESTAB" => "ESTABLISHED".to_owned(),
            other => other.replace('-', "_").replace("FIN_WAIT_", "FIN_WAIT"),
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn nanos(value: &Value) -> Duration {
    Duration::from_nanos(value.as_u64().unwrap_or_else(|| panic!("{value} is no time")))
}

#[test]
fn it_counts_what_ss_and_proc_count() {
    let Some(scene) = Scene::new("counts") else { return };
    let states = scene.states(&[]);
    let by_ss = scene.in_netns("ss", &["-tanH"]);
    let by_ss = counted(by_ss.lines().filter_map(|line| line.split_ascii_whitespace().next()));
    assert_eq!(states["by_state"], json!(by_ss), "{states}");
    let proc = scene.in_netns("cat", &["/proc/net/tcp"]);
    let numbers = proc.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(3));
    assert_eq!(numbers.filter(|number| *number == "06").count(), 2);
    assert_eq!(
        states["by_state"],
        json!({ "LISTEN": 1, "ESTABLISHED": 6, "CLOSE_WAIT": 3, "FIN_WAIT2": 3, "TIME_WAIT": 2 })
    );
    assert_eq!(states["sockets"], 15);
    assert_eq!(states["not_accepted"], json!({ "ESTABLISHED": 1, "CLOSE_WAIT": 1 }));
    assert_eq!(states["namespaces"][0]["ports"], json!({ "first": 40000, "last": 40099, "reserved": 10, "pool": 90 }));
    assert_eq!(states["unseen"]["namespaces"], json!([]));
}

/// Every client holds a port toward the one service; the service has the other ends.
#[test]
fn ports_are_counted_by_destination() {
    let Some(scene) = Scene::new("ports") else { return };
    let states = scene.states(&[]);
    let [outgoing] = &states["outgoing"].as_array().expect("a list")[..] else { panic!("{states}") };
    assert_eq!((&outgoing["ports_held"], &outgoing["ports"]), (&json!(8), &json!(90)));
    assert_eq!(outgoing["remote"], json!({ "ip": "127.0.0.1", "port": scene.port }));
    assert_eq!(outgoing["by_state"], json!({ "ESTABLISHED": 3, "FIN_WAIT2": 3, "TIME_WAIT": 2 }));
    let [incoming] = &states["incoming"].as_array().expect("a list")[..] else { panic!("{states}") };
    assert_eq!(incoming["local"], json!({ "ip": "127.0.0.1", "port": scene.port }));
    assert_eq!(incoming["by_state"], json!({ "ESTABLISHED": 3, "CLOSE_WAIT": 3 }));
    let text = String::from_utf8(scene.run(&[]).stdout).expect("text");
    assert!(text.contains("8.9%"), "{text}");
}

#[test]
fn close_waits_have_an_age_and_a_holder() {
    let Some(scene) = Scene::new("ages") else { return };
    let states = scene.states(&[]);
    // A jiffy each way, and what passed until the table was read.
    let jiffies = Duration::from_millis(20);
    let (youngest, oldest) = (HELD - jiffies, scene.closed.0.elapsed() + jiffies);
    let close_waits = states["close_waits"].as_array().expect("a list");
    assert_eq!(close_waits.len(), 3);
    for one in close_waits {
        let (at_least, at_most) = (nanos(&one["at_least_ns"]), nanos(&one["at_most_ns"]));
        assert!((youngest..=oldest).contains(&at_least), "{one}");
        assert!(at_most >= HELD * 2 - jiffies && at_most <= oldest + HELD * 3, "{one}");
        let holder = if one["accepted"] == true { json!(std::process::id()) } else { json!(null) };
        assert_eq!(one["process"]["pid"], holder, "{one}");
    }
    assert!(scene.closed.1 > scene.closed.0);
    assert_eq!(close_waits.iter().filter(|one| one["accepted"] == false).count(), 1);
    let process = states["processes"].as_array().expect("a list").iter().find(|one| one["pid"] == std::process::id());
    let process = process.expect("this one");
    assert_eq!(process["by_state"], json!({ "LISTEN": 1, "ESTABLISHED": 5, "CLOSE_WAIT": 2, "FIN_WAIT2": 3 }));
    assert!(process["descriptors"].as_u64() >= Some(11) && process["descriptor_limit"].is_u64(), "{process}");
    let cgroup = std::fs::read_to_string("/proc/self/cgroup").expect("/proc");
    let path = process["cgroup"].as_str().expect("it is in one");
    assert!(cgroup.lines().any(|line| line.ends_with(&format!(":{path}"))), "{path} of {cgroup}");
    let [listener] = &states["listeners"].as_array().expect("a list")[..] else { panic!("{states}") };
    assert_eq!(
        (&listener["waiting"], &listener["backlog"], &listener["full"]),
        (&json!(2), &json!(128), &json!(false))
    );
    assert_eq!(listener["process"]["pid"], std::process::id());
}

#[test]
fn a_time_wait_has_time_left() {
    let Some(scene) = Scene::new("left") else { return };
    let lines = scene.lines(&["--sockets", "--no-processes"]);
    let waits: Vec<_> = lines.iter().filter(|line| line["state"] == "TIME_WAIT").collect();
    assert_eq!(waits.len(), 2);
    for one in waits {
        let gone = Duration::from_secs(60) - nanos(&one["time_wait_left_ns"]);
        let jiffies = Duration::from_millis(20);
        assert!(gone + jiffies >= HELD * 2 && gone <= scene.waits_since.elapsed() + jiffies * 5, "{one}");
        assert!(one["time_wait_since"].as_str() < one["time"].as_str(), "{one}");
    }
    assert_eq!(lines.iter().filter(|line| line["type"] == "socket").count(), 15);
    let states = lines.last().expect("a line");
    assert_eq!((&states["processes"], &states["unseen"]["without_holder"]), (&json!(null), &json!(null)));
}

#[test]
fn filters_are_those_of_watch() {
    let Some(scene) = Scene::new("filters") else { return };
    let (pid, port) = (std::process::id().to_string(), scene.port.to_string());
    let by_state = |arguments: &[&str]| scene.states(arguments)["by_state"].clone();
    // What nobody holds is nobody's.
    let held = json!({ "LISTEN": 1, "ESTABLISHED": 5, "CLOSE_WAIT": 2, "FIN_WAIT2": 3 });
    assert_eq!(by_state(&["-p", &pid]), held);
    assert_eq!(by_state(&["--cgroup", "/"]), held);
    assert_eq!(by_state(&["--cgroup", "/no/such"]), json!({}));
    assert_eq!(by_state(&["--comm", "nobody"]), json!({}));
    assert_eq!(by_state(&["-D", &port]), json!({ "ESTABLISHED": 3, "FIN_WAIT2": 3, "TIME_WAIT": 2 }));
    assert_eq!(by_state(&["-L", &port]), json!({ "LISTEN": 1, "ESTABLISHED": 3, "CLOSE_WAIT": 3 }));
    assert_eq!(by_state(&["-6"]), json!({}));
}

#[test]
fn watching_reads_again() {
    let Some(scene) = Scene::new("watching") else { return };
    let lines = scene.lines(&["--watch", "50ms", "--count", "3"]);
    assert_eq!(lines.iter().map(|line| line["sockets"].clone()).collect::<Vec<_>>(), [15, 15, 15]);
    assert!(lines[0]["time"].as_str() < lines[2]["time"].as_str());
    let text = String::from_utf8(scene.run(&["--watch", "50ms", "--count", "2"]).stdout).expect("text");
    assert_eq!(text.matches("15 TCP sockets in 1 network namespace").count(), 2, "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let begin = Instant::now();
    scene.run(&["--watch", "--duration", "200ms"]);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

/// Its own namespace is all that is open to it, and it says so.
#[test]
fn nobody_is_told_what_it_cannot_see() {
    let Some(scene) = Scene::new("nobody") else { return };
    // Somebody else's, in another namespace.
    let door = scene.netns.find().open().expect("root may");
    let mut stranger = door.inside(|| Command::new("sleep").arg("60").spawn()).expect("root may").expect("it starts");
    // The checkout may be out of its reach.
    let folder = Folder::new("states");
    let program = folder.0.join("twtrace");
    std::fs::copy(env!("CARGO_BIN_EXE_twtrace"), &program).expect("room");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["states", "--format", "json"]).args(arguments).uid(NOBODY).gid(NOBODY).current_dir("/");
        command.output().expect("it starts")
    };
    let output = run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let states: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    stranger.kill().expect("it is ours");
    stranger.wait().expect("it is ours");
    assert_eq!(states["namespaces"].as_array().map(Vec::len), Some(1), "{states}");
    assert_eq!(states["unseen"]["namespaces_hidden"], true, "{states}");
    let output = run(&["--netns", &scene.inode.to_string()]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains(&scene.inode.to_string()) && complaint.lines().count() == 1, "{complaint}");
}
