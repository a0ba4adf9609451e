//! Perfetto's own trace format: who held which connections, in which state, as lanes of time.
//!
//! A process is a process. Under it is a track for each place that its connections go to or come in at, in it a slice
//! for each connection, and in that one for each state. Connections side by side are tracks of one name, which
//! Perfetto draws as one. Beside the processes, a counter for each state, and what was lost.
//!
//! Perfetto takes processes of one number for one. Where recordings of several hosts are read as one, a process is
//! therefore a plain track with a name.

mod counts;
mod proto;

use self::counts::Counts;
use self::proto::{
    ClockReading, ClockSnapshot, CounterDescriptor, DebugAnnotation, ProcessDescriptor, SystemInfo, Trace, TracePacket,
    TrackDescriptor, TrackEvent, Utsname,
};
use crate::{
    model::{Change, Direction, Ktime, Lifecycle, Process, Span, join::Origin, observation::Lost, summary::Summary},
    sink::{Attached, Clock, Sink, format, record::LifecycleRecord},
};
use prost::Message as _;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{self, Write},
    sync::Arc,
};

// Values of enums and of the constants of perfetto_trace.proto.
const SLICE_BEGIN: i32 = 1;
const SLICE_END: i32 = 2;
const INSTANT: i32 = 3;
const COUNTER: i32 = 4;
const UNIT_COUNT: i32 = 2;
const CLOCK_REALTIME: u32 = 1;
const CLOCK_MONOTONIC: u32 = 3;
const CLOCK_BOOTTIME: u32 = 6;
const INCREMENTAL_STATE_CLEARED: u32 = 1;
/// Everything is one writer's.
const SEQUENCE: u32 = 1;

/// Processes whose tracks are remembered; beyond that they are described again.
const PROCESSES: usize = 1 << 16;

/// Writes a trace.
pub struct Perfetto<W: Write> {
    out: W,
    packets: Vec<TracePacket>,
    /// When the first recording began.
    started: Option<Ktime>,
    clock: Clock,
    /// Whose what comes is, where there are several hosts.
    host: Option<Arc<str>>,
    counts: Counts,
    processes: HashMap<Holder, u64>,
    losses: Option<u64>,
    last_track: u64,
}

/// A host where there are several, and a process of it; nobody holds connections whose owner is not known.
type Holder = (Option<Arc<str>>, Option<Process>);

