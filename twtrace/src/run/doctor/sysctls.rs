//! What the settings that count for TIME_WAIT do today, and what the ports come to. Pure.

use crate::model::wheel::Wheel;
use crate::sink::doctor::{Ports, SysctlLine};
use std::collections::BTreeMap;

const REUSE: &str = "net.ipv4.tcp_tw_reuse";
const REUSE_DELAY: &str = "net.ipv4.tcp_tw_reuse_delay";
const FIN_TIMEOUT: &str = "net.ipv4.tcp_fin_timeout";
const MAX_BUCKETS: &str = "net.ipv4.tcp_max_tw_buckets";
const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";
const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";
const TIMESTAMPS: &str = "net.ipv4.tcp_timestamps";
const MAX_ORPHANS: &str = "net.ipv4.tcp_max_orphans";
const RFC1337: &str = "net.ipv4.tcp_rfc1337";
const SOMAXCONN: &str = "net.core.somaxconn";

/// Those that are shown.
pub(super) const NAMES: [&str; 10] =
    [REUSE, REUSE_DELAY, FIN_TIMEOUT, MAX_BUCKETS, PORT_RANGE, RESERVED, TIMESTAMPS, MAX_ORPHANS, RFC1337, SOMAXCONN];

/// By name, as the kernel prints them; what cannot be read is not among them.
pub(super) type Values = BTreeMap<&'static str, String>;

/// `TCP_TIMEWAIT_LEN`, include/net/tcp.h: fixed when the kernel is compiled.
const TIME_WAIT_NS: u64 = 60_000_000_000;

pub(super) fn lines(values: &Values) -> Vec<SysctlLine> {
    NAMES
        .into_iter()
        .map(|name| SysctlLine { name, value: values.get(name).cloned(), means: means(name, values) })
        .collect()
}

fn means(name: &str, values: &Values) -> String {
    let value = values.get(name).map(String::as_str);
    let timestamps = values.get(TIMESTAMPS).map(String::as_str);
    let text = match (name, value) {
        (REUSE, Some("1" | "2")) if timestamps == Some("0") => "without effect, for tcp_timestamps is 0",
        (REUSE, Some("0")) => "a connect takes no port in TIME_WAIT, unless bind() has chosen it",
        (REUSE, Some("1")) => "a connect may take a port in TIME_WAIT; nothing changes for what comes in",
        (REUSE, Some("2")) => {
            "a connect may take a port in TIME_WAIT on loopback alone; nothing changes for what comes in"
        }
        (REUSE, _) => "whether a connect may take a port in TIME_WAIT; nothing changes for what comes in",
        // tcp_twsk_unique(), net/ipv4/tcp_ipv4.c.
        (REUSE_DELAY, None) => "1 s in this kernel: from then on a connect may take the port, see tcp_tw_reuse",
        (REUSE_DELAY, Some(_)) => "milliseconds from which on a connect may take the port, see tcp_tw_reuse",
        (FIN_TIMEOUT, _) => "FIN_WAIT2 of closed sockets only; TIME_WAIT is always 60 s",
        (MAX_BUCKETS, _) => "time-wait sockets a namespace; beyond it none is made, and the peer's FIN gets a reset",
        (PORT_RANGE, _) => "first and last port that connect() chooses from",
        (RESERVED, Some("")) => "none is left out of it",
        (RESERVED, _) => "left out of it",
        (TIMESTAMPS, Some("0")) => "no connect can take a port in TIME_WAIT",
        (TIMESTAMPS, _) => "a TIME_WAIT's port can be taken only where the connection had them",
        (MAX_ORPHANS, _) => "host-wide, sockets closed and not yet done; more are reset. TIME_WAIT does not count",
        (RFC1337, Some("0")) => "a reset from the peer can end a TIME_WAIT early",
        (RFC1337, Some(_)) => "a reset from the peer does not end a TIME_WAIT",
        (RFC1337, None) => "whether a reset from the peer leaves a TIME_WAIT alone",
        (SOMAXCONN, _) => {
            "at most so many wait to be accepted; it caps listen()'s backlog and has no part in TIME_WAIT"
        }
        _ => "",
    };
    text.to_owned()
}

