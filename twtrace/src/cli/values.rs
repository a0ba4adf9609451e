//! Values that are more than a number or a name.

use crate::model::{filter::BadWord, units};
use std::{str::FromStr, time::Duration};

/// `500ms`, `30s`, `2m`, `1h30m`: numbers, each with its unit.
pub(super) fn duration(word: &str) -> Result<Duration, BadWord> {
    let bad = || BadWord("a time is a number with its unit, ms, s, m, h or d: 30s, 2m, 1h30m".to_owned());
    units::parse_duration(word).filter(|&nanos| nanos > 0).map(Duration::from_nanos).ok_or_else(bad)
}

/// The kernel takes a ring of a power of two of bytes that is whole pages, and counts it in 32 bits
/// (kernel/bpf/ringbuf.c, `ringbuf_map_alloc()`).
pub(super) fn ring(word: &str) -> Result<u32, BadWord> {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
    let bad = || BadWord(format!("a ring is a power of two of bytes, from one page ({page}) up to 2G: 512K, 16M"));
    let size = bytes(word).and_then(|size| u32::try_from(size).ok()).ok_or_else(bad)?;
    if size.is_power_of_two() && size.is_multiple_of(page) { Ok(size) } else { Err(bad()) }
}

/// A file's size: `512K`, `100M`, `2G`.
pub(super) fn size(word: &str) -> Result<u64, BadWord> {
    let bad = || BadWord("a size is a number of bytes, or one with K, M, G or T: 512K, 100M, 2G".to_owned());
    bytes(word).filter(|&size| size > 0).ok_or_else(bad)
}

fn bytes(word: &str) -> Option<u64> {
    let (number, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len()));
    let unit: u64 = match unit {
        "" => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        "T" | "t" => 1 << 40,
        _ => return None,
    };
    u64::from_str(number).ok()?.checked_mul(unit)
}
