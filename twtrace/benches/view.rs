//! What the full-screen view costs at 100,000 connections: a count for each tab, a picture, the findings.
//!
//! `cargo bench --bench view`. A picture is due ten times a second; counts and findings rest forty times as long as they
//! took, so neither takes more than a fortieth of a core, whatever stands here.

#![expect(clippy::unwrap_used, reason = "a benchmark panics")]

use criterion::{Criterion, criterion_group, criterion_main};
use ratatui::{Terminal, backend::TestBackend};
use std::{hint::black_box, net::Ipv4Addr};
use twtrace::{
    cli::FilterArgs,
    model::{
        Comm, Endpoint, FourTuple, Ktime, Observation, Process, SocketId, TcpState, Tracker, Transition,
        filter::Filter, observation::SocketSays, report::Host, tracker::Means,
    },
    sink::tui::{Desk, Doing, Key, Options, Theme, draw},
};

const CONNECTIONS: u64 = 100_000;
const SECOND: u64 = 1_000_000_000;
const SIZE: (u16, u16) = (250, 70);

/// Of ten connections eight are in TIME_WAIT, one in CLOSE_WAIT, one is open; to 500 destinations, by 50 programs.
fn fill(desk: &mut Desk, tracker: &mut Tracker) -> Ktime {
    use TcpState::{Close, CloseWait, Established, FinWait1, FinWait2, SynSent};
    for number in 0..CONNECTIONS {
        let steps: &[(TcpState, TcpState)] = match number % 10 {
            0 => &[(Close, SynSent), (SynSent, Established)],
            1 => &[(Close, SynSent), (SynSent, Established), (Established, CloseWait)],
            _ => &[
                (Close, SynSent),
                (SynSent, Established),
                (Established, FinWait1),
                (FinWait1, FinWait2),
                (FinWait2, Close),
            ],
        };
        for (step, &(from, to)) in (0..).zip(steps) {
            let at = Ktime(SECOND + number * 300_000 + step * 1_000);
            take(desk, tracker, &Observation::Transition(transition(number, at, from, to)));
        }
    }
    let end = Ktime(2 * SECOND + CONNECTIONS * 300_000);
    take(desk, tracker, &Observation::Tick(end));
    desk.pass(end);
    end
}

fn take(desk: &mut Desk, tracker: &mut Tracker, observation: &Observation) {
    desk.observation(observation);
    tracker.handle(observation);
    while let Some(change) = tracker.poll() {
        desk.change(&change);
    }
}

fn transition(number: u64, at: Ktime, from: TcpState, to: TcpState) -> Transition {
    let host = |last: u64| Ipv4Addr::from(0x0a00_0000 + u32::try_from(last).unwrap()).into();
    let local = Endpoint { ip: host(1), port: u16::try_from(32_768 + number / 500 % 28_000).unwrap() };
    let remote = Endpoint { ip: host(100 + number % 500), port: 443 };
    let program = format!("program-{}", number % 50);
    let owned = matches!((from, to), (_, TcpState::SynSent | TcpState::FinWait1));
    let says = SocketSays {
        owned,
        done: to == TcpState::Close || to == TcpState::CloseWait,
        dead: to == TcpState::Close,
        ..SocketSays::default()
    };
    let pid = 1_000 + u32::try_from(number % 50).unwrap();
    let process = Process { pid, uid: 0, started: Some(SECOND), comm: Comm::new(program.as_bytes()) };
    Transition {
        at,
        socket: SocketId::Cookie(number + 1),
        address: 0xffff_8880_0000_0000 + number * 2_048,
        netns: Some(1),
        tuple: FourTuple { local, remote },
        v4_mapped: false,
        from,
        to,
        socket_says: Some(says),
        task: owned.then_some(process),
        kernel_thread: false,
    }
}

fn view(criterion: &mut Criterion) {
    let settings = [("net.ipv4.ip_local_port_range", "32768 60999"), ("net.ipv4.ip_local_reserved_ports", "")];
    let sysctls = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let host = Host { sysctls, ..Host::default() };
    let options = Options {
        filter: Filter::default(),
        parse: FilterArgs::parse_line,
        host,
        replayed: false,
        theme: Theme::Colours,
    };
    let mut desk = Desk::new(&options);
    let mut tracker = Tracker::new(Means { timer_ends: true, show_transitions: true, ..Means::default() });
    fill(&mut desk, &mut tracker);
    assert_eq!(tracker.live().count() as u64, CONNECTIONS);
    let mut terminal = Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).unwrap();
    let doing = Doing::default();

    let tabs = [
        ('o', "overview"),
        ('c', "connections"),
        ('t', "time_wait"),
        ('a', "close_wait"),
        ('r', "closers"),
        ('e', "events"),
    ];
    for (key, name) in tabs {
        desk.press(Key::Char(key), &tracker);
        desk.look(&tracker);
        criterion.bench_function(&format!("count/{name}"), |bencher| {
            bencher.iter(|| desk.look(black_box(&tracker)));
        });
        criterion.bench_function(&format!("picture/{name}"), |bencher| {
            bencher.iter(|| {
                let scene = desk.scene(&tracker, SIZE, &doing);
                terminal.draw(|frame| draw(frame, &scene, Theme::Colours)).unwrap();
            });
        });
    }
    criterion.bench_function("findings", |bencher| bencher.iter(|| desk.judge(black_box(&tracker))));
}

criterion_group!(benches, view);
criterion_main!(benches);