/// What the ports allow to one destination without reuse.
pub(super) fn ports(values: &Values, jiffy: u64) -> Option<Ports> {
    let (first, last) = values.get(PORT_RANGE)?.split_once(' ')?;
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let reserved = reserved(values.get(RESERVED)?, first, last)?;
    let pool = (u32::from(last) + 1).checked_sub(u32::from(first))?.checked_sub(reserved)?;
    let longest_time_wait_ns = longest(jiffy);
    let rate = |nanos: u64| u32::try_from(u64::from(pool) * 1_000_000_000 / nanos).ok();
    let (rate_low, rate_high) = (rate(longest_time_wait_ns)?, rate(TIME_WAIT_NS)?);
    Some(Ports { first, last, reserved, pool, rate_low, rate_high, longest_time_wait_ns })
}

/// How many of a list such as `8080,9000-9010` lie between `first` and `last`; the kernel prints it in order and
/// without overlaps (`proc_do_large_bitmap()`).
fn reserved(list: &str, first: u16, last: u16) -> Option<u32> {
    let mut count = 0;
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high): (u16, u16) = (low.parse().ok()?, high.parse().ok()?);
        count += (u32::from(high.min(last)) + 1).saturating_sub(u32::from(low.max(first)));
    }
    Some(count)
}

/// The longest TIME_WAIT: the timer wheel rounds up.
fn longest(jiffy: u64) -> u64 {
    TIME_WAIT_NS + Wheel::step(jiffy, TIME_WAIT_NS)
}

#[cfg(test)]
mod tests {
    use super::{PORT_RANGE, RESERVED, Values, longest, means, ports, reserved};

    fn values(range: &str, reserved: &str) -> Values {
        [(PORT_RANGE, range.to_owned()), (RESERVED, reserved.to_owned())].into()
    }

    /// The longest that were measured at these ticks: 62.05 s, 64.1 s, 65.1 s.
    #[test]
    fn a_time_wait_lasts_until_the_wheel_comes_round() {
        assert_eq!(longest(4_000_000), 62_048_000_000);
        assert_eq!(longest(1_000_000), 64_096_000_000);
        assert_eq!(longest(10_000_000), 65_120_000_000);
        assert!(longest(0) > 60_000_000_000 && longest(u64::MAX / 8) > 60_000_000_000);
    }

    #[test]
    fn ports_of_the_usual_range() {
        let ports = ports(&values("32768 60999", ""), 4_000_000).expect("they are known");
        assert_eq!((ports.pool, ports.rate_low, ports.rate_high), (28_232, 455, 470));
    }

    #[test]
    fn reserved_ports_count_inside_the_range() {
        assert_eq!(reserved("80,40000,40010-40019,60990-65535", 32_768, 60_999), Some(1 + 10 + 10));
        assert_eq!(reserved("1-65535", 32_768, 60_999), Some(28_232));
        assert_eq!(reserved("x", 1, 2), None);
        let ports = ports(&values("1 65535", "1-65535"), 4_000_000).expect("they are known");
        assert_eq!((ports.pool, ports.rate_low, ports.rate_high), (0, 0, 0));
    }

    #[test]
    fn what_makes_no_sense_is_unknown() {
        for range in ["", "1", "9 1", "1 70000", "a b", "1 2 3"] {
            assert_eq!(ports(&values(range, ""), 4_000_000), None, "{range:?}");
        }
        assert_eq!(ports(&Values::new(), 4_000_000), None);
    }

    #[test]
    fn reuse_needs_timestamps() {
        let mut values: Values = [("net.ipv4.tcp_tw_reuse", "1".to_owned())].into();
        assert!(means("net.ipv4.tcp_tw_reuse", &values).starts_with("a connect may take"));
        values.insert("net.ipv4.tcp_timestamps", "0".to_owned());
        assert_eq!(means("net.ipv4.tcp_tw_reuse", &values), "without effect, for tcp_timestamps is 0");
    }
}
