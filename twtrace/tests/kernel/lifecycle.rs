//! A lifecycle line, held against what the scenario did.
//!
//! Every difference is noted, not only the first, so that a failure shows the whole picture.

use crate::Tier;
use serde_json::Value;
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::rc::Rc;

/// What does not agree, so far.
pub(crate) type Differences = Rc<RefCell<Vec<String>>>;

/// One lifecycle line.
pub(crate) struct Life {
    pub(crate) value: Value,
    name: &'static str,
    tier: Tier,
    differences: Differences,
}

/// Stands for any of several values, in [`Life::says`].
pub(crate) fn any<const N: usize>(values: [Value; N]) -> Value {
    serde_json::json!({ "any": values.to_vec() })
}

impl Life {
    pub(crate) fn new(value: Value, name: &'static str, tier: Tier, differences: Differences) -> Self {
        Self { value, name, tier, differences }
    }

    /// Holds fields against the truth; fields that are not named may say anything. The classic tracepoint cannot
    /// read the socket: there a field may also be unknown, but never wrong.
    pub(crate) fn says(&self, truth: &Value) -> &Self {
        let mut truth = truth.clone();
        if let (true, Some(truths)) = (self.may_be_unknown(), truth.as_object_mut()) {
            // The kernel skips a classic program where another one is at work on the CPU, and twtrace says so.
            truths.retain(|key, _| key != "complete" && key != "lost_evidence");
        }
        let owner = truth.get_mut("owner").and_then(Value::as_object_mut);
        if let Some(owner) = owner.filter(|_| crate::net::is_confidential()) {
            // Who accepted is read through the table of descriptors, which has no type.
            owner.remove("basis");
        }
        compare("", &self.value, &truth, self.may_be_unknown()).into_iter().for_each(|what| self.differ(what));
        self
    }

    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }

    fn may_be_unknown(&self) -> bool {
        self.tier == Tier::Classic
    }

    /// Holds the states, in order, against those it went through. What was before a known one does not count for
    /// a connection from before the start.
    pub(crate) fn went_through(&self, states: &[&str]) -> &Self {
        let said = self.states();
        let expected = states.to_vec();
        // Without a look at the socket, a TIME_WAIT that was cut short may be gone before the table is read.
        let unseen = self.may_be_unknown() && expected.split_last() == Some((&"TIME_WAIT", said.as_slice()));
        if said != expected && !unseen {
            self.differ(format!("states are {said:?}, and should be {expected:?}"));
        }
        self
    }

    pub(crate) fn states(&self) -> Vec<&str> {
        let spans = self.value["states"].as_array().map_or(&[][..], Vec::as_slice);
        spans.iter().filter_map(|span| span["state"].as_str()).collect()
    }

    /// Holds the time in a state against the scenario's own clock.
    pub(crate) fn lasted(&self, state: &str, range: &RangeInclusive<u64>) -> &Self {
        match self.time_in(state) {
            Some(time) if range.contains(&time) => {}
            None if self.may_be_unknown() => {}
            time => {
                let said = time.map_or_else(|| "unknown".to_owned(), milliseconds);
                let (low, high) = (milliseconds(*range.start()), milliseconds(*range.end()));
                self.differ(format!("{state} lasted {said}, and should have lasted {low} to {high}"));
            }
        }
        self
    }

    fn time_in(&self, state: &str) -> Option<u64> {
        let spans = self.value["states"].as_array()?;
        spans.iter().find(|span| span["state"] == state)?["duration_ns"].as_u64()
    }

    /// Notes what a scenario found out for itself.
    pub(crate) fn differ(&self, what: String) {
        self.differences.borrow_mut().push(format!("{}: {what}", self.name));
    }
}

fn compare(path: &str, said: &Value, truth: &Value, may_be_unknown: bool) -> Vec<String> {
    if may_be_unknown && said.is_null() {
        return Vec::new();
    }
    if let Some(values) = truth.get("any").and_then(Value::as_array) {
        if values.iter().any(|truth| compare(path, said, truth, may_be_unknown).is_empty()) {
            return Vec::new();
        }
        return vec![format!("{path} is {said}, and should be {truth}")];
    }
    let (Value::Object(fields), Value::Object(truths)) = (said, truth) else {
        return if said == truth { Vec::new() } else { vec![format!("{path} is {said}, and should be {truth}")] };
    };
    let field = |(key, truth): (&String, &Value)| match fields.get(key) {
        Some(said) => compare(&format!("{path}.{key}"), said, truth, may_be_unknown),
        None => vec![format!("{path} has no {key}")],
    };
    truths.iter().flat_map(field).collect()
}

fn milliseconds(nanoseconds: u64) -> String {
    format!("{:.3} ms", nanoseconds as f64 / 1e6)
}
