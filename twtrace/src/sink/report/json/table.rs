//! The tables, field by field.

use super::{
    EndsRecord, PartyRecord, PeakRecord, PlaceRecord, QuantilesRecord, SeriesRecord, counts, party, quantiles, wall,
};
use crate::model::{
    Basis, Close, Side, TimeWaitEnd,
    attached::Clock,
    report::{
        CloseWaitHolder, CloseWaits, Closes, Destination, Full, Happened, IdleEnd, Oldest, PileUp, Reuse, StateCount,
        TimeWaitMaker, TimeWaits,
    },
};
use crate::sink::record::{AuditRecord, EndpointRecord};
use serde::Serialize;
use std::{collections::BTreeMap, net::IpAddr};

#[derive(Serialize)]
pub(super) struct HappenedRecord<'a> {
    start: Option<String>,
    end: Option<String>,
    duration_ns: u64,
    opened: u64,
    opened_outbound: u64,
    opened_inbound: u64,
    preexisting: u64,
    ended: u64,
    open: u64,
    damaged: u64,
    open_rate_per_second: Option<f64>,
    open_rate_peak: PeakRecord,
    opened_over_time: SeriesRecord,
    events_received: u64,
    events_lost: u64,
    lost_by_place: BTreeMap<&'static str, u64>,
    by_close: BTreeMap<&'static str, u64>,
    by_closed_first: BTreeMap<&'static str, u64>,
    states: Vec<StateRecord>,
    audit: Vec<AuditRecord>,
    kernel_counters: &'a BTreeMap<String, u64>,
}

impl<'a> HappenedRecord<'a> {
    pub(super) fn new(happened: &'a Happened, clock: Option<Clock>) -> Self {
        Self {
            start: wall(happened.start, clock),
            end: wall(happened.end, clock),
            duration_ns: happened.end.since(happened.start),
            opened: happened.opened,
            opened_outbound: happened.opened_outbound,
            opened_inbound: happened.opened_inbound,
            preexisting: happened.preexisting,
            ended: happened.ended,
            open: happened.open,
            damaged: happened.damaged,
            open_rate_per_second: happened.open_rate,
            open_rate_peak: PeakRecord::new(happened.open_rate_peak, clock),
            opened_over_time: SeriesRecord::new(&happened.opened_over_time, clock),
            events_received: happened.events,
            events_lost: happened.lost.values().sum(),
            lost_by_place: happened.lost.iter().map(|(place, number)| (place.name(), *number)).collect(),
            by_close: counts(&happened.by_close, Close::name),
            by_closed_first: counts(&happened.by_closed_first, Side::name),
            states: happened.states.iter().map(|state| StateRecord::new(state, clock)).collect(),
            audit: happened.audit.iter().map(AuditRecord::new).collect(),
            kernel_counters: &happened.counters,
        }
    }
}

#[derive(Serialize)]
struct StateRecord {
    state: &'static str,
    entered: u64,
    now: u64,
    peak: PeakRecord,
    duration: Option<QuantilesRecord>,
    over_time: SeriesRecord,
}

impl StateRecord {
    fn new(state: &StateCount, clock: Option<Clock>) -> Self {
        Self {
            state: state.state.name(),
            entered: state.entered,
            now: state.now,
            peak: PeakRecord::new(state.peak, clock),
            duration: quantiles(state.lasted),
            over_time: SeriesRecord::new(&state.over_time, clock),
        }
    }
}

#[derive(Serialize)]
pub(super) struct TimeWaitRecord {
    entered: u64,
    now: u64,
    peak: PeakRecord,
    duration: Option<QuantilesRecord>,
    by_basis: BTreeMap<&'static str, u64>,
    by_end: BTreeMap<&'static str, u64>,
    restarts: u64,
    makers: Vec<MakerRecord>,
    other: u64,
}

impl TimeWaitRecord {
    pub(super) fn new(waits: &TimeWaits, clock: Option<Clock>) -> Self {
        Self {
            entered: waits.entered,
            now: waits.now,
            peak: PeakRecord::new(waits.peak, clock),
            duration: quantiles(waits.lasted),
            by_basis: waits.basis.iter().map(|(basis, number)| (Basis::name(*basis), *number)).collect(),
            by_end: counts(&waits.ends, TimeWaitEnd::name),
            restarts: waits.restarts,
            makers: waits.makers.iter().map(|maker| MakerRecord::new(maker, clock)).collect(),
            other: waits.other,
        }
    }
}

