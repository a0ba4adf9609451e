//! FIN_WAIT2 without an owner, and what ends it other than a FIN: it never was in TIME_WAIT.

use super::super::HELD;
use super::Talk;
use crate::case::Case;
use crate::lifecycle::any;
use crate::puppet::{Act, hold};
use crate::raw::{ACK, FIN, Host, Peer, RST, SYN};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::Result;
use serde_json::{Value, json};

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let three = &[Tier::Hook, Tier::Exact, Tier::SockDiag];
    vec![
        Scenario {
            name: "raw_reset_in_fin_wait2",
            play: Shared(|case| killed(case, "reset_received", |peer| peer.say(RST, b""))),
            tiers: three,
        },
        Scenario {
            name: "raw_bytes_in_fin_wait2",
            play: Shared(|case| killed(case, "reset_sent", |peer| answered(peer, ACK, b"x"))),
            tiers: three,
        },
        Scenario {
            name: "raw_syn_in_fin_wait2",
            play: Shared(|case| killed(case, "reset_sent", |peer| answered(peer, SYN, b""))),
            tiers: three,
        },
        Scenario { name: "raw_fin_never_comes", play: Shared(fin_never_comes), tiers: all },
        Scenario { name: "raw_bytes_after_close", play: Shared(bytes_after_close), tiers: three },
        Scenario { name: "raw_bytes_with_the_ack", play: Shared(bytes_with_the_ack), tiers: three },
        Scenario { name: "raw_negative_linger2", play: Shared(negative_linger2), tiers: three },
    ]
}

/// Says something that the kernel answers by a reset.
fn answered(peer: &mut Peer, flags: u8, bytes: &[u8]) -> Result<Act> {
    let act = peer.say(flags, bytes)?;
    peer.see(RST)?;
    Ok(act)
}

fn killed(case: &Case, close: &str, by: fn(&mut Peer) -> Result<Act>) -> Result<()> {
    let mut talk = Talk::outbound(case, &Host::new(case.tier)?)?;
    let (_, acknowledged) = talk.reach_fin_wait2()?;
    hold(HELD);
    let end = by(&mut talk.peer)?;
    let life = talk.life(case)?;
    life.says(&talk.truth())
        .says(&json!({ "closed_first": "local", "closed_by": { "pid": talk.puppet.pid() }, "time_wait": null }))
        .went_through(&talk.states(&["FIN_WAIT1", "FIN_WAIT2"]));
    if case.tier == Tier::Exact {
        life.says(&json!({ "close": close })).lasted("FIN_WAIT2", &acknowledged.until(&end));
    } else {
        // A reset that a time-wait socket sends is traced from 6.10 on; one that comes for it never is.
        let may_say = if close == "reset_sent" { any([json!(close), Value::Null]) } else { Value::Null };
        life.says(&json!({ "close": may_say }));
    }
    Ok(())
}

/// The kernel forgets after tcp_fin_timeout; a FIN that comes then is answered by a reset of nobody.
fn fin_never_comes(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    host.here.set("tcp_fin_timeout", "2")?;
    let mut talk = Talk::outbound(case, &host)?;
    let (_, acknowledged) = talk.reach_fin_wait2()?;
    talk.forgotten()?;
    talk.peer.say(FIN | ACK, b"")?;
    talk.peer.see(RST)?;
    let gone = Act::between(acknowledged.after, crate::actor::monotonic());
    let life = talk.life(case)?;
    life.says(&json!({ "direction": "outbound", "owner": { "pid": talk.puppet.pid() } }))
        .says(&json!({ "closed_first": "local", "closed_by": { "pid": talk.puppet.pid() }, "time_wait": null }))
        .went_through(&talk.states(&["FIN_WAIT1", "FIN_WAIT2"]));
    // The table says only that it is gone, and so does a timer whose end was not seen.
    life.says(&json!({ "close": any([json!("timed_out"), Value::Null]) }));
    if life.value["close"] == "timed_out" {
        life.lasted("FIN_WAIT2", &(1_900_000_000..=gone.after - gone.before));
    }
    Ok(())
}

/// The peer has bytes for a process that has closed, before it has heard of that. The kernel's own tracepoint then says
/// that a reset was received, of which there was none (`tcp_reset()` in `tcp_rcv_state_process()`).
fn bytes_after_close(case: &Case) -> Result<()> {
    let mut talk = Talk::outbound(case, &Host::new(case.tier)?)?;
    let aborted = talk.host.here.counter("TCPAbortOnData")?;
    let close = talk.puppet.does("close s")?;
    talk.peer.see(FIN)?;
    hold(HELD);
    let bytes = answered(&mut talk.peer, ACK, b"x")?;
    talk.host.here.counts("TCPAbortOnData", aborted + 1)?;
    talk.life(case)?
        .says(&talk.truth())
        .says(&talk.closed("reset_sent"))
        .says(&json!({ "time_wait": null, "close_wait": null }))
        .went_through(&talk.states(&["FIN_WAIT1"]))
        .lasted("FIN_WAIT1", &close.until(&bytes));
    Ok(())
}

/// The same in one segment with the ACK of the FIN: the state changes to FIN_WAIT2 and on, as if a time-wait socket
/// were made, and none is.
fn bytes_with_the_ack(case: &Case) -> Result<()> {
    let mut talk = Talk::outbound(case, &Host::new(case.tier)?)?;
    let aborted = talk.host.here.counter("TCPAbortOnData")?;
    let close = talk.puppet.does("close s")?;
    talk.peer.hear(FIN)?;
    hold(HELD);
    let bytes = answered(&mut talk.peer, ACK, b"x")?;
    talk.host.here.counts("TCPAbortOnData", aborted + 1)?;
    aborted_in_fin_wait2(case, &talk, &close, &bytes)
}

/// Nobody is to wait for the peer's FIN, so the ACK of ours is answered by a reset.
fn negative_linger2(case: &Case) -> Result<()> {
    let mut talk = Talk::outbound(case, &Host::new(case.tier)?)?;
    let aborted = talk.host.here.counter("TCPAbortOnData")?;
    talk.puppet.does("linger2 s -1")?;
    let close = talk.puppet.does("close s")?;
    talk.peer.hear(FIN)?;
    hold(HELD);
    let acknowledged = answered(&mut talk.peer, ACK, b"")?;
    talk.host.here.counts("TCPAbortOnData", aborted + 1)?;
    aborted_in_fin_wait2(case, &talk, &close, &acknowledged)
}

fn aborted_in_fin_wait2(case: &Case, talk: &Talk, close: &Act, end: &Act) -> Result<()> {
    talk.life(case)?
        .says(&talk.truth())
        .says(&talk.closed("reset_sent"))
        .says(&json!({ "time_wait": null, "close_wait": null }))
        .went_through(&talk.states(&["FIN_WAIT1", "FIN_WAIT2"]))
        .lasted("FIN_WAIT1", &close.until(end))
        .lasted("FIN_WAIT2", &end.itself());
    Ok(())
}
