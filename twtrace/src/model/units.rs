//! Figures as a person reads and writes them.

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

/// A size as a person reads it: `812 B`, `34.5 kB`, `1.2 GB`.
pub fn bytes(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| rounded(bytes, unit / 10) >= 10) {
        Some((unit, name)) => {
            let tenths = rounded(bytes, unit / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// Nanoseconds of `500ms`, `60.02s` or `1h30m`: numbers, each with its unit; `None` where a word is no such thing.
pub fn parse_duration(word: &str) -> Option<u64> {
    let unit = |name: &str| {
        Some(match name {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        })
    };
    let (mut total, mut rest) = (0_u64, word);
    while !rest.is_empty() {
        let (part, tail) = parse_part(rest, unit)?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    Some(total).filter(|_| !word.is_empty())
}

/// Bytes of `1460`, `64 kB` or `1.5MiB`; `None` where a word is no such thing.
pub fn parse_bytes(word: &str) -> Option<u64> {
    let unit = |name: &str| {
        Some(match name.trim() {
            "" | "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return None,
        })
    };
    let (bytes, tail) = parse_part(word, unit)?;
    tail.is_empty().then_some(bytes)
}

/// The first number with its unit, a whole one of what is counted in, and what follows.
fn parse_part(word: &str, unit: impl Fn(&str) -> Option<u64>) -> Option<(u64, &str)> {
    let (number, tail) = word.split_at(word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len()));
    let (name, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let unit = unit(name)?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let parts = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit);
    let scale = 10_u128.pow(fraction.len() as u32);
    let fraction = u64::try_from(parts / scale).ok().filter(|_| parts.is_multiple_of(scale))?;
    Some((whole.checked_add(fraction)?, tail))
}

/// A number with its thousands apart: `28,232`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A rate or another number that need not be whole, to three digits: `8.33`, `455`, `1,234`, `0.02`.
pub fn number(value: f64) -> String {
    match value.abs() {
        big if big >= 99.95 => count(value.round().max(0.0) as u64),
        big if big >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A part of the whole: `12.5%`, `<0.1%`.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0%".to_owned(),
        small if small < 0.1 => "<0.1%".to_owned(),
        percent if percent < 9.95 => format!("{percent:.1}%"),
        percent => format!("{percent:.0}%"),
    }
}

/// A change by this part of what it was: -0.5 is half of it.
pub fn change(part: f64) -> String {
    match part {
        tenfold if tenfold >= 9.0 => format!("{} times", number(tenfold + 1.0)),
        less if less < 0.0 => format!("-{}", percent(-less)),
        more => format!("+{}", percent(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_a_persons_units() {
        let cases = [
            (0, "0 B"),
            (949, "949 B"),
            (950, "1.0 kB"),
            (34_549, "34.5 kB"),
            (999_950, "1.0 MB"),
            (u64::MAX, "18446744.0 TB"),
        ];
        for (size, shown) in cases {
            assert_eq!(bytes(size), shown, "{size}");
        }
    }

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
    fn durations_are_read_as_they_are_written() {
        let cases = [
            ("0s", 0),
            ("7ns", 7),
            ("812us", 812_000),
            ("3.2ms", 3_200_000),
            ("60.02s", 60_020_000_000),
            ("2m05s", 125_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("3d04h", 273_600_000_000_000),
        ];
        for (word, nanos) in cases {
            assert_eq!(parse_duration(word), Some(nanos), "{word}");
        }
        for word in ["", "s", "30", "-5s", "3 s", ".5s", "1.s", "1.2.3s", "0.5ns", "1x", "\u{663}s", "213504d", "1s "] {
            assert_eq!(parse_duration(word), None, "{word}");
        }
    }

    #[test]
    fn sizes_are_read_as_they_are_written() {
        let cases = [
            ("0", 0),
            ("812 B", 812),
            ("34.5 kB", 34_500),
            ("1.5KiB", 1_536),
            ("2GiB", 2 << 30),
            ("18446744073709551615", u64::MAX),
        ];
        for (word, size) in cases {
            assert_eq!(parse_bytes(word), Some(size), "{word}");
        }
        for word in ["", "B", "1K", "1kb", "0.5", "1 kB 2", "1kB2B", "18446744073709551616", "99999999TB"] {
            assert_eq!(parse_bytes(word), None, "{word}");
        }
    }

    #[test]
    fn thousands_stand_apart() {
        let shown = [0, 999, 1_000, 28_232, 1_000_000].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "28,232", "1,000,000"]);
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.016, 8.333, 9.999, 46.7, 455.3, 12_345.6].map(number);
        assert_eq!(shown, ["0.00", "0.02", "8.33", "10.0", "46.7", "455", "12,346"]);
    }

    #[test]
    fn shares_are_percents() {
        assert_eq!([0.0, 0.0001, 0.051, 0.2, 1.5].map(percent), ["0%", "<0.1%", "5.1%", "20%", "150%"]);
    }
}
