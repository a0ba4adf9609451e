//! The records and their fields, as docs and scripts know them, whatever they are written as.
//!
//! They are a format of their own: the model can change without a script noticing. What is not known is null.

use crate::{
    model::{
        Endpoint, FourTuple, Ktime, Lifecycle, Process, Shown, Span, TcpState,
        filter::Family,
        join::Origin,
        observation::Lost,
        summary::{AuditLine, Summary},
    },
    sink::{Attached, Clock, format},
};
use serde::Serialize;
use std::{collections::BTreeMap, net::IpAddr};

/// Raised when a field is renamed, retyped or dropped.
pub(super) const SCHEMA: u32 = 1;

fn wall(at: Ktime, clock: Option<Clock>) -> Option<String> {
    Some(format::wall(at, clock?))
}

#[derive(Serialize)]
pub(super) struct AttachedRecord<'a> {
    time: Option<String>,
    kernel: &'a str,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<ReplayedRecord>,
    probes_on: Vec<&'a str>,
    probes_off: Vec<OffRecord<'a>>,
    precision: &'static str,
}

#[derive(Serialize)]
struct OffRecord<'a> {
    name: &'a str,
    reason: String,
}

/// Of a recording, which `version` made.
#[derive(Serialize)]
struct ReplayedRecord {
    host: String,
}

