//! What ends a TIME_WAIT, and what is none.

use super::{EXPIRED, HELD};
use crate::case::{Case, Pair};
use crate::lifecycle::any;
use crate::net::{Netns, Wire, destroy, ss};
use crate::puppet::{Act, hold, until};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let three = &[Tier::Hook, Tier::Exact, Tier::SockDiag];
    let two = &[Tier::Hook, Tier::Exact];
    vec![
        Scenario { name: "late_fin", play: Shared(late_fin), tiers: all },
        Scenario { name: "reused_by_connect", play: Shared(reused_by_connect), tiers: all },
        Scenario { name: "reused_after_a_second", play: Shared(reused_after_a_second), tiers: three },
        Scenario { name: "taken_over_by_a_syn", play: Shared(taken_over_by_a_syn), tiers: all },
        Scenario { name: "purged_by_ss", play: Shared(purged_by_ss), tiers: all },
        Scenario { name: "purged_with_its_namespace", play: Shared(purged_with_its_namespace), tiers: two },
        Scenario { name: "table_full", play: Shared(table_full), tiers: three },
        Scenario { name: "reset_by_a_stray_syn", play: Shared(reset_by_a_stray_syn), tiers: two },
        Scenario { name: "restarted", play: Shared(restarted), tiers: three },
    ]
}

const CLIENT_ACTIVE: [&str; 5] = ["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"];

/// What the timer of a TIME_WAIT, a jiffy and the network may add, and the processes that wait for the CPU.
const JIFFY: Duration = Duration::from_millis(60);

/// The peer takes two seconds to close: TIME_WAIT begins then, and not when the client closed.
fn late_fin(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    let (first, second) = pair.client_closes_first(Duration::from_secs(2))?;
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&json!({ "close": "fin", "closed_first": "local", "time_wait": { "end": "expired" } }))
        .went_through(&CLIENT_ACTIVE)
        .lasted("FIN_WAIT2", &first.until_within(&second, JIFFY))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// The same process connects again from the very same port.
fn reused_by_connect(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    let from = format!("from={}", case.at(41001));
    let mut pair = Pair::connect(case.tier, &case.at(8081), &from, &netns, &netns)?;
    let (_, second) = pair.client_closes_first(Duration::ZERO)?;
    hold(HELD);
    reconnect(case, pair, &from, &netns, &second)
}

/// The same process connects again; there is but one port, and the kernel lends it again after a second.
fn reused_after_a_second(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    netns.set("ip_local_port_range", "41002 41002")?;
    netns.set("tcp_tw_reuse", "1")?;
    let mut pair = Pair::connect(case.tier, &case.at(8082), "", &netns, &netns)?;
    let (_, second) = pair.client_closes_first(Duration::ZERO)?;
    // 6.14 and later count milliseconds; before, the second in which the last segment came had to be over.
    hold(Duration::from_millis(1100));
    reconnect(case, pair, "", &netns, &second)
}

fn reconnect(case: &Case, pair: Pair, options: &str, netns: &Netns, second: &Act) -> Result<()> {
    let Pair { client, mut server, client_end, server_end, .. } = pair;
    let recycled = netns.counter("TWRecycled")?;
    server.does("close l")?;
    server.does(&format!("listen l {server_end} 8"))?;
    let mut next = Pair::again(case.tier, client, server, server_end, options)?;
    ensure!(netns.counter("TWRecycled")? == recycled + 1, "the kernel did not reuse the TIME_WAIT");
    ensure!(next.client_end == client_end, "connected from {} instead of {client_end}", next.client_end);
    let range = second.until_within(&next.connect, JIFFY);
    // A reset leaves nothing to wait for.
    next.client.does("linger c 0")?;
    let reset = next.client.does("close c")?;
    // Which of the two is shown first is no matter: once the second is there, they are told apart by their ids.
    let after = case.nth_life("client's next", client_end, server_end, netns, 1)?;
    case.nth_life("client", client_end, server_end, netns, 0)?
        .says(&json!({ "close": "fin", "closed_first": "local", "direction": "outbound" }))
        .says(&json!({ "owner": { "pid": next.client.pid() }, "time_wait": { "end": "reused" } }))
        .went_through(&CLIENT_ACTIVE)
        .lasted("TIME_WAIT", &range);
    after
        .says(&next.client_truth())
        .says(&json!({ "close": "reset_sent", "closed_first": "local" }))
        .went_through(&["SYN_SENT", "ESTABLISHED"])
        .lasted("ESTABLISHED", &next.connect.until(&reset));
    Ok(())
}

