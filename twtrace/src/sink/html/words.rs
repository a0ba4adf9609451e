//! Figures, processes and places as words.

use crate::{
    model::{
        Ktime,
        report::{Party, Peak, Place, Value},
    },
    sink::{Clock, format},
};
use std::fmt::Display;

/// What stands where nobody can say.
pub(super) const UNKNOWN: &str = "unknown";

/// `1234567` as `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut words = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            words.push(',');
        }
        words.push(digit);
    }
    words
}

/// `1 connection`, `2 connections`.
pub(super) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

/// So many a second or a minute: three digits where there are no more, and never none.
pub(super) fn rate(number: f64) -> String {
    match number.abs() {
        small if small < 0.01 && small > 0.0 => format!("{number:.1e}"),
        small if small < 10.0 => format!("{number:.2}"),
        middle if middle < 100.0 => format!("{number:.1}"),
        _ => {
            let sign = if number < 0.0 { "-" } else { "" };
            format!("{sign}{}", count(number.abs().round() as u64))
        }
    }
}

pub(super) fn share(part: f64) -> String {
    let percent = part * 100.0;
    if percent > 0.0 && percent < 0.1 {
        "<0.1%".to_owned()
    } else if percent > 0.0 && percent < 10.0 {
        format!("{percent:.1}%")
    } else {
        format!("{percent:.0}%")
    }
}

pub(super) fn known<T>(value: Option<T>, words: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), words)
}

pub(super) fn nanos(value: Option<u64>) -> String {
    known(value, format::duration)
}

pub(super) fn value(value: &Value, clock: Clock) -> String {
    match value {
        Value::Count(number) => count(*number),
        Value::Nanos(nanos) => format::duration(*nanos),
        Value::PerSecond(number) => format!("{}/s", rate(*number)),
        Value::PerMinute(number) => format!("{}/min", rate(*number)),
        Value::Share(part) => share(*part),
        Value::At(at) => moment(*at, clock),
        Value::Text(text) => format::one_line(text),
        Value::Unknown => UNKNOWN.to_owned(),
    }
}

/// The time of day; the page's head has the day.
pub(super) fn moment(at: Ktime, clock: Clock) -> String {
    format::time_of_day(at, clock)
}

/// `3,201 at 12:00:01.000`.
pub(super) fn peak(peak: Peak, clock: Clock) -> String {
    match peak.at {
        Some(at) => format!("{} at {}", count(peak.count), moment(at, clock)),
        None => count(peak.count),
    }
}

/// `nginx (812, 813, …)`.
pub(super) fn party(party: Option<&Party>) -> String {
    let Some(Party { comm, pids, more_pids }) = party else { return UNKNOWN.to_owned() };
    let mut numbers: Vec<String> = pids.iter().map(u32::to_string).collect();
    numbers.extend(more_pids.then(|| "…".to_owned()));
    if numbers.is_empty() { comm.to_string() } else { format!("{comm} ({})", numbers.join(", ")) }
}

pub(super) fn place(place: Option<Place>) -> String {
    known(place, |place| match place {
        Place::To(end) => format!("to {end}"),
        Place::At(port) => format!("at port {port}"),
        Place::With(ip) => format!("with {ip}"),
    })
}

/// `fin 3, unknown 1`.
pub(super) fn counts<N: Display>(counts: impl IntoIterator<Item = (N, u64)>) -> String {
    let counts = counts.into_iter().map(|(name, number)| format!("{name} {}", count(number)));
    counts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Comm;

    #[test]
    fn numbers_are_read_at_a_glance() {
        let counts = [(0, "0"), (999, "999"), (1_000, "1,000"), (28_231, "28,231"), (1_234_567, "1,234,567")];
        for (number, words) in counts {
            assert_eq!(count(number), words);
        }
        let rates =
            [(0.0, "0.00"), (0.004, "4.0e-3"), (9.876, "9.88"), (45.67, "45.7"), (1_234.5, "1,235"), (-250.0, "-250")];
        for (number, words) in rates {
            assert_eq!(rate(number), words);
        }
        assert_eq!(
            [share(0.0), share(0.034), share(0.5), share(1.25), share(1e-5)],
            ["0%", "3.4%", "50%", "125%", "<0.1%"]
        );
    }

    #[test]
    fn processes_of_a_name_are_told_by_their_first_numbers() {
        let many = Party { comm: Comm::new(b"nginx"), pids: vec![812, 813], more_pids: true };
        assert_eq!(party(Some(&many)), "nginx (812, 813, …)");
        assert_eq!(party(None), UNKNOWN);
    }
}
