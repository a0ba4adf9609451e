//! What the tracker costs: nanoseconds an observation, and bytes a connection that it holds.
//!
//! `cargo bench --bench tracker`. The flood is what the default probes show of short connections over loopback, both
//! ends: twelve observations a connection, a tick every 25 ms, and now and then a row of the socket table.

#![expect(clippy::unwrap_used, reason = "a benchmark panics")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use std::{hint::black_box, net::Ipv4Addr, time::Duration};
use twtrace::model::{
    Comm, Endpoint, FourTuple, Ktime, Observation, Process, Question, SocketId, TcpState, Tracker, Transition,
    observation::{Hold, Row, SocketSays, Table, Timer, TimerEvent},
    tracker::Means,
    wheel::Wheel,
};

const SECOND: u64 = 1_000_000_000;
const JIFFY: u64 = 4_000_000;
const LISTENER: u64 = u64::MAX;
/// Few enough to stay in the cache between the flood that makes them and the tracker that takes them.
const BATCH: usize = 256;
const PORTS: u64 = 28_000;

/// A flood of short connections.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    /// Connections a second.
    rate: u64,
    /// So many until the first tuple's turn comes again; what its TIME_WAIT does not survive.
    tuples: u64,
}

const SHAPES: [Shape; 4] = [
    // 1,500 at once: all of it stays in the cache.
    Shape { name: "held_2k_each_reused", rate: 1_000, tuples: 1_500 },
    // One address, and all its ephemeral ports.
    Shape { name: "held_28k_each_reused", rate: 20_000, tuples: PORTS },
    Shape { name: "held_200k", rate: 200_000 / 61, tuples: u64::MAX },
    Shape { name: "held_1m", rate: 1_000_000 / 61, tuples: u64::MAX },
];

/// What happens to a connection, and how many nanoseconds after its beginning.
const STEPS: [(u64, Step); 13] = [
    (0, Step::Connect),
    (5_000, Step::Connected),
    (7_000, Step::Born),
    (8_000, Step::Established),
    (20_000, Step::Accepted),
    (50_000, Step::Closes),
    (52_000, Step::SeesItClosed),
    (53_000, Step::FinAcknowledged),
    (54_000, Step::Orphaned),
    (80_000, Step::ClosesToo),
    (82_000, Step::Done),
    (30 * SECOND, Step::Row),
    (61 * SECOND, Step::Expired),
];
/// One connection in so many is asked for.
const ROWS: u64 = 100;
const TICK: u64 = 25_000_000;

#[derive(Clone, Copy)]
enum Step {
    Connect,
    Connected,
    Born,
    Established,
    Accepted,
    Closes,
    SeesItClosed,
    FinAcknowledged,
    Orphaned,
    ClosesToo,
    Done,
    Row,
    Expired,
}

/// All that is observed of a flood, in the order of time, without end.
struct Flood {
    shape: Shape,
    /// For each step, whose turn it is.
    turns: [u64; STEPS.len()],
    tick: u64,
}

impl Flood {
    fn new(shape: Shape) -> Self {
        Self { shape, turns: [0; STEPS.len()], tick: TICK }
    }

    /// In which a TIME_WAIT ends by its timer and not by the next connection.
    fn wears_off(&self) -> bool {
        self.shape.tuples / self.shape.rate > 62
    }

    fn next(&mut self) -> Observation {
        loop {
            let due = |(step, (after, _)): (usize, &(u64, Step))| {
                (SECOND + self.turns[step] * SECOND / self.shape.rate + after, step)
            };
            let (at, step) = STEPS.iter().enumerate().map(due).min().unwrap();
            if self.tick < at {
                self.tick += TICK;
                return Observation::Tick(Ktime(self.tick - TICK));
            }
            let number = self.turns[step];
            self.turns[step] += 1;
            let shown = match STEPS[step].1 {
                Step::Row => self.wears_off() && number.is_multiple_of(ROWS),
                Step::Expired => self.wears_off(),
                _ => true,
            };
            if shown {
                return Connection::new(number, self.shape.tuples).observation(Ktime(at), STEPS[step].1);
            }
        }
    }
}

struct Connection {
    number: u64,
    client: Endpoint,
    server: Endpoint,
}

impl Connection {
    fn new(number: u64, tuples: u64) -> Self {
        let tuple = number % tuples;
        let [a, b, c, ..] = (tuple / PORTS).to_le_bytes();
        let client = Endpoint { ip: Ipv4Addr::new(127, c, b, a).into(), port: (32_768 + tuple % PORTS) as u16 };
        Self { number, client, server: Endpoint { ip: Ipv4Addr::LOCALHOST.into(), port: 8080 } }
    }

    /// The even ones are closed by the client first, the odd ones by the server.
    fn first(&self) -> Side {
        if self.number.is_multiple_of(2) { Side::Client } else { Side::Server }
    }

