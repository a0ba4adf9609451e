//! Twenty thousand short connections, counted by the kernel, by this test and by twtrace: three times the same.

#[path = "live/table.rs"]
mod table;
#[path = "live/watch.rs"]
mod watch;

use rustix::thread::UnshareFlags;
use std::{
    collections::BTreeMap,
    io::Read,
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use twtrace::model::TcpState;
use watch::{Run, Watch};

const CONNECTIONS: usize = 20_000;
/// Of them, those whose server has not closed when the run ends: the client's end is an orphan in FIN_WAIT2.
const HELD: usize = 50;
/// The kernel's counters that this load moves; TW is counted when a time-wait socket is made, since 5.17.
const COUNTERS: [&str; 3] = ["ActiveOpens", "PassiveOpens", "TW"];

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Nobody else is here, so every number is exact.
#[test]
fn in_a_namespace_of_its_own() {
    if skipped("in_a_namespace_of_its_own") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // The test's own thread must not stay there; what this one starts does.
    let inside = std::thread::spawn(|| {
        // The thread leaves a namespace that only its siblings need; no memory or descriptor is unshared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.expect("root may unshare");
        let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip starts");
        assert!(up.success(), "ip link set lo up: {up}");
        let audit = Audit::run();
        for counter in COUNTERS {
            let (inner, outer) = (audit.inner[counter], audit.outer[counter]);
            assert_eq!((counter, inner, outer), (counter, CONNECTIONS as u64, CONNECTIONS as u64));
        }
        audit.check();
    });
    inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Others may be here too: the kernel's count lies between what this test read inside and outside of the run.
#[test]
fn in_the_hosts_namespace() {
    if skipped("in_the_hosts_namespace") {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let audit = Audit::run();
    for counter in COUNTERS {
        assert!(audit.inner[counter] >= CONNECTIONS as u64, "{counter} went up by {}", audit.inner[counter]);
    }
    audit.check();
}

struct Audit {
    port: u16,
    netns: u64,
    /// What the counters went up by between the attached line and the interrupt.
    inner: BTreeMap<&'static str, u64>,
    /// The same from before the start until after the end.
    outer: BTreeMap<&'static str, u64>,
    run: Run,
}

impl Audit {
    fn run() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", table::unused_port())).expect("the port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let outside = counters();
        let watch = Watch::start(&[]);
        let inside = counters();
        let held = load(listener);
        let inner = since(&inside);
        let run = watch.end();
        let outer = since(&outside);
        drop(held);
        Self { port, netns: netns(), inner, outer, run }
    }

    fn check(&self) {
        let summary = &self.run.summary;
        assert_eq!(summary["events_lost"], 0, "{summary}");
        let audit = summary["audit"].as_array().expect("an audit");
        for line in audit {
            assert_eq!(line["agrees"], true, "{line} in {summary}");
        }
        for counter in COUNTERS {
            let line = audit.iter().find(|line| line["counter"] == counter);
            let line = line.unwrap_or_else(|| panic!("no {counter} in {summary}"));
            let kernel = line["kernel"].as_u64().expect("a number");
            let read_here = self.inner[counter]..=self.outer[counter];
            assert!(read_here.contains(&kernel), "{line}, but this test read {read_here:?}");
            if self.inner[counter] == self.outer[counter] {
                assert_eq!(line["seen"], line["kernel"], "{line}, with nothing at the borders of the run");
            }
        }

        let is_of_load = |life: &&serde_json::Value| {
            let at = |end: &str| life[end]["port"] == self.port;
            life["netns"] == self.netns && (at("local") || at("remote"))
        };
        let lifecycles: Vec<_> = self.run.lifecycles.iter().filter(is_of_load).collect();
        assert_eq!(lifecycles.len(), 2 * CONNECTIONS);
        let count = |wanted: &dyn Fn(&serde_json::Value) -> bool| lifecycles.iter().filter(|life| wanted(life)).count();
        let in_time_wait = count(&|life| !life["time_wait"].is_null());
        let in_fin_wait2 = count(&|life| {
            let last = life["states"].as_array().and_then(|states| states.last());
            life["time_wait"].is_null() && last.is_some_and(|last| last["state"] == "FIN_WAIT2")
        });
        let in_close_wait = count(&|life| life["close_wait"]["duration_ns"].is_null() && !life["close_wait"].is_null());
        assert_eq!((in_time_wait, in_fin_wait2), (CONNECTIONS - HELD, HELD));
        assert_eq!(in_close_wait, HELD, "the other ends of the orphans");
        for side in ["local", "remote"] {
            assert_eq!((side, count(&|life| life["closed_first"] == side)), (side, CONNECTIONS));
        }
        assert_eq!(count(&|life| life["lost_evidence"] != 0), 0);
        let ids: std::collections::BTreeSet<_> = lifecycles.iter().map(|life| life["connection"].to_string()).collect();
        assert_eq!(ids.len(), lifecycles.len(), "an id names one connection");
    }
}

/// One connection after the other; the client closes the even ones first, the server the odd ones, and of the last
/// ones only the client closes. Gives back the server's ends that are still open.
fn load(listener: TcpListener) -> Vec<TcpStream> {
    let address = listener.local_addr().expect("it is bound");
    let server = std::thread::spawn(move || {
        let mut held = Vec::new();
        for number in 0..CONNECTIONS {
            let (mut connection, _) = listener.accept().expect("a connection");
            if number >= CONNECTIONS - HELD {
                held.push(connection);
            } else if number % 2 == 0 {
                assert_eq!(connection.read(&mut [0]).expect("the end of the file"), 0);
            }
        }
        held
    });
    for number in 0..CONNECTIONS {
        let mut connection = TcpStream::connect(address).expect("the server listens");
        if number < CONNECTIONS - HELD && number % 2 == 1 {
            assert_eq!(connection.read(&mut [0]).expect("the end of the file"), 0);
        }
    }
    let held = server.join().expect("the server's thread");
    // Nothing is under way any more: /proc shows an orphan in FIN_WAIT2 as that, and the other end in CLOSE_WAIT.
    let settled = [TcpState::TimeWait, TcpState::FinWait2, TcpState::CloseWait, TcpState::Listen];
    table::wait_for(address.port(), "the last close", |sockets| sockets.iter().all(|s| settled.contains(&s.state)));
    held
}

/// Every counter of /proc/net/snmp and /proc/net/netstat that counts here.
fn counters() -> BTreeMap<&'static str, u64> {
    let mut counters = BTreeMap::new();
    for (file, prefix) in [("snmp", "Tcp:"), ("netstat", "TcpExt:")] {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("the kernel's counters");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            if let Some(counter) = COUNTERS.into_iter().find(|&counter| counter == name) {
                counters.insert(counter, value.parse().expect("a counter is a number"));
            }
        }
    }
    counters
}

fn since(before: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, u64> {
    counters().into_iter().map(|(name, value)| (name, value - before[name])).collect()
}

fn netns() -> u64 {
    let link = std::fs::read_link("/proc/thread-self/ns/net").expect("the namespace");
    let text = link.to_string_lossy();
    let inode = text.strip_prefix("net:[").and_then(|rest| rest.strip_suffix(']'));
    inode.and_then(|inode| inode.parse().ok()).unwrap_or_else(|| panic!("no inode in {text}"))
}

fn skipped(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: audit::{test}: needs root");
    }
    !is_root
}
