//! For a script: one object a reading, and before it one for each socket where that is asked for.

use crate::{
    model::{
        Endpoint, Process,
        observation::{ProcessReading, Row},
        sockets::{CloseWait, Counts, Listener, Load, Owned, Reading},
    },
    sink::{Clock, format},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::IpAddr,
};

const SCHEMA: u32 = 1;

/// Writes a reading.
pub fn json(out: &mut impl Write, reading: &Reading, clock: Clock) -> io::Result<()> {
    for row in reading.sockets.all().unwrap_or_default() {
        line(out, "socket", &SocketRecord::new(row, reading, clock))?;
    }
    line(out, "states", &StatesRecord::new(reading, clock))?;
    out.flush()
}

fn line(out: &mut impl Write, kind: &'static str, record: &impl Serialize) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a, R> {
        #[serde(rename = "type")]
        kind: &'static str,
        schema: u32,
        #[serde(flatten)]
        record: &'a R,
    }
    serde_json::to_writer(&mut *out, &Line { kind, schema: SCHEMA, record })?;
    out.write_all(b"\n")
}

type ByState = BTreeMap<&'static str, u64>;

fn by_state(counts: &Counts) -> ByState {
    counts.each().map(|(state, count)| (state.name(), count)).collect()
}

#[derive(Serialize)]
struct End {
    ip: IpAddr,
    port: u16,
}

impl From<Endpoint> for End {
    fn from(Endpoint { ip, port }: Endpoint) -> Self {
        Self { ip, port }
    }
}

#[derive(Serialize)]
struct ProcessRecord {
    pid: u32,
    comm: String,
    uid: u32,
    start_time: Option<String>,
}

impl ProcessRecord {
    fn new(process: Process, clock: Clock) -> Self {
        let Process { pid, uid, started, comm } = process;
        let start_time = started.map(|started| format::wall_of_boottime(started, clock));
        Self { pid, comm: comm.to_string(), uid, start_time }
    }
}

#[derive(Serialize)]
struct SocketRecord {
    time: String,
    netns: u32,
    local: End,
    remote: Option<End>,
    v4_mapped: bool,
    state: &'static str,
    time_wait_left_ns: Option<u64>,
    time_wait_since: Option<String>,
    process: Option<ProcessRecord>,
}

impl SocketRecord {
    fn new(row: &Row, reading: &Reading, clock: Clock) -> Self {
        let owner = row.inode.and_then(|inode| reading.owners.get(&inode));
        Self {
            time: format::wall(row.at, clock),
            netns: row.netns,
            local: row.tuple.local.into(),
            // A listener has none.
            remote: (row.tuple.remote.port != 0).then(|| row.tuple.remote.into()),
            v4_mapped: row.v4_mapped,
            state: row.state.name(),
            time_wait_left_ns: row.time_wait_left,
            time_wait_since: row.time_wait_began().map(|began| format::wall(began, clock)),
            process: owner.map(|owner| ProcessRecord::new(*owner, clock)),
        }
    }
}

#[derive(Serialize)]
struct StatesRecord {
    time: String,
    took_ns: u64,
    sockets: u64,
    by_state: ByState,
    not_accepted: NotAccepted,
    namespaces: Vec<NamespaceRecord>,
    outgoing: Vec<OutgoingRecord>,
    incoming: Vec<IncomingRecord>,
    processes: Option<Vec<OwnedRecord>>,
    close_waits: Vec<CloseWaitRecord>,
    listeners: Vec<ListenerRecord>,
    unseen: UnseenRecord,
}

/// Connections in an accept queue, by state.
#[derive(Serialize)]
struct NotAccepted {
    #[serde(rename = "ESTABLISHED")]
    established: u64,
    #[serde(rename = "CLOSE_WAIT")]
    close_wait: usize,
}

impl StatesRecord {
    fn new(reading: &Reading, clock: Clock) -> Self {
        let sockets = &reading.sockets;
        let process = |owned: &Owned| OwnedRecord::new(owned, reading, clock);
        let unaccepted = sockets.close_waits.iter().filter(|one| one.is_in_accept_queue()).count();
        Self {
            time: format::wall(reading.at, clock),
            took_ns: reading.took,
            sockets: sockets.counts.total(),
            by_state: by_state(&sockets.counts),
            not_accepted: NotAccepted { established: sockets.unaccepted, close_wait: unaccepted },
            namespaces: sockets
                .namespaces
                .iter()
                .map(|(netns, namespace)| {
                    let ports = namespace.ports.as_ref().map(|ports| RangeRecord {
                        first: ports.first,
                        last: ports.last,
                        reserved: ports.reserved(),
                        pool: ports.pool(),
                    });
                    NamespaceRecord { netns: *netns, by_state: by_state(&namespace.counts), ports }
                })
                .collect(),
            outgoing: sockets
                .outgoing(usize::MAX)
                .0
                .into_iter()
                .map(|(netns, from, to, load)| OutgoingRecord {
                    netns,
                    local_ip: from,
                    remote: to.into(),
                    by_state: by_state(&load.counts),
                    ports_held: load.ports,
                    ports: sockets.namespaces.get(&netns).and_then(|netns| Some(netns.ports.as_ref()?.pool())),
                    time_wait_left_ns: LeftRecord::new(load),
                })
                .collect(),
            incoming: sockets
                .incoming(usize::MAX)
                .0
                .into_iter()
                .map(|(netns, at, load)| IncomingRecord {
                    netns,
                    local: at.into(),
                    by_state: by_state(&load.counts),
                    time_wait_left_ns: LeftRecord::new(load),
                })
                .collect(),
            processes: reading.looked.then(|| sockets.owned().into_iter().map(process).collect()),
            close_waits: sockets.close_waits.iter().map(|one| CloseWaitRecord::new(one, clock)).collect(),
            listeners: sockets.listeners.iter().map(|one| ListenerRecord::new(one, clock)).collect(),
            unseen: UnseenRecord::new(reading),
        }
    }
}

