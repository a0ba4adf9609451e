//! One connection: its whole life, and that of its other end where that is on this host.

use super::{
    super::{
        desk::Opened,
        scene::{Bar, Detail, End, Line, Tone},
        theme,
        view::View,
    },
    Known, words,
};
use crate::{
    model::{
        Basis, Ktime, Lifecycle, Span, TcpState, TimeWaitEnd,
        observation::{Container, Runtime, Traffic},
        process::escaped,
    },
    sink::format,
};

pub(super) fn detail(known: &Known<'_>, view: &View, opened: &Opened) -> Detail {
    let life = &opened.life;
    let lives = || std::iter::once(life).chain(opened.other.as_ref());
    let from = lives().filter_map(first).min().unwrap_or(opened.at);
    let until = lives().filter_map(|life| last(life, opened.at, view.zoomed)).max().unwrap_or(opened.at).max(from);
    let scale = Scale { from, until, zoomed: view.zoomed, now: opened.at };
    let mut ends = vec![end(known, "this end", life, &scale)];
    if let Some(other) = &opened.other {
        ends.push(end(known, "other end", other, &scale));
    }
    let title = format!(
        "#{}  {} {} {}",
        life.id,
        format::end(life.tuple.local),
        words::arrow(life),
        format::end(life.tuple.remote)
    );
    Detail {
        title,
        facts: facts(known, life, opened.other.is_some()),
        ends,
        edges: (known.time(from), known.time(until)),
        length: until.since(from),
        scroll: view.scroll,
    }
}

/// The moments at the edges.
struct Scale {
    from: Ktime,
    until: Ktime,
    zoomed: bool,
    now: Ktime,
}

fn first(life: &Lifecycle) -> Option<Ktime> {
    life.opened.into_iter().chain(life.spans.iter().filter_map(|span| span.entered)).min()
}

/// Where its picture ends: TIME_WAIT outlasts most of what came before it.
fn last(life: &Lifecycle, now: Ktime, zoomed: bool) -> Option<Ktime> {
    let time_wait = life.span(TcpState::TimeWait).filter(|_| zoomed).and_then(|span| span.entered);
    time_wait.or(life.ended).or(Some(now))
}

fn end(known: &Known<'_>, who: &str, life: &Lifecycle, scale: &Scale) -> End {
    let title = format!("{who}: {}  {}", words::owner(life), format::end(life.tuple.local));
    let next = |place: usize| life.spans.get(place + 1).and_then(|span| span.entered).or(life.ended);
    let bars = life.spans.iter().enumerate().map(|(place, span)| bar(span, next(place), scale));
    let bars = bars.filter(|bar| !(scale.zoomed && bar.name == TcpState::TimeWait.name())).collect();
    let mut facts = place(life, usize::from(known.size.0));
    facts.push(carried(known, life));
    End { title, facts, bars }
}

/// Where it runs, as far as that is known: on one line if that is wide enough.
fn place(life: &Lifecycle, width: usize) -> Vec<Line> {
    let mut parts = Vec::new();
    if let Some(Container { runtime, id, pod }) = life.container() {
        // As its own tools show it.
        let id: String = if *runtime == Runtime::Systemd { id.to_string() } else { id.chars().take(12).collect() };
        parts.push((runtime.name(), escaped(id.as_bytes())));
        parts.extend(pod.as_ref().map(|pod| ("pod", escaped(pod.as_bytes()))));
    }
    parts.extend(life.cgroup().map(|cgroup| ("cgroup", escaped(cgroup.as_bytes()))));
    let mut lines: Vec<Line> = Vec::new();
    let mut room = 0;
    for (name, value) in parts {
        let length = name.chars().count() + value.chars().count() + 3;
        if length > room {
            lines.push(Line::default());
            room = width;
        }
        room = room.saturating_sub(length);
        if let Some(Line(words)) = lines.last_mut() {
            words.push((Tone::Dim, format!("{}{name} ", if words.is_empty() { "" } else { "  " })));
            words.push((Tone::Plain, value));
        }
    }
    lines
}

