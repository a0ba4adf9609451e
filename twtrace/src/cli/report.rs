//! `twtrace report`.

use super::FilterArgs;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments of `report`.
#[derive(Args, Debug)]
pub struct Report {
    /// Recordings, several as one in order of time; - for stdin
    #[arg(value_name = "FILE", required_unless_present = "diff", conflicts_with = "diff")]
    pub files: Vec<PathBuf>,
    /// Say whether a fix worked: two recordings side by side, the same figures of both
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"])]
    pub diff: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
    /// Write it here instead of to stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Report all connections, though the recording was made with filters
    #[arg(long)]
    pub all: bool,
    /// Which connections to report on.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What `report` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For a person: what is wrong, what to do, and the tables
    Text,
    /// One JSON object
    Json,
    /// One page with charts, whole in itself
    Html,
}

pub(super) const REPORT_HELP: &str = "\
Findings come first, the worst on top, each with the figures behind it, how it
comes about and what to do. Nothing is advised that the recording does not call
for; where nothing is wrong, that is what it says.

Examples:
  What happened:
    twtrace report incident.arrows
  The same as one page to hand on:
    twtrace report incident.arrows --format html -o incident.html
  Both ends of the connections, each from its own host:
    twtrace report web1.arrows db1.arrows
  One destination alone:
    twtrace report incident.arrows -D 5432
  Whether the fix worked:
    twtrace report --diff before.arrows after.arrows
  The same as a page:
    twtrace report --diff before.arrows after.arrows --format html -o fix.html";
