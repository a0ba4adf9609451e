//! The report as one page: findings, charts, tables. It needs no network, no script and no other file.
//!
//! Knows what a report says, and works nothing out that the report does not hold. Whatever comes from outside is
//! escaped by the template; the page's own policy forbids every script and every request besides.

mod chart;
mod comparison;
mod findings;
mod sections;
mod svg;
mod tables;
mod words;

use super::{Clock, format};
use crate::model::report::{Comparison, Report};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Nothing is loaded and nothing is run, whatever should get into the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = include_str!("html/style.css");

/// The page.
pub fn page(report: &Report, clock: Clock) -> String {
    let title = title(report);
    document(
        &title,
        html! {
            header { (head(report, &title, clock)) }
            main {
                (findings::findings(report, clock))
                (findings::advice(report))
                (sections::charts(report, clock))
                (tables::tables(report, clock))
            }
        },
    )
}

/// Whether a fix worked, as a page.
pub fn comparison(comparison: &Comparison) -> String {
    document("TCP connections, before and after", comparison::body(comparison))
}

fn document(title: &str, body: Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                footer { p { "Made by twtrace " (env!("CARGO_PKG_VERSION")) ". Times are UTC." } }
            }
        }
    }
    .into_string()
}

fn title(report: &Report) -> String {
    let names = report.hosts.iter().filter_map(|host| host.name.as_deref().map(format::one_line));
    let names: Vec<String> = names.collect();
    if names.is_empty() { "TCP connections".to_owned() } else { format!("TCP connections of {}", names.join(", ")) }
}

fn head(report: &Report, title: &str, clock: Clock) -> Markup {
    let happened = &report.happened;
    let [begin, end] = [happened.start, happened.end].map(|at| format::wall(at, clock));
    let kernels = report.hosts.iter().filter_map(|host| host.kernel.as_deref().map(format::one_line));
    let kernels: Vec<String> = kernels.collect();
    html! {
        h1 { (title) }
        p.soft {
            time datetime=(begin) { (day_and_second(&begin)) } " to " time datetime=(end) { (day_and_second(&end)) }
            " UTC, " (format::duration(happened.end.since(happened.start)))
            @if !kernels.is_empty() { ", kernel " (kernels.join(", ")) }
        }
        (sections::tiles(report, clock))
    }
}

/// `2026-01-01T00:00:00.000000000Z` to the second.
fn day_and_second(wall: &str) -> String {
    wall.split('.').next().unwrap_or_default().replace('T', " ")
}
