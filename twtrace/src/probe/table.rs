//! The table of TCP sockets of one network namespace, by sock_diag over netlink.
//!
//! A dump is no snapshot: the kernel reads bucket by bucket and lets go of its locks between, so a socket that moves
//! meanwhile may be missed or come twice (`inet_diag_dump_icsk()`, net/ipv4/inet_diag.c). Connections still in the SYN
//! queue are left out. Reading gives every socket a cookie that had none.
//!
//! An open table keeps its namespace alive: drop it soon unless the namespace is our own.

mod tcp_info;
mod wire;

use super::clock;
use crate::model::observation::Row;
use crate::model::{FourTuple, Ktime, SocketId};
use rustix::fd::OwnedFd;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
pub use wire::{Ask, Beside};
use wire::{Dump, Message, Messages, Request};
use zerocopy::{Immutable, IntoBytes};

/// The kernel fills no larger buffer at once (`netlink_recvmsg()`).
const BUFFER_BYTES: usize = 32 << 10;
/// The kernel answers from within the call; only a broken one takes longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// More interfaces than this are not remembered for lookups.
const MAX_DEVICES: usize = 256;

/// The socket table of one network namespace.
pub struct SocketTable {
    socket: OwnedFd,
    netns: u32,
    sequence: u32,
    buffer: Vec<u8>,
    /// Interfaces that sockets were seen to be bound to: a lookup finds such a socket only by its interface.
    pub(super) devices: BTreeSet<u32>,
}

/// What a dump gives.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    /// A socket.
    Socket(Row, Beside),
    /// A connection of the SYN queue, which is no socket yet.
    HalfOpen(FourTuple),
}

/// A socket to look for.
#[derive(Clone, Copy, Debug)]
pub struct Sought {
    /// By its cookie where it is known, else by its ends alone.
    pub socket: SocketId,
    /// Its two ends.
    pub tuple: FourTuple,
    /// They are v4-mapped IPv6 addresses.
    pub v4_mapped: bool,
    /// With what the kernel locks the socket for.
    pub tcp_info: bool,
}

