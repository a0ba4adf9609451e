//! What has become of one test so far: lives are judged as they end, and none is kept.

use super::{
    field::Kind,
    life::{Found, Life},
    matcher::{Answer, Term, all},
    spec::{Clause, Of, Test},
};
use crate::{
    model::filter::Filter,
    sink::format::{bytes, count, duration},
};

/// A test and what it has come to.
pub(super) struct Tally {
    pub(super) test: Test,
    /// Lifecycles that it is about.
    selected: u64,
    /// Lifecycles of which nobody can tell whether it is about them.
    perhaps: u64,
    /// Lifecycles that were left out since something of them is not known.
    skipped: u64,
    clauses: Vec<Standing>,
    /// The first of those that were counted.
    titles: Vec<String>,
    shown: usize,
}

/// A clause and what it has come to.
#[derive(Default)]
struct Standing {
    /// Lifecycles that were not left out.
    judged: u64,
    /// Lifecycles of which all terms hold.
    fitting: u64,
    /// Lifecycles that break it.
    against: u64,
    /// Among these, those of which it cannot be told.
    untold: u64,
    examples: Vec<Vec<String>>,
}

impl Tally {
    /// Of a test that will name so many lifecycles.
    pub(super) fn new(test: Test, shown: usize) -> Self {
        let clauses = test.clauses.iter().map(|_| Standing::default()).collect();
        Self { test, selected: 0, perhaps: 0, skipped: 0, clauses, titles: Vec::new(), shown }
    }

    pub(super) fn take(&mut self, life: &Life<'_>, host: &str) {
        let selected = self.test.selects(life);
        match selected {
            Answer::No => return,
            Answer::Yes => self.selected += 1,
            Answer::Unknown if self.test.skips_unknown => {
                self.skipped += 1;
                return;
            }
            Answer::Unknown => self.perhaps += 1,
        }
        if self.titles.len() < self.shown {
            self.titles.push(title(life, host, selected));
        }
        let mut skipped = false;
        for (clause, so_far) in self.test.clauses.iter().zip(&mut self.clauses) {
            let answer = all(&clause.terms, life);
            so_far.fitting += u64::from(answer.and(selected) == Answer::Yes);
            if answer == Answer::Unknown && self.test.skips_unknown {
                skipped = true;
                continue;
            }
            so_far.judged += 1;
            let is_against = match clause.of {
                Of::Every | Of::Some => answer != Answer::Yes,
                Of::None => answer != Answer::No,
            };
            if is_against {
                so_far.against += 1;
                so_far.untold += u64::from(answer == Answer::Unknown || selected == Answer::Unknown);
                if so_far.examples.len() < self.shown {
                    so_far.examples.push(example(clause, life, host, selected));
                }
            }
        }
        self.skipped += u64::from(skipped);
    }

    /// Whether it holds, and what there is to say of it.
    pub(super) fn result(&self) -> (bool, Vec<String>) {
        let mut lines = vec![lifecycles(self.selected)];
        if self.perhaps > 0 {
            lines.push(format!("{} more may belong to them: it cannot be told", count(self.perhaps)));
        }
        if self.skipped > 0 {
            lines.push(format!(
                "{} left out, of which something is not known (unknown = \"skip\")",
                count(self.skipped)
            ));
        }
        let mut passed = self.count(&mut lines);
        for (clause, so_far) in self.test.clauses.iter().zip(&self.clauses) {
            passed &= so_far.result(clause, self.selected > 0, &mut lines);
        }
        (passed, lines)
    }

    fn count(&self, lines: &mut Vec<String>) -> bool {
        let Some(bound) = &self.test.count else {
            if self.selected == 0 {
                let most = "nothing is proved by none of them: count = \"0..\" says that there may be none";
                lines.push(most.to_owned());
            }
            return self.selected > 0;
        };
        let ends = [self.selected, self.selected + self.perhaps];
        let right = ends.into_iter().all(|number| bound.range.contains(number));
        if !right {
            lines.push(format!("count: {}, expected {}", between(ends), bound.said));
            lines.extend(self.titles.iter().map(|title| format!("  {title}")));
            more(ends[1], self.titles.len(), lines);
        }
        right
    }
}

