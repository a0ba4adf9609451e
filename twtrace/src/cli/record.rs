//! `twtrace record`.

use super::{FilterArgs, MetricsArgs, TracingArgs, WritingArgs, values::duration};
use clap::Args;
use std::{ffi::OsString, time::Duration};

/// The arguments of `record`.
#[derive(Args, Debug)]
#[command(mut_arg("write", |arg| arg.required(true)))]
pub struct Record {
    /// Where it goes.
    #[command(flatten)]
    pub writing: WritingArgs,
    /// End after this time, e.g. 500ms, 30s, 2m, 1h30m [default: run until SIGINT or SIGTERM]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Which connections are shown where the recording is read without filters. All of them are recorded.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Where to serve metrics on the side.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// How to trace.
    #[command(flatten)]
    pub tracing: TracingArgs,
    /// Record as long as this command runs, and exit with its status
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

pub(super) const RECORD_SHORT_HELP: &str =
    "`twtrace record --help` says what is recorded, how a recording ends, and gives examples.";

pub(super) const RECORD_LONG_HELP: &str = "\
A recording holds what was observed of the whole host: events, readings of the
socket table, owners, losses and the kernel's counters, and no conclusion.
Filters are kept beside it and apply where it is read without any.

What is there is not overwritten: a file that exists, or a numbered one of the
same name, is refused without --force.

A batch is on the disk within a second, so that a kill or a power cut costs no
more than that and leaves a file that opens. SIGINT, SIGTERM, --duration and
--max-size stop the probes, write what is left and print a summary to stderr.
A full disk ends the recording with status 1, and what was written before is
whole. --max-size counts up to the batch that reaches it. Where the disk cannot
keep up, events wait in the ring; what finds no room there is counted as lost.

With --rotate-size each file can be read alone: connections that were open at
the cut are in it as a reading of the socket table has them, with no history.
Read together, the files are one recording again.

With CMD, the connections of the whole host are recorded while it runs, not its
own alone: the other end is often somebody else's. It runs as the user that
twtrace runs as, once the probes are on; its status is handed on, 128 and the
signal's number where one ended it, 126 or 127 where it cannot be run. SIGINT
and SIGTERM are handed on to it, and twtrace ends when it has. Where the
recording ends before it does, it is left to run.

Examples:
  Until Ctrl-C:
    twtrace record -w incident.arrows
  The last 1 GB for as long as it takes:
    twtrace record -w /var/tmp/tcp.arrows --rotate-size 100M --rotate-count 10
  What a test does to its server:
    twtrace record -w test.arrows -- ./run-load-test.sh
  On another host, without a file there:
    ssh web1 sudo twtrace record -w - --duration 1m > web1.arrows
  And then, without root and anywhere:
    twtrace watch -r incident.arrows -D 5432";
