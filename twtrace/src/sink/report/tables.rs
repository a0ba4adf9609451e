//! The tables of a report.

use super::{
    block::{
        Align::{Left, Right},
        Table, sparkline,
    },
    text::Paint,
};
use crate::{
    model::{
        Close, Side,
        report::{CloseWaitHolder, Closes, Destination, Full, IdleEnd, Party, PileUp, Place, Quantiles, Report},
        units::{count, number, percent},
    },
    sink::format::duration,
};
use std::io::{self, Write};

/// Characters of a state's line of time, and of a name.
const SPARK: usize = 32;
const DASH: &str = "-";
/// Rows of a table; JSON has more.
const ROWS: usize = 10;

pub(super) fn write(out: &mut (impl Write + ?Sized), report: &Report, paint: Paint) -> io::Result<()> {
    happened(out, report, paint)?;
    states(out, report, paint)?;
    time_wait(out, report, paint)?;
    ports(out, report, paint)?;
    close_wait(out, report, paint)?;
    pile_ups(out, &report.pile_ups, paint)?;
    closes(out, "WHO CLOSES FIRST, BY PROCESS", &report.closes_by_process, paint)?;
    closes(out, "WHO CLOSES FIRST, BY PEER", &report.closes_by_peer, paint)?;
    idle(out, &report.idle_ends, paint)?;
    audit(out, report, paint)
}

fn section(out: &mut (impl Write + ?Sized), title: &str, table: &Table, paint: Paint) -> io::Result<()> {
    if table.is_empty() {
        return Ok(());
    }
    let (header, rows) = table.lines();
    writeln!(out, "\n{}\n{}", paint.heading(title), paint.with("2", &header))?;
    rows.iter().try_for_each(|row| writeln!(out, "{row}"))
}

fn happened(out: &mut (impl Write + ?Sized), report: &Report, paint: Paint) -> io::Result<()> {
    let happened = &report.happened;
    writeln!(out, "\n{}", paint.heading("WHAT HAPPENED"))?;
    if let Some(rate) = happened.open_rate {
        let peak = happened.open_rate_peak.count;
        writeln!(out, "  opened       {}/s on the average, {} in the busiest second", number(rate), count(peak))?;
    }
    let by_close = happened.by_close.iter().map(|(close, number)| (close.map_or("unknown", Close::name), *number));
    writeln!(out, "  ended by     {}", listed(by_close))?;
    let first = happened.by_closed_first.iter().map(|(side, number)| (side.map_or("unknown", Side::name), *number));
    writeln!(out, "  closed first {}", listed(first))?;
    let lost: u64 = happened.lost.values().sum();
    let places = happened.lost.iter().map(|(place, number)| (place.name(), *number));
    let places = if lost > 0 { format!(" ({})", listed(places)) } else { String::new() };
    writeln!(out, "  events       {}, {} lost{places}", count(happened.events), count(lost))
}

/// `fin 12, reset_sent 3`.
fn listed<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let mut counts: Vec<_> = counts.collect();
    counts.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let counts: Vec<String> = counts.into_iter().map(|(name, number)| format!("{name} {}", count(number))).collect();
    if counts.is_empty() { DASH.to_owned() } else { counts.join(", ") }
}

fn states(out: &mut (impl Write + ?Sized), report: &Report, paint: Paint) -> io::Result<()> {
    let columns = [
        ("STATE", Left),
        ("ENTERED", Right),
        ("PEAK", Right),
        ("NOW", Right),
        ("P50", Right),
        ("P99", Right),
        ("MAX", Right),
        ("OVER TIME", Left),
    ];
    let mut table = Table::new(columns);
    for state in &report.happened.states {
        let [p50, p99, max] = spread(state.lasted.as_ref());
        table.row([
            state.state.name().to_owned(),
            count(state.entered),
            count(state.peak.count),
            count(state.now),
            p50,
            p99,
            max,
            sparkline(&state.over_time.values, SPARK),
        ]);
    }
    section(out, "STATES", &table, paint)
}

fn spread(quantiles: Option<&Quantiles>) -> [String; 3] {
    quantiles.map_or_else(
        || [DASH, DASH, DASH].map(str::to_owned),
        |quantiles| [quantiles.p50, quantiles.p99, quantiles.max].map(duration),
    )
}

