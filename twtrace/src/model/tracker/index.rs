//! Which socket has which tuple, in which namespace.

use super::super::{FourTuple, SocketId};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// See the module. The same tuple can be in several namespaces; in each, the newest socket counts.
#[derive(Debug, Default)]
pub(super) struct Tuples(HashMap<FourTuple, SmallVec<[(u32, SocketId); 1]>>);

impl Tuples {
    /// The newest socket with this tuple; an unknown namespace matches every one.
    pub(super) fn find(&self, netns: Option<u32>, tuple: FourTuple) -> Option<SocketId> {
        let sockets = self.0.get(&tuple)?;
        let asked = netns.unwrap_or(0);
        let fits = |&&(known, _): &&(u32, SocketId)| known == asked || known == 0 || asked == 0;
        sockets.iter().find(fits).map(|&(_, socket)| socket)
    }

    /// The socket with this tuple in this namespace or else, where there is just one, in another.
    pub(super) fn find_anywhere(&self, netns: Option<u32>, tuple: FourTuple) -> Option<SocketId> {
        self.find(netns, tuple).or_else(|| match self.0.get(&tuple)?.as_slice() {
            [(_, socket)] => Some(*socket),
            _ => None,
        })
    }

    /// This socket has the tuple from now on.
    pub(super) fn insert(&mut self, netns: Option<u32>, tuple: FourTuple, socket: SocketId) {
        let sockets = self.0.entry(tuple).or_default();
        let netns = netns.unwrap_or(0);
        match sockets.iter_mut().find(|(known, _)| *known == netns) {
            Some(place) => place.1 = socket,
            None => sockets.push((netns, socket)),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(|sockets| sockets.len()).sum()
    }

    /// This socket no longer has it.
    pub(super) fn remove(&mut self, netns: Option<u32>, tuple: FourTuple, socket: SocketId) {
        let Some(sockets) = self.0.get_mut(&tuple) else { return };
        sockets.retain(|place| *place != (netns.unwrap_or(0), socket));
        if sockets.is_empty() {
            self.0.remove(&tuple);
        }
    }
}
