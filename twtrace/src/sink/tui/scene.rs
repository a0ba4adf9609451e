//! One picture: the words that are to be seen, and how loud each is. No colour, no place on the screen.

use super::view::Tab;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    pub(super) head: Head,
    pub(super) tab: Tab,
    pub(super) body: Body,
    pub(super) foot: Foot,
    /// Help lies over it, scrolled so far; it names keys that only a recording has.
    pub(super) help: Option<Help>,
}

/// The line at the top.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    /// `14:02:11`, in UTC.
    pub(super) time: String,
    /// Live, paused, replayed, recorded.
    pub(super) doing: Vec<(Tone, String)>,
    /// What is counted, the most important first.
    pub(super) facts: Vec<(Tone, String)>,
}

/// The line at the bottom.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Foot {
    /// The keys that help here, and what was said last.
    Keys { keys: Vec<(&'static str, &'static str)>, said: Option<String> },
    /// A filter is being typed.
    Line { text: String, error: Option<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Help {
    pub(super) scroll: u16,
    pub(super) replayed: bool,
}

/// What fills the screen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Overview {
        strips: Vec<Strip>,
        findings: Table,
        /// What is to be said of the one under the cursor.
        about: Vec<Line>,
        /// The strips stand beside the findings, not above them.
        beside: bool,
    },
    Lists(Vec<Table>),
    Detail(Detail),
}

/// A line of words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line(pub(super) Vec<(Tone, String)>);

/// A name, a number and how it went.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Strip {
    pub(super) name: &'static str,
    pub(super) tone: Tone,
    pub(super) value: String,
    /// The newest last.
    pub(super) past: Vec<u64>,
}

/// A list with a cursor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) focused: bool,
    /// Lines of the screen, title and header among them.
    pub(super) height: u16,
    pub(super) columns: Vec<Column>,
    /// Those that can be seen.
    pub(super) rows: Vec<Row>,
    /// Of these.
    pub(super) selected: Option<usize>,
    /// Said in place of rows where there are none.
    pub(super) empty: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) width: u16,
    /// Takes its share of what is left.
    pub(super) grows: bool,
    pub(super) right: bool,
    /// Sorted by this; true where the usual order is reversed.
    pub(super) sorted: Option<bool>,
    /// Only shown where the screen is as wide as this.
    pub(super) from: u16,
}

impl Column {
    pub(super) const fn left(name: &'static str, width: u16) -> Self {
        Self { name, width, grows: false, right: false, sorted: None, from: 0 }
    }

    pub(super) const fn right(name: &'static str, width: u16) -> Self {
        Self { right: true, ..Self::left(name, width) }
    }

    pub(super) const fn growing(self) -> Self {
        Self { grows: true, ..self }
    }

    pub(super) const fn from(self, from: u16) -> Self {
        Self { from, ..self }
    }

    /// Marked where `sort` is what it shows.
    pub(super) fn sorted(self, is_it: bool, reversed: bool) -> Self {
        Self { sorted: is_it.then_some(reversed), ..self }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) tone: Tone,
    pub(super) cells: Vec<Cell>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Toned(Tone, String),
    /// So many thousandths of the whole, and what that is.
    Gauge(u16, String),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Unknown is shown as such.
    pub(super) fn known(value: Option<String>) -> Self {
        Self::Text(value.unwrap_or_else(|| "-".to_owned()))
    }
}

/// How loud something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Dim,
    Title,
    Good,
    Warn,
    Bad,
}

/// One connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Detail {
    pub(super) title: String,
    pub(super) facts: Vec<Line>,
    /// From this end, and from the other where that is here too.
    pub(super) ends: Vec<End>,
    /// The moments at both edges of the scale, in words.
    pub(super) edges: (String, String),
    /// Nanoseconds from edge to edge.
    pub(super) length: u64,
    pub(super) scroll: u16,
}

/// The life of one end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct End {
    pub(super) title: String,
    /// Where it runs, what it has carried.
    pub(super) facts: Vec<Line>,
    pub(super) bars: Vec<Bar>,
}

/// A state, from one moment of the scale to another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    pub(super) name: &'static str,
    pub(super) tone: Tone,
    /// Nanoseconds from the left edge; `None` where that is not known.
    pub(super) span: Option<(u64, u64)>,
    pub(super) lasted: String,
    pub(super) basis: &'static str,
}
