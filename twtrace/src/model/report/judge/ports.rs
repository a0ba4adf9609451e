//! Local ports and the TIME_WAITs that hold them.

use super::{
    super::{
        AdviceKind, Destination, Figure, Finding, FindingKind, Full, Place, Report, Reuse, Severity, TimeWaitMaker,
        Value,
    },
    basis, figure, or_unknown,
    words::{many, name, sentence, who},
};
use crate::model::{
    TimeWaitEnd,
    sysctls::MAX_TW_BUCKETS,
    units::{count, duration, number},
};

/// From here on the ports toward a destination run out: a burst takes the rest.
const NEARLY_ALL: f64 = 0.75;
const ALL_BUT_GONE: f64 = 0.95;
/// Whoever will be out of ports within this time should hear of it, and within that at once.
const SOON: u64 = 3_600_000_000_000;
const NOW: u64 = 600_000_000_000;
/// A tenth of the ports in TIME_WAIT is worth a word; so many where the range is not known: a tenth of the default.
const MANY: f64 = 0.1;
const MANY_PORTS: f64 = 2_823.0;
/// Fewer than these are no sign of anything.
const A_FEW: u64 = 100;
/// TIME_WAITs that one port of a server can leave behind before it is worth a word.
const MANY_AT_A_SERVER: f64 = 3_000.0;
/// `TCP_TIMEWAIT_LEN` in seconds.
const MINUTE: f64 = 60.0;

pub(super) fn exhausted(report: &Report) -> Vec<Finding> {
    let hit = report.destinations.iter().filter(|destination| destination.no_port > 0);
    hit.map(|destination| {
        let taken = match destination.pool {
            Some(pool) if destination.held_peak.count >= u64::from(pool) * 9 / 10 => {
                format!("all {} are taken", count(pool.into()))
            }
            // Ports that are bound are out of connect's reach for every destination.
            Some(pool) => format!(
                "{} of {} were held toward it, so other sockets have bound the rest, or the range was changed",
                count(destination.held_peak.count),
                count(pool.into())
            ),
            None => "all are taken".to_owned(),
        };
        let owner = destination.owners.first();
        let (connects, to) = (many(destination.no_port, "connect"), destination.remote);
        Finding {
            title: sentence(format!("{} found no local port for {connects} to {to}: {taken}", who(owner))),
            ..of_ports(FindingKind::PortsExhausted, Severity::Critical, destination)
        }
    })
    .collect()
}

pub(super) fn running_out(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    for destination in report.destinations.iter().filter(|destination| destination.no_port == 0) {
        let Some(pool) = destination.pool.filter(|&pool| pool > 0) else { continue };
        let share = destination.held_peak.count as f64 / f64::from(pool);
        // TIME_WAITs whose ports can be taken over stand in nobody's way.
        let harmless = matches!(destination.reuse, Reuse::After(_)) && mostly_time_wait(destination);
        let severity = match destination.full {
            Full::In(time) if time < NOW && share >= MANY => Severity::Critical,
            _ if share >= ALL_BUT_GONE && !harmless => Severity::Critical,
            Full::In(time) if time < SOON && share >= MANY => Severity::Warning,
            _ if share >= NEARLY_ALL && !harmless => Severity::Warning,
            _ => continue,
        };
        let (held, pool) = (count(destination.held_peak.count), count(pool.into()));
        let when = match destination.full {
            Full::In(time) => format!("; at this pace none is left in {}", duration(time)),
            _ => String::new(),
        };
        let who = who(destination.owners.first());
        let title = format!("{who} held {held} of {pool} local ports toward {}{when}", destination.remote);
        findings
            .push(Finding { title: sentence(title), ..of_ports(FindingKind::PortsRunningOut, severity, destination) });
    }
    findings
}

/// TIME_WAITs toward one destination, in numbers that begin to count though the ports do last.
pub(super) fn flood(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    let places: Vec<_> = running_out(report).into_iter().map(|finding| finding.place).collect();
    let waits = |destination: &&Destination| destination.no_port == 0 && mostly_time_wait(destination);
    for destination in report.destinations.iter().filter(waits) {
        let limit = destination.pool.map_or(MANY_PORTS, |pool| f64::from(pool) * MANY);
        let minute = destination.time_waits as f64 * MINUTE / seconds(report).max(1.0);
        let many_now = destination.time_wait_at_peak as f64 >= limit;
        let many_soon = destination.time_waits >= A_FEW && minute >= limit;
        if !(many_now || many_soon) || places.contains(&Some(Place::To(destination.remote))) {
            continue;
        }
        let rate = destination.open_rate.map(|rate| format!(", {} a second", number(rate))).unwrap_or_default();
        let title = format!(
            "{} closes its connections to {} first{rate}, and each leaves a TIME_WAIT: {}",
            who(destination.owners.first()),
            destination.remote,
            count(destination.time_waits),
        );
        findings.push(Finding {
            title: sentence(title),
            ..of_ports(FindingKind::TimeWaitFlood, Severity::Notice, destination)
        });
    }
    findings
}

