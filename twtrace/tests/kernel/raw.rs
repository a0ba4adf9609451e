//! A host that is none: its packets are a test's, to the last bit, and no kernel answers for it.
//!
//! Its address is on no interface. What is sent to it goes over a wire into a namespace in which a packet socket is all
//! that listens. It acknowledges nothing, repeats nothing and resets nothing by itself.

use crate::Tier;
use crate::actor::monotonic;
use crate::net::Netns;
use crate::puppet::{Act, until};
use anyhow::{Context, Result, anyhow, bail, ensure};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TcpOptionElement, TransportSlice};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// What a segment is, as in its header.
pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// For what the kernel sends without being asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a host begins to count its bytes.
const FIRST: u32 = 0x7000_0000;

const NEAR_STATION: [u8; 6] = [2, 0, 0, 0, 0, 1];
const FAR_STATION: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The wire, and what is at its far end.
pub(crate) struct Host {
    /// Where the kernel is that it talks to.
    pub(crate) here: Netns,
    _there: Netns,
    socket: OwnedFd,
    near: IpAddr,
    far: IpAddr,
}

/// Its end of one connection.
pub(crate) struct Peer {
    host: Arc<Host>,
    /// The kernel's end.
    pub(crate) near: SocketAddr,
    /// The host's.
    pub(crate) far: SocketAddr,
    /// What it sends next.
    pub(crate) next: u32,
    /// What it acknowledges: it has heard everything before.
    pub(crate) heard: u32,
    /// What its segments have as their timestamp, if they have one.
    pub(crate) clock: Option<u32>,
}

/// What the kernel has sent.
#[derive(Debug)]
pub(crate) struct Segment {
    near: SocketAddr,
    far: SocketAddr,
    flags: u8,
    sequence: u32,
    /// Of the sequence numbers that it takes: its bytes, SYN and FIN.
    length: u32,
}

impl Host {
    pub(crate) fn new(tier: Tier) -> Result<Arc<Self>> {
        Self::at(tier, tier.host(101).into(), tier.host(102).into())
    }

    pub(crate) fn v6(tier: Tier) -> Result<Arc<Self>> {
        let host = |number: u128| IpAddr::V6((tier.host_v6().to_bits() + number).into());
        Self::at(tier, host(101), host(102))
    }

    fn at(tier: Tier, near: IpAddr, far: IpAddr) -> Result<Arc<Self>> {
        let (here, there) = (Netns::new(tier)?, Netns::new(tier)?);
        let station = |bytes: [u8; 6]| bytes.map(|byte| format!("{byte:02x}")).join(":");
        here.ip(&format!(
            "link add wire address {} type veth peer name wire netns {}",
            station(NEAR_STATION),
            there.name()
        ))?;
        let (length, nodad) = if near.is_ipv4() { (24, "") } else { (64, "nodad") };
        here.ip(&format!("address add {near}/{length} dev wire {nodad}"))?;
        // The end that comes second sends from then on. The first drops everything until linkwatch_event() has been there,
        // and it is the kernel that repeats what is lost.
        here.ip("link set wire up")?;
        there.ip("link set wire up")?;
        let up = || Ok(here.run("ip link show dev wire")?.contains("state UP"));
        until("the wire is up", PATIENCE, up)?;
        here.ip(&format!("neighbour add {far} lladdr {} dev wire nud permanent", station(FAR_STATION)))?;
        let socket = there.enter(|| packets(near.is_ipv4()))?;
        Ok(Arc::new(Self { here, _there: there, socket, near, far }))
    }

    /// A port that nobody has used: its connections are known by their tuple where no namespace is.
    pub(crate) fn port() -> u16 {
        static NEXT: AtomicU16 = AtomicU16::new(20_000);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// The kernel's address, and a port.
    pub(crate) fn near(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.near, port)
    }