#[derive(Serialize)]
struct NamespaceRecord {
    netns: u32,
    by_state: ByState,
    ports: Option<RangeRecord>,
}

#[derive(Serialize)]
struct RangeRecord {
    first: u16,
    last: u16,
    reserved: u32,
    pool: u32,
}

#[derive(Serialize)]
struct OutgoingRecord {
    netns: u32,
    local_ip: IpAddr,
    remote: End,
    by_state: ByState,
    ports_held: u64,
    ports: Option<u32>,
    time_wait_left_ns: Option<LeftRecord>,
}

#[derive(Serialize)]
struct IncomingRecord {
    netns: u32,
    local: End,
    by_state: ByState,
    time_wait_left_ns: Option<LeftRecord>,
}

#[derive(Serialize)]
struct LeftRecord {
    least: u64,
    most: u64,
}

impl LeftRecord {
    fn new(load: &Load) -> Option<Self> {
        load.time_wait_left.map(|(least, most)| Self { least, most })
    }
}

#[derive(Serialize)]
struct OwnedRecord {
    #[serde(flatten)]
    process: ProcessRecord,
    by_state: ByState,
    shared: u64,
    cgroup: Option<String>,
    container: Option<String>,
    container_runtime: Option<&'static str>,
    pod: Option<String>,
    descriptors: Option<u64>,
    descriptor_limit: Option<u64>,
}

impl OwnedRecord {
    fn new(owned: &Owned, reading: &Reading, clock: Clock) -> Self {
        let known: Option<&ProcessReading> = reading.processes.get(&owned.process.pid).and_then(Option::as_ref);
        let container = known.and_then(|known| known.container.as_ref());
        Self {
            process: ProcessRecord::new(owned.process, clock),
            by_state: by_state(&owned.counts),
            shared: owned.shared,
            cgroup: known.and_then(|known| known.cgroup.as_deref()).map(str::to_owned),
            container: container.map(|container| container.id.to_string()),
            container_runtime: container.map(|container| container.runtime.name()),
            pod: container.and_then(|container| container.pod.as_deref()).map(str::to_owned),
            descriptors: known.and_then(|known| known.descriptors),
            descriptor_limit: known.and_then(|known| known.descriptor_limit),
        }
    }
}

#[derive(Serialize)]
struct CloseWaitRecord {
    netns: u32,
    local: End,
    remote: End,
    at_least_ns: Option<u64>,
    at_most_ns: Option<u64>,
    basis: &'static str,
    accepted: bool,
    process: Option<ProcessRecord>,
}

impl CloseWaitRecord {
    fn new(one: &CloseWait, clock: Clock) -> Self {
        let CloseWait { row, at_least, at_most, owner } = *one;
        Self {
            netns: row.netns,
            local: row.tuple.local.into(),
            remote: row.tuple.remote.into(),
            at_least_ns: at_least,
            at_most_ns: at_most,
            basis: "tcp_info",
            accepted: !one.is_in_accept_queue(),
            process: owner.map(|owner| ProcessRecord::new(owner, clock)),
        }
    }
}

#[derive(Serialize)]
struct ListenerRecord {
    netns: u32,
    local: End,
    waiting: u32,
    backlog: u32,
    full: bool,
    process: Option<ProcessRecord>,
}

impl ListenerRecord {
    fn new(one: &Listener, clock: Clock) -> Self {
        let Listener { row, waiting, backlog, owner } = *one;
        let process = owner.map(|owner| ProcessRecord::new(owner, clock));
        Self { netns: row.netns, local: row.tuple.local.into(), waiting, backlog, full: one.is_full(), process }
    }
}

/// What could not be seen.
#[derive(Serialize)]
struct UnseenRecord {
    namespaces: Vec<UnreadRecord>,
    namespaces_partial: Vec<u32>,
    namespaces_hidden: bool,
    holders_hidden: usize,
    without_holder: Option<ByState>,
}

#[derive(Serialize)]
struct UnreadRecord {
    netns: u32,
    reason: String,
}

impl UnseenRecord {
    fn new(reading: &Reading) -> Self {
        let Reading { unread, partial, all_found, hidden, looked, sockets, .. } = reading;
        let unread =
            unread.iter().map(|(netns, reason)| UnreadRecord { netns: *netns, reason: format::one_line(reason) });
        Self {
            namespaces: unread.collect(),
            namespaces_partial: partial.clone(),
            namespaces_hidden: !all_found,
            holders_hidden: *hidden,
            without_holder: looked.then(|| by_state(&sockets.ownerless())),
        }
    }
}
