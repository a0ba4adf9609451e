//! Handshakes out of the ordinary: never done, done twice, by cookie, with the first bytes in the SYN.

use super::super::HELD;
use super::Talk;
use crate::case::{Case, end};
use crate::lifecycle::any;
use crate::net::ss;
use crate::puppet::{Act, Puppet, hold, until};
use crate::raw::{ACK, FIN, Host, RST, SYN};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let three = &[Tier::Hook, Tier::Exact, Tier::SockDiag];
    vec![
        Scenario { name: "raw_half_open", play: Shared(half_open), tiers: all },
        Scenario { name: "raw_simultaneous_open", play: Shared(simultaneous_open), tiers: three },
        Scenario { name: "raw_cookie", play: Shared(cookie), tiers: all },
        Scenario { name: "raw_phantoms", play: Shared(phantoms), tiers: all },
        Scenario { name: "raw_fast_open", play: Shared(fast_open), tiers: three },
        Scenario { name: "raw_fast_open_closed_at_once", play: Shared(fast_open_closed_at_once), tiers: three },
        Scenario { name: "raw_fast_open_never_done", play: Shared(fast_open_never_done), tiers: three },
    ]
}

/// A SYN whose handshake is never done, and one that is taken back: neither is a connection. The one behind them is.
fn half_open(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    host.here.set("tcp_synack_retries", "0")?;
    let mut server = Puppet::new(&host.here)?;
    let near = server.does(&format!("listen l {} 8", host.near(Host::port())))?.end()?;
    let mut silent = host.call(near)?;
    silent.hear(SYN)?;
    let mut taken_back = host.call(near)?;
    taken_back.hear(SYN)?;
    taken_back.say(RST, b"")?;
    until("the request is given up", Duration::from_secs(60), || Ok(ss(&host.here, near, silent.far)?.is_empty()))?;
    let late = silent.say(ACK, b"")?;
    silent.see(RST)?;
    let mut peer = host.call(near)?;
    peer.hear(SYN)?;
    let begun = peer.say(ACK, b"")?;
    server.does("accept s l")?;
    let reset = peer.say(RST, b"")?;
    ensure!(late.before < begun.before);
    case.nth_life("server", near, peer.far, &host.here, 0)?
        .says(&json!({ "direction": "inbound", "complete": true, "owner": { "pid": server.pid() } }))
        .went_through(&["SYN_RECV", "ESTABLISHED"])
        .lasted("ESTABLISHED", &begun.until(&reset));
    for other in [silent, taken_back] {
        case.says_nothing_of(&[near, other.far], |line| line["remote"] == end(other.far));
    }
    Ok(())
}

/// Two SYNs that cross. Both ends are connecting, this one too.
fn simultaneous_open(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    let far = host.far(Host::port());
    let mut puppet = Puppet::new(&host.here)?;
    puppet.start(&format!("connect s {far}"))?;
    let mut peer = host.called(far)?;
    let syn = peer.say(SYN, b"")?;
    peer.see(SYN)?;
    hold(HELD);
    let third = peer.say(ACK, b"")?;
    let begun = puppet.done()?;
    let mut talk = Talk { tier: case.tier, host, puppet, peer, outbound: true, begun };
    let reset = talk.peer.say(RST, b"")?;
    talk.life(case)?
        .says(&talk.truth())
        .says(&json!({ "close": "reset_received", "closed_first": "remote", "closed_by": null }))
        .went_through(&["SYN_SENT", "SYN_RECV", "ESTABLISHED"])
        .lasted("SYN_RECV", &syn.until(&third))
        .lasted("ESTABLISHED", &third.until(&reset));
    Ok(())
}

/// The listener keeps nothing of a SYN but what its answer carries, so the connection begins with the third segment. The
/// fourth is the third once more.
fn cookie(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    host.here.set("tcp_syncookies", "2")?;
    let received = host.here.counter("SyncookiesRecv")?;
    let mut talk = Talk::inbound(case, &host)?;
    host.here.counts("SyncookiesRecv", received + 1)?;
    talk.peer.say(ACK, b"")?;
    hold(HELD);
    let fin = talk.peer.say(FIN | ACK, b"")?;
    talk.puppet.does("await s fin")?;
    hold(HELD);
    let close = talk.puppet.does("close s")?;
    talk.peer.hear(FIN)?;
    talk.peer.say(ACK, b"")?;
    talk.life(case)?
        .says(&talk.truth())
        .says(&json!({ "closed_first": "remote", "closed_by": null, "close": "fin", "time_wait": null }))
        .went_through(&talk.states(&["CLOSE_WAIT", "LAST_ACK"]))
        .lasted("ESTABLISHED", &talk.begun.until(&fin))
        .lasted("CLOSE_WAIT", &fin.until(&close));
    let (near, far) = (talk.peer.near, talk.peer.far);
    case.tells_of_one(near, far, &host.here);
    Ok(())
}

