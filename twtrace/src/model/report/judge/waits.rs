//! Connections that wait for a process or a peer to do its part.

use super::{
    super::{AdviceKind, CloseWaitHolder, Finding, FindingKind, Party, PileUp, Place, Report, Severity, Value},
    basis, figure, or_unknown,
    words::{many, name, place, sentence, who},
};
use crate::model::{
    TcpState,
    units::{count, duration, number},
};

const SECOND: u64 = 1_000_000_000;
/// Connections that wait to be accepted for a second: one or two may be a slow start.
const WAITING: u64 = 3;
/// CLOSE_WAITs older than a minute: the peer has forgotten most of them by then (its FIN_WAIT2 ends after
/// tcp_fin_timeout), so nobody waits for an answer any more.
const FORGOTTEN: u64 = 5;
/// Younger CLOSE_WAITs count where hardly one of them ever ends.
const LEAKING: u64 = 10;
/// A process this near to its limit of descriptors, or this soon there, is about to fail.
const NEARLY_ALL: f64 = 0.9;
const SOON: u64 = 600_000_000_000;
/// Peers may take their time; so many that do not close after so long are a sign.
const PILE: u64 = 20;
const LONG: u64 = 5 * SECOND;

pub(super) fn not_accepted(report: &Report) -> Vec<Finding> {
    let mut queues: Vec<(Option<Party>, Option<Place>)> = Vec::new();
    for row in report.pile_ups.iter().filter(|row| row.not_accepted > 0) {
        queues.push((row.owner.clone(), Some(row.place)));
    }
    for holder in report.close_wait.holders.iter().filter(|holder| holder.not_accepted > 0) {
        if !queues.iter().any(|(party, _)| is_same(party.as_ref(), holder.party.as_ref())) {
            queues.push((holder.party.clone(), holder.place));
        }
    }
    let mut findings: Vec<(u64, Finding)> =
        queues.into_iter().filter_map(|(party, place)| queue(report, party, place)).collect();
    findings.sort_by_key(|(waiting, _)| std::cmp::Reverse(*waiting));
    findings.into_iter().map(|(_, finding)| finding).collect()
}

fn queue(report: &Report, party: Option<Party>, at: Option<Place>) -> Option<(u64, Finding)> {
    let established = report.pile_ups.iter().filter(|row| Some(row.place) == at && row.not_accepted > 0);
    let (open, longest) =
        established.fold((0, 0), |(open, longest), row| (open + row.not_accepted, row.longest.max(longest)));
    let holder = report.close_wait.holders.iter().find(|holder| is_same(holder.party.as_ref(), party.as_ref()));
    let given_up = holder.map_or(0, |holder| holder.not_accepted);
    let old = |holder: &CloseWaitHolder| {
        let old = holder.oldest.iter().filter(|oldest| oldest.accepted == Some(false) && oldest.age >= SECOND);
        (old.clone().count() as u64, old.map(|oldest| oldest.age).max().unwrap_or(0))
    };
    let (old_given_up, oldest) = holder.map_or((0, 0), old);
    if open + old_given_up < WAITING {
        return None;
    }
    let overflows = report.happened.counters.get("ListenOverflows").copied();
    let waiting = open + given_up;
    let place_said = at.as_ref().map_or_else(String::new, |at| format!(" {}", place(at)));
    let mut mechanism = format!(
        "The kernel does the handshake by itself and queues the connection until accept() takes it. {} does not call \
         accept(), so the client has a connection that nobody answers.",
        name(party.as_ref())
    );
    if given_up > 0 {
        mechanism.push_str(&format!(
            " {} of them have been given up by the client: they are in CLOSE_WAIT.",
            count(given_up)
        ));
    }
    if let Some(overflows) = overflows.filter(|&overflows| overflows > 0) {
        mechanism.push_str(&format!(
            " The queue was full {} times: then the kernel drops SYNs, and clients try again after a second and more.",
            count(overflows)
        ));
    }
    let age = longest.max(oldest);
    let title = format!(
        "{} does not accept: {} wait{place_said}, the oldest for {}",
        who(party.as_ref()),
        many(waiting, "connection"),
        duration(age)
    );
    let finding = Finding {
        kind: FindingKind::NotAccepted,
        severity: Severity::Critical,
        culprit: party,
        place: at,
        title: sentence(title),
        mechanism,
        cure: "Find out why its accept loop stands still: a blocked thread, no free worker, no descriptor left."
            .to_owned(),
        figures: vec![
            figure("not_accepted", "connections never accepted", Value::Count(waiting), basis::EVENTS),
            figure("not_accepted_close_wait", "of these given up by the client", Value::Count(given_up), basis::EVENTS),
            figure("oldest", "the oldest waits for", Value::Nanos(age), basis::EVENTS),
            figure("queue_overflows", "times the queue was full", or_unknown(overflows, Value::Count), basis::COUNTERS),
        ],
        advice: vec![AdviceKind::AcceptFaster, AdviceKind::Sysctl],
    };
    Some((waiting, finding))
}

