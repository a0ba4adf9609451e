//! Connections for the tests of every format.

use super::{Attached, Clock, Precision, Probe, Sink};
use crate::model::{
    Basis, Change, Close, Closer, Comm, Confidence, Direction, Endpoint, FourTuple, Ktime, Lifecycle, LossPlace, Owner,
    OwnerBasis, Process, Shown, Side, Span, TcpState, TimeWaitEnd, Tracker,
    observation::{Container, Lost, Runtime},
    process::Place,
    summary::{AuditLine, Summary},
};
use smallvec::smallvec;
use std::{
    io::{self, Write},
    net::SocketAddr,
};

pub(super) const MS: u64 = 1_000_000;

/// The start is 2026-01-01T00:00:00 at 10 s of the kernel's clock, which slept for 5 s.
pub(crate) fn attached() -> Attached {
    Attached {
        at: at(0),
        kernel: "6.18.0-test".to_owned(),
        probes: vec![
            Probe { name: "tp_btf/inet_sock_set_state".into(), off: None },
            Probe { name: "tp/timer_expire_entry".into(), off: Some("EPERM:\nneeds \u{1b}[31mCAP_PERFMON".to_owned()) },
        ],
        precision: Precision::Hook,
        clock: Clock { realtime: 1_767_225_590_000_000_000, boottime: 5_000_000_000 },
    }
}

/// Milliseconds after the start.
pub(crate) fn at(millis: u64) -> Ktime {
    Ktime(10_000 * MS + millis * MS)
}

pub(crate) fn tuple(local: &str, remote: &str) -> FourTuple {
    let [local, remote] = [local, remote].map(|end| {
        let end: SocketAddr = end.parse().expect("an address and a port");
        Endpoint { ip: end.ip(), port: end.port() }
    });
    FourTuple { local, remote }
}

pub(crate) fn process(pid: u32, comm: &[u8]) -> Process {
    Process { pid, uid: 33, started: Some(7_500 * MS), comm: Comm::new(comm) }
}

pub(crate) fn span(state: TcpState, entered: u64, lasted: Option<u64>, basis: Basis) -> Span {
    Span { state, entered: Some(at(entered)), lasted: lasted.map(|millis| millis * MS), basis }
}

/// Nothing is known of it but its ends.
pub(crate) fn bare(id: u64, local: &str, remote: &str) -> Lifecycle {
    Lifecycle::new(id, tuple(local, remote))
}

/// curl called, and closed first; its TIME_WAIT has just begun.
pub(crate) fn closing() -> Lifecycle {
    let curl = process(4242, b"curl");
    Lifecycle {
        direction: Some(Direction::Outbound),
        netns: Some(4_026_531_840),
        owner: Some(Owner { process: curl, basis: OwnerBasis::Connect }),
        opened: Some(at(100)),
        spans: smallvec![
            span(TcpState::SynSent, 100, Some(2), Basis::Observed),
            span(TcpState::Established, 102, Some(1_000), Basis::Observed),
            span(TcpState::FinWait1, 1_102, Some(1), Basis::Observed),
            span(TcpState::FinWait2, 1_103, Some(37), Basis::Observed),
            span(TcpState::TimeWait, 1_140, None, Basis::Hook),
        ],
        closed_first: Some(Side::Local),
        closed_by: Some(Closer { process: curl, confidence: Confidence::Certain }),
        close: Some(Close::Fin),
        ..bare(1, "10.0.0.1:40000", "10.0.0.2:80")
    }
}

/// The same, and its TIME_WAIT has run out.
pub(crate) fn expired() -> Lifecycle {
    let mut life = closing();
    life.ended = Some(at(61_160));
    life.spans[4].lasted = Some(60_020 * MS);
    life.time_wait_end = Some(TimeWaitEnd::Expired);
    life
}

/// The same as the socket table had it, taken over by a SYN after two restarts.
pub(crate) fn taken_over() -> Lifecycle {
    let mut life = expired();
    life.spans[4].basis = Basis::SockDiag;
    life.time_wait_end = Some(TimeWaitEnd::TakenOver);
    life.time_wait_restarts = 2;
    life
}

/// The same, in a pod.
pub(crate) fn contained() -> Lifecycle {
    let pod = Some("shop/web-0".into());
    let container = Container { runtime: Runtime::Containerd, id: "01fd96f7ad29".into(), pod };
    let place = Place { cgroup: Some("/kubepods.slice/a,\"b\"".into()), container: Some(container) };
    Lifecycle { place: Some(place.into()), ..expired() }
}

/// Open before the start, v4-mapped, seen by a reading of /proc, closed first by a process on this host.
pub(crate) fn preexisting() -> Lifecycle {
    Lifecycle {
        v4_mapped: true,
        direction: Some(Direction::Inbound),
        owner: Some(Owner { process: process(812, b"nginx"), basis: OwnerBasis::SocketTable }),
        ended: Some(at(5_000)),
        preexisting: true,
        spans: smallvec![
            Span { state: TcpState::Established, entered: None, lasted: None, basis: Basis::SockDiag },
            span(TcpState::CloseWait, 2_500, Some(2_499), Basis::Observed),
            span(TcpState::LastAck, 4_999, Some(1), Basis::Observed),
        ],
        closed_first: Some(Side::Remote),
        closed_by: Some(Closer { process: process(4242, b"curl"), confidence: Confidence::Likely }),
        close: Some(Close::Fin),
        accepted: Some(true),
        ..bare(2, "127.0.0.1:80", "127.0.0.1:40001")
    }
}

