//! Where processes run: when it is asked, how long it is kept, and which lives have it.

use crate::trace::{parse, process};
use twtrace::model::{
    Change, Ktime, Lifecycle, Observation, Process, Question, Tracker,
    observation::{Container, ProcessReading, Runtime},
    tracker::Means,
};

const S: u64 = 1_000_000_000;

struct Run(Tracker, Vec<Process>, Vec<Lifecycle>);

impl Run {
    fn new() -> Self {
        Self(Tracker::new(Means::default()), Vec::new(), Vec::new())
    }

    fn see(&mut self, observation: &Observation) {
        let Self(tracker, asked, ended) = self;
        tracker.handle(observation);
        ended.extend(std::iter::from_fn(|| tracker.poll()).filter_map(|change| match change {
            Change::Ended { lifecycle, .. } => Some(*lifecycle),
            _ => None,
        }));
        asked.extend(std::iter::from_fn(|| tracker.poll_question()).filter_map(|question| match question {
            Question::Process(process) => Some(process),
            _ => None,
        }));
    }

    fn trace(&mut self, trace: &str) {
        parse(trace).iter().for_each(|(observation, _)| self.see(observation));
    }

    /// The questions since this was called last.
    fn asked(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.1).iter().map(|process| process.pid).collect()
    }
}

fn reading(who: &str, started: Option<u64>, cgroup: &str) -> Observation {
    let container = Container { runtime: Runtime::Systemd, id: "api.service".into(), pod: None };
    Observation::Process(Box::new(ProcessReading {
        at: Ktime(0),
        process: Process { started, ..process(who) },
        cgroup: Some(cgroup.into()),
        container: Some(container),
        descriptors: Some(4),
        descriptor_limit: Some(1024),
    }))
}

/// `#N`, called by `who`.
fn call(number: u64, who: &str) -> String {
    let port = 40_000 + number;
    format!(
        "0us #{number} 10.0.0.1:0 10.0.0.2:80 CLOSE>SYN_SENT by {who}\n 1ms #{number} 10.0.0.1:{port} 10.0.0.2:80 SYN_SENT>ESTABLISHED"
    )
}

#[test]
fn an_owner_is_asked_for_once_and_all_its_lives_have_the_answer() {
    let mut run = Run::new();
    run.trace(&format!("{}\n{}\n{}\n5ms tick", call(7, "api/812"), call(8, "api/812"), call(9, "curl/813")));
    assert_eq!(run.asked(), [812, 813]);
    run.see(&reading("api/812", None, "/system.slice/api.service"));
    run.trace("6ms tick");
    run.0.finish(Ktime(S));
    run.see(&Observation::Tick(Ktime(S)));
    assert!(run.asked().is_empty());
    let of = |port| run.2.iter().find(|life| life.tuple.local.port == port).expect("it ended");
    for port in [40_007, 40_008] {
        assert_eq!(of(port).cgroup(), Some("/system.slice/api.service"));
        assert_eq!(of(port).container().map(|container| &*container.id), Some("api.service"));
    }
    // It had gone by then.
    assert_eq!((of(40_009).cgroup(), of(40_009).container()), (None, None));
}

/// The kernel's start of a process is up to a tick later than that of /proc; another start is another process.
#[test]
fn a_process_is_told_by_its_start() {
    let mut run = Run::new();
    run.see(&reading("api/812", Some(4_770_000_000), "/a"));
    let place = |started| {
        let process = Process { started, ..process("api/812") };
        run.0.place(&process).and_then(|place| place.cgroup.as_deref())
    };
    assert_eq!(place(Some(4_770_000_000)), Some("/a"));
    assert_eq!(place(Some(4_779_999_999)), Some("/a"));
    assert_eq!((place(Some(4_780_000_000)), place(Some(4_769_999_999)), place(None)), (None, None, None));
}

#[test]
fn who_leaves_connections_in_close_wait_is_asked_again() {
    let mut run = Run::new();
    run.trace(&format!("{}\n{}\n5ms tick", call(7, "api/812"), call(8, "curl/813")));
    run.trace("6s tick");
    assert_eq!(run.asked(), [812, 813]);
    run.trace(
        "7s #7 10.0.0.1:40007 10.0.0.2:80 ESTABLISHED>CLOSE_WAIT\n 7.1s tick\n 12s tick\n 12.1s tick\n 16.9s tick",
    );
    assert_eq!(run.asked(), [812]);
    run.trace("17s tick\n 18s #7 10.0.0.1:40007 10.0.0.2:80 CLOSE_WAIT>LAST_ACK by api/812\n 30s tick");
    assert_eq!(run.asked(), [812]);
}

/// Many processes with a connection each: those that are done are forgotten, and a tick asks for a few.
#[test]
fn what_is_kept_and_asked_is_bounded() {
    let mut run = Run::new();
    let mut most = 0;
    for number in 1..6_000 {
        run.trace(&format!(
            "{}\n 2ms #{number} ESTABLISHED>CLOSE err=104 full",
            call(number, &format!("curl/{}", 10_000 + number))
        ));
        run.see(&Observation::Tick(Ktime(number * S)));
        most = most.max(run.0.kept_processes());
        assert!(run.asked().len() <= 8);
    }
    assert!(most < 1_200, "{most}");
}

/// A recording that begins in the middle of a run is read alone.
#[test]
fn all_are_asked_for_again_when_everything_was_read_again() {
    let mut run = Run::new();
    run.trace(&format!("{}\n{}\n{}\n 1s tick", call(1, "curl/5"), call(2, "curl/5"), call(3, "web/4")));
    assert_eq!(run.asked(), [5, 4]);
    run.trace("2s tick");
    assert_eq!(run.asked(), [0_u32; 0]);
    run.trace("3s ready\n 3s tick");
    assert_eq!(run.asked(), [4, 5]);
}
