//! What the port range allows toward a destination, by the settings of its network namespace.

use super::destinations::{Key, Row};
use crate::model::{
    Ktime,
    report::{Full, Host, Peak, Reuse, Series},
    sysctls::{PortRange, Sysctls, TIMESTAMPS, TW_REUSE, TW_REUSE_DELAY},
};
use std::net::IpAddr;

/// `TCP_TIMEWAIT_LEN`, include/net/tcp.h: fixed when the kernel is compiled.
const TIME_WAIT: u64 = 60_000_000_000;
/// Before a TIME_WAIT's port may be taken over, where no setting says otherwise (`tcp_twsk_unique()`).
const REUSE_DELAY: u64 = 1_000_000_000;
/// Growth is taken over this time at the end of the run.
const GROWTH: u64 = 10_000_000_000;
const SECOND: f64 = 1e9;

/// The settings of the namespaces that are known, one a host.
#[derive(Clone, Debug)]
pub(crate) struct Rules(Vec<(Option<u32>, Option<PortRange>, Sysctls)>);

/// What a destination comes to.
pub(super) struct Outlook {
    pub(super) open_rate: Option<f64>,
    pub(super) pool: Option<u32>,
    pub(super) hold: Option<u64>,
    pub(super) hold_time_wait: Option<u64>,
    pub(super) sustainable: Option<f64>,
    pub(super) sustainable_with_reuse: Option<f64>,
    pub(super) reuse: Reuse,
    pub(super) full: Full,
}

impl Rules {
    pub(crate) fn new(hosts: &[Host]) -> Self {
        Self(hosts.iter().map(|host| (host.netns, PortRange::of(&host.sysctls), host.sysctls.clone())).collect())
    }

    fn of(&self, host: usize, netns: Option<u32>) -> Option<&(Option<u32>, Option<PortRange>, Sysctls)> {
        self.0.get(host).filter(|(known, ..)| known.is_some() && *known == netns)
    }

    /// Whether a connection with this local port takes one of those that connect() chooses from.
    pub(super) fn counts(&self, host: usize, netns: Option<u32>, port: u16) -> bool {
        self.of(host, netns).and_then(|(_, range, _)| range.as_ref()).is_none_or(|range| range.contains(port))
    }

    pub(super) fn outlook(
        &self,
        &(host, netns, local, remote): &Key,
        row: &Row,
        held: &Series,
        peak: Peak,
        now: u64,
        end: Ktime,
    ) -> Outlook {
        let rules = self.of(host, netns);
        let pool = rules.and_then(|(_, range, _)| Some(range.as_ref()?.pool()));
        let reuse = rules.map_or(Reuse::Unknown, |(.., sysctls)| reuse(sysctls, [local, remote.ip]));
        let delay = rules.map_or(REUSE_DELAY, |(.., sysctls)| reuse_delay(sysctls));
        let open = row.open_time.checked_div(row.closed);
        let waits = |length: u64| {
            let part = row.time_waits as f64 / row.closed as f64;
            (length as f64 * part.min(1.0)) as u64
        };
        let measured = row.expired.1.checked_div(row.expired.0).unwrap_or(TIME_WAIT);
        let hold_time_wait = open.map(|_| waits(measured));
        let hold = open.map(|open| open + waits(measured));
        let hold_with_reuse = open.map(|open| open + waits(delay));
        let blocked = if let Reuse::After(_) = reuse { hold_with_reuse } else { hold };
        let rate =
            |hold: Option<u64>| pool.zip(hold).map(|(pool, hold)| f64::from(pool) / (hold.max(1) as f64 / SECOND));
        let open_rate = open_rate(row);
        let full = match (row.no_port_first, pool) {
            (Some(at), _) => Full::Was(at),
            (None, None) => Full::Unknown,
            (None, Some(pool)) if peak.count >= u64::from(pool) && !matches!(reuse, Reuse::After(_)) => {
                peak.at.map_or(Full::Unknown, Full::Was)
            }
            (None, Some(pool)) => forecast(held, now, end, pool, open_rate.zip(blocked)),
        };
        Outlook {
            open_rate,
            pool,
            hold,
            hold_time_wait,
            sustainable: rate(blocked),
            sustainable_with_reuse: rate(hold_with_reuse),
            reuse,
            full,
        }
    }
}

/// Connections a second between the first and the last.
fn open_rate(row: &Row) -> Option<f64> {
    let time = row.last?.since(row.first?);
    let between = row.opened.checked_sub(1).filter(|&between| between > 0 && time > 0)?;
    Some(between as f64 / (time as f64 / SECOND))
}

/// `tcp_twsk_unique()`, net/ipv4/tcp_ipv4.c: 2, the default, counts for a loopback address at either end.
fn reuse(sysctls: &Sysctls, ends: [IpAddr; 2]) -> Reuse {
    let value = |name: &str| sysctls.get(name).map(String::as_str);
    let is_loopback = ends.iter().any(|ip| ip.to_canonical().is_loopback());
    match (value(TW_REUSE), value(TIMESTAMPS)) {
        (None, _) | (_, None) => Reuse::Unknown,
        (Some("0"), _) => Reuse::Off,
        (Some("2"), _) if !is_loopback => Reuse::LoopbackOnly,
        (_, Some("0")) => Reuse::NoTimestamps,
        _ => Reuse::After(reuse_delay(sysctls)),
    }
}

fn reuse_delay(sysctls: &Sysctls) -> u64 {
    let millis = sysctls.get(TW_REUSE_DELAY).and_then(|millis| millis.parse::<u64>().ok());
    millis.map_or(REUSE_DELAY, |millis| millis.saturating_mul(1_000_000))
}

/// When the pool will be empty if ports go on to be taken as they were at last: never where they level off below it.
fn forecast(held: &Series, now: u64, end: Ktime, pool: u32, rate_and_hold: Option<(f64, u64)>) -> Full {
    let time = end.since(held.start).min(GROWTH);
    let Some(before) = held.at(end.before(time)).filter(|_| time >= SECOND as u64) else { return Full::Unknown };
    let growth = (now as f64 - before as f64) / (time as f64 / SECOND);
    let levels_off = rate_and_hold.is_some_and(|(rate, hold)| rate * hold as f64 / SECOND < f64::from(pool));
    if growth <= 0.0 || levels_off {
        return Full::Never;
    }
    Full::In((u64::from(pool).saturating_sub(now) as f64 / growth * SECOND) as u64)
}