    fn observation(&self, at: Ktime, step: Step) -> Observation {
        use Side::{Client, Server};
        use TcpState::{
            Close, CloseWait, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv, SynSent, TimeWait,
        };
        let (first, other) = if let Client = self.first() { (Client, Server) } else { (Server, Client) };
        let dead = SocketSays { dead: true, ..SocketSays::default() };
        let done = SocketSays { done: true, ..SocketSays::default() };
        let file = Some(1_000 + self.number);
        match step {
            Step::Connect => self.acts(at, Client, Close, SynSent, SocketSays::default()),
            Step::Connected => self.goes(at, Client, SynSent, Established, SocketSays::default()),
            Step::Born => self.goes(at, Server, Listen, SynRecv, SocketSays::default()),
            Step::Established => self.goes(at, Server, SynRecv, Established, SocketSays::default()),
            Step::Accepted => Observation::Hold(Hold {
                at,
                socket: self.socket(Server),
                accepted: true,
                process: Some(process(Server)),
            }),
            Step::Closes => self.acts(at, first, Established, FinWait1, SocketSays::default()),
            Step::SeesItClosed => self.goes(at, other, Established, CloseWait, SocketSays { inode: file, ..done }),
            Step::FinAcknowledged => self.goes(at, first, FinWait1, FinWait2, dead),
            Step::Orphaned => self.goes(at, first, FinWait2, Close, dead),
            Step::ClosesToo => self.acts(at, other, CloseWait, LastAck, done),
            Step::Done => self.goes(at, other, LastAck, Close, SocketSays { dead: true, ..done }),
            Step::Row => Observation::Table(Table::Row(Row {
                at,
                socket: self.socket(first),
                netns: 1,
                tuple: self.tuple(first),
                v4_mapped: false,
                state: TimeWait,
                time_wait_left: Some(30 * SECOND),
                inode: None,
                last_ack: None,
                traffic: None,
            })),
            Step::Expired => Observation::Timer(Timer {
                at,
                socket: self.socket(first),
                netns: Some(1),
                tuple: self.tuple(first),
                substate: TimeWait,
                // The wheel let it run on for a second.
                due: Ktime((at.0 - SECOND).next_multiple_of(JIFFY)),
                event: TimerEvent::Expire,
            }),
        }
    }

    fn acts(&self, at: Ktime, side: Side, from: TcpState, to: TcpState, says: SocketSays) -> Observation {
        let says = SocketSays { owned: true, ..says };
        Observation::Transition(Transition { task: Some(process(side)), ..self.transition(at, side, from, to, says) })
    }

    fn goes(&self, at: Ktime, side: Side, from: TcpState, to: TcpState, says: SocketSays) -> Observation {
        Observation::Transition(self.transition(at, side, from, to, says))
    }

    fn transition(&self, at: Ktime, side: Side, from: TcpState, to: TcpState, says: SocketSays) -> Transition {
        let mut tuple = self.tuple(side);
        if to == TcpState::SynSent {
            // connect() has not chosen yet.
            tuple.local.port = 0;
        }
        // The child has its listener's name until it has one of its own.
        let socket = if from == TcpState::Listen { SocketId::Cookie(LISTENER) } else { self.socket(side) };
        Transition {
            at,
            socket,
            address: 0xffff_8880_0000_0000 + (2 * self.number + side as u64) % 4096 * 2048,
            netns: Some(1),
            tuple,
            v4_mapped: false,
            from,
            to,
            socket_says: Some(says),
            task: None,
            kernel_thread: false,
        }
    }

    fn socket(&self, side: Side) -> SocketId {
        SocketId::Cookie(2 * self.number + side as u64 + 1)
    }

    fn tuple(&self, side: Side) -> FourTuple {
        let tuple = FourTuple { local: self.client, remote: self.server };
        if let Side::Client = side { tuple } else { tuple.reversed() }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

fn process(side: Side) -> Process {
    let comm = if let Side::Client = side { "curl" } else { "nginx" };
    Process { pid: 100 + side as u32, uid: 0, started: Some(SECOND), comm: Comm::new(comm.as_bytes()) }
}

struct Run {
    flood: Flood,
    tracker: Tracker,
}

impl Run {
    fn new(shape: Shape) -> Self {
        let means = Means {
            timer_ends: true,
            table: true,
            reuse_delay: Some(SECOND),
            wheel: Some(Wheel { jiffy: JIFFY, at: Ktime(SECOND), jiffies: 1_000 }),
            ..Means::default()
        };
        let mut tracker = Tracker::new(means);
        tracker.handle(&Observation::Table(Table::Ready { at: Ktime(0) }));
        Self { flood: Flood::new(shape), tracker }
    }

    /// Until as many connections go as come.
    fn settle(&mut self) {
        while self.flood.tick < 65 * SECOND {
            self.observe(1_000_000);
        }
    }

    /// What the tracker alone takes for so many observations.
    fn observe(&mut self, mut count: u64) -> Duration {
        let mut took = Duration::ZERO;
        let mut batch = Vec::with_capacity(BATCH);
        while count > 0 {
            batch.clear();
            batch.extend(std::iter::repeat_with(|| self.flood.next()).take(BATCH.min(count as usize)));
            count -= batch.len() as u64;
            let start = on_cpu();
            for observation in &batch {
                self.tracker.handle(observation);
                while let Some(change) = self.tracker.poll() {
                    black_box(change);
                }
                while let Some(question) = self.tracker.poll_question() {
                    self.answer(question);
                }
            }
            took += on_cpu() - start;
        }
        took
    }

    /// A reading of the table that comes to nothing; the rows of the flood stand for what it says.
    fn answer(&mut self, question: Question) {
        if let Question::Table { .. } = question {
            let at = Ktime(self.flood.tick);
            self.tracker.handle(&Observation::Table(Table::Begin { at, netns: 1 }));
            self.tracker.handle(&Observation::Table(Table::End { at, netns: 1, whole: false }));
        }
    }
}

/// The thread's own time: others may be at work on this machine.
fn on_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

fn flood(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tracker");
    group.throughput(Throughput::Elements(1));
    for shape in SHAPES {
        let before = resident();
        let mut run = Run::new(shape);
        run.settle();
        let held = run.tracker.live().count() as u64;
        let bytes = resident().saturating_sub(before) / held;
        println!("{}: {held} connections held, {bytes} bytes each", shape.name);
        group.bench_function(shape.name, |bencher| bencher.iter_custom(|count| run.observe(count)));
    }
    group.finish();
}

criterion_group!(benches, flood);
criterion_main!(benches);
