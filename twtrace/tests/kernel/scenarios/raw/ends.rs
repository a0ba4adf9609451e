//! Ends of full sockets: by segments that cross, by resets in each state, and by a peer that is silent.

use super::super::{EXPIRED, HELD};
use super::Talk;
use crate::case::Case;
use crate::puppet::{Act, hold};
use crate::raw::{ACK, FIN, Host, RST};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::Result;
use serde_json::{Value, json};

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let three = &[Tier::Hook, Tier::Exact, Tier::SockDiag];
    vec![
        Scenario { name: "raw_simultaneous_close", play: Shared(simultaneous_close), tiers: all },
        Scenario { name: "raw_resets", play: Shared(resets), tiers: three },
        Scenario { name: "raw_reset_in_closing", play: Shared(reset_in_closing), tiers: three },
        Scenario { name: "raw_keepalive", play: Shared(keepalive), tiers: three },
        Scenario { name: "raw_fin_unacknowledged", play: Shared(fin_unacknowledged), tiers: three },
        Scenario { name: "raw_last_fin_unacknowledged", play: Shared(last_fin_unacknowledged), tiers: three },
    ]
}

/// Both FINs are on their way before either arrives.
fn simultaneous_close(case: &Case) -> Result<()> {
    let mut talk = Talk::outbound(case, &Host::new(case.tier)?)?;
    let (close, fin) = cross(&mut talk)?;
    hold(HELD);
    talk.peer.heard += 1;
    let acknowledged = talk.peer.say(ACK, b"")?;
    talk.life(case)?
        .says(&talk.truth())
        .says(&json!({ "close": "fin", "closed_first": "simultaneous", "close_wait": null }))
        .says(&json!({ "time_wait": { "end": "expired" } }))
        .went_through(&talk.states(&["FIN_WAIT1", "CLOSING", "TIME_WAIT"]))
        .lasted("FIN_WAIT1", &close.until(&fin))
        .lasted("CLOSING", &fin.until(&acknowledged))
        .lasted("TIME_WAIT", &EXPIRED);
    Ok(())
}

/// Into CLOSING: the process closes, and so does the peer, which has not heard of it.
fn cross(talk: &mut Talk) -> Result<(Act, Act)> {
    let close = talk.puppet.does("close s")?;
    talk.peer.see(FIN)?;
    hold(HELD);
    let fin = talk.peer.say(FIN | ACK, b"")?;
    talk.peer.see(ACK)?;
    Ok((close, fin))
}

fn reset_in_closing(case: &Case) -> Result<()> {
    let mut talk = Talk::outbound(case, &Host::new(case.tier)?)?;
    let (_, fin) = cross(&mut talk)?;
    hold(HELD);
    let reset = talk.peer.say(RST, b"")?;
    talk.life(case)?
        .says(&talk.truth())
        .says(&json!({ "close": "reset_received", "closed_first": "simultaneous", "time_wait": null }))
        .went_through(&talk.states(&["FIN_WAIT1", "CLOSING"]))
        .lasted("CLOSING", &fin.until(&reset));
    Ok(())
}

