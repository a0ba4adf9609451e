//! Where changes go: one sink a format. Sinks know the model and not one another.

pub mod csv;
pub mod doctor;
pub mod format;
pub mod json;
mod notes;
#[cfg(test)]
mod samples;
pub mod text;

use crate::model::{Change, Ktime, Observation, Tracker, summary::Summary};
use std::io;

/// One way of showing or keeping what happens.
///
/// Errors are those of the output; a closed pipe is [`io::ErrorKind::BrokenPipe`] and ends the run quietly.
pub trait Sink {
    /// The probes are on; events come from now on.
    fn attached(&mut self, attached: &Attached) -> io::Result<()>;

    /// Something was observed.
    fn observation(&mut self, _observation: &Observation) -> io::Result<()> {
        Ok(())
    }

    /// Something changed.
    fn change(&mut self, change: &Change) -> io::Result<()>;

    /// All that is known at `at` has been given: a good moment to flush.
    fn tick(&mut self, _at: Ktime, _tracker: &Tracker) -> io::Result<()> {
        Ok(())
    }

    /// The run is over.
    fn finish(&mut self, summary: &Summary) -> io::Result<()>;
}

/// What a live run works with.
#[derive(Clone, Debug)]
pub struct Attached {
    /// When the last probe was on.
    pub at: Ktime,
    /// `uname -r`.
    pub kernel: String,
    /// Every probe that there is, in the order of importance.
    pub probes: Vec<Probe>,
    /// How TIME_WAIT is measured.
    pub precision: Precision,
    /// What the kernel's clocks mean as wall time.
    pub clock: Clock,
}

/// A probe and whether it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The hook's name, as the kernel's: `tp_btf/inet_sock_set_state`.
    pub name: &'static str,
    /// Why it is not on; `None` when it is.
    pub off: Option<String>,
}

/// How TIME_WAIT is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// By its timer.
    Hook,
    /// By readings of the socket table.
    SockDiag,
    /// By arithmetic alone.
    Inferred,
}

impl Precision {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::SockDiag => "sock_diag",
            Self::Inferred => "inferred",
        }
    }
}

/// What the kernel's clocks mean as wall time, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// `CLOCK_REALTIME` less `CLOCK_MONOTONIC`.
    pub realtime: i64,
    /// `CLOCK_BOOTTIME` less `CLOCK_MONOTONIC`.
    pub boottime: i64,
}
