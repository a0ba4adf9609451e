//! How far the figures can be trusted.

use super::{
    super::{AdviceKind, Finding, FindingKind, Report, Severity, Value},
    basis, figure,
    words::many,
};
use crate::model::{
    LossPlace,
    units::{count, percent},
};

/// A loss that moves a figure's second digit.
const MUCH: f64 = 0.01;

pub(super) fn lost(report: &Report) -> Vec<Finding> {
    let happened = &report.happened;
    let lost: u64 = happened.lost.values().sum();
    if lost == 0 {
        return Vec::new();
    }
    let share = lost as f64 / (lost + happened.events) as f64;
    let places: Vec<_> =
        happened.lost.iter().map(|(place, number)| format!("{} in the {}", count(*number), place.name())).collect();
    let in_ring = happened.lost.contains_key(&LossPlace::Ring);
    vec![Finding {
        kind: FindingKind::EventsLost,
        severity: if share >= MUCH { Severity::Warning } else { Severity::Notice },
        culprit: None,
        place: None,
        title: format!(
            "{} lost, {} of all: the figures are too low by about as much",
            many(lost, "event"),
            percent(share)
        ),
        mechanism: format!(
            "Lost: {}. {} may have lost something and are marked as not complete.",
            places.join(", "),
            many(happened.damaged, "connection")
        ),
        cure: if in_ring { "Give the next run a bigger ring." } else { "Take the figures as lower bounds." }.to_owned(),
        figures: vec![
            figure("events_lost", "events lost", Value::Count(lost), "counted where they were lost"),
            figure("lost_share", "part of all", Value::Share(share), basis::EVENTS),
        ],
        advice: if in_ring { vec![AdviceKind::BiggerRing] } else { Vec::new() },
    }]
}

/// Where nothing was lost, the kernel's counters and what was seen must agree.
pub(super) fn audit(report: &Report) -> Vec<Finding> {
    let happened = &report.happened;
    let wrong: Vec<_> = happened.audit.iter().filter(|line| !line.agrees()).collect();
    if wrong.is_empty() || !happened.lost.is_empty() {
        return Vec::new();
    }
    let said: Vec<_> = wrong
        .iter()
        .map(|line| format!("{}: {} against {}", line.counter, count(line.kernel), count(line.seen)))
        .collect();
    vec![Finding {
        kind: FindingKind::AuditDisagrees,
        severity: Severity::Notice,
        culprit: None,
        place: None,
        title: format!("The kernel counted otherwise: {}", said.join("; ")),
        mechanism:
            "The kernel's own counters went up by another number than was seen, though no event is known to be lost."
                .to_owned(),
        cure: "Take the figures with care, and report it with the recording.".to_owned(),
        figures: wrong
            .iter()
            .map(|line| figure("kernel_counted", line.counter, Value::Count(line.kernel), basis::COUNTERS))
            .collect(),
        advice: Vec::new(),
    }]
}
