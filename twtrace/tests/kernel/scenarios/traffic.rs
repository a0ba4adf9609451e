//! What a connection carried and how long it was idle, held against what the scenario sent and against `ss`.

use super::HELD;
use crate::case::{Case, Pair};
use crate::lifecycle::Life;
use crate::net::{Wire, ss_figures};
use crate::puppet::{Act, hold, until};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::{Context, Result};
use serde_json::json;
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let two = &[Tier::Hook, Tier::SockDiag];
    vec![
        Scenario { name: "bytes_and_idle_time", play: Shared(bytes_and_idle_time), tiers: all },
        Scenario { name: "idle_from_the_handshake", play: Shared(idle_from_the_handshake), tiers: two },
        Scenario { name: "bytes_before_a_reset", play: Shared(bytes_before_a_reset), tiers: two },
        Scenario { name: "sent_again", play: Shared(sent_again), tiers: two },
    ]
}

/// A tick or two: the kernel's stamp and the moment of the close are counted in whole ones.
const TICKS: Duration = Duration::from_millis(20);

fn idle(life: &Life, last: &Act, close: &Act) {
    let range = last.until(close);
    let range = range.start().saturating_sub(TICKS.as_nanos() as u64)..=range.end() + TICKS.as_nanos() as u64;
    match life.value["idle_before_close_ns"].as_u64() {
        Some(idle) if range.contains(&idle) => {}
        None if life.tier() == Tier::Classic => {}
        idle => life.differ(format!("was idle for {idle:?} ns before the close, and should have been for {range:?}")),
    }
}

/// Measured on this very machine, so neither nothing nor long.
fn has_round_trip(life: &Life) {
    match life.value["srtt_ns"].as_u64() {
        Some(1..=1_000_000_000) => {}
        None if life.tier() == Tier::Classic => {}
        srtt => life.differ(format!("the round trip took {srtt:?} ns")),
    }
}

fn bytes_and_idle_time(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    pair.client.does("send c 1000")?;
    pair.server.does("recv s 1000")?;
    hold(HELD);
    let last = pair.server.does("send s 300")?;
    pair.client.does("recv c 300")?;
    hold(Duration::from_secs(1));
    // None, but on a machine on which an ACK takes long.
    let again = |local, remote| Ok::<_, anyhow::Error>(ss_figures(case.home(), local, remote)?.sent_again.unwrap_or(0));
    let client_again = again(pair.client_end, pair.server_end)?;
    let server_again = again(pair.server_end, pair.client_end)?;
    let (close, _) = pair.client_closes_first(HELD)?;
    let client = case.life("client", pair.client_end, pair.server_end)?;
    client.says(&json!({ "bytes_sent": 1000, "bytes_received": 300, "retransmits": client_again, "close": "fin" }));
    let server = case.life("server", pair.server_end, pair.client_end)?;
    server.says(&json!({ "bytes_sent": 300, "bytes_received": 1000, "retransmits": server_again, "close": "fin" }));
    for life in [&client, &server] {
        idle(life, &last, &close);
        has_round_trip(life);
    }
    Ok(())
}

fn idle_from_the_handshake(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    hold(Duration::from_millis(600));
    let (close, _) = pair.server_closes_first(HELD)?;
    for (name, local, remote) in
        [("client", pair.client_end, pair.server_end), ("server", pair.server_end, pair.client_end)]
    {
        let life = case.life(name, local, remote)?;
        life.says(&json!({ "bytes_sent": 0, "bytes_received": 0, "retransmits": 0 }));
        idle(&life, &pair.connect, &close);
    }
    Ok(())
}

/// From ESTABLISHED to CLOSE at one go: the first step of the closing is the last.
fn bytes_before_a_reset(case: &Case) -> Result<()> {
    let address = format!("[{}]:0", case.tier.host_v6());
    let mut pair = Pair::connect(case.tier, &address, "", case.home(), case.home())?;
    let last = pair.client.does("send c 700")?;
    pair.server.does("recv s 700")?;
    pair.client.does("linger c 0")?;
    hold(Duration::from_millis(500));
    let close = pair.client.does("close c")?;
    pair.server.does("await s reset")?;
    let client = case.life("client", pair.client_end, pair.server_end)?;
    client.says(&json!({ "bytes_sent": 700, "bytes_received": 0, "close": "reset_sent" }));
    let server = case.life("server", pair.server_end, pair.client_end)?;
    server.says(&json!({ "bytes_sent": 0, "bytes_received": 700, "close": "reset_received" }));
    idle(&client, &last, &close);
    idle(&server, &last, &close);
    Ok(())
}

/// Bytes sent count each time they are sent, as `ss` has them.
fn sent_again(case: &Case) -> Result<()> {
    let wire = Wire::new(case.tier, 31)?;
    let mut pair = Pair::connect(case.tier, &format!("{}:0", wire.far), "", &wire.here, &wire.there)?;
    pair.client.does("send c 100")?;
    pair.server.does("recv s 100")?;
    wire.lose(wire.far)?;
    pair.client.does("send c 500")?;
    let figures = || ss_figures(&wire.here, pair.client_end, pair.server_end);
    until("data is sent again", Duration::from_secs(60), || Ok(figures()?.sent_again.unwrap_or(0) >= 2))?;
    wire.mend(wire.far)?;
    pair.server.does("recv s 500")?;
    until("all is acknowledged", Duration::from_secs(60), || Ok(figures()?.waiting == 0))?;
    let figures = figures()?;
    pair.client_closes_first(HELD)?;
    let (sent, sent_again) = (figures.sent.context("no bytes_sent")?, figures.sent_again.context("no retrans")?);
    let local_to = |local, remote, netns| case.nth_life("end", local, remote, netns, 0);
    local_to(pair.client_end, pair.server_end, &wire.here)?
        .says(&json!({ "bytes_sent": sent, "bytes_received": 0, "retransmits": sent_again }));
    local_to(pair.server_end, pair.client_end, &wire.there)?
        .says(&json!({ "bytes_sent": 0, "bytes_received": 600, "retransmits": 0 }));
    Ok(())
}
