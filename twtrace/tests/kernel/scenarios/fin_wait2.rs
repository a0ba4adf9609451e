//! FIN_WAIT2 without an owner, which does not come to TIME_WAIT.

use super::HELD;
use crate::case::{Case, Pair};
use crate::lifecycle::any;
use crate::net::Netns;
use crate::puppet::hold;
use crate::{Play::Shared, Scenario, Tier};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let two = &[Tier::Hook, Tier::Exact];
    vec![
        Scenario { name: "table_full_in_fin_wait2", play: Shared(table_full_in_fin_wait2), tiers: two },
        Scenario { name: "orphan_times_out", play: Shared(orphan_times_out), tiers: all },
        Scenario { name: "orphan_times_out_by_linger2", play: Shared(orphan_times_out_by_linger2), tiers: two },
        Scenario { name: "negative_linger2", play: Shared(negative_linger2), tiers: two },
    ]
}

/// What the client's end goes through.
const ORPHANED: [&str; 4] = ["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"];

/// The table of TIME_WAITs is full, and it is the small socket for FIN_WAIT2 that finds no room, so it never came
/// to TIME_WAIT, and the server's FIN is answered by a reset.
fn table_full_in_fin_wait2(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    netns.set("tcp_max_tw_buckets", "1")?;
    let mut fills = Pair::connect(case.tier, &case.at(8087), "", &netns, &netns)?;
    fills.client_closes_first(Duration::ZERO)?;
    let mut pair = Pair::connect(case.tier, &case.at(8088), "", &netns, &netns)?;
    let overflow = netns.counter("TCPTimeWaitOverflow")?;
    let (first, second) = pair.client_closes_first(HELD)?;
    netns.counts("TCPTimeWaitOverflow", overflow + 1).context("the table of TIME_WAITs was not full")?;
    case.nth_life("server", pair.server_end, pair.client_end, &netns, 0)?
        .says(&pair.server_truth())
        .says(&json!({
            "close": any([json!("reset_received"), json!("fin")]), "closed_first": "remote",
            "closed_by": { "pid": pair.client.pid() },
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"])
        .lasted("CLOSE_WAIT", &first.until(&second));
    let life = case.nth_life("client", pair.client_end, pair.server_end, &netns, 0)?;
    life.says(&json!({ "direction": "outbound", "closed_first": "local" }));
    if !life.value["time_wait"].is_null() && life.value["time_wait"]["end"] != "overflow" {
        life.differ("it never came to TIME_WAIT".to_owned());
    }
    Ok(())
}

/// The server never closes: the client's FIN_WAIT2, without an owner, runs out, and never becomes a TIME_WAIT.
fn orphan_times_out(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    netns.set("tcp_fin_timeout", "3")?;
    let pair = Pair::connect(case.tier, &case.at(8089), "", &netns, &netns)?;
    check_orphan(case, pair, &netns, 3)
}

fn orphan_times_out_by_linger2(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    let mut pair = Pair::connect(case.tier, &case.at(8090), "", &netns, &netns)?;
    pair.client.does("linger2 c 2")?;
    check_orphan(case, pair, &netns, 2)
}

fn check_orphan(case: &Case, mut pair: Pair, netns: &Netns, seconds: u64) -> Result<()> {
    pair.client.does("close c")?;
    pair.server.does("await s fin")?;
    // The wheel's slack at this distance is an eighth.
    let range = seconds * 995_000_000..=seconds * 1_125_000_000 + 100_000_000;
    hold(Duration::from_nanos(*range.end()));
    // Long gone, so this FIN is answered by a reset.
    pair.server.does("close s")?;
    // The table says only that it is gone, and a reset could have done that too.
    let timed = matches!(case.tier, Tier::Hook | Tier::Exact);
    let close = if timed { json!("timed_out") } else { any([json!("timed_out"), Value::Null]) };
    let life = case.nth_life("client", pair.client_end, pair.server_end, netns, 0)?;
    life.says(&json!({
        "direction": "outbound", "closed_first": "local", "closed_by": { "pid": pair.client.pid() },
        "close": close, "time_wait": null,
    }))
    .went_through(&ORPHANED);
    if timed {
        life.says(&json!({ "complete": true })).lasted("FIN_WAIT2", &range);
    }
    case.nth_life("server", pair.server_end, pair.client_end, netns, 0)?
        .says(&pair.server_truth())
        .says(&json!({ "closed_first": "remote", "closed_by": { "pid": pair.client.pid() } }));
    Ok(())
}

/// With a negative TCP_LINGER2 there is no waiting in FIN_WAIT2 at all: the kernel resets.
fn negative_linger2(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    pair.client.does("linger2 c -1")?;
    pair.client.does("shutdown c")?;
    pair.server.does("await s fin")?;
    hold(HELD);
    pair.client.does("close c")?;
    pair.server.does("await s reset")?;
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&json!({
            "close": "reset_sent", "closed_first": "local", "closed_by": { "pid": pair.client.pid() }, "time_wait": null,
        }))
        .went_through(&ORPHANED);
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&json!({ "close": "reset_received", "closed_first": "remote", "time_wait": null }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT"]);
    Ok(())
}
