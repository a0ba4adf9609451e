//! What is said beside the rows, on stderr: that the probes are on, what was lost, what the run came to.

use super::{
    Attached,
    format::{one_line, wall},
};
use crate::model::{Close, LossPlace, Side, join::Origin, observation::Lost, summary::Summary};
use std::{
    collections::BTreeMap,
    io::{self, Write},
};

/// One line for what is on, or was on in a recording, and one for each probe that is not.
pub(super) fn attached(out: &mut impl Write, attached: &Attached, origin: Option<&Origin>) -> io::Result<()> {
    let on = attached.probes.iter().filter(|probe| probe.off.is_none()).count();
    let begin = match origin {
        None => format!("twtrace {} attached:", env!("CARGO_PKG_VERSION")),
        Some(Origin { host, version, .. }) => {
            let began = wall(attached.at, attached.clock);
            format!("recorded on {} from {began} by twtrace {}:", one_line(host), one_line(version))
        }
    };
    writeln!(
        out,
        "{begin} kernel {}, {on} of {} probes on, TIME_WAIT precision {}",
        one_line(&attached.kernel),
        attached.probes.len(),
        attached.precision.name(),
    )?;
    for probe in &attached.probes {
        if let Some(reason) = &probe.off {
            writeln!(out, "  off: {}: {}", probe.name, one_line(reason))?;
        }
    }
    out.flush()
}

/// As soon as it is known.
pub(super) fn lost(out: &mut impl Write, lost: &Lost) -> io::Result<()> {
    let remedy = match lost.place {
        LossPlace::Ring => "the ring was full; a larger --ring holds more",
        LossPlace::Recursion => "the kernel skipped a program that was running on that CPU already",
        LossPlace::Decode => "records that make no sense; please report this",
        LossPlace::Recording => "the recording is damaged there",
    };
    writeln!(out, "twtrace: {} events lost ({}): {remedy}", lost.count, lost.place.name())?;
    out.flush()
}

/// At the end.
pub(super) fn summary(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    let lost = match summary.total_lost() {
        0 => String::new(),
        _ => format!(" ({})", counts(summary.lost.iter().map(|(place, &count)| (place.name(), count)))),
    };
    writeln!(out, "events        {} received, {} lost{lost}", summary.events, summary.total_lost())?;
    writeln!(out, "how it ended  {}", known_first(&summary.by_close, Close::name))?;
    writeln!(out, "closed first  {}", known_first(&summary.by_closed_first, Side::name))?;
    audit(out, summary)?;
    out.flush()
}

fn audit(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    if summary.audit.is_empty() {
        return Ok(());
    }
    writeln!(out, "{:<24} {:>12} {:>12}  the kernel's counters against what was seen", "audit", "kernel", "seen")?;
    for line in &summary.audit {
        let verdict = match (line.agrees(), line.slack) {
            (true, _) if line.kernel == line.seen => "agree".to_owned(),
            (true, slack) => format!("agree (to {slack}, counted while the counter was read)"),
            (false, _) => "NOT".to_owned(),
        };
        writeln!(out, "  {:<22} {:>12} {:>12}  {verdict}", line.counter, line.kernel, line.seen)?;
    }
    Ok(())
}

fn known_first<T: Copy + Ord>(by: &BTreeMap<Option<T>, u64>, name: fn(T) -> &'static str) -> String {
    let known = by.iter().filter_map(|(&key, &count)| Some((name(key?), count)));
    let unknown = by.get(&None).map(|&count| ("unknown", count));
    if by.is_empty() { "no connection".to_owned() } else { counts(known.chain(unknown)) }
}

fn counts(counts: impl Iterator<Item = (&'static str, u64)>) -> String {
    counts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