pub(super) fn overflow(report: &Report) -> Vec<Finding> {
    let seen = report.time_wait.ends.get(&Some(TimeWaitEnd::Overflow)).copied().unwrap_or(0);
    let counted = report.happened.counters.get("TCPTimeWaitOverflow").copied().unwrap_or(0);
    let missed = seen.max(counted);
    if missed == 0 {
        return Vec::new();
    }
    let limit = limit_of_time_waits(report);
    let named = limit.map(|limit| format!(" ({})", count(limit))).unwrap_or_default();
    vec![Finding {
        kind: FindingKind::TimeWaitOverflow,
        severity: Severity::Critical,
        culprit: report.time_wait.makers.first().and_then(|maker| maker.owner.clone()),
        place: report.time_wait.makers.first().map(|maker| maker.place),
        title: format!(
            "{} could not be made: net.ipv4.tcp_max_tw_buckets{named} is reached",
            many(missed, "TIME_WAIT")
        ),
        mechanism:
            "Without its TIME_WAIT a connection is forgotten at once. The peer's last FIN is answered by a reset, \
                    and a late segment of the old connection can end up in a new one."
                .to_owned(),
        cure: "Make fewer TIME_WAITs by keeping connections alive; until then raise the limit, at some 256 bytes each."
            .to_owned(),
        figures: vec![
            figure("time_waits_not_made", "TIME_WAITs not made", Value::Count(missed), basis::COUNTERS),
            figure("time_wait_limit", "limit of TIME_WAITs", or_unknown(limit, Value::Count), basis::SYSCTL),
            figure(
                "time_waits_peak",
                "TIME_WAITs at the peak",
                Value::Count(report.time_wait.peak.count),
                basis::SERIES,
            ),
        ],
        advice: vec![AdviceKind::MaxTwBuckets, AdviceKind::KeepConnections],
    }]
}

pub(super) fn server_closes_first(report: &Report) -> Vec<Finding> {
    let limit = limit_of_time_waits(report);
    let mut findings = Vec::new();
    for maker in &report.time_wait.makers {
        let Place::At(port) = maker.place else { continue };
        let minute = maker.entered as f64 * MINUTE / seconds(report).max(1.0);
        let is_many = maker.entered >= A_FEW && minute >= MANY_AT_A_SERVER;
        let share = limit.map(|limit| maker.peak.count as f64 / limit as f64);
        let near_limit = share.is_some_and(|share| share >= NEARLY_ALL);
        if is_many || near_limit {
            findings.push(server_closes(maker, port, limit, near_limit));
        }
    }
    findings
}

fn server_closes(maker: &TimeWaitMaker, port: u16, limit: Option<u64>, near_limit: bool) -> Finding {
    let of_limit = limit.map(|limit| format!(" of {} that the namespace may have", count(limit))).unwrap_or_default();
    Finding {
        kind: FindingKind::ServerClosesFirst,
        severity: if near_limit { Severity::Warning } else { Severity::Notice },
        culprit: maker.owner.clone(),
        place: Some(maker.place),
        title: sentence(format!(
            "{} closes first at port {port}: {} stay on this side, {} at once",
            who(maker.owner.as_ref()),
            many(maker.entered, "TIME_WAIT"),
            count(maker.peak.count)
        )),
        mechanism: format!(
            "The side that closes first keeps the TIME_WAIT, for 60 s. At a listening port it takes no local port and no \
             descriptor, some 256 bytes of kernel memory each; {} at the peak{of_limit}.",
            count(maker.peak.count)
        ),
        cure: "Let the clients close first: a longer keep-alive timeout here than there. TIME_WAITs at a server are no harm \
               in themselves."
            .to_owned(),
        figures: vec![
            figure("time_waits", "TIME_WAITs", Value::Count(maker.entered), basis::EVENTS),
            figure("time_waits_peak", "TIME_WAITs at once", Value::Count(maker.peak.count), basis::SERIES),
            figure("time_wait_limit", "limit of TIME_WAITs", or_unknown(limit, Value::Count), basis::SYSCTL),
        ],
        advice: vec![AdviceKind::LetTheClientClose, AdviceKind::TwRecycle, AdviceKind::FinTimeout],
    }
}

/// What the findings about one destination's ports have in common.
fn of_ports(kind: FindingKind, severity: Severity, destination: &Destination) -> Finding {
    let waits = mostly_time_wait(destination);
    Finding {
        kind,
        severity,
        culprit: destination.owners.first().cloned(),
        place: Some(Place::To(destination.remote)),
        title: String::new(),
        mechanism: if waits { of_time_waits(destination) } else { of_open_connections(destination) },
        cure: if waits {
            "Keep connections alive and use them again (a pool, HTTP keep-alive): what is not closed leaves no TIME_WAIT."
        } else {
            "Let requests share connections, or open fewer at once: these ports are held by connections in use."
        }
        .to_owned(),
        figures: figures(destination),
        advice: advice(destination, waits),
    }
}

