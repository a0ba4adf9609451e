//! Addresses of kernel functions, from /proc/kallsyms.

use crate::model::observation::Cause;
use std::io::{self, BufRead, BufReader};

/// The function whose address marks the timer of a time-wait socket.
const TIMER: &str = "tw_timer_handler";
/// Only where one of these is in the call chain does a cancelled timer mean the end of its socket. The second calls the
/// first, the body of which compilers put in the place of that call.
const ENDS: [&str; 2] = ["inet_twsk_deschedule_put", "inet_twsk_purge"];
/// Who calls it, and what that means.
const CAUSES: [(&str, Cause); 8] = [
    ("tcp_timewait_state_process", Cause::Reset),
    ("tcp_v4_rcv", Cause::Segment),
    ("tcp_v6_rcv", Cause::Segment),
    ("tcp_abort", Cause::Abort),
    ("inet_twsk_purge", Cause::Namespace),
    // A connect that was given a port lets go of the lock first, and calls from here.
    ("__inet_hash_connect", Cause::Connect),
    ("__inet_check_established", Cause::Connect),
    ("__inet6_check_established", Cause::Connect),
];

/// What the programs and the decoder need to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Address of `tw_timer_handler`.
    pub tw_timer_handler: Option<u64>,
    ends: Vec<(u64, u64)>,
    causes: Vec<(u64, u64, Cause)>,
}

impl Symbols {
    /// Of the running kernel.
    ///
    /// # Errors
    ///
    /// Where /proc/kallsyms cannot be read.
    pub fn read() -> io::Result<Self> {
        Ok(Self::parse(BufReader::new(std::fs::File::open("/proc/kallsyms")?)))
    }

    /// From text in the form of /proc/kallsyms. Addresses of zero (kptr_restrict) count as unknown.
    pub fn parse(text: impl BufRead) -> Self {
        let mut found = Vec::new();
        let mut starts = Vec::new();
        for line in text.lines().map_while(Result::ok) {
            let mut words = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let Ok(address @ 1..) = u64::from_str_radix(address, 16) else { continue };
            if !kind.eq_ignore_ascii_case("t") {
                continue;
            }
            starts.push(address);
            if name == TIMER || ENDS.contains(&name) || CAUSES.iter().any(|(cause, _)| *cause == name) {
                found.push((address, name.to_owned()));
            }
        }
        starts.sort_unstable();
        let range = |name: &str| {
            let (start, _) = found.iter().find(|(_, found)| found == name)?;
            let next = starts.partition_point(|other| other <= start);
            Some((*start, starts.get(next).copied().unwrap_or(u64::MAX)))
        };
        Self {
            tw_timer_handler: range(TIMER).map(|(start, _)| start),
            ends: ENDS.into_iter().filter_map(range).collect(),
            causes: CAUSES
                .iter()
                .filter_map(|(name, cause)| range(name).map(|(start, end)| (start, end, *cause)))
                .collect(),
        }
    }

    /// What ended a time-wait socket, by the return addresses of the call chain, innermost first; `None` where
    /// the chain does not end one.
    pub fn cause(&self, stack: &[u64]) -> Option<Cause> {
        // A return address is behind the call, so a function's first byte is not among them.
        let within = |address: u64, start: u64, end: u64| address > start && address <= end;
        let ends = |&address: &u64| self.ends.iter().any(|(start, end)| within(address, *start, *end));
        let at = stack.iter().position(ends)?;
        let cause = stack[at..]
            .iter()
            .find_map(|&address| self.causes.iter().find(|(start, end, _)| within(address, *start, *end)));
        Some(cause.map_or(Cause::Other, |(_, _, cause)| *cause))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Symbols};

    const TEXT: &str = "\
ffffffff81000100 t tw_timer_handler
ffffffff81000200 T inet_twsk_deschedule_put
ffffffff81000300 T tcp_timewait_state_process
ffffffff81000400 t tcp_v4_rcv
ffffffff81000500 t tcp_abort\t[module]
garbage
ffffffff81000600 D tcp_v6_rcv
ffffffff81000700 t other
ffffffff81000800 T inet_twsk_purge
0000000000000000 T __inet_hash_connect
ffffffff81000900 t last
";

    #[test]
    fn the_innermost_caller_decides() {
        let symbols = Symbols::parse(TEXT.as_bytes());
        assert_eq!(symbols.tw_timer_handler, Some(0xffff_ffff_8100_0100));
        let end = 0xffff_ffff_8100_0210;
        let (process, receive) = (0xffff_ffff_8100_0310, 0xffff_ffff_8100_0410);
        assert_eq!(symbols.cause(&[1, end, process, receive, 0]), Some(Cause::Reset));
        assert_eq!(symbols.cause(&[end, receive]), Some(Cause::Segment));
        assert_eq!(symbols.cause(&[end, 0xffff_ffff_8100_0510]), Some(Cause::Abort));
        assert_eq!(symbols.cause(&[end, 0xffff_ffff_8100_0710]), Some(Cause::Other));
        assert_eq!(symbols.cause(&[end, 0xffff_ffff_8100_0810]), Some(Cause::Namespace));
        assert_eq!(symbols.cause(&[1, 0xffff_ffff_8100_0810]), Some(Cause::Namespace), "with the other in its place");
        assert_eq!(symbols.cause(&[process, receive]), None, "armed again");
    }

    #[test]
    fn hidden_addresses_are_unknown() {
        let symbols = Symbols::parse(&b"0000000000000000 t tw_timer_handler\n"[..]);
        assert_eq!(symbols, Symbols::default());
    }
}
