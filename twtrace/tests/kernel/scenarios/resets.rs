//! Connections that end by a reset, or by the kernel.

use super::HELD;
use crate::case::{Case, Pair};
use crate::lifecycle::any;
use crate::net::{Wire, destroy};
use crate::puppet::{Act, hold};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::Result;
use serde_json::{Value, json};

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let two = &[Tier::Hook, Tier::Exact];
    vec![
        Scenario { name: "client_resets_by_linger", play: Shared(client_resets_by_linger), tiers: all },
        Scenario { name: "server_resets_by_linger", play: Shared(server_resets_by_linger), tiers: two },
        Scenario { name: "client_resets_by_unread_bytes", play: Shared(client_resets_by_unread_bytes), tiers: two },
        Scenario { name: "server_resets_by_unread_bytes", play: Shared(server_resets_by_unread_bytes), tiers: all },
        Scenario { name: "reset_by_disconnect", play: Shared(reset_by_disconnect), tiers: two },
        Scenario { name: "unread_bytes_in_close_wait", play: Shared(unread_bytes_in_close_wait), tiers: two },
        Scenario { name: "bytes_for_a_closed_socket", play: Shared(bytes_for_a_closed_socket), tiers: two },
        Scenario { name: "destroyed_by_ss", play: Shared(destroyed_by_ss), tiers: all },
        Scenario { name: "user_timeout", play: Shared(user_timeout), tiers: two },
    ]
}

/// The client's end of a connection that is reset while it is established, then the server's.
fn check_reset(case: &Case, pair: &Pair, by_client: bool, reset: &Act) -> Result<()> {
    let closer = if by_client { pair.client.pid() } else { pair.server.pid() };
    let one = |sent: bool| {
        json!({
            "close": if sent { "reset_sent" } else { "reset_received" },
            "closed_first": if sent { "local" } else { "remote" },
            "closed_by": { "pid": closer }, "time_wait": null, "close_wait": null,
        })
    };
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&one(by_client))
        .went_through(&["SYN_SENT", "ESTABLISHED"])
        .lasted("ESTABLISHED", &pair.connect.until(reset));
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&one(!by_client))
        .went_through(&["SYN_RECV", "ESTABLISHED"])
        .lasted("ESTABLISHED", &pair.connect.until(reset));
    Ok(())
}

fn client_resets_by_linger(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    pair.client.does("linger c 0")?;
    hold(HELD);
    let close = pair.client.does("close c")?;
    pair.server.does("await s reset")?;
    check_reset(case, &pair, true, &close)
}

fn server_resets_by_linger(case: &Case) -> Result<()> {
    let address = format!("[{}]:0", case.tier.host_v6());
    let mut pair = Pair::connect(case.tier, &address, "", case.home(), case.home())?;
    pair.server.does("linger s 0")?;
    hold(HELD);
    let close = pair.server.does("close s")?;
    pair.client.does("await c reset")?;
    check_reset(case, &pair, false, &close)
}

fn client_resets_by_unread_bytes(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    pair.server.does("send s 10")?;
    pair.client.does("await c data")?;
    let close = pair.client.does("close c")?;
    pair.server.does("await s reset")?;
    check_reset(case, &pair, true, &close)
}

fn server_resets_by_unread_bytes(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    pair.client.does("send c 10")?;
    pair.server.does("await s data")?;
    let close = pair.server.does("close s")?;
    pair.client.does("await c reset")?;
    check_reset(case, &pair, false, &close)
}

/// `connect` to AF_UNSPEC resets the connection and keeps the socket, which then connects anew.
fn reset_by_disconnect(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    hold(HELD);
    let disconnect = pair.client.does("disconnect c")?;
    pair.server.does("await s reset")?;
    check_reset(case, &pair, true, &disconnect)
}

