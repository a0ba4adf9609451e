//! An incident made by hand: a client runs out of ports, a server never closes, and everybody has an ugly name.

use std::{collections::BTreeMap, net::IpAddr};
use twtrace::{
    model::{
        Basis, Change, Close, Closer, Comm, Confidence, Direction, Endpoint, FourTuple, Ktime, Lifecycle, Observation,
        Owner, OwnerBasis, Process, Side, Span, Spans, TcpState, TimeWaitEnd,
        filter::Filter,
        report::{
            Advice, AdviceKind, Analysis, Figure, Finding, FindingKind, Host, Party, Place, Report, Severity, Stance,
            Value,
        },
        summary::{AuditLine, Summary},
    },
    sink::Clock,
};

pub(crate) const CLOCK: Clock = Clock { realtime: 1_767_225_600_000_000_000, boottime: 0 };
const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
const END: u64 = 180;

/// What a page must never let out of its text.
pub(crate) const HOSTILE: &str =
    "<script>alert(1)</script><img src=x onerror=alert(2)>\" onload='alert(3)' &amp; </style>";

pub(crate) fn report() -> Report {
    let host = Host {
        name: Some(format!("web-1 {HOSTILE}")),
        kernel: Some("6.18.0 <b>bold</b>".to_owned()),
        boot: None,
        precision: None,
        clock: None,
        netns: Some(1),
        sysctls: BTreeMap::from([
            ("net.ipv4.ip_local_port_range".to_owned(), "32768 60999".to_owned()),
            ("net.ipv4.ip_local_reserved_ports".to_owned(), String::new()),
            ("net.ipv4.tcp_tw_reuse".to_owned(), "2".to_owned()),
        ]),
    };
    let mut analysis = Analysis::new(vec![host], Filter::default());
    analysis.observation(&Observation::Tick(Ktime(0)));
    analysis.observation(&Observation::Tick(Ktime(END * SECOND)));
    for lifecycle in lives() {
        analysis.change(&Change::Ended { lifecycle: Box::new(lifecycle), announced: false });
    }
    let audit = vec![
        AuditLine { counter: "ActiveOpens", kernel: 4_000, seen: 4_000, slack: 0 },
        AuditLine { counter: "TW", kernel: 4_001, seen: 3_998, slack: 0 },
    ];
    let mut report = analysis.finish(&Summary { events: 24_310, audit, ..Summary::default() });
    report.findings = vec![
        finding(FindingKind::PortsRunningOut, Severity::Critical),
        finding(FindingKind::NotClosed, Severity::Warning),
        finding(FindingKind::Resets, Severity::Notice),
    ];
    report.advice = [Stance::Do, Stance::Consider, Stance::Avoid].map(advice).into();
    report
}

fn finding(kind: FindingKind, severity: Severity) -> Finding {
    Finding {
        kind,
        severity,
        culprit: Some(Party { comm: Comm::new(b"<b>ab</b>"), pids: vec![4242, 4243], more_pids: true }),
        place: Some(Place::To(end("10.0.0.2", 5432))),
        title: "ab opens 31.1 connections a second to 10.0.0.2:5432 and closes each of them first: their TIME_WAITs hold 1,905 of 28,232 local ports.".to_owned(),
        mechanism: format!("Each connection leaves a TIME_WAIT of 60 s behind on the side that closes first. {HOSTILE}"),
        cure: "Keep the connections: a pool of 32 carries this load without a single TIME_WAIT.".to_owned(),
        figures: vec![
            Figure { name: "ports_held_peak", label: "local ports held at the peak", value: Value::Count(1_905), basis: "observed" },
            Figure { name: "pool", label: "local ports that there are", value: Value::Count(28_232), basis: "sysctl" },
            Figure { name: "rate", label: "connections a second", value: Value::PerSecond(31.1), basis: "observed" },
            Figure { name: "full", label: "no port left", value: Value::At(Ktime(170 * SECOND)), basis: "extrapolated" },
            Figure { name: "share", label: "of all", value: Value::Share(0.067), basis: "observed" },
            Figure { name: "delay", label: "tcp_tw_reuse_delay", value: Value::Unknown, basis: "not read" },
        ],
        advice: vec![AdviceKind::KeepConnections, AdviceKind::TwReuse],
    }
}

