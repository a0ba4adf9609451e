//! pyarrow, Polars and DuckDB open a recording, with nothing of ours, and count what is in it.

use crate::round_trip::recording;
use std::{collections::BTreeMap, fs, path::Path, process::Command};
use twtrace::model::{
    Comm, Endpoint, FourTuple, Ktime, LossPlace, Observation, Process, SocketId, TcpState, Transition,
    observation::{Counters, Hold, Holder, Lost, SocketSays, Table, Traffic},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trace/tools.py");

#[test]
fn other_tools_count_the_same() {
    // `cargo xtask test` makes it.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target.join("xtask/python/bin/python");
    let libraries = Command::new(&python).args(["-c", "import duckdb, polars, pyarrow"]).output();
    if !libraries.is_ok_and(|output| output.status.success()) {
        println!("skipped: tools::other_tools_count_the_same: no Python with pyarrow, polars and duckdb in {python:?}");
        return;
    }
    let observations = observations();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools.arrows");
    // Two batches with other texts in their dictionaries.
    fs::write(&file, recording(&observations, &[observations.len() / 2])).unwrap();
    let output = Command::new(python).arg(SCRIPT).arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), wanted(&observations), "{errors}");
}

const CLOSERS: [&[u8]; 3] = [b"nginx", b"wrk\xff", b"a\tb"];

fn transition(number: u64, (from, to): (TcpState, TcpState)) -> Observation {
    let end = |last: u8, port: u16| Endpoint { ip: [127, 0, 0, last].into(), port };
    let comm = Comm::new(CLOSERS[number as usize % CLOSERS.len()]);
    let traffic = Traffic { bytes_sent: 10, bytes_received: 20, retransmits: 0, srtt: None };
    Observation::Transition(Transition {
        at: Ktime(1_000 + number),
        socket: SocketId::Cookie(0x1_0000_0000 + number % 50),
        address: 0xffff_8881_0000_0000 + number,
        netns: Some(4_026_531_840),
        tuple: FourTuple { local: end(1, 40_000), remote: end((number % 200) as u8, 80) },
        v4_mapped: false,
        from,
        to,
        socket_says: Some(SocketSays { traffic: Some(traffic), ..SocketSays::default() }),
        task: Some(Process { pid: 42, uid: 33, started: Some(5_000_000_077), comm }),
        kernel_thread: false,
    })
}

fn observations() -> Vec<Observation> {
    use TcpState::{Established, FinWait1, FinWait2};
    let mut observations: Vec<_> = (0..1_000)
        .map(|number| match number % 5 {
            0 | 1 => transition(number, (Established, FinWait1)),
            2 => transition(number, (FinWait1, FinWait2)),
            3 => Observation::Hold(Hold {
                at: Ktime(1_000 + number),
                socket: SocketId::Address(number),
                accepted: true,
                process: None,
            }),
            _ => Observation::Tick(Ktime(1_000 + number)),
        })
        .collect();
    let at = Ktime(1_500);
    let process = Process { pid: 7, uid: 0, started: None, comm: Comm::new(b"sshd") };
    observations.extend([
        Observation::Holder(Holder { at, inode: 99, processes: vec![process, process] }),
        Observation::Counters(Counters {
            before: at,
            after: at,
            netns: 1,
            time_waits_at_birth: true,
            values: BTreeMap::from([("ActiveOpens".to_owned(), 7)]),
        }),
        Observation::Lost(Lost { at, count: 3, place: LossPlace::Ring }),
        Observation::Table(Table::Ready { at }),
    ]);
    observations
}

/// What the script is to print, counted here from what was written.
fn wanted(observations: &[Observation]) -> String {
    let mut kinds = BTreeMap::<_, u32>::new();
    let mut closers = BTreeMap::<_, u32>::new();
    for observation in observations {
        let kind = match observation {
            Observation::Transition(transition) => {
                if let (TcpState::FinWait1, Some(task)) = (transition.to, transition.task) {
                    *closers.entry(task.comm.to_string()).or_default() += 1;
                }
                "transition"
            }
            Observation::Hold(_) => "accepted",
            Observation::Holder(_) => "holder",
            Observation::Counters(_) => "counters",
            Observation::Lost(_) => "lost",
            Observation::Table(_) => "table_ready",
            _ => "tick",
        };
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    let counted = |library: &str| {
        let of = |what: &'static str, counts: &BTreeMap<String, u32>| {
            let lines = counts.iter().map(|(name, count)| format!("{library} {what} {name} {count}\n"));
            lines.collect::<String>()
        };
        of("kind", &kinds) + &of("closer", &closers)
    };
    let first = "format 1 of web-1 under Linux 6.18.0\n".to_owned() + &counted("pyarrow");
    first + FIRST_TRANSITION + &counted("polars") + &counted("duckdb")
}

/// Of transition 0: CLOCK_REALTIME is 1,760,000,000.123456789 s ahead of CLOCK_MONOTONIC, CLOCK_BOOTTIME 77 ns.
const FIRST_TRANSITION: &str = "\
first kind transition
first time 2025-10-09 08:53:20.123457789Z
first delay_ns 0
first tie 0
first socket 4294967296
first socket_is cookie
first address 18446612686364999680
first netns 4026531840
first local_ip 127.0.0.1
first local_port 40000
first remote_ip 127.0.0.0
first remote_port 80
first v4_mapped False
first from ESTABLISHED
first to FIN_WAIT1
first owned False
first done False
first dead False
first tw_full False
first error 0
first bytes_sent 10
first bytes_received 20
first retransmits 0
first pid 42
first uid 33
first started 2025-10-09 08:53:25.123456789Z
first comm nginx
first kernel_thread False
";
