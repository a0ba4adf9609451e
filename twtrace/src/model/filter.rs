//! Which connections to show, the same for every command, source and sink.
//!
//! Pure: a filter looks at what is known of a connection and at nothing else. What is not known does not match,
//! so a filter by process leaves out the connections of which nobody can tell the owner.

use super::{Endpoint, FourTuple, Lifecycle, Process, Shown};
use ipnet::{IpNet, Ipv4Net};
use std::{error::Error, fmt, net::IpAddr, str::FromStr};

/// Which connections to show. A list that is empty asks for nothing; of one that is not, one entry has to match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Process ids of the owner.
    pub pids: Vec<u32>,
    /// Names of the owner.
    pub comms: Vec<Name>,
    /// Real user ids of the owner.
    pub uids: Vec<u32>,
    /// Ports of this end.
    pub local_ports: Vec<Ports>,
    /// Ports of the other end.
    pub remote_ports: Vec<Ports>,
    /// Addresses of this end.
    pub local_addrs: Vec<Network>,
    /// Addresses of the other end.
    pub remote_addrs: Vec<Network>,
    /// One family alone.
    pub family: Option<Family>,
    /// Network namespaces.
    pub netns: Vec<Netns>,
    /// Cgroups of the owner, with all below them.
    pub cgroups: Vec<Cgroup>,
}

impl Filter {
    /// This connection is to be shown.
    pub fn matches(&self, lifecycle: &Lifecycle) -> bool {
        let owner = lifecycle.owner.map(|owner| owner.process);
        self.matches_all(&lifecycle.tuple, lifecycle.netns, owner.as_ref(), lifecycle.cgroup())
    }

    /// This transition is to be shown.
    pub fn matches_shown(&self, shown: &Shown) -> bool {
        let cgroup = shown.place.as_ref().and_then(|place| place.cgroup.as_deref());
        self.matches_all(&shown.tuple, shown.netns, shown.owner.as_ref(), cgroup)
    }

    /// Connections of this network namespace can be shown.
    pub fn wants_netns(&self, netns: u32) -> bool {
        one_matches(&self.netns, Some(netns), |wanted, netns| wanted.0 == netns)
    }

    /// Where the owner runs has to be known.
    pub fn asks_for_cgroup(&self) -> bool {
        !self.cgroups.is_empty()
    }

    /// The same without what is asked of the owner.
    pub fn of_connections(&self) -> Self {
        let Self { pids, comms, uids, cgroups, .. } = Self::default();
        Self { pids, comms, uids, cgroups, ..self.clone() }
    }

    /// What is known of a connection is all that is asked for.
    pub fn matches_all(
        &self,
        tuple: &FourTuple,
        netns: Option<u32>,
        owner: Option<&Process>,
        cgroup: Option<&str>,
    ) -> bool {
        one_matches(&self.local_ports, Some(tuple.local), |ports, end| ports.contains(end.port))
            && one_matches(&self.remote_ports, Some(tuple.remote), |ports, end| ports.contains(end.port))
            && one_matches(&self.local_addrs, Some(tuple.local), |network, end| network.contains(end))
            && one_matches(&self.remote_addrs, Some(tuple.remote), |network, end| network.contains(end))
            && self.family.is_none_or(|family| family == Family::of(tuple))
            && one_matches(&self.netns, netns, |wanted, netns| wanted.0 == netns)
            && one_matches(&self.pids, owner, |&pid, owner| pid == owner.pid)
            && one_matches(&self.uids, owner, |&uid, owner| uid == owner.uid)
            && one_matches(&self.comms, owner, |name, owner| name.is_of(owner))
            && one_matches(&self.cgroups, cgroup, |wanted, path| wanted.contains(path))
    }
}

/// Nothing is asked for, or the value is known and one of what is asked for matches it.
fn one_matches<W, V: Copy>(wanted: &[W], value: Option<V>, matches: impl Fn(&W, V) -> bool) -> bool {
    wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|wanted| matches(wanted, value)))
}