impl Standing {
    fn result(&self, clause: &Clause, any: bool, lines: &mut Vec<String>) -> bool {
        let all_left_out = any && self.judged == 0;
        let passed = match clause.of {
            Of::Every | Of::None => self.against == 0 && !all_left_out,
            Of::Some => self.fitting > 0,
        };
        if passed {
            return true;
        }
        let terms: Vec<_> = clause.terms.iter().map(|term| format!("{} = {}", term.field.path, term.said)).collect();
        let terms = terms.join(", ");
        lines.push(match clause.of {
            Of::Every | Of::None if all_left_out => format!("{terms}: of none of them this is known"),
            Of::Every => format!("every {terms}: not so for {}", self.offenders()),
            Of::None => format!("none {terms}: but {}", self.offenders()),
            Of::Some => format!("some {terms}: not so for any"),
        });
        lines.extend(self.examples.iter().flatten().map(|line| format!("  {line}")));
        more(self.against, self.examples.len(), lines);
        false
    }

    fn offenders(&self) -> String {
        match self.untold {
            0 => count(self.against),
            all if all == self.against => format!("{}, of which it cannot be told", count(all)),
            untold => format!("{}, of {} of which it cannot be told", count(self.against), count(untold)),
        }
    }
}

impl Test {
    /// It is about this life.
    fn selects(&self, life: &Life<'_>) -> Answer {
        let filters = self.filters.iter().map(|filter| passes(filter, life));
        Answer::all(filters.chain(self.when.iter().map(|term| term.judge(life))))
    }
}

/// A filter leaves out what is not known; here that is no no.
fn passes(filter: &Filter, life: &Life<'_>) -> Answer {
    let life = life.lifecycle;
    if filter.matches(life) {
        return Answer::Yes;
    }
    let mut without = filter.clone();
    if life.owner.is_none() {
        let Filter { pids, comms, uids, .. } = Filter::default();
        without = Filter { pids, comms, uids, ..without };
    }
    if life.cgroup().is_none() {
        without.cgroups.clear();
    }
    if life.netns.is_none() {
        without.netns.clear();
    }
    if without.matches(life) { Answer::Unknown } else { Answer::No }
}

fn title(life: &Life<'_>, host: &str, selected: Answer) -> String {
    let perhaps = if selected == Answer::Unknown { ", which may not be meant" } else { "" };
    format!("{host}{}{perhaps}", life.title())
}

/// A life that is against a clause, and by what.
fn example(clause: &Clause, life: &Life<'_>, host: &str, selected: Answer) -> Vec<String> {
    let wrong = clause.terms.iter().filter(|term| clause.of == Of::None || term.judge(life) != Answer::Yes);
    let lines = wrong.map(|term| match clause.of {
        Of::None => format!("  {}: {}", term.field.path, found(term, life)),
        Of::Every | Of::Some => format!("  {}: {}, expected {}", term.field.path, found(term, life), term.said),
    });
    std::iter::once(title(life, host, selected)).chain(lines).collect()
}

fn found(term: &Term, life: &Life<'_>) -> String {
    let found = match (life.find(&term.field), &term.field.kind) {
        (Found::Flag(flag), _) => flag.to_string(),
        (Found::Number(nanos), Kind::Duration) => duration(nanos),
        (Found::Number(size), Kind::Size) => bytes(size),
        (Found::Number(number), _) => number.to_string(),
        (Found::Text(text), _) => format!("{text:?}"),
        (Found::Group, _) => "not null".to_owned(),
        (Found::States { spans, .. }, _) => spans.iter().map(|span| span.state.name()).collect::<Vec<_>>().join(" > "),
        (Found::Running(so_far), _) => {
            format!("at least {}, still running when the run ended", duration(so_far))
        }
        (Found::Absent(why), _) => format!("null ({why})"),
        (Found::Unknown(why) | Found::Missed(why), _) => return format!("unknown ({why})"),
    };
    match life.basis(&term.field) {
        Some(basis) => format!("{found} ({basis})"),
        None => found,
    }
}

fn lifecycles(number: u64) -> String {
    if number == 1 { "1 lifecycle".to_owned() } else { format!("{} lifecycles", count(number)) }
}

fn between([low, high]: [u64; 2]) -> String {
    if low == high { count(low) } else { format!("{} to {}", count(low), count(high)) }
}

fn more(all: u64, shown: usize, lines: &mut Vec<String>) {
    let rest = all - shown as u64;
    if rest > 0 {
        lines.push(format!("  and {} more", count(rest)));
    }
}