/// A reset in each state, of connections one after the other.
fn resets(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    let nobody = json!({ "closed_first": "remote", "closed_by": null });
    let mut established = Talk::outbound(case, &host)?;
    established.peer.say(RST, b"")?;

    let mut fin_wait1 = Talk::inbound(case, &host)?;
    fin_wait1.puppet.does("close s")?;
    fin_wait1.peer.see(FIN)?;
    fin_wait1.peer.say(RST, b"")?;

    // With a descriptor left, FIN_WAIT2 is a full socket.
    let mut fin_wait2 = Talk::outbound(case, &host)?;
    fin_wait2.puppet.does("shutdown s")?;
    fin_wait2.peer.hear(FIN)?;
    fin_wait2.peer.say(ACK, b"")?;
    fin_wait2.peer.say(RST, b"")?;

    let mut close_wait = Talk::inbound(case, &host)?;
    close_wait.peer.say(FIN | ACK, b"")?;
    close_wait.peer.see(ACK)?;
    close_wait.peer.say(RST, b"")?;

    let mut last_ack = Talk::outbound(case, &host)?;
    last_ack.peer.say(FIN | ACK, b"")?;
    last_ack.puppet.does("await s fin")?;
    last_ack.puppet.does("close s")?;
    last_ack.peer.see(FIN)?;
    last_ack.peer.say(RST, b"")?;

    let closed = |talk: &Talk| talk.closed("reset_received");
    let ways: [(&Talk, Value, &[&str]); 5] = [
        (&established, nobody.clone(), &[]),
        (&fin_wait1, closed(&fin_wait1), &["FIN_WAIT1"]),
        (&fin_wait2, closed(&fin_wait2), &["FIN_WAIT1", "FIN_WAIT2"]),
        (&close_wait, nobody.clone(), &["CLOSE_WAIT"]),
        (&last_ack, nobody, &["CLOSE_WAIT", "LAST_ACK"]),
    ];
    for (talk, first, states) in ways {
        talk.life(case)?
            .says(&talk.truth())
            .says(&first)
            .says(&json!({ "close": "reset_received", "time_wait": null }))
            .went_through(&talk.states(states));
    }
    Ok(())
}

/// The peer does not answer when it is asked whether it is there.
fn keepalive(case: &Case) -> Result<()> {
    let mut talk = Talk::outbound(case, &Host::new(case.tier)?)?;
    let dropped = talk.host.here.counter("TCPAbortOnTimeout")?;
    talk.puppet.does("keepalive s")?;
    let gone = talk.puppet.does("await s reset")?;
    talk.host.here.counts("TCPAbortOnTimeout", dropped + 1)?;
    talk.life(case)?
        .says(&talk.truth())
        .says(&json!({ "close": "timed_out", "closed_first": "neither", "closed_by": null, "time_wait": null }))
        .went_through(&talk.states(&[]))
        .lasted("ESTABLISHED", &(1_900_000_000..=*talk.begun.until(&gone).end()));
    Ok(())
}

/// Nobody acknowledges the FIN of a process that is done.
fn fin_unacknowledged(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    host.here.set("tcp_orphan_retries", "1")?;
    let mut talk = Talk::outbound(case, &host)?;
    let dropped = host.here.counter("TCPAbortOnTimeout")?;
    let close = talk.puppet.does("close s")?;
    counted(&talk, dropped + 1)?;
    let gone = Act::between(close.after, crate::actor::monotonic());
    talk.life(case)?
        .says(&talk.truth())
        .says(&talk.closed("timed_out"))
        .says(&json!({ "time_wait": null }))
        .went_through(&talk.states(&["FIN_WAIT1"]))
        .lasted("FIN_WAIT1", &(100_000_000..=*close.until(&gone).end()));
    Ok(())
}

/// The peer closed first, and does not acknowledge that the process has done so, too.
fn last_fin_unacknowledged(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    host.here.set("tcp_orphan_retries", "1")?;
    let mut talk = Talk::inbound(case, &host)?;
    let dropped = host.here.counter("TCPAbortOnTimeout")?;
    let fin = talk.peer.say(FIN | ACK, b"")?;
    talk.puppet.does("await s fin")?;
    hold(HELD);
    let close = talk.puppet.does("close s")?;
    counted(&talk, dropped + 1)?;
    let gone = Act::between(close.after, crate::actor::monotonic());
    talk.life(case)?
        .says(&talk.truth())
        .says(&json!({ "close": "timed_out", "closed_first": "remote", "closed_by": null, "time_wait": null }))
        .went_through(&talk.states(&["CLOSE_WAIT", "LAST_ACK"]))
        .lasted("CLOSE_WAIT", &fin.until(&close))
        .lasted("LAST_ACK", &(100_000_000..=*close.until(&gone).end()));
    Ok(())
}

/// Waits until the kernel has given up.
fn counted(talk: &Talk, count: u64) -> Result<()> {
    talk.forgotten()?;
    talk.host.here.counts("TCPAbortOnTimeout", count)
}
