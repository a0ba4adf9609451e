//! Did the fix work: two reports side by side, made comparable by time and by number of connections.

use super::{Finding, FindingKind, Report, Severity, Value};
use crate::model::{
    Close, Comm, Side, TcpState,
    units::{duration, number},
};

/// A load this much lower may prove nothing.
const LESS_LOAD: f64 = 0.5;
/// So is a run this much shorter.
const LESS_TIME: f64 = 0.5;
/// A figure that moves by less has not moved.
const MOVED: f64 = 0.1;

/// Two reports side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What it comes to.
    pub outcome: Outcome,
    /// The same in one sentence.
    pub verdict: String,
    /// Why the two can hardly be compared, if so.
    pub doubts: Vec<String>,
    /// What became of each finding, the worst first.
    pub findings: Vec<FindingChange>,
    /// The same figures of both.
    pub figures: Vec<Compared>,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was wrong is gone, and nothing new is wrong.
    Fixed,
    /// Some of it is gone or less.
    Better,
    /// It is as it was.
    Same,
    /// It is more, or something new is wrong.
    Worse,
    /// Nothing was wrong in either.
    Healthy,
}

impl Outcome {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "worse",
            Self::Healthy => "healthy",
        }
    }
}

/// What became of a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingChange {
    /// In short.
    pub fate: Fate,
    /// As it was.
    pub before: Option<Finding>,
    /// As it is.
    pub after: Option<Finding>,
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Fate {
    New,
    Worse,
    Same,
    Better,
    Gone,
}

impl Fate {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Better => "better",
            Self::Gone => "gone",
        }
    }
}

/// The same figure of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// For scripts.
    pub name: &'static str,
    /// For a person.
    pub label: &'static str,
    /// As it was.
    pub before: Value,
    /// As it is.
    pub after: Value,
    /// By how much of what it was it has changed: -0.5 is half of it; `None` where it was 0 or is not known.
    pub change: Option<f64>,
    /// It is better now; `None` where it has not moved, or is neither good nor bad.
    pub better: Option<bool>,
}

impl Compared {
    /// As printed; nothing where it has not moved, or is neither good nor bad.
    pub fn judged(&self) -> &'static str {
        match self.better {
            Some(true) => "better",
            Some(false) => "worse",
            None => "",
        }
    }
}

impl Comparison {
    /// Of a run before and one after.
    pub fn new(before: &Report, after: &Report) -> Self {
        let findings = fates(before, after);
        let doubts = doubts(before, after);
        let outcome = outcome(&findings);
        let verdict = sentence(outcome, &findings);
        Self { outcome, verdict, doubts, findings, figures: figures(before, after) }
    }
}

/// A finding is the same when its trouble, the name of its culprit and, of several such, its place are.
fn fates(before: &Report, after: &Report) -> Vec<FindingChange> {
    let mut left: Vec<&Finding> = before.findings.iter().collect();
    let mut changes: Vec<FindingChange> = Vec::new();
    let key = |finding: &Finding| (trouble(finding.kind), comm(finding));
    for now in &after.findings {
        let same_place = left.iter().position(|was| key(was) == key(now) && was.place == now.place);
        let was =
            same_place.or_else(|| left.iter().position(|was| key(was) == key(now))).map(|place| left.remove(place));
        let fate = was.map_or(Fate::New, |was| fate(was, now));
        changes.push(FindingChange { fate, before: was.cloned(), after: Some(now.clone()) });
    }
    let gone = |was: &Finding| FindingChange { fate: Fate::Gone, before: Some(was.clone()), after: None };
    changes.extend(left.into_iter().map(gone));
    changes.sort_by_key(|change| change.after.as_ref().or(change.before.as_ref()).map(|f| (f.severity, f.kind)));
    changes
}

fn comm(finding: &Finding) -> Option<Comm> {
    finding.culprit.as_ref().map(|party| party.comm)
}

/// Ports that run out are one trouble, however far it has come; its worst kind stands for it.
fn trouble(kind: FindingKind) -> FindingKind {
    match kind {
        FindingKind::PortsRunningOut | FindingKind::TimeWaitFlood => FindingKind::PortsExhausted,
        other => other,
    }
}

