//! Who closes first, by FINs.

use super::{EXPIRED, HELD};
use crate::case::{Case, Pair};
use crate::lifecycle::any;
use crate::net::{Wire, ss};
use crate::puppet::{Act, Puppet, hold, until};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let two = &[Tier::Hook, Tier::Exact];
    vec![
        Scenario {
            name: "client_closes_first",
            play: Shared(|case| client_closes_first(case, &case.at(0))),
            tiers: all,
        },
        Scenario { name: "server_closes_first", play: Shared(server_closes_first), tiers: all },
        Scenario {
            name: "ipv6",
            play: Shared(|case| client_closes_first(case, &format!("[{}]:0", case.tier.host_v6()))),
            tiers: all,
        },
        Scenario { name: "v4_mapped", play: Shared(v4_mapped), tiers: all },
        Scenario { name: "half_close", play: Shared(half_close), tiers: all },
        Scenario { name: "half_close_of_the_server", play: Shared(half_close_of_the_server), tiers: two },
        Scenario { name: "descriptor_outlives_time_wait", play: Shared(descriptor_outlives_time_wait), tiers: two },
        Scenario { name: "between_namespaces", play: Shared(between_namespaces), tiers: two },
        Scenario { name: "simultaneous_close", play: Shared(simultaneous_close), tiers: all },
        Scenario { name: "connected_to_itself", play: Shared(connected_to_itself), tiers: all },
    ]
}

const CLIENT_ACTIVE: [&str; 5] = ["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"];
const CLIENT_PASSIVE: [&str; 4] = ["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"];
const SERVER_ACTIVE: [&str; 5] = ["SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"];
const SERVER_PASSIVE: [&str; 4] = ["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"];

fn closed_by(side: &str, puppet: &Puppet) -> Value {
    json!({ "closed_first": side, "close": "fin", "closed_by": { "pid": puppet.pid(), "uid": 0 } })
}

fn client_closes_first(case: &Case, address: &str) -> Result<()> {
    let mut pair = Pair::connect(case.tier, address, "", case.home(), case.home())?;
    hold(HELD);
    let (first, second) = pair.client_closes_first(HELD)?;
    check_client_closed_first(case, &pair, &first, &second)
}

fn check_client_closed_first(case: &Case, pair: &Pair, first: &Act, second: &Act) -> Result<()> {
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&closed_by("remote", &pair.client))
        .says(&json!({ "time_wait": null, "close_wait": { "accepted": true } }))
        .went_through(&SERVER_PASSIVE)
        .lasted("ESTABLISHED", &pair.connect.until(first))
        .lasted("CLOSE_WAIT", &first.until(second))
        .lasted("LAST_ACK", &second.itself());
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&closed_by("local", &pair.client))
        .says(
            &json!({ "closed_by": { "confidence": "certain" }, "close_wait": null, "time_wait": { "end": "expired" } }),
        )
        .went_through(&CLIENT_ACTIVE)
        .lasted("SYN_SENT", &pair.connect.itself())
        .lasted("ESTABLISHED", &pair.connect.until(first))
        .lasted("FIN_WAIT2", &first.until(second))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

fn server_closes_first(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    let (first, second) = pair.server_closes_first(HELD)?;
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&closed_by("remote", &pair.server))
        .says(&json!({ "time_wait": null }))
        .went_through(&CLIENT_PASSIVE)
        .lasted("CLOSE_WAIT", &first.until(&second));
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&closed_by("local", &pair.server))
        .says(
            &json!({ "closed_by": { "confidence": "certain" }, "close_wait": null, "time_wait": { "end": "expired" } }),
        )
        .went_through(&SERVER_ACTIVE)
        .lasted("FIN_WAIT2", &first.until(&second))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// An IPv4 client at an IPv6 listener: both ends are shown as IPv4, and the server's says that it is mapped.
fn v4_mapped(case: &Case) -> Result<()> {
    let mut pair = Pair::connect(case.tier, "[::]:0", "", case.home(), case.home())?;
    let (first, second) = pair.client_closes_first(HELD)?;
    case.life("server", pair.server_end, pair.client_end)?.says(&json!({ "family": "ipv4", "v4_mapped": true }));
    case.life("client", pair.client_end, pair.server_end)?.says(&json!({ "family": "ipv4", "v4_mapped": false }));
    check_client_closed_first(case, &pair, &first, &second)
}

/// The client shuts down, reads the answer to its end, and closes later.
fn half_close(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    let shutdown = pair.client.does("shutdown c")?;
    pair.server.does("await s fin")?;
    hold(HELD);
    pair.server.does("send s 1000")?;
    pair.client.does("recv c 1000")?;
    let server_close = pair.server.does("close s")?;
    pair.client.does("await c fin")?;
    hold(HELD);
    pair.client.does("close c")?;
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&closed_by("remote", &pair.client))
        .went_through(&SERVER_PASSIVE)
        .lasted("CLOSE_WAIT", &shutdown.until(&server_close));
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&closed_by("local", &pair.client))
        .says(&json!({ "closed_by": { "confidence": "certain" }, "time_wait": { "end": "expired" } }))
        .went_through(&CLIENT_ACTIVE)
        .lasted("FIN_WAIT2", &shutdown.until(&server_close))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// The server shuts down, closes while the client still holds its end, and the client closes last: the kernel moves
