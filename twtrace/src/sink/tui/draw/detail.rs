//! One connection's life as bars on a scale of time.

use super::{rule, words};
use crate::sink::{
    format,
    tui::{
        scene::{Bar, Detail, Tone},
        theme::Theme,
    },
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};

const NAME: u16 = 12;
const LASTED: u16 = 18;

pub(super) fn detail(frame: &mut Frame<'_>, area: Rect, detail: &Detail, theme: Theme) {
    let [title, facts, rest] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::try_from(detail.facts.len()).unwrap_or(u16::MAX)),
        Constraint::Min(0),
    ])
    .areas(area);
    rule(frame, title, &detail.title, true, theme);
    let lines: Vec<_> = detail.facts.iter().map(|line| words(line, theme)).collect();
    frame.render_widget(Paragraph::new(lines), facts);
    let width = area.width.saturating_sub(NAME + LASTED + 2);
    let mut lines = Vec::new();
    for end in &detail.ends {
        lines.push(Line::styled(end.title.as_str(), theme.tone(Tone::Title)));
        lines.extend(end.facts.iter().map(|line| words(line, theme)));
        lines.extend(end.bars.iter().map(|bar| line(bar, detail.length, width, theme)));
        lines.push(scale(detail, width, theme));
    }
    frame.render_widget(Paragraph::new(lines).scroll((detail.scroll, 0)), rest);
}

fn line<'a>(bar: &'a Bar, length: u64, width: u16, theme: Theme) -> Line<'a> {
    let (before, long) = bar.span.map_or((0, 0), |span| cells(span, length, width));
    let (mark, tone) = match (bar.span, long) {
        (None, _) => ("when it began is not known".to_owned(), Tone::Dim),
        // Too short for the scale, but it was there.
        (Some(_), 0) => ("▏".to_owned(), bar.tone),
        (Some(_), _) => ("█".repeat(long), bar.tone),
    };
    let rest = usize::from(width).saturating_sub(before + mark.chars().count());
    Line::from(vec![
        Span::raw(format!("{:<12}", bar.name)),
        Span::raw(" ".repeat(before)),
        Span::styled(mark, theme.tone(tone)),
        Span::raw(" ".repeat(rest)),
        Span::styled(format!(" {:>9} ", bar.lasted), theme.tone(Tone::Title)),
        Span::styled(bar.basis, theme.tone(Tone::Dim)),
    ])
}

/// Blank cells and full ones, to scale; what begins at the right edge keeps a cell.
fn cells((from, until): (u64, u64), length: u64, width: u16) -> (usize, usize) {
    let place = |at: u64| {
        let cell = u128::from(at) * u128::from(width) / u128::from(length.max(1));
        usize::try_from(cell).map_or(usize::from(width), |cell| cell.min(usize::from(width)))
    };
    let (from, until) = (place(from), place(until));
    (from.min(usize::from(width).saturating_sub(1)), until.saturating_sub(from))
}

fn scale(detail: &Detail, width: u16, theme: Theme) -> Line<'static> {
    let (left, right) = &detail.edges;
    let length = format::duration(detail.length);
    let room = usize::from(width).saturating_sub(left.len() + right.len() + length.chars().count() + 4);
    let (one, two) = (room / 2, room - room / 2);
    let text = format!(
        "{}├{left} {} {length} {} {right}┤",
        " ".repeat(usize::from(NAME) - 1),
        "─".repeat(one.saturating_sub(1)),
        "─".repeat(two.saturating_sub(1))
    );
    Line::styled(text, theme.tone(Tone::Dim))
}

#[cfg(test)]
mod tests {
    use super::cells;

    #[test]
    fn bars_are_to_scale() {
        assert_eq!(cells((0, 50), 100, 40), (0, 20));
        assert_eq!(cells((50, 100), 100, 40), (20, 20));
        // Too short to be seen, and at the very end.
        assert_eq!(cells((10, 11), 100, 40), (4, 0));
        assert_eq!(cells((100, 100), 100, 40), (39, 0));
        assert_eq!(cells((0, u64::MAX), u64::MAX, 40), (0, 40));
        assert_eq!(cells((0, 0), 0, 40), (0, 0));
    }
}
