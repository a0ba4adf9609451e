//! Connections that never came to be.

use super::HELD;
use crate::case::{Case, Pair, end};
use crate::lifecycle::any;
use crate::net::{Netns, Wire};
use crate::puppet::{Puppet, hold};
use crate::raw::Host;
use crate::{Play::Shared, Scenario, Tier};
use anyhow::Result;
use serde_json::{Value, json};
use std::net::SocketAddr;

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let two = &[Tier::Hook, Tier::Exact];
    vec![
        Scenario { name: "refused", play: Shared(refused), tiers: all },
        Scenario { name: "timed_out", play: Shared(timed_out), tiers: all },
        Scenario { name: "unreachable", play: Shared(unreachable), tiers: two },
        Scenario { name: "abandoned", play: Shared(abandoned), tiers: two },
        Scenario { name: "fast_open", play: Shared(fast_open), tiers: all },
        Scenario { name: "no_port_left", play: Shared(no_port_left), tiers: all },
    ]
}

fn truth(client: &Puppet, close: &str) -> Value {
    json!({
        "direction": "outbound", "complete": true, "lost_evidence": 0, "preexisting": false,
        "owner": { "pid": client.pid(), "basis": "connect" },
        "close": close, "closed_first": "neither", "closed_by": null, "time_wait": null, "close_wait": null,
    })
}

fn refused(case: &Case) -> Result<()> {
    // Bound and not listening: nobody else can take the port meanwhile.
    let mut holder = Puppet::new(case.home())?;
    let server_end = holder.does(&format!("bind b {}", case.at(0)))?.end()?;
    let mut client = Puppet::new(case.home())?;
    let connect = client.fails(&format!("connect c {server_end}"), libc::ECONNREFUSED)?;
    case.find("client", &[server_end], 0, |line| line["remote"] == end(server_end))?
        .says(&truth(&client, "refused"))
        .went_through(&["SYN_SENT"])
        .lasted("SYN_SENT", &connect.itself());
    Ok(())
}

/// A wire, and a host that there is not, though ARP knows it.
fn black_hole(case: &Case, number: u8) -> Result<(Wire, SocketAddr)> {
    let wire = Wire::new(case.tier, number)?;
    let nobody = case.tier.host(number + 8);
    wire.lose(nobody)?;
    Ok((wire, SocketAddr::from((nobody, 8080))))
}

fn timed_out(case: &Case) -> Result<()> {
    let (wire, nowhere) = black_hole(case, 31)?;
    let mut client = Puppet::new(&wire.here)?;
    let connect = client.fails(&format!("connect c {nowhere} retries=1"), libc::ETIMEDOUT)?;
    case.find("client", &[nowhere], 0, |line| in_netns(line, &wire.here) && line["remote"] == end(nowhere))?
        .says(&truth(&client, "timed_out"))
        .went_through(&["SYN_SENT"])
        // One second for the SYN and two for its repetition, says net/ipv4/tcp_timer.c.
        .lasted("SYN_SENT", &(2_900_000_000..=*connect.itself().end()));
    Ok(())
}

fn unreachable(case: &Case) -> Result<()> {
    let wire = Wire::new(case.tier, 41)?;
    let nobody = SocketAddr::from((case.tier.host(49), 8080));
    let mut client = Puppet::new(&wire.here)?;
    let connect = client.fails(&format!("connect c {nobody}"), libc::EHOSTUNREACH)?;
    case.find("client", &[nobody], 0, |line| in_netns(line, &wire.here) && line["remote"] == end(nobody))?
        .says(&truth(&client, "unreachable"))
        .went_through(&["SYN_SENT"])
        .lasted("SYN_SENT", &connect.itself());
    Ok(())
}

/// The application gives up before anybody has answered.
fn abandoned(case: &Case) -> Result<()> {
    let (wire, nowhere) = black_hole(case, 51)?;
    let mut client = Puppet::new(&wire.here)?;
    let connect = client.does(&format!("connect c {nowhere} nonblocking"))?;
    hold(HELD);
    let close = client.does("close c")?;
    let mut truth = truth(&client, "abandoned");
    truth["closed_by"] = any([Value::Null, json!({ "pid": client.pid() })]);
    case.find("client", &[nowhere], 0, |line| in_netns(line, &wire.here) && line["remote"] == end(nowhere))?
        .says(&truth)
        .went_through(&["SYN_SENT"])
        .lasted("SYN_SENT", &connect.until(&close));
    Ok(())
}

/// Four ports, all taken: the fifth connect finds none.
fn no_port_left(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    netns.set("ip_local_port_range", "40000 40003")?;
    let mut server = Puppet::new(&netns)?;
    let server_end = server.does(&format!("listen l {} 64", case.at(8080)))?.end()?;
    let mut client = Puppet::new(&netns)?;
    for name in ["a", "b", "c", "d"] {
        client.does(&format!("connect {name} {server_end}"))?;
    }
    client.fails(&format!("connect e {server_end}"), libc::EADDRNOTAVAIL)?;
    case.find("client", &[server_end], 0, |line| {
        in_netns(line, &netns) && line["remote"] == end(server_end) && line["local"]["port"].is_null()
    })?
    .says(&truth(&client, "no_port"))
    .went_through(&["SYN_SENT"]);
    Ok(())
}

/// TCP Fast Open: `connect` sends nothing, and the first bytes go with the SYN.
fn fast_open(case: &Case) -> Result<()> {
    let netns = Netns::new(case.tier)?;
    // For all listeners, and without cookies: include/net/tcp.h, TFO_*.
    netns.set("tcp_fastopen", "0x607")?;
    let (mut client, mut server) = (Puppet::new(&netns)?, Puppet::new(&netns)?);
    let server_end = server.does(&format!("listen l {} 8", case.at(Host::port())))?.end()?;
    let opened = netns.counter("TCPFastOpenActive")?;
    client.does(&format!("connect c {server_end} fastopen"))?;
    hold(HELD);
    let connect = client.does("send c 100")?;
    let accept = server.does("accept s l")?;
    server.does("recv s 100")?;
    netns.counts("TCPFastOpenActive", opened + 1)?;
    let client_end = client.does("end c")?.end()?;
    let mut pair = Pair { tier: case.tier, client, server, client_end, server_end, connect, accept };
    hold(HELD);
    let (first, second) = pair.server_closes_first(HELD)?;
    case.nth_life("client", client_end, server_end, &netns, 0)?
        .says(&pair.client_truth())
        .says(&json!({ "closed_first": "remote", "closed_by": { "pid": pair.server.pid() } }))
        .says(&json!({ "bytes_sent": 100, "bytes_received": 0 }))
        .went_through(&["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK"])
        .lasted("ESTABLISHED", &pair.connect.until(&first))
        .lasted("CLOSE_WAIT", &first.until(&second));
    let mut truth = pair.server_truth();
    // Where a socket has no cookie before its handshake is done, an accept before that is not seen.
    truth["owner"]["basis"] = any([json!("accept"), json!("close")]);
    case.nth_life("server", server_end, client_end, &netns, 0)?
        .says(&truth)
        .says(&json!({ "closed_first": "local", "closed_by": { "pid": pair.server.pid() } }))
        .says(&json!({ "bytes_sent": 0, "bytes_received": 100, "time_wait": { "end": "expired" } }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"])
        .lasted("ESTABLISHED", &pair.connect.until(&first));
    Ok(())
}

fn in_netns(line: &Value, netns: &Netns) -> bool {
    line["netns"].is_null() || line["netns"] == netns.inode()
}
