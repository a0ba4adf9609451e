//! The tables: whatever the report holds, row by row.

use super::{
    chart::table,
    words::{self, count, known, nanos},
};
use crate::{
    model::{
        Close, Side,
        report::{Closes, Destination, Full, Report, Reuse},
    },
    sink::{Clock, format},
};
use maud::{Markup, html};

pub(super) fn tables(report: &Report, clock: Clock) -> Markup {
    html! {
        section {
            h2 { "The tables" }
            (states(report, clock))
            (destinations(report, clock))
            (makers(report, clock))
            (holders(report, clock))
            (oldest(report))
            (pile_ups(report, clock))
            (closes("Who closes first, by process", &report.closes_by_process, |closes| words::party(closes.party.as_ref())))
            (closes("Who closes first, by peer", &report.closes_by_peer, |closes| words::place(closes.place)))
            (idle_ends(report))
            (audit(report))
            (settings(report))
        }
    }
}

/// A heading and its table; neither where there is no row.
fn titled(title: &str, head: &[&str], rows: Vec<Vec<String>>) -> Markup {
    html! { @if !rows.is_empty() { h3 { (title) } (table(title, head, rows)) } }
}

fn states(report: &Report, clock: Clock) -> Markup {
    let rows = report.happened.states.iter().map(|state| {
        vec![
            state.state.name().to_owned(),
            count(state.entered),
            count(state.now),
            words::peak(state.peak, clock),
            nanos(state.lasted.map(|lasted| lasted.p50)),
            nanos(state.lasted.map(|lasted| lasted.p99)),
            nanos(state.lasted.map(|lasted| lasted.max)),
        ]
    });
    titled(
        "States",
        &["state", "entered", "at the end", "at the peak", "median", "99 of 100", "longest"],
        rows.collect(),
    )
}

fn destinations(report: &Report, clock: Clock) -> Markup {
    let rows = report.destinations.iter().map(|destination| {
        let Destination { local, remote, owners, pool, .. } = destination;
        vec![
            remote.to_string(),
            local.to_string(),
            owners.iter().map(|owner| words::party(Some(owner))).collect::<Vec<_>>().join(", "),
            count(destination.opened),
            known(destination.open_rate, |rate| format!("{}/s", words::rate(rate))),
            words::peak(destination.held_peak, clock),
            count(destination.time_wait_at_peak),
            known(*pool, |pool| count(pool.into())),
            nanos(destination.hold),
            known(destination.sustainable, |rate| format!("{}/s", words::rate(rate))),
            known(destination.sustainable_with_reuse, |rate| format!("{}/s", words::rate(rate))),
            reuse(destination.reuse),
            full(destination.full, clock),
            count(destination.no_port),
            count(destination.refused),
            count(destination.unanswered),
        ]
    });
    let head = [
        "destination",
        "from",
        "process",
        "opened",
        "rate",
        "ports at the peak",
        "of these in TIME_WAIT",
        "ports there are",
        "a port is held for",
        "highest rate",
        "with tcp_tw_reuse",
        "tcp_tw_reuse",
        "no port left",
        "found no port",
        "refused",
        "unanswered",
    ];
    html! {
        (titled("Destinations", &head, rows.collect()))
        (left_out(report.other_destinations, "connection", "other destinations"))
    }
}

fn reuse(reuse: Reuse) -> String {
    match reuse {
        Reuse::After(nanos) => format!("after {}", format::duration(nanos)),
        Reuse::Off => "off".to_owned(),
        Reuse::LoopbackOnly => "for loopback alone".to_owned(),
        Reuse::NoTimestamps => "no use: tcp_timestamps is off".to_owned(),
        Reuse::Unknown => words::UNKNOWN.to_owned(),
    }
}

fn full(full: Full, clock: Clock) -> String {
    match full {
        Full::Was(at) => format!("at {}", words::moment(at, clock)),
        Full::In(nanos) => format!("in {}", format::duration(nanos)),
        Full::Never => "never, as things go".to_owned(),
        Full::Unknown => words::UNKNOWN.to_owned(),
    }
}

fn makers(report: &Report, clock: Clock) -> Markup {
    let rows = report.time_wait.makers.iter().map(|maker| {
        vec![
            words::party(maker.owner.as_ref()),
            words::place(Some(maker.place)),
            words::party(maker.closer.as_ref()),
            count(maker.entered),
            count(maker.now),
            words::peak(maker.peak, clock),
            count(maker.reused),
            nanos(maker.mean),
        ]
    });
    let head = ["process", "connections", "closed by", "TIME_WAITs", "at the end", "at the peak", "taken over", "mean"];
    let ends =
        report.time_wait.ends.iter().map(|(end, number)| (end.map_or(words::UNKNOWN, |end| end.name()), *number));
    html! {
        (titled("TIME_WAIT: who made them", &head, rows.collect()))
        (left_out(report.time_wait.other, "TIME_WAIT", "others"))
        @if !report.time_wait.ends.is_empty() { p.soft { "How they ended: " (words::counts(ends)) "." } }
    }
}

