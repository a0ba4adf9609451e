//! Connections that are accepted and closed through io_uring.

use super::HELD;
use super::owners::hand_over;
use crate::case::{Case, Pair};
use crate::lifecycle::any;
use crate::puppet::{Act, Puppet, hold};
use crate::{Play::Shared, Scenario, Tier};
use anyhow::{Result, bail};
use serde_json::{Value, json};

pub(super) fn all() -> Vec<Scenario> {
    let all = Tier::ALL;
    // Where no accept is seen at all, that somebody else listens is all there is to say.
    let three = &[Tier::Hook, Tier::Exact, Tier::SockDiag];
    vec![
        Scenario { name: "uring_close", play: Shared(|case| closes_first(case, "uring-close")), tiers: all },
        Scenario {
            name: "uring_close_by_worker",
            play: Shared(|case| closes_first(case, "uring-close-by-worker")),
            tiers: all,
        },
        Scenario { name: "uring_exit", play: Shared(exit), tiers: three },
        Scenario { name: "uring_reset", play: Shared(reset), tiers: three },
    ]
}

/// A connection that another process than the one that listens has accepted by io_uring, where that can be had.
fn accepted(case: &Case) -> Result<Option<Pair>> {
    accepted_by(case, "uring-accept s taken")
}

fn accepted_by(case: &Case, act: &str) -> Result<Option<Pair>> {
    let (mut client, mut listener) = (Puppet::new(case.home())?, Puppet::new(case.home())?);
    let server_end = listener.does(&format!("listen l {} 8", case.at(0)))?.end()?;
    let mut server = hand_over(case, &mut listener, "l")?;
    let connect = client.does(&format!("connect c {server_end}"))?;
    let accept = match server.tries(act)? {
        Ok(accept) => accept,
        Err(libc::ENOSYS | libc::EPERM | libc::EACCES) => {
            crate::skip(&crate::matrix::played(), "io_uring is refused here".to_owned());
            return Ok(None);
        }
        Err(libc::EINVAL) => {
            crate::skip(&crate::matrix::played(), "this kernel's io_uring cannot do that".to_owned());
            return Ok(None);
        }
        Err(errno) => bail!("cannot accept by io_uring: errno {errno}"),
    };
    // It goes with its copy of the listener.
    drop(listener);
    let client_end = connect.end()?;
    Ok(Some(Pair { tier: case.tier, client, server, client_end, server_end, connect, accept }))
}

fn closes_first(case: &Case, close: &str) -> Result<()> {
    let Some(mut pair) = accepted(case)? else { return Ok(()) };
    hold(HELD);
    let first = pair.server.does(&format!("{close} s"))?;
    pair.client.does("await c fin")?;
    hold(HELD);
    pair.client.does("linger c 0")?;
    let second = pair.client.does("close c")?;
    let pid = pair.server.pid();
    let life = case.life("server", pair.server_end, pair.client_end)?;
    life
        .says(&json!({ "direction": "inbound", "owner": { "pid": pid }, "closed_first": "local", "closed_by": { "pid": pid } }))
        .went_through(&["SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"])
        .lasted("ESTABLISHED", &pair.connect.until(&first));
    case.life("client", pair.client_end, pair.server_end)?
        .says(&pair.client_truth())
        .says(&json!({ "closed_first": "remote", "closed_by": { "pid": pid } }))
        .went_through(&["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT"])
        .lasted("CLOSE_WAIT", &first.until(&second));
    Ok(())
}

/// The client resets what the process has, which closes what is left of it.
fn reset(case: &Case) -> Result<()> {
    let Some(mut pair) = accepted(case)? else { return Ok(()) };
    pair.client.does("linger c 0")?;
    hold(HELD);
    let close = pair.client.does("close c")?;
    pair.server.does("await s reset")?;
    pair.server.does("uring-close s")?;
    let life = case.life("server", pair.server_end, pair.client_end)?;
    life.says(&json!({
        "direction": "inbound", "close": "reset_received", "closed_first": "remote",
        "owner": any([Value::Null, json!({ "pid": pair.server.pid() })]),
    }))
    .went_through(&["SYN_RECV", "ESTABLISHED"])
    .lasted("ESTABLISHED", &pair.connect.until(&close));
    Ok(())
}

/// The process has no descriptor of what it accepted. When it exits, a kernel thread closes that, which is nobody.
fn exit(case: &Case) -> Result<()> {
    let Some(Pair { mut client, server, client_end, server_end, connect, .. }) =
        accepted_by(case, "uring-accept-for-good taken")?
    else {
        return Ok(());
    };
    hold(HELD);
    let pid = server.pid();
    let exit = server.exit()?;
    client.does("await c fin")?;
    let closed = Act::between(exit.before, crate::actor::monotonic());
    client.does("linger c 0")?;
    client.does("close c")?;
    let or_null = any([Value::Null, json!({ "pid": pid })]);
    case.life("server", server_end, client_end)?
        .says(&json!({ "direction": "inbound", "owner": or_null, "closed_first": "local", "closed_by": or_null }))
        .lasted("ESTABLISHED", &connect.until(&closed));
    case.life("client", client_end, server_end)?
        .says(&json!({ "closed_first": "remote", "closed_by": or_null, "owner": { "pid": client.pid() } }))
        .went_through(&["SYN_SENT", "ESTABLISHED", "CLOSE_WAIT"]);
    Ok(())
}
