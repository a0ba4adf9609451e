//! Who closed, how, and whose connections.

use super::{
    groups::{Pids, Route, identity},
    since,
};
use crate::{
    model::{Close, Comm, Confidence, Ktime, Lifecycle, Side},
    sink::tui::view::Sort,
};
use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What closings have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    pub(crate) side: Option<Side>,
    pub(crate) closer: Option<Comm>,
    pub(crate) likely: bool,
    pub(crate) close: Option<Close>,
    pub(crate) owner: Option<Comm>,
    /// Own addresses left out.
    pub(crate) route: Option<Route>,
}

/// And how many have it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) account: Account,
    /// Those that closed.
    pub(crate) pids: Option<Pids>,
    pub(crate) count: u32,
    pub(crate) latest: Option<Ktime>,
}

/// See [`Entry`].
pub(super) fn ledger<'a>(lives: impl Iterator<Item = &'a Lifecycle>, (sort, reversed): (Sort, bool)) -> Vec<Entry> {
    let mut entries = HashMap::new();
    for life in lives {
        let account = account(life);
        let entry = entries.entry(account).or_insert(Entry { account, pids: None, count: 0, latest: None });
        entry.count += 1;
        entry.latest = entry.latest.max(since(life).max(life.ended));
        if let Some(closer) = life.closed_by {
            entry.pids.get_or_insert(Pids::One(closer.process.pid)).add(closer.process.pid);
        }
    }
    let mut entries: Vec<Entry> = entries.into_values().collect();
    entries.sort_unstable_by_key(|entry| {
        let latest = if sort == Sort::Latest { entry.latest } else { None };
        (Reverse(latest), Reverse(entry.count), identity(&entry.account))
    });
    if reversed {
        entries.reverse();
    }
    entries
}

fn account(life: &Lifecycle) -> Account {
    Account {
        side: life.closed_first,
        closer: life.closed_by.map(|closer| closer.process.comm),
        likely: life.closed_by.is_some_and(|closer| closer.confidence == Confidence::Likely),
        close: life.close,
        owner: life.owner.map(|owner| owner.process.comm),
        route: Route::of(life).map(|route| match route {
            Route::Out(IpAddr::V4(_), remote) => Route::Out(Ipv4Addr::UNSPECIFIED.into(), remote),
            Route::Out(IpAddr::V6(_), remote) => Route::Out(Ipv6Addr::UNSPECIFIED.into(), remote),
            Route::In(..) => route,
        }),
    }
}