/// By its severity and kind, and by its first figure where these are the same.
fn fate(was: &Finding, now: &Finding) -> Fate {
    let first = |finding: &Finding| finding.figures.first().and_then(|figure| amount(&figure.value));
    match (now.severity, now.kind).cmp(&(was.severity, was.kind)) {
        std::cmp::Ordering::Less => Fate::Worse,
        std::cmp::Ordering::Greater => Fate::Better,
        std::cmp::Ordering::Equal => match first(was).zip(first(now)) {
            Some((was, now)) if now > was * (1.0 + MOVED) => Fate::Worse,
            Some((was, now)) if now < was * (1.0 - MOVED) => Fate::Better,
            _ => Fate::Same,
        },
    }
}

fn outcome(findings: &[FindingChange]) -> Outcome {
    // What the tracer missed is no fault of the host.
    let counts = |finding: &&FindingChange| {
        let kind = finding.after.as_ref().or(finding.before.as_ref()).map(|finding| finding.kind);
        !matches!(kind, Some(FindingKind::EventsLost | FindingKind::AuditDisagrees))
    };
    let mut fates = findings.iter().filter(counts).map(|change| (severity(change), change.fate)).peekable();
    let Some(&(worst, _)) = fates.peek() else { return Outcome::Healthy };
    let all: Vec<(Severity, Fate)> = fates.collect();
    let has = |fate: Fate| all.iter().any(|(_, other)| *other == fate);
    let of_the_worst = |fate: Fate| all.iter().any(|(severity, other)| *severity == worst && *other == fate);
    if of_the_worst(Fate::New) || of_the_worst(Fate::Worse) {
        Outcome::Worse
    } else if all.iter().all(|(_, fate)| *fate == Fate::Gone) {
        Outcome::Fixed
    } else if has(Fate::Gone) || has(Fate::Better) {
        Outcome::Better
    } else if has(Fate::New) || has(Fate::Worse) {
        Outcome::Worse
    } else {
        Outcome::Same
    }
}

fn severity(change: &FindingChange) -> Severity {
    let severity = |finding: &Option<Finding>| finding.as_ref().map(|finding| finding.severity);
    severity(&change.before).into_iter().chain(severity(&change.after)).min().unwrap_or(Severity::Notice)
}

fn sentence(outcome: Outcome, findings: &[FindingChange]) -> String {
    let title = |fates: &[Fate], after: bool| {
        let change = findings.iter().find(|change| fates.contains(&change.fate));
        let finding = change.and_then(|change| if after { change.after.as_ref() } else { change.before.as_ref() });
        finding.map(|finding| finding.title.clone()).unwrap_or_default()
    };
    match outcome {
        Outcome::Healthy => "Nothing was wrong before, and nothing is now.".to_owned(),
        Outcome::Fixed => format!("Fixed. Before: {}.", title(&[Fate::Gone], false)),
        Outcome::Better => {
            let left =
                findings.iter().find(|change| change.fate != Fate::Gone).and_then(|change| change.after.as_ref());
            let left = left.map(|finding| finding.title.as_str()).unwrap_or_default();
            format!("Better, but not fixed. Still: {left}.")
        }
        Outcome::Same => format!("No change: {}.", title(&[Fate::Same], true)),
        Outcome::Worse => format!("Worse: {}.", title(&[Fate::New, Fate::Worse], true)),
    }
}

fn doubts(before: &Report, after: &Report) -> Vec<String> {
    let mut doubts = Vec::new();
    if let (Some(was), Some(now)) = (before.happened.open_rate, after.happened.open_rate)
        && now < was * LESS_LOAD
    {
        let (now, was) = (number(now), number(was));
        doubts.push(format!(
            "fewer connections were opened, {now} a second against {was}: that is the fix where they are kept alive now, and a \
             lower load where they are not."
        ));
    }
    let length = |report: &Report| report.happened.end.since(report.happened.start);
    let (was, now) = (length(before), length(after));
    if (now as f64) < was as f64 * LESS_TIME {
        doubts.push(format!("the second run is short: {} against {}.", duration(now), duration(was)));
    }
    if !after.happened.lost.is_empty() {
        doubts.push("the second run lost events.".to_owned());
    }
    doubts
}