/// The third segment comes twice, on two CPUs at once: where both make a child of it, some of a hundred times, one of the
/// two is thrown away, and was no connection.
fn phantoms(case: &Case) -> Result<()> {
    const COUNT: usize = 100;
    let host = Host::new(case.tier)?;
    host.here.set("tcp_syncookies", "2")?;
    let mut server = Puppet::new(&host.here)?;
    let near = server.does(&format!("listen l {} {COUNT}", host.near(Host::port())))?.end()?;
    let mut peers = Vec::new();
    for _ in 0..COUNT {
        let mut peer = host.call(near)?;
        peer.hear(SYN)?;
        peer.say_twice(ACK)?;
        peers.push(peer);
    }
    hold(HELD);
    server.does("close l")?;
    for peer in peers {
        case.nth_life("server", near, peer.far, &host.here, 0)?
            .says(&json!({
                "direction": "inbound", "complete": true, "close": "reset_sent", "closed_first": "local",
                "owner": { "pid": server.pid(), "basis": "listener" }, "time_wait": null,
            }))
            .went_through(&["SYN_RECV", "ESTABLISHED"]);
        case.tells_of_one(near, peer.far, &host.here);
    }
    Ok(())
}

/// Bytes in the SYN, and a listener that takes them: the connection is there before its handshake is done.
fn opened(case: &Case, host: &Arc<Host>) -> Result<(Talk, Act)> {
    // For clients and listeners that have not asked for it, and without cookies: include/net/tcp.h, TFO_*.
    host.here.set("tcp_fastopen", "0x603")?;
    let mut puppet = Puppet::new(&host.here)?;
    let near = puppet.does(&format!("listen l {} 8", host.near(Host::port())))?.end()?;
    let opened = host.here.counter("TCPFastOpenPassive")?;
    let mut peer = host.peer(near);
    let syn = peer.say(SYN, b"hello")?;
    peer.hear(SYN)?;
    host.here.counts("TCPFastOpenPassive", opened + 1)?;
    let begun = puppet.does("accept s l")?;
    Ok((Talk { tier: case.tier, host: host.clone(), puppet, peer, outbound: false, begun }, syn))
}

/// What its life says. Before 6.15 a socket has no cookie until its handshake is done, so who accepted it before that is not
/// seen.
fn opened_truth(talk: &Talk) -> Value {
    let mut truth = talk.truth();
    truth["owner"] = any([Value::Null, json!({ "pid": talk.puppet.pid() })]);
    truth
}

fn fast_open(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    let (mut talk, syn) = opened(case, &host)?;
    talk.puppet.does("recv s 5")?;
    hold(HELD);
    let third = talk.peer.say(ACK, b"")?;
    hold(HELD);
    let (close, _) = talk.reach_fin_wait2()?;
    let reset = talk.peer.say(RST, b"")?;
    ensure!(close.before < reset.before);
    talk.life(case)?
        .says(&opened_truth(&talk))
        .says(&json!({ "closed_first": "local", "closed_by": { "pid": talk.puppet.pid() }, "time_wait": null }))
        .says(&json!({ "bytes_received": 5 }))
        .went_through(&talk.states(&["FIN_WAIT1", "FIN_WAIT2"]))
        .lasted("SYN_RECV", &syn.until(&third))
        .lasted("ESTABLISHED", &third.until(&close));
    Ok(())
}

/// The process is done before the handshake is: it never is ESTABLISHED.
fn fast_open_closed_at_once(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    let (mut talk, syn) = opened(case, &host)?;
    talk.puppet.does("recv s 5")?;
    hold(HELD);
    let close = talk.puppet.does("close s")?;
    hold(HELD);
    talk.peer.hear(FIN)?;
    let acknowledged = talk.peer.say(ACK, b"")?;
    hold(HELD);
    talk.peer.say(RST, b"")?;
    talk.life(case)?
        .says(&opened_truth(&talk))
        .says(&json!({ "closed_first": "local", "closed_by": { "pid": talk.puppet.pid() }, "time_wait": null }))
        .went_through(&["SYN_RECV", "FIN_WAIT1", "FIN_WAIT2"])
        .lasted("SYN_RECV", &syn.until(&close))
        .lasted("FIN_WAIT1", &close.until(&acknowledged));
    Ok(())
}

/// The handshake is never done: the kernel gives up, and the process has an error for its bytes.
fn fast_open_never_done(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    host.here.set("tcp_synack_retries", "0")?;
    let (mut talk, syn) = opened(case, &host)?;
    let gone = talk.puppet.does("await s reset")?;
    talk.life(case)?
        .says(&opened_truth(&talk))
        .says(&json!({ "close": "timed_out", "closed_first": "neither", "closed_by": null, "time_wait": null }))
        .went_through(&["SYN_RECV"])
        .lasted("SYN_RECV", &(0..=*syn.until(&gone).end()));
    Ok(())
}
