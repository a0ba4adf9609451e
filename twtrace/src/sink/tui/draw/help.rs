//! The keys, and what the views answer.

use crate::sink::tui::{
    scene::{Help, Tone},
    theme::Theme,
};
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

const KEYS: &[(&str, &str)] = &[
    ("1 … 6", "the views, or their bright letters: o c t a r e"),
    ("h l ← →", "the view before, the view after"),
    ("j k ↑ ↓ wheel", "move; PgUp PgDn a page, g G to the top and the end"),
    ("Tab", "the other list, where a view has two"),
    ("Enter", "one connection on a scale of time; of a group: its connections"),
    ("Esc", "back; at the end, away with the filter"),
    ("/", "filter by the words of the command line: -p 42 -D 443 --comm api"),
    ("s S", "sort by the next column; the other way round"),
    ("p space", "the picture stands still, tracing goes on"),
    ("w", "start recording into a file, stop it"),
    ("? q", "this help; quit, and print the summary"),
];

const REPLAY: &[(&str, &str)] = &[
    ("p space", "in a recording: stop and go on"),
    (". ,", "one event, one second"),
    ("← → Home End", "10 s back and on, to the begin and the end"),
    ("+ -", "faster, slower"),
];

const QUESTIONS: &[(&str, &str)] = &[
    ("t", "who makes the TIME_WAITs; toward what; will the ports run out, and when"),
    ("r", "who closes first, and how"),
    ("a", "who keeps CLOSE_WAITs and since when; accepted or not"),
    ("o", "what was lost (red, at the top), what is wrong, what to do"),
];

const MARKS: &[(&str, &str)] = &[
    ("name/7~ /7^", "the owner by /proc; by the listener"),
    ("name/7?", "likely, not seen"),
    ("~60.02s", "by the socket table or by arithmetic, not by an event"),
];

pub(super) fn help(frame: &mut Frame<'_>, area: Rect, help: Help, theme: Theme) {
    let mut lines = Vec::new();
    let mut section = |name: &'static str, rows: &[(&'static str, &'static str)]| {
        lines.push(Line::styled(name, theme.tone(Tone::Title)));
        lines
            .extend(rows.iter().map(|(key, act)| {
                Line::from(vec![Span::styled(format!("  {key:<15}"), theme.key()), Span::raw(*act)])
            }));
    };
    section("Questions", QUESTIONS);
    section("Keys", KEYS);
    if help.replayed {
        section("Recording", REPLAY);
    }
    section("Marks", MARKS);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let (width, height) = (area.width.min(92), area.height.min(height));
    let area = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let below = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(height.saturating_sub(2));
    let more = if help.scroll < below { " help: j for more " } else { " help " };
    frame.render_widget(Clear, area);
    let text = Paragraph::new(lines).scroll((help.scroll.min(below), 0));
    frame.render_widget(text.block(Block::bordered().title(more)), area);
}
