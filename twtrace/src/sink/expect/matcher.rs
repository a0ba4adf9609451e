//! What a field is to hold: how that is written, and whether it does.
//!
//! There are three answers. What cannot be told is never taken for a yes, and never for a no.

use super::{
    field::{Field, Kind},
    life::{Found, Life},
    states::Course,
};
use crate::model::{
    Endpoint,
    filter::Network,
    units::{parse_bytes, parse_duration},
};
use std::ops::ControlFlow;
use toml::{Spanned, de::DeValue};

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    Unknown,
}

/// One field and what it is to hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) field: Field,
    pub(super) matcher: Matcher,
    /// The matcher as it was written, on one line.
    pub(super) said: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Matcher {
    Null,
    NotNull,
    Not(Box<Self>),
    OneOf(Vec<Self>),
    Flag(bool),
    Range(Range),
    Text(String),
    Network(Network),
    Course(Course),
}

/// Numbers from `low` to `high`, both among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: u64,
    pub(super) high: u64,
}

impl Term {
    pub(super) fn judge(&self, life: &Life<'_>) -> Answer {
        self.matcher.judge(&life.find(&self.field))
    }
}

/// All of them hold.
pub(super) fn all(terms: &[Term], life: &Life<'_>) -> Answer {
    Answer::all(terms.iter().map(|term| term.judge(life)))
}

