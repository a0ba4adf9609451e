//! One JSON object a line, schema 1.
//!
//! The records are this module's own: the model can change without a script noticing. What is not known is
//! null. Names of processes are text with every character that could steer a terminal escaped, before JSON's
//! own escaping.

mod record;

use self::record::{AttachedRecord, LifecycleRecord, LostRecord, SummaryRecord, TransitionRecord};
use super::{Attached, Clock, Sink};
use crate::model::{Change, Ktime, Tracker, summary::Summary};
use serde::Serialize;
use std::io::{self, BufWriter, Write};

/// Raised when a field is renamed, retyped or dropped.
const SCHEMA: u32 = 1;

/// Bytes that are gathered between two ticks before they are written all the same.
const BUFFER: usize = 1 << 16;

/// Writes JSON lines; a lifecycle comes once, when all is over.
pub struct Json<W: Write> {
    out: BufWriter<W>,
    line: Vec<u8>,
    clock: Option<Clock>,
}

impl<W: Write> Json<W> {
    /// Lines go to `out`, which is flushed when the probes are on, on every tick and at the end.
    pub fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, out), line: Vec::new(), clock: None }
    }

    fn write(&mut self, kind: &'static str, record: impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, &Line { kind, schema: SCHEMA, record })?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

impl<W: Write> Sink for Json<W> {
    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.clock = Some(attached.clock);
        self.write("attached", AttachedRecord::new(attached))?;
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
        self.write("summary", SummaryRecord::new(summary))?;
        self.out.flush()
    }
}

#[derive(Serialize)]
struct Line<R> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: u32,
    #[serde(flatten)]
    record: R,
}

#[cfg(test)]
mod tests;
