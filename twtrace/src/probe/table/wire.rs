//! The bytes of sock_diag: what is asked, and what the kernel answers.
//!
//! Pure, and believes nothing: every read is checked against the bytes that are there. The structures are those of
//! include/uapi/linux/{netlink,inet_diag}.h.

use super::{Sought, tcp_info};
use crate::model::observation::{Row, Traffic};
use crate::model::{Endpoint, FourTuple, Ktime, SocketId, TcpState};
use std::net::IpAddr;
use zerocopy::{FromBytes, Immutable, IntoBytes, big_endian};

const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;
const IPPROTO_TCP: u8 = libc::IPPROTO_TCP as u8;
const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
const NLM_F_REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const NLM_F_DUMP: u16 = libc::NLM_F_DUMP as u16;
const NLM_F_DUMP_INTR: u16 = libc::NLM_F_DUMP_INTR as u16;
/// Attribute type bits; above them stand two flags (`NLA_TYPE_MASK`).
const ATTRIBUTE_TYPE: u16 = 0x3fff;
const INET_DIAG_INFO: u16 = 2;
const INET_DIAG_SHUTDOWN: u16 = 8;
/// `idiag_timer` of a time-wait socket: `inet_twsk_diag_fill()` of net/ipv4/inet_diag.c.
const TIMER_TIME_WAIT: u8 = 3;
/// Every state with a number up to CLOSING. Higher bits ask for things that are no connections (bound sockets).
const ALL_STATES: u32 = 0xffe;
const NO_COOKIE: u64 = u64::MAX;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// `struct nlmsghdr`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

/// `struct inet_diag_sockid`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Id {
    local_port: big_endian::U16,
    remote_port: big_endian::U16,
    local: [u8; 16],
    remote: [u8; 16],
    device: u32,
    cookie_low: u32,
    cookie_high: u32,
}

/// `struct inet_diag_req_v2` behind its header.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub(super) struct Request {
    header: Header,
    family: u8,
    protocol: u8,
    extensions: u8,
    pad: u8,
    states: u32,
    id: Id,
}

/// `struct inet_diag_msg`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Socket {
    family: u8,
    state: u8,
    timer: u8,
    retransmits: u8,
    id: Id,
    expires: u32,
    receive_queue: u32,
    send_queue: u32,
    uid: u32,
    inode: u32,
}

const _: () = {
    assert!(size_of::<Header>() == 16);
    assert!(size_of::<Id>() == 48);
    assert!(size_of::<Request>() == 72);
    assert!(size_of::<Dump>() == 76);
    assert!(size_of::<Socket>() == 72);
};

/// What a dump is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// A bit for each state, by its number.
    pub states: u32,
    /// `struct tcp_info`: what it carried, and when something came in last. The kernel locks the socket for it.
    pub tcp_info: bool,
}

impl Ask {
    /// Every connection and every listener.
    pub const ALL: Self = Self { states: ALL_STATES, tcp_info: false };

    /// Those in this state.
    pub fn only(state: TcpState) -> Self {
        Self { states: 1 << state as u32, ..Self::ALL }
    }

    /// Those that carry something: neither listeners nor what waits in TIME_WAIT.
    pub fn carriers() -> Self {
        let states = TcpState::ALL.into_iter().filter(|state| state.carries());
        Self { states: states.fold(0, |states, state| states | 1 << state as u32), tcp_info: true }
    }

    /// And what the kernel locks a socket for.
    pub fn with_tcp_info(self) -> Self {
        Self { tcp_info: true, ..self }
    }
}

/// What the table says of a socket beside its [`Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Index of the interface that it is bound to; 0 for none.
    pub device: u32,
    /// Of a listener, how many wait to be accepted; else bytes that wait to be read.
    pub receive_queue: u32,
    /// Of a listener, how many may wait; else bytes not acknowledged.
    pub send_queue: u32,
    /// Nanoseconds since data came in last (`tcpi_last_data_recv`), where it was asked for.
    pub last_data: Option<u64>,
}

/// `struct inet_diag_req` behind its header: the older request, which alone asks for both families at once
/// (`inet_diag_dump_compat()`), so that the table is walked once.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
pub(super) struct Dump {
    header: Header,
    family: u8,
    source_length: u8,
    destination_length: u8,
    extensions: u8,
    id: Id,
    states: u32,
    bound: u32,
}

