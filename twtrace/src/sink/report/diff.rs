//! Two reports side by side, as text and as one JSON object.

use super::{
    block::{
        Align::{Left, Right},
        Table, hanging, paragraph,
    },
    json::{FigureValue, FindingRecord},
    text::{Moments, Paint, WIDTH, value},
};
use crate::model::{
    attached::Clock,
    report::{Compared, Comparison, Fate, FindingChange},
    units::change,
};
use serde::Serialize;
use std::io::{self, Write};

/// Raised when a field is renamed, retyped or dropped.
const SCHEMA: u32 = 1;

/// Writes the verdict first, then what became of each finding, then the figures.
pub fn write_text(out: &mut (impl Write + ?Sized), comparison: &Comparison, colour: bool) -> io::Result<()> {
    let paint = Paint(colour);
    write!(out, "{}", paint.heading(&paragraph(&comparison.verdict, 0, WIDTH)))?;
    for doubt in &comparison.doubts {
        write!(out, "{}", hanging("Caution: ", doubt, 9, WIDTH))?;
    }
    if !comparison.findings.is_empty() {
        writeln!(out, "\n{}", paint.heading("FINDINGS"))?;
    }
    for change in &comparison.findings {
        let FindingChange { fate, before, after } = change;
        let (label, finding) = (fate.name().to_uppercase(), after.as_ref().or(before.as_ref()));
        let Some(finding) = finding else { continue };
        let kind = finding.kind.slug();
        writeln!(out, "  {label:<7}{kind}")?;
        for (label, finding) in [("         before ", before), ("         after ", after)] {
            if let Some(finding) = finding {
                write!(out, "{}", hanging(label, &finding.title, 16, WIDTH))?;
            }
        }
    }
    let columns = [("FIGURE", Left), ("BEFORE", Right), ("AFTER", Right), ("CHANGE", Right), ("", Left)];
    let mut table = Table::new(columns);
    for row in &comparison.figures {
        table.row(cells(row));
    }
    let (header, rows) = table.lines();
    writeln!(out, "\n{}\n{header}", paint.heading("FIGURES"))?;
    rows.iter().try_for_each(|row| writeln!(out, "{row}"))
}

fn cells(row: &Compared) -> [String; 5] {
    let change = row.change.map_or_else(|| "-".to_owned(), change);
    // No figure of both is a moment.
    let value = |of| value(of, Moments::default());
    [row.label.to_owned(), value(&row.before), value(&row.after), change, row.judged().to_owned()]
}

/// Writes it on one line.
pub fn write_json(
    out: &mut (impl Write + ?Sized),
    comparison: &Comparison,
    clocks: [Option<Clock>; 2],
) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &ComparisonRecord::new(comparison, clocks))?;
    writeln!(out)
}

#[derive(Serialize)]
struct ComparisonRecord<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: u32,
    version: &'static str,
    outcome: &'static str,
    verdict: &'a str,
    doubts: &'a [String],
    findings: Vec<ChangeRecord<'a>>,
    figures: Vec<ComparedRecord<'a>>,
}

#[derive(Serialize)]
struct ChangeRecord<'a> {
    fate: &'static str,
    before: Option<FindingRecord<'a>>,
    after: Option<FindingRecord<'a>>,
}

#[derive(Serialize)]
struct ComparedRecord<'a> {
    name: &'static str,
    label: &'static str,
    unit: Option<&'static str>,
    before: FigureValue<'a>,
    after: FigureValue<'a>,
    change: Option<f64>,
    better: Option<bool>,
}

impl<'a> ComparisonRecord<'a> {
    fn new(comparison: &'a Comparison, [before, after]: [Option<Clock>; 2]) -> Self {
        let finding = |change: &'a FindingChange| ChangeRecord {
            fate: Fate::name(change.fate),
            before: change.before.as_ref().map(|finding| FindingRecord::new(finding, before)),
            after: change.after.as_ref().map(|finding| FindingRecord::new(finding, after)),
        };
        Self {
            kind: "comparison",
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            outcome: comparison.outcome.name(),
            verdict: &comparison.verdict,
            doubts: &comparison.doubts,
            findings: comparison.findings.iter().map(finding).collect(),
            figures: comparison.figures.iter().map(ComparedRecord::new).collect(),
        }
    }
}

impl<'a> ComparedRecord<'a> {
    fn new(row: &'a Compared) -> Self {
        let (before, before_unit) = FigureValue::with_unit(&row.before, None);
        let (after, after_unit) = FigureValue::with_unit(&row.after, None);
        let Compared { name, label, change, better, .. } = *row;
        Self { name, label, unit: before_unit.or(after_unit), before, after, change, better }
    }
}