impl Answer {
    /// Of these together; none is asked for after the first no.
    pub(super) fn all(mut answers: impl Iterator<Item = Self>) -> Self {
        let both = |sum: Self, answer| match sum.and(answer) {
            Self::No => ControlFlow::Break(Self::No),
            sum => ControlFlow::Continue(sum),
        };
        match answers.try_fold(Self::Yes, both) {
            ControlFlow::Continue(answer) | ControlFlow::Break(answer) => answer,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Matcher {
    fn judge(&self, found: &Found<'_>) -> Answer {
        match (self, found) {
            (Self::Not(matcher), _) => matcher.judge(found).not(),
            (Self::OneOf(matchers), _) => Answer::all(matchers.iter().map(|matcher| matcher.judge(found).not())).not(),
            (Self::Null | Self::NotNull, Found::Missed(_)) => Answer::Unknown,
            (Self::Null, _) => Answer::of(matches!(found, Found::Absent(_) | Found::Unknown(_) | Found::Running(_))),
            (Self::NotNull, _) => Self::Null.judge(found).not(),
            (_, Found::Absent(_)) => Answer::No,
            (_, Found::Unknown(_) | Found::Missed(_)) => Answer::Unknown,
            (Self::Range(range), Found::Running(so_far)) => range.of_running(*so_far),
            (Self::Range(range), Found::Number(number)) => Answer::of(range.contains(*number)),
            (Self::Flag(wanted), Found::Flag(flag)) => Answer::of(wanted == flag),
            (Self::Text(wanted), Found::Text(text)) => Answer::of(wanted == text),
            (Self::Network(network), Found::Text(text)) => match text.parse() {
                Ok(ip) => Answer::of(network.contains(Endpoint { ip, port: 0 })),
                Err(_) => Answer::Unknown,
            },
            (Self::Course(course), Found::States { spans, whole }) => {
                match course.fits(spans.iter().map(|span| span.state)) {
                    fits if *whole => Answer::of(fits),
                    // What came before what was seen can be anything.
                    true if course.begins_anyhow() => Answer::Yes,
                    _ => Answer::Unknown,
                }
            }
            // A matcher is made for its field's kind.
            _ => Answer::Unknown,
        }
    }

    /// Of what a spec says of a field, or why it cannot be that, and which value is the bad one.
    pub(super) fn parse<'v, 'i>(
        field: &Field,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Result<Self, (&'v Spanned<DeValue<'i>>, String)> {
        match value.get_ref() {
            DeValue::Array(values) if values.is_empty() => {
                Err((value, "the list is empty: nothing is in it".to_owned()))
            }
            DeValue::Array(values) => {
                let one = |value| match Self::parse(field, value)? {
                    Self::OneOf(_) => Err((value, "a list in a list: write one list".to_owned())),
                    matcher => Ok(matcher),
                };
                values.iter().map(one).collect::<Result<_, _>>().map(Self::OneOf)
            }
            DeValue::Boolean(flag) if field.kind == Kind::Flag => Ok(Self::Flag(*flag)),
            DeValue::Integer(_) if matches!(field.kind, Kind::Number | Kind::Size) => {
                whole_number(value.get_ref()).map(Self::exactly).ok_or_else(|| (value, rule(field)))
            }
            DeValue::String(text) => Self::of_text(field, text.trim()).map_err(|error| (value, error)),
            _ => Err((value, rule(field))),
        }
    }

    fn exactly(number: u64) -> Self {
        Self::Range(Range { low: number, high: number })
    }

    fn of_text(field: &Field, text: &str) -> Result<Self, String> {
        let matcher = match text {
            "null" => Self::Null,
            "not null" => Self::NotNull,
            "!= null" | "!=null" => return Err("write \"not null\"".to_owned()),
            _ => return Self::of_value(field, text),
        };
        if field.nullable { Ok(matcher) } else { Err(format!("{} is never null", field.path)) }
    }

    fn of_value(field: &Field, text: &str) -> Result<Self, String> {
        if let Some(text) = text.strip_prefix("!=") {
            return Self::of_value(field, text.trim()).map(|matcher| Self::Not(Box::new(matcher)));
        }
        let bare = text.strip_prefix('=').map_or(text, |rest| rest.strip_prefix('=').unwrap_or(rest).trim());
        match &field.kind {
            Kind::Words(words) if words.contains(&bare) => Ok(Self::Text(bare.to_owned())),
            Kind::Words(words) => Err(format!("{} is never {bare:?}: it is {}", field.path, words.join(", "))),
            Kind::Text if text.starts_with(['<', '>']) => {
                Err(format!("a text is not less or more than another: write \"= {text}\" where it begins so"))
            }
            Kind::Text => Ok(Self::Text(bare.to_owned())),
            Kind::Address => bare.parse().map(Self::Network).map_err(|error| error.to_string()),
            Kind::States => Course::parse(bare).map(Self::Course),
            Kind::Number => Range::parse(bare, |word| word.parse().ok(), rule(field)).map(Self::Range),
            Kind::Size => Range::parse(bare, parse_bytes, rule(field)).map(Self::Range),
            Kind::Duration if parse_duration(bare).is_some() => Err(rule(field)),
            Kind::Duration => Range::parse(bare, parse_duration, rule(field)).map(Self::Range),
            Kind::Flag | Kind::Time | Kind::Group => Err(rule(field)),
        }
    }
}

/// What can be written for a field.
fn rule(field: &Field) -> String {
    let what = match field.kind {
        Kind::Flag => "true or false, without quotes",
        Kind::Number => "a number, \"> 3\", \"<= 3\" or a range with both ends in it, \"1..3\", \"1..\"",
        Kind::Duration => "a time that is never met to the nanosecond: write \"< 1s\", \">= 200ms\" or \"60s..62s\"",
        Kind::Size => "a number of bytes, \"> 64kB\", \"<= 1MiB\" or a range with both ends in it, \"1..1460\"",
        Kind::Address => "an address or a network in quotes, \"10.0.0.0/8\"",
        Kind::Words(_) | Kind::Text => "text in quotes",
        Kind::Time => "a moment: it can be asked for \"null\" and \"not null\" alone",
        Kind::States => "a course of states in quotes, \"SYN_SENT > ESTABLISHED > *\"",
        Kind::Group => "made of fields: name one of them, or ask for \"null\" or \"not null\"",
    };
    format!("{} is {what}", field.path)
}

pub(super) fn whole_number(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

impl Range {
    /// Of `3`, `> 3`, `1..3`; where it is none, `rule` says why.
    pub(super) fn parse(text: &str, number: impl Fn(&str) -> Option<u64>, rule: String) -> Result<Self, String> {
        let read = |word: &str| number(word.trim()).ok_or_else(|| rule.clone());
        let nothing = || format!("nothing is {text:?}");
        let all = Self { low: 0, high: u64::MAX };
        if let Some((low, high)) = text.split_once("..") {
            let end = |word: &str, open| if word.trim().is_empty() { Ok(open) } else { read(word) };
            return match (end(low, 0)?, end(high, u64::MAX)?) {
                _ if low.trim().is_empty() && high.trim().is_empty() => Err(rule),
                (low, high) if low <= high => Ok(Self { low, high }),
                _ => Err(format!("the range {text:?} ends before it begins")),
            };
        }
        if let Some(word) = text.strip_prefix(">=") {
            return Ok(Self { low: read(word)?, ..all });
        }
        if let Some(word) = text.strip_prefix("<=") {
            return Ok(Self { high: read(word)?, ..all });
        }
        if let Some(word) = text.strip_prefix('>') {
            return Ok(Self { low: read(word)?.checked_add(1).ok_or_else(nothing)?, ..all });
        }
        if let Some(word) = text.strip_prefix('<') {
            return Ok(Self { high: read(word)?.checked_sub(1).ok_or_else(nothing)?, ..all });
        }
        let number = read(text)?;
        Ok(Self { low: number, high: number })
    }

    pub(super) fn contains(self, number: u64) -> bool {
        (self.low..=self.high).contains(&number)
    }

    /// Of what will be more than it is, nobody knows how much.
    fn of_running(self, so_far: u64) -> Answer {
        match self {
            Self { low, high: u64::MAX } if low <= so_far => Answer::Yes,
            Self { high, .. } if high < so_far => Answer::No,
            _ => Answer::Unknown,
        }
    }
}
