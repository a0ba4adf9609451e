//! `twtrace states`.

use super::{FilterArgs, values::duration};
use clap::{Args, ValueEnum};
use std::{num::NonZeroU64, time::Duration};

/// The arguments of `states`.
#[derive(Args, Debug)]
pub struct States {
    /// How to print
    #[arg(long, value_enum, default_value_t = StatesFormat::Text)]
    pub format: StatesFormat,
    /// Read again and again: in place on a terminal, one below the other elsewhere
    #[arg(short, long, value_name = "INTERVAL", value_parser = duration, num_args = 0..=1, default_missing_value = "2s")]
    pub watch: Option<Duration>,
    /// End after this time, e.g. 500ms, 30s, 2m, 1h30m [default: run until SIGINT or SIGTERM]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "watch")]
    pub duration: Option<Duration>,
    /// End after this many readings
    #[arg(long, value_name = "N", requires = "watch")]
    pub count: Option<NonZeroU64>,
    /// Rows of each table (text)
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub top: usize,
    /// Show each socket too, with the time that a TIME_WAIT has left and since when it is there
    #[arg(long)]
    pub sockets: bool,
    /// Do not look who holds the sockets, which costs as many steps as processes have descriptors
    #[arg(long)]
    pub no_processes: bool,
    /// Which sockets to count.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What `states` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatesFormat {
    /// Tables for a person
    Text,
    /// One JSON object a reading
    Json,
}

pub(super) const STATES_SHORT_HELP: &str = "`twtrace states --help` explains the columns and gives examples.";

pub(super) const STATES_LONG_HELP: &str = "\
Needs no root for the sockets of its own network namespace; what could not be
seen is said at the end.

PORTS       local ports held toward one address and port from one address, of
            those that connect() chooses from (ip_local_port_range less
            ip_local_reserved_ports): when OF of them are held, connect()
            fails with EADDRNOTAVAIL, unless it may reuse one in TIME_WAIT
NEXT FREE   the least that a TIME_WAIT has left; LAST FREE the most. A
            TIME_WAIT is 60 s long; the kernel's timer may add some 2 s
FOR AT LEAST  time since the peer's last ACK came in: its FIN was that or
            earlier. AT MOST: time since its last data, or the handshake
never accepted  the connection is still in the listener's accept queue, so no
            process has it yet
WAITING     connections in that queue; one more than BACKLOG fit

Which end is the service is told by the listeners there are, else by the port
range. A filter by process leaves out what no process holds: TIME_WAIT above
all. --cgroup and --comm look at the oldest process that holds a socket.

Examples:
  What there is:
    twtrace states
  Will ports run out toward the database, every two seconds:
    twtrace states --watch -D 5432
  Who leaks CLOSE_WAIT:
    twtrace states --format json | jq '.close_waits[] | {process, at_least_ns}'
  Each TIME_WAIT toward one address:
    twtrace states --sockets --remote-addr 10.0.0.7 --no-processes";
