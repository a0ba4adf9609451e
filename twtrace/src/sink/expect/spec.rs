//! A specification: the assertions that somebody wrote down, in TOML.
//!
//! Whatever is not understood is refused with its line and column: a word that means nothing would be a test that
//! cannot fail.

use super::{
    field::Fields,
    matcher::{Matcher, Range, Term, whole_number},
};
use crate::{model::filter::Filter, sink::format};
use std::{collections::HashSet, fmt, ops::Range as Span};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Bytes that a specification may have.
pub const LONGEST: usize = 1 << 20;

/// How a line of filters is understood, as on the command line.
pub(super) type ReadFilter<'a> = &'a dyn Fn(&str) -> Result<Filter, String>;

/// What is expected of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// How many events may be missing; `None` for any number.
    pub(super) lost: Option<Bound>,
    /// With which status the command may end; `None` for any.
    pub(super) status: Option<Bound>,
    pub(super) tests: Vec<Test>,
}

/// Something that is expected of some lifecycles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Test {
    pub(super) name: String,
    /// Which lifecycles: all of these hold.
    pub(super) filters: Vec<Filter>,
    pub(super) when: Vec<Term>,
    pub(super) count: Option<Bound>,
    pub(super) clauses: Vec<Clause>,
    /// Lifecycles of which something cannot be told are left out.
    pub(super) skips_unknown: bool,
}

/// What of the lifecycles of a test.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clause {
    pub(super) of: Of,
    pub(super) terms: Vec<Term>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Every,
    Some,
    None,
}

/// A range of numbers, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) range: Range,
    pub(super) said: String,
}

/// Why a text is no specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSpec {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub error: String,
}

impl fmt::Display for BadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.error)
    }
}

impl std::error::Error for BadSpec {}

impl Spec {
    /// The specification in a text.
    ///
    /// # Errors
    ///
    /// Of the first thing in it that is not understood.
    pub fn parse(text: &str, filter: ReadFilter<'_>) -> Result<Self, BadSpec> {
        let reader = Reader { text, fields: Fields::new(), filter };
        reader.spec().map_err(|Bad { span, error }| {
            let before = text.get(..span.start).unwrap_or(text);
            let line = before.rsplit('\n').next().unwrap_or_default();
            BadSpec { line: before.matches('\n').count() + 1, column: line.chars().count() + 1, error }
        })
    }
}

struct Bad {
    span: Span<usize>,
    error: String,
}

type Read<T> = Result<T, Bad>;
type Value<'i> = Spanned<DeValue<'i>>;

struct Reader<'a> {
    text: &'a str,
    fields: Fields,
    filter: ReadFilter<'a>,
}

const TOP: [&str; 6] = ["lost", "status", "where", "when", "unknown", "expect"];
const TEST: [&str; 8] = ["name", "where", "when", "unknown", "count", "every", "some", "none"];

fn bad<T>(at: &Spanned<T>, error: impl Into<String>) -> Bad {
    Bad { span: at.span(), error: error.into() }
}

