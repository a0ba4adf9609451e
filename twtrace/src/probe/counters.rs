//! What the kernel itself counted of TCP, in our own network namespace.

use super::clock;
use crate::model::observation::Counters;
use std::{collections::BTreeMap, io};

const FILES: [&str; 2] = ["/proc/self/net/snmp", "/proc/self/net/netstat"];
/// The lines that are TCP's.
const PREFIXES: [&str; 2] = ["Tcp", "TcpExt"];

/// Reads them; whose they are and what they mean the caller knows.
pub fn read(netns: u32, time_waits_at_birth: bool) -> io::Result<Counters> {
    let before = clock::now();
    let mut values = BTreeMap::new();
    for file in FILES {
        let text = std::fs::read(file)?;
        parse(&String::from_utf8_lossy(&text), &mut values);
    }
    Ok(Counters { before, after: clock::now(), netns, time_waits_at_birth, values })
}

/// Pairs of lines, names and then values, both with the same prefix. What is no count (`MaxConn` is -1) is left out.
fn parse(text: &str, values: &mut BTreeMap<String, u64>) {
    let mut lines = text.lines();
    while let (Some(names), Some(counts)) = (lines.next(), lines.next()) {
        let (Some((prefix, names)), Some((same, counts))) = (names.split_once(':'), counts.split_once(':')) else {
            return;
        };
        if prefix != same {
            return;
        }
        if !PREFIXES.contains(&prefix) {
            continue;
        }
        for (name, count) in names.split_ascii_whitespace().zip(counts.split_ascii_whitespace()) {
            if let Ok(count) = count.parse() {
                values.insert(name.to_owned(), count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, read};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn parsed(text: &str) -> BTreeMap<String, u64> {
        let mut values = BTreeMap::new();
        parse(text, &mut values);
        values
    }

    fn map<const N: usize>(pairs: [(&str, u64); N]) -> BTreeMap<String, u64> {
        pairs.map(|(name, count)| (name.to_owned(), count)).into()
    }

    #[test]
    fn takes_the_lines_of_tcp() {
        let text = "Ip: Forwarding InReceives\nIp: 1 5\n\
                    Tcp: RtoMin MaxConn ActiveOpens\nTcp: 200 -1 7\n\
                    TcpExt: TW TWKilled\nTcpExt: 3 18446744073709551615\n\
                    MPTcpExt: TW\nMPTcpExt: 99\n";
        assert_eq!(parsed(text), map([("RtoMin", 200), ("ActiveOpens", 7), ("TW", 3), ("TWKilled", u64::MAX)]));
    }

    #[test]
    fn leaves_out_what_makes_no_sense() {
        assert_eq!(parsed(""), map([]));
        assert_eq!(parsed("Tcp: A B"), map([]));
        assert_eq!(parsed("Tcp: A B C\nTcp: 1\n"), map([("A", 1)]));
        assert_eq!(parsed("Tcp: A\nTcp: 1 2 3\n"), map([("A", 1)]));
        assert_eq!(parsed("Tcp: A B\nTcp: x 99999999999999999999\n"), map([]));
        assert_eq!(parsed("Tcp: A\nUdp: 1\nTcp: B\nTcp: 2\n"), map([]));
        assert_eq!(parsed("no colon\nnone\nTcp: B\nTcp: 2\n"), map([]));
    }

    #[test]
    fn the_kernel_counts() {
        let counters = read(1, true).expect("/proc is there");
        assert!(counters.before <= counters.after);
        for name in ["ActiveOpens", "PassiveOpens", "TW", "TWKilled", "TWRecycled", "TCPTimeWaitOverflow"] {
            assert!(counters.values.contains_key(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn text_never_panics(text in "(Tcp|TcpExt|: |[0-9]{1,22}|[A-Z]|\n|\\PC){0,40}") {
            parsed(&text);
        }
    }
}
