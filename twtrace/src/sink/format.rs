//! How times, durations and words are written, wherever a person or a script reads them.
//!
//! Pure text: knows no format as a whole and no output.

use super::Clock;
use crate::model::Ktime;
use jiff::Timestamp;

/// Nanoseconds in the unit a person would choose: `812us`, `3.2ms`, `1.04s`, `2m05s`, `1h02m`, `3d04h`.
///
/// Seconds go up to two minutes, since a TIME_WAIT is to be told from its 60 s by its hundredths.
pub fn duration(nanos: u64) -> String {
    let [micros, tenths, hundredths, seconds] =
        [1_000, 100_000, 10_000_000, 1_000_000_000].map(|unit| rounded(nanos, unit));
    if nanos < 1_000 {
        format!("{nanos}ns")
    } else if micros < 1_000 {
        format!("{micros}us")
    } else if tenths < 10_000 {
        format!("{}.{}ms", tenths / 10, tenths % 10)
    } else if hundredths < 12_000 {
        format!("{}.{:02}s", hundredths / 100, hundredths % 100)
    } else if seconds < 3_600 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else if seconds < 86_400 {
        format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60)
    } else {
        format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24)
    }
}

fn rounded(nanos: u64, unit: u64) -> u64 {
    nanos.saturating_add(unit / 2) / unit
}

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

fn timestamp(nanos: u64, offset: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos) + i128::from(offset))
        .expect("64 bits of nanoseconds span some 900 years, a timestamp some 20,000")
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
    fn durations_are_in_a_persons_units() {
        let cases: [(u64, &str); 17] = [
            (0, "0ns"),
            (999, "999ns"),
            (1_499, "1us"),
            (812_000, "812us"),
            (999_499, "999us"),
            (999_500, "1.0ms"),
            (3_200_000, "3.2ms"),
            (999_949_999, "999.9ms"),
            (999_950_000, "1.00s"),
            (1_040_000_000, "1.04s"),
            (60_018_000_000, "60.02s"),
            (119_994_999_999, "119.99s"),
            (119_995_000_000, "2m00s"),
            (125_000_000_000, "2m05s"),
            (3_599_499_999_999, "59m59s"),
            (3_720_000_000_000, "1h02m"),
            (u64::MAX, "213503d23h"),
        ];
        for (nanos, shown) in cases {
            assert_eq!(duration(nanos), shown, "{nanos}");
        }
    }

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
