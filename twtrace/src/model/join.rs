//! What several recordings have of one another: the two ends of a connection, each seen on its own host.
//!
//! Every recording has its tracker, for sockets, processes and namespaces are numbered anew on each host. Here their
//! changes come together in order of wall time, and a life that the other end closed first is given that end's
//! process. That is never certain: it stands on the hosts' clocks, which have to agree to [`TOLERANCE`]. Where more
//! than one life of the other hosts would fit, none is taken; nor is one where the own host has the other end.

use super::{Change, Closer, Confidence, FourTuple, Ktime, Lifecycle, Process, Side};
use hashbrown::HashMap;
use std::{collections::VecDeque, sync::Arc};

/// How far apart the clocks of two hosts may be, in nanoseconds. So long a change waits for what the others have.
pub const TOLERANCE: u64 = 2_000_000_000;
/// Ends of connections that are kept for the other one, which may be closed much later; beyond that, the oldest go.
const KEPT: usize = 1 << 20;

/// A recording, and its place among others that are read with it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The host's name.
    pub host: Arc<str>,
    /// The version of twtrace that made it.
    pub version: Arc<str>,
    /// No other is read with it.
    pub alone: bool,
    /// What tells this boot of this host from any other.
    pub boot: Arc<str>,
    /// What is to be added to its times so that they count from where those of all others do.
    pub ahead: u64,
    /// The same for the starts of processes.
    pub starts_ahead: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Join {
    origins: Vec<Origin>,
    /// In order of the time until which each is held back.
    held: VecDeque<(Ktime, usize, Held)>,
    ends: HashMap<FourTuple, Vec<End>>,
    /// The keys of the ends, oldest first.
    order: VecDeque<(FourTuple, u64)>,
    now: Ktime,
}

/// What is held back.
#[derive(Debug)]
pub enum Held {
    /// A change of a host's tracker.
    Change(Change),
    /// All that the host had until then has been given.
    Tick(Ktime),
}

/// One end of a connection.
#[derive(Debug)]
struct End {
    id: u64,
    origin: usize,
    opened: Option<Ktime>,
    ended: Option<Ktime>,
    /// The process that closed first, and at this end.
    closer: Option<Process>,
}

impl Join {
    /// Of these recordings, which go by their numbers from here on.
    pub fn new(origins: Vec<Origin>) -> Self {
        Self { origins, ..Self::default() }
    }

    /// The recordings.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// What all times of a recording count from here: those of its tracker are its own host's.
    pub fn time(&self, origin: usize, at: Ktime) -> Ktime {
        at.after(self.origins[origin].ahead)
    }

    /// Takes in what a recording's tracker says.
    pub fn change(&mut self, origin: usize, mut change: Change) {
        self.place(origin, &mut change);
        if let Change::Closed(lifecycle) | Change::Ended { lifecycle, .. } = &change {
            self.keep(origin, lifecycle);
        }
        self.held.push_back((self.now.after(TOLERANCE), origin, Held::Change(change)));
    }

    /// A recording has been read up to here.
    pub fn tick(&mut self, origin: usize, at: Ktime) {
        let at = self.time(origin, at);
        self.now = self.now.max(at);
        self.held.push_back((self.now.after(TOLERANCE), origin, Held::Tick(at)));
    }

    /// What has waited long enough, and of which recording it is.
    pub fn poll(&mut self) -> Option<(usize, Held)> {
        self.held.front().filter(|(until, ..)| *until <= self.now)?;
        self.release()
    }

    /// The next of what is left, once there is nothing more to come.
    pub fn release(&mut self) -> Option<(usize, Held)> {
        let (_, origin, mut held) = self.held.pop_front()?;
        if let Held::Change(Change::Closed(lifecycle) | Change::Ended { lifecycle, .. }) = &mut held {
            self.name_closer(origin, lifecycle);
        }
        Some((origin, held))
    }

