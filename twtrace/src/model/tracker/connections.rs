//! The connections that are followed: by their place, by their socket, and by their tuple.
//!
//! Invariant: whoever has a tuple in a namespace is the newest connection there that has claimed it.

use super::{
    super::{FourTuple, SocketId},
    Connection,
};
use hashbrown::{DefaultHashBuilder, HashTable, hash_table};
use std::{hash::BuildHasher as _, net::IpAddr};

/// So many numbers in a row have places in a row.
const RUN: u64 = 16;

/// Where a connection is kept. It is that connection's alone, even when another has come to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The lower half of its id: no place is kept for so long that this comes round.
    number: u32,
    place: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// One that is given out leaves its place to the next.
    slots: Vec<Option<Connection>>,
    /// The number of the key of the connection that was at each place last: to see that it is gone does not take a look
    /// at the place, which is far away in memory.
    numbers: Vec<u32>,
    /// Places that have become empty; some may be gone or taken again.
    free: Vec<u32>,
    by_socket: HashTable<Entry>,
    by_tuple: HashTable<Entry>,
    /// Keyed at random: anybody can choose what is in a tuple.
    hasher: DefaultHashBuilder,
}

/// With its hash, so that growing does not have to look at every connection.
#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    place: u32,
}

impl Entry {
    /// The lower bits choose the place, the upper ones tell those at one place apart.
    fn spread(&self) -> u64 {
        u64::from(self.hash) | u64::from(self.hash.wrapping_mul(0x9e37_79b9)) << 32
    }
}

impl Connections {
    pub(super) fn get(&self, key: Key) -> Option<&Connection> {
        if self.has(key) { self.at(key.place) } else { None }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        if self.has(key) { self.slots.get_mut(key.place as usize)?.as_mut() } else { None }
    }

    fn has(&self, key: Key) -> bool {
        self.numbers.get(key.place as usize) == Some(&key.number)
    }

    /// The connection that goes by this name.
    pub(super) fn find(&self, socket: SocketId) -> Option<Key> {
        let entry = self.entry(socket, 0);
        let same = |other: &Entry| other.hash == entry.hash && self.at(other.place).is_some_and(|c| c.socket == socket);
        let Entry { place, .. } = *self.by_socket.find(entry.spread(), same)?;
        Some(self.at(place)?.key(place))
    }

    /// The connection with this tuple; an unknown namespace matches every one, but not as well as the same.
    pub(super) fn with_tuple(&self, netns: Option<u32>, tuple: FourTuple) -> Option<Key> {
        let fits = |c: &Connection| netns.is_none() || c.life.netns.is_none() || c.life.netns == netns;
        let rank = |c: &Connection| (c.life.netns == netns, c.life.id);
        let mut all = self.all_with_tuple(tuple).filter(|(_, c)| fits(c));
        let first = all.next()?;
        let (place, best) = all.fold(first, |best, other| if rank(other.1) > rank(best.1) { other } else { best });
        Some(best.key(place))
    }

    /// The connection with this tuple in this namespace or else, where there is just one, in another.
    pub(super) fn with_tuple_anywhere(&self, netns: Option<u32>, tuple: FourTuple) -> Option<Key> {
        self.with_tuple(netns, tuple).or_else(|| {
            let mut all = self.all_with_tuple(tuple).map(|(place, connection)| connection.key(place));
            all.next().filter(|_| all.next().is_none())
        })
    }

    fn all_with_tuple(&self, tuple: FourTuple) -> impl Iterator<Item = (u32, &Connection)> {
        let hash = self.hash_of(&tuple);
        let entries = self.by_tuple.iter_hash(Entry { hash, place: 0 }.spread());
        let same = entries.filter(move |entry| entry.hash == hash);
        let connections = same.filter_map(|entry| Some((entry.place, self.at(entry.place)?)));
        connections.filter(move |(_, connection)| connection.life.tuple == tuple)
    }

    /// Takes in a connection under its socket, which no other has.
    pub(super) fn insert(&mut self, connection: Connection) -> Key {
        let place = self.free_place();
        let (key, entry) = (connection.key(place), self.entry(connection.socket, place));
        self.by_socket.insert_unique(entry.spread(), entry, Entry::spread);
        match (self.slots.get_mut(place as usize), self.numbers.get_mut(place as usize)) {
            (Some(slot), Some(number)) => (*slot, *number) = (Some(connection), key.number),
            _ => {
                self.slots.push(Some(connection));
                self.numbers.push(key.number);
            }
        }
        key
    }

    fn free_place(&mut self) -> u32 {
        while let Some(place) = self.free.pop() {
            if self.slots.get(place as usize).is_some_and(Option::is_none) {
                return place;
            }
        }
        // Four billion connections do not fit into any memory.
        self.slots.len() as u32
    }

