//! What a scenario has at hand: its tier's tracer, actors, and the lifecycles of its connections.

use crate::Tier;
use crate::lifecycle::{Differences, Life};
use crate::net::Netns;
use crate::puppet::{Act, EMULATED, Puppet};
use crate::tracer::{Run, Tracer};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// TIME_WAIT with the slack of the timer wheel, and the readings of the table that some tiers wait for.
const OVER: Duration = Duration::from_secs(100);

/// How many scenarios act at once; the others wait for their turn or for their TIME_WAITs.
const PLACES: usize = 6;

/// One scenario on one tier.
pub(crate) struct Case {
    pub(crate) tier: Tier,
    stage: Arc<Stage>,
    differences: Differences,
    ports: RefCell<BTreeSet<u16>>,
    turn: RefCell<Option<Turn>>,
}

/// What the scenarios of a tier share.
struct Stage {
    tracer: Tracer,
    home: Netns,
}

/// Two actors with a connection: its sockets are called `c` and `s`, the listener `l`.
pub(crate) struct Pair {
    pub(crate) tier: Tier,
    pub(crate) client: Puppet,
    pub(crate) server: Puppet,
    pub(crate) client_end: SocketAddr,
    pub(crate) server_end: SocketAddr,
    pub(crate) connect: Act,
    pub(crate) accept: Act,
}

impl Case {
    /// Waits for its turn and for the tracer that the scenarios of its tier share.
    pub(crate) fn shared(tier: Tier) -> Result<Self> {
        let turn = Turn::wait();
        Ok(Self::with(tier, shared_stage(tier)?, Some(turn)))
    }

    /// A tracer of its own, started now, of what happens in `home`.
    pub(crate) fn own(tier: Tier, arguments: &[&str], home: Netns) -> Result<Self> {
        let (inode, networks) = (home.inode().to_string(), tier.networks());
        // The classic tracepoint cannot read a socket's namespace.
        let filter = if tier == Tier::Classic { ["--local-addr", &networks] } else { ["--netns", &inode] };
        let tracer = Tracer::start(crate::matrix::played(), tier, &[&filter, arguments].concat())?;
        Ok(Self::with(tier, Arc::new(Stage { tracer, home }), None))
    }

    fn with(tier: Tier, stage: Arc<Stage>, turn: Option<Turn>) -> Self {
        Self { tier, stage, differences: Differences::default(), ports: RefCell::default(), turn: RefCell::new(turn) }
    }

    /// The namespace that the scenarios of this tier share.
    pub(crate) fn home(&self) -> &Netns {
        &self.stage.home
    }

    /// A client and a server connected at home by IPv4.
    pub(crate) fn pair(&self) -> Result<Pair> {
        Pair::connect(self.tier, &self.at(0), "", self.home(), self.home())
    }

    /// This tier's own host, and a port.
    pub(crate) fn at(&self, port: u16) -> String {
        format!("{}:{port}", self.tier.host(1))
    }

    /// The whole life of one end, once it is over.
    pub(crate) fn life(&self, name: &'static str, local: SocketAddr, remote: SocketAddr) -> Result<Life> {
        self.nth_life(name, local, remote, self.home(), 0)
    }

    /// The life of the `n`th connection between these ends.
    pub(crate) fn nth_life(
        &self,
        name: &'static str,
        local: SocketAddr,
        remote: SocketAddr,
        netns: &Netns,
        n: usize,
    ) -> Result<Life> {
        let (local_end, remote_end) = (end(local), end(remote));
        self.find(name, &[local, remote], n, |line| {
            line["local"] == local_end
                && line["remote"] == remote_end
                && (line["netns"].is_null() || line["netns"] == netns.inode())
        })
    }

