//! `twtrace export`.

use super::{Cli, FilterArgs};
use clap::{Args, CommandFactory as _, ValueEnum, error::ErrorKind};
use std::path::PathBuf;

/// The arguments of `export`.
#[derive(Args, Debug)]
pub struct Export {
    /// Recordings, several as one in order of time; - for stdin
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Where to write; - for stdout. What is there is replaced once the new is whole
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// What to write [default: what OUT ends in: .parquet, .csv, .jsonl or .pftrace]
    #[arg(long, value_enum)]
    pub to: Option<ExportFormat>,
    /// Write each transition too, not the connections alone; parquet has them in a second file, OUT.transitions.parquet
    #[arg(long)]
    pub events: bool,
    /// Which connections to write.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Write all that was recorded, though it was recorded with filters
    #[arg(long)]
    pub all: bool,
}

/// What `export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A table with typed, nested columns, for DuckDB, pandas, Polars or Spark
    Parquet,
    /// What `watch --format csv` prints
    Csv,
    /// What `watch --format json` prints
    Jsonl,
    /// A trace for ui.perfetto.dev: processes, their connections, the states of each
    Perfetto,
}

impl Export {
    /// What to write.
    ///
    /// # Errors
    ///
    /// Of usage, where that cannot be told, or does not go with the rest.
    pub fn format(&self) -> Result<ExportFormat, clap::Error> {
        let bad = |kind, words: &str| Cli::command().error(kind, words);
        let Some(format) = self.to.or_else(|| self.by_name()) else {
            let words =
                "cannot tell from OUT's name what to write: end it in .parquet, .csv, .jsonl or .pftrace, or give --to";
            return Err(bad(ErrorKind::MissingRequiredArgument, words));
        };
        match format {
            ExportFormat::Perfetto if self.events => {
                let words = "--events does not go with perfetto, which has every transition: leave it out";
                Err(bad(ErrorKind::ArgumentConflict, words))
            }
            ExportFormat::Parquet if self.events && self.output.as_os_str() == "-" => {
                let words = "--events makes two files of parquet, and stdout is one: give OUT a name";
                Err(bad(ErrorKind::ArgumentConflict, words))
            }
            format => Ok(format),
        }
    }

    fn by_name(&self) -> Option<ExportFormat> {
        match self.output.extension()?.to_str()? {
            "parquet" => Some(ExportFormat::Parquet),
            "csv" => Some(ExportFormat::Csv),
            "jsonl" | "ndjson" => Some(ExportFormat::Jsonl),
            "pftrace" | "perfetto-trace" => Some(ExportFormat::Perfetto),
            _ => None,
        }
    }
}

pub(super) const EXPORT_SHORT_HELP: &str = "`twtrace export --help` explains the formats and gives examples.";

pub(super) const EXPORT_LONG_HELP: &str = "\
Formats:
  jsonl     The records of `watch --format json`.
  csv       The rows of `watch --format csv`.
  parquet   The same records as typed columns, one row a connection: times are
            UTC to the nanosecond, durations whole nanoseconds (`_ns`), states a
            list, what is not known null. The file's metadata has the rest as
            JSON: twtrace.attached, and twtrace.summary with losses and audit.
            Spark reads such times as numbers, once told to:
            spark.sql.legacy.parquet.nanosAsLong=true.
  perfetto  A protobuf trace. Each process has a lane for each place that its
            connections go to or come in at; in it a slice is a connection, and
            the slices in that are its states. Counters show how many
            connections were in each state.

OUT is written under another name beside it, and takes its own only when it is
whole: a full disk or an interrupt leaves what was there before. Like the
recording it can be read by its owner alone.

Examples:
  How long CLOSE_WAIT lasts, by process:
    twtrace export incident.arrows -o incident.parquet
    duckdb -c \"select owner.comm, max(close_wait.duration_ns) / 1e9
      from 'incident.parquet' group by 1 order by 2 desc nulls last\"
  A timeline for ui.perfetto.dev, of one process alone:
    twtrace export incident.arrows -o incident.pftrace --comm nginx
  Resets and what the kernel says of them:
    twtrace export incident.arrows --to jsonl -o - |
      jq 'select(.close == \"reset_sent\") | [.connection, .close_reason]'";