#[derive(Serialize)]
struct MakerRecord {
    owner: Option<PartyRecord>,
    closed_by: Option<PartyRecord>,
    direction: Option<&'static str>,
    place: PlaceRecord,
    entered: u64,
    now: u64,
    peak: PeakRecord,
    reused: u64,
    mean_ns: Option<u64>,
}

impl MakerRecord {
    fn new(maker: &TimeWaitMaker, clock: Option<Clock>) -> Self {
        Self {
            owner: party(maker.owner.as_ref()),
            closed_by: party(maker.closer.as_ref()),
            direction: maker.direction.map(|direction| direction.name()),
            place: PlaceRecord::new(maker.place),
            entered: maker.entered,
            now: maker.now,
            peak: PeakRecord::new(maker.peak, clock),
            reused: maker.reused,
            mean_ns: maker.mean,
        }
    }
}

#[derive(Serialize)]
pub(super) struct DestinationRecord {
    netns: Option<u32>,
    local: IpAddr,
    remote: EndpointRecord,
    owners: Vec<PartyRecord>,
    opened: u64,
    open_rate_per_second: Option<f64>,
    no_port: u64,
    refused: u64,
    unanswered: u64,
    time_waits: u64,
    time_waits_reused: u64,
    ports_held: u64,
    ports_held_peak: PeakRecord,
    ports_in_time_wait_at_peak: u64,
    ports_held_over_time: SeriesRecord,
    port_pool: Option<u32>,
    hold_ns: Option<u64>,
    hold_time_wait_ns: Option<u64>,
    sustainable_per_second: Option<f64>,
    sustainable_with_reuse_per_second: Option<f64>,
    tcp_tw_reuse: Option<&'static str>,
    tcp_tw_reuse_after_ns: Option<u64>,
    full: Option<&'static str>,
    full_at: Option<String>,
    full_in_ns: Option<u64>,
}

impl DestinationRecord {
    pub(super) fn new(row: &Destination, clock: Option<Clock>) -> Self {
        let (full, full_at, full_in_ns) = match row.full {
            Full::Was(at) => (Some("was"), wall(at, clock), None),
            Full::In(time) => (Some("will_be"), None, Some(time)),
            Full::Never => (Some("never"), None, None),
            Full::Unknown => (None, None, None),
        };
        let (reuse, after) = match row.reuse {
            Reuse::After(delay) => (Some("at_work"), Some(delay)),
            Reuse::Off => (Some("off"), None),
            Reuse::LoopbackOnly => (Some("loopback_only"), None),
            Reuse::NoTimestamps => (Some("no_timestamps"), None),
            Reuse::Unknown => (None, None),
        };
        Self {
            netns: row.netns,
            local: row.local,
            remote: EndpointRecord::new(row.remote),
            owners: row.owners.iter().filter_map(|owner| party(Some(owner))).collect(),
            opened: row.opened,
            open_rate_per_second: row.open_rate,
            no_port: row.no_port,
            refused: row.refused,
            unanswered: row.unanswered,
            time_waits: row.time_waits,
            time_waits_reused: row.reused,
            ports_held: row.held,
            ports_held_peak: PeakRecord::new(row.held_peak, clock),
            ports_in_time_wait_at_peak: row.time_wait_at_peak,
            ports_held_over_time: SeriesRecord::new(&row.held_over_time, clock),
            port_pool: row.pool,
            hold_ns: row.hold,
            hold_time_wait_ns: row.hold_time_wait,
            sustainable_per_second: row.sustainable,
            sustainable_with_reuse_per_second: row.sustainable_with_reuse,
            tcp_tw_reuse: reuse,
            tcp_tw_reuse_after_ns: after,
            full,
            full_at,
            full_in_ns,
        }
    }
}

#[derive(Serialize)]
pub(super) struct CloseWaitRecord {
    entered: u64,
    now: u64,
    peak: PeakRecord,
    duration: Option<QuantilesRecord>,
    holders: Vec<HolderRecord>,
    other: u64,
}

