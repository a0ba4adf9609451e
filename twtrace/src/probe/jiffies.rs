//! How far the kernel's clock of jiffies has come.

use super::clock;
use crate::model::wheel::Wheel;

/// The wheel's clock now, from /proc/timer_list, which only root may read (`timer_list_show()`).
pub fn wheel(jiffy: u64) -> Option<Wheel> {
    let at = clock::now();
    let text = std::fs::read_to_string("/proc/timer_list").ok()?;
    Some(Wheel { jiffy, at, jiffies: parse(&text)? })
}

fn parse(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("jiffies: ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn jiffies_stand_on_a_line_of_their_own() {
        assert_eq!(parse("cpu: 0\n  .last_jiffies   : 7\njiffies: 4297315262\n"), Some(4_297_315_262));
        assert_eq!(parse("jiffies: soon\n"), None);
    }
}
