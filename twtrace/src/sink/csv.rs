//! Comma-separated values, RFC 4180 with Unix line ends: one header, one lifecycle a row.
//!
//! Rows come when JSON's lifecycles come. A field that a spreadsheet would take for a formula gets a leading
//! apostrophe. Unknown is an empty field.

use super::{Attached, Clock, Sink, format, notes};
use crate::model::{
    Change, Endpoint, Ktime, Lifecycle, Owner, Process, Shown, TcpState, Tracker, filter::Family, join::Origin,
    summary::Summary,
};
use std::io::{self, Write};

/// Bytes that are gathered between two ticks before they are written all the same.
const BUFFER: usize = 1 << 16;

/// Writes rows to one place and, since a table holds rows alone, what else there is to say to another.
pub struct Csv<W: Write, N: Write> {
    out: csv::Writer<W>,
    notes: N,
    /// Columns in use: all of them, or those of a lifecycle.
    columns: &'static [Column],
    header_written: bool,
    clock: Option<Clock>,
    /// Of the recording that is replayed.
    origin: Option<Origin>,
}

impl<W: Write, N: Write> Csv<W, N> {
    /// Rows go to `out`, notes to `notes`; with `events` a row for each transition too, told by its `type`.
    pub fn new(out: W, notes: N, events: bool) -> Self {
        let columns = if events { &ALL[..] } else { &ALL[1..ALL.len() - TRANSITION_COLUMNS] };
        let out = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(out);
        Self { out, notes, columns, header_written: false, clock: None, origin: None }
    }

    fn write(&mut self, row: Row<'_>) -> io::Result<()> {
        self.write_header()?;
        let clock = self.clock;
        let fields = self.columns.iter().map(|(_, field)| field(&row, clock).map_or_else(String::new, guarded));
        let closer = row.lifecycle().and_then(|life| life.closed_on.as_deref());
        let hosts = self
            .host()
            .map(|host| [Some(host), closer].map(|host| guarded(host.map(format::one_line).unwrap_or_default())));
        self.out.write_record(fields.chain(hosts.into_iter().flatten())).map_err(io_error)
    }

    /// A table without rows still has its header.
    fn write_header(&mut self) -> io::Result<()> {
        if self.header_written {
            return Ok(());
        }
        self.header_written = true;
        let hosts = self.host().map(|_| ["host", "closed_by_host"]);
        let names = self.columns.iter().map(|&(name, _)| name).chain(hosts.into_iter().flatten());
        self.out.write_record(names).map_err(io_error)
    }

    /// Whose a row is, where there are several.
    fn host(&self) -> Option<&str> {
        self.origin.as_ref().filter(|origin| !origin.alone).map(|origin| &*origin.host)
    }
}

impl<W: Write, N: Write> Sink for Csv<W, N> {
    fn origin(&mut self, origin: &Origin) {
        self.origin = Some(origin.clone());
    }

    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.clock = Some(attached.clock);
        self.write_header()?;
        self.out.flush()?;
        notes::attached(&mut self.notes, attached, self.origin.as_ref())
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        match change {
            Change::Transition(shown) => self.write(Row::Transition(shown)),
            Change::Closed(_) => Ok(()),
            Change::Ended { lifecycle, .. } => self.write(Row::Lifecycle(lifecycle)),
            Change::Lost(lost) => notes::lost(&mut self.notes, lost),
        }
    }

    fn tick(&mut self, _at: Ktime, _tracker: &Tracker) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.write_header()?;
        self.out.flush()?;
        notes::summary(&mut self.notes, summary)
    }
}

/// The crate wraps the output's error; a closed pipe has to stay one.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("cannot write a CSV row: {other:?}")),
    }
}

/// A spreadsheet takes what begins so for a formula, and a process may call itself anything.
fn guarded(field: String) -> String {
    if field.starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field }
}

enum Row<'a> {
    Lifecycle(&'a Lifecycle),
    Transition(&'a Shown),
}

impl<'a> Row<'a> {
    fn lifecycle(&self) -> Option<&'a Lifecycle> {
        match self {
            Self::Lifecycle(lifecycle) => Some(lifecycle),
            Self::Transition(_) => None,
        }
    }

    fn transition(&self) -> Option<&'a Shown> {
        match self {
            Self::Lifecycle(_) => None,
            Self::Transition(shown) => Some(shown),
        }
    }

    fn tuple(&self) -> &'a crate::model::FourTuple {
        match self {
            Self::Lifecycle(lifecycle) => &lifecycle.tuple,
            Self::Transition(shown) => &shown.tuple,
        }
    }

    fn owner(&self) -> Option<Owner> {
        self.lifecycle()?.owner
    }

    fn closer(&self) -> Option<Process> {
        Some(self.lifecycle()?.closed_by?.process)
    }

    fn process(&self) -> Option<Process> {
        self.transition()?.process
    }
}

/// A column's name, and its field in a row; `None` is an empty one.
type Column = (&'static str, fn(&Row<'_>, Option<Clock>) -> Option<String>);

/// How many of the last columns are a transition's alone.
const TRANSITION_COLUMNS: usize = 9;

