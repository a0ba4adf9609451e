//! Charts: a drawing with its axes, its legend, and the same as a table.

use super::{
    svg::{self, HEIGHT},
    words,
};
use crate::{
    model::{Ktime, report::Series},
    sink::{Clock, format},
};
use maud::{Markup, html};

/// Columns of a drawing at the most: more than a phone has room for, fewer than a page should carry.
const COLUMNS: usize = 240;
/// Rows of the table beside a drawing at the most.
const ROWS: usize = 24;

/// Things that add up, over time, drawn one on the other.
pub(super) struct Stack<'a> {
    pub(super) title: &'a str,
    /// What is to be seen in it, in a sentence.
    pub(super) says: String,
    /// What one is: `connections`.
    pub(super) unit: &'a str,
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) clock: Clock,
}

/// One of them, the lowest first.
pub(super) struct Layer<'a> {
    pub(super) name: &'a str,
    /// The class that gives it its colour.
    pub(super) class: String,
    pub(super) values: Values<'a>,
}

/// What a series counts.
#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    /// How many there were at each moment.
    Stock(&'a Series),
    /// How many came from each moment to the next: shown a second.
    Flow(&'a Series),
}

impl Values<'_> {
    fn series(&self) -> &Series {
        match self {
            Self::Stock(series) | Self::Flow(series) => series,
        }
    }

    /// What it shows for the steps from `from` to `to`, of which `most` is the one where all together were most.
    fn shown(&self, from: usize, to: usize, most: usize) -> f64 {
        let value = |step: usize| self.series().values.get(step).copied().unwrap_or(0) as f64;
        match self {
            Self::Stock(_) => value(most),
            Self::Flow(series) => {
                let seconds = (to - from) as f64 * series.step as f64 / 1e9;
                (from..to).map(value).sum::<f64>() / seconds.max(f64::MIN_POSITIVE)
            }
        }
    }
}

/// A part of the time, and what each layer shows for it.
struct Column {
    at: Ktime,
    values: Vec<f64>,
}

impl Stack<'_> {
    /// The chart; nothing where there is nothing to draw.
    pub(super) fn draw(&self) -> Markup {
        let columns = self.columns(COLUMNS);
        let (Some(first), Some(last)) = (columns.first(), columns.last()) else { return html! {} };
        let step = self.layers.first().map_or(0, |layer| layer.values.series().step);
        let ticks = svg::ticks(columns.iter().map(Column::sum).fold(0.0, f64::max));
        let top = ticks.last().copied().unwrap_or(1.0);
        let shapes = html! {
            @for tick in &ticks { (svg::level("grid", tick / top)) }
            @for number in 0..self.layers.len() { (self.layer(number, &columns, top)) }
            (svg::columns(&columns.iter().map(|column| self.spoken(column)).collect::<Vec<_>>()))
        };
        html! {
            figure {
                figcaption { h3 { (self.title) } p { (self.says) } }
                (frame(&y_axis(&ticks), &x_axis(first.at, last.at.after(step), self.clock), &svg::drawing(&self.says, &shapes)))
                @if self.layers.len() > 1 {
                    (legend(self.layers.iter().rev().map(|layer| (layer.class.as_str(), layer.name))))
                }
                (self.table())
            }
        }
    }

    fn layer(&self, number: usize, columns: &[Column], top: f64) -> Markup {
        let edge = |upto: usize| -> Vec<f64> {
            let edge: Vec<f64> = columns.iter().map(|column| column.values[..upto].iter().sum::<f64>() / top).collect();
            // One moment is drawn as wide as the page.
            if edge.len() == 1 { edge.repeat(2) } else { edge }
        };
        svg::band(&self.layers[number].class, &edge(number), &edge(number + 1))
    }

    /// The steps of the series, so many together that there are `most` columns.
    fn columns(&self, most: usize) -> Vec<Column> {
        let Some(series) = self.layers.first().map(|layer| layer.values.series()) else { return Vec::new() };
        let steps = series.values.len();
        let together = steps.div_ceil(most).max(1);
        let total = |step: usize| -> u64 {
            self.layers.iter().filter_map(|layer| layer.values.series().values.get(step)).sum()
        };
        let column = |from: usize| {
            let to = (from + together).min(steps);
            let most = (from..to).rev().max_by_key(|step| total(*step)).unwrap_or(from);
            let values = self.layers.iter().map(|layer| layer.values.shown(from, to, most)).collect();
            Column { at: series.start.after(series.step.saturating_mul(from as u64)), values }
        };
        (0..steps).step_by(together).map(column).collect()
    }

    fn spoken(&self, column: &Column) -> String {
        let mut lines = vec![words::moment(column.at, self.clock)];
        let shown = self.layers.iter().zip(&column.values).rev().filter(|(_, value)| **value > 0.0);
        lines.extend(shown.map(|(layer, value)| format!("{} {}", layer.name, number(*value))));
        lines.push(format!("{} {} in all", number(column.sum()), self.unit));
        lines.join("\n")
    }

    /// The same in some steps, for those who do not see the drawing.
    fn table(&self) -> Markup {
        let head: Vec<&str> = std::iter::once("time (UTC)").chain(self.layers.iter().map(|layer| layer.name)).collect();
        let rows = self.columns(ROWS);
        let rows = rows.iter().map(|column| {
            let time = words::moment(column.at, self.clock);
            std::iter::once(time).chain(column.values.iter().map(|value| number(*value))).collect()
        });
        html! {
            details { summary { "The same as a table" } (table(self.title, &head, rows)) }
        }
    }
}