fn is_same(a: Option<&Party>, b: Option<&Party>) -> bool {
    a.map(|party| party.comm) == b.map(|party| party.comm)
}

pub(super) fn not_closed(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    for holder in &report.close_wait.holders {
        let left = holder.entered - holder.now;
        let oldest =
            holder.oldest.iter().filter(|oldest| oldest.accepted != Some(false)).map(|oldest| oldest.age).max();
        let leaks =
            holder.not_closed >= LEAKING && left * 10 <= holder.entered && oldest.is_some_and(|age| age >= SECOND);
        let forgotten = holder.over_a_minute.min(holder.not_closed);
        let used =
            holder.descriptors.zip(holder.descriptor_limit).map(|(used, limit)| used as f64 / limit.max(1) as f64);
        let near_limit = used.is_some_and(|used| used >= NEARLY_ALL) || holder.limit_in.is_some_and(|time| time < SOON);
        let severity = match (leaks || forgotten >= FORGOTTEN, near_limit) {
            (true, true) => Severity::Critical,
            (true, false) => Severity::Warning,
            (false, _) if forgotten > 0 => Severity::Notice,
            _ => continue,
        };
        findings.push(leak(holder, severity, oldest));
    }
    findings
}

fn leak(holder: &CloseWaitHolder, severity: Severity, oldest: Option<u64>) -> Finding {
    let growth = holder.growth_per_minute.filter(|&growth| growth > 0.0);
    let mut mechanism =
        "The peer has closed, and the program was told so: its read gives 0 bytes. Until it calls close() the \
                         connection stays in CLOSE_WAIT and keeps its descriptor; nothing in the kernel ends it."
            .to_owned();
    if let Some(growth) = growth {
        mechanism.push_str(&format!(" They grow by {} a minute.", number(growth)));
    }
    if let (Some(used), Some(limit)) = (holder.descriptors, holder.descriptor_limit) {
        mechanism.push_str(&format!(" {} of {} descriptors are open", count(used), count(limit)));
        let when = holder.limit_in.map(|time| format!("; the limit is reached in {}", duration(time)));
        mechanism.push_str(&when.unwrap_or_default());
        mechanism.push('.');
    }
    let age = oldest.map(|age| format!(", the oldest for {}", duration(age))).unwrap_or_default();
    let who = who(holder.party.as_ref());
    let title = format!("{who} does not close: {} in CLOSE_WAIT{age}", many(holder.not_closed, "connection"));
    let near_limit = severity == Severity::Critical;
    let mut advice = vec![AdviceKind::CloseInTheProgram];
    advice.extend(near_limit.then_some(AdviceKind::DescriptorLimit));
    advice.push(AdviceKind::Sysctl);
    Finding {
        kind: FindingKind::NotClosed,
        severity,
        culprit: holder.party.clone(),
        place: holder.place,
        title: sentence(title),
        mechanism,
        cure:
            "Mend the program: close() when read gives 0 bytes or fails, on every way out of the code, errors included."
                .to_owned(),
        figures: vec![
            figure("close_wait_not_closed", "accepted and not closed", Value::Count(holder.not_closed), basis::EVENTS),
            figure("close_wait_peak", "CLOSE_WAITs at once", Value::Count(holder.peak.count), basis::SERIES),
            figure("oldest", "the oldest for", or_unknown(oldest, Value::Nanos), basis::EVENTS),
            figure("growth", "growth", or_unknown(holder.growth_per_minute, Value::PerMinute), basis::SERIES),
            figure("descriptors", "descriptors open", or_unknown(holder.descriptors, Value::Count), basis::PROC),
            figure(
                "descriptor_limit",
                "descriptor limit",
                or_unknown(holder.descriptor_limit, Value::Count),
                basis::PROC,
            ),
            figure("limit_in", "limit reached in", or_unknown(holder.limit_in, Value::Nanos), basis::FORECAST),
        ],
        advice,
    }
}

