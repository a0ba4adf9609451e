//! Whose connection it is, and which process closed it.

use super::{EXPIRED, HELD};
use crate::case::{Case, Pair};
use crate::lifecycle::any;
use crate::puppet::{Puppet, hold};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let two = &[Tier::Hook, Tier::Exact];
    vec![
        Scenario { name: "never_accepted", play: Shared(never_accepted), tiers: all },
        Scenario { name: "accepted_after_the_end", play: Shared(accepted_after_the_end), tiers: two },
        Scenario { name: "listener_closed_over_its_queue", play: Shared(listener_closed_over_its_queue), tiers: all },
        Scenario { name: "client_killed", play: Shared(client_killed), tiers: all },
        Scenario { name: "server_killed", play: Shared(server_killed), tiers: two },
        Scenario { name: "client_exits", play: Shared(client_exits), tiers: two },
        Scenario { name: "worker_closes", play: Shared(worker_closes), tiers: all },
        Scenario { name: "descriptor_passed_on", play: Shared(descriptor_passed_on), tiers: two },
        Scenario { name: "one_of_two_holders_closes", play: Shared(one_of_two_holders_closes), tiers: two },
    ]
}

/// A client connected to a server that does not accept: the server's socket is the kernel's alone.
struct Queued {
    client: Puppet,
    server: Puppet,
    pair: (std::net::SocketAddr, std::net::SocketAddr),
    connect: crate::puppet::Act,
}

fn queued(case: &Case) -> Result<Queued> {
    let (mut client, mut server) = (Puppet::new(case.home())?, Puppet::new(case.home())?);
    let server_end = server.does(&format!("listen l {} 8", case.at(0)))?.end()?;
    let connect = client.does(&format!("connect c {server_end}"))?;
    Ok(Queued { client, server, pair: (connect.end()?, server_end), connect })
}

