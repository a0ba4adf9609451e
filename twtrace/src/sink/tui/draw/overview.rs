//! Counts with their past, and the findings.

use super::{rule, table, words};
use crate::sink::tui::{
    scene::{Line, Strip, Table, Tone},
    theme::Theme,
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::Span,
    widgets::{Paragraph, Sparkline, Wrap},
};

const NAME: u16 = 11;
const VALUE: u16 = 9;
/// What fills a line at the least, so that a few do not look like many.
const LEAST: u64 = 8;

pub(super) fn overview(
    frame: &mut Frame<'_>,
    area: Rect,
    (strips, findings, about): (&[Strip], &Table, &[Line]),
    beside: bool,
    theme: Theme,
) {
    let height = u16::try_from(strips.len() + 1).unwrap_or(u16::MAX);
    let [left, right] = if beside {
        Layout::horizontal([Constraint::Percentage(45), Constraint::Min(0)]).spacing(2).areas(area)
    } else {
        Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(area)
    };
    self::strips(frame, left, strips, theme);
    let [title, rows, text] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(findings.height.saturating_sub(1)),
        Constraint::Min(0),
    ])
    .areas(right);
    rule(frame, title, &findings.title, true, theme);
    table::rows(frame, rows, findings, &findings.columns, theme);
    let lines: Vec<_> = about.iter().map(|line| words(line, theme)).collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), text);
}

fn strips(frame: &mut Frame<'_>, area: Rect, strips: &[Strip], theme: Theme) {
    let [title, mut rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let seconds = area.width.saturating_sub(NAME + VALUE + 2);
    rule(frame, title, &format!("connections by state, now and in the last {seconds} s"), true, theme);
    for strip in strips {
        let [line, below] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(rest);
        let [name, value, past] =
            Layout::horizontal([Constraint::Length(NAME), Constraint::Length(VALUE), Constraint::Min(0)])
                .spacing(1)
                .areas(line);
        frame.render_widget(Span::styled(strip.name, theme.tone(strip.tone)), name);
        let number = ratatui::text::Line::styled(
            strip.value.as_str(),
            theme.tone(if strip.tone == Tone::Dim { Tone::Dim } else { Tone::Title }),
        );
        frame.render_widget(number.right_aligned(), value);
        self::past(frame, past, &strip.past, theme);
        rest = below;
    }
}

/// The newest at the right edge; nothing where there was no run yet.
fn past(frame: &mut Frame<'_>, area: Rect, past: &[u64], theme: Theme) {
    let width = usize::from(area.width);
    let seen = &past[past.len().saturating_sub(width)..];
    let blank = std::iter::repeat_n(0, width - seen.len());
    let data: Vec<u64> = blank.chain(seen.iter().copied()).collect();
    let most = data.iter().copied().max().unwrap_or(0).max(LEAST);
    // The lowest of the eight bars, for what there is is to be seen.
    let data: Vec<u64> = data.iter().map(|&value| if value == 0 { 0 } else { value.max(most.div_ceil(8)) }).collect();
    frame.render_widget(Sparkline::default().max(most).data(data).style(theme.bars()), area);
}
