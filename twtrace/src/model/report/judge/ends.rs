//! Connections that could not be made, or ended in another way than by two FINs.

use super::{
    super::{AdviceKind, Closes, Destination, Finding, FindingKind, IdleEnd, Place, Report, Severity, Value},
    basis, figure, or_unknown,
    words::{many, place, sentence, who},
};
use crate::model::{
    Close, Side, TcpState,
    units::{count, duration, percent},
};

/// Fewer than these are no sign of anything.
const A_FEW: u64 = 3;
const SOME: u64 = 10;
const MANY: u64 = 20;
/// From a tenth of all connections on resets are no exception, and from half on they are the rule.
const OFTEN: f64 = 0.1;
const MOSTLY: f64 = 0.5;

pub(super) fn unanswered(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    for destination in &report.destinations {
        let place = Place::To(destination.remote);
        let stuck = report.pile_ups.iter().filter(|row| row.state == TcpState::SynSent && row.place == place);
        let (waiting, longest) = stuck.fold((0, 0), |(now, longest), row| (now + row.now, longest.max(row.longest)));
        if destination.unanswered + waiting < A_FEW {
            continue;
        }
        let who = who(destination.owners.first());
        let failed =
            (destination.unanswered > 0).then(|| format!("{} failed", many(destination.unanswered, "connect")));
        let wait = (waiting > 0).then(|| format!("{} wait for up to {}", many(waiting, "connect"), duration(longest)));
        let said: Vec<String> = failed.into_iter().chain(wait).collect();
        findings.push(Finding {
            kind: FindingKind::SynUnanswered,
            severity: Severity::Warning,
            culprit: destination.owners.first().cloned(),
            place: Some(place),
            title: sentence(format!("{} does not answer {who}: {}", destination.remote, said.join(", "))),
            mechanism:
                "The SYN is sent again after 1 s and more, for some two minutes by default. Either it or its answer is \
                        lost, or the other end drops it: its accept queue is full."
                    .to_owned(),
            cure: "Look whether the other end is up and accepts, and for a firewall in between.".to_owned(),
            figures: vec![
                figure("unanswered", "connects that failed", Value::Count(destination.unanswered), basis::EVENTS),
                figure("waiting", "connects that still wait", Value::Count(waiting), basis::EVENTS),
                figure("longest", "the longest wait", Value::Nanos(longest), basis::EVENTS),
            ],
            advice: vec![AdviceKind::CheckThePath],
        });
    }
    findings
}

pub(super) fn refused(report: &Report) -> Vec<Finding> {
    let often = |d: &&Destination| d.refused >= SOME && d.refused as f64 >= d.opened as f64 * MOSTLY;
    let find = |destination: &Destination| Finding {
        kind: FindingKind::Refused,
        severity: Severity::Warning,
        culprit: destination.owners.first().cloned(),
        place: Some(Place::To(destination.remote)),
        title: sentence(format!(
            "Nobody listens at {}: {} of {} by {} were refused",
            destination.remote,
            count(destination.refused),
            many(destination.opened, "connect"),
            who(destination.owners.first())
        )),
        mechanism: "The other end answers the SYN with a reset: no socket listens there, or a firewall says so."
            .to_owned(),
        cure: "Start what should listen there, or give the right address.".to_owned(),
        figures: vec![
            figure("refused", "connects refused", Value::Count(destination.refused), basis::EVENTS),
            figure("opened", "connects", Value::Count(destination.opened), basis::EVENTS),
        ],
        advice: vec![AdviceKind::StartTheListener],
    };
    report.destinations.iter().filter(often).map(find).collect()
}

pub(super) fn resets(report: &Report) -> Vec<Finding> {
    report.closes_by_process.iter().filter_map(resets_of).collect()
}

