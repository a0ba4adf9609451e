//! Puts a scene on the screen: pure, so that it draws into memory as well.

mod detail;
mod frame;
mod help;
mod overview;
mod table;

use super::{
    scene::{Body, Line, Scene, Tone},
    theme::Theme,
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line as Words, Span},
    widgets::Paragraph,
};

/// Smaller screens show one line that says so.
const SMALLEST: (u16, u16) = (40, 8);

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, scene: &Scene, theme: Theme) {
    let area = frame.area();
    if (area.width, area.height) < (SMALLEST.0, 0) || area.height < SMALLEST.1 {
        frame.render_widget(Paragraph::new("twtrace needs more room"), area);
        return;
    }
    let [head, tabs, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    frame::head(frame, head, &scene.head, theme);
    frame::tabs(frame, tabs, scene.tab, theme);
    match &scene.body {
        Body::Overview { strips, findings, about, beside } => {
            overview::overview(frame, body, (strips, findings, about), *beside, theme);
        }
        Body::Lists(tables) => {
            let mut rest = body;
            for table in tables {
                let [area, below] =
                    Layout::vertical([Constraint::Length(table.height), Constraint::Min(0)]).areas(rest);
                table::table(frame, area, table, theme);
                rest = below;
            }
        }
        Body::Detail(detail) => detail::detail(frame, body, detail, theme),
    }
    frame::foot(frame, foot, &scene.foot, theme);
    if let Some(help) = scene.help {
        help::help(frame, area, help, theme);
    }
}

fn words(line: &Line, theme: Theme) -> Words<'_> {
    line.0.iter().map(|(tone, text)| Span::styled(text.as_str(), theme.tone(*tone))).collect()
}

/// A line across the screen with words in it.
fn rule(frame: &mut Frame<'_>, area: Rect, title: &str, focused: bool, theme: Theme) {
    let width = usize::from(area.width);
    let tone = if focused { Tone::Title } else { Tone::Dim };
    let title: String = title.chars().take(width.saturating_sub(5)).collect();
    let rest = width.saturating_sub(title.chars().count() + 4);
    let line = Words::from(vec![
        Span::styled("── ", theme.tone(Tone::Dim)),
        Span::styled(title, theme.tone(tone)),
        Span::styled(format!(" {}", "─".repeat(rest)), theme.tone(Tone::Dim)),
    ]);
    frame.render_widget(line, area);
}
