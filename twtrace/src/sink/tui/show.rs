//! Turns what is known into a scene: which words, which rows, how loud.

mod closing;
mod connections;
mod detail;
mod events;
mod overview;
mod waits;
mod words;

use super::{
    Doing,
    desk::{Findings, Opened},
    feed::Feed,
    scene::{Body, Foot, Head, Help, Scene, Tone},
    survey::{Lives, Ports, Survey},
    view::{List, Tab, View},
};
use crate::{
    model::{Ktime, TcpState},
    sink::{Clock, format},
};

/// Lines that are not the body's: two at the top, one at the bottom.
const FRAME: u16 = 3;
/// Lines of a list that are no rows: its title and its header.
const TABLE_FRAME: u16 = 2;

/// What there is to be shown.
pub(super) struct Known<'a> {
    pub(super) survey: &'a Survey,
    pub(super) lives: Lives<'a>,
    pub(super) feed: &'a Feed,
    pub(super) ports: &'a Ports,
    pub(super) now: Ktime,
    pub(super) clock: Option<Clock>,
    pub(super) precision: &'static str,
    /// Columns and lines.
    pub(super) size: (u16, u16),
    /// Events lost so far, whatever stands still.
    pub(super) lost: u64,
    pub(super) doing: &'a Doing,
    pub(super) findings: &'a Findings,
}

pub(super) use connections::shows_bytes;

/// What Enter opens.
pub(super) enum Under {
    /// The connection with this id.
    Connection(u64),
    /// Those that these filter words choose.
    Words(String),
}

pub(super) fn scene(known: &Known<'_>, view: &mut View, opened: Option<&Opened>) -> Scene {
    let body = match (view.tab, opened) {
        (_, Some(opened)) => Body::Detail(detail::detail(known, view, opened)),
        (Tab::Overview, _) => overview::overview(known, view),
        (Tab::Connections, _) => Body::Lists(vec![connections::connections(known, view)]),
        (Tab::TimeWait, _) => Body::Lists(waits::time_waits(known, view)),
        (Tab::CloseWait, _) => Body::Lists(waits::close_waits(known, view)),
        (Tab::Closers, _) => Body::Lists(vec![closing::closers(known, view)]),
        (Tab::Events, _) => Body::Lists(vec![events::events(known, view)]),
    };
    let help = view.help.then_some(Help { scroll: view.scroll, replayed: known.doing.replay.is_some() });
    Scene { head: head(known, view), tab: view.tab, body, foot: foot(known, view), help }
}

/// What is under the cursor; its rows are those of the last picture.
pub(super) fn under_cursor(view: &mut View, survey: &Survey, feed: &Feed) -> Option<Under> {
    let list = view.list();
    match list {
        List::Findings => None,
        List::Connections | List::CloseWaits => connections::under_cursor(view, list, survey),
        List::TimeWaitProcesses | List::CloseWaitProcesses => waits::under_process(view, list, survey),
        List::Destinations => waits::under_destination(view, survey),
        List::Closers => closing::under_cursor(view, survey),
        List::Events => events::under_cursor(view, feed),
    }
}

impl Known<'_> {
    /// Lines for the body.
    fn lines(&self) -> u16 {
        self.size.1.saturating_sub(FRAME)
    }

    fn time(&self, at: Ktime) -> String {
        self.clock.map_or_else(|| "-".to_owned(), |clock| format::time_of_day(at, clock))
    }

    /// The same to the second.
    fn second(&self, at: Ktime) -> String {
        self.time(at).split('.').next().unwrap_or_default().to_owned()
    }

    /// How long ago, up to now.
    fn ago(&self, at: Ktime) -> String {
        words::brief(self.now.since(at))
    }
}

fn head(known: &Known<'_>, view: &View) -> Head {
    let doing = known.doing;
    let mut said = Vec::new();
    match &doing.replay {
        Some(replay) => said.push((if replay.paused { Tone::Warn } else { Tone::Good }, replay.to_string())),
        None if view.paused => said.push((Tone::Warn, "PAUSED".to_owned())),
        None => said.push((Tone::Good, "live".to_owned())),
    }
    if let Some(file) = &doing.recording {
        said.push((Tone::Bad, format!("REC {file}")));
    }
    let mut facts = Vec::new();
    if known.lost > 0 {
        facts.push((Tone::Bad, format!("LOST {}", words::count(known.lost))));
    }
    if !view.words.is_empty() {
        facts.push((Tone::Warn, format!("filter {}", view.words)));
    }
    let waits = [TcpState::TimeWait, TcpState::CloseWait].map(|state| known.survey.count(state));
    facts.push((Tone::Plain, format!("{} connections", words::count(known.survey.total()))));
    facts.push((Tone::Plain, format!("TIME_WAIT {}", words::count(waits[0]))));
    facts.push((if waits[1] > 0 { Tone::Warn } else { Tone::Plain }, format!("CLOSE_WAIT {}", words::count(waits[1]))));
    facts.push((Tone::Dim, format!("{} events/s", words::count(known.feed.history.last().events))));
    if known.lost == 0 {
        facts.push((Tone::Dim, "lost 0".to_owned()));
    }
    // The tenths would make every picture another one.
    let time = known.clock.map_or_else(String::new, |_| known.second(known.now));
    Head { time, doing: said, facts }
}

fn foot(known: &Known<'_>, view: &View) -> Foot {
    if let Some(line) = &view.line {
        return Foot::Line { text: line.text.clone(), error: line.error.clone() };
    }
    let mut keys = vec![("?", "help"), ("q", "quit")];
    if view.detail.is_some() {
        keys.extend([("Esc", "back"), ("s", "scale"), ("j k", "scroll")]);
    } else {
        match view.tab {
            Tab::Overview => {}
            _ => keys.extend([("Enter", "open"), ("s", "sort"), ("S", "reverse")]),
        }
        if view.tab.lists().len() > 1 {
            keys.push(("Tab", "other list"));
        }
        keys.push(("/", "filter"));
    }
    if known.doing.replay.is_some() {
        keys.extend([("space", "pause"), (". ,", "step"), ("← →", "10 s"), ("+ -", "speed")]);
    } else {
        keys.extend([("p", "pause"), ("w", "record")]);
    }
    Foot::Keys { keys, said: known.doing.said.clone() }
}