    /// The life of the `n`th connection, in the order of their ids, that `wanted` picks; `ends` are shown when it fails.
    pub(crate) fn find(
        &self,
        name: &'static str,
        ends: &[SocketAddr],
        n: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Life> {
        self.turn.borrow_mut().take();
        self.ports.borrow_mut().extend(ends.iter().map(SocketAddr::port));
        let value = self.stage.tracer.wait(
            &format!("the end of the {name}'s connection {ends:?}"),
            OVER + *EMULATED * 10,
            |lines| {
                let lives = lines.iter().filter(|line| line["type"] == "lifecycle" && wanted(line));
                let mut lives: Vec<&Value> = lives.collect();
                lives.sort_by_key(|line| line["connection"].as_u64());
                lives.get(n).map(|&line| line.clone())
            },
        )?;
        crate::matrix::note(name, &value);
        let life = Life::new(value, name, self.tier, self.differences.clone());
        self.check_events(&life);
        Ok(life)
    }

    /// The transitions shown must be those that the lifecycle is made of: each begins where the last one ended.
    fn check_events(&self, life: &Life) {
        let id = &life.value["connection"];
        let transitions = self.stage.tracer.lines(|line| line["type"] == "transition" && line["connection"] == *id);
        let mut shown: Vec<&str> = Vec::new();
        for transition in &transitions {
            let (from, to) = (&transition["from"], &transition["to"]);
            if shown.last().is_some_and(|last| from != last) {
                life.differ(format!("a transition from {from} follows one to {:?}", shown.last()));
            }
            shown.extend(to.as_str());
        }
        let states = life.states();
        let shown: Vec<&str> = shown.into_iter().filter(|state| *state != "CLOSE").collect();
        if !states.ends_with(&shown) {
            life.differ(format!("the transitions led to {shown:?}, and the states are {states:?}"));
        }
    }

    /// No line, of a life or of a transition, may be one that `wanted` picks: there was no such connection.
    pub(crate) fn says_nothing_of(&self, ends: &[SocketAddr], wanted: impl Fn(&Value) -> bool) {
        self.ports.borrow_mut().extend(ends.iter().map(SocketAddr::port));
        let of_one = |line: &Value| matches!(line["type"].as_str(), Some("transition" | "lifecycle"));
        for line in self.stage.tracer.lines(|line| of_one(line) && wanted(line)) {
            self.differ(format!("there was no such connection: {line}"));
        }
    }

    /// Between these ends there was one connection alone.
    pub(crate) fn tells_of_one(&self, local: SocketAddr, remote: SocketAddr, netns: &Netns) {
        let (local, remote) = (end(local), end(remote));
        let same = |line: &Value| line["local"] == local && line["remote"] == remote;
        let here = |line: &Value| line["netns"].is_null() || line["netns"] == netns.inode();
        let lines = self.stage.tracer.lines(|line| same(line) && here(line));
        let ids: BTreeSet<u64> = lines.iter().filter_map(|line| line["connection"].as_u64()).collect();
        if ids.len() != 1 {
            self.differ(format!("there was one connection, and {} are told", ids.len()));
        }
    }

    /// Notes what a scenario found out for itself.
    pub(crate) fn differ(&self, what: String) {
        self.differences.borrow_mut().push(what);
    }

    /// Ends a tracer of the case's own.
    pub(crate) fn finish(&self) -> Result<Run> {
        self.stage.tracer.finish()
    }

    /// Fails, with every line that has to do with the scenario, if it failed or anything differs.
    pub(crate) fn verdict(&self, outcome: Result<()>) -> Result<()> {
        let mut differences = self.differences.take();
        differences.extend(outcome.err().map(|error| format!("{error:#}")));
        if differences.is_empty() {
            return Ok(());
        }
        let ports = self.ports.take();
        let of_it = |line: &Value| {
            let port = |end: &str| line[end]["port"].as_u64().and_then(|port| u16::try_from(port).ok());
            let one = |end| port(end).is_some_and(|port| ports.contains(&port));
            !matches!(line["type"].as_str(), Some("transition" | "lifecycle")) || one("local") || one("remote")
        };
        let lines = self.stage.tracer.lines(of_it);
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        bail!("{}\n{}", differences.join("\n"), lines.join("\n"))
    }
}

impl Pair {
    /// Connects `from` one namespace to a server on `address` in another; the client's options as the actor knows them.
    pub(crate) fn connect(
        tier: Tier,
        address: &str,
        options: &str,
        client_netns: &Netns,
        server_netns: &Netns,
    ) -> Result<Self> {
        let mut server = Puppet::new(server_netns)?;
        let mut listening = server.does(&format!("listen l {address} 64"))?.end()?;
        if listening.ip().is_unspecified() {
            // The client of a v4-mapped connection comes by IPv4.
            listening.set_ip(tier.host(1).into());
        }
        let client = Puppet::new(client_netns)?;
        Self::again(tier, client, server, listening, options)
    }