fn of_time_waits(destination: &Destination) -> String {
    let name = name(destination.owners.first());
    let mut text = format!(
        "A connect needs a local port that no other socket toward {} holds, and a TIME_WAIT holds its port for 60 s. {name} \
         closes first, so the TIME_WAITs stay here",
        destination.remote
    );
    if let (Some(pool), Some(rate)) = (destination.pool, destination.sustainable) {
        text.push_str(&format!(": {} ports allow {} connections a second", count(pool.into()), number(rate)));
        if let Some(open) = destination.open_rate {
            text.push_str(&format!(", and it opens {}", number(open)));
        }
    }
    text.push('.');
    text.push_str(&match destination.reuse {
        Reuse::After(delay) => format!(
            " net.ipv4.tcp_tw_reuse is at work: a connect may take over a TIME_WAIT's port after {}.",
            duration(delay)
        ),
        Reuse::Off => " net.ipv4.tcp_tw_reuse is off.".to_owned(),
        Reuse::LoopbackOnly => " net.ipv4.tcp_tw_reuse is 2, which counts on loopback alone.".to_owned(),
        Reuse::NoTimestamps => " No port can be taken over, for net.ipv4.tcp_timestamps is 0.".to_owned(),
        Reuse::Unknown => String::new(),
    });
    text
}

fn of_open_connections(destination: &Destination) -> String {
    format!(
        "A connect needs a local port that no other socket toward {} holds. Most of the {} ports held at the peak belonged \
         to connections in use; {} were in TIME_WAIT.",
        destination.remote,
        count(destination.held_peak.count),
        count(destination.time_wait_at_peak)
    )
}

fn figures(destination: &Destination) -> Vec<Figure> {
    let pool = destination.pool;
    let share = pool.filter(|&pool| pool > 0).map(|pool| destination.held_peak.count as f64 / f64::from(pool));
    let full = match destination.full {
        Full::Was(at) => Value::At(at),
        Full::In(time) => Value::Nanos(time),
        Full::Never => Value::Text("never, at this pace".to_owned()),
        Full::Unknown => Value::Unknown,
    };
    let per_second = |rate| or_unknown(rate, Value::PerSecond);
    let mut figures = vec![
        figure(
            "ports_held_peak",
            "local ports held at the peak",
            Value::Count(destination.held_peak.count),
            basis::SERIES,
        ),
        figure(
            "ports_in_time_wait",
            "of these in TIME_WAIT",
            Value::Count(destination.time_wait_at_peak),
            basis::SERIES,
        ),
        figure("port_pool", "ports to choose from", or_unknown(pool.map(u64::from), Value::Count), basis::SYSCTL),
        figure("port_share", "part of them held", or_unknown(share, Value::Share), basis::SERIES),
        figure("open_rate", "connections opened", per_second(destination.open_rate), basis::EVENTS),
        figure("sustainable_rate", "most that the ports allow", per_second(destination.sustainable), basis::ARITHMETIC),
        figure("full", "no port left", full, if destination.no_port > 0 { basis::EVENTS } else { basis::FORECAST }),
    ];
    if destination.no_port > 0 {
        let failed = Value::Count(destination.no_port);
        figures.insert(0, figure("connects_without_port", "connects that found no port", failed, basis::EVENTS));
    }
    if !matches!(destination.reuse, Reuse::After(_)) && mostly_time_wait(destination) {
        let rate = per_second(destination.sustainable_with_reuse);
        figures.push(figure("sustainable_rate_with_reuse", "with tcp_tw_reuse at work", rate, basis::ARITHMETIC));
    }
    figures
}

fn advice(destination: &Destination, waits: bool) -> Vec<AdviceKind> {
    let mut advice = vec![AdviceKind::KeepConnections];
    if waits {
        match destination.reuse {
            Reuse::Off | Reuse::LoopbackOnly => advice.push(AdviceKind::TwReuse),
            Reuse::NoTimestamps => advice.push(AdviceKind::Timestamps),
            Reuse::After(_) | Reuse::Unknown => {}
        }
    }
    advice.extend([AdviceKind::PortRange, AdviceKind::MoreDestinations]);
    if waits {
        advice.extend([
            AdviceKind::FinTimeout,
            AdviceKind::TwRecycle,
            AdviceKind::MaxTwBuckets,
            AdviceKind::LingerZero,
        ]);
    }
    advice
}

fn mostly_time_wait(destination: &Destination) -> bool {
    destination.time_wait_at_peak * 2 >= destination.held_peak.count.max(1)
}

fn limit_of_time_waits(report: &Report) -> Option<u64> {
    report.hosts.first()?.sysctls.get(MAX_TW_BUCKETS)?.parse().ok().filter(|&limit| limit > 0)
}

fn seconds(report: &Report) -> f64 {
    report.happened.end.since(report.happened.start) as f64 / 1e9
}
