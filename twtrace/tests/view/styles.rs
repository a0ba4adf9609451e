//! What is loud is loud with colours and without.

use crate::stage::{Stage, lines};
use ratatui::{
    buffer::Buffer,
    style::{Color, Modifier},
};
use twtrace::sink::tui::Theme;

fn lossy() -> Stage {
    let mut stage = Stage::new();
    stage.play(
        "1s #1 10.0.0.1:40000 10.0.0.2:80 CLOSE>SYN_SENT by curl/7
         1.001s #1 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED
         2s lost 42
         3s tick",
    );
    stage
}

/// The cells in which `text` stands on the first line that has it.
fn cells<'a>(buffer: &'a Buffer, text: &str) -> Vec<&'a ratatui::buffer::Cell> {
    let lines = lines(buffer);
    let (row, line) = lines.iter().enumerate().find(|(_, line)| line.contains(text)).expect(text);
    let column = line[..line.find(text).expect(text)].chars().count();
    let begin = row * usize::from(buffer.area.width) + column;
    buffer.content[begin..begin + text.chars().count()].iter().collect()
}

#[test]
fn lost_events_are_red() {
    let buffer = lossy().buffer((80, 24), Theme::Colours);
    for cell in cells(&buffer, "LOST 42") {
        assert_eq!(cell.fg, Color::Red);
        assert!(cell.modifier.contains(Modifier::BOLD));
    }
}

#[test]
fn without_colours_they_are_bold_and_nothing_is_coloured() {
    let mut stage = lossy();
    for keys in ["o", "c", "t", "a", "r", "e", "c<Enter>", "?"] {
        stage.press(keys);
        let buffer = stage.buffer((80, 24), Theme::Plain);
        assert!(buffer.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)), "{keys}");
    }
    let buffer = lossy().buffer((80, 24), Theme::Plain);
    assert!(cells(&buffer, "LOST 42").iter().all(|cell| cell.modifier.contains(Modifier::BOLD)));
}

#[test]
fn sixteen_colours_are_enough() {
    let mut stage = lossy();
    for keys in ["o", "c", "t", "a", "r", "e", "c<Enter>", "?"] {
        stage.press(keys);
        for cell in &stage.buffer((120, 40), Theme::Colours).content {
            let is_ansi = |color| !matches!(color, Color::Rgb(..) | Color::Indexed(_));
            assert!(is_ansi(cell.fg) && is_ansi(cell.bg), "{keys}: {cell:?}");
        }
    }
}

#[test]
fn the_row_under_the_cursor_is_reversed() {
    let mut stage = lossy();
    stage.press("c");
    for theme in [Theme::Colours, Theme::Plain] {
        let buffer = stage.buffer((80, 24), theme);
        assert!(cells(&buffer, "ESTABLISHED").iter().all(|cell| cell.modifier.contains(Modifier::REVERSED)));
    }
}
