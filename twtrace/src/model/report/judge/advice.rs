//! What helps against the findings, and what is often advised for them and does not; with its reason and its risk.
//!
//! As kernels are today (5.8 and later): no setting shortens TIME_WAIT (`TCP_TIMEWAIT_LEN` is compiled in), and none ends
//! a CLOSE_WAIT.

use super::super::{Advice, AdviceKind, Destination, Finding, FindingKind, Report, Stance};
use crate::model::{
    sysctls::{FIN_TIMEOUT, MAX_TW_BUCKETS, PORT_RANGE, PortRange, SOMAXCONN, TW_REUSE},
    units::{count, number},
};

/// The widest range that leaves the privileged ports alone.
const WIDEST: &str = "1024 65535";

/// Each of what the findings ask for once, what to do first.
pub(super) fn advice(report: &Report, findings: &[Finding]) -> Vec<Advice> {
    let mut wanted: Vec<(AdviceKind, Vec<FindingKind>)> = Vec::new();
    for finding in findings {
        for &kind in &finding.advice {
            match wanted.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, because)) if because.contains(&finding.kind) => {}
                Some((_, because)) => because.push(finding.kind),
                None => wanted.push((kind, vec![finding.kind])),
            }
        }
    }
    let facts = Facts::new(report);
    let mut advice: Vec<Advice> = wanted.into_iter().filter_map(|(kind, because)| facts.say(kind, because)).collect();
    advice.sort_by_key(|advice| advice.stance);
    advice
}

/// What the words need to know.
struct Facts<'a> {
    report: &'a Report,
    /// The destination that is shortest of ports.
    destination: Option<&'a Destination>,
}

