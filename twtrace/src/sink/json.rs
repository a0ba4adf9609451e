//! One JSON object a line, schema 1.
//!
//! Names of processes are text with every character that could steer a terminal escaped, before JSON's own
//! escaping.

use super::{
    Attached, Clock, Sink, format,
    record::{AttachedRecord, LifecycleRecord, LostRecord, SCHEMA, SummaryRecord, TransitionRecord},
};
use crate::model::{Change, Ktime, Tracker, join::Origin, summary::Summary};
use serde::Serialize;
use std::io::{self, BufWriter, Write};

/// Bytes that are gathered between two ticks before they are written all the same.
const BUFFER: usize = 1 << 16;

/// Writes JSON lines; a lifecycle comes once, when all is over.
pub struct Json<W: Write> {
    out: BufWriter<W>,
    line: Vec<u8>,
    clock: Option<Clock>,
    /// Of the recording that is replayed.
    origin: Option<Origin>,
}

impl<W: Write> Json<W> {
    /// Lines go to `out`, which is flushed when the probes are on, on every tick and at the end.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, out), line: Vec::new(), clock: None, origin: None }
    }

    fn write(&mut self, kind: &'static str, record: impl Serialize) -> io::Result<()> {
        self.line.clear();
        let host = self.origin.as_ref().filter(|origin| !origin.alone).map(|origin| format::one_line(&origin.host));
        serde_json::to_writer(&mut self.line, &Line { kind, schema: SCHEMA, host, record })?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

impl<W: Write> Sink for Json<W> {
    fn origin(&mut self, origin: &Origin) {
        self.origin = Some(origin.clone());
    }

    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.clock = Some(attached.clock);
        let record = AttachedRecord::new(attached, self.origin.as_ref());
        self.write("attached", record)?;
        self.out.flush()
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        let clock = self.clock;
        match change {
            Change::Transition(shown) => self.write("transition", TransitionRecord::new(shown, clock)),
            Change::Closed(_) => Ok(()),
            Change::Ended { lifecycle, .. } => self.write("lifecycle", LifecycleRecord::new(lifecycle, clock)),
            Change::Lost(lost) => self.write("lost", LostRecord::new(lost, clock)),
        }
    }

    fn tick(&mut self, _at: Ktime, _tracker: &Tracker) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        // Of all of them.
        self.origin = None;
        self.write("summary", SummaryRecord::new(summary))?;
        self.out.flush()
    }
}

#[derive(Serialize)]
struct Line<R> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: u32,
    /// Whose it is, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(flatten)]
    record: R,
}

#[cfg(test)]
mod tests;
