//! How to trace: the same for every command that does.

use super::values::ring;
use clap::{Args, ValueEnum};

/// How to trace.
#[derive(Args, Debug)]
#[command(next_help_heading = "Tracing")]
pub struct TracingArgs {
    /// Turn on the probes whose cost grows with packets: TIME_WAIT's begin and end to the microsecond, and its cause
    #[arg(long)]
    pub exact: bool,
    /// Work as on a kernel that allows no more than this [default: the best that it allows]
    #[arg(long, value_enum)]
    pub tier: Option<Tier>,
    /// Size of the ring that events travel in: bytes, or with K, M or G; a power of two and whole pages
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = ring)]
    pub ring: u32,
    /// Exit with 3 when events were lost
    #[arg(long)]
    pub fail_on_loss: bool,
    /// Let the probes log their own diagnostics to stderr
    #[arg(short, long)]
    pub verbose: bool,
}

/// How TIME_WAIT is observed, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tier {
    /// By its timer
    Hook,
    /// By readings of the socket table
    #[value(name = "sock_diag", alias = "sock-diag")]
    SockDiag,
    /// The same, and the classic tracepoint in place of the BTF one: what the socket says of itself is missing
    Classic,
}
