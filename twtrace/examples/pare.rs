//! Leaves of a recording what happened in the network namespace that twtrace itself ran in, and of the host nothing
//! that tells whose it is: for recordings that are to be shown.
//!
//! ```text
//! cargo run --example pare -- IN.arrows OUT.arrows
//! ```

use std::{
    collections::HashSet,
    env,
    error::Error,
    fs::File,
    io::{BufReader, BufWriter},
};
use twtrace::{
    model::{Observation, SocketId, Transition, observation::Table},
    trace::{Header, Reader, Writer},
};

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = env::args().skip(1).collect();
    let [from, to] = files.as_slice() else { return Err("usage: pare IN OUT".into()) };
    let reader = Reader::open(BufReader::new(File::open(from)?))?;
    let header = reader.header().clone();
    let all: Vec<Observation> = reader.collect::<Result<_, _>>()?;

    let inside = Inside::of(&all, header.own_netns);
    let mut header = Header { host: "incident".to_owned(), boot: None, command: Vec::new(), ..header };
    let kernel = &mut header.attached.kernel;
    kernel.truncate(kernel.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(kernel.len()));
    let mut writer = Writer::new(BufWriter::new(File::create(to)?), &header)?;
    let mut last_tick = None;
    for mut observation in all.into_iter().filter(|observation| inside.has(observation)) {
        match &mut observation {
            Observation::Process(reading) => (reading.cgroup, reading.container) = (None, None),
            // Whoever happened to be on the CPU.
            Observation::Transition(transition) if !owned(transition) => transition.task = None,
            _ => {}
        }
        // Ticks between which nothing happened say nothing.
        match observation {
            Observation::Tick(_) => last_tick = Some(observation),
            _ => {
                if let Some(tick) = last_tick.take() {
                    writer.push(tick)?;
                }
                writer.push(observation)?;
            }
        }
    }
    if let Some(tick) = last_tick {
        writer.push(tick)?;
    }
    writer.finish()?;
    Ok(())
}

fn owned(transition: &Transition) -> bool {
    transition.socket_says.is_some_and(|says| says.owned)
}

/// What belongs to the namespace.
struct Inside {
    netns: u32,
    sockets: HashSet<SocketId>,
    inodes: HashSet<u64>,
    pids: HashSet<u32>,
}

impl Inside {
    fn of(all: &[Observation], netns: u32) -> Self {
        let mut inside = Self { netns, sockets: HashSet::new(), inodes: HashSet::new(), pids: HashSet::new() };
        for observation in all {
            match observation {
                Observation::Transition(transition) if transition.netns == Some(netns) => {
                    inside.sockets.insert(transition.socket);
                    inside.inodes.extend(transition.socket_says.and_then(|says| says.inode));
                    inside.pids.extend(transition.task.filter(|_| owned(transition)).map(|task| task.pid));
                }
                Observation::Hold(hold) if inside.sockets.contains(&hold.socket) => {
                    inside.pids.extend(hold.process.map(|process| process.pid));
                }
                Observation::Holder(holder) if inside.inodes.contains(&holder.inode) => {
                    inside.pids.extend(holder.processes.iter().map(|process| process.pid));
                }
                Observation::Table(Table::Row(row)) if row.netns == netns => {
                    inside.sockets.insert(row.socket);
                    inside.inodes.extend(row.inode);
                }
                _ => {}
            }
        }
        inside
    }

    fn has(&self, observation: &Observation) -> bool {
        match observation {
            Observation::Transition(transition) => transition.netns == Some(self.netns),
            Observation::Reset(reset) => reset.netns == Some(self.netns),
            Observation::Hold(hold) => self.sockets.contains(&hold.socket),
            Observation::Timer(timer) => timer.netns == Some(self.netns),
            Observation::Table(Table::Row(row)) => row.netns == self.netns,
            Observation::Table(Table::Absent { socket, .. }) => self.sockets.contains(socket),
            Observation::Table(Table::Begin { netns, .. } | Table::End { netns, .. }) => *netns == self.netns,
            Observation::Holder(holder) => self.inodes.contains(&holder.inode),
            Observation::Process(reading) => self.pids.contains(&reading.process.pid),
            Observation::Counters(counters) => counters.netns == self.netns,
            Observation::Table(Table::Ready { .. }) | Observation::Lost(_) | Observation::Tick(_) => true,
        }
    }
}
