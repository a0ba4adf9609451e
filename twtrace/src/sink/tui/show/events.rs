//! Transitions and losses as they come, the newest on top.

use super::{
    super::{
        feed::{Event, Feed},
        scene::{Cell, Column, Row, Table, Tone},
        theme,
        view::{List, View},
    },
    Known, TABLE_FRAME, Under, words,
};
use crate::{model::Shown, sink::format};

pub(super) fn events(known: &Known<'_>, view: &mut View) -> Table {
    let columns = vec![
        Column::left("TIME (UTC)", 12),
        Column::right("CONN", 7),
        Column::left("FROM", 11),
        Column::left("TO", 11),
        Column::right("LASTED", 8),
        Column::left("LOCAL", 15).growing().from(100),
        Column::left("REMOTE", 15).growing(),
        Column::left("BY", 10).growing(),
        Column::left("BASIS", 9).from(120),
    ];
    let rows = matching(view, known.feed);
    let page = usize::from(known.lines().saturating_sub(TABLE_FRAME));
    settle(view, known.feed, &rows, page);
    let cursor = view.cursor(List::Events);
    let selected = (!rows.is_empty()).then(|| cursor.row - cursor.top);
    let shown = rows.iter().skip(cursor.top).take(page).map(|&place| row(known, &known.feed.events[place])).collect();
    let before = match known.feed.events_before {
        0 => String::new(),
        before => format!(", {} before them forgotten", words::count(before)),
    };
    let title = format!("{} events, newest first{before}", words::count(rows.len() as u64));
    let height = known.lines();
    Table { title, focused: true, height, columns, rows: shown, selected, empty: "nothing has happened yet" }
}

/// Where those are that the filter lets through, the newest first; a loss concerns everybody.
fn matching(view: &View, feed: &Feed) -> Vec<usize> {
    let matches = |event: &Event| match event {
        Event::Shown(shown) => view.filter.matches_shown(shown),
        Event::Lost(_) => true,
    };
    (0..feed.events.len()).rev().filter(|&place| matches(&feed.events[place])).collect()
}

fn settle(view: &mut View, feed: &Feed, rows: &[usize], page: usize) {
    view.cursor(List::Events).settle(rows.len(), page, |row| feed.events_before + rows[row] as u64);
}

fn row(known: &Known<'_>, event: &Event) -> Row {
    match event {
        Event::Shown(shown) => Row { tone: Tone::Plain, cells: transition(known, shown) },
        Event::Lost(lost) => Row {
            tone: Tone::Bad,
            cells: vec![
                Cell::text(known.time(lost.at)),
                Cell::text(words::count(lost.count)),
                Cell::text("events LOST"),
                Cell::text(lost.place.name()),
            ],
        },
    }
}

fn transition(known: &Known<'_>, shown: &Shown) -> Vec<Cell> {
    vec![
        Cell::text(known.time(shown.at)),
        Cell::text(format!("#{}", shown.connection)),
        Cell::Toned(Tone::Dim, shown.from.name().to_owned()),
        Cell::Toned(theme::state(shown.to), shown.to.name().to_owned()),
        Cell::known(shown.lasted.map(format::duration)),
        Cell::text(format::end(shown.tuple.local)),
        Cell::text(format::end(shown.tuple.remote)),
        Cell::known(shown.process.map(|process| format!("{}/{}", process.comm, process.pid))),
        Cell::Toned(Tone::Dim, shown.basis.name().to_owned()),
    ]
}

pub(super) fn under_cursor(view: &mut View, feed: &Feed) -> Option<Under> {
    let rows = matching(view, feed);
    let page = view.cursor(List::Events).page;
    settle(view, feed, &rows, page);
    match feed.events.get(*rows.get(view.cursor(List::Events).row)?)? {
        Event::Shown(shown) => Some(Under::Connection(shown.connection)),
        Event::Lost(_) => None,
    }
}
