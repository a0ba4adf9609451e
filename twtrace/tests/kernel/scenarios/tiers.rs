//! All ways of knowing a TIME_WAIT at once, on the same connections: by its timer, and by the socket table alone.

use super::{EXPIRED, load::flood};
use crate::net::Netns;
use crate::puppet::EMULATED;
use crate::tracer::Tracer;
use crate::{Play::Own, Scenario, Tier};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    vec![Scenario { name: "told_alike", play: Own(told_alike), tiers: &[Tier::Exact] }]
}

const COUNT: usize = 211;

/// Its end is the same event for both. Its begin may be known to a jiffy alone, which is 10 ms at the most, or by the
/// peer's FIN, a little before.
const BY_TIMER: Duration = Duration::from_millis(100);

/// The table shows its end at the next look, a second later at the most where there are many.
const BY_TABLE: Duration = Duration::from_millis(1_500);

/// TIME_WAIT, the slack of the timer wheel, and the last looks.
const OVER: Duration = Duration::from_secs(100);

/// A connection by the client's port, and by its number among those of the same port.
type Lives = BTreeMap<(u64, usize), Value>;

fn told_alike(tier: Tier) -> Result<()> {
    let netns = Netns::new(tier)?;
    // So that few connections follow one another on a port.
    netns.set("tcp_tw_reuse", "0")?;
    let inode = netns.inode().to_string();
    let start = |tier| Tracer::start_in(&netns, format!("told_alike::{tier}"), tier, &["--netns", &inode]);
    let (exact, hook, table) = (start(tier)?, start(Tier::Hook)?, start(Tier::SockDiag)?);
    let counted = netns.counter("TW")?;
    flood(&netns, &format!("{}:8099", tier.host(1)), COUNT)?;
    // Before 5.17 the kernel counts them when they run out, which none has done yet.
    let at_birth = netns.counter("TW")? - counted >= COUNT as u64;
    let (exact, hook, table) = (lives(&exact)?, lives(&hook)?, lives(&table)?);
    let counted = netns.counter("TW")? - counted;
    let expired = exact.values().filter(|life| has_expired(life)).count();
    // A late ACK's reset ends one early now and then.
    ensure!(expired > COUNT * 9 / 10, "only {expired} of {COUNT} have expired");
    let seen = if at_birth { COUNT } else { expired };
    ensure!(counted == seen as u64, "the kernel counted {counted} TIME_WAITs, and {seen} were seen");
    for (other, name, apart) in [(&hook, "hook", BY_TIMER), (&table, "sock_diag", BY_TABLE)] {
        ensure!(exact.keys().eq(other.keys()), "with {name} the connections are others");
        for (exact, other) in exact.values().zip(other.values()) {
            alike(exact, other, apart).with_context(|| format!("exact {exact}\n{name} {other}"))?;
        }
    }
    Ok(())
}

fn has_expired(life: &Value) -> bool {
    life["time_wait"]["end"] == "expired"
}

/// The clients' ends, once all are over.
fn lives(tracer: &Tracer) -> Result<Lives> {
    let client = |line: &&Value| line["type"] == "lifecycle" && line["remote"]["port"] == 8099;
    let what = format!("the end of {COUNT} connections");
    let mut over: Vec<Value> = tracer.wait(&what, OVER + *EMULATED * 10, |lines| {
        let over: Vec<&Value> = lines.iter().filter(client).collect();
        (over.len() >= COUNT).then(|| over.into_iter().cloned().collect())
    })?;
    ensure!(over.len() == COUNT, "{COUNT} connections, and {} lifecycles", over.len());
    let run = tracer.finish()?;
    ensure!(run.exit == Some(0), "it ended with {:?}", run.exit);
    let audit = run.summary()?["audit"].as_array().context("no audit")?;
    ensure!(audit.iter().any(|line| line["kernel"] == COUNT), "it has not audited this namespace: {audit:?}");
    ensure!(audit.iter().all(|line| line["agrees"] == true), "the kernel's counters say otherwise: {audit:?}");
    over.sort_by_key(|life| life["connection"].as_u64());
    let mut lives = Lives::new();
    for life in over {
        let port = life["local"]["port"].as_u64().context("a connection without a port")?;
        let number = lives.range((port, 0)..=(port, usize::MAX)).count();
        lives.insert((port, number), life);
    }
    Ok(lives)
}

/// Both say that it began and ended at the same moments. What ended one early only the exact one may know.
fn alike(exact: &Value, other: &Value, apart: Duration) -> Result<()> {
    ensure!(has_expired(exact) == has_expired(other), "one has expired, and one has not");
    if !has_expired(exact) {
        return Ok(());
    }
    let apart = (apart + *EMULATED).as_nanos() as u64;
    let (one, another) = (duration(exact)?, duration(other)?);
    ensure!(EXPIRED.contains(&one) && EXPIRED.contains(&another), "a TIME_WAIT of {one} ns, or {another} ns");
    ensure!(one.abs_diff(another) <= apart, "a TIME_WAIT of {one} ns, and of {another} ns");
    // From the same first event on.
    let (one, another) = (since_its_opening(exact)?, since_its_opening(other)?);
    ensure!(one.abs_diff(another) <= apart, "over after {one} ns, and after {another} ns");
    Ok(())
}

fn duration(life: &Value) -> Result<u64> {
    life["time_wait"]["duration_ns"].as_u64().context("how long it was in TIME_WAIT is not said")
}

fn since_its_opening(life: &Value) -> Result<u64> {
    let spans = life["states"].as_array().context("no states")?;
    spans.iter().map(|span| span["duration_ns"].as_u64().context("a state without a duration")).sum()
}
