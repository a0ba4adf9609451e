//! What starts a TIME_WAIT again, what ends it, and what leaves it alone.

use super::super::{EXPIRED, HELD};
use super::Talk;
use crate::case::Case;
use crate::lifecycle::Life;
use crate::puppet::{Act, hold};
use crate::raw::{ACK, FIN, Host, Peer, RST, SYN};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::Result;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    let three = &[Tier::Hook, Tier::Exact, Tier::SockDiag];
    let two = &[Tier::Hook, Tier::Exact];
    vec![
        Scenario { name: "raw_fin_comes_late", play: Shared(|case| late_fin(case, Host::new(case.tier)?)), tiers: all },
        Scenario {
            name: "raw_fin_comes_late_v6",
            play: Shared(|case| late_fin(case, Host::v6(case.tier)?)),
            tiers: two,
        },
        Scenario { name: "raw_fin_repeated", play: Shared(|case| restarted(case, fin)), tiers: three },
        Scenario { name: "raw_ack_in_time_wait", play: Shared(|case| restarted(case, ack)), tiers: two },
        Scenario { name: "raw_stray_bytes_in_time_wait", play: Shared(|case| restarted(case, stray)), tiers: two },
        Scenario { name: "raw_old_stamp_in_time_wait", play: Shared(|case| restarted(case, old)), tiers: two },
        Scenario { name: "raw_reset_in_time_wait", play: Shared(reset), tiers: three },
        Scenario { name: "raw_left_alone", play: Shared(left_alone), tiers: three },
        Scenario {
            name: "raw_taken_over",
            play: Shared(|case| taken_over(case, Host::new(case.tier)?, call_beyond)),
            tiers: all,
        },
        Scenario {
            name: "raw_taken_over_v6",
            play: Shared(|case| taken_over(case, Host::v6(case.tier)?, call_beyond)),
            tiers: two,
        },
        Scenario {
            name: "raw_taken_over_by_stamp",
            play: Shared(|case| taken_over(case, Host::new(case.tier)?, call_later)),
            tiers: two,
        },
        Scenario { name: "raw_taken_over_for_nothing", play: Shared(taken_over_for_nothing), tiers: three },
    ]
}

const ACTIVE: [&str; 3] = ["FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"];

/// The time by the peer's own clock.
const CLOCK: u32 = 1_000_000;

/// A jiffy, and the processes that wait for the CPU.
const JIFFY: Duration = Duration::from_millis(60);

/// The peer acknowledges at once and closes later: FIN_WAIT2 is a time-wait socket already, and TIME_WAIT begins with
/// the FIN.
fn late_fin(case: &Case, host: Arc<Host>) -> Result<()> {
    let mut talk = Talk::outbound(case, &host)?;
    let (close, acknowledged) = talk.reach_fin_wait2()?;
    hold(Duration::from_secs(2));
    let fin = talk.peer.say(FIN | ACK, b"")?;
    talk.peer.see(ACK)?;
    let life = talk.life(case)?;
    life.says(&talk.truth())
        .says(&talk.closed("fin"))
        .says(&json!({ "time_wait": { "end": "expired" }, "close_wait": null }))
        .went_through(&talk.states(&ACTIVE))
        .lasted("FIN_WAIT1", &close.until(&acknowledged))
        .lasted("FIN_WAIT2", &acknowledged.until_within(&fin, JIFFY))
        .lasted("TIME_WAIT", &EXPIRED);
    restarts(&life, 0);
    Ok(())
}

fn restarts(life: &Life, count: u64) {
    let said = &life.value["time_wait"]["restarts"];
    if *said != count && !(said.is_null() && life.tier() == Tier::Classic) {
        life.differ(format!("its TIME_WAIT was started again {count} times, and {said} are told"));
    }
}

/// The FIN once more: our ACK was lost, for all that the peer knows.
fn fin(peer: &mut Peer) -> Result<Act> {
    peer.say_at(peer.next - 1, FIN | ACK, b"")
}

/// An ACK in the window without anything new.
fn ack(peer: &mut Peer) -> Result<Act> {
    peer.say_at(peer.next, ACK, b"")
}

/// Bytes from far outside of the window, with an ACK.
fn stray(peer: &mut Peer) -> Result<Act> {
    peer.say_at(peer.next.wrapping_add(1 << 24), ACK, b"x")
}

/// A SYN, without an ACK, that by its timestamp is from before: PAWS.
fn old(peer: &mut Peer) -> Result<Act> {
    peer.clock = Some(CLOCK - 1_000);
    peer.say_at(peer.next.wrapping_add(1 << 16), SYN, b"")
}

fn restarted(case: &Case, by: fn(&mut Peer) -> Result<Act>) -> Result<()> {
    let mut talk = Talk::outbound_at(case, &Host::new(case.tier)?, Some(CLOCK))?;
    let (_, fin) = talk.reach_time_wait()?;
    hold(Duration::from_secs(1));
    let again = by(&mut talk.peer)?;
    let later = fin.until_within(&again, JIFFY);
    let life = talk.life(case)?;
    life.says(&talk.truth())
        .says(&talk.closed("fin"))
        .says(&json!({ "time_wait": { "end": "expired" } }))
        .went_through(&talk.states(&ACTIVE))
        .lasted("TIME_WAIT", &(EXPIRED.start() + later.start()..=EXPIRED.end() + later.end()));
    restarts(&life, 1);
    Ok(())
}

