//! What is wrong in a report, in plain words, and what to do: each from figures of the report alone.
//!
//! A finding has to be called for: the limits stand here, each with its reason, and a healthy run gives none.

mod advice;
mod ends;
mod ports;
mod trust;
mod waits;
mod words;

use super::{Figure, Finding, Report, Value};

/// Findings of one kind; the tables have the rest.
const OF_A_KIND: usize = 5;

/// Fills in the findings and the advice.
pub(super) fn judge(report: &mut Report) {
    let mut findings = Vec::new();
    for mut kind in [
        ports::exhausted(report),
        ports::running_out(report),
        ports::overflow(report),
        ports::flood(report),
        ports::server_closes_first(report),
        waits::not_accepted(report),
        waits::not_closed(report),
        waits::fin_wait2(report),
        waits::last_ack(report),
        waits::syn_recv(report),
        ends::unanswered(report),
        ends::refused(report),
        ends::resets(report),
        ends::idle(report),
        trust::lost(report),
        trust::audit(report),
    ] {
        kind.truncate(OF_A_KIND);
        findings.extend(kind);
    }
    // Each kind has its worst first, and the sort keeps that.
    findings.sort_by_key(|finding: &Finding| (finding.severity, finding.kind));
    report.advice = advice::advice(report, &findings);
    report.findings = findings;
}

fn figure(name: &'static str, label: &'static str, value: Value, basis: &'static str) -> Figure {
    Figure { name, label, value, basis }
}

fn or_unknown<T>(value: Option<T>, kind: impl Fn(T) -> Value) -> Value {
    value.map_or(Value::Unknown, kind)
}

/// Where figures come from.
mod basis {
    pub(super) const EVENTS: &str = "state changes seen";
    pub(super) const SERIES: &str = "state changes seen, counted at the steps of the series";
    pub(super) const SYSCTL: &str = "sysctls of this network namespace";
    pub(super) const PROC: &str = "/proc, as read last";
    pub(super) const COUNTERS: &str = "the kernel's own counters";
    pub(super) const ARITHMETIC: &str = "the pool divided by the time that a connection holds its port";
    pub(super) const FORECAST: &str = "if things go on as in the last seconds";
}