impl SocketTable {
    /// The table of the namespace that the calling thread is in, which has the number `netns`.
    pub fn open(netns: u32) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(SOCK_DIAG))?;
        // A connected netlink socket takes messages from the kernel alone (netlink_getsockbyportid()).
        connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, netns, sequence: 0, buffer: vec![0; BUFFER_BYTES], devices: BTreeSet::new() })
    }

    /// Gives every socket that is asked for to `take`, listeners first. False where the kernel says that it may have
    /// left something out, or says what cannot be read. Drop the table after an error: answers may still be under way.
    pub fn dump(&mut self, ask: Ask, mut take: impl FnMut(Row)) -> io::Result<bool> {
        self.survey(ask, |seen| {
            if let Seen::Socket(row, _) = seen {
                take(row);
            }
        })
    }

    /// The same with all that the table says, the SYN queue too.
    pub fn survey(&mut self, ask: Ask, mut take: impl FnMut(Seen)) -> io::Result<bool> {
        self.sequence = self.sequence.wrapping_add(1);
        let filled = self.send(Dump::new(ask, self.sequence))?;
        self.take_dump(filled, &mut take)
    }

    /// Whether the kernel would give the table, without its reading it.
    ///
    /// A lookup does not tell: its answer is `ENOENT` both without such a socket and without tcp_diag
    /// (`inet_diag_cmd_exact()`).
    pub fn check(&mut self) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let filled = self.send(Dump::nothing(self.sequence))?;
        self.take_dump(filled, &mut drop).map(drop)
    }

    /// The answers to a dump whose first buffer was filled at `filled`.
    fn take_dump(&mut self, mut filled: Ktime, take: &mut impl FnMut(Seen)) -> io::Result<bool> {
        let mut whole = true;
        loop {
            // The kernel fills the first buffer while it takes the request, and each further one at the end of the
            // call that hands out the one before (netlink_recvmsg()), so these rows are as old as that.
            let at = filled;
            let (length, all) = receive(&self.socket, &mut self.buffer)?;
            filled = clock::now();
            whole &= all;
            let bytes = &self.buffer[..length];
            for message in (Messages { bytes, sequence: self.sequence, at, netns: self.netns }) {
                match message {
                    Message::Socket { row, beside, interrupted } => {
                        whole &= !interrupted;
                        if beside.device != 0 && self.devices.len() < MAX_DEVICES {
                            self.devices.insert(beside.device);
                        }
                        take(Seen::Socket(row, beside));
                    }
                    Message::HalfOpen(tuple) => take(Seen::HalfOpen(tuple)),
                    Message::Done { error: 0, interrupted } => return Ok(whole && !interrupted),
                    Message::Done { error, .. } => return Err(refusal(error)),
                    Message::Refused(error) => return Err(refusal(error)),
                    Message::Foreign => {}
                    Message::Malformed => whole = false,
                }
            }
        }
    }

    /// The socket, if it is there now.
    pub fn find(&mut self, sought: Sought) -> io::Result<Option<Row>> {
        if let Some(row) = self.find_by(sought, 0)? {
            return Ok(Some(row));
        }
        // A socket bound to an interface, as every link-local one is, is only found by it (inet_match()).
        let mut devices: Vec<u32> = self.devices.iter().copied().collect();
        if let IpAddr::V6(local) = sought.tuple.local.ip
            && local.is_unicast_link_local()
        {
            devices.extend(devices_with(local, &std::fs::read_to_string("/proc/thread-self/net/if_inet6")?));
        }
        for device in devices {
            if let Some(row) = self.find_by(sought, device)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn find_by(&mut self, sought: Sought, device: u32) -> io::Result<Option<Row>> {
        self.sequence = self.sequence.wrapping_add(1);
        let at = self.send(Request::lookup(sought, device, self.sequence))?;
        loop {
            let (length, _) = receive(&self.socket, &mut self.buffer)?;
            let bytes = &self.buffer[..length];
            for message in (Messages { bytes, sequence: self.sequence, at, netns: self.netns }) {
                match message {
                    // Without a connection the kernel finds the listener of that port.
                    Message::Socket { row, .. } => return Ok((row.tuple == sought.tuple).then_some(row)),
                    // Stale: there is another socket now, with another cookie (sock_diag_check_cookie()).
                    Message::HalfOpen(_) | Message::Refused(libc::ENOENT | libc::ESTALE) => return Ok(None),
                    Message::Refused(error) => return Err(refusal(error)),
                    Message::Foreign => {}
                    Message::Done { .. } | Message::Malformed => {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer that makes no sense"));
                    }
                }
            }
        }
    }

    /// When the kernel had taken the request, and so answered a lookup or begun a dump.
    fn send(&self, request: impl IntoBytes + Immutable) -> io::Result<Ktime> {
        rustix::io::retry_on_intr(|| send(&self.socket, request.as_bytes(), SendFlags::empty()))?;
        Ok(clock::now())
    }
}

/// How many bytes came, and whether they are all that were sent.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
    let (length, sent) = rustix::io::retry_on_intr(|| recv(socket, &mut *buffer, RecvFlags::TRUNC))?;
    Ok((length, sent <= length))
}

fn refusal(error: i32) -> io::Error {
    match error {
        0 => io::Error::new(io::ErrorKind::InvalidData, "an acknowledgement instead of an answer"),
        libc::ENOENT | libc::EOPNOTSUPP => {
            io::Error::new(io::ErrorKind::Unsupported, "this kernel has no tcp_diag: modprobe tcp_diag")
        }
        _ => io::Error::from_raw_os_error(error),
    }
}

/// Interfaces with this address, by the text of if_inet6: address, index, … in hexadecimal.
fn devices_with(address: Ipv6Addr, if_inet6: &str) -> impl Iterator<Item = u32> {
    if_inet6.lines().filter_map(move |line| {
        let mut fields = line.split_ascii_whitespace();
        let found = u128::from_str_radix(fields.next()?, 16).ok()?;
        let index = u32::from_str_radix(fields.next()?, 16).ok()?;
        (Ipv6Addr::from(found) == address).then_some(index)
    })
}

#[cfg(test)]
mod tests {
    use super::devices_with;

    #[test]
    fn interfaces_by_link_local_address() {
        let text = "fe800000000000000000000000000001 0a 40 20 80     eth0\n\
                    00000000000000000000000000000001 01 80 10 80       lo\n\
                    fe800000000000000000000000000001 1f 40 20 80     a b\n\
                    nonsense\nfe80 \n zz zz\n";
        let address = "fe80::1".parse().expect("an address");
        assert_eq!(devices_with(address, text).collect::<Vec<_>>(), [10, 31]);
    }
}
