use super::*;
use crate::{
    model::{Comm, Process, SocketId, TcpState, Transition, observation::SocketSays, tracker::Means},
    sink::samples::{ended, expired, lost, named, never_accepted, transition, tuple},
};
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

#[derive(Debug)]
struct NoCost;

impl Collector for NoCost {
    fn encode(&self, _encoder: DescriptorEncoder<'_>) -> fmt::Result {
        Ok(())
    }
}

fn metrics() -> (Metrics, Page) {
    let settings =
        [("net.ipv4.ip_local_port_range", "40000 40099"), ("net.ipv4.ip_local_reserved_ports", "40010-40019")];
    let sysctls = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Metrics::new(Filter::default(), "6.18.0", &sysctls, NoCost)
}

/// The value of the sample that begins with these words.
fn value(page: &Page, sample: &str) -> Option<f64> {
    let text = page.text();
    let line = text.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// A process connects, and stays connected.
fn connected(number: u32, comm: &str, remote: &str) -> [Observation; 2] {
    let process = Process { pid: number + 1, uid: 0, started: Some(1), comm: Comm::new(comm.as_bytes()) };
    let local = format!("10.0.0.1:{}", 40_000 + number % 100);
    [(TcpState::Close, TcpState::SynSent), (TcpState::SynSent, TcpState::Established)].map(|(from, to)| {
        Observation::Transition(Transition {
            at: Ktime(1_000_000_000),
            socket: SocketId::Cookie(u64::from(number) + 1),
            address: u64::from(number) + 1,
            netns: Some(1),
            tuple: tuple(&local, remote),
            v4_mapped: false,
            from,
            to,
            socket_says: Some(SocketSays { owned: true, ..SocketSays::default() }),
            task: Some(process),
            kernel_thread: false,
        })
    })
}

fn census(metrics: &mut Metrics, observations: impl IntoIterator<Item = Observation>) {
    let mut tracker = Tracker::new(Means::default());
    observations.into_iter().for_each(|observation| tracker.handle(&observation));
    metrics.tick(Ktime(5_000_000_000), &tracker).expect("memory takes it");
}

#[test]
fn what_is_over_is_counted_by_side_and_kind() {
    let (mut metrics, page) = metrics();
    for change in [ended(expired()), ended(never_accepted()), Change::Transition(transition()), lost()] {
        metrics.change(&change).expect("memory takes it");
    }
    assert_eq!(value(&page, r#"twtrace_closes_total{process="curl",closed_first="local",close="fin"}"#), Some(1.0));
    assert_eq!(value(&page, r#"twtrace_transitions_total{from="ESTABLISHED",to="FIN_WAIT1"}"#), Some(1.0));
    let lasted = r#"twtrace_time_wait_duration_seconds_bucket{le="61.0",end="expired"}"#;
    assert_eq!(value(&page, lasted), Some(1.0));
    let Change::Lost(missing) = lost() else { panic!("a loss") };
    let sample = format!("twtrace_events_lost_total{{place=\"{}\"}}", missing.place.name());
    assert_eq!(value(&page, &sample), Some(missing.count as f64));
    assert_eq!(value(&page, r#"twtrace_events_lost_total{place="decode"}"#), Some(0.0));
}

#[test]
fn sockets_and_ports_are_as_they_are_now() {
    let (mut metrics, page) = metrics();
    let to = |port: u32| format!("10.0.0.9:{port}");
    // 40000 to 40029: ten of them are reserved, and not chosen by the kernel.
    let mut observations: Vec<_> = (0..30).flat_map(|number| connected(number, "app", &to(443))).collect();
    observations.extend((30..33).flat_map(|number| connected(number, "cron", &to(80))));
    census(&mut metrics, observations);
    assert_eq!(value(&page, r#"twtrace_sockets{state="ESTABLISHED",process="app"}"#), Some(30.0));
    assert_eq!(value(&page, r#"twtrace_sockets{state="ESTABLISHED",process="cron"}"#), Some(3.0));
    assert_eq!(value(&page, "twtrace_ephemeral_ports"), Some(90.0));
    let used =
        |destination| format!("twtrace_ephemeral_ports_used{{local=\"10.0.0.1\",destination=\"{destination}\"}}");
    assert_eq!(value(&page, &used(to(443))), Some(20.0));
    assert_eq!(value(&page, &used(to(80))), Some(3.0));
    // Nobody has asked since, so nobody pays for a look; then they are gone.
    metrics.page.read.store(true, Ordering::Relaxed);
    metrics.counted = Ktime(0);
    census(&mut metrics, []);
    assert_eq!(value(&page, r#"twtrace_sockets{state="ESTABLISHED",process="app"}"#), None);
}

#[test]
fn labels_are_bounded_whoever_comes() {
    let (mut metrics, page) = metrics();
    let peers = (0..10_000).flat_map(|number| {
        let remote = format!("10.{}.{}.9:{}", number >> 8, number & 255, 1024 + number);
        connected(number, &format!("worker-{number}"), &remote)
    });
    census(&mut metrics, peers);
    for number in 0..10_000 {
        metrics.change(&ended(named(format!("gone-{number}").as_bytes()))).expect("memory takes it");
    }
    let text = page.text();
    assert!(text.lines().count() < 400, "{} lines", text.lines().count());
    assert_eq!(text.matches("twtrace_ephemeral_ports_used{").count(), DESTINATIONS + 1);
    assert_eq!(text.matches("twtrace_sockets{").count(), NAMES + 1);
    let rest = r#"twtrace_sockets{state="ESTABLISHED",process="other"}"#;
    assert_eq!(value(&page, rest), Some(10_000.0 - NAMES as f64));
}

#[test]
fn names_cannot_break_out_of_their_quotes() {
    let (mut metrics, page) = metrics();
    metrics.change(&ended(named(b"a\"} 1\nx 2\x1b[m"))).expect("memory takes it");
    let text = page.text();
    let line = text.lines().find(|line| line.starts_with("twtrace_closes_total")).expect("it is there");
    assert!(line.contains(r#"process="a\"} 1\\nx 2"#), "{line}");
    assert!(!text.contains('\x1b') && !text.lines().any(|line| line.starts_with("x 2")), "{text}");
}

#[test]
fn the_older_text_describes_counters_by_their_whole_name() {
    let (mut metrics, page) = metrics();
    metrics.change(&ended(expired())).expect("memory takes it");
    let older = page.older_text();
    assert!(older.contains("# TYPE twtrace_closes_total counter\n"), "{older}");
    assert!(older.contains("# HELP twtrace_closes_total Connections over"), "{older}");
    assert!(older.contains("# TYPE twtrace_time_wait_duration_seconds histogram\n"), "{older}");
    assert!(!older.contains("# EOF") && !older.contains("# UNIT"), "{older}");
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&older), samples(&page.text()));
}
