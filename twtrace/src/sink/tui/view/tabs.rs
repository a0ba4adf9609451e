//! What there is to look at: the tabs, the lists in them, and how each list can be sorted.

use super::Key;

/// A view of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Overview,
    Connections,
    TimeWait,
    CloseWait,
    Closers,
    Events,
}

impl Tab {
    /// In the order of the tab bar.
    pub(crate) const ALL: [Self; 6] =
        [Self::Overview, Self::Connections, Self::TimeWait, Self::CloseWait, Self::Closers, Self::Events];

    /// As shown, in two parts around the letter that opens it.
    pub(crate) fn name(self) -> (&'static str, char, &'static str) {
        match self {
            Self::Overview => ("", 'O', "verview"),
            Self::Connections => ("", 'C', "onnections"),
            Self::TimeWait => ("", 'T', "IME_WAIT"),
            Self::CloseWait => ("CLOSE_W", 'A', "IT"),
            Self::Closers => ("Close", 'r', "s"),
            Self::Events => ("", 'E', "vents"),
        }
    }

    /// The tab that this key opens: its number or its letter.
    pub(super) fn of(key: Key) -> Option<Self> {
        let Key::Char(typed) = key else { return None };
        Self::ALL.into_iter().zip('1'..).find_map(|(tab, number)| {
            let (_, letter, _) = tab.name();
            (typed == number || typed == letter.to_ascii_lowercase()).then_some(tab)
        })
    }

    pub(super) fn before(self) -> Self {
        Self::ALL[(self as usize + Self::ALL.len() - 1) % Self::ALL.len()]
    }

    pub(super) fn after(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// Its lists, the first one above.
    pub(crate) fn lists(self) -> &'static [List] {
        match self {
            Self::Overview => &[List::Findings],
            Self::Connections => &[List::Connections],
            Self::TimeWait => &[List::TimeWaitProcesses, List::Destinations],
            Self::CloseWait => &[List::CloseWaitProcesses, List::CloseWaits],
            Self::Closers => &[List::Closers],
            Self::Events => &[List::Events],
        }
    }
}

/// A list with a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Findings,
    Connections,
    TimeWaitProcesses,
    Destinations,
    CloseWaitProcesses,
    CloseWaits,
    Closers,
    Events,
}

impl List {
    pub(super) const ALL: [Self; 8] = [
        Self::Findings,
        Self::Connections,
        Self::TimeWaitProcesses,
        Self::Destinations,
        Self::CloseWaitProcesses,
        Self::CloseWaits,
        Self::Closers,
        Self::Events,
    ];

    /// What it can be sorted by, the usual first.
    pub(super) fn sorts(self) -> &'static [Sort] {
        match self {
            Self::Findings => &[Sort::Severity],
            Self::Connections => &[Sort::Age, Sort::State, Sort::InState, Sort::Bytes],
            Self::TimeWaitProcesses => &[Sort::Count, Sort::Rate],
            Self::Destinations => &[Sort::Use, Sort::Count, Sort::Rate],
            Self::CloseWaitProcesses => &[Sort::Oldest, Sort::Count],
            Self::CloseWaits => &[Sort::Oldest],
            Self::Closers => &[Sort::Count, Sort::Latest],
            Self::Events => &[Sort::Latest],
        }
    }
}

/// What a list is sorted by; each has the most interesting first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Severity,
    Age,
    State,
    InState,
    Bytes,
    Count,
    Rate,
    Use,
    Oldest,
    Latest,
}
