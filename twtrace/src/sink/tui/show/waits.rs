//! TIME_WAIT and CLOSE_WAIT: whose they are, where they lead, and what they use up.

use super::{
    super::{
        feed::Known as Process,
        ports::Outlook,
        scene::{Cell, Column, Row, Table, Tone},
        survey::{Destination, Group, Pids, PortUse, Route, Survey, identity},
        view::{List, Sort, View},
    },
    Known, TABLE_FRAME, Under, connections, words,
};
use crate::model::TcpState;

pub(super) fn time_waits(known: &Known<'_>, view: &mut View) -> Vec<Table> {
    let (above, below) = halves(known, known.survey.groups.len());
    vec![by_process(known, view, above), by_destination(known, view, below)]
}

pub(super) fn close_waits(known: &Known<'_>, view: &mut View) -> Vec<Table> {
    let (above, below) = halves(known, known.survey.groups.len());
    vec![holders(known, view, above), connections::close_waits(known, view, below)]
}

/// The list above takes no more than it needs, and a half at the most.
fn halves(known: &Known<'_>, rows: usize) -> (u16, u16) {
    let lines = known.lines();
    let wanted = u16::try_from(rows.max(1)).unwrap_or(u16::MAX).saturating_add(TABLE_FRAME);
    let above = wanted.clamp(TABLE_FRAME + 1, (lines / 2).max(TABLE_FRAME + 1));
    (above, lines.saturating_sub(above))
}

fn by_process(known: &Known<'_>, view: &mut View, height: u16) -> Table {
    let (sort, reversed) = view.sort(List::TimeWaitProcesses);
    let total = known.survey.count(TcpState::TimeWait).max(1);
    let columns = vec![
        Column::left("PROCESS", 24).growing(),
        Column::right("TIME_WAIT", 10).sorted(sort == Sort::Count, reversed),
        Column::right("NEW/S", 8).sorted(sort == Sort::Rate, reversed),
        Column::left("SHARE", 20).growing(),
    ];
    let title = format!(
        "{} in TIME_WAIT, by the process that made them (precision: {})",
        words::count(known.survey.count(TcpState::TimeWait)),
        known.precision
    );
    let cells = |group: &Group| {
        vec![
            Cell::text(words::party(group.owner)),
            Cell::text(words::count(group.count.into())),
            Cell::text(per_second(known, group.entered)),
            gauge(group.count.into(), total, String::new()),
        ]
    };
    let mut table = groups(known, view, List::TimeWaitProcesses, height, title, columns, cells);
    table.empty = "nothing is in TIME_WAIT";
    table
}

/// Those of the last seconds, to a tenth.
fn per_second(known: &Known<'_>, recent: u32) -> String {
    let tenths = u64::from(recent) * 10 / known.survey.pace.max(1);
    format!("{}.{}", words::count(tenths / 10), tenths % 10)
}

fn gauge(part: u64, whole: u64, label: String) -> Cell {
    let thousandths = part.saturating_mul(1_000) / whole.max(1);
    let label = if label.is_empty() { format!("{}%", (thousandths + 5) / 10) } else { label };
    Cell::Gauge(u16::try_from(thousandths.min(1_000)).unwrap_or(1_000), label)
}

fn by_destination(known: &Known<'_>, view: &mut View, height: u16) -> Table {
    let list = List::Destinations;
    let (sort, reversed) = view.sort(list);
    let columns = vec![
        Column::left("DESTINATION", 21).growing(),
        Column::right("TIME_WAIT", 10).sorted(sort == Sort::Count, reversed),
        Column::right("NEW/S", 7).sorted(sort == Sort::Rate, reversed),
        Column::left("LOCAL PORTS", 18).growing().sorted(sort == Sort::Use, reversed),
        Column::left("RUNS OUT", 15),
        Column::left("FROM", 15).from(120).growing(),
        Column::right("NETNS", 10).from(150),
    ];
    let title = match &known.ports.range {
        Some(range) => format!(
            "by destination; {} ports for each ({}-{}{})",
            words::count(range.pool().into()),
            range.first,
            range.last,
            match range.reserved() {
                0 => String::new(),
                reserved => format!(" less {} reserved", words::count(reserved.into())),
            },
        ),
        None => "by destination; the range of local ports is not known".to_owned(),
    };
    let focused = view.list() == list;
    let page = usize::from(height.saturating_sub(TABLE_FRAME));
    let destinations = &known.survey.destinations;
    let cursor = view.cursor(list);
    cursor.settle(destinations.len(), page, |row| destination_identity(&destinations[row]));
    let rows = destinations
        .iter()
        .skip(cursor.top)
        .take(page)
        .map(|destination| destination_row(known, destination))
        .collect();
    let selected = (!destinations.is_empty()).then(|| cursor.row - cursor.top);
    Table { title, focused, height, columns, rows, selected, empty: "no destination" }
}

fn destination_identity(destination: &Destination) -> u64 {
    identity(&(destination.netns, destination.route))
}

