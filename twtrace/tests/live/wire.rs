//! Who closed first, as the packets on the loopback have it: the oracle of `programs`.
//!
//! A packet socket on lo and arithmetic on sequence numbers. It knows nothing of sockets, processes or
//! tracepoints, so it cannot be wrong in the way in which twtrace would be. IPv4 alone.

use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A running capture of the segments with SYN, FIN or RST to and from one server port.
pub(crate) struct Capture {
    port: u16,
    stop: Arc<AtomicBool>,
    reader: JoinHandle<(OwnedFd, Vec<Segment>)>,
}

/// A connection as the wire had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    /// The client's port.
    pub(crate) client: u16,
    /// Who closed first.
    pub(crate) first: First,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum First {
    Client,
    Server,
    /// Neither FIN acknowledges the other.
    Both,
    /// No FIN and no RST: it is still open.
    Nobody,
}

#[derive(Clone, Copy)]
struct Segment {
    from_server: bool,
    client: u16,
    flags: u8,
    sequence: u32,
    /// The sequence number behind it, with its SYN and FIN.
    end: u32,
    acknowledged: u32,
}

impl Capture {
    pub(crate) fn start(port: u16) -> Self {
        let socket = packet_socket(port).expect("a packet socket on lo");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let reader = std::thread::spawn(move || {
            let mut segments = Vec::new();
            let mut packet = [0; 128];
            loop {
                match rustix::net::recv(&socket, &mut packet, rustix::net::RecvFlags::empty()) {
                    Ok((length, _)) => segments.extend(Segment::parse(&packet[..length], port)),
                    Err(rustix::io::Errno::AGAIN) if stopped.load(Ordering::Relaxed) => break,
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                    Err(error) => panic!("reading packets: {error}"),
                }
            }
            (socket, segments)
        });
        Self { port, stop, reader }
    }

    /// Every connection since the start, by client port and then by time.
    pub(crate) fn end(self) -> BTreeMap<u16, Vec<Connection>> {
        self.stop.store(true, Ordering::Relaxed);
        let (socket, segments) = self.reader.join().expect("the reader of packets");
        assert_eq!(dropped(&socket), 0, "the oracle itself lost packets of port {}", self.port);
        let mut conversations: BTreeMap<u16, Vec<Vec<Segment>>> = BTreeMap::new();
        for segment in segments {
            let of_port = conversations.entry(segment.client).or_default();
            let opens = segment.flags & (SYN | ACK) == SYN;
            let again = |known: &Vec<Segment>| known[0].sequence == segment.sequence;
            if opens && !of_port.last().is_some_and(again) {
                of_port.push(vec![segment]);
            } else if let Some(conversation) = of_port.last_mut() {
                conversation.push(segment);
            }
        }
        let verdict = |(client, of_port): (u16, Vec<Vec<Segment>>)| {
            let connections = of_port.iter().map(|segments| Connection { client, first: first_closer(segments) });
            (client, connections.collect())
        };
        conversations.into_iter().map(verdict).collect()
    }
}

impl Segment {
    /// `None` for what is too short; the socket's filter has looked at the rest.
    fn parse(packet: &[u8], port: u16) -> Option<Self> {
        let ip = usize::from(packet.first()? & 15) * 4;
        let total = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
        let tcp = packet.get(ip..ip + 20)?;
        let word = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        let (source, target) = ((word(0) >> 16) as u16, word(0) as u16);
        let flags = tcp[13];
        let payload = total.checked_sub(ip + usize::from(tcp[12] >> 4) * 4)?;
        let counted = payload as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        Some(Self {
            from_server: source == port,
            client: if source == port { target } else { source },
            flags,
            sequence: word(4),
            end: word(4).wrapping_add(counted),
            acknowledged: word(8),
        })
    }
}

fn first_closer(segments: &[Segment]) -> First {
    let fin = |from_server| segments.iter().find(|s| s.from_server == from_server && s.flags & FIN != 0);
    if let (Some(client), Some(server)) = (fin(false), fin(true)) {
        let answers = |fin: &Segment, other: &Segment| fin.acknowledged.wrapping_sub(other.end) as i32 >= 0;
        return match (answers(client, server), answers(server, client)) {
            (true, false) => First::Server,
            (false, true) => First::Client,
            _ => First::Both,
        };
    }
    match segments.iter().find(|s| s.flags & (FIN | RST) != 0) {
        Some(s) if s.from_server => First::Server,
        Some(_) => First::Client,
        None => First::Nobody,
    }
}

/// A socket that is given the IPv4 packets that arrive on lo, each once, and of them those wanted.
fn packet_socket(port: u16) -> io::Result<OwnedFd> {
    // Bound to one protocol it sees what arrives and not what leaves: net/core/dev.c, ptype_base.
    let protocol = (libc::ETH_P_IP as u16).to_be();
    // Of protocol 0 first, so that nothing comes in before the filter is there.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };

    // Linux socket filter over the IP header: TCP, first fragment, SYN or FIN or RST, the port on either side.
    let filter = [
        op(0x30, 0, 0, 9),      // A = protocol
        op(0x15, 0, 9, 6),      // TCP or drop
        op(0x28, 0, 0, 6),      // A = fragment offset
        op(0x45, 7, 0, 0x1fff), // 0 or drop
        op(0xb1, 0, 0, 0),      // X = length of the IP header
        op(0x50, 0, 0, 13),     // A = flags of TCP
        op(0x45, 0, 4, u32::from(FIN | SYN | RST)),
        op(0x48, 0, 0, 0), // A = source port
        op(0x15, 3, 0, u32::from(port)),
        op(0x48, 0, 0, 2), // A = destination port
        op(0x15, 1, 0, u32::from(port)),
        op(0x06, 0, 0, 0),   // drop
        op(0x06, 0, 0, 128), // keep
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let room: libc::c_int = 128 << 20;
    let patience = libc::timeval { tv_sec: 0, tv_usec: 100_000 };
    set(&socket, libc::SO_ATTACH_FILTER, &program)?;
    set(&socket, libc::SO_RCVBUFFORCE, &room)?;
    set(&socket, libc::SO_RCVTIMEO, &patience)?;

    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = unsafe { libc::if_nametoindex(c"lo".as_ptr()) } as i32;
    let length = size_of_val(&address) as u32;
    if unsafe { libc::bind(raw, (&raw const address).cast(), length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let (value, length) = ((&raw const *value).cast(), size_of::<T>() as u32);
    match unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Packets that found no room in the socket's queue.
fn dropped(socket: &OwnedFd) -> u32 {
    let mut counts = [0u32; 2];
    let mut length = size_of_val(&counts) as u32;
    let (level, option) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, counts.as_mut_ptr().cast(), &raw mut length) };
    assert_eq!(result, 0, "reading the packet socket's statistics");
    counts[1]
}
