//! The report as text: what is wrong and what to do first, the tables behind it.

use super::{
    block::{hanging, paragraph},
    tables,
};
use crate::{
    model::{
        Ktime,
        attached::Clock,
        report::{Advice, Finding, Happened, Report, Severity, Stance, Value},
        units::{count, number, percent},
    },
    sink::format::{date_and_time, duration, one_line},
};
use std::io::{self, Write};

/// The longest line of a paragraph.
pub(super) const WIDTH: usize = 100;
const LABEL: usize = 9;

/// Writes it. Nothing of a process or a host steers the terminal; `colour` is for one that shows it.
pub fn write(out: &mut (impl Write + ?Sized), report: &Report, colour: bool) -> io::Result<()> {
    let paint = Paint(colour);
    write!(out, "{}", headline(report))?;
    findings(out, report, paint)?;
    advice(out, &report.advice, paint)?;
    tables::write(out, report, paint)
}

/// Emphasis, where it can be shown.
#[derive(Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    pub(super) fn heading(self, text: &str) -> String {
        self.with("1", text)
    }

    fn severity(self, severity: Severity) -> String {
        let colour = match severity {
            Severity::Critical => "1;31",
            Severity::Warning => "1;33",
            Severity::Notice => "1;36",
        };
        self.with(colour, &severity.name().to_uppercase())
    }

    pub(super) fn with(self, colour: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Which hosts, when and for how long.
fn headline(report: &Report) -> String {
    let mut text = String::new();
    for host in &report.hosts {
        let name = host.name.as_deref().map_or("an unknown host".to_owned(), one_line);
        let kernel = host.kernel.as_deref().map(|kernel| format!(", Linux {}", one_line(kernel))).unwrap_or_default();
        let precision = host.precision.map(|precision| format!(", TIME_WAIT by {}", precision.name()));
        text.push_str(&format!("Host {name}{kernel}{}\n", precision.unwrap_or_default()));
    }
    let Happened { start, end, opened, opened_outbound, opened_inbound, preexisting, open, .. } = report.happened;
    let length = duration(end.since(start));
    match report.clock() {
        Some(clock) => {
            let (from, to) = (date_and_time(start, clock), date_and_time(end, clock));
            text.push_str(&format!("{from} to {to} UTC, {length}\n"));
        }
        None => text.push_str(&format!("{length}\n")),
    }
    text.push_str(&format!(
        "{} connections opened ({} out, {} in), {} were there before, {} are still open\n",
        count(opened),
        count(opened_outbound),
        count(opened_inbound),
        count(preexisting),
        count(open)
    ));
    text
}

fn findings(out: &mut (impl Write + ?Sized), report: &Report, paint: Paint) -> io::Result<()> {
    writeln!(out, "\n{}", paint.heading("FINDINGS"))?;
    if report.findings.is_empty() {
        let nothing = match report.happened.is_nothing() {
            true => "Nothing was observed, and so nothing can be said.",
            false => "Nothing to do: no limit is near, nothing piles up, nothing fails.",
        };
        return writeln!(out, "  {nothing}");
    }
    let moments = Moments { start: report.happened.start, clock: report.clock() };
    for (index, finding) in report.findings.iter().enumerate() {
        let number = format!("{:>2}. ", index + 1);
        let indent = number.len();
        writeln!(out, "{number}{} {}", paint.severity(finding.severity), finding.kind.slug())?;
        write!(out, "{}", paragraph(&finding.title, indent, WIDTH))?;
        write!(out, "{}", hanging("    Why", &finding.mechanism, indent + LABEL, WIDTH))?;
        write!(out, "{}", hanging("    Cure", &finding.cure, indent + LABEL, WIDTH))?;
        write!(out, "{}", hanging("    Figures", &figures(finding, moments), indent + LABEL, WIDTH))?;
    }
    Ok(())
}

fn figures(finding: &Finding, moments: Moments) -> String {
    let shown = finding.figures.iter().filter(|figure| figure.value != Value::Unknown);
    let shown: Vec<String> =
        shown.map(|figure| format!("{} {}", figure.label, value(&figure.value, moments))).collect();
    format!("{}.", shown.join("; "))
}

/// What moments are told by: the wall clock where it is known, else the beginning of the run.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    start: Ktime,
    clock: Option<Clock>,
}

/// A value with its unit.
pub(super) fn value(value: &Value, moments: Moments) -> String {
    match value {
        Value::Count(number) => count(*number),
        Value::Nanos(nanos) => duration(*nanos),
        Value::PerSecond(rate) => format!("{}/s", number(*rate)),
        Value::PerMinute(rate) => format!("{}/min", number(*rate)),
        Value::Share(share) => percent(*share),
        Value::At(at) => match moments.clock {
            Some(clock) => format!("at {}", date_and_time(*at, clock)),
            None => format!("after {}", duration(at.since(moments.start))),
        },
        Value::Text(text) => one_line(text),
        Value::Unknown => "-".to_owned(),
    }
}

fn advice(out: &mut (impl Write + ?Sized), advice: &[Advice], paint: Paint) -> io::Result<()> {
    if advice.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.heading("ADVICE"))?;
    for advice in advice {
        let stance = match advice.stance {
            Stance::Do => "Do",
            Stance::Consider => "Consider",
            Stance::Avoid => "Avoid",
        };
        write!(out, "{}", hanging(&format!("  {stance}"), &advice.act, 4 + LABEL, WIDTH))?;
        write!(out, "{}", hanging("    Why", &advice.reason, 4 + LABEL, WIDTH))?;
        write!(out, "{}", hanging("    Risk", &advice.risk, 4 + LABEL, WIDTH))?;
        if let Some(command) = &advice.command {
            writeln!(out, "{:width$}{command}", "    Command", width = 4 + LABEL)?;
        }
    }
    Ok(())
}