fn destination_row(known: &Known<'_>, destination: &Destination) -> Row {
    let from = match destination.route {
        Route::Out(local, _) => Some(local.to_string()),
        Route::In(..) => None,
    };
    let (tone, ports, full) = match destination.ports {
        None if matches!(destination.route, Route::In(..)) => {
            (Tone::Plain, Cell::text("takes none of ours"), String::new())
        }
        None => (Tone::Plain, Cell::text("range not known"), words::dash()),
        Some(ports) => {
            let (tone, full) = outlook(ports);
            (tone, gauge(ports.held.into(), ports.pool.into(), held(ports)), full)
        }
    };
    let cells = vec![
        Cell::text(words::route(Some(destination.route))),
        Cell::text(words::count(destination.time_waits.into())),
        Cell::text(per_second(known, destination.entered)),
        ports,
        Cell::Toned(tone, full),
        Cell::known(from),
        Cell::known(destination.netns.map(|netns| netns.to_string())),
    ];
    Row { tone: Tone::Plain, cells }
}

fn held(ports: PortUse) -> String {
    let percent = u64::from(ports.held) * 100 / u64::from(ports.pool.max(1));
    format!("{} {percent}%", words::count(ports.held.into()))
}

fn outlook(ports: PortUse) -> (Tone, String) {
    match ports.outlook {
        Outlook::Full => (Tone::Bad, "NOW".to_owned()),
        Outlook::FullIn(seconds) => (Tone::Bad, format!("in {seconds} s")),
        Outlook::Levels(_) if ports.reusable > 0 => (Tone::Plain, "no, reused".to_owned()),
        Outlook::Levels(most) => {
            let percent = u64::from(most) * 100 / u64::from(ports.pool.max(1));
            let tone = if percent >= 80 { Tone::Warn } else { Tone::Plain };
            (tone, format!("no, {percent}% at most"))
        }
    }
}

fn holders(known: &Known<'_>, view: &mut View, height: u16) -> Table {
    let (sort, reversed) = view.sort(List::CloseWaitProcesses);
    let columns = vec![
        Column::left("PROCESS", 20).growing(),
        Column::right("CLOSE_WAIT", 11).sorted(sort == Sort::Count, reversed),
        Column::right("OLDEST", 8).sorted(sort == Sort::Oldest, reversed),
        Column::right("NEVER ACC.", 10),
        Column::left("DESCRIPTORS", 20).growing(),
    ];
    let title = format!(
        "{} in CLOSE_WAIT, by the process that does not close them",
        words::count(known.survey.count(TcpState::CloseWait))
    );
    let cells = |group: &Group| {
        let never = match group.never_accepted {
            0 => Cell::text("0"),
            never => Cell::Toned(Tone::Bad, words::count(never.into())),
        };
        vec![
            Cell::text(words::party(group.owner)),
            Cell::text(words::count(group.count.into())),
            Cell::known(group.oldest.map(|at| known.ago(at))),
            never,
            descriptors(known, group),
        ]
    };
    let mut table = groups(known, view, List::CloseWaitProcesses, height, title, columns, cells);
    table.empty = "no process keeps one";
    table
}

/// How near its limit is.
fn descriptors(known: &Known<'_>, group: &Group) -> Cell {
    let Some((_, Pids::One(pid))) = group.owner else { return Cell::known(None) };
    match known.feed.processes.get(&pid) {
        Some(Process { descriptors: Some(used), limit: Some(limit), .. }) => {
            gauge(*used, *limit, format!("{} of {}", words::count(*used), words::count(*limit)))
        }
        Some(Process { limit: Some(limit), .. }) => Cell::text(format!("limit {}", words::count(*limit))),
        _ => Cell::known(None),
    }
}

/// Of the processes that were counted, those that can be seen.
fn groups(
    known: &Known<'_>,
    view: &mut View,
    list: List,
    height: u16,
    title: String,
    columns: Vec<Column>,
    cells: impl Fn(&Group) -> Vec<Cell>,
) -> Table {
    let focused = view.list() == list;
    let page = usize::from(height.saturating_sub(TABLE_FRAME));
    let groups = &known.survey.groups;
    let cursor = view.cursor(list);
    cursor.settle(groups.len(), page, |row| identity(&groups[row].owner));
    let seen = groups.iter().skip(cursor.top).take(page);
    let rows = seen.map(|group| Row { tone: Tone::Plain, cells: cells(group) }).collect();
    let selected = (!groups.is_empty()).then(|| cursor.row - cursor.top);
    Table { title, focused, height, columns, rows, selected, empty: "no process" }
}

pub(super) fn under_process(view: &mut View, list: List, survey: &Survey) -> Option<Under> {
    let cursor = view.cursor(list);
    cursor.settle(survey.groups.len(), cursor.page, |row| identity(&survey.groups[row].owner));
    words::chosen_by(survey.groups.get(cursor.row)?.owner).map(Under::Words)
}

pub(super) fn under_destination(view: &mut View, survey: &Survey) -> Option<Under> {
    let cursor = view.cursor(List::Destinations);
    cursor.settle(survey.destinations.len(), cursor.page, |row| destination_identity(&survey.destinations[row]));
    Some(Under::Words(words::chosen_by_route(survey.destinations.get(cursor.row)?.route)))
}
