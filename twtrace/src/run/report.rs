//! `twtrace report`: what recordings mean.

use super::{
    draft::Draft,
    recordings,
    replay::{Replayed, Wanted, replay_all},
    session::Limit,
    watch::is_closed_pipe,
};
use crate::{
    cli::{self, ReportFormat},
    model::report::{Comparison, Host, Report},
    sink::{
        Clock, html,
        report::{Gatherer, diff, json, text},
    },
    trace::Header,
};
use anyhow::Context as _;
use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    path::PathBuf,
    process::ExitCode,
};

/// `twtrace report`.
///
/// # Errors
///
/// Where the recordings cannot be read or the report cannot be written, but for a closed pipe.
pub fn report(args: &cli::Report) -> anyhow::Result<ExitCode> {
    let (written, damaged) = match args.diff.as_slice() {
        [before, after] => {
            let (before, first) = gather(args, std::slice::from_ref(before))?;
            let (after, second) = gather(args, std::slice::from_ref(after))?;
            let comparison = Comparison::new(&before, &after);
            (compare(args, &comparison, [before.clock(), after.clock()]), first || second)
        }
        _ => {
            let (report, damaged) = gather(args, &args.files)?;
            (print(args, &report), damaged)
        }
    };
    match written {
        Err(error) if !is_closed_pipe(&error) => Err(error),
        _ => Ok(if damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
    }
}

/// The report of recordings as one run, and whether something in them could not be believed.
fn gather(args: &cli::Report, files: &[PathBuf]) -> anyhow::Result<(Report, bool)> {
    let recordings = recordings::open(files)?;
    let hosts = recordings.iter().map(|recorded| host(&recorded.header)).collect();
    let (gatherer, report) = Gatherer::new(hosts);
    let wanted = Wanted { files, filter: &args.filter, all: args.all, transitions: false };
    let Replayed { damaged, .. } = replay_all(recordings, &wanted, vec![Box::new(gatherer)], Limit::default())?;
    let report = report.get().cloned().context("the replay did not come to its end")?;
    Ok((report, damaged))
}

pub(super) fn host(header: &Header) -> Host {
    Host {
        name: Some(header.host.clone()),
        boot: Some(header.boot.clone().unwrap_or_else(|| header.host.clone())),
        kernel: Some(header.attached.kernel.clone()),
        netns: Some(header.own_netns),
        sysctls: header.sysctls.clone(),
        precision: Some(header.attached.precision),
        clock: Some(header.attached.clock),
    }
}

fn print(args: &cli::Report, report: &Report) -> anyhow::Result<()> {
    with_output(args, |out, colour| match args.format {
        ReportFormat::Text => text::write(out, report, colour),
        ReportFormat::Json => json::write(out, report),
        ReportFormat::Html => {
            // A recording has a clock.
            let clock = report.clock().unwrap_or(Clock { realtime: 0, boottime: 0 });
            out.write_all(html::page(report, clock).as_bytes())
        }
    })
}

fn compare(args: &cli::Report, comparison: &Comparison, clocks: [Option<Clock>; 2]) -> anyhow::Result<()> {
    with_output(args, |out, colour| match args.format {
        ReportFormat::Text => diff::write_text(out, comparison, colour),
        ReportFormat::Json => diff::write_json(out, comparison, clocks),
        ReportFormat::Html => out.write_all(html::comparison(comparison).as_bytes()),
    })
}

/// Writes to where it was asked for; in colour on a terminal, unless NO_COLOR says otherwise.
fn with_output(args: &cli::Report, write: impl Fn(&mut dyn Write, bool) -> io::Result<()>) -> anyhow::Result<()> {
    let Some(path) = &args.output else {
        let out = io::stdout();
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut out = BufWriter::new(out.lock());
        write(&mut out, colour)?;
        return Ok(out.flush()?);
    };
    let draft = Draft::new(path, false)?;
    let mut out = BufWriter::new(draft.pen()?);
    write(&mut out, false).and_then(|()| out.flush())?;
    draft.keep()
}