impl Reader<'_> {
    fn spec(&self) -> Read<Spec> {
        if self.text.len() > LONGEST {
            return Err(Bad { span: 0..0, error: format!("it is longer than {}", format::bytes(LONGEST as u64)) });
        }
        let document = DeTable::parse(self.text).map_err(|error| Bad {
            span: error.span().unwrap_or_default(),
            error: format!("this is no TOML: {}", format::one_line(error.message())),
        })?;
        let top = document.get_ref();
        known_keys(top, &TOP, "a specification")?;
        let Some(tests) = top.get("expect") else {
            return Err(Bad { span: 0..0, error: "nothing is expected: write an [[expect]]".to_owned() });
        };
        let lost = self.bound(top, "lost", true)?.unwrap_or_else(|| Some(Bound::none()));
        let status = self.bound(top, "status", true)?.unwrap_or_else(|| Some(Bound::none()));
        let all = Test {
            name: String::new(),
            filters: self.filters(top)?,
            when: self.when(top)?,
            count: None,
            clauses: Vec::new(),
            skips_unknown: skips_unknown(top)?.unwrap_or(false),
        };
        let DeValue::Array(list) = tests.get_ref() else { return Err(bad(tests, "write [[expect]], in two brackets")) };
        if list.is_empty() {
            return Err(bad(tests, "nothing is expected: the list is empty"));
        }
        let mut names = HashSet::new();
        let tests = list.iter().map(|value| {
            let test = self.test(value, &all)?;
            match names.insert(test.name.clone()) {
                true => Ok(test),
                false => Err(bad(value, format!("another test has the name {:?}", test.name))),
            }
        });
        let tests = tests.collect::<Read<_>>()?;
        Ok(Spec { lost, status, tests })
    }

    /// A test, which has what all have and more.
    fn test(&self, value: &Value<'_>, all: &Test) -> Read<Test> {
        let DeValue::Table(table) = value.get_ref() else { return Err(bad(value, "write [[expect]] and keys below")) };
        known_keys(table, &TEST, "an [[expect]]")?;
        let mut test = all.clone();
        test.name = name(value, table)?;
        test.filters.extend(self.filters(table)?);
        test.when.extend(self.when(table)?);
        test.skips_unknown = skips_unknown(table)?.unwrap_or(all.skips_unknown);
        test.count = self.bound(table, "count", false)?.flatten();
        for (key, of) in [("every", Of::Every), ("some", Of::Some), ("none", Of::None)] {
            let Some(value) = table.get(key) else { continue };
            let one = |value| Ok(Clause { of, terms: self.terms(value, key)? });
            match value.get_ref() {
                DeValue::Array(values) if values.is_empty() => return Err(bad(value, format!("{key} says nothing"))),
                DeValue::Array(values) => {
                    test.clauses.extend(values.iter().map(one).collect::<Read<Vec<_>>>()?);
                }
                _ => test.clauses.push(one(value)?),
            }
        }
        if test.count.is_none() && test.clauses.is_empty() {
            return Err(bad(value, format!("{:?} asserts nothing: give it count, every, some or none", test.name)));
        }
        Ok(test)
    }

    fn filters(&self, table: &DeTable<'_>) -> Read<Vec<Filter>> {
        let Some(value) = table.get("where") else { return Ok(Vec::new()) };
        let DeValue::String(line) = value.get_ref() else {
            return Err(bad(value, "where is filters as on the command line, in quotes: \"-L 8080 --comm nginx\""));
        };
        if line.trim().is_empty() {
            return Err(bad(value, "where is empty: leave it out to take every lifecycle"));
        }
        (self.filter)(line).map(|filter| vec![filter]).map_err(|error| bad(value, format!("bad filter: {error}")))
    }

    fn when(&self, table: &DeTable<'_>) -> Read<Vec<Term>> {
        table.get("when").map_or(Ok(Vec::new()), |value| self.terms(value, "when"))
    }

    /// What is said of fields.
    fn terms(&self, value: &Value<'_>, key: &str) -> Read<Vec<Term>> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(bad(value, format!("{key} is made of fields: {key} = {{ closed_first = \"local\" }}")));
        };
        let mut terms = Vec::new();
        self.gather("", table, &mut terms)?;
        if terms.is_empty() {
            return Err(bad(value, format!("{key} says nothing")));
        }
        Ok(terms)
    }

    fn gather(&self, group: &str, table: &DeTable<'_>, terms: &mut Vec<Term>) -> Read<()> {
        // As they were written, not by name.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(_, value)| value.span().start);
        for (key, value) in entries {
            let name = key.get_ref();
            let path = if group.is_empty() { name.to_string() } else { format!("{group}.{name}") };
            match value.get_ref() {
                DeValue::Table(below) if self.fields.is_group(&path) => {
                    if below.is_empty() {
                        return Err(bad(value, format!("{path} says nothing")));
                    }
                    self.gather(&path, below, terms)?;
                }
                _ => {
                    let field = self.fields.get(&path).map_err(|error| bad(key, error))?;
                    let matcher = Matcher::parse(&field, value).map_err(|(value, error)| bad(value, error))?;
                    terms.push(Term { field, matcher, said: self.said(value) });
                }
            }
        }
        Ok(())
    }

    /// A number of something: `Some(None)` for any.
    fn bound(&self, table: &DeTable<'_>, key: &str, may_be_any: bool) -> Read<Option<Option<Bound>>> {
        let Some(value) = table.get(key) else { return Ok(None) };
        let any = if may_be_any { " or \"any\"" } else { "" };
        let rule =
            format!("{key} is a number, \"> 3\", \"<= 3\", a range with both ends in it, \"1..3\", \"1..\"{any}");
        let range = match value.get_ref() {
            DeValue::String(text) if may_be_any && text.trim() == "any" => return Ok(Some(None)),
            DeValue::String(text) => Range::parse(text.trim(), |word| word.parse().ok(), rule),
            number => whole_number(number).map(|number| Range { low: number, high: number }).ok_or(rule),
        };
        let range = range.map_err(|error| bad(value, error))?;
        Ok(Some(Some(Bound { range, said: self.said(value) })))
    }

    /// A value as it was written.
    fn said(&self, value: &Value<'_>) -> String {
        format::one_line(self.text.get(value.span()).unwrap_or_default())
    }
}

impl Bound {
    fn none() -> Self {
        Self { range: Range { low: 0, high: 0 }, said: "0".to_owned() }
    }
}

fn known_keys(table: &DeTable<'_>, known: &[&str], whose: &str) -> Read<()> {
    match table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
        Some(key) => Err(bad(key, format!("{whose} has no key {:?}: it has {}", key.get_ref(), known.join(", ")))),
        None => Ok(()),
    }
}

fn name(test: &Value<'_>, table: &DeTable<'_>) -> Read<String> {
    let Some(value) = table.get("name") else { return Err(bad(test, "a test needs a name: name = \"…\"")) };
    match value.get_ref() {
        DeValue::String(name) if name.trim().is_empty() || name.chars().any(char::is_control) => {
            Err(bad(value, "a name is one line of text"))
        }
        DeValue::String(name) => Ok(name.trim().to_owned()),
        _ => Err(bad(value, "a name is text in quotes")),
    }
}

fn skips_unknown(table: &DeTable<'_>) -> Read<Option<bool>> {
    let Some(value) = table.get("unknown") else { return Ok(None) };
    match value.get_ref().as_str() {
        Some("fail") => Ok(Some(false)),
        Some("skip") => Ok(Some(true)),
        _ => Err(bad(value, "unknown is \"fail\" or \"skip\"")),
    }
}
