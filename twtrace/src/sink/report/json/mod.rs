//! The report as one JSON object, schema 1.
//!
//! The records are this module's own: the model can change without a script noticing. What is not known is null,
//! durations are nanoseconds, and each figure of a finding has its unit and its basis.

mod finding;
mod table;

pub(super) use self::finding::{FigureValue, FindingRecord};

use self::{
    finding::AdviceRecord,
    table::{
        CloseWaitRecord, ClosesRecord, DestinationRecord, HappenedRecord, IdleRecord, PileUpRecord, TimeWaitRecord,
    },
};
use crate::{
    model::{
        FourTuple, Ktime,
        attached::Clock,
        report::{Host, Party, Peak, Place, Quantiles, Report, Series},
    },
    sink::{format, record::EndpointRecord},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::IpAddr,
};

/// Raised when a field is renamed, retyped or dropped.
const SCHEMA: u32 = 1;

/// Writes it on one line.
pub fn write(out: &mut (impl Write + ?Sized), report: &Report) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &ReportRecord::new(report))?;
    writeln!(out)
}

#[derive(Serialize)]
pub(super) struct ReportRecord<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: u32,
    version: &'static str,
    hosts: Vec<HostRecord<'a>>,
    findings: Vec<FindingRecord<'a>>,
    advice: Vec<AdviceRecord<'a>>,
    happened: HappenedRecord<'a>,
    time_wait: TimeWaitRecord,
    destinations: Vec<DestinationRecord>,
    other_destinations: u64,
    close_wait: CloseWaitRecord,
    pile_ups: Vec<PileUpRecord>,
    closes_by_process: Vec<ClosesRecord<'a>>,
    closes_by_peer: Vec<ClosesRecord<'a>>,
    idle_ends: Vec<IdleRecord>,
}

impl<'a> ReportRecord<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let clock = report.clock();
        Self {
            kind: "report",
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            hosts: report.hosts.iter().map(HostRecord::new).collect(),
            findings: report.findings.iter().map(|finding| FindingRecord::new(finding, clock)).collect(),
            advice: report.advice.iter().map(AdviceRecord::new).collect(),
            happened: HappenedRecord::new(&report.happened, clock),
            time_wait: TimeWaitRecord::new(&report.time_wait, clock),
            destinations: report.destinations.iter().map(|row| DestinationRecord::new(row, clock)).collect(),
            other_destinations: report.other_destinations,
            close_wait: CloseWaitRecord::new(&report.close_wait, clock),
            pile_ups: report.pile_ups.iter().map(|row| PileUpRecord::new(row, clock)).collect(),
            closes_by_process: report.closes_by_process.iter().map(ClosesRecord::new).collect(),
            closes_by_peer: report.closes_by_peer.iter().map(ClosesRecord::new).collect(),
            idle_ends: report.idle_ends.iter().map(IdleRecord::new).collect(),
        }
    }
}

#[derive(Serialize)]
struct HostRecord<'a> {
    name: Option<&'a str>,
    kernel: Option<&'a str>,
    netns: Option<u32>,
    precision: Option<&'static str>,
    sysctls: &'a BTreeMap<String, String>,
}

impl<'a> HostRecord<'a> {
    fn new(host: &'a Host) -> Self {
        Self {
            name: host.name.as_deref(),
            kernel: host.kernel.as_deref(),
            netns: host.netns,
            precision: host.precision.map(|precision| precision.name()),
            sysctls: &host.sysctls,
        }
    }
}

fn wall(at: Ktime, clock: Option<Clock>) -> Option<String> {
    Some(format::wall(at, clock?))
}

#[derive(Serialize)]
struct PartyRecord {
    comm: String,
    pids: Vec<u32>,
    more_pids: bool,
}

fn party(party: Option<&Party>) -> Option<PartyRecord> {
    let Party { comm, pids, more_pids } = party?;
    Some(PartyRecord { comm: comm.to_string(), pids: pids.clone(), more_pids: *more_pids })
}

/// One of the three, by the way the connections went.
#[derive(Serialize)]
struct PlaceRecord {
    to: Option<EndpointRecord>,
    at_port: Option<u16>,
    with: Option<IpAddr>,
}

impl PlaceRecord {
    fn new(place: Place) -> Self {
        let nowhere = Self { to: None, at_port: None, with: None };
        match place {
            Place::To(end) => Self { to: Some(EndpointRecord::new(end)), ..nowhere },
            Place::At(port) => Self { at_port: Some(port), ..nowhere },
            Place::With(ip) => Self { with: Some(ip), ..nowhere },
        }
    }
}

#[derive(Serialize)]
struct EndsRecord {
    local: EndpointRecord,
    remote: EndpointRecord,
}

impl EndsRecord {
    fn new(tuple: FourTuple) -> Self {
        Self { local: EndpointRecord::new(tuple.local), remote: EndpointRecord::new(tuple.remote) }
    }
}

#[derive(Serialize)]
struct PeakRecord {
    count: u64,
    at: Option<String>,
}

impl PeakRecord {
    fn new(peak: Peak, clock: Option<Clock>) -> Self {
        Self { count: peak.count, at: peak.at.and_then(|at| wall(at, clock)) }
    }
}

#[derive(Serialize)]
struct SeriesRecord {
    start: Option<String>,
    step_ns: u64,
    values: Vec<u64>,
}

impl SeriesRecord {
    fn new(series: &Series, clock: Option<Clock>) -> Self {
        Self { start: wall(series.start, clock), step_ns: series.step, values: series.values.clone() }
    }
}

#[derive(Serialize)]
struct QuantilesRecord {
    count: u64,
    min_ns: u64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    max_ns: u64,
    mean_ns: u64,
}

fn quantiles(quantiles: Option<Quantiles>) -> Option<QuantilesRecord> {
    let Quantiles { count, min, p50, p90, p99, max, mean } = quantiles?;
    Some(QuantilesRecord { count, min_ns: min, p50_ns: p50, p90_ns: p90, p99_ns: p99, max_ns: max, mean_ns: mean })
}

/// What is counted under null: null cannot be a key.
const UNKNOWN: &str = "unknown";

fn counts<K: Copy>(counts: &BTreeMap<Option<K>, u64>, name: impl Fn(K) -> &'static str) -> BTreeMap<&'static str, u64> {
    counts.iter().map(|(key, number)| (key.map_or(UNKNOWN, &name), *number)).collect()
}
