//! Holds lifecycles against what is expected of them.
//!
//! Judges the run as it was when it ended: what had not happened by then has not happened, what nobody can tell is no
//! success, and a test that is about no lifecycle proves nothing. The lives themselves are not kept.

mod field;
pub mod ktap;
mod life;
mod matcher;
mod spec;
mod states;
mod tally;
#[cfg(test)]
mod tests;

pub use spec::{BadSpec, LONGEST, Spec};

use super::{Attached, Clock, Sink, format};
use crate::model::{Change, Ktime, Tracker, filter::Filter, join::Origin, summary::Summary};
use life::Life;
use spec::Bound;
use std::{cell::OnceCell, io, rc::Rc};
use tally::Tally;

/// The results of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What there is to say of the run as a whole.
    pub notes: Vec<String>,
    /// In the order of the plan.
    pub results: Vec<TestResult>,
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// Whether what it expects is so.
    pub outcome: Outcome,
    /// What was found.
    pub lines: Vec<String>,
}

/// What a test came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is so.
    Passed,
    /// It is not so, or that cannot be told.
    Failed,
    /// The specification does not ask, and how it says that.
    Skipped(String),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// The status of the command, as a shell has it.
    pub status: Option<u8>,
    /// Something in a recording could not be believed.
    pub damaged: bool,
    /// A recording has no end, or a file of it is missing.
    pub cut: bool,
}

/// A sink that judges a run.
pub struct Checker {
    spec: Rc<Spec>,
    tallies: Vec<Tally>,
    notes: Vec<String>,
    clock: Option<Clock>,
    origin: Option<Origin>,
    /// The last two ticks. The last of all is the end, and what happened just before that was not seen: the probes
    /// were off by then.
    ticks: [Ktime; 2],
    checked: Rc<OnceCell<Checked>>,
}

/// A run that was judged, but for what is known of it only later.
pub struct Checked {
    spec: Rc<Spec>,
    notes: Vec<String>,
    results: Vec<TestResult>,
    lost: u64,
}

impl Checker {
    /// Of the lifecycles that match the filter. A failure names up to so many of them. What they came to is there
    /// once the run is over.
    pub fn new(spec: Rc<Spec>, filter: &Filter, shown: usize) -> (Self, Rc<OnceCell<Checked>>) {
        let tallies = spec.tests.iter().map(|test| {
            let mut test = test.clone();
            test.filters.push(filter.clone());
            Tally::new(test, shown)
        });
        let checked = Rc::new(OnceCell::new());
        let checker = Self {
            tallies: tallies.collect(),
            spec,
            notes: Vec::new(),
            clock: None,
            origin: None,
            ticks: [Ktime::default(); 2],
            checked: Rc::clone(&checked),
        };
        (checker, checked)
    }
}

impl Sink for Checker {
    fn origin(&mut self, origin: &Origin) {
        self.origin = Some(origin.clone());
    }

    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.clock = Some(attached.clock);
        let recorded = self.origin.as_ref().map(|origin| {
            let (host, began) = (format::one_line(&origin.host), format::wall(attached.at, attached.clock));
            format!("recorded on {host} from {began}, ")
        });
        self.notes.push(format!(
            "{}kernel {}, TIME_WAIT precision {}",
            recorded.unwrap_or_default(),
            format::one_line(&attached.kernel),
            attached.precision.name()
        ));
        Ok(())
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        if let Change::Ended { lifecycle, .. } = change {
            let host = self.origin.as_ref().filter(|origin| !origin.alone);
            let host = host.map_or_else(String::new, |origin| format!("{}: ", format::one_line(&origin.host)));
            let life = Life::new(lifecycle, self.clock, self.ticks[0]);
            self.tallies.iter_mut().for_each(|tally| tally.take(&life, &host));
        }
        Ok(())
    }

    fn tick(&mut self, at: Ktime, _tracker: &Tracker) -> io::Result<()> {
        if at > self.ticks[1] {
            self.ticks = [self.ticks[1], at];
        }
        Ok(())
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        let result = |tally: &Tally| {
            let (passed, lines) = tally.result();
            let outcome = if passed { Outcome::Passed } else { Outcome::Failed };
            TestResult { name: tally.test.name.clone(), outcome, lines }
        };
        let disagree = summary.audit.iter().filter(|line| !line.agrees());
        self.notes.extend(
            disagree.map(|line| {
                format!("the kernel counted {} {}, and {} were seen", line.kernel, line.counter, line.seen)
            }),
        );
        let checked = Checked {
            spec: Rc::clone(&self.spec),
            notes: std::mem::take(&mut self.notes),
            results: self.tallies.iter().map(result).collect(),
            lost: summary.total_lost(),
        };
        self.checked.set(checked).map_err(|_| io::Error::other("a run has ended twice"))
    }
}

impl Checked {
    /// The results, with those that no lifecycle is asked for.
    pub fn verdict(&self, end: End) -> Verdict {
        let status = end.status.map(|status| self.status(status));
        let results = std::iter::once(self.lost(end)).chain(status).chain(self.results.iter().cloned());
        Verdict { notes: self.notes.clone(), results: results.collect() }
    }

    fn lost(&self, End { damaged, cut, .. }: End) -> TestResult {
        let mut lines = Vec::new();
        if self.lost > 0 {
            lines.push(format!("{} events lost", format::count(self.lost)));
        }
        if damaged {
            lines.push("the recording is damaged".to_owned());
        }
        if cut {
            lines.push("the recording is cut off, or one of its files is missing".to_owned());
        }
        let holds = |bound: &Bound| bound.range.contains(self.lost) && !damaged && !cut;
        result("nothing was lost", "lost", self.spec.lost.as_ref(), holds, lines)
    }

    fn status(&self, status: u8) -> TestResult {
        let lines = vec![format!("the command ended with status {status}")];
        let holds = |bound: &Bound| bound.range.contains(status.into());
        result("the command ended as expected", "status", self.spec.status.as_ref(), holds, lines)
    }
}

/// Of what is held against a bound, where there is one.
fn result(
    name: &str,
    key: &str,
    bound: Option<&Bound>,
    holds: impl Fn(&Bound) -> bool,
    mut lines: Vec<String>,
) -> TestResult {
    let outcome = match bound {
        None => Outcome::Skipped(format!("{key} = \"any\"")),
        Some(bound) if holds(bound) => Outcome::Passed,
        Some(bound) => {
            lines.push(format!("expected {key} = {}", bound.said));
            Outcome::Failed
        }
    };
    TestResult { name: name.to_owned(), outcome, lines }
}

impl Verdict {
    /// How many failed, and of how many.
    pub fn failed(&self) -> (usize, usize) {
        let failed = self.results.iter().filter(|result| result.outcome == Outcome::Failed).count();
        (failed, self.results.len())
    }
}
