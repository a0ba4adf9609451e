//! `twtrace doctor`: asks the kernel ([`facts`]), makes a report of it ([`report`]), prints it.

mod facts;
mod report;
mod sysctls;
#[cfg(test)]
mod tests;

use crate::{cli, sink};
use anyhow::Context as _;
use std::{io, process::ExitCode};

/// `twtrace doctor`: fails where `watch` would.
///
/// # Errors
///
/// Where the output fails for another reason than a closed pipe.
pub fn doctor(args: &cli::Doctor) -> anyhow::Result<ExitCode> {
    let report = report::report(&facts::ask()?);
    let mut out = io::stdout().lock();
    let printed = match args.format {
        cli::DoctorFormat::Text => sink::doctor::text(&mut out, &report),
        cli::DoctorFormat::Json => sink::doctor::json(&mut out, &report),
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write the report to stdout");
        }
        _ => {}
    }
    Ok(if report.watch.runs { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
