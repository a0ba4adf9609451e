//! The table of connections, and that of those in CLOSE_WAIT.

use super::{
    super::{
        scene::{Cell, Column, Row, Table, Tone},
        survey::{Place, Survey, since},
        theme,
        view::{Cursor, List, Sort, View},
    },
    Known, TABLE_FRAME, Under, words,
};
use crate::{
    model::{Ktime, Lifecycle, TcpState, observation::Traffic},
    sink::format,
};

/// As wide as this, a screen has room for what connections carry beside the rest.
const BYTES_FROM: u16 = 100;

pub(super) fn connections(known: &Known<'_>, view: &mut View) -> Table {
    let (sort, reversed) = view.sort(List::Connections);
    // Where there is no room for both, what it is sorted by goes first.
    let (in_state_from, bytes_from) = if sort == Sort::Bytes { (BYTES_FROM, 0) } else { (0, BYTES_FROM) };
    let columns = vec![
        Column::right("AGE", 7).sorted(sort == Sort::Age, reversed),
        Column::left("STATE", 11).sorted(sort == Sort::State, reversed),
        Column::right("IN STATE", 9).from(in_state_from).sorted(sort == Sort::InState, reversed),
        Column::right("BYTES", 9).from(bytes_from).sorted(sort == Sort::Bytes, reversed),
        Column::right("SENT", 9).from(150),
        Column::right("RECEIVED", 9).from(150),
        Column::left("PROCESS", 13).growing(),
        Column::left("LOCAL", 15).growing(),
        Column::left("", 1),
        Column::left("REMOTE", 15).growing(),
        Column::left("CLOSED BY", 16).from(170).growing(),
        Column::right("NETNS", 10).from(190),
    ];
    let title = format!("{} connections, by {}", words::count(known.survey.places.len() as u64), order(sort, reversed));
    // Each was read at a moment of its own: the earliest.
    let mut read: Option<Ktime> = None;
    let row = |life: &Lifecycle, state: TcpState| {
        let carried = life.carried();
        if let Some((_, Some(at))) = carried {
            read = Some(read.map_or(at, |read| read.min(at)));
        }
        let bytes = |of: fn(&Traffic) -> u64| Cell::known(carried.map(|(traffic, _)| format::bytes(of(&traffic))));
        vec![
            age(known, life.opened),
            Cell::Toned(theme::state(state), state.name().to_owned()),
            age(known, since(life)),
            bytes(Traffic::bytes),
            bytes(|traffic| traffic.bytes_sent),
            bytes(|traffic| traffic.bytes_received),
            Cell::text(words::owner(life)),
            Cell::text(format::end(life.tuple.local)),
            Cell::text(words::arrow(life)),
            Cell::text(format::end(life.tuple.remote)),
            Cell::text(words::closed_by(life)),
            Cell::known(life.netns.map(|netns| netns.to_string())),
        ]
    };
    let mut table = table(known, view, List::Connections, known.lines(), title, columns, row);
    if let Some(at) = read.filter(|_| shows_bytes(sort, known.size.0)) {
        table.title.push_str(&format!("; bytes as of {} (sock_diag)", known.second(at)));
    }
    table
}

/// Whether what connections carry is on the screen.
pub(in super::super) fn shows_bytes(sort: Sort, width: u16) -> bool {
    sort == Sort::Bytes || width >= BYTES_FROM
}

fn order(sort: Sort, reversed: bool) -> &'static str {
    match (sort, reversed) {
        (Sort::State, false) => "state",
        (Sort::State, true) => "state, last first",
        (Sort::InState, false) => "time in state, longest first",
        (Sort::InState, true) => "time in state, shortest first",
        (Sort::Bytes, false) => "bytes, most first",
        (Sort::Bytes, true) => "bytes, fewest first",
        (_, false) => "age, oldest first",
        (_, true) => "age, youngest first",
    }
}

pub(super) fn close_waits(known: &Known<'_>, view: &mut View, height: u16) -> Table {
    let (_, reversed) = view.sort(List::CloseWaits);
    let columns = vec![
        Column::right("WAITING", 8).sorted(true, reversed),
        Column::left("ACCEPTED", 8),
        Column::left("PROCESS", 16).growing(),
        Column::left("LOCAL", 15).growing(),
        Column::left("", 1),
        Column::left("REMOTE", 15).growing(),
        Column::right("SINCE (UTC)", 12).from(90),
        Column::right("NETNS", 10).from(150),
    ];
    let title = format!(
        "{} in CLOSE_WAIT, {} first",
        words::count(known.survey.places.len() as u64),
        if reversed { "youngest" } else { "oldest" }
    );
    let row = |life: &Lifecycle, _| {
        let accepted = match life.accepted {
            Some(true) => Cell::text("yes"),
            Some(false) => Cell::Toned(Tone::Bad, "NEVER".to_owned()),
            None => Cell::known(None),
        };
        vec![
            age(known, since(life)),
            accepted,
            Cell::text(words::owner(life)),
            Cell::text(format::end(life.tuple.local)),
            Cell::text(words::arrow(life)),
            Cell::text(format::end(life.tuple.remote)),
            Cell::known(since(life).map(|at| known.time(at))),
            Cell::known(life.netns.map(|netns| netns.to_string())),
        ]
    };
    let mut table = table(known, view, List::CloseWaits, height, title, columns, row);
    table.empty = "nothing waits for its application to close it";
    table
}

/// Of the connections that were counted, those that can be seen.
fn table(
    known: &Known<'_>,
    view: &mut View,
    list: List,
    height: u16,
    title: String,
    columns: Vec<Column>,
    mut cells: impl FnMut(&Lifecycle, TcpState) -> Vec<Cell>,
) -> Table {
    let focused = view.list() == list;
    let page = usize::from(height.saturating_sub(TABLE_FRAME));
    let places = &known.survey.places;
    let cursor = view.cursor(list);
    settle(cursor, places, page);
    let seen = places.iter().skip(cursor.top).take(page);
    let rows = seen.map(|place| match known.lives.get(*place) {
        Some(life) => Row { tone: Tone::Plain, cells: cells(&life, life.state().unwrap_or(TcpState::Close)) },
        // Over since it was counted; the next count is without it.
        None => Row { tone: Tone::Dim, cells: vec![Cell::known(None), Cell::text("over")] },
    });
    let rows = rows.collect();
    let selected = (!places.is_empty()).then(|| cursor.row - cursor.top);
    Table { title, focused, height, columns, rows, selected, empty: "no connection" }
}

fn settle(cursor: &mut Cursor, places: &[Place], page: usize) {
    cursor.settle(places.len(), page, |row| places[row].id);
}

pub(super) fn under_cursor(view: &mut View, list: List, survey: &Survey) -> Option<Under> {
    let cursor = view.cursor(list);
    settle(cursor, &survey.places, cursor.page);
    survey.places.get(cursor.row).map(|place| Under::Connection(place.id))
}

fn age(known: &Known<'_>, at: Option<Ktime>) -> Cell {
    Cell::known(at.map(|at| known.ago(at)))
}