/// The server has the TIME_WAIT, and the client calls again from the same port: a SYN takes its place.
fn taken_over_by_a_syn(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    let options = format!("from={}", case.at(41003));
    let mut pair = Pair::connect(case.tier, &case.at(8083), &options, &netns, &netns)?;
    let (_, second) = pair.server_closes_first(Duration::ZERO)?;
    hold(HELD);
    let Pair { client, server, client_end, server_end, .. } = pair;
    let mut next = Pair::again(case.tier, client, server, server_end, &options)?;
    ensure!(next.client_end == client_end, "connected from {} instead of {client_end}", next.client_end);
    next.client.does("linger c 0")?;
    let reset = next.client.does("close c")?;
    next.server.does("await s reset")?;
    let after = case.nth_life("server's next", server_end, client_end, &netns, 1)?;
    let life = case.nth_life("server", server_end, client_end, &netns, 0)?;
    life.says(&json!({ "close": "fin", "closed_first": "local", "closed_by": { "pid": next.server.pid() } }))
        .says(&json!({ "direction": "inbound", "time_wait": { "end": "taken_over" } }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"])
        .lasted("TIME_WAIT", &second.until_within(&next.connect, JIFFY));
    after
        .says(&next.server_truth())
        .says(&json!({ "close": "reset_received", "closed_first": "remote" }))
        .lasted("ESTABLISHED", &next.connect.until(&reset));
    Ok(())
}

/// `ss -K` at a TIME_WAIT, which no tracepoint but that of its timer tells: elsewhere the cause may stay unknown, and
/// the time is then not more than the next reading of the table allows.
fn purged_by_ss(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    let (_, second) = pair.client_closes_first(Duration::ZERO)?;
    hold(HELD);
    let purged = match destroy(case.home(), pair.client_end, pair.server_end) {
        Ok((purged, _)) => purged,
        // tcp_abort() did not always know what to do with one.
        Err(_) if ss(case.home(), pair.client_end, pair.server_end)?.starts_with("TIME-WAIT") => {
            crate::skip(&crate::matrix::played(), "this kernel lets ss -K end no TIME_WAIT".to_owned());
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let life = case.life("client", pair.client_end, pair.server_end)?;
    check_purged(&life, case.tier, &second, &purged);
    Ok(())
}

fn purged_with_its_namespace(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    let inode = netns.inode();
    let mut pair = Pair::connect(case.tier, &case.at(8084), "", &netns, &netns)?;
    let (_, second) = pair.client_closes_first(Duration::ZERO)?;
    let Pair { client, server, client_end, server_end, .. } = pair;
    hold(HELD);
    let before = crate::actor::monotonic();
    client.kill()?;
    server.kill()?;
    drop(netns);
    let ends = [client_end, server_end];
    let life =
        case.find("client", &ends, 0, |line| line["netns"] == inode && line["local"] == crate::case::end(client_end))?;
    // The kernel takes namespaces down in the background, many at a time: net/core/net_namespace.c, cleanup_net().
    let purged = Act::between(before, crate::actor::monotonic());
    check_purged(&life, case.tier, &second, &purged);
    Ok(())
}

fn check_purged(life: &crate::lifecycle::Life, tier: Tier, from: &Act, purged: &Act) {
    life.says(&json!({ "close": "fin", "closed_first": "local" })).went_through(&CLIENT_ACTIVE);
    if tier == Tier::Exact {
        life.says(&json!({ "time_wait": { "end": "purged", "basis": "hook" } }));
        life.lasted("TIME_WAIT", &from.until_within(purged, JIFFY));
    } else {
        life.says(&json!({ "time_wait": { "end": any([json!("purged"), Value::Null]) } }));
        if life.value["time_wait"]["duration_ns"].as_u64().is_some_and(|time| time >= 60_000_000_000) {
            life.differ("a TIME_WAIT that was purged cannot have lasted a minute".to_owned());
        }
    }
}

/// The table holds one TIME_WAIT. The second connection's client shuts down, so that its FIN_WAIT2 is a full socket and
/// it is TIME_WAIT itself that finds no room.
fn table_full(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    netns.set("tcp_max_tw_buckets", "1")?;
    let mut fills = Pair::connect(case.tier, &case.at(8085), "", &netns, &netns)?;
    fills.client_closes_first(Duration::ZERO)?;
    let mut pair = Pair::connect(case.tier, &case.at(8086), "", &netns, &netns)?;
    let overflow = netns.counter("TCPTimeWaitOverflow")?;
    let first = pair.client.does("shutdown c")?;
    pair.server.does("await s fin")?;
    hold(HELD);
    let second = pair.server.does("close s")?;
    pair.client.does("await c fin")?;
    netns.counts("TCPTimeWaitOverflow", overflow + 1).context("the table of TIME_WAITs was not full")?;
    let life = case.nth_life("client", pair.client_end, pair.server_end, &netns, 0)?;
    life.says(&pair.client_truth())
        .says(&json!({ "close": "fin", "closed_first": "local", "time_wait": { "end": "overflow" } }))
        .lasted("FIN_WAIT2", &first.until(&second));
    if life.value["time_wait"]["duration_ns"].as_u64().is_some_and(|time| time > 0) {
        life.differ("a TIME_WAIT that could not be made lasted some time".to_owned());
    }
    Ok(())
}

/// A SYN for a TIME_WAIT behind which nobody listens is answered by an ACK, that ACK by a reset, and the reset kills the
/// TIME_WAIT (RFC 1337: TIME-WAIT assassination).
fn reset_by_a_stray_syn(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    let mut pair = Pair::connect(case.tier, &case.at(8091), "", &netns, &netns)?;
    let (_, second) = pair.client_closes_first(Duration::ZERO)?;
    hold(HELD);
    let (client, server) = (pair.client_end, pair.server_end);
    pair.server.does("close l")?;
    let stray = pair.server.fails(&format!("connect x {client} from={server}"), libc::ECONNREFUSED)?;
    ensure!(ss(&netns, client, server)?.is_empty(), "the TIME_WAIT is still there");
    let life = case.nth_life("client", client, server, &netns, 0)?;
    life.says(&json!({ "close": "fin", "closed_first": "local" })).went_through(&CLIENT_ACTIVE);
    if case.tier == Tier::Exact {
        life.says(&json!({ "time_wait": { "end": "reset", "basis": "hook" } }));
        // The stray SYN goes out at once; it is its repetition, a second later, that is refused.
        let killed = Act::between(stray.before, stray.before);
        life.lasted("TIME_WAIT", &second.until_within(&killed, JIFFY));
    } else {
        life.says(&json!({ "time_wait": { "end": any([json!("reset"), Value::Null]) } }));
    }
    Ok(())
}

/// The client's last ACK is lost, the server repeats its FIN, and each repetition starts the TIME_WAIT again.
fn restarted(case: &Case) -> Result<()> {
    let wire = Wire::new(case.tier, 71)?;
    let (here, there) = (&wire.here, &wire.there);
    let mut pair = Pair::connect(case.tier, &format!("{}:8080", wire.far), "", here, there)?;
    pair.client.does("close c")?;
    pair.server.does("await s fin")?;
    hold(HELD);
    wire.lose(wire.far)?;
    let close = pair.server.does("close s")?;
    hold(Duration::from_millis(700));
    wire.mend(wire.far)?;
    until("the server's end is gone", Duration::from_secs(60), || {
        Ok(ss(there, pair.server_end, pair.client_end)?.is_empty())
    })?;
    let last = Act::between(crate::actor::monotonic(), crate::actor::monotonic());
    let longer = close.until_within(&last, JIFFY);
    let life = case.nth_life("client", pair.client_end, pair.server_end, here, 0)?;
    life.says(&pair.client_truth())
        .says(&json!({ "close": "fin", "closed_first": "local", "time_wait": { "end": "expired" } }))
        .went_through(&CLIENT_ACTIVE)
        // The first repetition comes some 200 ms after the FIN.
        .lasted("TIME_WAIT", &(EXPIRED.start() + 190_000_000..=EXPIRED.end() + longer.end()));
    if life.value["time_wait"]["restarts"].as_u64().is_none_or(|restarts| restarts == 0) {
        life.differ("its TIME_WAIT was started again, and that is not said".to_owned());
    }
    Ok(())
}