/// RFC 1337: a reset with the very number that is awaited kills a TIME_WAIT.
fn reset(case: &Case) -> Result<()> {
    let mut talk = Talk::outbound(case, &Host::new(case.tier)?)?;
    let (_, fin) = talk.reach_time_wait()?;
    hold(HELD);
    let reset = talk.peer.say(RST, b"")?;
    let life = talk.life(case)?;
    life.says(&talk.truth()).says(&talk.closed("fin")).went_through(&talk.states(&ACTIVE));
    ended_early(&life, "reset", &fin, &reset);
    Ok(())
}

/// Only the timer's cancelling tells; elsewhere the end is unknown, and nothing is made up for it.
fn ended_early(life: &Life, end: &str, from: &Act, to: &Act) {
    if life.tier() == Tier::Exact {
        life.says(&json!({ "time_wait": { "end": end, "basis": "hook" } }));
        life.lasted("TIME_WAIT", &from.until_within(to, JIFFY));
    } else {
        life.says(&json!({ "time_wait": { "end": null, "duration_ns": null } }));
    }
}

/// Where tcp_rfc1337 is set a reset does nothing, and one outside of the window never does; nor does a SYN where nobody
/// listens, which is answered by an ACK.
fn left_alone(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    host.here.set("tcp_rfc1337", "1")?;
    let mut talk = Talk::outbound(case, &host)?;
    talk.reach_time_wait()?;
    hold(Duration::from_secs(1));
    talk.peer.say_at(talk.peer.next, RST, b"")?;
    talk.peer.say_at(talk.peer.next.wrapping_add(1 << 24), RST, b"")?;
    talk.peer.say_at(talk.peer.next.wrapping_add(1 << 16), SYN, b"")?;
    talk.peer.see(ACK)?;
    let life = talk.life(case)?;
    life.says(&talk.truth())
        .says(&talk.closed("fin"))
        .says(&json!({ "time_wait": { "end": "expired" } }))
        .went_through(&talk.states(&ACTIVE))
        .lasted("TIME_WAIT", &EXPIRED);
    restarts(&life, 0);
    Ok(())
}

/// The peer calls again from the same port, and its new SYN takes the TIME_WAIT's place.
fn taken_over(case: &Case, host: Arc<Host>, call: fn(&mut Peer) -> Result<Act>) -> Result<()> {
    let mut talk = Talk::inbound_at(case, &host, Some(CLOCK))?;
    let (_, fin) = talk.reach_time_wait()?;
    hold(HELD);
    let syn = call(&mut talk.peer)?;
    talk.peer.hear(SYN)?;
    hold(HELD);
    let third = talk.peer.say(ACK, b"")?;
    talk.puppet.does("accept s l")?;
    let reset = talk.peer.say(RST, b"")?;
    let (near, far) = (talk.peer.near, talk.peer.far);
    case.nth_life("server's next", near, far, &talk.host.here, 1)?
        .says(&talk.truth())
        .says(&json!({ "close": "reset_received", "closed_first": "remote", "closed_by": null, "time_wait": null }))
        .went_through(&talk.states(&[]))
        .lasted("ESTABLISHED", &third.until(&reset));
    let life = talk.life(case)?;
    life.says(&talk.truth())
        .says(&talk.closed("fin"))
        .says(&json!({ "time_wait": { "end": "taken_over" } }))
        .went_through(&talk.states(&ACTIVE));
    if case.tier == Tier::Exact {
        life.says(&json!({ "time_wait": { "basis": "hook" } })).lasted("TIME_WAIT", &fin.until_within(&syn, JIFFY));
    } else {
        // That it was the SYN is sure once there is a connection. When the SYN came, nobody here saw.
        life.lasted("TIME_WAIT", &(*fin.until(&syn).start()..=*fin.until(&third).end()));
    }
    Ok(())
}

/// The same, but the handshake is never done: no connection takes the place that is free.
fn taken_over_for_nothing(case: &Case) -> Result<()> {
    let host = Host::new(case.tier)?;
    host.here.set("tcp_synack_retries", "0")?;
    let mut talk = Talk::inbound(case, &host)?;
    let (_, fin) = talk.reach_time_wait()?;
    hold(HELD);
    let syn = call_beyond(&mut talk.peer)?;
    talk.peer.hear(SYN)?;
    let life = talk.life(case)?;
    life.says(&talk.truth()).says(&talk.closed("fin")).went_through(&talk.states(&ACTIVE));
    ended_early(&life, "taken_over", &fin, &syn);
    Ok(())
}

/// A SYN beyond all that the connection before had.
fn call_beyond(peer: &mut Peer) -> Result<Act> {
    peer.next = peer.next.wrapping_add(1 << 16);
    peer.say(SYN, b"")
}

/// A SYN from where the connection before had been already, but at a later time.
fn call_later(peer: &mut Peer) -> Result<Act> {
    peer.next = peer.next.wrapping_sub(1 << 16);
    peer.clock = Some(CLOCK + 1_000);
    peer.say(SYN, b"")
}
