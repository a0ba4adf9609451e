//! What it costs to read a recording and to replay it, in CPU time of the one thread that does it.
//!
//! `cargo bench --bench replay -- FILE`; `cargo xtask bench replay` makes the file and holds the figures to their bars.

#![expect(clippy::unwrap_used, reason = "a benchmark panics")]

use rustix::time::{ClockId, clock_gettime};
use std::{env, fs::File, hint::black_box, io, time::Duration};
use twtrace::{
    memory,
    model::{Observation, Tracker},
    trace::{Reader, Writer},
};

const ROUNDS: usize = 5;

fn main() {
    let Some(path) = env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        println!("to measure: cargo bench --bench replay -- FILE");
        return;
    };
    memory::keep_what_is_used_again();
    let open = || Reader::open(File::open(&path).unwrap()).unwrap();
    let (mut rows, mut transitions, mut lost) = (0, 0, 0);
    each(open(), |observation| {
        rows += 1;
        match observation {
            Observation::Transition(_) => transitions += 1,
            Observation::Lost(events) => lost += events.count,
            _ => {}
        }
    });
    let bytes = File::open(&path).unwrap().metadata().unwrap().len();
    println!("rows {rows}\ntransitions {transitions}\nlost {lost}\nbytes {bytes}");
    let read = median(|| each(open(), |observation| drop(black_box(observation))));
    println!("read_ns_per_row {:.1}", read / rows as f64);
    let replay = median(|| {
        let mut tracker = Tracker::new(open().header().means);
        each(open(), |observation| {
            tracker.handle(&observation);
            while tracker.poll_question().is_some() {}
            while black_box(tracker.poll()).is_some() {}
        });
    });
    println!("replay_ns_per_transition {:.1}", replay / transitions as f64);
    let observations: Vec<_> = open().map(Result::unwrap).collect();
    let write = median(|| {
        let mut writer = Writer::new(io::sink(), open().header()).unwrap();
        observations.iter().for_each(|observation| writer.push(observation.clone()).unwrap());
        writer.finish().unwrap();
    });
    println!("write_ns_per_row {:.1}", write / rows as f64);
}

fn each(mut reader: Reader<File>, mut with: impl FnMut(Observation)) {
    while let Some(batch) = reader.batch() {
        batch.unwrap().for_each(&mut with);
    }
    assert_eq!(reader.damage(), None);
}

/// Nanoseconds of CPU time.
fn median(mut work: impl FnMut()) -> f64 {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = now();
            work();
            (now() - start).as_nanos() as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}
