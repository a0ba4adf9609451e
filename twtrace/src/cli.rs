//! The words of the command line and what they mean.
//!
//! Parses and explains, does nothing. The manual page and the shell completions are made from the same words.

mod expect;
mod export;
mod filter;
mod metrics;
mod pages;
mod record;
mod report;
mod states;
mod tracing;
mod values;
mod watch;
mod writing;

pub use expect::Expect;
pub use export::{Export, ExportFormat};
pub use filter::FilterArgs;
pub use metrics::MetricsArgs;
pub use pages::{completions, man};
pub use record::Record;
pub use report::{Report, ReportFormat};
pub use states::{States, StatesFormat};
pub use tracing::{Tier, TracingArgs};
pub use watch::{Format, Watch};
pub use writing::WritingArgs;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use expect::{EXPECT_LONG_HELP, EXPECT_SHORT_HELP};
use export::{EXPORT_LONG_HELP, EXPORT_SHORT_HELP};
use record::{RECORD_LONG_HELP, RECORD_SHORT_HELP};
use report::REPORT_HELP;
use states::{STATES_LONG_HELP, STATES_SHORT_HELP};
use watch::{WATCH_SHORT_HELP, watch_long_help};

/// Tells the true life of every TCP connection of this host, from the kernel's own events: the time in each
/// state, TIME_WAIT and CLOSE_WAIT above all, and who closed first.
#[derive(Debug, Parser)]
#[command(name = "twtrace", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 it failed, 2 bad usage, 3 events were lost and --fail-on-loss was given; \
`expect` exits with 1 when an assertion fails, `record -- CMD` with CMD's.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show connections and how they close, with the time in every state and who closed first
    #[command(after_help = WATCH_SHORT_HELP, after_long_help = watch_long_help())]
    Watch(Box<Watch>),
    /// Record what happens to every connection, for somebody to read later, elsewhere and without root
    #[command(after_help = RECORD_SHORT_HELP, after_long_help = RECORD_LONG_HELP)]
    Record(Box<Record>),
    /// Say what recordings mean: what is wrong, who does it and what to do, then the tables
    #[command(after_help = REPORT_HELP)]
    Report(Box<Report>),
    /// Count the sockets of this host now: by state, process and destination, with the ages of CLOSE_WAIT and
    /// the time left of TIME_WAIT
    #[command(after_help = STATES_SHORT_HELP, after_long_help = STATES_LONG_HELP)]
    States(Box<States>),
    /// Write recorded connections to a file that other tools open: Parquet, CSV, JSON lines, Perfetto
    #[command(after_help = EXPORT_SHORT_HELP, after_long_help = EXPORT_LONG_HELP)]
    Export(Box<Export>),
    /// Check what is expected of connections, in a recording or while a command runs: results as KTAP, status 1 where
    /// one fails
    #[command(after_help = EXPECT_SHORT_HELP, after_long_help = EXPECT_LONG_HELP)]
    Expect(Box<Expect>),
    /// Say what this kernel and these privileges allow to be traced, and what to change
    Doctor(Doctor),
    /// Print a completion script for a shell to stdout
    #[command(after_help = "Example: twtrace completions bash > /etc/bash_completion.d/twtrace")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page to stdout
    #[command(after_help = "Example: twtrace man > /usr/local/share/man/man1/twtrace.1")]
    Man,
}

/// The arguments of `doctor`.
#[derive(Args, Debug)]
pub struct Doctor {
    /// How to print
    #[arg(long, value_enum, default_value_t = DoctorFormat::Text)]
    pub format: DoctorFormat,
}

/// What `doctor` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DoctorFormat {
    /// For a person
    Text,
    /// One JSON object
    Json,
}

#[cfg(test)]
mod tests;
