//! The figures at the head of the page, and the charts.

use super::{
    chart::{self, Layer, Stack, Values},
    svg, words,
};
use crate::{
    model::{
        Side,
        report::{Closes, Destination, Report, StateCount},
    },
    sink::{Clock, format},
};
use maud::{Markup, html};

/// Rows of a chart at the most; the tables have the others.
const ROWS: usize = 8;

/// What somebody wants to know first.
pub(super) fn tiles(report: &Report, clock: Clock) -> Markup {
    let happened = &report.happened;
    let lost: u64 = happened.lost.values().sum();
    let disagree = happened.audit.iter().filter(|line| !line.agrees()).count();
    let audit = match (happened.audit.len(), disagree) {
        (0, _) => "not held against the kernel's counters".to_owned(),
        (_, 0) => "the kernel's counters agree".to_owned(),
        (all, some) => format!("{some} of {all} kernel counters disagree"),
    };
    html! {
        dl.tiles {
            (tile("connections opened", &words::count(happened.opened), &words::known(happened.open_rate, |rate| format!("{}/s on the average", words::rate(rate)))))
            (tile("TIME_WAIT at the peak", &words::count(report.time_wait.peak.count), &words::known(report.time_wait.peak.at, |at| format!("at {}", words::moment(at, clock)))))
            (tile("CLOSE_WAIT at the end", &words::count(report.close_wait.now), &format!("{} at the peak", words::count(report.close_wait.peak.count))))
            (tile("events lost", &words::count(lost), &audit))
        }
    }
}

fn tile(name: &str, figure: &str, more: &str) -> Markup {
    html! { div { dt { (name) } dd { (figure) small { (more) } } } }
}

pub(super) fn charts(report: &Report, clock: Clock) -> Markup {
    html! {
        h2 { "What happened" }
        (states(report, clock))
        (rate(report, clock))
        (ports(report, clock))
        (close_waits(report))
        (durations(&report.happened.states))
        (closers(report))
    }
}

fn states(report: &Report, clock: Clock) -> Markup {
    let states = &report.happened.states;
    let most = states.iter().max_by_key(|state| state.peak.count);
    let says = most.map_or_else(String::new, |most| {
        format!("The most in one state: {} in {}.", words::peak(most.peak, clock), most.state)
    });
    let layers = states.iter().map(|state| Layer {
        name: state.state.name(),
        class: state.state.name().to_lowercase(),
        values: Values::Stock(&state.over_time),
    });
    Stack { title: "Connections by state", says, unit: "connections", layers: layers.collect(), clock }.draw()
}

fn rate(report: &Report, clock: Clock) -> Markup {
    let happened = &report.happened;
    let says = format!("The most within a second: {}.", words::peak(happened.open_rate_peak, clock));
    let values = Values::Flow(&happened.opened_over_time);
    let layers = vec![Layer { name: "opened", class: "established".to_owned(), values }];
    Stack { title: "Connections opened a second", says, unit: "a second", layers, clock }.draw()
}

/// Local ports toward each destination, against those that there are.
fn ports(report: &Report, clock: Clock) -> Markup {
    let destinations = report.destinations.iter().filter(|destination| destination.held_peak.count > 0);
    let destinations: Vec<&Destination> = destinations.take(ROWS).collect();
    html! {
        @if !destinations.is_empty() {
            figure {
                figcaption {
                    h3 { "Local ports held toward each destination" }
                    p { "At the peak, of those that a connect may choose from, and over time under that limit. A port is held by a connection and then by its TIME_WAIT." }
                }
                ul.rows { @for destination in destinations { (ports_toward(destination, clock)) } }
                (chart::legend([("time_wait", "in TIME_WAIT"), ("established", "other states")]))
            }
        }
    }
}

fn ports_toward(destination: &Destination, clock: Clock) -> Markup {
    let Destination { local, remote, held_peak, time_wait_at_peak, pool, .. } = destination;
    let all = pool.map(|pool| f64::from(pool.max(1)));
    let of = match all {
        Some(all) => format!("of {} ({})", words::count(all as u64), words::share(held_peak.count as f64 / all)),
        None => "of a number that is not known".to_owned(),
    };
    let says = format!("{} {of}", words::peak(*held_peak, clock));
    let all = all.unwrap_or(held_peak.count as f64);
    let parts = [
        ("time_wait", *time_wait_at_peak as f64 / all),
        ("established", held_peak.count.saturating_sub(*time_wait_at_peak) as f64 / all),
    ];
    let over_time = format!("ports held toward {remote} over time");
    html! {
        li {
            div.name { (remote) div.amount { "from " (local) } }
            div.amount { (says) }
            (chart::parts(&says, &parts))
            (chart::sparkline(&over_time, &destination.held_over_time, "time_wait", *pool))
        }
    }
}