impl<W: Write> Perfetto<W> {
    /// The trace goes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            packets: Vec::new(),
            started: None,
            clock: Clock { realtime: 0, boottime: 0 },
            host: None,
            counts: Counts::new(Ktime(0)),
            processes: HashMap::new(),
            losses: None,
            last_track: 0,
        }
    }

    fn lifecycle(&mut self, life: &Lifecycle) {
        let process = self.process(life.owner.map(|owner| owner.process));
        let track = self.track(TrackDescriptor {
            parent_uuid: Some(process),
            name: Some(place(life)),
            ..TrackDescriptor::default()
        });
        let moments = moments(life, self.started.unwrap_or_default());
        let Some(&(_, begin, _)) = moments.first() else { return };
        let record = serde_json::to_value(LifecycleRecord::new(life, Some(self.clock)));
        self.event(
            life.opened.unwrap_or(begin).min(begin),
            TrackEvent {
                kind: Some(SLICE_BEGIN),
                track_uuid: Some(track),
                categories: vec!["connection".to_owned()],
                name: Some(format!("{} - {}", life.tuple.local, life.tuple.remote)),
                debug_annotations: record.map(arguments).unwrap_or_default(),
                ..TrackEvent::default()
            },
        );
        let mut over = life.ended;
        for (span, begin, end) in moments {
            self.counts.add(span.state, begin, end);
            self.state(track, span, begin, end);
            over = over.and(end);
        }
        if let Some(end) = over {
            self.end(track, end);
        }
    }

    fn state(&mut self, track: u64, span: &Span, begin: Ktime, end: Option<Ktime>) {
        self.event(
            begin,
            TrackEvent {
                kind: Some(SLICE_BEGIN),
                track_uuid: Some(track),
                categories: vec!["state".to_owned()],
                name: Some(span.state.name().to_owned()),
                debug_annotations: arguments(json!({
                    "basis": span.basis.name(),
                    // Where it is not known, the slice is no longer than something that is.
                    "duration_ns": span.lasted.map_or_else(|| json!("unknown"), |nanos| json!(nanos)),
                })),
                ..TrackEvent::default()
            },
        );
        if let Some(end) = end {
            self.end(track, end);
        }
    }

    fn end(&mut self, track: u64, at: Ktime) {
        self.event(at, TrackEvent { kind: Some(SLICE_END), track_uuid: Some(track), ..TrackEvent::default() });
    }

    fn lost(&mut self, lost: &Lost) {
        let track = match self.losses {
            Some(track) => track,
            None => self.named("events lost", None),
        };
        self.losses = Some(track);
        self.event(
            lost.at,
            TrackEvent {
                kind: Some(INSTANT),
                track_uuid: Some(track),
                name: Some(format!("{} events lost ({})", lost.count, lost.place.name())),
                ..TrackEvent::default()
            },
        );
    }

    fn counters(&mut self) {
        let group = self.named("connections by state", None);
        let counts = std::mem::replace(&mut self.counts, Counts::new(Ktime(0)));
        for (state, changes) in counts.changes() {
            let track = self.track(TrackDescriptor {
                parent_uuid: Some(group),
                name: Some(state.name().to_owned()),
                counter: Some(CounterDescriptor { unit: Some(UNIT_COUNT) }),
                ..TrackDescriptor::default()
            });
            changes.into_iter().for_each(|(at, count)| self.count(track, at, count));
        }
    }

    fn count(&mut self, track: u64, at: Ktime, count: u64) {
        self.event(
            at,
            TrackEvent {
                kind: Some(COUNTER),
                track_uuid: Some(track),
                counter_value: i64::try_from(count).ok(),
                ..TrackEvent::default()
            },
        );
    }

    fn process(&mut self, process: Option<Process>) -> u64 {
        let holder = (self.host.clone(), process);
        if let Some(&track) = self.processes.get(&holder) {
            return track;
        }
        if self.processes.len() >= PROCESSES {
            self.processes.clear();
        }
        let track = match (&self.host, process) {
            (None, Some(Process { pid, started, comm, .. })) => self.track(TrackDescriptor {
                process: Some(ProcessDescriptor {
                    pid: i32::try_from(pid).ok(),
                    process_name: Some(comm.to_string()),
                    start_timestamp_ns: started.and_then(|nanos| i64::try_from(nanos).ok()),
                }),
                ..TrackDescriptor::default()
            }),
            (host, process) => {
                let who = process.map_or("owner not known".to_owned(), |known| format!("{} {}", known.comm, known.pid));
                let on = host.as_deref().map_or_else(String::new, |host| format!(" on {}", format::one_line(host)));
                self.named(&format!("{who}{on}"), None)
            }
        };
        self.processes.insert(holder, track);
        track
    }

    fn named(&mut self, name: &str, parent_uuid: Option<u64>) -> u64 {
        self.track(TrackDescriptor { parent_uuid, name: Some(name.to_owned()), ..TrackDescriptor::default() })
    }

    /// Describes a track and gives its number.
    fn track(&mut self, descriptor: TrackDescriptor) -> u64 {
        self.last_track += 1;
        let descriptor = TrackDescriptor { uuid: Some(self.last_track), ..descriptor };
        self.packet(TracePacket { track_descriptor: Some(descriptor), ..TracePacket::default() });
        self.last_track
    }

    fn event(&mut self, at: Ktime, event: TrackEvent) {
        let timestamp = Some(self.boottime(at));
        self.packet(TracePacket { timestamp, track_event: Some(event), ..TracePacket::default() });
    }

    fn packet(&mut self, packet: TracePacket) {
        self.packets.push(TracePacket { trusted_packet_sequence_id: Some(SEQUENCE), ..packet });
    }

    fn boottime(&self, at: Ktime) -> u64 {
        at.0.saturating_add_signed(self.clock.boottime)
    }

    /// Writes what has been gathered.
    fn write(&mut self) -> io::Result<()> {
        let trace = Trace { packet: std::mem::take(&mut self.packets) };
        self.out.write_all(&trace.encode_to_vec())
    }
}

