//! What is wrong and what to do, each on a card.

use super::words;
use crate::{
    model::report::{Advice, Figure, Finding, Report, Stance, Value},
    sink::Clock,
};
use maud::{Markup, html};

/// The worst first.
pub(super) fn findings(report: &Report, clock: Clock) -> Markup {
    html! {
        h2 { "What is wrong" }
        @for finding in &report.findings { (self::finding(finding, clock)) }
        @if report.happened.is_nothing() && report.findings.is_empty() {
            article { h3 { "Nothing was observed, and so nothing can be said" } }
        } @else if report.findings.is_empty() {
            article.good {
                h3 { "Nothing that this run shows" }
                p { (words::counted(report.happened.opened, "connection")) " began, and none of what is looked for was found: ports that run out, sockets that nobody closes or accepts, peers that do not answer, resets." }
            }
        }
    }
}

fn finding(finding: &Finding, clock: Clock) -> Markup {
    let severity = finding.severity.name();
    html! {
        article class=(severity) id=(finding.kind.slug()) {
            h3 { span class={ "badge " (severity) } { (severity) } (finding.title) }
            @if finding.culprit.is_some() || finding.place.is_some() {
                p.soft {
                    @if let Some(culprit) = &finding.culprit { (words::party(Some(culprit))) " " }
                    @if finding.place.is_some() { (words::place(finding.place)) }
                }
            }
            p { b { "How it comes about. " } (finding.mechanism) }
            p { b { "What to do. " } (finding.cure) }
            @if !finding.advice.is_empty() {
                p.soft { "See " (links("#advice-", finding.advice.iter().map(|kind| kind.slug()))) }
            }
            (figures(&finding.figures, clock))
        }
    }
}

/// Those that are known, and then what is not.
fn figures(figures: &[Figure], clock: Clock) -> Markup {
    let (unknown, known): (Vec<_>, Vec<_>) = figures.iter().partition(|figure| figure.value == Value::Unknown);
    let unknown: Vec<&str> = unknown.into_iter().map(|figure| figure.label).collect();
    html! {
        @if !known.is_empty() {
            dl.figures {
                @for figure in known {
                    div { dt { (figure.label) } dd { (words::value(&figure.value, clock)) small { (figure.basis) } } }
                }
            }
        }
        @if !unknown.is_empty() { p.soft { "Not known: " (unknown.join(", ")) "." } }
    }
}

/// What to do first.
pub(super) fn advice(report: &Report) -> Markup {
    html! {
        @if !report.advice.is_empty() {
            h2 { "What to do" }
            @for advice in &report.advice { (card(advice)) }
        }
    }
}

/// What should be done is open; the rest is opened by whoever wants to know why. A link to the text inside opens it too.
fn card(advice: &Advice) -> Markup {
    let stance = advice.stance.name();
    html! {
        details.card.(stance) open[advice.stance == Stance::Do] {
            summary { span class={ "badge " (stance) } { (stance) } b { (advice.act) } }
            div id={ "advice-" (advice.kind.slug()) } {
                p { (advice.reason) }
                @if !advice.risk.is_empty() { p { b { "Risk. " } (advice.risk) } }
                @if let Some(command) = &advice.command { pre { (command) } }
                @if !advice.because.is_empty() {
                    p.soft { "For " (links("#", advice.because.iter().map(|kind| kind.slug()))) }
                }
            }
        }
    }
}

fn links(to: &str, names: impl Iterator<Item = &'static str>) -> Markup {
    html! {
        @for (number, name) in names.enumerate() {
            @if number > 0 { ", " }
            a href={ (to) (name) } { (name) }
        }
    }
}