fn holders(report: &Report, clock: Clock) -> Markup {
    let rows = report.close_wait.holders.iter().map(|holder| {
        vec![
            words::party(holder.party.as_ref()),
            words::place(holder.place),
            count(holder.now),
            words::peak(holder.peak, clock),
            count(holder.not_closed),
            count(holder.not_accepted),
            count(holder.over_a_minute),
            known(holder.growth_per_minute, |growth| format!("{}/min", words::rate(growth))),
            known(holder.descriptors, count),
            known(holder.descriptor_limit, count),
            known(holder.limit_in, |nanos| format!("in {}", format::duration(nanos))),
        ]
    });
    let head = [
        "process",
        "connections",
        "at the end",
        "at the peak",
        "not closed",
        "never accepted",
        "over a minute",
        "growth",
        "descriptors",
        "its limit",
        "limit reached",
    ];
    html! {
        (titled("CLOSE_WAIT: who holds them", &head, rows.collect()))
        (left_out(report.close_wait.other, "CLOSE_WAIT", "others"))
    }
}

fn oldest(report: &Report) -> Markup {
    let holders = report.close_wait.holders.iter();
    let rows = holders.flat_map(|holder| &holder.oldest).map(|oldest| {
        vec![
            oldest.tuple.local.to_string(),
            oldest.tuple.remote.to_string(),
            known(oldest.pid, |pid| pid.to_string()),
            format::duration(oldest.age),
            oldest.basis.name().to_owned(),
            known(oldest.accepted, |accepted| if accepted { "yes" } else { "no" }.to_owned()),
        ]
    });
    titled("CLOSE_WAIT: the oldest", &["local", "remote", "pid", "age", "basis", "accepted"], rows.collect())
}

fn pile_ups(report: &Report, clock: Clock) -> Markup {
    let rows = report.pile_ups.iter().map(|pile| {
        vec![
            pile.state.name().to_owned(),
            words::party(pile.owner.as_ref()),
            words::place(Some(pile.place)),
            count(pile.entered),
            count(pile.now),
            words::peak(pile.peak, clock),
            format::duration(pile.longest),
        ]
    });
    let head = ["state", "process", "connections", "entered", "at the end", "at the peak", "longest"];
    titled("Where else connections stay", &head, rows.collect())
}

fn closes(title: &str, closes: &[Closes], name: impl Fn(&Closes) -> String) -> Markup {
    let rows = closes.iter().map(|closes| {
        let by_close = closes.close.iter().map(|(close, number)| (close.map_or(words::UNKNOWN, Close::name), *number));
        vec![
            name(closes),
            count(closes.closed),
            words::counts(closes.first.iter().map(|(side, number)| (side.map_or(words::UNKNOWN, Side::name), *number))),
            words::counts(by_close),
            words::counts(closes.reasons.iter().map(|(reason, number)| (*reason, *number))),
        ]
    });
    titled(title, &["who", "closed", "who closed first", "how", "reasons of resets"], rows.collect())
}

fn idle_ends(report: &Report) -> Markup {
    let rows = report.idle_ends.iter().map(|idle| {
        vec![
            words::party(idle.closer.as_ref()),
            idle.side.name().to_owned(),
            words::place(Some(idle.place)),
            format::duration(idle.timeout),
            count(idle.count),
            count(idle.of),
        ]
    });
    let head = ["closed by", "side", "connections", "after so long without data", "how many", "of those known"];
    titled("Ends after a round idle time", &head, rows.collect())
}

fn audit(report: &Report) -> Markup {
    let rows = report.happened.audit.iter().map(|line| {
        let verdict = if line.agrees() { "agree" } else { "disagree" };
        vec![line.counter.to_owned(), count(line.kernel), count(line.seen), verdict.to_owned()]
    });
    let lost = report.happened.lost.iter().map(|(place, number)| (place.name(), *number));
    html! {
        (titled("The kernel's counters against what was seen", &["counter", "kernel", "seen", "verdict"], rows.collect()))
        p.soft {
            (words::counted(report.happened.events, "event")) " came in; "
            @if report.happened.lost.is_empty() { "none was lost." } @else { "lost: " (words::counts(lost)) "." }
        }
    }
}

fn settings(report: &Report) -> Markup {
    let rows = report.hosts.iter().flat_map(|host| {
        let name = known(host.name.as_deref(), format::one_line);
        host.sysctls.iter().map(move |(sysctl, value)| vec![sysctl.clone(), format::one_line(value), name.clone()])
    });
    titled("Settings", &["sysctl", "value", "host"], rows.collect())
}

fn left_out(number: u64, thing: &str, of: &str) -> Markup {
    html! { @if number > 0 { p.soft { "Not listed: " (words::counted(number, thing)) " of " (of) "." } } }
}