impl CloseWaitRecord {
    pub(super) fn new(waits: &CloseWaits, clock: Option<Clock>) -> Self {
        Self {
            entered: waits.entered,
            now: waits.now,
            peak: PeakRecord::new(waits.peak, clock),
            duration: quantiles(waits.lasted),
            holders: waits.holders.iter().map(|holder| HolderRecord::new(holder, clock)).collect(),
            other: waits.other,
        }
    }
}

#[derive(Serialize)]
struct HolderRecord {
    process: Option<PartyRecord>,
    place: Option<PlaceRecord>,
    entered: u64,
    now: u64,
    peak: PeakRecord,
    not_closed: u64,
    not_accepted: u64,
    over_a_minute: u64,
    growth_per_minute: Option<f64>,
    over_time: SeriesRecord,
    oldest: Vec<OldestRecord>,
    descriptors: Option<u64>,
    descriptor_limit: Option<u64>,
    limit_in_ns: Option<u64>,
}

impl HolderRecord {
    fn new(holder: &CloseWaitHolder, clock: Option<Clock>) -> Self {
        Self {
            process: party(holder.party.as_ref()),
            place: holder.place.map(PlaceRecord::new),
            entered: holder.entered,
            now: holder.now,
            peak: PeakRecord::new(holder.peak, clock),
            not_closed: holder.not_closed,
            not_accepted: holder.not_accepted,
            over_a_minute: holder.over_a_minute,
            growth_per_minute: holder.growth_per_minute,
            over_time: SeriesRecord::new(&holder.over_time, clock),
            oldest: holder.oldest.iter().map(OldestRecord::new).collect(),
            descriptors: holder.descriptors,
            descriptor_limit: holder.descriptor_limit,
            limit_in_ns: holder.limit_in,
        }
    }
}

#[derive(Serialize)]
struct OldestRecord {
    connection: u64,
    #[serde(flatten)]
    ends: EndsRecord,
    pid: Option<u32>,
    age_ns: u64,
    basis: &'static str,
    accepted: Option<bool>,
}

impl OldestRecord {
    fn new(oldest: &Oldest) -> Self {
        Self {
            connection: oldest.connection,
            ends: EndsRecord::new(oldest.tuple),
            pid: oldest.pid,
            age_ns: oldest.age,
            basis: oldest.basis.name(),
            accepted: oldest.accepted,
        }
    }
}

#[derive(Serialize)]
pub(super) struct PileUpRecord {
    state: &'static str,
    process: Option<PartyRecord>,
    place: PlaceRecord,
    entered: u64,
    now: u64,
    peak: PeakRecord,
    longest_ns: u64,
    not_accepted: u64,
}

impl PileUpRecord {
    pub(super) fn new(row: &PileUp, clock: Option<Clock>) -> Self {
        Self {
            state: row.state.name(),
            process: party(row.owner.as_ref()),
            place: PlaceRecord::new(row.place),
            entered: row.entered,
            now: row.now,
            peak: PeakRecord::new(row.peak, clock),
            longest_ns: row.longest,
            not_accepted: row.not_accepted,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ClosesRecord<'a> {
    process: Option<PartyRecord>,
    peer: Option<PlaceRecord>,
    closed: u64,
    closed_first: BTreeMap<&'static str, u64>,
    close: BTreeMap<&'static str, u64>,
    close_reason: &'a BTreeMap<&'static str, u64>,
}

impl<'a> ClosesRecord<'a> {
    pub(super) fn new(row: &'a Closes) -> Self {
        Self {
            process: party(row.party.as_ref()),
            peer: row.place.map(PlaceRecord::new),
            closed: row.closed,
            closed_first: counts(&row.first, Side::name),
            close: counts(&row.close, Close::name),
            close_reason: &row.reasons,
        }
    }
}

#[derive(Serialize)]
pub(super) struct IdleRecord {
    side: &'static str,
    closer: Option<PartyRecord>,
    place: PlaceRecord,
    idle_ns: u64,
    count: u64,
    of: u64,
}

impl IdleRecord {
    pub(super) fn new(row: &IdleEnd) -> Self {
        Self {
            side: row.side.name(),
            closer: party(row.closer.as_ref()),
            place: PlaceRecord::new(row.place),
            idle_ns: row.timeout,
            count: row.count,
            of: row.of,
        }
    }
}
