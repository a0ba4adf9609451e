//! `twtrace watch`.

use super::{FilterArgs, MetricsArgs, TracingArgs, WritingArgs, values::duration};
use crate::sink::text::LEGEND;
use clap::{Args, ValueEnum};
use std::{num::NonZeroU64, path::PathBuf, time::Duration};

/// The arguments of `watch`.
#[derive(Args, Debug)]
pub struct Watch {
    /// Show recordings instead, several as one in order of time; - for stdin
    #[arg(
        short, long, value_name = "FILE", num_args = 1..,
        conflicts_with_all = ["write", "duration", "metrics", "exact", "tier", "ring"],
    )]
    pub read: Vec<PathBuf>,
    /// How to show: on the whole screen or in rows for a person, or as records for a script
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    pub format: Format,
    /// Print each transition too, not the finished connections alone
    #[arg(long)]
    pub events: bool,
    /// Add a column with the time of day, in UTC (text; the other formats have it always)
    #[arg(short = 'T', long = "time")]
    pub wall_time: bool,
    /// Add a column with the seconds since tracing began (text)
    #[arg(short = 't', long)]
    pub relative_time: bool,
    /// End after this time, e.g. 500ms, 30s, 2m, 1h30m [default: run until SIGINT or SIGTERM]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// End when this many connections have been shown
    #[arg(long, value_name = "N")]
    pub count: Option<NonZeroU64>,
    /// Where to record on the side.
    #[command(flatten)]
    pub writing: WritingArgs,
    /// Which connections to show.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Show all that was recorded, though it was recorded with filters
    #[arg(long, requires = "read")]
    pub all: bool,
    /// Where to serve metrics on the side.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// How to trace.
    #[command(flatten)]
    pub tracing: TracingArgs,
}

pub(super) const WATCH_SHORT_HELP: &str = "`twtrace watch --help` explains the columns and gives examples.";

pub(super) fn watch_long_help() -> String {
    format!("{LEGEND}\n\n{WATCH_EXAMPLES}")
}

const WATCH_EXAMPLES: &str = "\
On a terminal watch opens a full-screen view, with a recording (-r) too: keys
1 to 6 change what is looked at, / filters, ? explains all of them. Elsewhere,
and where -T, -t or --events ask for them, rows come. NO_COLOR leaves the
colours out.

SIGINT and SIGTERM stop the probes, write what is left and print the summary,
with the kernel's own counters beside what was seen. A second SIGINT ends at
once.

A recording (-r) is shown as the live run would have shown it, and with its
filters unless others, or --all, are given. A file that was cut off, by a kill
or a full disk, is shown up to there with a warning; one that is damaged too,
but the status is 1 then. Files that a rotated recording consists of are one
recording in whatever order they are given. Recordings of several hosts are
joined: where both ends of a connection were recorded, the remote closer has a
name, marked as likely, as long as the hosts' clocks agree to 2 s.

Examples:
  The whole host on the screen:
    twtrace watch
  Every connection of this host as it closes, a row each:
    twtrace watch --format text
  Who closes the connections to the databases:
    twtrace watch -D 5432,6379 --comm api --format text
  Five minutes of a server, with the time of day:
    twtrace watch -L 8000-8999 -T --duration 5m
  Connections that the application never accepted:
    twtrace watch --format json | jq 'select(.close_wait.accepted == false)'
  Each transition of one process's connections:
    twtrace watch --exact --events -p 4242
  A recording, and what it has of one server:
    twtrace watch -r incident.arrows
    twtrace watch -r incident.arrows -L 8080 -T
  Both sides of the same minute:
    twtrace watch -r web1.arrows db1.arrows -D 5432
  Look and record at once:
    twtrace watch -w incident.arrows";

/// What `watch` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// What suits the output: a full-screen view on a terminal, else text
    Auto,
    /// A full-screen view: press ? in it for help
    Tui,
    /// Columns for a person, a row when a connection's closing is done
    Text,
    /// One JSON object a line, a lifecycle when all is over
    Json,
    /// One header, then one lifecycle a row, when all is over
    Csv,
}