    /// Connects two actors whose last connection is over.
    pub(crate) fn again(
        tier: Tier,
        mut client: Puppet,
        mut server: Puppet,
        to: SocketAddr,
        options: &str,
    ) -> Result<Self> {
        let connect = client.does(&format!("connect c {to} {options}"))?;
        let accept = server.does("accept s l")?;
        let (client_end, server_end) = (connect.end()?, accept.end()?);
        ensure!(server_end == to, "connected to {to} and accepted on {server_end}");
        Ok(Self { tier, client, server, client_end, server_end, connect, accept })
    }

    /// The client closes; the server sees it and closes after a while.
    pub(crate) fn client_closes_first(&mut self, held: Duration) -> Result<(Act, Act)> {
        let first = self.client.does("close c")?;
        self.server.does("await s fin")?;
        crate::puppet::hold(held);
        Ok((first, self.server.does("close s")?))
    }

    /// The server closes; the client sees it and closes after a while.
    pub(crate) fn server_closes_first(&mut self, held: Duration) -> Result<(Act, Act)> {
        let first = self.server.does("close s")?;
        self.client.does("await c fin")?;
        crate::puppet::hold(held);
        Ok((first, self.client.does("close c")?))
    }

    /// What every lifecycle of the client's end says, whoever closes it and how.
    pub(crate) fn client_truth(&self) -> Value {
        json!({
            "direction": "outbound", "preexisting": false, "complete": true, "lost_evidence": 0,
            "family": if self.client_end.is_ipv4() { "ipv4" } else { "ipv6" },
            "owner": { "pid": self.client.pid(), "uid": 0, "basis": "connect" },
        })
    }

    /// What every lifecycle of the server's end says, where the server accepted it.
    pub(crate) fn server_truth(&self) -> Value {
        let mut owner = json!({ "pid": self.server.pid(), "uid": 0 });
        if self.tier != Tier::Classic {
            // It does not see accept().
            owner["basis"] = json!("accept");
        }
        json!({
            "direction": "inbound", "preexisting": false, "complete": true, "lost_evidence": 0,
            "family": if self.server_end.is_ipv4() { "ipv4" } else { "ipv6" },
            "owner": owner,
        })
    }
}

/// An end as JSON has it.
pub(crate) fn end(end: SocketAddr) -> Value {
    json!({ "ip": end.ip().to_string(), "port": end.port() })
}

/// What scenarios share, by tier. One that did not start is not tried again.
static STAGES: Mutex<BTreeMap<Tier, Result<Arc<Stage>, String>>> = Mutex::new(BTreeMap::new());

fn stages() -> MutexGuard<'static, BTreeMap<Tier, Result<Arc<Stage>, String>>> {
    STAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shared_stage(tier: Tier) -> Result<Arc<Stage>> {
    let mut stages = stages();
    let shared = stages.entry(tier).or_insert_with(|| stage(tier).map(Arc::new).map_err(|error| format!("{error:#}")));
    shared.clone().map_err(anyhow::Error::msg)
}

fn stage(tier: Tier) -> Result<Stage> {
    let home = Netns::new(tier)?;
    let arguments = ["--ring", "64M", "--local-addr", &tier.networks()];
    Ok(Stage { tracer: Tracer::start(format!("shared::{tier}"), tier, &arguments)?, home })
}

/// Ends the shared tracers, and says what is wrong with their runs as a whole.
pub(crate) fn end_shared_tracers() -> Result<()> {
    for (tier, stage) in std::mem::take(&mut *stages()) {
        let Ok(stage) = stage else { continue };
        let run = stage.tracer.finish().with_context(|| format!("the tracer of tier {tier}"))?;
        let summary = run.summary()?;
        ensure!(run.exit == Some(0), "the tracer of tier {tier} ended with {:?}", run.exit);
        // The kernel skips a classic program where another one is at work on the CPU.
        let unexpected =
            |line: &Value| line["type"] == "lost" && (tier != Tier::Classic || line["where"] != "recursion");
        ensure!(!run.lines.iter().any(unexpected), "tier {tier} lost events: {summary}");
    }
    Ok(())
}

/// Leave to act, given back when dropped.
struct Turn;

static ACTING: Mutex<usize> = Mutex::new(0);
static FREE: Condvar = Condvar::new();

impl Turn {
    fn wait() -> Self {
        let acting = ACTING.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |acting: &mut usize| *acting >= PLACES;
        *FREE.wait_while(acting, full).unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *ACTING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREE.notify_one();
    }
}