fn time_wait(out: &mut (impl Write + ?Sized), report: &Report, paint: Paint) -> io::Result<()> {
    let waits = &report.time_wait;
    if waits.entered == 0 && waits.ends.is_empty() {
        return Ok(());
    }
    let columns = [
        ("OWNER", Left),
        ("CLOSED BY", Left),
        ("WHERE", Left),
        ("ENTERED", Right),
        ("PEAK", Right),
        ("NOW", Right),
        ("REUSED", Right),
        ("MEAN", Right),
    ];
    let mut table = Table::new(columns);
    for maker in waits.makers.iter().take(ROWS) {
        table.row([
            party(maker.owner.as_ref()),
            party(maker.closer.as_ref()),
            place(maker.place),
            count(maker.entered),
            count(maker.peak.count),
            count(maker.now),
            count(maker.reused),
            maker.mean.map_or_else(|| DASH.to_owned(), duration),
        ]);
    }
    section(out, "TIME_WAIT", &table, paint)?;
    more(out, waits.other + waits.makers.iter().skip(ROWS).map(|maker| maker.entered).sum::<u64>(), "of other makers")?;
    let ends = waits.ends.iter().map(|(end, number)| (end.map_or("unknown", |end| end.name()), *number));
    let open = (waits.now > 0).then_some(("open", waits.now));
    writeln!(out, "  ended: {}", listed(ends.chain(open)))?;
    let basis = waits.basis.iter().map(|(basis, number)| (basis.name(), *number));
    writeln!(out, "  known by: {}", listed(basis))
}

fn more(out: &mut (impl Write + ?Sized), number: u64, what: &str) -> io::Result<()> {
    if number > 0 { writeln!(out, "  and {} {what}", count(number)) } else { Ok(()) }
}

fn ports(out: &mut (impl Write + ?Sized), report: &Report, paint: Paint) -> io::Result<()> {
    let columns = [
        ("FROM", Left),
        ("TO", Left),
        ("OPENED", Right),
        ("RATE", Right),
        ("PORTS HELD", Right),
        ("TIME_WAIT", Right),
        ("OF", Right),
        ("HOLD", Right),
        ("MOST/s", Right),
        ("NO PORT", Right),
        ("FULL", Left),
    ];
    let mut table = Table::new(columns);
    for destination in report.destinations.iter().take(ROWS) {
        table.row(port_row(destination));
    }
    section(out, "LOCAL PORTS BY DESTINATION (at the peak)", &table, paint)?;
    let rest = report.destinations.iter().skip(ROWS).map(|destination| destination.opened).sum::<u64>();
    more(out, report.other_destinations + rest, "connections to other destinations")
}

fn port_row(destination: &Destination) -> [String; 11] {
    let dash = || DASH.to_owned();
    [
        destination.local.to_string(),
        destination.remote.to_string(),
        count(destination.opened),
        destination.open_rate.map_or_else(dash, |rate| format!("{}/s", number(rate))),
        count(destination.held_peak.count),
        count(destination.time_wait_at_peak),
        destination.pool.map_or_else(dash, |pool| {
            let share = destination.held_peak.count as f64 / f64::from(pool.max(1));
            format!("{} ({})", count(pool.into()), percent(share))
        }),
        destination.hold.map_or_else(dash, duration),
        destination.sustainable.map_or_else(dash, number),
        count(destination.no_port),
        match destination.full {
            Full::Was(_) => "yes".to_owned(),
            Full::In(time) => format!("in {}", duration(time)),
            Full::Never => "never".to_owned(),
            Full::Unknown => dash(),
        },
    ]
}

fn close_wait(out: &mut (impl Write + ?Sized), report: &Report, paint: Paint) -> io::Result<()> {
    let columns = [
        ("PROCESS", Left),
        ("WHERE", Left),
        ("ENTERED", Right),
        ("PEAK", Right),
        ("NOW", Right),
        ("NOT CLOSED", Right),
        ("NOT ACCEPTED", Right),
        ("OLDEST", Right),
        ("GROWTH", Right),
        ("DESCRIPTORS", Right),
    ];
    let mut table = Table::new(columns);
    for holder in report.close_wait.holders.iter().take(ROWS) {
        table.row(holder_row(holder));
    }
    section(out, "CLOSE_WAIT", &table, paint)?;
    more(out, report.close_wait.other, "of other processes")?;
    let mut oldest =
        Table::new([("OLDEST FOR", Right), ("BY", Left), ("CONNECTION", Left), ("PID", Right), ("", Left)]);
    let mut all: Vec<_> = report.close_wait.holders.iter().flat_map(|holder| &holder.oldest).collect();
    all.sort_by_key(|oldest| (std::cmp::Reverse(oldest.age), oldest.connection));
    for old in all.into_iter().take(ROWS) {
        oldest.row([
            duration(old.age),
            old.basis.name().to_owned(),
            format!("{} {}", old.tuple.local, old.tuple.remote),
            old.pid.map_or_else(|| DASH.to_owned(), |pid| pid.to_string()),
            if old.accepted == Some(false) { "never accepted" } else { "" }.to_owned(),
        ]);
    }
    section(out, "OLDEST CLOSE_WAIT", &oldest, paint)
}