/// Name, label, where it is found, and which way it should go.
type Row = (&'static str, &'static str, fn(&Report) -> Value, Good);

/// Each by time or by number of connections, so that two runs of different length can be held against each other.
fn figures(before: &Report, after: &Report) -> Vec<Compared> {
    let rows: [Row; 12] = [
        ("open_rate", "connections opened", |r| per_second(r.happened.open_rate), Good::Neither),
        (
            "time_waits_per_connection",
            "TIME_WAITs by connections",
            |r| share(r.time_wait.entered, r.happened.opened),
            Good::Neither,
        ),
        ("time_waits_peak", "TIME_WAITs at once", |r| Value::Count(r.time_wait.peak.count), Good::Less),
        ("port_share_peak", "ports held, part of the range", port_share, Good::Less),
        (
            "connects_without_port",
            "connects without a port",
            |r| share(closes(r, Close::NoPort), r.happened.opened),
            Good::Less,
        ),
        ("close_waits_now", "CLOSE_WAITs at the end", |r| Value::Count(r.close_wait.now), Good::Less),
        ("close_waits_growth", "CLOSE_WAIT growth", growth, Good::Less),
        ("closed_first_local", "closed first by this side", closed_here, Good::Neither),
        (
            "resets",
            "ended in a reset",
            |r| share(closes(r, Close::ResetSent) + closes(r, Close::ResetReceived), r.happened.opened),
            Good::Less,
        ),
        ("refused", "refused", |r| share(closes(r, Close::Refused), r.happened.opened), Good::Less),
        ("timed_out", "timed out", |r| share(closes(r, Close::TimedOut), r.happened.opened), Good::Less),
        ("established_p50", "ESTABLISHED for, the middle one", established, Good::Neither),
    ];
    rows.into_iter()
        .map(|(name, label, value, good)| {
            let (was, now) = (value(before), value(after));
            let numbers = amount(&was).zip(amount(&now));
            let change = numbers.filter(|(was, _)| *was != 0.0).map(|(was, now)| now / was - 1.0);
            let moved = numbers.filter(|(was, now)| (now - was).abs() > was.abs() * MOVED);
            let better = moved.filter(|_| matches!(good, Good::Less)).map(|(was, now)| now < was);
            Compared { name, label, before: was, after: now, change, better }
        })
        .collect()
}

/// Which way a figure should go.
#[derive(Clone, Copy)]
enum Good {
    Less,
    Neither,
}

fn amount(value: &Value) -> Option<f64> {
    match value {
        Value::Count(number) | Value::Nanos(number) => Some(*number as f64),
        Value::PerSecond(number) | Value::PerMinute(number) | Value::Share(number) => Some(*number),
        Value::At(_) | Value::Text(_) | Value::Unknown => None,
    }
}

fn per_second(rate: Option<f64>) -> Value {
    rate.map_or(Value::Unknown, Value::PerSecond)
}

fn share(part: u64, whole: u64) -> Value {
    if whole == 0 { Value::Unknown } else { Value::Share(part as f64 / whole as f64) }
}

fn closes(report: &Report, close: Close) -> u64 {
    report.happened.by_close.get(&Some(close)).copied().unwrap_or(0)
}

fn closed_here(report: &Report) -> Value {
    let all: u64 = report.happened.by_closed_first.values().sum();
    share(report.happened.by_closed_first.get(&Some(Side::Local)).copied().unwrap_or(0), all)
}

/// Of the destination with the largest.
fn port_share(report: &Report) -> Value {
    let shares = report.destinations.iter().filter_map(|destination| {
        let pool = destination.pool.filter(|&pool| pool > 0)?;
        Some(destination.held_peak.count as f64 / f64::from(pool))
    });
    shares.reduce(f64::max).map_or(Value::Unknown, Value::Share)
}

fn growth(report: &Report) -> Value {
    let growths: Vec<f64> = report.close_wait.holders.iter().filter_map(|holder| holder.growth_per_minute).collect();
    Value::PerMinute(growths.iter().sum())
}

fn established(report: &Report) -> Value {
    let state = report.happened.states.iter().find(|state| state.state == TcpState::Established);
    let lasted = state.and_then(|state| state.lasted);
    lasted.map_or(Value::Unknown, |lasted| Value::Nanos(lasted.p50))
}
