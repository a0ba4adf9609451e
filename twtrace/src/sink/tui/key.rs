//! What a person does at the keyboard and with the wheel, whatever the terminal calls it.

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers, MouseEventKind};

/// A key, or a turn of the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those on the keys")]
pub enum Key {
    Char(char),
    Enter,
    Esc,
    Backspace,
    Tab,
    BackTab,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    WheelUp,
    WheelDown,
    /// Ctrl-C, which sends no signal while the terminal is raw.
    Interrupt,
    /// Ctrl-U: away with what was typed.
    Erase,
}

impl Key {
    /// `None` for what means nothing here; a resize is seen when the next picture is drawn.
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                if key.modifiers.contains(KeyModifiers::CONTROL) {
                    return Self::control(key.code);
                }
                Self::plain(key.code)
            }
            Event::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollUp => Some(Self::WheelUp),
                MouseEventKind::ScrollDown => Some(Self::WheelDown),
                _ => None,
            },
            _ => None,
        }
    }

    fn control(code: KeyCode) -> Option<Self> {
        match code {
            KeyCode::Char('c') => Some(Self::Interrupt),
            KeyCode::Char('u') => Some(Self::Erase),
            KeyCode::Char('b') => Some(Self::PageUp),
            KeyCode::Char('f') => Some(Self::PageDown),
            KeyCode::Char('h') => Some(Self::Backspace),
            _ => None,
        }
    }

    fn plain(code: KeyCode) -> Option<Self> {
        Some(match code {
            KeyCode::Char(c) => Self::Char(c),
            KeyCode::Enter => Self::Enter,
            KeyCode::Esc => Self::Esc,
            KeyCode::Backspace => Self::Backspace,
            KeyCode::Tab => Self::Tab,
            KeyCode::BackTab => Self::BackTab,
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::Left => Self::Left,
            KeyCode::Right => Self::Right,
            KeyCode::PageUp => Self::PageUp,
            KeyCode::PageDown => Self::PageDown,
            KeyCode::Home => Self::Home,
            KeyCode::End => Self::End,
            _ => return None,
        })
    }
}
