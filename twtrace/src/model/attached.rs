//! What a run works with: the probes that are on, how TIME_WAIT is measured, what the clocks mean.

use super::Ktime;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a live run works with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The hook's name, as the kernel's: `tp_btf/inet_sock_set_state`.
    pub name: Cow<'static, str>,
    /// Why it is not on; `None` when it is.
    pub off: Option<String>,
}

/// How TIME_WAIT is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// `CLOCK_REALTIME` less `CLOCK_MONOTONIC`.
    pub realtime: i64,
    /// `CLOCK_BOOTTIME` less `CLOCK_MONOTONIC`.
    pub boottime: i64,
}
