//! What the settings that count for TIME_WAIT do today, and what the ports come to. Pure.

use crate::model::sysctls::{
    FIN_TIMEOUT, MAX_ORPHANS, MAX_TW_BUCKETS, PORT_RANGE, PortRange, RESERVED_PORTS, RFC1337, SOMAXCONN, Sysctls,
    TIMESTAMPS, TW_REUSE, TW_REUSE_DELAY,
};
use crate::model::{state::TIME_WAIT, wheel::Wheel};
use crate::sink::doctor::{Ports, SysctlLine};

/// Those that are shown.
pub(super) const NAMES: [&str; 10] = [
    TW_REUSE,
    TW_REUSE_DELAY,
    FIN_TIMEOUT,
    MAX_TW_BUCKETS,
    PORT_RANGE,
    RESERVED_PORTS,
    TIMESTAMPS,
    MAX_ORPHANS,
    RFC1337,
    SOMAXCONN,
];

pub(super) fn lines(values: &Sysctls) -> Vec<SysctlLine> {
    NAMES
        .into_iter()
        .map(|name| SysctlLine { name, value: values.get(name).cloned(), means: means(name, values) })
        .collect()
}

fn means(name: &str, values: &Sysctls) -> String {
    let value = values.get(name).map(String::as_str);
    let timestamps = values.get(TIMESTAMPS).map(String::as_str);
    let text = match (name, value) {
        (TW_REUSE, Some("1" | "2")) if timestamps == Some("0") => "without effect, for tcp_timestamps is 0",
        (TW_REUSE, Some("0")) => "a connect takes no port in TIME_WAIT, unless bind() has chosen it",
        (TW_REUSE, Some("1")) => "a connect may take a port in TIME_WAIT; nothing changes for what comes in",
        (TW_REUSE, Some("2")) => {
            "a connect may take a port in TIME_WAIT on loopback alone; nothing changes for what comes in"
        }
        (TW_REUSE, _) => "whether a connect may take a port in TIME_WAIT; nothing changes for what comes in",
        // tcp_twsk_unique(), net/ipv4/tcp_ipv4.c.
        (TW_REUSE_DELAY, None) => "1 s in this kernel: from then on a connect may take the port, see tcp_tw_reuse",
        (TW_REUSE_DELAY, Some(_)) => "milliseconds from which on a connect may take the port, see tcp_tw_reuse",
        (FIN_TIMEOUT, _) => "FIN_WAIT2 of closed sockets only; TIME_WAIT is always 60 s",
        (MAX_TW_BUCKETS, _) => "time-wait sockets a namespace; beyond it none is made, and the peer's FIN gets a reset",
        (PORT_RANGE, _) => "first and last port that connect() chooses from",
        (RESERVED_PORTS, Some("")) => "none is left out of it",
        (RESERVED_PORTS, _) => "left out of it",
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
pub(super) fn ports(values: &Sysctls, jiffy: u64) -> Option<Ports> {
    let range = PortRange::of(values)?;
    let pool = range.pool();
    let longest_time_wait_ns = longest(jiffy);
    let rate = |nanos: u64| u32::try_from(u64::from(pool) * 1_000_000_000 / nanos).ok();
    let (rate_low, rate_high) = (rate(longest_time_wait_ns)?, rate(TIME_WAIT)?);
    let reserved = range.reserved();
    Some(Ports { first: range.first, last: range.last, reserved, pool, rate_low, rate_high, longest_time_wait_ns })
}

/// The longest TIME_WAIT: the timer wheel rounds up.
fn longest(jiffy: u64) -> u64 {
    TIME_WAIT + Wheel::step(jiffy, TIME_WAIT)
}

#[cfg(test)]
mod tests {
    use super::{PORT_RANGE, RESERVED_PORTS, Sysctls, longest, means, ports};

    fn values(range: &str, reserved: &str) -> Sysctls {
        [(PORT_RANGE, range), (RESERVED_PORTS, reserved)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
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
    fn no_port_is_no_rate() {
        let ports = ports(&values("1 65535", "1-65535"), 4_000_000).expect("they are known");
        assert_eq!((ports.pool, ports.rate_low, ports.rate_high), (0, 0, 0));
    }

    #[test]
    fn what_makes_no_sense_is_unknown() {
        for range in ["", "1", "9 1", "1 70000", "a b", "1 2 3"] {
            assert_eq!(ports(&values(range, ""), 4_000_000), None, "{range:?}");
        }
        assert_eq!(ports(&Sysctls::new(), 4_000_000), None);
    }

    #[test]
    fn reuse_needs_timestamps() {
        let mut values: Sysctls = [("net.ipv4.tcp_tw_reuse".to_owned(), "1".to_owned())].into();
        assert!(means("net.ipv4.tcp_tw_reuse", &values).starts_with("a connect may take"));
        values.insert("net.ipv4.tcp_timestamps".to_owned(), "0".to_owned());
        assert_eq!(means("net.ipv4.tcp_tw_reuse", &values), "without effect, for tcp_timestamps is 0");
    }
}
