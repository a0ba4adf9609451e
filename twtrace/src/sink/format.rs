//! How times, durations and words are written, wherever a person or a script reads them.
//!
//! Pure text: knows no format as a whole and no output.

pub use crate::model::units::{bytes, count, duration};

use super::Clock;
use crate::model::{Endpoint, Ktime};
use jiff::Timestamp;
use std::net::IpAddr;

/// The wall time of a moment, RFC 3339 in UTC with nine digits.
pub fn wall(at: Ktime, clock: Clock) -> String {
    format!("{:.9}", timestamp(at.0, clock.realtime))
}

/// The same of a moment of `CLOCK_BOOTTIME`, such as a process's start.
pub fn wall_of_boottime(nanos: u64, clock: Clock) -> String {
    format!("{:.9}", timestamp(nanos, clock.realtime.saturating_sub(clock.boottime)))
}

/// The time of day in UTC to the millisecond: `15:04:05.678`.
pub fn time_of_day(at: Ktime, clock: Clock) -> String {
    timestamp(at.0, clock.realtime).strftime("%H:%M:%S.%3f").to_string()
}

/// Date and time in UTC to the second: `2026-01-01 15:04:05`.
pub fn date_and_time(at: Ktime, clock: Clock) -> String {
    timestamp(at.0, clock.realtime).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn timestamp(nanos: u64, offset: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos) + i128::from(offset))
        .expect("64 bits of nanoseconds span some 900 years, a timestamp some 20,000")
}

/// Address and port; a port that none has been chosen for is `-`.
pub fn end(end: Endpoint) -> String {
    match (end.ip, end.port) {
        (ip @ IpAddr::V4(_), 0) => format!("{ip}:-"),
        (ip @ IpAddr::V6(_), 0) => format!("[{ip}]:-"),
        _ => end.to_string(),
    }
}

/// Text that may come from anywhere, such as the kernel's own words, on one line that steers no terminal.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_control() || c == ' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { realtime: 1_767_225_600_000_000_000, boottime: 5_000_000_000 };

    #[test]
    fn wall_time_has_nine_digits() {
        let at = Ktime(1_000_000_001);
        assert_eq!(wall(at, CLOCK), "2026-01-01T00:00:01.000000001Z");
        assert_eq!(time_of_day(at, CLOCK), "00:00:01.000");
        // Five seconds asleep: booted 8 s ago, awake for 3.
        assert_eq!(wall_of_boottime(8_000_000_000, CLOCK), "2026-01-01T00:00:03.000000000Z");
    }

    #[test]
    fn every_clock_gives_a_time() {
        for (nanos, realtime, boottime) in [(u64::MAX, i64::MAX, i64::MIN), (0, i64::MIN, i64::MAX)] {
            let clock = Clock { realtime, boottime };
            assert_eq!(wall(Ktime(nanos), clock).len(), 30);
            assert_eq!(wall_of_boottime(nanos, clock).len(), 30);
        }
    }

    #[test]
    fn words_from_anywhere_stay_on_a_line() {
        assert_eq!(one_line("no\nBTF\u{1b}[31m  here\r\n"), "no BTF [31m here");
    }
}