    /// From the recording's own numbers and times to those of all.
    fn place(&self, origin: usize, change: &mut Change) {
        let Origin { ahead, starts_ahead, .. } = self.origins[origin];
        let later = |at: &mut Ktime| *at = at.after(ahead);
        let id = |id: &mut u64| *id = (*id - 1) * self.origins.len() as u64 + origin as u64 + 1;
        let process = |process: &mut Process| {
            process.started = process.started.map(|started| started.saturating_add(starts_ahead));
        };
        match change {
            Change::Lost(lost) => later(&mut lost.at),
            Change::Transition(shown) => {
                later(&mut shown.at);
                id(&mut shown.connection);
                shown.process.iter_mut().chain(&mut shown.owner).for_each(process);
            }
            Change::Closed(lifecycle) | Change::Ended { lifecycle, .. } => {
                id(&mut lifecycle.id);
                lifecycle.opened.iter_mut().chain(&mut lifecycle.ended).for_each(later);
                lifecycle.spans.iter_mut().filter_map(|span| span.entered.as_mut()).for_each(later);
                lifecycle.owner.iter_mut().for_each(|owner| process(&mut owner.process));
                lifecycle.closed_by.iter_mut().for_each(|closer| process(&mut closer.process));
            }
        }
    }

    /// Keeps what the other end may want to know of this one.
    fn keep(&mut self, origin: usize, lifecycle: &Lifecycle) {
        let at_this_end = matches!(lifecycle.closed_first, Some(Side::Local | Side::Simultaneous));
        let end = End {
            id: lifecycle.id,
            origin,
            opened: lifecycle.opened,
            ended: lifecycle.ended,
            closer: lifecycle.closed_by.filter(|_| at_this_end).map(|closer| closer.process),
        };
        let ends = self.ends.entry(lifecycle.tuple).or_default();
        if let Some(known) = ends.iter_mut().find(|known| known.id == end.id) {
            *known = end;
            return;
        }
        self.order.push_back((lifecycle.tuple, end.id));
        ends.push(end);
        while self.order.len() > KEPT {
            let Some((tuple, id)) = self.order.pop_front() else { break };
            let Some(ends) = self.ends.get_mut(&tuple) else { continue };
            ends.retain(|end| end.id != id);
            if ends.is_empty() {
                self.ends.remove(&tuple);
            }
        }
    }

    /// The process at the other end, where that end closed first and is known to have been seen on another host.
    fn name_closer(&self, origin: usize, lifecycle: &mut Lifecycle) {
        let FourTuple { local, remote } = lifecycle.tuple;
        let stays_at_home = local.ip.is_loopback() || remote.ip.is_loopback();
        if lifecycle.closed_first != Some(Side::Remote) || lifecycle.closed_by.is_some() || stays_at_home {
            return;
        }
        let ends = self.ends.get(&lifecycle.tuple.reversed()).map_or(&[][..], Vec::as_slice);
        let mut fitting = ends.iter().filter(|end| end.fits(lifecycle));
        let (Some(end), None) = (fitting.next(), fitting.next()) else { return };
        let (here, there) = (&self.origins[origin], &self.origins[end.origin]);
        if let (Some(process), true) = (end.closer, here.boot != there.boot) {
            lifecycle.closed_by = Some(Closer { process, confidence: Confidence::Likely });
            lifecycle.closed_on = Some(Arc::clone(&there.host));
        }
    }
}

impl End {
    /// Both were there at the same time and, where that is known, began together.
    fn fits(&self, other: &Lifecycle) -> bool {
        let not_before = |opened: Option<Ktime>, ended: Option<Ktime>| {
            opened.zip(ended).is_none_or(|(opened, ended)| opened <= ended.after(TOLERANCE))
        };
        let together = |(one, other): (Ktime, Ktime)| one.0.abs_diff(other.0) <= TOLERANCE;
        not_before(self.opened, other.ended)
            && not_before(other.opened, self.ended)
            && self.opened.zip(other.opened).is_none_or(together)
    }
}

#[cfg(test)]
mod tests;
