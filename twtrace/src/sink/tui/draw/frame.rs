//! What stands around every picture: the line at the top, the tabs, and the line at the bottom.

use crate::sink::tui::{
    scene::{Foot, Head, Tone},
    theme::Theme,
    view::Tab,
};
use ratatui::{
    Frame,
    layout::{Position, Rect},
    text::{Line, Span},
};

pub(super) fn head(frame: &mut Frame<'_>, area: Rect, head: &Head, theme: Theme) {
    let mut spans =
        vec![Span::styled("twtrace ", theme.tone(Tone::Title)), Span::raw(head.time.as_str()), Span::raw(" ")];
    let mut width: usize = spans.iter().map(Span::width).sum();
    // Facts in their order, as many as there is room for.
    for (tone, text) in head.doing.iter().chain(&head.facts) {
        let span = Span::styled(text.as_str(), theme.tone(*tone));
        width += span.width() + 2;
        if width > usize::from(area.width) + 1 {
            break;
        }
        spans.extend([Span::raw(" "), span, Span::raw(" ")]);
    }
    frame.render_widget(Line::from(spans), area);
}

pub(super) fn tabs(frame: &mut Frame<'_>, area: Rect, current: Tab, theme: Theme) {
    let names: usize = Tab::ALL.iter().map(|tab| full_name(*tab).chars().count() + 3).sum();
    let gap = if names + Tab::ALL.len() <= usize::from(area.width) { " " } else { "" };
    let mut spans = Vec::new();
    for (tab, number) in Tab::ALL.into_iter().zip('1'..) {
        let (before, letter, after) = tab.name();
        if tab == current {
            spans.push(Span::styled(format!("{number} {}", full_name(tab)), theme.selected()));
        } else {
            spans.push(Span::styled(number.to_string(), theme.key()));
            spans.push(Span::raw(format!(" {before}")));
            spans.push(Span::styled(letter.to_string(), theme.key()));
            spans.push(Span::raw(after));
        }
        spans.push(Span::raw(format!(" {gap}")));
    }
    frame.render_widget(Line::from(spans), area);
}

fn full_name(tab: Tab) -> String {
    let (before, letter, after) = tab.name();
    format!("{before}{letter}{after}")
}

pub(super) fn foot(frame: &mut Frame<'_>, area: Rect, foot: &Foot, theme: Theme) {
    match foot {
        Foot::Line { text, error } => line(frame, area, text, error.as_deref(), theme),
        Foot::Keys { keys, said } => {
            let mut spans = Vec::new();
            if let Some(said) = said {
                spans.push(Span::styled(format!("{said}  "), theme.tone(Tone::Warn)));
            }
            for (key, act) in keys {
                spans.push(Span::styled(*key, theme.key()));
                spans.push(Span::raw(format!(" {act}  ")));
            }
            frame.render_widget(Line::from(spans), area);
        }
    }
}

/// The end of what is typed is always to be seen, and so is what is wrong with it.
fn line(frame: &mut Frame<'_>, area: Rect, text: &str, error: Option<&str>, theme: Theme) {
    let room = usize::from(area.width).saturating_sub(2) / if error.is_some() { 3 } else { 1 };
    let skip = text.chars().count().saturating_sub(room);
    let seen: String = text.chars().skip(skip).collect();
    let end = u16::try_from(seen.chars().count()).unwrap_or(u16::MAX).saturating_add(1);
    let mut spans = vec![Span::styled("/", theme.key()), Span::raw(seen)];
    match error {
        Some(error) => spans.push(Span::styled(format!("  {error}"), theme.tone(Tone::Bad))),
        None if text.is_empty() => {
            spans.push(Span::styled(
                "  -p PID  --comm NAME  -D 443  -L 80  --remote-addr 10.0.0.0/8  -4  -6",
                theme.tone(Tone::Dim),
            ));
        }
        None => {}
    }
    frame.render_widget(Line::from(spans), area);
    frame.set_cursor_position(Position::new(area.x.saturating_add(end).min(area.right().saturating_sub(1)), area.y));
}