impl Dump {
    /// For the TCP sockets of both families; those that are v4-mapped are IPv6.
    pub(super) fn new(ask: Ask, sequence: u32) -> Self {
        let mut dump: Self = zerocopy::FromZeros::new_zeroed();
        dump.header = header(size_of::<Self>(), TCPDIAG_GETSOCK, NLM_F_DUMP, sequence);
        dump.extensions = extensions(ask.tcp_info);
        dump.states = ask.states;
        dump
    }

    /// For no socket at all: whether it would be answered (`inet_diag_dump_icsk()` looks into no bucket then).
    pub(super) fn nothing(sequence: u32) -> Self {
        Self::new(Ask { states: 0, tcp_info: false }, sequence)
    }
}

impl Request {
    /// For the one socket that receives what comes from `tuple.remote` to `tuple.local` by the interface `device` (0:
    /// one that is bound to none). The kernel answers with a listener when it has no connection.
    ///
    /// Either family finds a v4-mapped socket by its mapped addresses (`inet_diag_find_one_icsk()`).
    pub(super) fn lookup(sought: Sought, device: u32, sequence: u32) -> Self {
        let Sought { socket, tuple, v4_mapped, tcp_info } = sought;
        let (family, local) = kernel_address(tuple.local, v4_mapped);
        let (_, remote) = kernel_address(tuple.remote, v4_mapped);
        let cookie = match socket {
            SocketId::Cookie(cookie) => cookie,
            SocketId::Address(_) | SocketId::Remnant(_) => NO_COOKIE,
        };
        Self {
            header: header(size_of::<Self>(), SOCK_DIAG_BY_FAMILY, 0, sequence),
            family,
            protocol: IPPROTO_TCP,
            extensions: extensions(tcp_info),
            pad: 0,
            states: ALL_STATES,
            id: Id {
                local_port: tuple.local.port.into(),
                remote_port: tuple.remote.port.into(),
                local,
                remote,
                device,
                cookie_low: cookie as u32,
                cookie_high: (cookie >> 32) as u32,
            },
        }
    }
}

fn extensions(tcp_info: bool) -> u8 {
    if tcp_info { 1 << (INET_DIAG_INFO - 1) } else { 0 }
}

fn header(length: usize, kind: u16, flags: u16, sequence: u32) -> Header {
    Header { length: length as u32, kind, flags: NLM_F_REQUEST | flags, sequence, port: 0 }
}

fn kernel_address(endpoint: Endpoint, v4_mapped: bool) -> (u8, [u8; 16]) {
    match endpoint.ip {
        IpAddr::V4(v4) if v4_mapped => (AF_INET6, v4.to_ipv6_mapped().octets()),
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            (AF_INET, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        IpAddr::V6(v6) => (AF_INET6, v6.octets()),
    }
}

/// One message of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Socket {
        row: Row,
        beside: Beside,
        /// The table changed in a way that may have hidden a part of it.
        interrupted: bool,
    },
    /// A connection of the SYN queue. Given as SYN_RECV, but without `INET_DIAG_SHUTDOWN`, which every full socket has
    /// (`inet_diag_msg_attrs_fill()`) and `inet_req_diag_fill()` never writes.
    HalfOpen(FourTuple),
    /// The dump is over, by this errno if it is not 0.
    Done { error: i32, interrupted: bool },
    /// The kernel refuses, by this errno; 0 is an acknowledgement.
    Refused(i32),
    /// An answer to something else.
    Foreign,
    /// Bytes that make no sense; nothing behind them is read.
    Malformed,
}

/// Takes the answers to request `sequence` out of what one `recv` gave.
pub(super) struct Messages<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) sequence: u32,
    /// [`Row::at`] and [`Row::netns`].
    pub(super) at: Ktime,
    pub(super) netns: u32,
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if self.bytes.is_empty() {
            return None;
        }
        let message = self.take();
        if message.is_none() {
            self.bytes = &[];
        }
        Some(message.unwrap_or(Message::Malformed))
    }
}