/// Reset by the closing of a listener that never accepted it; some of its events may be lost.
pub(crate) fn never_accepted() -> Lifecycle {
    Lifecycle {
        direction: Some(Direction::Inbound),
        owner: Some(Owner { process: process(900, b"api"), basis: OwnerBasis::Listener }),
        opened: Some(at(0)),
        ended: Some(at(125_000)),
        spans: smallvec![
            span(TcpState::SynRecv, 0, Some(0), Basis::Observed),
            span(TcpState::Established, 0, Some(20), Basis::Observed),
            span(TcpState::CloseWait, 20, Some(124_980), Basis::Inferred),
        ],
        closed_first: Some(Side::Remote),
        close: Some(Close::ResetSent),
        close_reason: Some("TCP_STATE"),
        accepted: Some(false),
        lost_evidence: 3,
        broken: true,
        ..bare(3, "[2001:db8:1234:5678:9abc:def0:1234:5678]:443", "[2001:db8::2]:51234")
    }
}

/// A connect that found no free port.
pub(crate) fn no_port() -> Lifecycle {
    Lifecycle {
        direction: Some(Direction::Outbound),
        owner: Some(Owner { process: process(77, b"ab"), basis: OwnerBasis::Connect }),
        opened: Some(at(7_000)),
        ended: Some(at(7_000)),
        spans: smallvec![span(TcpState::SynSent, 7_000, Some(0), Basis::Observed)],
        closed_first: Some(Side::Neither),
        close: Some(Close::NoPort),
        ..bare(4, "127.0.0.1:0", "127.0.0.1:80")
    }
}

/// Nothing is known of it, and it is still open.
pub(crate) fn unknown() -> Lifecycle {
    Lifecycle {
        opened: Some(at(1_000)),
        spans: smallvec![span(TcpState::CloseWait, 2_000, None, Basis::Observed)],
        ..bare(5, "10.0.0.1:22", "10.0.0.9:50000")
    }
}

/// None could be made.
pub(crate) fn overflow() -> Lifecycle {
    let mut life = expired();
    life.ended = Some(at(1_140));
    life.spans[4].lasted = Some(0);
    life.time_wait_end = Some(TimeWaitEnd::Overflow);
    life
}

/// An orphan whose peer never closed.
pub(crate) fn orphan() -> Lifecycle {
    let mut life = closing();
    life.ended = Some(at(61_103));
    life.spans.truncate(4);
    life.spans[3].lasted = Some(60_000 * MS);
    life.close = Some(Close::TimedOut);
    life
}

/// It calls itself what it likes.
pub(crate) fn named(comm: &[u8]) -> Lifecycle {
    let mut life = expired();
    let process = process(666, comm);
    life.owner = Some(Owner { process, basis: OwnerBasis::Accept });
    life.closed_by = Some(Closer { process, confidence: Confidence::Certain });
    life
}

pub(crate) fn hostile() -> [Lifecycle; 6] {
    let comms: [&[u8]; 6] = [
        b"\x1b[31mred\x1b[0m",
        b"two\nlines",
        b"say \"hi\"\\",
        b"\xff\xfe\x80",
        "a\u{202e}txt.exe".as_bytes(),
        b"=1+2,3",
    ];
    comms.map(named)
}

pub(crate) fn transition() -> Shown {
    Shown {
        at: at(1_102),
        connection: 1,
        tuple: tuple("10.0.0.1:40000", "10.0.0.2:80"),
        v4_mapped: false,
        netns: Some(4_026_531_840),
        from: TcpState::Established,
        to: TcpState::FinWait1,
        lasted: Some(1_000 * MS),
        process: Some(process(4242, b"curl")),
        owner: Some(process(4242, b"curl")),
        place: None,
        basis: Basis::Observed,
    }
}

pub(crate) fn ended(lifecycle: Lifecycle) -> Change {
    Change::Ended { lifecycle: Box::new(lifecycle), announced: false }
}

pub(crate) fn announced(lifecycle: Lifecycle) -> Change {
    Change::Ended { lifecycle: Box::new(lifecycle), announced: true }
}

pub(crate) fn lost() -> Change {
    Change::Lost(Lost { at: at(3_000), count: 12, place: LossPlace::Ring })
}

pub(crate) fn summary() -> Summary {
    let mut summary = Summary { events: 1_234, ..Summary::default() };
    summary.lost.insert(LossPlace::Ring, 12);
    for life in [expired(), preexisting(), never_accepted(), unknown()] {
        summary.count(&life);
    }
    summary.audit = vec![
        AuditLine { counter: "ActiveOpens", kernel: 20_000, seen: 20_000, slack: 0 },
        AuditLine { counter: "PassiveOpens", kernel: 20_001, seen: 20_000, slack: 1 },
        AuditLine { counter: "TW", kernel: 20_000, seen: 19_988, slack: 0 },
    ];
    summary
}

/// A whole run: attached, these changes, two minutes later the end.
pub(crate) fn run(sink: &mut impl Sink, changes: &[Change]) -> io::Result<()> {
    sink.attached(&attached())?;
    for change in changes {
        sink.change(change)?;
    }
    sink.tick(at(120_000), &Tracker::new(crate::model::tracker::Means::default()))?;
    sink.finish(&summary())
}

/// An output whose reader has gone.
pub(super) struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output that counts how often it is written to.
#[derive(Default)]
pub(super) struct Counted(pub(super) usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
