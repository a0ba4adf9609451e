//! `twtrace expect`.

use super::{FilterArgs, TracingArgs, WritingArgs, values::duration};
use clap::Args;
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// The arguments of `expect`.
#[derive(Args, Debug)]
pub struct Expect {
    /// What is expected, in TOML; - for stdin
    #[arg(value_name = "SPEC")]
    pub spec: PathBuf,
    /// Judge recordings, several as one in order of time; - for stdin
    #[arg(
        short, long, value_name = "FILE", num_args = 1..,
        conflicts_with_all = ["command", "duration", "settle", "write", "exact", "tier", "ring"],
    )]
    pub read: Vec<PathBuf>,
    /// Name so many connections in each result that fails
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub show: usize,
    /// Go on so long after the command has ended, for closes that are under way; TIME_WAIT lasts a minute
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s", requires = "command")]
    pub settle: Duration,
    /// Without a command: end after this time [default: run until SIGINT or SIGTERM]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "command")]
    pub duration: Option<Duration>,
    /// Where to record on the side.
    #[command(flatten)]
    pub writing: WritingArgs,
    /// Which connections everything in SPEC is about.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Judge all that was recorded, though it was recorded with filters
    #[arg(long, requires = "read")]
    pub all: bool,
    /// How to trace.
    #[command(flatten)]
    pub tracing: TracingArgs,
    /// Judge the connections of this host while this command runs
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

pub(super) const EXPECT_SHORT_HELP: &str =
    "`twtrace expect --help` explains what can be expected, how it is judged, and gives examples.";

pub(super) const EXPECT_LONG_HELP: &str = "\
SPEC is TOML, a test for each [[expect]]:

  where = \"-L 8080\"                   # of all tests; keys of the top come first
  when  = { preexisting = false }

  [[expect]]
  name  = \"the client closes first\"
  every = { closed_first = \"remote\", close = \"fin\" }

  [[expect]]
  name  = \"nothing leaks\"
  none  = { states = \"* > CLOSE_WAIT\", ended = \"null\" }

Keys of a test; where, when and unknown stand at the top too, for all:
  name     What the result is called.
  where    Which connections, by the filters of the command line.
  when     Which connections, by their fields.
  count    How many there are: 3, \"> 3\", \"1..3\" with both ends in it, \"1..\".
  every    What holds for each of them.
  some     What holds for at least one.
  none     What holds for none. every, some and none may be lists of such.
  unknown  \"fail\", or \"skip\": leaves out those of which it cannot be told.
And at the top alone:
  lost     How many events may be missing, or \"any\" [default: 0].
  status   With which status the command may end, or \"any\" [default: 0].

Fields are those of `watch --format json`: close_wait.duration_ns, owner.comm;
states.FIN_WAIT2.duration_ns is that of one state. What they are to be:
  \"fin\", 80, true             just that; \"!= fin\" anything but that
  [\"fin\", \"refused\"]          one of them
  \"null\", \"not null\"          whether there is one; \"= null\" is the text
  \"< 1s\", \"60s..62s\"          a time, in ns, us, ms, s, m, h or d
  \"> 3\", \"1..3\", \">= 64kB\"    a number or a size
  \"10.0.0.0/8\"               an address
  \"SYN_SENT > ESTABLISHED > *\" a course of states, * being any number of them

A run is judged as it was when it ended: what had not happened by then has not
happened, and a time that still runs is at least so long. What cannot be told
fails the test, as an unknown owner or missing events do; so does a test that
is about no connection at all, unless its count allows for 0.

With CMD, the connections of the whole host are judged, those that were open
before among them: where, when and the filters say which are meant. CMD's
stdout goes to stderr, for the results have stdout. SIGINT and SIGTERM are
handed on to it; afterwards they end --settle. Without CMD and -r they end the
run. -w keeps what was observed, and the filters: the same SPEC with -r gives
the same results, but for the status of the command.

Examples:
  A test suite that is to leave nothing in CLOSE_WAIT:
    twtrace expect leaks.toml -- ./run-tests.sh
  TIME_WAIT to its end, with what was observed kept if it fails:
    twtrace expect tw.toml --settle 65s -w tw.arrows -- ./selftest
  One network namespace:
    twtrace expect spec.toml --netns $(stat -Lc %i /run/netns/a) -- ./test.sh
  A recording, without root:
    twtrace expect spec.toml -r tw.arrows";