/// The client gives up waiting; then the server stops.
fn never_accepted(case: &Case) -> Result<()> {
    let Queued { mut client, mut server, pair: (client_end, server_end), .. } = queued(case)?;
    let first = client.does("close c")?;
    server.does("await l data")?;
    hold(HELD);
    let second = server.does("close l")?;
    case.life("server", server_end, client_end)?
        .says(&json!({
            "direction": "inbound", "complete": true, "close": "reset_sent", "closed_first": "remote",
            "closed_by": { "pid": client.pid() }, "time_wait": null,
            "owner": { "pid": server.pid(), "basis": "listener" },
            "close_wait": { "accepted": false },
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT"])
        .lasted("CLOSE_WAIT", &first.until(&second));
    Ok(())
}

/// Accepted when the client has long closed: a slow server, but no leak.
fn accepted_after_the_end(case: &Case) -> Result<()> {
    let Queued { mut client, mut server, pair: (client_end, server_end), .. } = queued(case)?;
    let first = client.does("close c")?;
    hold(HELD);
    server.does("accept s l")?;
    hold(HELD);
    let second = server.does("close s")?;
    case.life("server", server_end, client_end)?
        .says(&json!({
            "direction": "inbound", "complete": true, "close": "fin", "closed_first": "remote",
            "closed_by": { "pid": client.pid() },
            "owner": { "pid": server.pid(), "basis": "accept" },
            "close_wait": { "accepted": true },
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"])
        .lasted("CLOSE_WAIT", &first.until(&second));
    Ok(())
}

fn listener_closed_over_its_queue(case: &Case) -> Result<()> {
    let Queued { mut client, mut server, pair: (client_end, server_end), connect } = queued(case)?;
    hold(HELD);
    let close = server.does("close l")?;
    client.does("await c reset")?;
    case.life("server", server_end, client_end)?
        .says(&json!({
            "direction": "inbound", "complete": true, "close": "reset_sent", "closed_first": "local",
            "closed_by": { "pid": server.pid() }, "time_wait": null, "close_wait": null,
            "owner": { "pid": server.pid(), "basis": "listener" },
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED"])
        .lasted("ESTABLISHED", &connect.until(&close));
    case.life("client", client_end, server_end)?
        .says(&json!({
            "direction": "outbound", "complete": true, "close": "reset_received", "closed_first": "remote",
            "closed_by": any([Value::Null, json!({ "pid": server.pid() })]),
            "owner": { "pid": client.pid(), "basis": "connect" },
        }))
        .went_through(&["SYN_SENT", "ESTABLISHED"])
        .lasted("ESTABLISHED", &connect.until(&close));
    Ok(())
}

fn client_killed(case: &Case) -> Result<()> {
    let Pair { client, mut server, client_end, server_end, connect, .. } = case.pair()?;
    hold(HELD);
    let pid = client.pid();
    let killed = client.kill()?;
    check_client_gone(case, &mut server, pid, (client_end, server_end), &connect, &killed)
}

fn client_exits(case: &Case) -> Result<()> {
    let Pair { client, mut server, client_end, server_end, connect, .. } = case.pair()?;
    hold(HELD);
    let pid = client.pid();
    let gone = client.exit()?;
    check_client_gone(case, &mut server, pid, (client_end, server_end), &connect, &gone)
}

fn check_client_gone(
    case: &Case,
    server: &mut Puppet,
    pid: u32,
    (client_end, server_end): (std::net::SocketAddr, std::net::SocketAddr),
    connect: &crate::puppet::Act,
    gone: &crate::puppet::Act,
) -> Result<()> {
    server.does("await s fin")?;
    hold(HELD);
    let close = server.does("close s")?;
    let closed_by = json!({ "pid": pid });
    case.life("server", server_end, client_end)?
        .says(&json!({ "close": "fin", "closed_first": "remote", "closed_by": closed_by }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"])
        .lasted("CLOSE_WAIT", &gone.until(&close));
    case.life("client", client_end, server_end)?
        .says(&json!({
            "complete": true, "close": "fin", "closed_first": "local", "closed_by": closed_by,
            "owner": { "pid": pid, "basis": "connect" }, "time_wait": { "end": "expired" },
        }))
        .went_through(&["SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"])
        .lasted("ESTABLISHED", &connect.until(gone))
        .lasted("FIN_WAIT2", &gone.until(&close))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

fn server_killed(case: &Case) -> Result<()> {
    let Pair { mut client, server, client_end, server_end, connect, .. } = case.pair()?;
    let pid = server.pid();
    let killed = server.kill()?;
    client.does("await c fin")?;
    hold(HELD);
    let close = client.does("close c")?;
    case.life("client", client_end, server_end)?
        .says(&json!({
            "close": "fin", "closed_first": "remote", "closed_by": { "pid": pid },
            "owner": { "pid": client.pid(), "basis": "connect" },
        }))
        .lasted("ESTABLISHED", &connect.until(&killed))
        .lasted("CLOSE_WAIT", &killed.until(&close));
    case.life("server", server_end, client_end)?
        .says(&json!({
            "close": "fin", "closed_first": "local", "closed_by": { "pid": pid },
            "owner": { "pid": pid, "basis": "accept" }, "time_wait": { "end": "expired" },
        }))
        .lasted("FIN_WAIT2", &killed.until(&close))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// Hands a socket to another process, as a parent does by fork and by SCM_RIGHTS: both then have it.
pub(super) fn hand_over(case: &Case, from: &mut Puppet, name: &str) -> Result<Puppet> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut to = Puppet::new(case.home())?;
    let folder = std::env::temp_dir();
    let path = folder.join(format!("twtrace-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let path = path.display();
    to.does(&format!("mailbox {path}"))?;
    from.does(&format!("pass {name} {path}"))?;
    to.does("take taken")?;
    std::fs::remove_file(path.to_string())?;
    Ok(to)
}

/// The parent accepts, hands over and closes its copy, which ends nothing; the worker's close does.
fn worker_closes(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    let mut worker = hand_over(case, &mut pair.server, "s")?;
    pair.server.does("close s")?;
    hold(HELD);
    let first = worker.does("close taken")?;
    pair.client.does("await c fin")?;
    hold(HELD);
    let second = pair.client.does("close c")?;
    let closed_by = json!({ "pid": worker.pid() });
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&json!({ "close": "fin", "closed_first": "remote", "closed_by": closed_by }))
        .lasted("CLOSE_WAIT", &first.until(&second));
    case.life("server", pair.server_end, pair.client_end)?
        .says(&json!({
            "complete": true, "direction": "inbound",
            "owner": any([json!({ "pid": pair.server.pid(), "basis": "accept" }), json!({ "pid": worker.pid(), "basis": "close" })]),
            "close": "fin", "closed_first": "local", "closed_by": closed_by, "time_wait": { "end": "expired" },
        }))
        .lasted("ESTABLISHED", &pair.accept.until(&first))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// The client connects, hands its socket over and exits; the connection is closed by whoever has it now.
fn descriptor_passed_on(case: &Case) -> Result<()> {
    let Pair { mut client, mut server, client_end, server_end, connect, .. } = case.pair()?;
    let connector = client.pid();
    let mut heir = hand_over(case, &mut client, "c")?;
    client.kill()?;
    hold(HELD);
    let first = heir.does("close taken")?;
    server.does("await s fin")?;
    let second = server.does("close s")?;
    case.life("client", client_end, server_end)?
        .says(&json!({
            "complete": true, "direction": "outbound", "close": "fin", "closed_first": "local",
            "owner": { "pid": connector, "basis": "connect" },
            "closed_by": { "pid": heir.pid(), "confidence": "certain" }, "time_wait": { "end": "expired" },
        }))
        .lasted("ESTABLISHED", &connect.until(&first))
        .lasted("FIN_WAIT2", &first.until(&second))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// Two processes have the server's socket. One shuts it down: that is the first close, whoever else still holds it.
fn one_of_two_holders_closes(case: &Case) -> Result<()> {
    let mut pair = case.pair()?;
    let mut worker = hand_over(case, &mut pair.server, "s")?;
    let first = worker.does("shutdown taken")?;
    worker.does("close taken")?;
    pair.client.does("await c fin")?;
    hold(HELD);
    let second = pair.client.does("close c")?;
    pair.server.does("close s")?;
    case.life("server", pair.server_end, pair.client_end)?
        .says(&pair.server_truth())
        .says(&json!({
            "close": "fin", "closed_first": "local", "closed_by": { "pid": worker.pid(), "confidence": "certain" },
            "time_wait": { "end": "expired" },
        }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"])
        .lasted("FIN_WAIT2", &first.until(&second))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}
