//! Children that lost the race for their place in the hash, and were no connections.
//!
//! Two CPUs that take in the last segment of a handshake at once may each make a child of it. `inet_ehash_nolisten()`
//! lets one in; the other goes from SYN_RECV to CLOSE without a word. It may do so before anything but its birth is
//! known of the first, so a child that ends like this waits until it is settled which of the two things it was.

use super::{
    super::{Basis, Direction, Ktime, SocketId, TcpState, Transition},
    Connection, SETTLE, Tracker,
};
use TcpState::{Close, SynRecv};

/// So much earlier the other child may have been born, on a CPU that was held up since.
const RACE: u64 = 1_000_000_000;

/// A child that may have been none.
#[derive(Debug)]
pub(super) struct Suspect {
    birth: Ktime,
    end: Transition,
    lost_before: u64,
}

impl Tracker {
    /// Whether this first step after its birth was that of a phantom, or nobody can tell yet.
    pub(super) fn suspect(&mut self, birth: Ktime, t: &Transition) -> bool {
        let quiet = t.socket_says.is_none_or(|says| !says.owned && says.error == 0 && says.inode.is_none());
        let suspect = (t.from, t.to) == (SynRecv, Close) && quiet;
        if suspect {
            self.suspects.push_back(Suspect { birth, end: *t, lost_before: self.lost });
        }
        suspect
    }

    /// Lets those go that have waited long enough.
    pub(super) fn settle_suspects(&mut self, now: Ktime) {
        while let Some(suspect) = self.suspects.pop_front_if(|suspect| now.since(suspect.end.at) >= SETTLE) {
            let Suspect { birth, end, .. } = suspect;
            let other = self.connections.with_tuple(end.netns, end.tuple).and_then(|key| self.connections.get(key));
            let lost_race = other.and_then(|other| other.life.opened).is_some_and(|opened| opened.after(RACE) > birth);
            if !lost_race {
                self.live_and_die(&suspect);
            }
        }
    }

    /// It was a connection, and all of it is told now. Its address and its tuple may have been given to another since.
    fn live_and_die(&mut self, Suspect { birth, end, lost_before }: &Suspect) {
        let id = self.fresh_id();
        let mut connection = Connection::new(id, SocketId::Remnant(id), end.tuple, end.at, *lost_before);
        let life = &mut connection.life;
        (life.v4_mapped, life.netns) = (end.v4_mapped, end.netns);
        (life.opened, life.direction) = (Some(*birth), Some(Direction::Inbound));
        life.accepted = end.socket_says.map(|_| false);
        let step = connection.enter(SynRecv, Some(*birth), Basis::Observed);
        self.own_by_listener(&mut connection);
        let key = self.connections.insert(connection);
        self.show(key, step, None);
        self.step(key, end);
    }
}
