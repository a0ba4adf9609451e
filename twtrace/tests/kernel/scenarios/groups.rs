//! Several processes behind one port: SO_REUSEPORT, and what becomes of a queue whose listener is closed.

use super::HELD;
use crate::case::{Case, Pair};
use crate::lifecycle::any;
use crate::net::Netns;
use crate::puppet::{Act, Puppet, hold, until};
use crate::raw::{ACK, Host, RST, SYN};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let three = &[Tier::Hook, Tier::Exact, Tier::SockDiag];
    vec![
        Scenario { name: "reuseport_group", play: Shared(reuseport_group), tiers: all },
        Scenario { name: "reuseport_queue_closed", play: Shared(reuseport_queue_closed), tiers: three },
        Scenario { name: "moved_and_accepted", play: Shared(moved_and_accepted), tiers: three },
        Scenario { name: "moved_and_not_accepted", play: Shared(moved_and_not_accepted), tiers: three },
        Scenario { name: "moved_in_the_handshake", play: Shared(moved_in_the_handshake), tiers: three },
    ]
}

/// Two processes that listen on one port, and a third that calls.
struct Group {
    netns: Netns,
    client: Puppet,
    servers: [Puppet; 2],
    end: SocketAddr,
}

impl Group {
    fn new(case: &Case) -> Result<Self> {
        let netns = Netns::new(case.tier)?;
        let (client, mut first, mut second) = (Puppet::new(&netns)?, Puppet::new(&netns)?, Puppet::new(&netns)?);
        let end = first.does(&format!("listen l {} 64 reuseport", case.at(Host::port())))?.end()?;
        second.does(&format!("listen l {end} 64 reuseport"))?;
        Ok(Self { netns, client, servers: [first, second], end })
    }

    /// Calls, and says whose queue it is in.
    fn call(&mut self, name: &str) -> Result<(Act, usize)> {
        let connect = self.client.does(&format!("connect {name} {}", self.end))?;
        let mut whose = None;
        until("somebody has it", Duration::from_secs(60), || {
            for (number, server) in self.servers.iter_mut().enumerate() {
                if server.does("pending l")?.value() == "1" {
                    whose = Some(number);
                }
            }
            Ok(whose.is_some())
        })?;
        Ok((connect, whose.unwrap_or_default()))
    }
}

/// The kernel deals connections out, and each belongs to the process that was given it.
fn reuseport_group(case: &Case) -> Result<()> {
    let mut group = Group::new(case)?;
    let mut calls = Vec::new();
    while calls.len() < 64 && [0, 1].iter().any(|one| calls.iter().all(|(_, whose, _)| whose != one)) {
        let (connect, whose) = group.call(&format!("c{}", calls.len()))?;
        let server = &mut group.servers[whose];
        server.does("accept s l")?;
        server.does("linger s 0")?;
        hold(HELD / 10);
        let close = server.does("close s")?;
        calls.push((connect, whose, close));
    }
    for (connect, whose, close) in calls {
        let pid = group.servers[whose].pid();
        let life = case.nth_life("server", group.end, connect.end()?, &group.netns, 0)?;
        life.says(&json!({ "direction": "inbound", "complete": true, "owner": { "pid": pid } }))
            .went_through(&["SYN_RECV", "ESTABLISHED"])
            .lasted("ESTABLISHED", &connect.until(&close));
        if case.tier != Tier::Classic {
            life.says(&json!({ "owner": { "basis": "accept" }, "closed_by": { "pid": pid }, "close": "reset_sent" }));
        }
    }
    Ok(())
}

