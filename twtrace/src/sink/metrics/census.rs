//! One look at every socket: how many are in each state, and how many ports each destination holds.

use super::labels::{Destination, Names, OTHER, Owner, Sockets};
use crate::model::{Ktime, TcpState, sysctls::PortRange, tracker::Glance};
use std::{cmp::Reverse, collections::HashMap, net::IpAddr, sync::Arc};

/// Local address and destination.
type Route = (IpAddr, IpAddr, u16);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) sockets: HashMap<Sockets, i64>,
    /// The age in seconds of each process's oldest CLOSE_WAIT.
    pub(super) oldest: HashMap<Owner, f64>,
    ports: HashMap<Route, i64>,
}

impl Census {
    pub(super) fn of<'a>(
        lives: impl Iterator<Item = Glance<'a>>,
        names: &mut Names,
        range: Option<&PortRange>,
        now: Ktime,
    ) -> Self {
        let mut census = Self::default();
        for Glance { state, since, life, .. } in lives {
            let process = names.of(life.owner.map(|owner| owner.process).as_ref());
            if let (TcpState::CloseWait, Some(since)) = (state, since) {
                let age = now.since(since) as f64 / 1e9;
                let oldest = census.oldest.entry(Owner { process: Arc::clone(&process) }).or_default();
                *oldest = oldest.max(age);
            }
            *census.sockets.entry(Sockets { state: state.name(), process }).or_default() += 1;
            let (local, remote) = (life.tuple.local, life.tuple.remote);
            if range.is_some_and(|range| range.contains(local.port)) {
                *census.ports.entry((local.ip, remote.ip, remote.port)).or_default() += 1;
            }
        }
        census
    }

    /// The fullest destinations, and the rest in one.
    pub(super) fn ports(self, most: usize) -> impl Iterator<Item = (Destination, i64)> {
        let mut all: Vec<_> = self.ports.into_iter().collect();
        all.sort_unstable_by_key(|&(route, ports)| (Reverse(ports), route));
        let rest = all.split_off(all.len().min(most));
        let other = Destination { local: OTHER.to_owned(), destination: OTHER.to_owned() };
        let rest = (!rest.is_empty()).then(|| (other, rest.into_iter().map(|(_, ports)| ports).sum()));
        let named = all.into_iter().map(|((local, ip, port), ports)| {
            let destination = std::net::SocketAddr::new(ip, port).to_string();
            (Destination { local: local.to_string(), destination }, ports)
        });
        named.chain(rest)
    }
}
