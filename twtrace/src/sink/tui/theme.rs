//! How loud becomes colour, or attributes alone where colours are not wanted (NO_COLOR).

use super::scene::Tone;
use crate::model::TcpState;
use ratatui::style::{Color, Modifier, Style};

/// See the module. The sixteen colours of every terminal and no others, so that its own palette counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// With colours.
    Colours,
    /// Without.
    Plain,
}

impl Theme {
    pub(super) fn tone(self, tone: Tone) -> Style {
        let style = Style::new();
        match (self, tone) {
            (_, Tone::Plain) => style,
            (_, Tone::Title) => style.add_modifier(Modifier::BOLD),
            // A dim grey is not to be read on many terminals, a black one on none.
            (Self::Colours, Tone::Dim) => style.fg(Color::DarkGray),
            (Self::Plain, Tone::Dim) => style.add_modifier(Modifier::DIM),
            (Self::Colours, Tone::Good) => style.fg(Color::Green),
            (Self::Plain, Tone::Good) => style,
            (Self::Colours, Tone::Warn) => style.fg(Color::Yellow),
            (Self::Plain, Tone::Warn) => style.add_modifier(Modifier::UNDERLINED),
            (Self::Colours, Tone::Bad) => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Self::Plain, Tone::Bad) => style.add_modifier(Modifier::BOLD),
        }
    }

    /// The row under the cursor.
    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The letters that are keys.
    pub(super) fn key(self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self == Self::Colours { style.fg(Color::Cyan) } else { style }
    }

    /// The bars of a graph.
    pub(super) fn bars(self) -> Style {
        if self == Self::Colours { Style::new().fg(Color::Cyan) } else { Style::new() }
    }
}

/// How loud a state is: those that are waited in for somebody else are what an incident is about.
pub(super) fn state(state: TcpState) -> Tone {
    match state {
        TcpState::Established => Tone::Good,
        TcpState::CloseWait => Tone::Bad,
        TcpState::TimeWait | TcpState::SynSent | TcpState::FinWait2 => Tone::Warn,
        _ => Tone::Plain,
    }
}