/// The server closes what the client has finished with bytes unread: a reset instead of a FIN, and it is still the
/// client that closed first.
fn unread_bytes_in_close_wait(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    pair.client.does("send c 10")?;
    let first = pair.client.does("close c")?;
    pair.server.does("await s fin")?;
    hold(HELD);
    let second = pair.server.does("close s")?;
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&json!({
            "close": "reset_sent", "closed_first": "remote", "closed_by": { "pid": pair.client.pid() }, "time_wait": null,
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT"])
        .lasted("CLOSE_WAIT", &first.until(&second));
    check_small_socket_killed(case, &pair, &first, &second, &["reset_received"])
}

/// The server answers a client that has closed: the client's kernel resets, and it never was in TIME_WAIT.
fn bytes_for_a_closed_socket(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    let first = pair.client.does("close c")?;
    pair.server.does("await s fin")?;
    hold(HELD);
    let second = pair.server.does("send s 10")?;
    pair.server.does("await s reset")?;
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&json!({
            "close": "reset_received", "closed_first": "remote", "closed_by": { "pid": pair.client.pid() },
            "time_wait": null,
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT"])
        .lasted("CLOSE_WAIT", &first.until(&second));
    check_small_socket_killed(case, &pair, &first, &second, &["reset_sent"])
}

/// The client's FIN_WAIT2 without an owner is ended by a segment. Only `--exact` sees the moment; elsewhere it may be
/// known only that it is gone by the next reading of the table, but not as a TIME_WAIT and not as something else.
fn check_small_socket_killed(case: &Case, pair: &Pair, first: &Act, second: &Act, closes: &[&str]) -> Result<()> {
    let close =
        if case.tier == Tier::Exact { json!(closes[0]) } else { any([json!(closes[0]), json!("fin"), Value::Null]) };
    let life = case.life("client", pair.client_end, pair.server_end)?;
    life.says(&json!({
        "direction": "outbound", "close": close, "closed_first": "local",
        "closed_by": { "pid": pair.client.pid(), "confidence": "certain" }, "time_wait": null,
    }))
    .went_through(&["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"]);
    if case.tier == Tier::Exact {
        life.lasted("FIN_WAIT2", &first.until(second));
    }
    Ok(())
}

/// `ss -K` at the client's end. The client did nothing, and neither did the server.
fn destroyed_by_ss(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    hold(HELD);
    let (destroyed, ss) = destroy(case.home(), pair.client_end, pair.server_end)?;
    pair.server.does("await s reset")?;
    let range = pair.connect.until(&destroyed);
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&json!({
            "close": "destroyed", "time_wait": null, "close_wait": null,
            "closed_first": any([json!("local"), json!("neither"), Value::Null]),
            "closed_by": any([Value::Null, json!({ "pid": ss })]),
        }))
        .went_through(&["SYN_SENT", "ESTABLISHED"])
        .lasted("ESTABLISHED", &range);
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&json!({
            "close": "reset_received", "closed_first": "remote",
            "closed_by": any([Value::Null, json!({ "pid": ss })]),
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED"])
        .lasted("ESTABLISHED", &range);
    Ok(())
}

/// The wire is cut, and the client's bytes are not acknowledged in time.
fn user_timeout(case: &Case) -> Result<()> {
    let wire = Wire::new(case.tier, 61)?;
    let address = format!("{}:8080", wire.far);
    let mut pair = Pair::connect(case.tier, &address, "", &wire.here, &wire.there)?;
    wire.lose(wire.far)?;
    pair.client.does("user-timeout c 400")?;
    pair.client.does("send c 10")?;
    let gone = pair.client.does("await c reset")?;
    case.nth_life("client", pair.client_end, pair.server_end, &wire.here, 0)?
        .says(&pair.client_truth())
        .says(&json!({ "close": "timed_out", "closed_first": "neither", "closed_by": null, "time_wait": null }))
        .went_through(&["SYN_SENT", "ESTABLISHED"])
        .lasted("ESTABLISHED", &(400_000_000..=*pair.connect.until(&gone).end()));
    Ok(())
}