fn close_waits(report: &Report) -> Markup {
    let holders = report.close_wait.holders.iter().filter(|holder| !holder.oldest.is_empty()).take(ROWS);
    let holders: Vec<_> = holders.collect();
    let ages = holders.iter().flat_map(|holder| &holder.oldest).map(|oldest| oldest.age);
    let oldest = ages.max().unwrap_or(0).max(1) as f64;
    html! {
        @if !holders.is_empty() {
            figure {
                figcaption {
                    h3 { "CLOSE_WAIT: how long the peer has waited" }
                    p { "The oldest that are still open at the end, by process. The peer has closed; this end has not." }
                }
                ul.rows {
                    @for holder in holders {
                        @let says = format!("{} open, the oldest for {}", words::count(holder.now), format::duration(holder.oldest[0].age));
                        li {
                            div.name { (words::party(holder.party.as_ref())) div.amount { (words::place(holder.place)) } }
                            div.amount { (says) }
                            (chart::parts(&says, &[("close_wait", holder.oldest[0].age as f64 / oldest)]))
                            (chart::sparkline(&format!("{} over time", words::party(holder.party.as_ref())), &holder.over_time, "close_wait", None))
                        }
                    }
                }
            }
        }
    }
}

/// How long connections stayed in each state, on a scale on which each line is ten times the one before.
fn durations(states: &[StateCount]) -> Markup {
    let lasted: Vec<_> = states.iter().filter_map(|state| Some((state, state.lasted?))).collect();
    let shortest = lasted.iter().map(|(_, lasted)| decade(lasted.min).floor()).fold(f64::INFINITY, f64::min);
    let longest = lasted.iter().map(|(_, lasted)| decade(lasted.max).ceil()).fold(0.0, f64::max).max(shortest + 1.0);
    let place = |nanos: u64| (decade(nanos) - shortest) / (longest - shortest);
    html! {
        @if !lasted.is_empty() {
            figure {
                figcaption {
                    h3 { "How long connections stayed in each state" }
                    p { "Half of them no longer than the mark in the middle, nine of ten no longer than the end of the dark bar. The pale bar goes from the shortest to the longest. Each step of the scale is ten times the one before." }
                }
                ul.rows {
                    @for (state, lasted) in &lasted {
                        @let class = state.state.name().to_lowercase();
                        @let says = format!("{} median, {} for nine of ten, {} the longest", format::duration(lasted.p50), format::duration(lasted.p90), format::duration(lasted.max));
                        li {
                            div.name { (state.state.name()) div.amount { (words::counted(lasted.count, "connection")) } }
                            div.amount { (says) }
                            div.bar {
                                (svg::drawing(&says, &html! {
                                    (svg::bar(&format!("{class} reach"), place(lasted.min), place(lasted.max).max(place(lasted.min) + 0.004), 40.0))
                                    (svg::bar(&class, place(lasted.min), place(lasted.p90).max(place(lasted.min) + 0.004), 70.0))
                                    (svg::bar("median", place(lasted.p50) - 0.003, place(lasted.p50) + 0.003, 100.0))
                                }))
                            }
                        }
                    }
                    li.axis { div.name {} div.x { (scale(shortest, longest)) } }
                }
            }
        }
    }
}

/// The power of ten of a time; what is shorter than a microsecond counts as one.
fn decade(nanos: u64) -> f64 {
    (nanos.max(1_000) as f64).log10()
}

/// Labels at powers of ten, five at the most.
fn scale(shortest: f64, longest: f64) -> Markup {
    let decades = longest - shortest;
    let every = (decades / 4.0).ceil().max(1.0);
    let marks = (0..).map(|number| f64::from(number) * every).take_while(|mark| *mark <= decades);
    html! {
        @for mark in marks {
            (chart::x_label(mark / decades, &scale_words(10_f64.powf(shortest + mark))))
        }
    }
}

fn scale_words(nanos: f64) -> String {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "us")];
    let (unit, name) = units.into_iter().find(|(unit, _)| nanos >= *unit * 0.999).unwrap_or((1.0, "ns"));
    format!("{}{name}", words::count((nanos / unit).round() as u64))
}

fn closers(report: &Report) -> Markup {
    let closes: Vec<&Closes> = report.closes_by_process.iter().filter(|closes| closes.closed > 0).take(ROWS).collect();
    let most = closes.iter().map(|closes| closes.closed).max().unwrap_or(1) as f64;
    let sides = [Some(Side::Local), Some(Side::Remote), Some(Side::Simultaneous), Some(Side::Neither), None];
    html! {
        @if !closes.is_empty() {
            figure {
                figcaption {
                    h3 { "Who closed first" }
                    p { "Whoever closes first keeps the TIME_WAIT. Nobody does where a connection was refused, timed out or was never established." }
                }
                ul.rows {
                    @for closes in closes {
                        @let first = |side: Option<Side>| closes.first.get(&side).copied().unwrap_or(0);
                        @let says = words::counts(sides.into_iter().filter(|side| first(*side) > 0).map(|side| (side_words(side), first(side))));
                        @let parts = sides.map(|side| (side_class(side), first(side) as f64 / most));
                        li {
                            div.name { (words::party(closes.party.as_ref())) }
                            div.amount { (says) }
                            (chart::parts(&says, &parts))
                        }
                    }
                }
                (chart::legend(sides.map(|side| (side_class(side), side_words(side)))))
            }
        }
    }
}

fn side_class(side: Option<Side>) -> &'static str {
    side.map_or("of_unknown", Side::name)
}

fn side_words(side: Option<Side>) -> &'static str {
    match side {
        Some(Side::Local) => "this process",
        Some(Side::Remote) => "its peer",
        Some(Side::Simultaneous) => "both at once",
        Some(Side::Neither) => "neither",
        None => words::UNKNOWN,
    }
}