/// The first and the last columns are there with `--events` alone.
static ALL: [Column; 53] = [
    ("type", |row, _| {
        text(match row {
            Row::Lifecycle(_) => "lifecycle",
            Row::Transition(_) => "transition",
        })
    }),
    ("connection", |row, _| {
        text(match row {
            Row::Lifecycle(life) => life.id,
            Row::Transition(shown) => shown.connection,
        })
    }),
    ("family", |row, _| text(Family::of(row.tuple()).name())),
    ("v4_mapped", |row, _| {
        text(match row {
            Row::Lifecycle(life) => life.v4_mapped,
            Row::Transition(shown) => shown.v4_mapped,
        })
    }),
    ("local_ip", |row, _| text(row.tuple().local.ip)),
    ("local_port", |row, _| port(row.tuple().local)),
    ("remote_ip", |row, _| text(row.tuple().remote.ip)),
    ("remote_port", |row, _| port(row.tuple().remote)),
    ("direction", |row, _| text(row.lifecycle()?.direction?.name())),
    ("netns", |row, _| {
        text(match row {
            Row::Lifecycle(life) => life.netns,
            Row::Transition(shown) => shown.netns,
        }?)
    }),
    ("cgroup", |row, _| text(row.lifecycle()?.cgroup()?)),
    ("container", |row, _| text(&row.lifecycle()?.container()?.id)),
    ("owner_pid", |row, _| text(row.owner()?.process.pid)),
    ("owner_comm", |row, _| text(row.owner()?.process.comm)),
    ("owner_uid", |row, _| text(row.owner()?.process.uid)),
    ("owner_start_time", |row, clock| Some(format::wall_of_boottime(row.owner()?.process.started?, clock?))),
    ("owner_basis", |row, _| text(row.owner()?.basis.name())),
    ("opened", |row, clock| Some(format::wall(row.lifecycle()?.opened?, clock?))),
    ("ended", |row, clock| Some(format::wall(row.lifecycle()?.ended?, clock?))),
    ("preexisting", |row, _| text(row.lifecycle()?.preexisting)),
    ("complete", |row, _| text(row.lifecycle()?.complete())),
    ("states", |row, _| row.lifecycle().map(states)),
    ("closed_first", |row, _| text(row.lifecycle()?.closed_first?.name())),
    ("closed_by_pid", |row, _| text(row.closer()?.pid)),
    ("closed_by_comm", |row, _| text(row.closer()?.comm)),
    ("closed_by_uid", |row, _| text(row.closer()?.uid)),
    ("closed_by_confidence", |row, _| text(row.lifecycle()?.closed_by?.confidence.name())),
    ("close", |row, _| text(row.lifecycle()?.close?.name())),
    ("close_reason", |row, _| text(row.lifecycle()?.close_reason?)),
    ("time_wait_ns", |row, _| text(row.lifecycle()?.time_wait()?.lasted?)),
    ("time_wait_end", |row, _| time_wait_end(row.lifecycle()?)),
    ("time_wait_restarts", |row, _| row.lifecycle()?.time_wait().and(text(row.lifecycle()?.time_wait_restarts))),
    ("time_wait_basis", |row, _| text(row.lifecycle()?.time_wait()?.basis.name())),
    ("close_wait_ns", |row, _| text(row.lifecycle()?.close_wait()?.lasted?)),
    ("close_wait_accepted", |row, _| text(row.lifecycle()?.close_wait()?.accepted?)),
    ("close_wait_basis", |row, _| text(row.lifecycle()?.span(TcpState::CloseWait)?.basis.name())),
    ("idle_before_close_ns", |row, _| text(row.lifecycle()?.idle_before_close?)),
    ("bytes_sent", |row, _| text(row.lifecycle()?.traffic?.bytes_sent)),
    ("bytes_received", |row, _| text(row.lifecycle()?.traffic?.bytes_received)),
    ("retransmits", |row, _| text(row.lifecycle()?.traffic?.retransmits)),
    ("lost_evidence", |row, _| text(row.lifecycle()?.lost_evidence)),
    ("container_runtime", |row, _| text(row.lifecycle()?.container()?.runtime.name())),
    ("pod", |row, _| text(row.lifecycle()?.container()?.pod.as_deref()?)),
    ("srtt_ns", |row, _| text(row.lifecycle()?.traffic?.srtt?)),
    ("time", |row, clock| Some(format::wall(row.transition()?.at, clock?))),
    ("from", |row, _| text(row.transition()?.from.name())),
    ("to", |row, _| text(row.transition()?.to.name())),
    ("duration_ns", |row, _| text(row.transition()?.lasted?)),
    ("process_pid", |row, _| text(row.process()?.pid)),
    ("process_comm", |row, _| text(row.process()?.comm)),
    ("process_uid", |row, _| text(row.process()?.uid)),
    ("process_start_time", |row, clock| Some(format::wall_of_boottime(row.process()?.started?, clock?))),
    ("basis", |row, _| text(row.transition()?.basis.name())),
];

fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

fn port(end: Endpoint) -> Option<String> {
    (end.port != 0).then(|| end.port.to_string())
}

fn time_wait_end(lifecycle: &Lifecycle) -> Option<String> {
    let time_wait = lifecycle.time_wait()?;
    if time_wait.open { text("open") } else { text(time_wait.end?.name()) }
}

/// `SYN_SENT:40210:observed ESTABLISHED:3210455:observed`; nothing between the colons where it is not known.
fn states(lifecycle: &Lifecycle) -> String {
    let mut states = String::new();
    for span in &lifecycle.spans {
        let nanos = span.lasted.map_or_else(String::new, |nanos| nanos.to_string());
        let gap = if states.is_empty() { "" } else { " " };
        states.push_str(&format!("{gap}{}:{nanos}:{}", span.state, span.basis.name()));
    }
    states
}

#[cfg(test)]
mod tests;
