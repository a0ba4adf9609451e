//! Against a peer that is made of packets: what no socket says, or says only when it must.
//!
//! Nobody here holds its end, so what only that end could tell is unknown, and has to be said so.

mod ends;
mod fin_wait2;
mod opening;
mod time_wait;

use crate::case::Case;
use crate::lifecycle::Life;
use crate::net::ss;
use crate::puppet::{Act, Puppet, until};
use crate::raw::{ACK, FIN, Host, Peer, SYN};
use crate::{Scenario, Tier};
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn all() -> Vec<Scenario> {
    [time_wait::all(), fin_wait2::all(), ends::all(), opening::all()].into_iter().flatten().collect()
}

/// A process and its connection with such a peer. Its socket is called `s`, its listener `l`.
struct Talk {
    tier: Tier,
    host: Arc<Host>,
    puppet: Puppet,
    peer: Peer,
    outbound: bool,
    /// The system call, and the peer's last segment, by which it was established.
    begun: Act,
}

impl Talk {
    /// The process connects.
    fn outbound(case: &Case, host: &Arc<Host>) -> Result<Self> {
        Self::outbound_at(case, host, None)
    }

    /// The same, with a peer that stamps its segments.
    fn outbound_at(case: &Case, host: &Arc<Host>, clock: Option<u32>) -> Result<Self> {
        let far = host.far(Host::port());
        let mut puppet = Puppet::new(&host.here)?;
        puppet.start(&format!("connect s {far}"))?;
        let mut peer = host.called(far)?;
        peer.clock = clock;
        peer.say(SYN | ACK, b"")?;
        peer.hear(ACK)?;
        let begun = puppet.done()?;
        Ok(Self { tier: case.tier, host: host.clone(), puppet, peer, outbound: true, begun })
    }

    /// The process is called, and accepts.
    fn inbound(case: &Case, host: &Arc<Host>) -> Result<Self> {
        Self::inbound_at(case, host, None)
    }

    fn inbound_at(case: &Case, host: &Arc<Host>, clock: Option<u32>) -> Result<Self> {
        let mut puppet = Puppet::new(&host.here)?;
        let near = puppet.does(&format!("listen l {} 8", host.near(Host::port())))?.end()?;
        let mut peer = host.peer(near);
        peer.clock = clock;
        peer.say(SYN, b"")?;
        peer.hear(SYN)?;
        let begun = peer.say(ACK, b"")?;
        puppet.does("accept s l")?;
        Ok(Self { tier: case.tier, host: host.clone(), puppet, peer, outbound: false, begun })
    }

    /// The process closes and, in one segment, the peer acknowledges it and does so, too.
    fn reach_time_wait(&mut self) -> Result<(Act, Act)> {
        let close = self.puppet.does("close s")?;
        self.peer.hear(FIN)?;
        let fin = self.peer.say(FIN | ACK, b"")?;
        self.peer.see(ACK)?;
        Ok((close, fin))
    }

    /// The process closes, and the peer acknowledges that: a time-wait socket stands for FIN_WAIT2.
    fn reach_fin_wait2(&mut self) -> Result<(Act, Act)> {
        let close = self.puppet.does("close s")?;
        self.peer.hear(FIN)?;
        Ok((close, self.peer.say(ACK, b"")?))
    }

    /// Waits until the kernel has nothing left of it.
    fn forgotten(&self) -> Result<()> {
        let gone = || Ok(ss(&self.host.here, self.peer.near, self.peer.far)?.is_empty());
        until("the kernel has forgotten it", Duration::from_secs(60), gone)
    }

    /// What its life says, however it ends.
    fn truth(&self) -> Value {
        let direction = if self.outbound { "outbound" } else { "inbound" };
        let mut owner = json!({ "pid": self.puppet.pid(), "uid": 0 });
        if self.outbound {
            owner["basis"] = json!("connect");
        } else if self.tier != Tier::Classic {
            owner["basis"] = json!("accept");
        }
        json!({
            "direction": direction, "preexisting": false, "complete": true, "lost_evidence": 0, "owner": owner,
        })
    }

    /// The process closed first.
    fn closed(&self, close: &str) -> Value {
        let closed_by = json!({ "pid": self.puppet.pid(), "uid": 0, "confidence": "certain" });
        json!({ "close": close, "closed_first": "local", "closed_by": closed_by })
    }

    fn life(&self, case: &Case) -> Result<Life> {
        let name = if self.outbound { "client" } else { "server" };
        case.nth_life(name, self.peer.near, self.peer.far, &self.host.here, 0)
    }

    /// The states up to the first close, and those after it.
    fn states<'a>(&self, then: &[&'a str]) -> Vec<&'a str> {
        let first = if self.outbound { "SYN_SENT" } else { "SYN_RECV" };
        [&[first, "ESTABLISHED"], then].concat()
    }
}
