//! One life, as assertions see it: what a field holds, or what it means that it holds nothing.
//!
//! A null says one of two things. *There was none*: the connection never entered TIME_WAIT. Or *nobody knows*: the
//! process that closed was not seen. Where events are missing, the first may be the second.

use super::field::{Field, Kind};
use crate::{
    model::{Close, Direction, Ktime, Lifecycle, Side, Span, TcpState},
    sink::{Clock, format, record::LifecycleRecord},
};
use serde_json::Value;
use std::cell::OnceCell;

/// A life that is being judged.
pub(super) struct Life<'a> {
    pub(super) lifecycle: &'a Lifecycle,
    clock: Option<Clock>,
    /// Made when it is first looked at: most lives of a host are none of a test.
    record: OnceCell<Value>,
    /// All that happened until then was seen.
    now: Ktime,
}

/// What a field holds.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    Flag(bool),
    Number(u64),
    Text(&'a str),
    /// Fields of its own.
    Group,
    /// The states in order, the first of them from the begin of the life.
    States {
        spans: &'a [Span],
        whole: bool,
    },
    /// Nothing yet: a time that runs, this long so far.
    Running(u64),
    /// Nothing: there was none.
    Absent(&'static str),
    /// Nothing: it is not known, and the record says so.
    Unknown(&'static str),
    /// Nothing: there was none, or it was missed.
    Missed(&'static str),
}

impl<'a> Life<'a> {
    pub(super) fn new(lifecycle: &'a Lifecycle, clock: Option<Clock>, now: Ktime) -> Self {
        Self { lifecycle, clock, record: OnceCell::new(), now }
    }

    fn record(&self) -> &Value {
        let made = || serde_json::to_value(LifecycleRecord::new(self.lifecycle, self.clock)).unwrap_or_default();
        self.record.get_or_init(made)
    }

    pub(super) fn find(&self, field: &Field) -> Found<'_> {
        if let Some(state) = field.of {
            return self.of_state(state, field);
        }
        if field.kind == Kind::States {
            return self.states();
        }
        let value = field.path.split('.').try_fold(self.record(), |value, name| value.get(name));
        match value {
            Some(Value::Bool(flag)) => Found::Flag(*flag),
            Some(Value::Number(number)) => {
                number.as_u64().map_or(Found::Unknown("it is no whole number"), Found::Number)
            }
            Some(Value::String(text)) => Found::Text(text),
            Some(Value::Object(_)) => Found::Group,
            Some(Value::Null | Value::Array(_)) | None => self.nothing(field),
        }
    }

    /// How it is known, where the record says.
    pub(super) fn basis(&self, field: &Field) -> Option<&str> {
        let of_state = |state| self.lifecycle.span(state).map(|span| span.basis.name());
        if let Some(state) = field.of {
            return of_state(state);
        }
        let group = field.path.split('.').next()?;
        ["basis", "confidence"].into_iter().find_map(|name| self.record().get(group)?.get(name)?.as_str())
    }

    /// The connection on one line.
    pub(super) fn title(&self) -> String {
        let life = self.lifecycle;
        let owner = life
            .owner
            .map_or("owner unknown".to_owned(), |owner| format!("{}/{}", owner.process.comm, owner.process.pid));
        let arrow = match life.direction {
            Some(Direction::Outbound) => "->",
            Some(Direction::Inbound) => "<-",
            None => "--",
        };
        let tuple = life.tuple;
        let mut title = format!("connection {}: {owner} {} {arrow} {}", life.id, tuple.local, tuple.remote);
        if let Some(span) = life.spans.last().filter(|_| life.ended.is_none()) {
            title.push_str(&format!(", in {}", span.state));
            if let Some(entered) = span.entered {
                title.push_str(&format!(" for {} when the run ended", format::duration(self.now.since(entered))));
            }
        }
        if life.preexisting {
            title.push_str(", open before tracing began");
        }
        if self.evidence_is_missing() {
            title.push_str(", events are missing");
        }
        title
    }

    fn evidence_is_missing(&self) -> bool {
        self.lifecycle.lost_evidence > 0 || self.lifecycle.broken
    }

    fn of_state(&self, state: TcpState, field: &Field) -> Found<'_> {
        let mut spans = self.lifecycle.spans.iter().filter(|span| span.state == state);
        let (span, more) = (spans.next(), spans.next());
        match (span, &field.kind) {
            (None, _) if self.lifecycle.opened.is_none() => Found::Missed("its begin was not seen"),
            (None, _) => self.never(),
            (Some(_), Kind::Group) => Found::Group,
            (Some(_), _) if more.is_some() => Found::Unknown("it was in this state more than once"),
            (Some(span), Kind::Duration) => self.lasted(span),
            (Some(span), _) => Found::Text(span.basis.name()),
        }
    }

    fn states(&self) -> Found<'_> {
        if self.evidence_is_missing() {
            return Found::Missed("events are missing");
        }
        Found::States { spans: &self.lifecycle.spans, whole: self.lifecycle.opened.is_some() }
    }

    fn lasted(&self, span: &Span) -> Found<'static> {
        let last = self.lifecycle.ended.is_none() && self.lifecycle.state() == Some(span.state);
        match (span.lasted, span.entered) {
            (Some(lasted), _) => Found::Number(lasted),
            (None, Some(entered)) if last => Found::Running(self.now.since(entered)),
            (None, None) if last => Found::Running(0),
            (None, _) => Found::Unknown("its begin or its end was not seen"),
        }
    }

    /// There was none, if nothing was missed.
    fn none(&self, why: &'static str) -> Found<'static> {
        if self.evidence_is_missing() { Found::Missed("events are missing") } else { Found::Absent(why) }
    }

    /// It was never in a state, if nothing was missed.
    fn never(&self) -> Found<'static> {
        let over = self.lifecycle.ended.is_some();
        self.none(if over { "it was never in this state" } else { "it had not been in this state when the run ended" })
    }

    /// What a null means.
    fn nothing(&self, field: &Field) -> Found<'_> {
        let life = self.lifecycle;
        let (group, part) = field.path.split_once('.').unwrap_or((&field.path, ""));
        let none_yet = |state: fn(TcpState) -> bool| life.ended.is_none() && life.state().is_some_and(state);
        let not_closing = none_yet(is_open);
        match (group, part) {
            ("local", _) => Found::Absent("no port was chosen"),
            ("ended", _) => Found::Absent("it was open when the run ended"),
            ("opened", _) => Found::Absent("it was open before tracing began"),
            ("time_wait" | "close_wait", _) => self.waited(group, part),
            ("closed_first" | "closed_by" | "close" | "close_reason" | "idle_before_close_ns", _) if not_closing => {
                self.none("nobody had closed it when the run ended")
            }
            ("close" | "close_reason", _) if life.ended.is_none() && life.close.is_none() => {
                self.none("its closing was not done when the run ended")
            }
            ("close_reason", _) if !is_reset(life.close) => self.none("it was not reset"),
            ("close_reason", _) => Found::Unknown("the kernel gave no reason"),
            ("closed_by", "host") if life.closed_by.is_some() => Found::Absent("it was a process of this host"),
            ("closed_by", _) if life.closed_first == Some(Side::Neither) => self.none("neither side closed it"),
            ("container" | "container_runtime" | "pod", _) if life.cgroup().is_some() => {
                Found::Absent("its owner's cgroup is not one")
            }
            ("owner" | "cgroup" | "container" | "container_runtime" | "pod", _) if life.owner.is_none() => {
                Found::Unknown("its owner is not known")
            }
            ("closed_by", "") => Found::Unknown("who closed first was not seen"),
            _ => Found::Unknown("it is not known"),
        }
    }

    fn waited(&self, group: &str, part: &str) -> Found<'_> {
        let life = self.lifecycle;
        let state = if group == "time_wait" { TcpState::TimeWait } else { TcpState::CloseWait };
        let begins_after = life.spans.first().is_some_and(|span| span.state == TcpState::LastAck);
        match (life.span(state), part) {
            (None, _) if state == TcpState::CloseWait && begins_after => Found::Missed("its begin was not seen"),
            (None, _) => self.never(),
            (Some(span), "duration_ns") => self.lasted(span),
            (Some(_), "accepted") if life.direction.is_some_and(|direction| direction.name() == "outbound") => {
                Found::Absent("this end called, and had nothing to accept")
            }
            (Some(_), _) => Found::Unknown("it is not known"),
        }
    }
}

/// Nobody has begun to close.
fn is_open(state: TcpState) -> bool {
    use TcpState::{Established, Listen, NewSynRecv, SynRecv, SynSent};
    matches!(state, SynSent | SynRecv | NewSynRecv | Established | Listen)
}

fn is_reset(close: Option<Close>) -> bool {
    matches!(close, None | Some(Close::ResetSent | Close::ResetReceived))
}
