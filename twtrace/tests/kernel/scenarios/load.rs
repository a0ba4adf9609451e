//! Many connections: counted to the last one, or their loss said.

use crate::case::Case;
use crate::net::Netns;
use crate::puppet::Puppet;
use crate::tracer::Run;
use crate::{Play::Alone, Scenario, Tier};
use anyhow::{Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn all() -> Vec<Scenario> {
    let three = &[Tier::Hook, Tier::Exact, Tier::SockDiag];
    vec![
        Scenario { name: "counted_exactly", play: Alone(counted_exactly), tiers: three },
        Scenario { name: "tiny_ring", play: Alone(tiny_ring), tiers: &[Tier::Hook] },
    ]
}

/// A prime, so that no batch of any size comes out even.
const COUNT: usize = 2_003;

/// Enough to overrun 36 records again and again.
const BURST: usize = 3_001;

/// Connects and closes so many times, one after the other; the kernel's counter must agree.
pub(super) fn flood(netns: &Netns, address: &str, count: usize) -> Result<(Puppet, Puppet)> {
    let (mut client, mut server) = (Puppet::new(netns)?, Puppet::new(netns)?);
    let opened = netns.counter("ActiveOpens")?;
    let end = server.does(&format!("listen l {address} 128"))?.end()?;
    server.start(&format!("serve l {count}"))?;
    client.does(&format!("flood {end} {count}"))?;
    server.done()?;
    ensure!(netns.counter("ActiveOpens")? == opened + count as u64, "the kernel did not open {count} connections");
    Ok((client, server))
}

fn lives<'a>(run: &'a Run, netns: &Netns, direction: &str) -> Vec<&'a Value> {
    let port = if direction == "outbound" { "remote" } else { "local" };
    let ours = |line: &&Value| {
        (line["netns"] == netns.inode() || line["netns"].is_null())
            && line[port]["port"] == 8099
            && (line["direction"] == direction)
    };
    run.lifecycles().filter(ours).collect()
}

fn counted_exactly(tier: Tier) -> Result<()> {
    let netns = Netns::new(tier)?;
    // So that few connections follow one another on a port.
    netns.set("tcp_tw_reuse", "0")?;
    let case = Case::own(tier, &[], netns)?;
    let netns = case.home();
    let (client, server) = flood(netns, &case.at(8099), COUNT)?;
    let run = case.finish()?;
    ensure!(run.exit == Some(0), "it ended with {:?}", run.exit);
    ensure!(!run.lines.iter().any(|line| line["type"] == "lost"), "it lost events");
    for (direction, pid) in [("outbound", client.pid()), ("inbound", server.pid())] {
        let lives = lives(&run, netns, direction);
        let ids: BTreeSet<u64> = lives.iter().filter_map(|life| life["connection"].as_u64()).collect();
        // Not each has a port of its own: a TIME_WAIT that a late ACK's reset has ended early leaves its port free.
        let counts = (lives.len(), ids.len());
        ensure!(counts == (COUNT, COUNT), "{direction}: lifecycles and ids are {counts:?}");
        let mine = |life: &&&Value| life["owner"]["pid"] == pid;
        let owned = lives.iter().filter(mine).count();
        ensure!(owned == COUNT, "{direction}: only {owned} of {COUNT} have the right owner");
        // Sequential: the client always closes first, and waits in TIME_WAIT when the run ends.
        let first = if direction == "outbound" { "local" } else { "remote" };
        let right = lives.iter().filter(|life| life["closed_first"] == first).count();
        ensure!(right == COUNT, "{direction}: only {right} of {COUNT} say who closed first");
    }
    let summary = run.summary()?;
    let disagrees = |line: &&Value| line["agrees"] == false;
    let audit = summary["audit"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(!audit.is_empty() && !audit.iter().any(|line| disagrees(&line)), "the audit does not agree: {summary}");
    Ok(())
}

/// A ring of 36 records: it loses, says so, and marks what it may have damaged.
fn tiny_ring(tier: Tier) -> Result<()> {
    let netns = Netns::new(tier)?;
    let case = Case::own(tier, &["--ring", "4096", "--fail-on-loss"], netns)?;
    let netns = case.home();
    flood(netns, &case.at(8099), BURST)?;
    let run = case.finish()?;
    ensure!(run.exit == Some(3), "it ended with {:?}, and not with 3", run.exit);
    let losses = run.lines.iter().filter(|line| line["type"] == "lost" && line["where"] == "ring");
    let lost: u64 = losses.filter_map(|line| line["count"].as_u64()).sum();
    ensure!(lost > 0, "it did not say that it lost anything");
    let lives: Vec<&Value> =
        ["outbound", "inbound"].iter().flat_map(|direction| lives(&run, netns, direction)).collect();
    let marked = lives.iter().filter(|life| life["lost_evidence"].as_u64() > Some(0)).count();
    ensure!(marked > 0, "no lifecycle is marked, and {lost} events are lost");
    for life in lives {
        let whole = life["complete"] == true;
        ensure!(!whole || life["lost_evidence"] == 0, "marked, and complete all the same: {life}");
        let states: Vec<&str> = life["states"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .filter_map(|span| span["state"].as_str())
            .collect();
        let legal: &[&[&str]] = &[
            &["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"],
            &["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"],
        ];
        ensure!(!whole || legal.contains(&states.as_slice()), "complete with states {states:?}: {life}");
    }
    let summary = run.summary()?;
    ensure!(summary["events_lost"].as_u64() >= Some(lost), "the lines say {lost} lost: {summary}");
    Ok(())
}
