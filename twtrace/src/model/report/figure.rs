//! Figures with their units.

use crate::model::Ktime;

/// A figure with its name, its unit and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// For scripts: `ports_held_peak`.
    pub name: &'static str,
    /// For a person: `local ports held at the peak`.
    pub label: &'static str,
    /// How much.
    pub value: Value,
    /// How it is known, in a few words.
    pub basis: &'static str,
}

/// A value with its unit.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// So many.
    Count(u64),
    /// A time in nanoseconds.
    Nanos(u64),
    /// So many a second.
    PerSecond(f64),
    /// So many a minute.
    PerMinute(f64),
    /// A part of the whole, from 0 to 1; more than 1 where it is too much.
    Share(f64),
    /// A moment.
    At(Ktime),
    /// Words, without anything in them that steers a terminal.
    Text(String),
    /// Nobody can say.
    Unknown,
}

/// The most at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// How many.
    pub count: u64,
    /// When, to a step of the series; `None` where there never was one.
    pub at: Option<Ktime>,
}

/// Values at equal steps of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// The moment of the first.
    pub start: Ktime,
    /// Nanoseconds from each to the next.
    pub step: u64,
    /// How many there were at that moment; of events, how many from it to the next.
    pub values: Vec<u64>,
}

/// How a quantity is spread. Quantiles are exact to one in a hundred, the ends and the mean exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub max: u64,
    pub mean: u64,
}