fn advice(stance: Stance) -> Advice {
    let (kind, act) = match stance {
        Stance::Do => (AdviceKind::KeepConnections, "Keep connections to 10.0.0.2:5432 alive, in a pool."),
        Stance::Consider => (AdviceKind::TwReuse, "Let connects take over TIME_WAITs: tcp_tw_reuse."),
        Stance::Avoid => {
            (AdviceKind::TwRecycle, "tcp_tw_recycle: it is gone since Linux 4.12, and was wrong behind NAT.")
        }
    };
    Advice {
        kind,
        stance,
        act: act.to_owned(),
        reason: "31.1 connections a second live for 40 ms each and then hold a port for 60 s.".to_owned(),
        risk: "A pool that is too small makes requests wait.".to_owned(),
        command: Some("sysctl -w net.ipv4.tcp_tw_reuse=1".to_owned()),
        because: vec![FindingKind::PortsRunningOut],
    }
}

fn lives() -> Vec<Lifecycle> {
    let mut lives = Vec::new();
    // A client whose rate grows, and which closes first.
    for number in 0..4_000_u64 {
        let opened = (number as f64 / 4_000.0).sqrt() * 170.0;
        lives.push(flood(number, (opened * SECOND as f64) as u64));
    }
    // A server that never closes: one more each second.
    lives.extend((0..150).map(|number| never_closed(10_000 + number, (20 + number) * SECOND)));
    lives.extend((0..40).map(|number| refused(20_000 + number, number * 4 * SECOND)));
    lives
}

fn flood(number: u64, opened: u64) -> Lifecycle {
    let client = process(4242, b"<b>ab</b>");
    let open_for = (5 + number * 7919 % 90) * MS;
    let mut life = life(number, Direction::Outbound, end("10.0.0.1", 32_768 + number as u16), end("10.0.0.2", 5432));
    life.owner = Some(Owner { process: client, basis: OwnerBasis::Connect });
    life.opened = Some(Ktime(opened));
    let time_wait = 60 * SECOND + number * 104_729 % 900 * MS;
    let begins = opened + open_for + 2 * MS;
    let over = begins + time_wait <= END * SECOND;
    life.spans = spans(
        opened,
        &[
            (TcpState::SynSent, Some(MS)),
            (TcpState::Established, Some(open_for)),
            (TcpState::FinWait1, Some(MS / 2)),
            (TcpState::FinWait2, Some(MS / 2)),
            (TcpState::TimeWait, over.then_some(time_wait)),
        ],
    );
    life.closed_first = Some(Side::Local);
    life.closed_by = Some(Closer { process: client, confidence: Confidence::Certain });
    life.close = Some(Close::Fin);
    if over {
        life.ended = Some(Ktime(begins + time_wait));
        life.time_wait_end = Some(TimeWaitEnd::Expired);
    }
    life
}

fn never_closed(number: u64, opened: u64) -> Lifecycle {
    let mut life = life(
        number,
        Direction::Inbound,
        end("2001:db8:1234:5678:9abc:def0:1234:5678", 8443),
        end("2001:db8::2", 30_000 + number as u16),
    );
    life.owner = Some(Owner { process: process(900, b"api\xff\"><i>"), basis: OwnerBasis::Accept });
    life.opened = Some(Ktime(opened));
    life.spans = spans(
        opened,
        &[(TcpState::SynRecv, Some(MS)), (TcpState::Established, Some(3 * SECOND)), (TcpState::CloseWait, None)],
    );
    life.closed_first = Some(Side::Remote);
    life.accepted = Some(true);
    life
}

fn refused(number: u64, opened: u64) -> Lifecycle {
    let mut life = life(number, Direction::Outbound, end("127.0.0.1", 20_000 + number as u16), end("127.0.0.1", 9));
    life.owner = Some(Owner { process: process(77, b"curl"), basis: OwnerBasis::Connect });
    life.opened = Some(Ktime(opened));
    life.ended = Some(Ktime(opened + MS / 5));
    life.spans = spans(opened, &[(TcpState::SynSent, Some(MS / 5))]);
    life.closed_first = Some(Side::Neither);
    life.close = Some(Close::Refused);
    life
}

fn life(id: u64, direction: Direction, local: Endpoint, remote: Endpoint) -> Lifecycle {
    let mut life = Lifecycle::new(id, FourTuple { local, remote });
    life.direction = Some(direction);
    life.netns = Some(1);
    life
}

fn spans(opened: u64, states: &[(TcpState, Option<u64>)]) -> Spans {
    let mut entered = opened;
    let span = |(state, lasted): &(TcpState, Option<u64>)| {
        let span = Span { state: *state, entered: Some(Ktime(entered)), lasted: *lasted, basis: Basis::Observed };
        entered += lasted.unwrap_or(0);
        span
    };
    states.iter().map(span).collect()
}

fn process(pid: u32, comm: &[u8]) -> Process {
    Process { pid, uid: 33, started: Some(0), comm: Comm::new(comm) }
}

fn end(ip: &str, port: u16) -> Endpoint {
    Endpoint { ip: ip.parse::<IpAddr>().unwrap(), port }
}