fn resets_of(closes: &Closes) -> Option<Finding> {
    let by = |close: Close| closes.close.get(&Some(close)).copied().unwrap_or(0);
    let (sent, received) = (by(Close::ResetSent), by(Close::ResetReceived));
    let share = (sent + received) as f64 / closes.closed.max(1) as f64;
    if sent + received < MANY || share < OFTEN {
        return None;
    }
    let reason = closes.reasons.iter().max_by_key(|(name, number)| (**number, std::cmp::Reverse(**name)));
    let why = reason.and_then(|(reason, _)| meaning(reason)).unwrap_or(
        "A reset ends a connection without handing over what is still on its way: the other side gets ECONNRESET.",
    );
    Some(Finding {
        kind: FindingKind::Resets,
        severity: if share >= MOSTLY { Severity::Warning } else { Severity::Notice },
        culprit: closes.party.clone(),
        place: None,
        title: sentence(format!(
            "{} of {}'s connections ended in a reset: {} sent, {} received",
            percent(share),
            who(closes.party.as_ref()),
            count(sent),
            count(received)
        )),
        mechanism: why.to_owned(),
        cure: "Find out which side resets and let it close in order: read to the end, then close().".to_owned(),
        figures: vec![
            figure("resets_sent", "resets sent", Value::Count(sent), basis::EVENTS),
            figure("resets_received", "resets received", Value::Count(received), basis::EVENTS),
            figure("reset_share", "part of its connections", Value::Share(share), basis::EVENTS),
            figure(
                "reset_reason",
                "the kernel's reason for most",
                or_unknown(reason, |(reason, _)| Value::Text((*reason).to_owned())),
                "the kernel's own name",
            ),
        ],
        advice: vec![AdviceKind::FindTheReset],
    })
}

/// What the kernel's reasons mean (`enum sk_rst_reason`, include/net/rstreason.h).
fn meaning(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "TCP_ABORT_ON_CLOSE" => {
            "It closes before it has read all that came: then the kernel sends a reset in place of a FIN."
        }
        "TCP_ABORT_ON_DATA" => "Data came after it had closed: nobody is there to read it, so the kernel resets.",
        "TCP_ABORT_ON_LINGER" => "It closes with a negative TCP_LINGER2: FIN_WAIT2 is cut off by a reset.",
        "TCP_ABORT_ON_MEMORY" => "The kernel has too many orphaned sockets or too little memory for TCP.",
        "TCP_STATE" => {
            "It throws connections away: SO_LINGER with a time of 0, or a listener closed over its queue. What was not yet \
             sent is lost, and the other side gets ECONNRESET."
        }
        "TCP_KEEPALIVE_TIMEOUT" => {
            "The peer did not answer keepalives: it is gone, or the path forgets idle connections."
        }
        "TCP_DISCONNECT_WITH_DATA" => "It disconnects with data on its way.",
        _ => return None,
    })
}

/// A timeout at the end that has the listener: the other side's next request meets a closed connection.
pub(super) fn idle(report: &Report) -> Vec<Finding> {
    let at_server =
        |idle: &&IdleEnd| idle.count >= A_FEW && matches!(idle.place, Place::At(_)) && idle.side == Side::Local;
    // Where the server is here too, its own side tells it.
    let told = |port: u16, timeout: u64| {
        let own = report.idle_ends.iter().filter(at_server);
        own.into_iter().any(|idle| idle.place == Place::At(port) && idle.timeout == timeout)
    };
    let at_client = |idle: &&IdleEnd| match (idle.place, idle.side) {
        (Place::To(end), Side::Remote) => idle.count >= A_FEW && !told(end.port, idle.timeout),
        _ => false,
    };
    let find = |idle: &IdleEnd| {
        let closer = match idle.side {
            Side::Local => who(idle.closer.as_ref()),
            _ => idle.closer.as_ref().map_or_else(|| "the peer".to_owned(), |party| who(Some(party))),
        };
        Finding {
            kind: FindingKind::IdleTimeout,
            severity: Severity::Notice,
            culprit: idle.closer.clone(),
            place: Some(idle.place),
            title: sentence(format!(
                "{closer} closes after {} without data {}: {} of {}",
                duration(idle.timeout),
                place(&idle.place),
                count(idle.count),
                many(idle.of, "connection")
            )),
            mechanism:
                "A keep-alive timeout of the server: it closes first, so its side has the TIME_WAITs, and a client \
                        that sends just then gets a reset in place of an answer."
                    .to_owned(),
            cure: "Give the clients a shorter idle timeout than the server's, so that they close first.".to_owned(),
            figures: vec![
                figure(
                    "idle_timeout",
                    "time without data",
                    Value::Nanos(idle.timeout),
                    "idle time at the close, to a jiffy",
                ),
                figure("idle_closes", "connections that ended so", Value::Count(idle.count), basis::EVENTS),
            ],
            advice: vec![AdviceKind::IdleTimeouts],
        }
    };
    report.idle_ends.iter().filter(|idle| at_server(idle) || at_client(idle)).map(find).collect()
}
