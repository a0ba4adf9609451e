//! What the tracker makes of a trace, as text, and how much of the trace each set of means shows it.
//!
//! ```text
//! 10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
//!   SYN_SENT 100us, ESTABLISHED 5ms, FIN_WAIT1 100us, FIN_WAIT2 3s hook, TIME_WAIT 60.5s hook
//!   first local curl/812 certain, fin, expired, complete
//! ```
//!
//! A duration without a basis is observed; `?` is unknown, `..` still runs. Namespace 1 is not named.

use crate::trace;
use std::{collections::HashMap, fmt::Write};
use twtrace::model::{
    Basis, Change, FourTuple, Ktime, Lifecycle, Observation, Question, SocketId, Tracker,
    observation::{Table, TimerEvent},
    tracker::Means,
};

/// Means of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// `--exact`: every event of the time-wait timers.
    Exact,
    /// The timers' ends alone.
    Timers,
    /// The socket table alone.
    Table,
    /// The classic tracepoint and the socket table.
    Classic,
    /// The events of full sockets alone.
    Bare,
    /// The same, where a connect may take over a port of a TIME_WAIT after a second (since 6.14).
    BareWithDelay,
}

pub(crate) const ALL: &[Tier] = &[Tier::Exact, Tier::Timers, Tier::Table, Tier::Classic, Tier::Bare];
/// Those that read the socket at a transition.
pub(crate) const READING: &[Tier] = &[Tier::Exact, Tier::Timers, Tier::Table, Tier::Bare];

impl Tier {
    pub(crate) fn means(self) -> Means {
        Means {
            timer_ends: matches!(self, Self::Exact | Self::Timers),
            timer_starts: self == Self::Exact,
            accepts: self == Self::Exact,
            table: !matches!(self, Self::Bare | Self::BareWithDelay),
            reuse_delay: (self == Self::BareWithDelay).then_some(1_000_000_000),
            wheel: None,
            show_transitions: false,
        }
    }

    /// What is left of an observation with these means.
    pub(crate) fn sees(self, observation: Observation) -> Option<Observation> {
        let classic = self == Self::Classic;
        match observation {
            Observation::Timer(timer) => {
                let expires = timer.event == TimerEvent::Expire;
                let seen = if expires { self.means().timer_ends } else { self.means().timer_starts };
                seen.then_some(Observation::Timer(timer))
            }
            Observation::Transition(mut transition) if classic => {
                transition.socket = SocketId::Address(transition.address);
                transition.netns = None;
                transition.socket_says = None;
                Some(Observation::Transition(transition))
            }
            Observation::Reset(_) | Observation::Hold(_) if classic => None,
            Observation::Table(_) if !self.means().table => None,
            other => Some(other),
        }
    }
}

/// The trace gives these lifecycles, in this order, with each of these means.
#[track_caller]
pub(crate) fn check(tiers: &[Tier], trace: &str, expect: &str) {
    let expect: Vec<&str> = expect.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for tier in tiers {
        let found: Vec<String> = follow(*tier, trace).iter().map(print).collect();
        let found = found.join("\n");
        let found: Vec<&str> = found.lines().map(str::trim).collect();
        assert!(found == expect, "{tier:?}\nfound\n  {}\nwant\n  {}\n", found.join("\n  "), expect.join("\n  "));
    }
}

/// The lifecycles of a trace, as they end; a second passes before the run ends.
pub(crate) fn follow(tier: Tier, trace: &str) -> Vec<Lifecycle> {
    watch(tier, trace, |_| {})
}

/// The same, with each change shown.
pub(crate) fn watch(tier: Tier, trace: &str, mut see: impl FnMut(&Change)) -> Vec<Lifecycle> {
    let mut tracker = Tracker::new(tier.means());
    let mut ended = Vec::new();
    // The table names a socket that is known by its address as it was asked for.
    let mut asked: HashMap<FourTuple, SocketId> = HashMap::new();
    let lines = trace::parse(trace);
    let ready = |(observation, _): &(Observation, _)| matches!(observation, Observation::Table(Table::Ready { .. }));
    if !lines.iter().any(ready) {
        tracker.handle(&Observation::Table(Table::Ready { at: Ktime(0) }));
    }
    let end = lines.iter().map(|(observation, _)| observation.at()).max().unwrap_or_default().after(1_000_000_000);
    for (mut observation, tuple) in lines {
        if let (Observation::Table(Table::Absent { socket, .. }), Some(tuple)) = (&mut observation, tuple) {
            *socket = asked.get(&tuple).copied().unwrap_or(*socket);
        }
        if let Some(observation) = tier.sees(observation) {
            tracker.handle(&observation);
        }
        while let Some(question) = tracker.poll_question() {
            if let (Question::Socket { socket, tuple, .. }, Tier::Classic) = (question, tier) {
                asked.insert(tuple, socket);
            }
        }
    }
    tracker.handle(&Observation::Tick(end));
    tracker.finish(end);
    while let Some(change) = tracker.poll() {
        see(&change);
        if let Change::Ended { lifecycle, .. } = change {
            ended.push(*lifecycle);
        }
    }
    ended
}

