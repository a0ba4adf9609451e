//! Findings and advice.

use super::{PartyRecord, PlaceRecord, party, wall};
use crate::model::{
    attached::Clock,
    report::{Advice, Figure, Finding, Value},
};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub(in crate::sink::report) struct FindingRecord<'a> {
    id: &'static str,
    severity: &'static str,
    title: &'a str,
    mechanism: &'a str,
    cure: &'a str,
    culprit: Option<PartyRecord>,
    place: Option<PlaceRecord>,
    figures: BTreeMap<&'static str, FigureRecord<'a>>,
    advice: Vec<&'static str>,
}

impl<'a> FindingRecord<'a> {
    pub(in crate::sink::report) fn new(finding: &'a Finding, clock: Option<Clock>) -> Self {
        Self {
            id: finding.kind.slug(),
            severity: finding.severity.name(),
            title: &finding.title,
            mechanism: &finding.mechanism,
            cure: &finding.cure,
            culprit: party(finding.culprit.as_ref()),
            place: finding.place.map(PlaceRecord::new),
            figures: finding.figures.iter().map(|figure| (figure.name, FigureRecord::new(figure, clock))).collect(),
            advice: finding.advice.iter().map(|advice| advice.slug()).collect(),
        }
    }
}

#[derive(Serialize)]
struct FigureRecord<'a> {
    label: &'static str,
    value: FigureValue<'a>,
    unit: Option<&'static str>,
    basis: &'static str,
}

impl<'a> FigureRecord<'a> {
    fn new(figure: &'a Figure, clock: Option<Clock>) -> Self {
        let (value, unit) = FigureValue::with_unit(&figure.value, clock);
        Self { label: figure.label, value, unit, basis: figure.basis }
    }
}

/// A number, a time or a text; null where nobody can say.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::sink::report) enum FigureValue<'a> {
    Whole(u64),
    Number(f64),
    Time(Option<String>),
    Text(&'a str),
    Unknown,
}

impl<'a> FigureValue<'a> {
    pub(in crate::sink::report) fn with_unit(value: &'a Value, clock: Option<Clock>) -> (Self, Option<&'static str>) {
        match value {
            Value::Count(number) => (Self::Whole(*number), Some("count")),
            Value::Nanos(nanos) => (Self::Whole(*nanos), Some("ns")),
            Value::PerSecond(rate) => (Self::Number(*rate), Some("per_second")),
            Value::PerMinute(rate) => (Self::Number(*rate), Some("per_minute")),
            Value::Share(share) => (Self::Number(*share), Some("share")),
            Value::At(at) => (Self::Time(wall(*at, clock)), Some("time")),
            Value::Text(text) => (Self::Text(text), Some("text")),
            Value::Unknown => (Self::Unknown, None),
        }
    }
}

#[derive(Serialize)]
pub(super) struct AdviceRecord<'a> {
    id: &'static str,
    stance: &'static str,
    act: &'a str,
    reason: &'a str,
    risk: &'a str,
    command: Option<&'a str>,
    because: Vec<&'static str>,
}

impl<'a> AdviceRecord<'a> {
    pub(super) fn new(advice: &'a Advice) -> Self {
        Self {
            id: advice.kind.slug(),
            stance: advice.stance.name(),
            act: &advice.act,
            reason: &advice.reason,
            risk: &advice.risk,
            command: advice.command.as_deref(),
            because: advice.because.iter().map(|kind| kind.slug()).collect(),
        }
    }
}