/// Act, reason, risk, command.
type Words = (Stance, String, String, &'static str, Option<String>);

impl<'a> Facts<'a> {
    fn new(report: &'a Report) -> Self {
        Self { report, destination: report.destinations.first() }
    }

    fn sysctl(&self, name: &str) -> Option<&'a str> {
        self.report.hosts.first()?.sysctls.get(name).map(String::as_str)
    }

    fn is_set_to(&self, name: &str) -> String {
        self.sysctl(name).map(|value| format!(" (here {value})")).unwrap_or_default()
    }

    /// `None` where the facts leave nothing to advise.
    fn say(&self, kind: AdviceKind, because: Vec<FindingKind>) -> Option<Advice> {
        let (stance, act, reason, risk, command) = match kind {
            AdviceKind::PortRange => self.port_range()?,
            AdviceKind::TwReuse => self.tw_reuse(),
            AdviceKind::MaxTwBuckets => self.max_tw_buckets(&because),
            AdviceKind::FinTimeout => self.fin_timeout(&because),
            AdviceKind::Sysctl => self.no_sysctl(&because),
            other => plain(other)?,
        };
        Some(Advice { kind, stance, act, reason, risk: risk.to_owned(), command, because })
    }

    fn port_range(&self) -> Option<Words> {
        let sysctls = &self.report.hosts.first()?.sysctls;
        let range = PortRange::of(sysctls)?;
        let mut wider = sysctls.clone();
        wider.insert(PORT_RANGE.to_owned(), WIDEST.to_owned());
        let widest = PortRange::of(&wider)?.pool();
        if widest <= range.pool() {
            return None;
        }
        let factor = number(f64::from(widest) / f64::from(range.pool().max(1)));
        Some((
            Stance::Consider,
            format!(
                "Widen {PORT_RANGE}{}, and keep the ports of this host's own services out of it with \
                 net.ipv4.ip_local_reserved_ports.",
                self.is_set_to(PORT_RANGE)
            ),
            format!(
                "Toward each remote end {} ports can be chosen; {} would be {factor} times as many, and allow {factor} times \
                 the rate.",
                count(range.pool().into()),
                count(widest.into())
            ),
            "A service that starts later may find its port taken by a connect: reserve its port first.",
            Some(format!("sysctl -w {PORT_RANGE}=\"{WIDEST}\"")),
        ))
    }

    fn tw_reuse(&self) -> Words {
        let rates = self.destination.and_then(|d| Some((d.sustainable?, d.sustainable_with_reuse?)));
        let rates = rates.map_or_else(String::new, |(now, then)| {
            format!(" Here that allows {} connections a second in place of {}.", number(then), number(now))
        });
        (
            Stance::Do,
            format!("Set {TW_REUSE} to 1{} on this side, the one that connects.", self.is_set_to(TW_REUSE)),
            format!(
                "A connect may then take over a port that has been in TIME_WAIT for a second (net.ipv4.tcp_tw_reuse_delay).{rates}"
            ),
            "Needs TCP timestamps at both ends, which tell a late segment of the old connection from the new one. It changes \
             nothing for connections that come in.",
            Some(format!("sysctl -w {TW_REUSE}=1")),
        )
    }

    fn max_tw_buckets(&self, because: &[FindingKind]) -> Words {
        let here = self.is_set_to(MAX_TW_BUCKETS);
        if because.contains(&FindingKind::TimeWaitOverflow) {
            let twice = self.sysctl(MAX_TW_BUCKETS).and_then(|limit| limit.parse::<u64>().ok());
            let twice = twice.map(|limit| limit.saturating_mul(2).max(16_384));
            return (
                Stance::Do,
                format!("Raise {MAX_TW_BUCKETS}{here}: it is a limit for emergencies, a namespace's own."),
                "It is reached, and each connection that closes beyond it loses its TIME_WAIT.".to_owned(),
                "Some 256 bytes of kernel memory for each TIME_WAIT.",
                twice.map(|limit| format!("sysctl -w {MAX_TW_BUCKETS}={limit}")),
            );
        }
        (
            Stance::Avoid,
            format!("Do not lower {MAX_TW_BUCKETS}{here} to be rid of TIME_WAITs."),
            "It is a limit, not a cure: beyond it connections are closed without a TIME_WAIT.".to_owned(),
            "The peer's last FIN is answered by a reset, and late segments can end up in a new connection.",
            None,
        )
    }

    fn fin_timeout(&self, because: &[FindingKind]) -> Words {
        let here = self.is_set_to(FIN_TIMEOUT);
        if because.contains(&FindingKind::FinWait2PileUp) {
            return (
                Stance::Consider,
                format!("Lower {FIN_TIMEOUT}{here} where the peer cannot be mended."),
                "It ends the FIN_WAIT2 of sockets that no process holds any more; FIN_WAIT2 is all it is about."
                    .to_owned(),
                "A peer that is merely slow to close gets a reset in answer to its FIN.",
                Some(format!("sysctl -w {FIN_TIMEOUT}=15")),
            );
        }
        (
            Stance::Avoid,
            format!("Do not lower {FIN_TIMEOUT}{here} to shorten TIME_WAIT."),
            "It is about FIN_WAIT2 alone. TIME_WAIT lasts 60 s in every kernel; nothing sets it.".to_owned(),
            "Peers that are slow to close get resets, and the TIME_WAITs stay as they are.",
            None,
        )
    }

    fn no_sysctl(&self, because: &[FindingKind]) -> Words {
        if because.contains(&FindingKind::NotClosed) {
            return (
                Stance::Avoid,
                "Do not look for a sysctl against CLOSE_WAIT.".to_owned(),
                "There is none, and no timeout: only the program's close(), its exit or a reset of the peer ends a CLOSE_WAIT."
                    .to_owned(),
                "Settings such as tcp_fin_timeout or tcp_keepalive_time change other things and leave the leak.",
                None,
            );
        }
        (
            Stance::Avoid,
            format!("Do not raise the backlog or {SOMAXCONN}{} alone.", self.is_set_to(SOMAXCONN)),
            "A queue that nobody empties fills up at any length.".to_owned(),
            "Clients wait longer for an answer that does not come.",
            None,
        )
    }
}