/// One of the two closes its listener over its queue: whose queue it was is known by that at the latest, and it was not the
/// other's.
fn reuseport_queue_closed(case: &Case) -> Result<()> {
    let mut group = Group::new(case)?;
    let (connect, whose) = group.call("c")?;
    hold(HELD);
    let close = group.servers[whose].does("close l")?;
    group.client.does("await c reset")?;
    let pid = group.servers[whose].pid();
    case.nth_life("server", group.end, connect.end()?, &group.netns, 0)?
        .says(&json!({
            "direction": "inbound", "complete": true, "close": "reset_sent", "closed_first": "local",
            "closed_by": { "pid": pid }, "owner": any([Value::Null, json!({ "pid": pid })]),
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED"])
        .lasted("ESTABLISHED", &connect.until(&close));
    Ok(())
}

/// Lets queues move to another listener of the group, which kernels before 5.14 do not; 5.10 has the sysctl alone.
fn lets_move(netns: &Netns) -> bool {
    let moves = netns.set("tcp_migrate_req", "1").is_ok() && netns.counter("TCPMigrateReqSuccess").is_ok();
    if !moves {
        crate::skip(&crate::matrix::played(), "this kernel moves no queue to another listener".to_owned());
    }
    moves
}

/// A connection in the queue of a process that then closes its listener, in favour of another.
fn moved(case: &Case, netns: &Netns) -> Result<(Puppet, Puppet, Puppet, Act)> {
    let (mut client, mut first, mut second) = (Puppet::new(netns)?, Puppet::new(netns)?, Puppet::new(netns)?);
    let end = first.does(&format!("listen l {} 8 reuseport", case.at(Host::port())))?.end()?;
    let connect = client.does(&format!("connect c {end}"))?;
    first.does("await l data")?;
    second.does(&format!("listen l {end} 8 reuseport"))?;
    hold(HELD);
    let success = netns.counter("TCPMigrateReqSuccess")?;
    first.does("close l")?;
    netns.counts("TCPMigrateReqSuccess", success + 1)?;
    second.does("await l data")?;
    Ok((client, first, second, connect))
}

/// It is whoever's accepts it, and not that of the process in whose queue it began.
fn moved_and_accepted(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    if !lets_move(&netns) {
        return Ok(());
    }
    let (client, _first, mut server, connect) = moved(case, &netns)?;
    let accept = server.does("accept s l")?;
    hold(HELD);
    let (client_end, server_end) = (connect.end()?, accept.end()?);
    let mut pair = Pair { tier: case.tier, client, server, client_end, server_end, connect, accept };
    let (first, second) = pair.client_closes_first(HELD)?;
    case.nth_life("server", server_end, client_end, &netns, 0)?
        .says(&pair.server_truth())
        .says(&json!({ "close": "fin", "closed_first": "remote", "close_wait": { "accepted": true } }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"])
        .lasted("ESTABLISHED", &pair.connect.until(&first))
        .lasted("CLOSE_WAIT", &first.until(&second));
    Ok(())
}

/// Nobody accepts it, and its second listener is closed, too: it died in the second process's queue.
fn moved_and_not_accepted(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    if !lets_move(&netns) {
        return Ok(());
    }
    let (mut client, _first, mut second, connect) = moved(case, &netns)?;
    hold(Duration::from_millis(1500));
    let close = second.does("close l")?;
    client.does("await c reset")?;
    let pid = second.pid();
    let client_end = connect.end()?;
    case.find("server", &[client_end], 0, |line| {
        line["remote"] == crate::case::end(client_end) && line["netns"] == netns.inode()
    })?
    .says(&json!({
        "direction": "inbound", "complete": true, "close": "reset_sent", "closed_first": "local",
        "closed_by": { "pid": pid }, "owner": any([Value::Null, json!({ "pid": pid })]), "time_wait": null,
    }))
    .went_through(&["SYN_RECV", "ESTABLISHED"])
    .lasted("ESTABLISHED", &connect.until(&close));
    Ok(())
}

/// The SYN came to one process, and the last segment of the handshake to another.
fn moved_in_the_handshake(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    if !lets_move(&host.here) {
        return Ok(());
    }
    let (mut first, mut second) = (Puppet::new(&host.here)?, Puppet::new(&host.here)?);
    let near = first.does(&format!("listen l {} 8 reuseport", host.near(Host::port())))?.end()?;
    let mut peer = host.call(near)?;
    peer.hear(SYN)?;
    second.does(&format!("listen l {near} 8 reuseport"))?;
    let success = host.here.counter("TCPMigrateReqSuccess")?;
    first.does("close l")?;
    hold(HELD);
    let third = peer.say(ACK, b"")?;
    second.does("await l data")?;
    ensure!(host.here.counter("TCPMigrateReqSuccess")? == success + 1, "the handshake was not moved");
    hold(HELD);
    let reset = peer.say(RST, b"")?;
    case.nth_life("server", near, peer.far, &host.here, 0)?
        .says(&json!({
            "direction": "inbound", "complete": true, "close": "reset_received", "closed_first": "remote",
            "closed_by": null, "owner": any([Value::Null, json!({ "pid": second.pid() })]),
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED"])
        .lasted("ESTABLISHED", &third.until(&reset));
    Ok(())
}
