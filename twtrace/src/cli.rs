//! The words of the command line and what they mean.
//!
//! Parses and explains, does nothing. The manual page and the shell completions are made from the same words.

use crate::{
    model::filter::{BadWord, Family, Filter, Name, Netns, Network, Ports},
    sink::text::LEGEND,
};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::{
    io::{self, Write},
    num::NonZeroU64,
    str::FromStr,
    time::Duration,
};

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
Exit codes: 0 done, 1 it failed, 2 bad usage, 3 events were lost and --fail-on-loss was given.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show connections as they close, with the time in every state and who closed first
    #[command(after_help = WATCH_SHORT_HELP, after_long_help = watch_long_help())]
    Watch(Box<Watch>),
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

/// The arguments of `watch`.
#[derive(Args, Debug)]
pub struct Watch {
    /// How to print: rows for a person, or records for a script
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
    /// Which connections to show.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How to trace.
    #[command(flatten)]
    pub tracing: TracingArgs,
}

const WATCH_SHORT_HELP: &str = "`twtrace watch --help` explains the columns and gives examples.";

fn watch_long_help() -> String {
    format!("{LEGEND}\n\n{WATCH_EXAMPLES}")
}

const WATCH_EXAMPLES: &str = "\
SIGINT and SIGTERM stop the probes, write what is left and print the summary,
with the kernel's own counters beside what was seen. A second SIGINT ends at
once.

Examples:
  Every connection of this host as it closes:
    twtrace watch
  Who closes the connections to the databases:
    twtrace watch -D 5432,6379 --comm api
  Five minutes of a server, with the time of day:
    twtrace watch -L 8000-8999 -T --duration 5m
  Connections that the application never accepted:
    twtrace watch --format json | jq 'select(.close_wait.accepted == false)'
  Each transition of one process's connections:
    twtrace watch --exact --events -p 4242";

/// The filters, the same for every command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filters (a list is separated by commas; different filters must all match)")]
pub struct FilterArgs {
    /// Connections owned by these processes
    #[arg(short, long = "pid", value_name = "PIDS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub pids: Vec<u32>,
    /// Connections owned by processes with these names, as the kernel has them (15 bytes)
    #[arg(long = "comm", value_name = "NAMES", value_delimiter = ',')]
    pub comms: Vec<Name>,
    /// Connections owned by processes of these users, by number
    #[arg(long = "uid", value_name = "UIDS", value_delimiter = ',')]
    pub uids: Vec<u32>,
    /// Ports of this end, e.g. 80,443,8000-8999
    #[arg(short = 'L', long = "local-port", value_name = "PORTS", value_delimiter = ',')]
    pub local_ports: Vec<Ports>,
    /// Ports of the other end, e.g. 80,443,8000-8999
    #[arg(short = 'D', long = "remote-port", value_name = "PORTS", value_delimiter = ',')]
    pub remote_ports: Vec<Ports>,
    /// Addresses of this end, e.g. 10.0.0.0/8 or ::1
    #[arg(long = "local-addr", value_name = "NETWORKS", value_delimiter = ',')]
    pub local_addrs: Vec<Network>,
    /// Addresses of the other end, e.g. 10.0.0.0/8 or ::1
    #[arg(long = "remote-addr", value_name = "NETWORKS", value_delimiter = ',')]
    pub remote_addrs: Vec<Network>,
    /// IPv4 alone, v4-mapped connections of IPv6 sockets among it
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 alone
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// Network namespaces, by inode number as in `readlink /proc/PID/ns/net`
    #[arg(long, value_name = "INODES", value_delimiter = ',')]
    pub netns: Vec<Netns>,
}

impl FilterArgs {
    /// As the model takes it.
    pub fn filter(self) -> Filter {
        let Self { pids, comms, uids, local_ports, remote_ports, local_addrs, remote_addrs, ipv4, ipv6, netns } = self;
        let family = match (ipv4, ipv6) {
            (true, _) => Some(Family::Ipv4),
            (_, true) => Some(Family::Ipv6),
            (false, false) => None,
        };
        Filter { pids, comms, uids, local_ports, remote_ports, local_addrs, remote_addrs, family, netns }
    }
}

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

/// What `watch` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// What suits the output: text
    Auto,
    /// Columns for a person, a row when a connection's closing is done
    Text,
    /// One JSON object a line, a lifecycle when all is over
    Json,
    /// One header, then one lifecycle a row, when all is over
    Csv,
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

/// `500ms`, `30s`, `2m`, `1h30m`: numbers, each with its unit.
fn duration(word: &str) -> Result<Duration, BadWord> {
    let bad = || BadWord("a time is a number with its unit, ms, s, m, h or d: 30s, 2m, 1h30m".to_owned());
    let mut total = Duration::ZERO;
    let mut rest = word;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?);
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        let part = u64::from_str(number).ok().and_then(|number| number.checked_mul(millis)).ok_or_else(bad)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(bad)?;
        rest = tail;
    }
    if total.is_zero() {
        return Err(bad());
    }
    Ok(total)
}

/// The kernel takes a ring of a power of two of bytes that is whole pages, and counts it in 32 bits
/// (kernel/bpf/ringbuf.c, `ringbuf_map_alloc()`).
fn ring(word: &str) -> Result<u32, BadWord> {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
    let bad = || BadWord(format!("a ring is a power of two of bytes, from one page ({page}) up to 2G: 512K, 16M"));
    let (number, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len()));
    let bytes = match unit {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        _ => return Err(bad()),
    };
    let size = u32::from_str(number).ok().and_then(|number| number.checked_mul(bytes)).ok_or_else(bad)?;
    if size.is_power_of_two() && size.is_multiple_of(page) { Ok(size) } else { Err(bad()) }
}

/// Writes the completion script of a shell.
pub fn completions(shell: Shell, out: &mut impl Write) -> io::Result<()> {
    // Into memory first: the generator panics where its output fails, and a closed pipe is a normal end.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "twtrace", &mut script);
    out.write_all(&script)
}

/// Writes the manual page, every command on it.
pub fn man(out: &mut impl Write) -> io::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).replace(".SH EXTRA", ".SH NOTES");
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name();
        // There is no such page: the command is a section of this one.
        page = page.replace(&format!("twtrace\\-{name}(1)"), &format!("twtrace {name}"));
        page.push_str(&format!(".SH \"TWTRACE {}\"\n", name.to_uppercase()));
        page.push_str(&sections(subcommand)?);
    }
    out.write_all(page.as_bytes())
}

/// The sections of a command's own page, one level down; what stands in columns stays in columns.
fn sections(command: &clap::Command) -> io::Result<String> {
    let page = clap_mangen::Man::new(command.clone());
    let (mut sections, mut notes) = (Vec::new(), Vec::new());
    page.render_synopsis_section(&mut sections)?;
    page.render_description_section(&mut sections)?;
    page.render_options_section(&mut sections)?;
    page.render_extra_section(&mut notes)?;
    let notes = String::from_utf8_lossy(&notes).replace(".SH EXTRA", ".SH NOTES\n.nf");
    let end = if notes.is_empty() { "" } else { ".fi\n" };
    Ok(format!("{}{notes}{end}", String::from_utf8_lossy(&sections)).replace(".SH ", ".SS "))
}

#[cfg(test)]
mod tests;
