//! The first picture: how many connections are in which state, how that went, and what is wrong.

use super::{
    super::{
        feed::Second,
        scene::{Body, Cell, Column, Line, Row, Strip, Table, Tone},
        theme,
        view::{List, View},
    },
    Known, words,
};
use crate::model::{
    TcpState,
    report::{Finding, Severity},
};

/// Where the screen is as wide as this, findings stand beside the states.
const BESIDE: u16 = 150;
/// Findings whose titles are seen at once where they stand below the states.
const TITLES: u16 = 3;

pub(super) fn overview(known: &Known<'_>, view: &mut View) -> Body {
    let strips = strips(known);
    let beside = known.size.0 >= BESIDE;
    let below = known.lines().saturating_sub(u16::try_from(strips.len()).unwrap_or(0) + 1);
    let height = if beside { known.lines() } else { below };
    let findings = &known.findings.found;
    let titles = u16::try_from(findings.len()).unwrap_or(u16::MAX).max(1);
    let most = if beside { height / 2 } else { TITLES.max(height.saturating_sub(8)) };
    let page = titles.min(most).min(height.saturating_sub(1));
    let cursor = view.cursor(List::Findings);
    cursor.settle(findings.len(), usize::from(page), |row| findings[row].kind as u64);
    let cursor = *cursor;
    let seen = findings.iter().skip(cursor.top).take(usize::from(page));
    let rows = seen.map(|finding| Row { tone: Tone::Plain, cells: title(finding) }).collect();
    let table = Table {
        title: match findings.len() {
            _ if !view.words.is_empty() => format!("{} findings, whatever the filter", findings.len()),
            0 => "findings".to_owned(),
            1 => "1 finding".to_owned(),
            several => format!("{several} findings, the worst first"),
        },
        focused: true,
        height: page + 1,
        columns: vec![Column::left("", 8), Column::left("", 20).growing()],
        rows,
        selected: (!findings.is_empty()).then(|| cursor.row - cursor.top),
        empty: "nothing is wrong, as far as this run has seen",
    };
    let about = findings.get(cursor.row).map(|finding| about(known, finding)).unwrap_or_default();
    Body::Overview { strips, findings: table, about, beside }
}

fn strips(known: &Known<'_>) -> Vec<Strip> {
    let history = &known.feed.history;
    let past = |of: &dyn Fn(&Second) -> u64| history.seconds.iter().map(of).collect::<Vec<_>>();
    let states = TcpState::COURSE.into_iter().map(|state| {
        let count = known.survey.count(state);
        Strip {
            name: state.name(),
            tone: if count == 0 { Tone::Dim } else { theme::state(state) },
            value: words::count(count),
            past: past(&|second| second.counts[state as usize - 1]),
        }
    });
    let rate = |name, of: &dyn Fn(&Second) -> u64| Strip {
        name,
        tone: Tone::Title,
        value: words::count(of(&history.last())),
        past: past(of),
    };
    let mut strips: Vec<_> = states.collect();
    strips.push(rate("opened/s", &|second| second.established));
    strips.push(rate("closed/s", &|second| second.closed));
    strips
}

fn title(finding: &Finding) -> Vec<Cell> {
    let tone = match finding.severity {
        Severity::Critical => Tone::Bad,
        Severity::Warning => Tone::Warn,
        Severity::Notice => Tone::Plain,
    };
    vec![Cell::Toned(tone, finding.severity.name().to_uppercase()), Cell::text(&finding.title)]
}

/// In full, for the titles above may be cut; then what to do, which is what is asked for.
fn about(known: &Known<'_>, finding: &Finding) -> Vec<Line> {
    let line = |tone, name: &str, text: &str| Line(vec![(tone, name.to_owned()), (Tone::Plain, text.to_owned())]);
    let mut lines = vec![
        Line(vec![(Tone::Title, finding.title.clone())]),
        line(Tone::Good, "What to do: ", &finding.cure),
        line(Tone::Dim, "How it comes about: ", &finding.mechanism),
    ];
    let advice = known.findings.advice.iter().filter(|advice| finding.advice.contains(&advice.kind));
    lines.extend(advice.map(|advice| {
        let stance = format!("{}: ", advice.stance.name());
        let text = match &advice.command {
            None => format!("{} {}", advice.act, advice.reason),
            Some(command) => format!("{} {} ({command})", advice.act, advice.reason),
        };
        line(Tone::Title, &stance, &text)
    }));
    lines
}