impl<W: Write> Sink for Perfetto<W> {
    fn origin(&mut self, origin: &Origin) {
        self.host = (!origin.alone).then(|| origin.host.clone());
    }

    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        let Attached { at, clock, .. } = *attached;
        if self.started.is_some() {
            // Several recordings have the clock of the first.
            return Ok(());
        }
        (self.started, self.clock, self.counts) = (Some(at), clock, Counts::new(at));
        let reading = |id, nanos| ClockReading { clock_id: Some(id), timestamp: Some(nanos) };
        self.packet(TracePacket {
            timestamp: Some(self.boottime(at)),
            sequence_flags: Some(INCREMENTAL_STATE_CLEARED),
            clock_snapshot: Some(ClockSnapshot {
                clocks: vec![
                    reading(CLOCK_BOOTTIME, self.boottime(at)),
                    reading(CLOCK_MONOTONIC, at.0),
                    reading(CLOCK_REALTIME, at.0.saturating_add_signed(clock.realtime)),
                ],
            }),
            ..TracePacket::default()
        });
        self.packet(TracePacket {
            system_info: Some(SystemInfo {
                utsname: Some(Utsname { sysname: Some("Linux".to_owned()), release: Some(attached.kernel.clone()) }),
                tracing_service_version: Some(format!("twtrace {}", env!("CARGO_PKG_VERSION"))),
            }),
            ..TracePacket::default()
        });
        self.write()
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        match change {
            Change::Ended { lifecycle, .. } => self.lifecycle(lifecycle),
            Change::Lost(lost) => self.lost(lost),
            Change::Transition(_) | Change::Closed(_) => {}
        }
        self.write()
    }

    fn finish(&mut self, _summary: &Summary) -> io::Result<()> {
        self.counters();
        self.write()?;
        self.out.flush()
    }
}

/// Each state with its begin and its end; no end where it was still running when the run ended.
///
/// Where a moment is not known, the next thing that is stands in for it: the start of the run, or the next state.
fn moments(life: &Lifecycle, started: Ktime) -> Vec<(&Span, Ktime, Option<Ktime>)> {
    let mut moments = Vec::with_capacity(life.spans.len());
    let mut before = life.opened;
    for (place, span) in life.spans.iter().enumerate() {
        let begin = span.entered.max(before).unwrap_or(started);
        let end = match life.spans.get(place + 1) {
            Some(next) => {
                let end = span.lasted.map(|nanos| begin.after(nanos)).or(next.entered);
                Some(end.unwrap_or(begin).max(begin))
            }
            None => life.ended.map(|ended| ended.max(begin)),
        };
        moments.push((span, begin, end));
        before = end;
    }
    moments
}

/// What the connections of one lane have in common.
fn place(life: &Lifecycle) -> String {
    match life.direction {
        Some(Direction::Outbound) => format!("to {}", life.tuple.remote),
        Some(Direction::Inbound) => format!("at {}", life.tuple.local),
        None => format!("with {}", life.tuple.remote.ip),
    }
}

/// The fields of a record that are known, as arguments; the states are slices already.
fn arguments(record: Value) -> Vec<DebugAnnotation> {
    let Value::Object(fields) = record else { return Vec::new() };
    let fields = fields.into_iter().filter(|(name, _)| name != "states");
    fields.filter_map(|(name, value)| argument(Some(name), value)).collect()
}

fn argument(name: Option<String>, value: Value) -> Option<DebugAnnotation> {
    let argument = DebugAnnotation { name, ..DebugAnnotation::default() };
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => DebugAnnotation { bool_value: Some(value), ..argument },
        Value::Number(value) => DebugAnnotation { uint_value: value.as_u64(), ..argument },
        Value::String(value) => DebugAnnotation { string_value: Some(value), ..argument },
        Value::Array(values) => {
            let array_values = values.into_iter().filter_map(|value| self::argument(None, value)).collect();
            DebugAnnotation { array_values, ..argument }
        }
        Value::Object(fields) => {
            let dict_entries = fields.into_iter().filter_map(|(name, value)| self::argument(Some(name), value));
            DebugAnnotation { dict_entries: dict_entries.collect(), ..argument }
        }
    })
}

#[cfg(test)]
mod tests;