impl Column {
    fn sum(&self) -> f64 {
        self.values.iter().sum()
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { words::count(value as u64) } else { words::rate(value) }
}

/// A series so small that it fits into a row, under its limit where there is one; nothing where it stays at none.
pub(super) fn sparkline(says: &str, series: &Series, class: &str, limit: Option<u32>) -> Markup {
    let together = series.values.len().div_ceil(COLUMNS).max(1);
    let most = |steps: &[u64]| steps.iter().copied().max().unwrap_or(0) as f64;
    let top = limit.map_or_else(|| most(&series.values), f64::from).max(1.0);
    let edge: Vec<f64> = series.values.chunks(together).map(|steps| most(steps) / top).collect();
    let shape = svg::band(class, &vec![0.0; edge.len()], &edge);
    if edge.iter().all(|share| *share == 0.0) {
        return html! {};
    }
    html! { div.spark.limited[limit.is_some()] { (svg::drawing(says, &shape)) } }
}

/// Parts of a whole, one beside the other: each with its class and its share of the width.
pub(super) fn parts(says: &str, parts: &[(&str, f64)]) -> Markup {
    let mut end = 0.0;
    let bars = parts.iter().map(|(class, share)| {
        let begin = end;
        end += share;
        svg::bar(class, begin, end, HEIGHT)
    });
    let bars: Vec<Markup> = bars.collect();
    html! { div.bar { (svg::drawing(says, &html! { @for bar in bars { (bar) } })) } }
}

pub(super) fn legend<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        ul.legend {
            @for (class, name) in entries { li { span class={ "key " (class) } {} (name) } }
        }
    }
}

/// A table that scrolls in its own place where it is wider than the page. The first column names the row.
pub(super) fn table(name: &str, head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(name) {
            table {
                thead { tr { @for title in head { th scope="col" { (title) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th scope="row" { (cell) } } @else { (self::cell(cell)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(words: &str) -> Markup {
    let is_number = words.starts_with(|c: char| c.is_ascii_digit()) && !words.contains(' ');
    html! {
        @if words == words::UNKNOWN { td.unknown { (words) } }
        @else if is_number { td.number { (words) } }
        @else { td { (words) } }
    }
}

/// A drawing between its two axes.
pub(super) fn frame(y: &Markup, x: &Markup, drawing: &Markup) -> Markup {
    html! {
        div.plot {
            div.y aria-hidden="true" { (y) }
            div.area { (drawing) }
            div.x aria-hidden="true" { (x) }
        }
    }
}

fn y_axis(ticks: &[f64]) -> Markup {
    let top = ticks.last().copied().unwrap_or(1.0);
    let longest = ticks.iter().map(|tick| number(*tick).len()).max().unwrap_or(1);
    html! {
        // As wide as the longest.
        b { ("0".repeat(longest)) }
        @for tick in ticks { span style={ "bottom:" (percent(tick / top)) } { (number(*tick)) } }
    }
}

fn x_axis(begin: Ktime, end: Ktime, clock: Clock) -> Markup {
    let wall = |at: Ktime| i128::from(at.0) + i128::from(clock.realtime);
    let (begin, end) = (wall(begin), wall(end));
    let ticks = svg::clock_ticks(begin, end);
    html! {
        @for tick in &ticks {
            @let share = (tick - begin) as f64 / (end - begin).max(1) as f64;
            (x_label(share, &clock_words(*tick, &ticks, clock)))
        }
    }
}

/// A label under a share of the width; at the ends it stays inside.
pub(super) fn x_label(share: f64, words: &str) -> Markup {
    let side = if share < 0.08 {
        "start"
    } else if share > 0.92 {
        "end"
    } else {
        "middle"
    };
    html! { span class=(side) style={ "left:" (percent(share)) } { (words) } }
}

/// As short as a phone's width asks for: `15:04`, `15:04:05`, or `05.250` for what is finer.
fn clock_words(wall: i128, all: &[i128], clock: Clock) -> String {
    let at = u64::try_from(wall - i128::from(clock.realtime)).unwrap_or(0);
    let words = format::time_of_day(Ktime(at), clock);
    let whole = |unit: i128| all.iter().all(|tick| tick % unit == 0);
    let part = if whole(60_000_000_000) {
        0..5
    } else if whole(1_000_000_000) {
        0..8
    } else {
        6..12
    };
    words.get(part).unwrap_or(&words).to_owned()
}

fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}