/// What is said the same way everywhere; the rest needs facts.
fn plain(kind: AdviceKind) -> Option<Words> {
    let (stance, act, reason, risk) = match kind {
        AdviceKind::KeepConnections => (
            Stance::Do,
            "Keep connections alive and use them again: a pool, HTTP keep-alive, upstream keepalive in a proxy.",
            "What is not closed makes no TIME_WAIT and takes no new port.",
            "The other end must keep idle connections for longer than this one, or requests meet closed connections.",
        ),
        AdviceKind::CloseInTheProgram => (
            Stance::Do,
            "Close every connection in the program once read gives 0 bytes or fails; a restart frees what has leaked.",
            "A CLOSE_WAIT waits for the program and for nothing else.",
            "None; the restart drops the connections in use.",
        ),
        AdviceKind::AcceptFaster => (
            Stance::Do,
            "Make the program accept: look at its stacks for what holds the accept loop, and at its free workers.",
            "The connections stand in the queue until accept() takes them.",
            "Accepting more than can be served moves the queue into the program: limit what is taken on.",
        ),
        AdviceKind::LetTheClientClose => (
            Stance::Consider,
            "Let the client close first: give the server the longer keep-alive timeout, and let it not say `Connection: close`.",
            "The TIME_WAIT stays with whoever closes first.",
            "Clients that never close keep their connections until the server's timeout.",
        ),
        AdviceKind::Timestamps => (
            Stance::Do,
            "Set net.ipv4.tcp_timestamps to 1.",
            "Without timestamps no connect may take over a port in TIME_WAIT, whatever tcp_tw_reuse says.",
            "12 bytes in every segment.",
        ),
        AdviceKind::MoreDestinations => (
            Stance::Consider,
            "Use more remote addresses or ports, or more local addresses with IP_BIND_ADDRESS_NO_PORT.",
            "Each pair of a local address and a remote end has the whole port range to itself.",
            "bind() to an address without IP_BIND_ADDRESS_NO_PORT takes a port from all destinations at once.",
        ),
        AdviceKind::IdleTimeouts => (
            Stance::Consider,
            "Give clients and pools an idle timeout a few seconds shorter than the server's.",
            "Then the client closes first, and never sends into a connection that the server has just closed.",
            "None but a new connection now and then.",
        ),
        AdviceKind::FindTheReset => (
            Stance::Do,
            "Find the side that resets in the table of closers, and let it read to the end and then close().",
            "A reset throws away what is on its way; the other side sees ECONNRESET.",
            "An orderly close by the side that closes first leaves a TIME_WAIT, as it should.",
        ),
        AdviceKind::StartTheListener => (
            Stance::Do,
            "Start the service at the other end, or take the address out of the configuration.",
            "Each connect costs a round trip and an error.",
            "None.",
        ),
        AdviceKind::CheckThePath => (
            Stance::Do,
            "Check that the other end is up and accepts, and what stands in between (firewall, NAT, load balancer).",
            "Segments are sent and not answered.",
            "None.",
        ),
        AdviceKind::BiggerRing => (
            Stance::Do,
            "Record again with a bigger ring: --ring 64M.",
            "Events came faster than they were read, and those without room were lost.",
            "Kernel memory of that size while tracing.",
        ),
        AdviceKind::DescriptorLimit => (
            Stance::Consider,
            "Raise the process's descriptor limit to gain time.",
            "At the limit accept() and open() fail with EMFILE.",
            "The leak goes on; it only takes longer.",
        ),
        AdviceKind::TwRecycle => (
            Stance::Avoid,
            "Do not look for net.ipv4.tcp_tw_recycle.",
            "It is gone since Linux 4.12: it dropped connections of clients behind one NAT, whose timestamps do not agree.",
            "Scripts that set it fail; old kernels that have it refuse clients at random.",
        ),
        AdviceKind::LingerZero => (
            Stance::Avoid,
            "Do not set SO_LINGER to 0 to be rid of TIME_WAIT.",
            "close() then sends a reset in place of a FIN.",
            "What was not yet sent is lost, the other side gets ECONNRESET, and late segments can reach a new connection.",
        ),
        AdviceKind::PortRange
        | AdviceKind::TwReuse
        | AdviceKind::MaxTwBuckets
        | AdviceKind::FinTimeout
        | AdviceKind::Sysctl => return None,
    };
    let command = (kind == AdviceKind::Timestamps).then(|| "sysctl -w net.ipv4.tcp_timestamps=1".to_owned());
    Some((stance, act.to_owned(), reason.to_owned(), risk, command))
}