    /// It has its tuple in its namespace from now on, whoever had it before.
    pub(super) fn claim_tuple(&mut self, key: Key) {
        let Some(connection) = self.get_mut(key) else { return };
        connection.claimed = true;
        let (netns, tuple) = (connection.life.netns, connection.life.tuple);
        let entry = Entry { hash: self.hash_of(&tuple), place: key.place };
        let slots = &self.slots;
        let same = |other: &Entry| {
            let had = || Some(&slots.get(other.place as usize)?.as_ref()?.life);
            other.hash == entry.hash && had().is_some_and(|life| life.tuple == tuple && life.netns == netns)
        };
        match self.by_tuple.entry(entry.spread(), same, Entry::spread) {
            hash_table::Entry::Occupied(mut place) => *place.get_mut() = entry,
            hash_table::Entry::Vacant(place) => drop(place.insert(entry)),
        }
    }

    /// It no longer has it, if it had.
    pub(super) fn leave_tuple(&mut self, key: Key) {
        if let Some(entry) = self.unclaim(key) {
            unlink(&mut self.by_tuple, entry);
        }
    }

    /// The same of many, which have not been looked at for a while: each is waited for in memory, but not one after
    /// the other.
    pub(super) fn leave_tuples(&mut self, keys: &[Key]) {
        let entries: Vec<_> = keys.iter().filter_map(|key| self.unclaim(*key)).collect();
        for entry in entries {
            unlink(&mut self.by_tuple, entry);
        }
    }

    /// What is to be unlinked.
    fn unclaim(&mut self, key: Key) -> Option<Entry> {
        let connection = self.get_mut(key)?;
        let tuple = connection.life.tuple;
        std::mem::take(&mut connection.claimed).then(|| Entry { hash: self.hash_of(&tuple), place: key.place })
    }

    /// Another name for it, which no other has.
    pub(super) fn rename(&mut self, key: Key, socket: SocketId) {
        let Some(connection) = self.get_mut(key) else { return };
        let known = std::mem::replace(&mut connection.socket, socket);
        let (old, new) = (self.entry(known, key.place), self.entry(socket, key.place));
        unlink(&mut self.by_socket, old);
        self.by_socket.insert_unique(new.spread(), new, Entry::spread);
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Connection> {
        self.leave_tuple(key);
        let socket = self.entry(self.get(key)?.socket, key.place);
        unlink(&mut self.by_socket, socket);
        self.free.push(key.place);
        let connection = self.slots.get_mut(key.place as usize)?.take();
        self.give_back();
        connection
    }

    /// After a flood, the room that it took.
    fn give_back(&mut self) {
        while let Some(None) = self.slots.last() {
            self.slots.pop();
            self.numbers.pop();
        }
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(2 * self.slots.len());
            self.numbers.shrink_to(2 * self.slots.len());
            self.free.shrink_to(2 * self.slots.len());
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Connection)> {
        let places = self.slots.iter().zip(0..);
        places.filter_map(|(slot, place)| slot.as_ref().map(|connection| (connection.key(place), connection)))
    }

    /// Entries in all.
    pub(super) fn kept(&self) -> usize {
        self.by_socket.len() + self.by_tuple.len()
    }

    fn at(&self, place: u32) -> Option<&Connection> {
        self.slots.get(place as usize)?.as_ref()
    }

    fn entry(&self, socket: SocketId, place: u32) -> Entry {
        Entry { hash: self.hash_of_name(socket), place }
    }

    /// Cookies are counted up, so those of one moment stand side by side, as they come and go together. Where a
    /// run of them stands is not for anybody to choose.
    fn hash_of_name(&self, socket: SocketId) -> u32 {
        let (kind, number) = match socket {
            SocketId::Cookie(cookie) => (0, cookie),
            SocketId::Address(address) => (1, address),
            SocketId::Remnant(id) => (2, id),
        };
        self.hasher.hash_one((number / RUN, kind)) as u32 / RUN as u32 * RUN as u32 + (number % RUN) as u32
    }

    /// The same for both ends of a connection, which come and go together.
    fn hash_of(&self, FourTuple { local, remote }: &FourTuple) -> u32 {
        let hash = match (&local.ip, &remote.ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let (a, b) = (pack(a.to_bits(), local.port), pack(b.to_bits(), remote.port));
                self.hasher.hash_one((a.min(b), a.max(b)))
            }
            _ => self.hasher.hash_one((local.min(remote), local.max(remote))),
        };
        hash as u32
    }
}

impl Connection {
    fn key(&self, place: u32) -> Key {
        Key { number: self.life.id as u32, place }
    }
}

fn pack(address: u32, port: u16) -> u64 {
    u64::from(address) << 16 | u64::from(port)
}

fn unlink(index: &mut HashTable<Entry>, entry: Entry) {
    let same = |other: &Entry| other.place == entry.place && other.hash == entry.hash;
    if let Ok(found) = index.find_entry(entry.spread(), same) {
        found.remove();
    }
}