/// the server's FIN_WAIT2 into a small socket half-way.
fn half_close_of_the_server(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    let shutdown = pair.server.does("shutdown s")?;
    pair.client.does("await c fin")?;
    hold(HELD);
    pair.server.does("close s")?;
    hold(HELD);
    let client_close = pair.client.does("close c")?;
    case.life("client", pair.client_end, pair.server_end)?
        .says(&closed_by("remote", &pair.server))
        .went_through(&CLIENT_PASSIVE)
        .lasted("CLOSE_WAIT", &shutdown.until(&client_close));
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&closed_by("local", &pair.server))
        .says(&json!({ "time_wait": { "end": "expired" } }))
        .went_through(&SERVER_ACTIVE)
        .lasted("FIN_WAIT2", &shutdown.until(&client_close))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// TIME_WAIT runs and ends while the application still has its descriptor.
fn descriptor_outlives_time_wait(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    pair.client.does("shutdown c")?;
    pair.server.does("await s fin")?;
    pair.server.does("close s")?;
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&closed_by("local", &pair.client))
        .says(&json!({ "time_wait": { "end": "expired" } }))
        .went_through(&CLIENT_ACTIVE)
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// Both ends live on this host, in two namespaces: the remote closer has a name all the same.
fn between_namespaces(case: &Case) -> Result<()> {
    let wire = Wire::new(case.tier, 11)?;
    let (here, there) = (&wire.here, &wire.there);
    let mut pair = Pair::connect(case.tier, &format!("{}:8080", wire.far), "", here, there)?;
    let (first, second) = pair.client_closes_first(HELD)?;
    case.nth_life("server", pair.server_end, pair.client_end, there, 0)?
        .says(&pair.server_truth())
        .says(&json!({ "netns": there.inode() }))
        .says(&closed_by("remote", &pair.client))
        .went_through(&SERVER_PASSIVE)
        .lasted("CLOSE_WAIT", &first.until(&second));
    case.nth_life("client", pair.client_end, pair.server_end, here, 0)?
        .says(&pair.client_truth())
        .says(&json!({ "netns": here.inode(), "time_wait": { "end": "expired" } }))
        .says(&closed_by("local", &pair.client))
        .went_through(&CLIENT_ACTIVE)
        .lasted("FIN_WAIT2", &first.until(&second))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// Two wires so slow that both FINs are on their way before either arrives. A token bucket lets a first packet
/// through at once; it is spent by the data that each side sends before it closes.
fn simultaneous_close(case: &Case) -> Result<()> {
    let wire = Wire::new(case.tier, 21)?;
    let (here, there) = (&wire.here, &wire.there);
    // Where the machine is so slow that one FIN arrives before the other is sent, the wire must be slower still.
    let mut rates = ["4kbit", "2kbit", "1kbit"].into_iter();
    let (pair, client_close, server_close) = loop {
        let rate = rates.next().context("one FIN was always there before the other was sent")?;
        if let Some(closed) = close_at_once(case.tier, &wire, rate)? {
            break closed;
        }
    };
    let now = crate::actor::monotonic();
    for (name, netns, local, remote, puppet, truth, first) in [
        ("client", here, pair.client_end, pair.server_end, &pair.client, pair.client_truth(), "SYN_SENT"),
        ("server", there, pair.server_end, pair.client_end, &pair.server, pair.server_truth(), "SYN_RECV"),
    ] {
        let close = if name == "client" { &client_close } else { &server_close };
        case.nth_life(name, local, remote, netns, 0)?
            .says(&truth)
            .says(&json!({
                "closed_first": "simultaneous", "close": "fin", "close_wait": null,
                "closed_by": any([Value::Null, json!({ "pid": puppet.pid() })]),
                "time_wait": { "end": "expired" },
            }))
            .went_through(&[first, "ESTABLISHED", "FIN_WAIT1", "CLOSING", "TIME_WAIT"])
            .lasted("FIN_WAIT1", &(0..=now - close.before))
            // A FIN that is repeated, since the wire is slow, starts it again.
            .lasted("TIME_WAIT", &(*EXPIRED.start()..=EXPIRED.end() + 30_000_000_000));
    }
    Ok(())
}

/// The connection and both closes, if they were simultaneous.
fn close_at_once(tier: Tier, wire: &Wire, rate: &str) -> Result<Option<(Pair, Act, Act)>> {
    let (here, there) = (&wire.here, &wire.there);
    let mut pair = Pair::connect(tier, &format!("{}:0", wire.far), "", here, there)?;
    for netns in [here, there] {
        netns.run(&format!("tc qdisc replace dev wire root tbf rate {rate} burst 1550 limit 30000"))?;
    }
    pair.client.does("send c 1448")?;
    pair.server.does("send s 1448")?;
    pair.server.does("recv s 1448")?;
    pair.client.does("recv c 1448")?;
    let client_close = pair.client.does("close c")?;
    let server_close = pair.server.does("close s")?;
    for (netns, local, remote) in [(here, pair.client_end, pair.server_end), (there, pair.server_end, pair.client_end)]
    {
        let mut state = String::new();
        until("TIME-WAIT, or over", Duration::from_secs(60), || {
            state = ss(netns, local, remote)?;
            Ok(state.is_empty() || state.starts_with("TIME-WAIT"))
        })?;
        if state.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some((pair, client_close, server_close)))
}

/// A socket that is its own peer opens and closes simultaneously with itself.
fn connected_to_itself(case: &Case) -> Result<()> {
    let mut puppet = Puppet::new(case.home())?;
    let connect = puppet.does(&format!("connect-self c {}", case.at(0)))?;
    hold(HELD);
    let close = puppet.does("close c")?;
    let end = connect.end()?;
    case.life("socket", end, end)?
        .says(&json!({
            "direction": "outbound", "complete": true, "close": "fin", "closed_first": "simultaneous",
            "owner": { "pid": puppet.pid(), "basis": "connect" }, "time_wait": { "end": "expired" },
        }))
        .went_through(&["SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "CLOSING", "TIME_WAIT"])
        .lasted("ESTABLISHED", &connect.until(&close))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}