impl<'a> AttachedRecord<'a> {
    pub(super) fn new(attached: &'a Attached, origin: Option<&Origin>) -> Self {
        let probes = &attached.probes;
        Self {
            time: wall(attached.at, Some(attached.clock)),
            kernel: &attached.kernel,
            version: format::one_line(origin.map_or(env!("CARGO_PKG_VERSION"), |origin| &origin.version)),
            replayed: origin.map(|origin| ReplayedRecord { host: format::one_line(&origin.host) }),
            probes_on: probes.iter().filter(|probe| probe.off.is_none()).map(|probe| &*probe.name).collect(),
            probes_off: probes
                .iter()
                .filter_map(|probe| {
                    Some(OffRecord { name: &probe.name, reason: format::one_line(probe.off.as_deref()?) })
                })
                .collect(),
            precision: attached.precision.name(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct TransitionRecord {
    time: Option<String>,
    connection: u64,
    family: &'static str,
    v4_mapped: bool,
    local: EndpointRecord,
    remote: EndpointRecord,
    netns: Option<u32>,
    from: &'static str,
    to: &'static str,
    duration_ns: Option<u64>,
    process: Option<ProcessRecord>,
    basis: &'static str,
}

impl TransitionRecord {
    pub(super) fn new(shown: &Shown, clock: Option<Clock>) -> Self {
        Self {
            time: wall(shown.at, clock),
            connection: shown.connection,
            family: Family::of(&shown.tuple).name(),
            v4_mapped: shown.v4_mapped,
            local: EndpointRecord::new(shown.tuple.local),
            remote: EndpointRecord::new(shown.tuple.remote),
            netns: shown.netns,
            from: shown.from.name(),
            to: shown.to.name(),
            duration_ns: shown.lasted,
            process: shown.process.map(|process| ProcessRecord::new(&process, clock)),
            basis: shown.basis.name(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct LifecycleRecord {
    connection: u64,
    family: &'static str,
    v4_mapped: bool,
    local: EndpointRecord,
    remote: EndpointRecord,
    direction: Option<&'static str>,
    netns: Option<u32>,
    cgroup: Option<String>,
    container: Option<String>,
    container_runtime: Option<&'static str>,
    pod: Option<String>,
    owner: Option<OwnerRecord>,
    opened: Option<String>,
    ended: Option<String>,
    preexisting: bool,
    complete: bool,
    states: Vec<StateRecord>,
    closed_first: Option<&'static str>,
    closed_by: Option<CloserRecord>,
    close: Option<&'static str>,
    close_reason: Option<&'static str>,
    time_wait: Option<TimeWaitRecord>,
    close_wait: Option<CloseWaitRecord>,
    idle_before_close_ns: Option<u64>,
    bytes_sent: Option<u64>,
    bytes_received: Option<u64>,
    retransmits: Option<u32>,
    srtt_ns: Option<u64>,
    lost_evidence: u64,
}

impl LifecycleRecord {
    pub(super) fn new(lifecycle: &Lifecycle, clock: Option<Clock>) -> Self {
        let FourTuple { local, remote } = lifecycle.tuple;
        Self {
            connection: lifecycle.id,
            family: Family::of(&lifecycle.tuple).name(),
            v4_mapped: lifecycle.v4_mapped,
            local: EndpointRecord::new(local),
            remote: EndpointRecord::new(remote),
            direction: lifecycle.direction.map(|direction| direction.name()),
            netns: lifecycle.netns,
            cgroup: lifecycle.cgroup().map(str::to_owned),
            container: lifecycle.container().map(|container| container.id.to_string()),
            container_runtime: lifecycle.container().map(|container| container.runtime.name()),
            pod: lifecycle.container().and_then(|container| container.pod.as_deref()).map(str::to_owned),
            owner: lifecycle.owner.map(|owner| OwnerRecord {
                process: ProcessRecord::new(&owner.process, clock),
                basis: owner.basis.name(),
            }),
            opened: lifecycle.opened.and_then(|at| wall(at, clock)),
            ended: lifecycle.ended.and_then(|at| wall(at, clock)),
            preexisting: lifecycle.preexisting,
            complete: lifecycle.complete(),
            states: states(lifecycle),
            closed_first: lifecycle.closed_first.map(|side| side.name()),
            closed_by: lifecycle.closed_by.map(|closer| CloserRecord {
                process: ProcessRecord::new(&closer.process, clock),
                confidence: closer.confidence.name(),
                host: lifecycle.closed_on.as_deref().map(format::one_line),
            }),
            close: lifecycle.close.map(|close| close.name()),
            close_reason: lifecycle.close_reason,
            time_wait: lifecycle.time_wait().map(|time_wait| TimeWaitRecord {
                duration_ns: time_wait.lasted,
                end: if time_wait.open { Some("open") } else { time_wait.end.map(|end| end.name()) },
                restarts: lifecycle.time_wait_restarts,
                basis: time_wait.basis.name(),
            }),
            close_wait: lifecycle.close_wait().map(|close_wait| CloseWaitRecord {
                duration_ns: close_wait.lasted,
                accepted: close_wait.accepted,
                basis: lifecycle.span(TcpState::CloseWait).map(|span| span.basis.name()),
            }),
            idle_before_close_ns: lifecycle.idle_before_close,
            bytes_sent: lifecycle.traffic.map(|traffic| traffic.bytes_sent),
            bytes_received: lifecycle.traffic.map(|traffic| traffic.bytes_received),
            retransmits: lifecycle.traffic.map(|traffic| traffic.retransmits),
            srtt_ns: lifecycle.traffic.and_then(|traffic| traffic.srtt),
            lost_evidence: lifecycle.lost_evidence,
        }
    }
}

fn states(lifecycle: &Lifecycle) -> Vec<StateRecord> {
    let record =
        |span: &Span| StateRecord { state: span.state.name(), duration_ns: span.lasted, basis: span.basis.name() };
    lifecycle.spans.iter().map(record).collect()
}

#[derive(Serialize)]
pub(super) struct EndpointRecord {
    ip: IpAddr,
    port: Option<u16>,
}

impl EndpointRecord {
    pub(super) fn new(end: Endpoint) -> Self {
        Self { ip: end.ip, port: Some(end.port).filter(|&port| port != 0) }
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
    fn new(process: &Process, clock: Option<Clock>) -> Self {
        let start_time = clock.zip(process.started);
        Self {
            pid: process.pid,
            comm: process.comm.to_string(),
            uid: process.uid,
            start_time: start_time.map(|(clock, nanos)| format::wall_of_boottime(nanos, clock)),
        }
    }
}

#[derive(Serialize)]
struct OwnerRecord {
    #[serde(flatten)]
    process: ProcessRecord,
    basis: &'static str,
}

#[derive(Serialize)]
struct CloserRecord {
    #[serde(flatten)]
    process: ProcessRecord,
    confidence: &'static str,
    /// Where it is another one than the lifecycle's.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
}

#[derive(Serialize)]
struct StateRecord {
    state: &'static str,
    duration_ns: Option<u64>,
    basis: &'static str,
}

#[derive(Serialize)]
struct TimeWaitRecord {
    duration_ns: Option<u64>,
    end: Option<&'static str>,
    restarts: u32,
    basis: &'static str,
}

#[derive(Serialize)]
struct CloseWaitRecord {
    duration_ns: Option<u64>,
    accepted: Option<bool>,
    basis: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct LostRecord {
    time: Option<String>,
    count: u64,
    #[serde(rename = "where")]
    place: &'static str,
}

impl LostRecord {
    pub(super) fn new(lost: &Lost, clock: Option<Clock>) -> Self {
        Self { time: wall(lost.at, clock), count: lost.count, place: lost.place.name() }
    }
}

#[derive(Serialize)]
pub(super) struct SummaryRecord {
    events_received: u64,
    events_lost: u64,
    lost_by_place: BTreeMap<&'static str, u64>,
    by_close: BTreeMap<&'static str, u64>,
    by_closed_first: BTreeMap<&'static str, u64>,
    audit: Vec<AuditRecord>,
}

/// What lifecycles are counted under whose `close` or `closed_first` is null: null cannot be a key.
const UNKNOWN: &str = "unknown";

impl SummaryRecord {
    pub(super) fn new(summary: &Summary) -> Self {
        let by_close = summary.by_close.iter();
        let by_closed_first = summary.by_closed_first.iter();
        Self {
            events_received: summary.events,
            events_lost: summary.total_lost(),
            lost_by_place: summary.lost.iter().map(|(place, &count)| (place.name(), count)).collect(),
            by_close: by_close.map(|(close, &n)| (close.map_or(UNKNOWN, |close| close.name()), n)).collect(),
            by_closed_first: by_closed_first.map(|(side, &n)| (side.map_or(UNKNOWN, |side| side.name()), n)).collect(),
            audit: summary.audit.iter().map(AuditRecord::new).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct AuditRecord {
    counter: &'static str,
    kernel: u64,
    seen: u64,
    slack: u64,
    agrees: bool,
}

impl AuditRecord {
    pub(super) fn new(line: &AuditLine) -> Self {
        let AuditLine { counter, kernel, seen, slack } = *line;
        Self { counter, kernel, seen, slack, agrees: line.agrees() }
    }
}