/// An address family. A v4-mapped connection is an IPv4 one: it is IPv4 that goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// That of a connection.
    pub fn of(tuple: &FourTuple) -> Self {
        match tuple.remote.ip {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// A port or a range of them: `80`, `8000-8999`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// As it is written on a command line.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl FromStr for Ports {
    type Err = BadWord;

    fn from_str(word: &str) -> Result<Self, BadWord> {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(BadWord(format!("the range ends before it begins: write {last}-{first}")));
        }
        Ok(Self { first, last })
    }
}

fn port(word: &str) -> Result<u16, BadWord> {
    match word.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(BadWord(format!("{word:?} is no port: a port is 1 to 65535, a range is 8000-8999"))),
    }
}

/// An address or a network: `10.0.0.1`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// This end is in it.
    pub fn contains(self, end: Endpoint) -> bool {
        self.0.contains(&end.ip)
    }
}

/// As it is written on a command line.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Network {
    type Err = BadWord;

    fn from_str(word: &str) -> Result<Self, BadWord> {
        let network = word.parse().or_else(|_| word.parse().map(|ip: IpAddr| IpNet::from(ip)));
        let network = network.map_err(|_| {
            let rule = "write an address or a network: 10.0.0.1, 10.0.0.0/8, 2001:db8::/32";
            BadWord(format!("{word:?} is neither an address nor a network: {rule}"))
        })?;
        Ok(Self(unmapped(network).unwrap_or(network)))
    }
}

/// The IPv4 network for which one inside ::ffff:0:0/96 stands; the model keeps such addresses as IPv4 too.
fn unmapped(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(network) = network else { return None };
    let address = network.addr().to_ipv4_mapped()?;
    Ipv4Net::new(address, network.prefix_len().checked_sub(96)?).ok().map(IpNet::V4)
}

/// A network namespace: its inode number, bare or as `readlink /proc/PID/ns/net` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Netns(u32);

/// As it is written on a command line.
impl fmt::Display for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Netns {
    type Err = BadWord;

    fn from_str(word: &str) -> Result<Self, BadWord> {
        let number = word.strip_prefix("net:[").and_then(|rest| rest.strip_suffix(']')).unwrap_or(word);
        number.parse().map(Self).map_err(|_| {
            let rule = "write its inode number as in `readlink /proc/PID/ns/net`: 4026531840 or net:[4026531840]";
            BadWord(format!("{word:?} is no network namespace: {rule}"))
        })
    }
}

/// A process name, as the kernel has it or as twtrace shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The kernel keeps 15 bytes of a name, so no more of the wanted one are compared.
    fn is_of(&self, process: &Process) -> bool {
        super::Comm::new(self.0.as_bytes()) == process.comm || process.comm.to_string() == self.0
    }
}

/// As it is written on a command line.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = BadWord;

    fn from_str(word: &str) -> Result<Self, BadWord> {
        if word.is_empty() {
            return Err(BadWord("a process name has at least one character".to_owned()));
        }
        Ok(Self(word.to_owned()))
    }
}

/// A cgroup with all below it: its path as in /proc/PID/cgroup, or where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup(String);

impl Cgroup {
    /// Where cgroups are mounted, alone and beside the older hierarchies.
    const MOUNTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

    fn contains(&self, path: &str) -> bool {
        path.strip_prefix(&self.0).is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

impl fmt::Display for Cgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The root's own path is nothing but its slash.
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

impl FromStr for Cgroup {
    type Err = BadWord;

    fn from_str(word: &str) -> Result<Self, BadWord> {
        if !word.starts_with('/') {
            let rule = "write its path as in /proc/PID/cgroup: /system.slice/nginx.service";
            return Err(BadWord(format!("{word:?} is no cgroup: {rule}")));
        }
        let below = |mount| word.strip_prefix(mount).filter(|path| path.is_empty() || path.starts_with('/'));
        let path = Self::MOUNTS.into_iter().find_map(below).unwrap_or(word);
        Ok(Self(path.trim_end_matches('/').to_owned()))
    }
}

/// A word that means nothing, and what would have been one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadWord(pub String);

impl fmt::Display for BadWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for BadWord {}

#[cfg(test)]
mod tests;
