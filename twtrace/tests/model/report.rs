//! What a run means: incidents drawn by hand, their first findings and their figures.

use crate::{trace, verdict::Tier};
use std::fmt::Write as _;
use twtrace::{
    model::{
        Change, Ktime, Observation, Tracker,
        audit::Audit,
        filter::Filter,
        observation::Table,
        report::{Analysis, FindingKind, Full, Host, Report, Reuse, Severity, Stance},
        summary::Summary,
    },
    sink::report::text,
};

/// A host of which the settings of namespace 1 are known.
fn host(settings: &[(&str, &str)]) -> Host {
    let defaults = [
        ("net.ipv4.ip_local_port_range", "32768 60999"),
        ("net.ipv4.ip_local_reserved_ports", ""),
        ("net.ipv4.tcp_tw_reuse", "2"),
        ("net.ipv4.tcp_timestamps", "1"),
        ("net.ipv4.tcp_max_tw_buckets", "8192"),
        ("net.ipv4.tcp_fin_timeout", "60"),
    ];
    let all = defaults.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Host { name: Some("web-1".to_owned()), netns: Some(1), sysctls: all.collect(), ..Host::default() }
}

/// The report of a run that ends a second after its last line.
fn report(host: Host, drawing: &str) -> Report {
    let (mut run, end) = begin(host, drawing);
    run.tracker.handle(&Observation::Tick(end));
    run.analysis.observation(&Observation::Tick(end));
    run.tracker.finish(end);
    run.changes();
    run.summary.audit = Audit::default().lines(&run.tracker);
    run.analysis.finish(&run.summary)
}

struct Run {
    tracker: Tracker,
    analysis: Analysis,
    summary: Summary,
}

/// All but the end, and when that is.
fn begin(host: Host, drawing: &str) -> (Run, Ktime) {
    let analysis = Analysis::new(vec![host], Filter::default());
    let mut run = Run { tracker: Tracker::new(Tier::Exact.means()), analysis, summary: Summary::default() };
    let lines = trace::parse(drawing);
    let end = lines.iter().map(|(observation, _)| observation.at()).max().unwrap_or_default().after(1_000_000_000);
    let ready = (Observation::Table(Table::Ready { at: Ktime(0) }), None);
    for (observation, _) in [ready].into_iter().chain(lines) {
        run.analysis.observation(&observation);
        run.summary.take(&observation);
        run.tracker.handle(&observation);
        run.changes();
    }
    (run, end)
}

impl Run {
    fn changes(&mut self) {
        while let Some(change) = self.tracker.poll() {
            if let Change::Ended { lifecycle, .. } = &change {
                self.summary.count(lifecycle);
            }
            self.analysis.change(&change);
        }
    }
}

/// Connections of `flood` to 10.0.0.2:80, one every `gap` ms, each of which it closes first after a millisecond.
fn flood(count: u64, gap: u64) -> String {
    let mut lines = String::new();
    for n in 0..count {
        let (at, port) = (n * gap * 1000, 40_000 + n);
        let end = format!("10.0.0.1:{port} 10.0.0.2:80");
        let _ = write!(
            lines,
            "{}us #{id} 10.0.0.1:0 10.0.0.2:80 CLOSE>SYN_SENT by flood/812
             {}us #{id} {end} SYN_SENT>ESTABLISHED inode=9
             {}us #{id} ESTABLISHED>FIN_WAIT1 by flood/812
             {}us #{id} FIN_WAIT1>FIN_WAIT2 dead
             {}us #{id} timer start TIME_WAIT due={}us
             {}us #{id} FIN_WAIT2>CLOSE done dead\n",
            at,
            at + 100,
            at + 600,
            at + 700,
            at + 800,
            at + 60_000_800,
            at + 800,
            id = n + 1
        );
    }
    lines
}