fn carried(known: &Known<'_>, life: &Lifecycle) -> Line {
    let carried = life.carried();
    let traffic = carried.map(|(traffic, _)| traffic);
    let bytes = |of: fn(&Traffic) -> u64| {
        traffic.as_ref().map_or_else(words::dash, |traffic| format!("{} B", words::count(of(traffic))))
    };
    let until = match carried {
        None => "carried: ".to_owned(),
        Some((_, None)) => "carried in all: ".to_owned(),
        Some((_, Some(at))) => format!("carried as of {} (sock_diag): ", known.second(at)),
    };
    let mut words = vec![
        (Tone::Dim, until),
        (Tone::Dim, "sent ".to_owned()),
        (Tone::Plain, bytes(|traffic| traffic.bytes_sent)),
        (Tone::Dim, "  received ".to_owned()),
        (Tone::Plain, bytes(|traffic| traffic.bytes_received)),
    ];
    if let Some(Traffic { retransmits, srtt, .. }) = traffic {
        let srtt = srtt.map_or_else(words::dash, format::duration);
        let more = [("  resent ", words::count(retransmits.into())), ("  rtt ", srtt)];
        words.extend(more.into_iter().flat_map(|(name, value)| [(Tone::Dim, name.to_owned()), (Tone::Plain, value)]));
    }
    Line(words)
}

fn bar(span: &Span, next: Option<Ktime>, scale: &Scale) -> Bar {
    let until = span.entered.zip(span.lasted).map(|(entered, lasted)| entered.after(lasted)).or(next);
    let is_open = until.is_none();
    let until = until.unwrap_or(scale.now).min(scale.until);
    let lasted = match (span.lasted, span.entered) {
        (Some(lasted), _) => {
            format!("{}{}", if span.basis >= Basis::SockDiag { "~" } else { "" }, format::duration(lasted))
        }
        (None, Some(entered)) if is_open => format!("{}+", words::brief(scale.now.since(entered))),
        (None, _) => words::dash(),
    };
    Bar {
        name: span.state.name(),
        tone: theme::state(span.state),
        span: span.entered.map(|entered| (entered.since(scale.from), until.since(scale.from))),
        lasted,
        basis: span.basis.name(),
    }
}

fn facts(known: &Known<'_>, life: &Lifecycle, both: bool) -> Vec<Line> {
    let plain = |text: String| (Tone::Plain, text);
    let dim = |text: &str| (Tone::Dim, text.to_owned());
    let moment = |at: Option<Ktime>, none: &str| at.map_or_else(|| none.to_owned(), |at| known.time(at));
    let mut lines = vec![
        Line(vec![
            dim("opened "),
            plain(moment(life.opened, "before tracing began")),
            dim("  ended "),
            plain(moment(life.ended, "not yet")),
            dim("  owner "),
            plain(words::owner(life)),
            dim(" "),
            dim(life.owner.map_or("", |owner| owner.basis.name())),
        ]),
        Line(vec![
            dim("closed first "),
            plain(words::closed_by(life)),
            dim("  how "),
            plain(how(life)),
            dim("  network namespace "),
            plain(life.netns.map_or_else(words::dash, |netns| netns.to_string())),
        ]),
    ];
    let remarks = remarks(life, both);
    if !remarks.is_empty() {
        lines.push(Line(vec![(Tone::Warn, remarks)]));
    }
    lines
}

fn how(life: &Lifecycle) -> String {
    match (life.close, life.close_reason) {
        (None, _) if life.ended.is_none() => "open".to_owned(),
        (None, _) => words::dash(),
        (Some(close), None) => close.name().to_owned(),
        (Some(close), Some(reason)) => format!("{} ({reason})", close.name()),
    }
}

fn remarks(life: &Lifecycle, both: bool) -> String {
    let mut remarks = Vec::new();
    if life.accepted == Some(false) {
        remarks.push("never accepted by the application".to_owned());
    }
    match life.time_wait_end {
        None => {}
        Some(TimeWaitEnd::Overflow) => remarks.push("no TIME_WAIT could be made (tcp_max_tw_buckets)".to_owned()),
        Some(end) => remarks.push(format!("TIME_WAIT {}", end.name())),
    }
    if life.time_wait_restarts > 0 {
        remarks.push(format!("TIME_WAIT started again, times: {}", life.time_wait_restarts));
    }
    if life.preexisting {
        remarks.push("open before tracing".to_owned());
    }
    if life.lost_evidence > 0 {
        remarks.push(format!("up to {} of its events lost", life.lost_evidence));
    }
    if life.broken {
        remarks.push("a transition is missing".to_owned());
    }
    if !both {
        remarks.push("the other end is not on this host, or was not seen".to_owned());
    }
    remarks.join(", ")
}