/// What the tracker asks for, in words, each with the time of the observation that made it ask.
pub(crate) fn questions(tier: Tier, trace: &str) -> Vec<String> {
    let mut tracker = Tracker::new(tier.means());
    tracker.handle(&Observation::Table(Table::Ready { at: Ktime(0) }));
    let mut asked = Vec::new();
    for (observation, _) in trace::parse(trace) {
        let at = observation.at();
        if let Some(observation) = tier.sees(observation) {
            tracker.handle(&observation);
        }
        while let Some(question) = tracker.poll_question() {
            let question = match question {
                Question::Socket { tuple, .. } => format!("socket {}", tuple.local),
                Question::Table { netns } => format!("table {netns:?}"),
                Question::Holder { inode } => format!("holder {inode}"),
                // Of every owner: `processes` is about them. The others are what sinks ask for.
                Question::Process(_) | Question::Everything | Question::Carried { .. } => continue,
            };
            asked.push(format!("{} {question}", duration(at.0)));
        }
    }
    asked
}

pub(crate) fn print(life: &Lifecycle) -> String {
    let mut text = format!("{} > {}", life.tuple.local, life.tuple.remote);
    let mut put = |what: std::fmt::Arguments<'_>| write!(text, "{what}").unwrap();
    if let Some(direction) = life.direction {
        put(format_args!(" {}", direction.name()));
    }
    if life.v4_mapped {
        put(format_args!(" mapped"));
    }
    if let Some(netns @ (0 | 2..)) = life.netns {
        put(format_args!(" ns={netns}"));
    }
    if let Some(owner) = life.owner {
        put(format_args!(" of {}/{} by {}", owner.process.comm, owner.process.pid, owner.basis.name()));
    }
    let over = life.ended.is_some();
    let last = life.spans.len().saturating_sub(1);
    let spans = life.spans.iter().enumerate().map(|(index, span)| {
        let lasted = match span.lasted {
            Some(lasted) => duration(lasted),
            None if index == last && !over => "..".to_owned(),
            None => "?".to_owned(),
        };
        let basis = if span.basis == Basis::Observed { "" } else { span.basis.name() };
        format!("{} {lasted} {basis}", span.state).trim_end().to_owned()
    });
    let spans: Vec<String> = spans.collect();
    format!("{text}\n{}\n{}", spans.join(", "), end(life))
}

fn end(life: &Lifecycle) -> String {
    let mut said = Vec::new();
    let closer = life.closed_by.map(|by| format!(" {}/{} {}", by.process.comm, by.process.pid, by.confidence.name()));
    match life.closed_first {
        Some(side) => said.push(format!("first {}{}", side.name(), closer.unwrap_or_default())),
        None => said.push(format!("first ?{}", closer.unwrap_or_default())),
    }
    let reason = life.close_reason.map(|reason| format!(" {reason}")).unwrap_or_default();
    said.push(format!("{}{reason}", life.close.map_or("close ?", |close| close.name())));
    if let Some(time_wait) = life.time_wait() {
        let end = time_wait.end.map_or(if time_wait.open { "open" } else { "end ?" }, |end| end.name());
        said.push(end.to_owned());
    }
    if life.time_wait_restarts > 0 {
        said.push(format!("restarts {}", life.time_wait_restarts));
    }
    if let Some(accepted) = life.accepted {
        said.push(if accepted { "accepted" } else { "not accepted" }.to_owned());
    }
    if life.lost_evidence > 0 {
        said.push(format!("lost {}", life.lost_evidence));
    }
    let marks = [
        (life.preexisting, "preexisting"),
        (life.broken, "broken"),
        (life.ended.is_none(), "not over"),
        (life.complete(), "complete"),
    ];
    said.extend(marks.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned()));
    said.join(", ")
}

/// Exact, in the largest unit of which there is one.
fn duration(nanos: u64) -> String {
    let (unit, name) = match nanos {
        1_000_000_000.. => (1_000_000_000, "s"),
        1_000_000.. => (1_000_000, "ms"),
        _ => (1_000, "us"),
    };
    let digits = format!("{unit}").len() - 1;
    let part = format!("{:0digits$}", nanos % unit);
    let part = part.trim_end_matches('0');
    let point = if part.is_empty() { "" } else { "." };
    format!("{}{point}{part}{name}", nanos / unit)
}
