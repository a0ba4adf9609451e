//! How a recording comes on: a line on a terminal while it is made, and what it came to at its end.

use super::{Attached, Sink, format, notes};
use crate::model::{Change, Ktime, Observation, Tracker, summary::Summary};
use std::io::{self, Write};

/// How often the line is written anew, in nanoseconds.
const PERIOD: u64 = 1_000_000_000;
/// Back to the begin of the line, and nothing left of it.
const CLEAR: &str = "\r\x1b[K";

/// Tells of a recording, beside it.
pub struct Progress<N: Write> {
    notes: N,
    /// The recording's name.
    name: String,
    /// Somebody is watching.
    terminal: bool,
    /// Bytes written so far.
    size: Box<dyn Fn() -> u64>,
    began: Ktime,
    now: Ktime,
    shown: Option<Ktime>,
    so_far: Summary,
    /// Connections that have ended.
    ended: usize,
}

impl<N: Write> Progress<N> {
    /// Of the recording with this name, which has `size` bytes by now; with `terminal`, a line that changes.
    pub fn new(notes: N, name: String, terminal: bool, size: Box<dyn Fn() -> u64>) -> Self {
        let (began, now) = (Ktime::default(), Ktime::default());
        Self { notes, name, terminal, size, began, now, shown: None, so_far: Summary::default(), ended: 0 }
    }

    fn clear(&mut self) -> io::Result<()> {
        if self.shown.is_some() { write!(self.notes, "{CLEAR}") } else { Ok(()) }
    }

    fn lasted(&self) -> String {
        format::duration(self.now.since(self.began))
    }
}

impl<N: Write> Sink for Progress<N> {
    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        (self.began, self.now) = (attached.at, attached.at);
        notes::attached(&mut self.notes, attached, None)
    }

    fn observation(&mut self, observation: &Observation) -> io::Result<()> {
        self.so_far.take(observation);
        Ok(())
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        match change {
            Change::Ended { .. } => self.ended += 1,
            Change::Lost(lost) => {
                self.clear()?;
                notes::lost(&mut self.notes, lost)?;
            }
            Change::Transition(_) | Change::Closed(_) => {}
        }
        Ok(())
    }

    fn tick(&mut self, at: Ktime, tracker: &Tracker) -> io::Result<()> {
        self.now = self.now.max(at);
        if !self.terminal || self.shown.is_some_and(|shown| at.since(shown) < PERIOD) {
            return Ok(());
        }
        self.shown = Some(at);
        let connections = self.ended + tracker.glances().count();
        let (lasted, size) = (self.lasted(), format::bytes((self.size)()));
        let (events, lost) = (self.so_far.events, self.so_far.total_lost());
        write!(self.notes, "{CLEAR}{lasted}  {events} events  {connections} connections  {size}  {lost} lost")?;
        self.notes.flush()
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.clear()?;
        let (size, lasted) = (format::bytes((self.size)()), self.lasted());
        writeln!(self.notes, "recorded {}: {size} in {lasted}, {} connections", self.name, self.ended)?;
        notes::summary(&mut self.notes, summary)
    }
}
