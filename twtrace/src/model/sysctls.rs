//! The settings of the kernel that decide how connections open, wait and end, and what the ports come to by them.
//!
//! Pure: names, and what values mean. `probe::sysctl` reads them; a recording keeps them.

use std::collections::BTreeMap;

/// By name, as the kernel prints them, with single spaces; what could not be read is not among them.
pub type Sysctls = BTreeMap<String, String>;

/// Whether connect() may take a port in TIME_WAIT.
pub const TW_REUSE: &str = "net.ipv4.tcp_tw_reuse";
/// Milliseconds of TIME_WAIT after which it may (6.17); 1 s where the kernel has no such setting.
pub const TW_REUSE_DELAY: &str = "net.ipv4.tcp_tw_reuse_delay";
/// FIN_WAIT2 of closed sockets.
pub const FIN_TIMEOUT: &str = "net.ipv4.tcp_fin_timeout";
/// Time-wait sockets a namespace.
pub const MAX_TW_BUCKETS: &str = "net.ipv4.tcp_max_tw_buckets";
/// First and last port that connect() chooses from.
pub const PORT_RANGE: &str = "net.ipv4.ip_local_port_range";
/// Ports that it leaves out.
pub const RESERVED_PORTS: &str = "net.ipv4.ip_local_reserved_ports";
/// Timestamps, without which no TIME_WAIT is reused.
pub const TIMESTAMPS: &str = "net.ipv4.tcp_timestamps";
/// Sockets closed and not yet done, on the whole host.
pub const MAX_ORPHANS: &str = "net.ipv4.tcp_max_orphans";
/// Whether a reset leaves a TIME_WAIT alone.
pub const RFC1337: &str = "net.ipv4.tcp_rfc1337";
/// The cap of listen()'s backlog.
pub const SOMAXCONN: &str = "net.core.somaxconn";

/// All that matter to a connection's life, for whoever looks at a recording on another host.
pub const NAMES: [&str; 30] = [
    PORT_RANGE,
    RESERVED_PORTS,
    "net.ipv4.ip_unprivileged_port_start",
    TW_REUSE,
    TW_REUSE_DELAY,
    TIMESTAMPS,
    FIN_TIMEOUT,
    MAX_TW_BUCKETS,
    MAX_ORPHANS,
    "net.ipv4.tcp_orphan_retries",
    RFC1337,
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_synack_retries",
    "net.ipv4.tcp_syn_linear_timeouts",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_migrate_req",
    "net.ipv4.tcp_fastopen",
    SOMAXCONN,
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_retries1",
    "net.ipv4.tcp_retries2",
    "net.ipv4.tcp_rto_max_ms",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_ehash_entries",
    "fs.file-max",
    "fs.nr_open",
];

/// The ports that connect() chooses from, where nobody has bound one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// Left out, in order and without overlaps.
    reserved: Vec<(u16, u16)>,
}

impl PortRange {
    /// `None` where the settings are not known or make no sense.
    pub fn of(values: &Sysctls) -> Option<Self> {
        let (first, last) = values.get(PORT_RANGE)?.split_once(' ')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        if first > last {
            return None;
        }
        // The kernel prints it in order and without overlaps (proc_do_large_bitmap()).
        let parts = values.get(RESERVED_PORTS)?.split(',').filter(|part| !part.is_empty());
        let reserved = parts.map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            Some((low.parse().ok()?, high.parse().ok()?))
        });
        Some(Self { first, last, reserved: reserved.collect::<Option<_>>()? })
    }

    /// How many of them are reserved.
    pub fn reserved(&self) -> u32 {
        let inside = |&(low, high): &(u16, u16)| {
            (u32::from(high.min(self.last)) + 1).saturating_sub(u32::from(low.max(self.first)))
        };
        self.reserved.iter().map(inside).sum()
    }

    /// How many can be chosen for one destination (address and port) from one local address.
    pub fn pool(&self) -> u32 {
        (u32::from(self.last) + 1 - u32::from(self.first)).saturating_sub(self.reserved())
    }

    /// This one can be chosen.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
            && !self.reserved.iter().any(|&(low, high)| (low..=high).contains(&port))
    }
}

#[cfg(test)]
mod tests {
    use super::{PORT_RANGE, PortRange, RESERVED_PORTS};
    use proptest::prelude::*;

    fn range(range: &str, reserved: &str) -> Option<PortRange> {
        PortRange::of(
            &[(PORT_RANGE, range), (RESERVED_PORTS, reserved)].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        )
    }

    #[test]
    fn reserved_ports_count_inside_the_range() {
        let ports = range("32768 60999", "80,40000,40010-40019,60990-65535").expect("they are known");
        assert_eq!((ports.reserved(), ports.pool()), (1 + 10 + 10, 28_232 - 21));
        let contained = [80, 32_767, 32_768, 40_000, 40_001, 40_010, 40_020, 60_989, 60_990, 61_000];
        assert_eq!(
            contained.map(|port| ports.contains(port)),
            [false, false, true, false, true, false, true, true, false, false]
        );
        assert_eq!(range("1 65535", "1-65535").map(|ports| ports.pool()), Some(0));
    }

    #[test]
    fn what_makes_no_sense_is_unknown() {
        for (text, reserved) in [("32768", ""), ("9 8", ""), ("a b", ""), ("1 2", "x"), ("1 70000", ""), ("1 2", "3-y")]
        {
            assert_eq!(range(text, reserved), None, "{text} {reserved}");
        }
        assert_eq!(PortRange::of(&Default::default()), None);
    }

    proptest! {
        /// Counted one by one.
        #[test]
        fn the_pool_is_what_it_contains(first: u16, length in 0..2_000_u16, reserved: [u16; 4]) {
            let last = first.saturating_add(length);
            let mut reserved = reserved;
            reserved.sort_unstable();
            let [a, b, c, d] = reserved;
            prop_assume!(b < c);
            let ports = range(&format!("{first} {last}"), &format!("{a}-{b},{c}-{d}")).expect("they are known");
            let counted = (0..=u16::MAX).filter(|&port| ports.contains(port)).count();
            prop_assert_eq!(ports.pool() as usize, counted);
        }

        #[test]
        fn text_never_panics(first in "\\PC*", second in "[-0-9, ]*") {
            if let Some(ports) = range(&first, &second).or_else(|| range(&second, &first)) {
                let _ = (ports.pool(), ports.contains(80));
            }
        }
    }
}