    /// The host's own address, and a port.
    pub(crate) fn far(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.far, port)
    }

    /// Its end of a connection to the kernel's `near` end; it has said nothing yet.
    pub(crate) fn peer(self: &Arc<Self>, near: SocketAddr) -> Peer {
        Peer { host: self.clone(), near, far: self.far(Self::port()), next: FIRST, heard: 0, clock: None }
    }

    /// Calls the kernel's `near` end with a SYN.
    pub(crate) fn call(self: &Arc<Self>, near: SocketAddr) -> Result<Peer> {
        let mut peer = self.peer(near);
        peer.say(SYN, b"")?;
        Ok(peer)
    }

    /// Waits for the kernel's SYN, to which it does not answer yet.
    pub(crate) fn called(self: &Arc<Self>, far: SocketAddr) -> Result<Peer> {
        let syn = self.wait(|segment| segment.far == far && segment.flags == SYN)?;
        Ok(Peer {
            host: self.clone(),
            near: syn.near,
            far,
            next: FIRST,
            heard: syn.sequence.wrapping_add(1),
            clock: None,
        })
    }

    fn wait(&self, wanted: impl Fn(&Segment) -> bool) -> Result<Segment> {
        let give_up = Instant::now() + PATIENCE;
        let mut frame = [0; 2048];
        let mut others = Vec::new();
        while Instant::now() < give_up {
            match rustix::net::recv(&self.socket, &mut frame, RecvFlags::empty()) {
                Ok((length, _)) => match segment(&frame[..length]) {
                    Some(segment) if wanted(&segment) => return Ok(segment),
                    other => others.extend(other),
                },
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("the kernel did not send what was waited for, but {others:?}")
    }
}

impl Peer {
    /// Sends what comes next.
    pub(crate) fn say(&mut self, flags: u8, bytes: &[u8]) -> Result<Act> {
        let act = self.say_at(self.next, flags, bytes)?;
        self.next = self.next.wrapping_add(length(flags, bytes));
        Ok(act)
    }

    /// Sends something in another place: what came before, or what does not belong there.
    pub(crate) fn say_at(&self, sequence: u32, flags: u8, bytes: &[u8]) -> Result<Act> {
        let frame = self.frame(sequence, flags, bytes)?;
        let before = monotonic();
        self.send(&frame)?;
        Ok(Act::between(before, monotonic()))
    }

    /// Sends what comes next from two CPUs at once, where there are two.
    pub(crate) fn say_twice(&self, flags: u8) -> Result<()> {
        let frame = self.frame(self.next, flags, b"")?;
        let ready = AtomicU16::new(0);
        let send = || {
            ready.fetch_add(1, Ordering::SeqCst);
            // Not by a barrier, which wakes one after the other.
            while ready.load(Ordering::SeqCst) < 2 {
                std::hint::spin_loop();
            }
            self.send(&frame)
        };
        std::thread::scope(|scope| {
            let threads = [scope.spawn(send), scope.spawn(send)];
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
        })
    }

    fn frame(&self, sequence: u32, flags: u8, bytes: &[u8]) -> Result<Vec<u8>> {
        let has = |flag| flags & flag != 0;
        let mut header = TcpHeader::new(self.far.port(), self.near.port(), sequence, 0xffff);
        (header.fin, header.syn, header.rst, header.ack) = (has(FIN), has(SYN), has(RST), has(ACK));
        header.acknowledgment_number = if has(ACK) { self.heard } else { 0 };
        if let Some(clock) = self.clock {
            header.set_options(&[TcpOptionElement::Timestamp(clock, 0)])?;
        }
        let frame = PacketBuilder::ethernet2(FAR_STATION, NEAR_STATION);
        let packet = match (self.far.ip(), self.near.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => frame.ipv4(from.octets(), to.octets(), 64),
            (IpAddr::V6(from), IpAddr::V6(to)) => frame.ipv6(from.octets(), to.octets(), 64),
            ends => bail!("no connection: {ends:?}"),
        };
        let mut frame = Vec::new();
        packet.tcp_header(header).write(&mut frame, bytes)?;
        Ok(frame)
    }

    fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = rustix::net::send(&self.host.socket, frame, SendFlags::empty())?;
        ensure!(sent == frame.len(), "only {sent} of {} bytes were sent", frame.len());
        Ok(())
    }

    /// Waits for a segment that has these flags, and no other flag but ACK: it is acknowledged by what is said from now on.
    pub(crate) fn hear(&mut self, flags: u8) -> Result<Act> {
        let (act, segment) = self.wait(flags)?;
        self.heard = segment.sequence.wrapping_add(segment.length);
        Ok(act)
    }

    /// The same, but it goes unacknowledged.
    pub(crate) fn see(&self, flags: u8) -> Result<Act> {
        self.wait(flags).map(|(act, _)| act)
    }

    fn wait(&self, flags: u8) -> Result<(Act, Segment)> {
        let before = monotonic();
        let is_it = |segment: &Segment| {
            (segment.near, segment.far) == (self.near, self.far) && segment.flags | ACK == flags | ACK
        };
        let segment = self.host.wait(is_it).with_context(|| format!("no segment with flags {flags:#x}"))?;
        Ok((Act::between(before, monotonic()), segment))
    }
}

fn length(flags: u8, bytes: &[u8]) -> u32 {
    bytes.len() as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0)
}

fn segment(frame: &[u8]) -> Option<Segment> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (from, to): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    let TransportSlice::Tcp(tcp) = packet.transport? else { return None };
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(tcp.fin(), FIN) | flag(tcp.syn(), SYN) | flag(tcp.rst(), RST) | flag(tcp.ack(), ACK);
    Some(Segment {
        near: SocketAddr::new(from, tcp.source_port()),
        far: SocketAddr::new(to, tcp.destination_port()),
        flags,
        sequence: tcp.sequence_number(),
        length: length(flags, tcp.payload()),
    })
}

/// A socket for all packets that come in by the wire, in the caller's namespace.
fn packets(ipv4: bool) -> Result<OwnedFd> {
    let kind = (if ipv4 { libc::ETH_P_IP } else { libc::ETH_P_IPV6 }) as u16;
    let protocol = Protocol::from_raw(u32::from(kind.to_be()).try_into()?);
    let socket =
        rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
    let index = rustix::net::netdevice::name_to_index(socket.as_fd(), "wire")?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: kind.to_be(),
        sll_ifindex: index.try_into()?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer and the size are those of `address`, which outlives the call.
    let outcome = unsafe {
        libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), size_of_val(&address) as libc::socklen_t)
    };
    if outcome != 0 {
        return Err(std::io::Error::last_os_error()).context("cannot bind a packet socket");
    }
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_millis(500)))?;
    Ok(socket)
}

impl Netns {
    /// Does something in it, in a thread of its own.
    fn enter<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = self.path();
        let inside = || {
            let file = std::fs::File::open(path).with_context(|| format!("cannot open {path}"))?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            act()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).map_err(|_| anyhow!("a thread panicked"))?
    }
}
