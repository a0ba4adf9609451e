//! Who closes first, and how.

use super::{
    super::{
        scene::{Cell, Column, Row, Table, Tone},
        survey::{Entry, Survey, identity},
        view::{List, Sort, View},
    },
    Known, TABLE_FRAME, Under, words,
};
use crate::model::{Close, Side};

pub(super) fn closers(known: &Known<'_>, view: &mut View) -> Table {
    let list = List::Closers;
    let (sort, reversed) = view.sort(list);
    let columns = vec![
        Column::left("CLOSED", 6),
        Column::left("FIRST BY", 15).growing(),
        Column::left("HOW", 14),
        Column::left("OF", 10).growing(),
        Column::left("PEER", 20).growing(),
        Column::right("COUNT", 6).sorted(sort == Sort::Count, reversed),
        Column::right("SHARE", 5).from(90),
        Column::right("LATEST (UTC)", 12).sorted(sort == Sort::Latest, reversed).from(100),
    ];
    let entries = &known.survey.ledger;
    let total: u64 = entries.iter().map(|entry| u64::from(entry.count)).sum();
    let page = usize::from(known.lines().saturating_sub(TABLE_FRAME));
    let focused = view.list() == list;
    let cursor = view.cursor(list);
    cursor.settle(entries.len(), page, |row| identity(&entries[row].account));
    let rows = entries.iter().skip(cursor.top).take(page).map(|entry| row(known, entry, total)).collect();
    let selected = (!entries.is_empty()).then(|| cursor.row - cursor.top);
    let cut = if known.feed.closings.is_cut() { "the last " } else { "" };
    let title = format!("who closed first, of {cut}{} ends that have closed", words::count(total));
    let empty = "no connection has closed yet";
    Table { title, focused, height: known.lines(), columns, rows, selected, empty }
}

fn row(known: &Known<'_>, entry: &Entry, total: u64) -> Row {
    let account = &entry.account;
    let share = u64::from(entry.count) * 100 / total.max(1);
    let cells = vec![
        Cell::text(side(account.side)),
        Cell::text(closer(entry)),
        Cell::Toned(how_loud(account.close), account.close.map_or("-", Close::name).to_owned()),
        Cell::known(account.owner.map(|comm| comm.to_string())),
        Cell::text(words::route(account.route)),
        Cell::text(words::count(entry.count.into())),
        Cell::text(format!("{share}%")),
        Cell::known(entry.latest.map(|at| known.time(at))),
    ];
    Row { tone: Tone::Plain, cells }
}

fn closer(entry: &Entry) -> String {
    let account = &entry.account;
    let mark = if account.likely { "?" } else { "" };
    let who = account.closer.zip(entry.pids).map(|party| format!("{}{mark}", words::party(Some(party))));
    who.unwrap_or_else(|| match account.side {
        Some(Side::Remote) => "the peer".to_owned(),
        Some(Side::Simultaneous) => "both".to_owned(),
        Some(Side::Neither) => "nobody".to_owned(),
        Some(Side::Local) | None => "not known".to_owned(),
    })
}

fn side(side: Option<Side>) -> &'static str {
    match side {
        Some(Side::Local) => "local",
        Some(Side::Remote) => "remote",
        Some(Side::Simultaneous | Side::Neither) | None => "-",
    }
}

fn how_loud(close: Option<Close>) -> Tone {
    match close {
        None | Some(Close::Fin) => Tone::Plain,
        Some(Close::NoPort | Close::TimedOut) => Tone::Bad,
        Some(_) => Tone::Warn,
    }
}

pub(super) fn under_cursor(view: &mut View, survey: &Survey) -> Option<Under> {
    let cursor = view.cursor(List::Closers);
    cursor.settle(survey.ledger.len(), cursor.page, |row| identity(&survey.ledger[row].account));
    let account = survey.ledger.get(cursor.row)?.account;
    account.route.map(|route| Under::Words(words::chosen_by_route(route)))
}