fn holder_row(holder: &CloseWaitHolder) -> [String; 10] {
    let dash = || DASH.to_owned();
    let descriptors = holder.descriptors.zip(holder.descriptor_limit);
    [
        party(holder.party.as_ref()),
        holder.place.map_or_else(dash, place),
        count(holder.entered),
        count(holder.peak.count),
        count(holder.now),
        count(holder.not_closed),
        count(holder.not_accepted),
        holder.oldest.first().map_or_else(dash, |oldest| duration(oldest.age)),
        holder.growth_per_minute.map_or_else(dash, |growth| format!("{}/min", number(growth))),
        descriptors.map_or_else(dash, |(used, limit)| format!("{} of {}", count(used), count(limit))),
    ]
}

fn pile_ups(out: &mut (impl Write + ?Sized), rows: &[PileUp], paint: Paint) -> io::Result<()> {
    let columns = [
        ("STATE", Left),
        ("PROCESS", Left),
        ("WHERE", Left),
        ("PEAK", Right),
        ("NOW", Right),
        ("LONGEST", Right),
        ("", Left),
    ];
    let mut table = Table::new(columns);
    for row in rows.iter().take(ROWS) {
        table.row([
            row.state.name().to_owned(),
            party(row.owner.as_ref()),
            place(row.place),
            count(row.peak.count),
            count(row.now),
            duration(row.longest),
            if row.not_accepted > 0 { "never accepted" } else { "" }.to_owned(),
        ]);
    }
    section(out, "STAYING FOR A SECOND AND MORE", &table, paint)
}

fn closes(out: &mut (impl Write + ?Sized), title: &str, rows: &[Closes], paint: Paint) -> io::Result<()> {
    let columns = [
        (if rows.iter().any(|row| row.place.is_some()) { "PEER" } else { "PROCESS" }, Left),
        ("CLOSED", Right),
        ("LOCAL", Right),
        ("REMOTE", Right),
        ("BOTH", Right),
        ("NEITHER", Right),
        ("HOW", Left),
    ];
    let mut table = Table::new(columns);
    for row in rows.iter().take(ROWS) {
        let first = |side: Side| count(row.first.get(&Some(side)).copied().unwrap_or(0));
        let close = row.close.iter().map(|(close, number)| (close.map_or("unknown", Close::name), *number));
        let reasons = row.reasons.iter().map(|(reason, number)| (*reason, *number));
        let reasons = if row.reasons.is_empty() { String::new() } else { format!(" ({})", listed(reasons)) };
        table.row([
            row.place.map_or_else(|| party(row.party.as_ref()), place),
            count(row.closed),
            first(Side::Local),
            first(Side::Remote),
            first(Side::Simultaneous),
            first(Side::Neither),
            format!("{}{reasons}", listed(close)),
        ]);
    }
    section(out, title, &table, paint)
}

fn idle(out: &mut (impl Write + ?Sized), rows: &[IdleEnd], paint: Paint) -> io::Result<()> {
    let mut table = Table::new([
        ("CLOSER", Left),
        ("SIDE", Left),
        ("WHERE", Left),
        ("IDLE", Right),
        ("CLOSES", Right),
        ("OF", Right),
    ]);
    for row in rows.iter().take(ROWS) {
        table.row([
            party(row.closer.as_ref()),
            row.side.name().to_owned(),
            place(row.place),
            duration(row.timeout),
            count(row.count),
            count(row.of),
        ]);
    }
    section(out, "CLOSED AFTER A ROUND TIME WITHOUT DATA", &table, paint)
}

fn audit(out: &mut (impl Write + ?Sized), report: &Report, paint: Paint) -> io::Result<()> {
    let mut table = Table::new([("KERNEL'S COUNTER", Left), ("KERNEL", Right), ("SEEN", Right), ("", Left)]);
    for line in &report.happened.audit {
        let agrees = if line.agrees() { "agrees" } else { "DISAGREES" };
        table.row([line.counter.to_owned(), count(line.kernel), count(line.seen), agrees.to_owned()]);
    }
    section(out, "AUDIT", &table, paint)
}

/// `nginx/12,13,+`.
fn party(party: Option<&Party>) -> String {
    let Some(party) = party else { return DASH.to_owned() };
    let shown: Vec<String> = party.pids.iter().take(2).map(u32::to_string).collect();
    let more = if party.more_pids || party.pids.len() > 2 { ",+" } else { "" };
    format!("{}/{}{more}", party.comm, shown.join(","))
}

fn place(place: Place) -> String {
    match place {
        Place::To(end) => format!("to {end}"),
        Place::At(port) => format!("at :{port}"),
        Place::With(ip) => format!("with {ip}"),
    }
}