impl Messages<'_> {
    fn take(&mut self) -> Option<Message> {
        let (header, _) = Header::read_from_prefix(self.bytes).ok()?;
        let length = header.length as usize;
        let body = self.bytes.get(size_of::<Header>()..length)?;
        self.bytes = self.bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        if header.sequence != self.sequence {
            return Some(Message::Foreign);
        }
        let interrupted = header.flags & NLM_F_DUMP_INTR != 0;
        match header.kind {
            // Of the kind that was asked with.
            SOCK_DIAG_BY_FAMILY | TCPDIAG_GETSOCK => self.socket(body, interrupted),
            NLMSG_DONE => Some(Message::Done { error: errno(body)?, interrupted }),
            NLMSG_ERROR => Some(Message::Refused(errno(body)?)),
            _ => Some(Message::Foreign),
        }
    }

    fn socket(&self, body: &[u8], interrupted: bool) -> Option<Message> {
        let (socket, attributes) = Socket::read_from_prefix(body).ok()?;
        let Attributes { full, last_ack, last_data, traffic } = Attributes::read(attributes)?;
        let state = TcpState::from_number(socket.state)?;
        let is_time_wait = socket.timer == TIMER_TIME_WAIT;
        let id = socket.id;
        let (tuple, v4_mapped) = FourTuple::from_kernel(
            is_v6(socket.family)?,
            (id.local, id.local_port.get()),
            (id.remote, id.remote_port.get()),
        );
        if state == TcpState::NewSynRecv || state == TcpState::SynRecv && !full {
            return Some(Message::HalfOpen(tuple));
        }
        let is_heard = !is_time_wait && has_heard(state);
        let row = Row {
            at: self.at,
            socket: SocketId::Cookie(u64::from(id.cookie_high) << 32 | u64::from(id.cookie_low)),
            netns: self.netns,
            tuple,
            v4_mapped,
            state,
            time_wait_left: is_time_wait.then(|| u64::from(socket.expires) * NANOS_PER_MILLI),
            inode: (socket.inode != 0).then_some(u64::from(socket.inode)),
            last_ack: last_ack.filter(|_| is_heard),
            traffic: traffic.filter(|_| !is_time_wait && state.carries()).map(|traffic| without_fin(traffic, state)),
        };
        let beside = Beside {
            device: id.device,
            receive_queue: socket.receive_queue,
            send_queue: socket.send_queue,
            last_data: last_data.filter(|_| is_heard),
        };
        Some(Message::Socket { row, beside, interrupted })
    }
}

fn is_v6(family: u8) -> Option<bool> {
    match family {
        AF_INET => Some(false),
        AF_INET6 => Some(true),
        _ => None,
    }
}

/// An ACK has come in. Before, `rcv_tstamp` is 0 and the time since then the time since the boot.
fn has_heard(state: TcpState) -> bool {
    !matches!(state, TcpState::Listen | TcpState::SynSent | TcpState::Close)
}

/// The kernel counts the peer's FIN as a byte (`tcp_rcv_nxt_update()`). It gives the state before it locks the socket, so
/// one reading may be a byte off where the FIN comes in between.
fn without_fin(traffic: Traffic, state: TcpState) -> Traffic {
    let fin = matches!(state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing);
    Traffic { bytes_received: traffic.bytes_received.saturating_sub(u64::from(fin)), ..traffic }
}

/// The kernel writes `-errno`.
fn errno(body: &[u8]) -> Option<i32> {
    let (error, _) = i32::read_from_prefix(body).ok()?;
    Some(error.saturating_neg().max(0))
}

struct Attributes {
    /// It is a full socket, not a request or time-wait one.
    full: bool,
    /// Nanoseconds, as is the next.
    last_ack: Option<u64>,
    last_data: Option<u64>,
    traffic: Option<Traffic>,
}

impl Attributes {
    /// `None` where an attribute reaches beyond `bytes`.
    fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut found = Self { full: false, last_ack: None, last_data: None, traffic: None };
        while !bytes.is_empty() {
            let ([length, kind], _) = <[u16; 2]>::read_from_prefix(bytes).ok()?;
            let length = usize::from(length);
            let value = bytes.get(4..length)?;
            match kind & ATTRIBUTE_TYPE {
                INET_DIAG_SHUTDOWN => found.full = true,
                INET_DIAG_INFO => {
                    found.last_ack = tcp_info::last_ack(value);
                    found.last_data = tcp_info::last_data(value);
                    found.traffic = tcp_info::carried(value);
                }
                _ => {}
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests;
