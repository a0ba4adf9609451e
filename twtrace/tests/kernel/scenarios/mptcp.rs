//! Multipath TCP: its own sockets are none of TCP's, and each of its paths is a connection.

use super::HELD;
use crate::case::{Case, Pair, end};
use crate::lifecycle::any;
use crate::net::Netns;
use crate::puppet::{Puppet, hold, until};
use crate::raw::Host;
use crate::{Play::Shared, Scenario, Tier};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    let three = &[Tier::Hook, Tier::Exact, Tier::SockDiag];
    vec![
        Scenario { name: "mptcp", play: Shared(one_path), tiers: Tier::ALL },
        Scenario { name: "mptcp_second_path", play: Shared(two_paths), tiers: three },
    ]
}

/// A connection by MPTCP, where this kernel has it.
fn connected(case: &Case, netns: &Netns) -> Result<Option<Pair>> {
    let mut server = Puppet::new(netns)?;
    let listening = match server.tries(&format!("listen l {} 8 mptcp", case.at(Host::port())))? {
        Ok(listening) => listening.end()?,
        Err(libc::EPROTONOSUPPORT | libc::ENOPROTOOPT | libc::EINVAL) => {
            crate::skip(&crate::matrix::played(), "this kernel has no MPTCP".to_owned());
            return Ok(None);
        }
        Err(errno) => bail!("cannot listen by MPTCP: errno {errno}"),
    };
    let opened = netns.counter("MPCapableSYNRX")?;
    let pair = Pair::again(case.tier, Puppet::new(netns)?, server, listening, "mptcp")?;
    netns.counts("MPCapableSYNRX", opened + 1)?;
    Ok(Some(pair))
}

fn one_path(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    let Some(mut pair) = connected(case, &netns)? else { return Ok(()) };
    pair.client.does("send c 100")?;
    pair.server.does("recv s 100")?;
    hold(HELD);
    pair.client_closes_first(HELD)?;
    // Both ends of the path are closed once both processes have closed, by a kernel thread.
    let first = json!({ "closed_first": any([json!("local"), json!("remote"), json!("simultaneous")]) });
    let closed_by = |puppet: &Puppet| any([Value::Null, json!({ "pid": puppet.pid(), "confidence": "likely" })]);
    let either = any([closed_by(&pair.client), closed_by(&pair.server)]);
    case.nth_life("client", pair.client_end, pair.server_end, &netns, 0)?
        .says(&pair.client_truth())
        .says(&first)
        .says(&json!({ "close": "fin", "closed_by": either }));
    let life = case.nth_life("server", pair.server_end, pair.client_end, &netns, 0)?;
    life.says(&json!({
        "direction": "inbound", "complete": true, "close": "fin", "closed_by": either,
        "owner": any([Value::Null, json!({ "pid": pair.server.pid() })]),
    }))
    .says(&first);
    if life.value["close_wait"]["accepted"] == false {
        life.differ("the process had accepted it".to_owned());
    }
    for (local, remote) in [(pair.client_end, pair.server_end), (pair.server_end, pair.client_end)] {
        case.tells_of_one(local, remote, &netns);
    }
    Ok(())
}

/// A second path to the same server, from another address: a kernel thread connects it, and it is one connection more.
fn two_paths(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    let second = case.tier.host(3);
    netns.ip(&format!("address add {second}/32 dev lo"))?;
    let allowed = netns.ip("mptcp limits set subflow 2 add_addr_accepted 2");
    if allowed.and_then(|()| netns.ip(&format!("mptcp endpoint add {second} dev lo subflow"))).is_err() {
        crate::skip(&crate::matrix::played(), "this kernel or ip knows no paths of MPTCP".to_owned());
        return Ok(());
    }
    let Some(mut pair) = connected(case, &netns)? else { return Ok(()) };
    let joined = || Ok(netns.counter("MPJoinAckRx")? == 1);
    // The path manager goes to work once the first data is acknowledged.
    pair.client.does("send c 100")?;
    pair.server.does("recv s 100")?;
    until("the second path is there", Duration::from_secs(60), joined)?;
    pair.client_closes_first(HELD)?;
    let ip = second.to_string();
    let server = end(pair.server_end);
    let client = case.find("second path's client", &[pair.server_end], 0, |line| {
        line["local"]["ip"] == ip && line["remote"] == server && line["netns"] == netns.inode()
    })?;
    let or_null = |puppet: &Puppet| any([Value::Null, json!({ "pid": puppet.pid() })]);
    client.says(&json!({ "direction": "outbound", "complete": true, "owner": or_null(&pair.client) }));
    let port = client.value["local"]["port"].as_u64().and_then(|port| u16::try_from(port).ok()).context("no port")?;
    let joining = SocketAddr::from((second, port));
    case.nth_life("second path's server", pair.server_end, joining, &netns, 0)?
        .says(&json!({ "direction": "inbound", "complete": true, "owner": or_null(&pair.server) }));
    for one in [pair.client_end, joining] {
        case.tells_of_one(one, pair.server_end, &netns);
        case.tells_of_one(pair.server_end, one, &netns);
    }
    Ok(())
}