pub(super) fn fin_wait2(report: &Report) -> Vec<Finding> {
    let piled = piled(report, TcpState::FinWait2);
    let find = |row: &PileUp| Finding {
        title: sentence(format!(
            "Peers of {} do not close: {} in FIN_WAIT2 {}",
            who(row.owner.as_ref()),
            many(row.peak.count, "connection"),
            place(&row.place)
        )),
        mechanism:
            "This end has closed and the peer's kernel has acknowledged it, but the peer's program has not closed: it \
                    has them in CLOSE_WAIT. Where no descriptor is left here, net.ipv4.tcp_fin_timeout ends the wait."
                .to_owned(),
        cure: "Mend the peer: it leaks CLOSE_WAITs, or it still sends.".to_owned(),
        advice: vec![AdviceKind::FinTimeout],
        ..of_pile(FindingKind::FinWait2PileUp, row)
    };
    piled.map(find).collect()
}

pub(super) fn last_ack(report: &Report) -> Vec<Finding> {
    let find = |row: &PileUp| Finding {
        title: sentence(format!(
            "Nobody acknowledges the last FIN of {}: {} in LAST_ACK {}",
            who(row.owner.as_ref()),
            many(row.peak.count, "connection"),
            place(&row.place)
        )),
        mechanism:
            "Both ends have closed, but the answer to our FIN does not come: the peer is gone, or packets are lost."
                .to_owned(),
        cure: "Look at the path: a firewall that forgets connections, a peer that is down, loss.".to_owned(),
        advice: vec![AdviceKind::CheckThePath],
        ..of_pile(FindingKind::LastAckPileUp, row)
    };
    piled(report, TcpState::LastAck).map(find).collect()
}

pub(super) fn syn_recv(report: &Report) -> Vec<Finding> {
    let find = |row: &PileUp| Finding {
        title: sentence(format!("{} stay in SYN_RECV {}", many(row.peak.count, "handshake"), place(&row.place))),
        mechanism: "The client's last step of the handshake does not come.".to_owned(),
        cure: "Look at the path to the clients, or for a SYN flood.".to_owned(),
        advice: vec![AdviceKind::CheckThePath],
        ..of_pile(FindingKind::SynRecvPileUp, row)
    };
    piled(report, TcpState::SynRecv).map(find).collect()
}

fn piled(report: &Report, state: TcpState) -> impl Iterator<Item = &PileUp> {
    let rows = report.pile_ups.iter();
    rows.filter(move |row| row.state == state && row.peak.count >= PILE && row.longest >= LONG)
}

fn of_pile(kind: FindingKind, row: &PileUp) -> Finding {
    Finding {
        kind,
        severity: Severity::Notice,
        culprit: row.owner.clone(),
        place: Some(row.place),
        title: String::new(),
        mechanism: String::new(),
        cure: String::new(),
        figures: vec![
            figure("at_once", "at once", Value::Count(row.peak.count), basis::SERIES),
            figure("now", "at the end", Value::Count(row.now), basis::EVENTS),
            figure("longest", "the longest for", Value::Nanos(row.longest), basis::EVENTS),
        ],
        advice: Vec::new(),
    }
}
