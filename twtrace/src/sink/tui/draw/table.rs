//! A list with a title, a header and a cursor.

use super::rule;
use crate::sink::tui::{
    scene::{Cell, Column, Row, Table, Tone},
    theme::Theme,
};
use ratatui::{
    Frame,
    layout::{Constraint, Flex, Layout, Rect},
    text::{Line, Span},
};

pub(super) fn table(frame: &mut Frame<'_>, area: Rect, table: &Table, theme: Theme) {
    let [title, header, rows] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0)]).areas(area);
    rule(frame, title, &table.title, table.focused, theme);
    let columns = columns(header, &table.columns);
    for &(place, column) in &columns {
        let mark = match column.sorted {
            None => "",
            Some(false) => "▾",
            Some(true) => "▴",
        };
        put(frame, place, &format!("{}{mark}", column.name), column.right, theme.tone(Tone::Dim));
    }
    self::rows(frame, rows, table, &table.columns, theme);
}

/// The rows alone.
pub(super) fn rows(frame: &mut Frame<'_>, area: Rect, table: &Table, columns: &[Column], theme: Theme) {
    if table.rows.is_empty() {
        frame.render_widget(Span::styled(table.empty, theme.tone(Tone::Dim)), area);
        return;
    }
    let places = self::columns(area, columns);
    for (place, row) in table.rows.iter().enumerate().take(usize::from(area.height)) {
        let line = Rect { y: area.y + u16::try_from(place).unwrap_or(0), height: 1, ..area };
        self::row(frame, line, row, (columns, &places), theme);
        if table.selected == Some(place) && table.focused {
            frame.buffer_mut().set_style(line, theme.selected());
        }
    }
}

type Places<'a> = (&'a [Column], &'a [(Rect, &'a Column)]);

fn row(frame: &mut Frame<'_>, line: Rect, row: &Row, (all, places): Places<'_>, theme: Theme) {
    let mut shown = places.iter();
    for (column, cell) in all.iter().zip(&row.cells) {
        let Some((place, _)) = shown.clone().next().filter(|(_, seen)| std::ptr::eq(*seen, column)) else { continue };
        shown.next();
        let area = Rect { y: line.y, height: 1, ..*place };
        match cell {
            Cell::Text(text) => put(frame, area, text, column.right, theme.tone(row.tone)),
            Cell::Toned(tone, text) => put(frame, area, text, column.right, theme.tone(*tone)),
            Cell::Gauge(thousandths, label) => gauge(frame, area, *thousandths, label, theme),
        }
    }
}

/// Where each column stands, those left out that want a wider screen.
fn columns(area: Rect, columns: &[Column]) -> Vec<(Rect, &Column)> {
    let shown: Vec<_> = columns.iter().filter(|column| area.width >= column.from).collect();
    let widths = shown
        .iter()
        .map(|column| if column.grows { Constraint::Min(column.width) } else { Constraint::Length(column.width) });
    let places = Layout::horizontal(widths).spacing(1).flex(Flex::Start).split(area);
    places.iter().copied().zip(shown).collect()
}

/// What does not fit is cut, and one sees that it is.
fn put(frame: &mut Frame<'_>, area: Rect, text: &str, right: bool, style: ratatui::style::Style) {
    let span = Span::styled(text, style);
    let width = usize::from(area.width);
    if span.width() <= width {
        let line = Line::from(span);
        frame.render_widget(if right { line.right_aligned() } else { line }, area);
    } else if width > 0 {
        let cut: String = text.chars().take(width - 1).chain(['…']).collect();
        frame.render_widget(Span::styled(cut, style), area);
    }
}

/// A bar as wide as the room that its label leaves.
fn gauge(frame: &mut Frame<'_>, area: Rect, thousandths: u16, label: &str, theme: Theme) {
    let width = usize::from(area.width).saturating_sub(label.chars().count() + 1);
    let full = (width * usize::from(thousandths)).div_ceil(1_000).min(width);
    let tone = match thousandths {
        0..700 => Tone::Good,
        700..900 => Tone::Warn,
        _ => Tone::Bad,
    };
    let line = Line::from(vec![
        Span::styled("█".repeat(full), theme.tone(tone)),
        Span::styled("░".repeat(width - full), theme.tone(Tone::Dim)),
        Span::raw(if width > 0 { " " } else { "" }),
        Span::raw(label),
    ]);
    frame.render_widget(line, area);
}