/// Connections to port 8080 of `srv`, whose peers close `after` ms later; one every 10 ms.
fn served(count: u64, after: u64, accept: bool) -> String {
    let mut lines = String::new();
    for n in 0..count {
        let at = n * 10_000;
        let (id, file) = (n + 1, if accept { format!("inode={}", n + 10) } else { String::new() });
        let _ = write!(
            lines,
            "{at}us #{id} 0.0.0.0:8080 10.0.0.9:{port} LISTEN>SYN_RECV @{id}
             {}us #{id} 10.0.0.1:8080 10.0.0.9:{port} SYN_RECV>ESTABLISHED @{id}
             ",
            at + 3,
            port = 50_000 + n
        );
        if accept {
            let _ = writeln!(lines, "{}us #{id} accept by srv/99", at + 5);
        }
        let _ = writeln!(lines, "{}us #{id} ESTABLISHED>CLOSE_WAIT {file} @{id}", at + 10 + after * 1000);
    }
    let mut lines: Vec<(u64, &str)> = lines.lines().map(|line| (trace::time(first_word(line)), line)).collect();
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| format!("{line}\n")).collect()
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap()
}

fn text(report: &Report) -> String {
    let mut out = Vec::new();
    text::write(&mut out, report, false).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_flood_that_uses_up_a_small_range() {
    let range = ("net.ipv4.ip_local_port_range", "40000 40199");
    let mut drawing = flood(200, 10);
    for n in 0..30 {
        let _ = writeln!(
            drawing,
            "{}us #{} 10.0.0.1:0 10.0.0.2:80 CLOSE>SYN_SENT by flood/812",
            2_000_000 + n * 1000,
            500 + n
        );
        let _ = writeln!(drawing, "{}us #{} SYN_SENT>CLOSE by flood/812", 2_000_001 + n * 1000, 500 + n);
    }
    let report = report(host(&[range]), &drawing);
    let first = &report.findings[0];
    assert_eq!((first.kind, first.severity), (FindingKind::PortsExhausted, Severity::Critical));
    assert_eq!(first.title, "flood (pid 812) found no local port for 30 connects to 10.0.0.2:80: all 200 are taken");
    let destination = &report.destinations[0];
    assert_eq!((destination.held_peak.count, destination.time_wait_at_peak, destination.pool), (200, 199, Some(200)));
    assert_eq!(destination.no_port, 30);
    assert_eq!(destination.reuse, Reuse::LoopbackOnly);
    assert_eq!(destination.full, Full::Was(Ktime(2_000_001_000)));
    // 200 ports for 60 s each, and 0.8 ms of life.
    let sustainable = destination.sustainable.unwrap();
    assert!((3.332..3.334).contains(&sustainable), "{sustainable}");
    let with_reuse = destination.sustainable_with_reuse.unwrap();
    assert!((199.0..201.0).contains(&with_reuse), "{with_reuse}");
    insta::assert_snapshot!(text(&report));
}

#[test]
fn a_program_that_never_closes() {
    let report = report(host(&[]), &served(40, 5, true));
    let first = &report.findings[0];
    assert_eq!((first.kind, first.severity), (FindingKind::NotClosed, Severity::Warning));
    assert_eq!(first.title, "srv (pid 99) does not close: 40 connections in CLOSE_WAIT, the oldest for 1.39s");
    insta::assert_snapshot!(text(&report));
}

#[test]
fn a_queue_that_nobody_empties() {
    let listening = "0us #900 0.0.0.0:8080 0.0.0.0:0 CLOSE>LISTEN by srv/99 inode=3\n";
    let report = report(host(&[]), &format!("{listening}{}", served(12, 400, false)));
    let first = &report.findings[0];
    assert_eq!((first.kind, first.severity), (FindingKind::NotAccepted, Severity::Critical));
    assert_eq!(first.title, "srv (pid 99) does not accept: 12 connections wait at port 8080, the oldest for 1.11s");
    assert!(!report.findings.iter().any(|finding| finding.kind == FindingKind::NotClosed), "{:?}", report.findings);
}

/// Connections that come, talk and go, a few at once.
#[test]
fn a_healthy_run_calls_for_nothing() {
    let report = report(host(&[]), &flood(50, 100));
    assert_eq!(report.findings, []);
    assert_eq!(report.advice, []);
    assert!(text(&report).contains("Nothing to do"));
}

#[test]
fn no_run_calls_for_nothing() {
    let report = report(host(&[]), "");
    assert_eq!((report.findings, report.advice), (Vec::new(), Vec::new()));
}

/// What the tracker follows counts as it will once it is over.
#[test]
fn a_report_of_the_moment_is_the_report_at_the_end() {
    for drawing in [flood(100, 10), served(40, 5, true), served(12, 400, false)] {
        let (mut run, end) = begin(host(&[]), &drawing);
        run.analysis.observation(&Observation::Tick(end));
        run.tracker.handle(&Observation::Tick(end));
        run.changes();
        let now = run.analysis.report(&run.tracker);
        run.tracker.finish(end);
        run.changes();
        assert_eq!(now, run.analysis.finish(&run.summary));
    }
}

/// No advice without a finding that asks for it, and none against what the host has already.
#[test]
fn advice_follows_the_settings() {
    let advised = |settings: &[(&str, &str)]| {
        let range = ("net.ipv4.ip_local_port_range", "40000 40199");
        let settings: Vec<_> = [range].iter().chain(settings).copied().collect();
        let report = report(host(&settings), &flood(195, 10));
        let wanted: Vec<_> = report.findings.iter().flat_map(|finding| finding.advice.clone()).collect();
        assert!(report.advice.iter().all(|advice| wanted.contains(&advice.kind)));
        let acts = report.advice.iter().filter(|advice| advice.stance != Stance::Avoid);
        acts.map(|advice| advice.kind.slug()).collect::<Vec<_>>()
    };
    let usual = ["keep-connections", "tcp-tw-reuse", "port-range", "more-destinations"];
    assert_eq!(advised(&[]), usual);
    assert_eq!(advised(&[("net.ipv4.tcp_tw_reuse", "0")]), usual);
    // With reuse at work the TIME_WAITs stand in nobody's way; they are many all the same.
    assert_eq!(advised(&[("net.ipv4.tcp_tw_reuse", "1")]), ["keep-connections", "port-range", "more-destinations"]);
    let no_timestamps = [("net.ipv4.tcp_tw_reuse", "1"), ("net.ipv4.tcp_timestamps", "0")];
    assert_eq!(advised(&no_timestamps), ["keep-connections", "tcp-timestamps", "port-range", "more-destinations"]);
}

#[test]
fn the_pace_says_when_the_ports_are_gone() {
    // 100 a second, each for 60 s: 6,000 are needed of 2,000, and 1,000 more come in the next 10 s.
    let range = ("net.ipv4.ip_local_port_range", "40000 41999");
    let report = report(host(&[range]), &flood(1000, 10));
    let Full::In(time) = report.destinations[0].full else { panic!("{:?}", report.destinations[0].full) };
    assert!((9_000_000_000..12_500_000_000).contains(&time), "{time}");
    assert_eq!(report.findings[0].kind, FindingKind::PortsRunningOut);
    // 100 a second level off at 6,000 of 28,232.
    let report = self::report(host(&[]), &flood(1000, 10));
    assert_eq!(report.destinations[0].full, Full::Never);
    assert_eq!(report.findings[0].kind, FindingKind::TimeWaitFlood);
}

#[test]
fn losses_are_a_finding() {
    let report = report(host(&[]), &format!("{}\n900ms lost 40", flood(9, 100)));
    assert_eq!(report.findings[0].kind, FindingKind::EventsLost);
    assert_eq!(report.findings[0].severity, Severity::Warning);
}
