//! Connections from before the tracer's start.

use super::{EXPIRED, HELD};
use crate::case::{Case, Pair};
use crate::lifecycle::any;
use crate::net::Netns;
use crate::puppet::{EMULATED, hold};
use crate::{Play::Own, Scenario, Tier};
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    vec![Scenario { name: "from_before_the_start", play: Own(from_before_the_start), tiers: Tier::ALL }]
}

/// The kernel keeps a FIN_WAIT2 without an owner for a minute; somewhat less, so that it is there for sure.
const FIN_TIMEOUT: u64 = 55_000_000_000;

/// One tracer, and three connections that it comes upon: established, half-way in CLOSE_WAIT, and over but for its
/// TIME_WAIT.
fn from_before_the_start(tier: Tier) -> Result<()> {
    let home = Netns::new(tier)?;
    let address = format!("{}:0", tier.host(1));
    let mut established = Pair::connect(tier, &address, "", &home, &home)?;
    let mut halfway = Pair::connect(tier, &address, "", &home, &home)?;
    let mut over = Pair::connect(tier, &address, "", &home, &home)?;
    over.client_closes_first(Duration::ZERO)?;
    let halfway_first = halfway.client.does("close c")?;
    halfway.server.does("await s fin")?;
    hold(HELD);
    let case = Case::own(tier, &["--ring", "64M"], home)?;
    // It reads the tables once it is attached, and nothing shows that it has.
    hold(HELD + *EMULATED);
    let established_closes = established.client_closes_first(HELD)?;
    let halfway_second = halfway.server.does("close s")?;
    if halfway_second.after - halfway_first.before > FIN_TIMEOUT {
        crate::skip(&crate::matrix::played(), "this machine takes longer than tcp_fin_timeout to attach".to_owned());
        return Ok(());
    }
    let outcome = check(&case, &established, &established_closes, &halfway, &(halfway_first, halfway_second), &over);
    let run = case.finish()?;
    if run.exit != Some(0) {
        case.differ(format!("it ended with {:?}", run.exit));
    }
    case.verdict(outcome)
}

fn check(
    case: &Case,
    established: &Pair,
    (first, second): &(crate::puppet::Act, crate::puppet::Act),
    halfway: &Pair,
    (halfway_first, halfway_second): &(crate::puppet::Act, crate::puppet::Act),
    over: &Pair,
) -> Result<()> {
    let before = json!({ "preexisting": true, "opened": null, "complete": false, "lost_evidence": 0 });
    let (client, server) = (established.client_end, established.server_end);
    case.life("established server", server, client)?
        .says(&before)
        .says(&json!({
            "direction": any([json!("inbound"), Value::Null]), "owner": { "pid": established.server.pid() },
            "close": "fin", "closed_first": "remote", "closed_by": { "pid": established.client.pid() },
        }))
        .went_through(&["ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"])
        .lasted("CLOSE_WAIT", &first.until(second));
    let life = case.life("established client", client, server)?;
    life.says(&before)
        .says(&json!({
            "direction": any([json!("outbound"), Value::Null]), "owner": { "pid": established.client.pid() },
            "close": "fin", "closed_first": "local", "closed_by": { "pid": established.client.pid() },
            "time_wait": { "end": "expired" },
        }))
        .went_through(&["ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"])
        .lasted("FIN_WAIT2", &first.until(second))
        .lasted("TIME_WAIT", &EXPIRED);
    if !life.value["states"][0]["duration_ns"].is_null() {
        life.differ("nobody can say how long it was ESTABLISHED".to_owned());
    }

    let (client, server) = (halfway.client_end, halfway.server_end);
    let life = case.life("half-way server", server, client)?;
    life.says(&before)
        .says(&json!({
            "direction": any([json!("inbound"), Value::Null]), "owner": { "pid": halfway.server.pid() },
            "close": "fin", "closed_first": "remote", "close_wait": { "accepted": any([json!(true), Value::Null]) },
            "closed_by": any([Value::Null, json!({ "pid": halfway.client.pid() })]),
        }))
        .went_through(&["CLOSE_WAIT", "LAST_ACK"]);
    // The table says when the last ACK came, which was the FIN's: or nothing is known.
    if !life.value["close_wait"]["duration_ns"].is_null() {
        // To a jiffy at either end.
        life.lasted("CLOSE_WAIT", &halfway_first.until_within(halfway_second, Duration::from_millis(80)));
    }
    let life = case.life("half-way client", client, server)?;
    life.says(&before)
        .says(&json!({
            "closed_first": any([json!("local"), Value::Null]), "close": any([json!("fin"), Value::Null]),
            "time_wait": { "end": "expired" },
        }))
        .lasted("TIME_WAIT", &EXPIRED);
    // On a machine so busy that the table is read after the FIN, nobody can know of what was before.
    if life.states() != ["TIME_WAIT"] {
        life.went_through(&["FIN_WAIT2", "TIME_WAIT"]);
    }

    let (client, server) = (over.client_end, over.server_end);
    case.life("TIME_WAIT", client, server)?
        .says(&before)
        .says(&json!({
            "owner": null, "closed_by": null, "closed_first": any([json!("local"), Value::Null]),
            "close": any([json!("fin"), Value::Null]), "time_wait": { "end": "expired" },
        }))
        .went_through(&["TIME_WAIT"])
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}
