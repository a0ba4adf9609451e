//! Two reports side by side: the verdict, what became of each finding, the same figures of both.

use super::{
    chart::table,
    words::{self, known},
};
use crate::{
    model::{
        report::{Compared, Comparison, Fate, FindingChange, Outcome},
        units::change,
    },
    sink::Clock,
};
use maud::{Markup, html};

pub(super) fn body(comparison: &Comparison) -> Markup {
    html! {
        header { h1 { "Before and after" } }
        main {
            article class=(colour(comparison.outcome)) {
                h3 { span class={ "badge " (colour(comparison.outcome)) } { (comparison.outcome.name()) } (comparison.verdict) }
                @for doubt in &comparison.doubts { p { b { "Caution: " } (doubt) } }
            }
            @if !comparison.findings.is_empty() { h2 { "What became of what was wrong" } }
            @for change in &comparison.findings { (finding(change)) }
            h2 { "The same figures of both" }
            (table("Figures", &["figure", "before", "after", "change", ""], comparison.figures.iter().map(cells)))
        }
    }
}

fn colour(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Fixed | Outcome::Healthy => "good",
        Outcome::Better => "notice",
        Outcome::Same => "warning",
        Outcome::Worse => "critical",
    }
}

fn finding(change: &FindingChange) -> Markup {
    let colour = match change.fate {
        Fate::Gone => "good",
        Fate::Better => "notice",
        Fate::Same => "warning",
        Fate::New | Fate::Worse => "critical",
    };
    let FindingChange { before, after, .. } = change;
    let kind = after.as_ref().or(before.as_ref()).map(|finding| finding.kind.slug());
    html! {
        article class=(colour) {
            h3 { span class={ "badge " (colour) } { (change.fate.name()) } (kind.unwrap_or_default()) }
            @for (label, finding) in [("Before. ", before), ("After. ", after)] {
                @if let Some(finding) = finding { p { b { (label) } (finding.title) } }
            }
        }
    }
}

fn cells(row: &Compared) -> Vec<String> {
    // No figure of both is a moment.
    let value = |of| words::value(of, Clock { realtime: 0, boottime: 0 });
    vec![
        row.label.to_owned(),
        value(&row.before),
        value(&row.after),
        known(row.change, change),
        row.judged().to_owned(),
    ]
}
