//! Reserve, fill, submit; count what did not fit.

use crate::{
    lane::{Cpu, Room},
    socket::{Socket, current_task, layout, load},
};
use aya_ebpf::{
    EbpfContext,
    helpers::generated::bpf_get_socket_cookie,
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::debug;
use core::{ffi::c_void, ptr::addr_of_mut};
use twtrace_common::{Addresses, Cancel, Head, Hold, Idle, Lane, Reset, Task, Traffic, Transition, flag, kind, part};

/// States of include/net/tcp_states.h.
const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const SYN_RECV: u8 = 3;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;
const CLOSING: u8 = 11;

/// Out of the way of the records that do fit.
#[inline(never)]
pub fn count_lost(ctx: *mut c_void, lane: *mut Lane) {
    unsafe { (*lane).lost += 1 };
    debug!(&BtfTracePointContext::new(ctx), "the lane is full");
}

/// Writes one record that is always of the same length.
#[inline(always)]
pub fn emit<T>(ctx: &impl EbpfContext, fill: impl FnOnce(*mut T, u64)) {
    // The longest there is, since the language has no constant of a type parameter.
    let room = Cpu::current().and_then(|cpu| cpu.room::<{ size_of::<Cancel>() as u64 }>(ctx));
    if let Some(room) = room {
        fill(room.place.cast(), room.ktime);
        room.publish(size_of::<T>());
    }
}

#[inline(always)]
pub fn transition(ctx: &impl EbpfContext, cpu: Cpu, socket: Socket, old_state: u8, new_state: u8, copy: u8) {
    if let Some(room) = cpu.room::<LONGEST>(ctx) {
        let length = fill_transition(&room, socket, old_state, new_state, copy);
        room.publish(length);
    }
}

/// Fills a [`Transition`] and what follows it; says how long they are.
#[inline(always)]
fn fill_transition(room: &Room, socket: Socket, old_state: u8, new_state: u8, copy: u8) -> usize {
    // What a segment brings about may be worked off by the process (its backlog), but is not its deed.
    let by_segment = matches!(new_state, ESTABLISHED | SYN_RECV | FIN_WAIT2 | CLOSE_WAIT | CLOSING);
    // Until the handshake is done there is no file, or its owner is known.
    let has_file = !matches!(new_state, SYN_SENT | SYN_RECV | ESTABLISHED);
    let record = room.place.cast::<Transition>();
    let mut length = size_of::<Transition>();
    unsafe {
        let mut parts = 0;
        let mut flags = socket.flags() | copy;
        if new_state == CLOSE && matches!(old_state, FIN_WAIT2 | CLOSING) && socket.time_wait_full() {
            flags |= flag::FULL;
        }
        if socket.is_v6() {
            parts |= part::V6;
            socket.addresses_v6(room.place.byte_add(length).cast());
            length += size_of::<Addresses>();
        } else {
            socket.addresses(record);
        }
        if socket.owned() {
            flags |= flag::OWNED;
            if !by_segment || old_state == new_state {
                parts |= part::TASK;
                flags |= current_task(room.place.byte_add(length).cast());
                length += size_of::<Task>();
            }
        }
        let closed = new_state == CLOSE;
        let closes = old_state == ESTABLISHED && matches!(new_state, FIN_WAIT1 | CLOSE_WAIT | CLOSE);
        let mut local_port = socket.local_port();
        if closed || closes {
            if let Some(connection) = socket.connection() {
                if closes {
                    parts |= part::IDLE;
                    room.place.byte_add(length).cast::<Idle>().write(connection.idle());
                    length += size_of::<Idle>();
                }
                if closed {
                    local_port = connection.source_port();
                }
                if closed && old_state != LISTEN {
                    parts |= part::TRAFFIC;
                    room.place.byte_add(length).cast::<Traffic>().write(connection.traffic());
                    length += size_of::<Traffic>();
                }
            }
        }
        addr_of_mut!((*record).local_port).write(local_port);
        addr_of_mut!((*record).remote_port).write(socket.remote_port());
        addr_of_mut!((*record).error).write(socket.error());
        addr_of_mut!((*record).parts).write(parts);
        addr_of_mut!((*record).unused).write(0);
        addr_of_mut!((*record).inode).write(if has_file { socket.inode() } else { 0 });
        addr_of_mut!((*record).head).write(Head {
            ktime: room.ktime,
            cookie: socket.cookie(),
            address: socket.address(),
            netns: socket.netns(),
            kind: kind::TRANSITION,
            old_state,
            new_state,
            flags,
        });
    }
    length
}

/// A transition with all that may follow it.
const LONGEST: u64 =
    (size_of::<Transition>() + size_of::<Addresses>() + size_of::<Task>() + size_of::<Idle>() + size_of::<Traffic>())
        as u64;

/// Offsets in the record of `sock:inet_sock_set_state`, the same since 5.8 (include/trace/events/sock.h).
mod classic {
    pub(super) const ADDRESS: usize = 8;
    pub(super) const OLD_STATE: usize = 16;
    pub(super) const NEW_STATE: usize = 20;
    pub(super) const LOCAL_PORT: usize = 24;
    pub(super) const REMOTE_PORT: usize = 26;
    pub(super) const FAMILY: usize = 28;
    pub(super) const PROTOCOL: usize = 30;
    pub(super) const LOCAL_V4: usize = 32;
    pub(super) const REMOTE_V4: usize = 36;
    pub(super) const LOCAL_V6: usize = 40;
    pub(super) const REMOTE_V6: usize = 56;
}

/// A plain load from the context: a helper would be refused where this program is needed most.
macro_rules! field {
    ($ctx:expr, $offset:expr, $type:ty) => {
        $ctx.as_ptr().cast_const().byte_add($offset).cast::<$type>().read_volatile()
    };
}

/// Sixteen bytes of the context, by immediate offsets.
macro_rules! copy_v6 {
    ($ctx:expr, $to:expr, $offset:expr) => {
        $to.write(field!($ctx, $offset, u32));
        $to.add(1).write(field!($ctx, $offset + 4, u32));
        $to.add(2).write(field!($ctx, $offset + 8, u32));
        $to.add(3).write(field!($ctx, $offset + 12, u32));
    };
}

pub fn transition_classic(ctx: &TracePointContext) {
    const IPPROTO_TCP: u16 = 6;
    if unsafe { field!(ctx, classic::PROTOCOL, u16) } != IPPROTO_TCP {
        return;
    }
    if let Some(room) = Cpu::current().and_then(|cpu| cpu.room::<LONGEST>(ctx)) {
        let length = fill_classic(ctx, &room);
        room.publish(length);
    }
}

/// The same as [`fill_transition`] from the tracepoint's record.
#[inline(always)]
fn fill_classic(ctx: &TracePointContext, room: &Room) -> usize {
    const AF_INET6: u16 = 10;
    let record = room.place.cast::<Transition>();
    let mut length = size_of::<Transition>();
    unsafe {
        let mut parts = part::TASK;
        if field!(ctx, classic::FAMILY, u16) == AF_INET6 {
            parts |= part::V6;
            let addresses = room.place.byte_add(length).cast::<Addresses>();
            let local = addr_of_mut!((*addresses).local).cast::<u32>();
            let remote = addr_of_mut!((*addresses).remote).cast::<u32>();
            copy_v6!(ctx, local, classic::LOCAL_V6);
            copy_v6!(ctx, remote, classic::REMOTE_V6);
            length += size_of::<Addresses>();
        }
        let kthread = current_task(room.place.byte_add(length).cast());
        length += size_of::<Task>();
        addr_of_mut!((*record).local).cast::<u32>().write(field!(ctx, classic::LOCAL_V4, u32));
        addr_of_mut!((*record).remote).cast::<u32>().write(field!(ctx, classic::REMOTE_V4, u32));
        addr_of_mut!((*record).local_port).write(field!(ctx, classic::LOCAL_PORT, u16));
        addr_of_mut!((*record).remote_port).write(field!(ctx, classic::REMOTE_PORT, u16));
        addr_of_mut!((*record).error).write(0);
        addr_of_mut!((*record).parts).write(parts);
        addr_of_mut!((*record).unused).write(0);
        addr_of_mut!((*record).inode).write(0);
        addr_of_mut!((*record).head).write(Head {
            ktime: room.ktime,
            cookie: 0,
            address: field!(ctx, classic::ADDRESS, u64),
            netns: 0,
            kind: kind::TRANSITION,
            old_state: field!(ctx, classic::OLD_STATE, u32) as u8,
            new_state: field!(ctx, classic::NEW_STATE, u32) as u8,
            flags: flag::CLASSIC | kthread,
        });
    }
    length
}

/// A reset of a full socket or of a time-wait socket; one that answers no socket concerns no connection.
#[inline(always)]
pub fn reset(ctx: &impl EbpfContext, sock: *const u8, kind: u8, reason: u64) {
    if sock.is_null() {
        return;
    }
    emit::<Reset>(ctx, |record, ktime| unsafe {
        addr_of_mut!((*record).reason).write(reason);
        let cookie = if layout!(has_cookie) == 0 { 0 } else { bpf_get_socket_cookie(sock.cast_mut().cast()) };
        let net = load!(sock, net, *const u8);
        addr_of_mut!((*record).head).write(Head {
            ktime,
            cookie,
            address: sock as u64,
            netns: load!(net, net_inum, u32),
            kind,
            old_state: load!(sock, state, u8),
            new_state: 0,
            flags: 0,
        });
    });
}

/// Says who destroys a socket, where it is a process: the network's own are known to be over already.
#[inline(always)]
pub fn destroyed(ctx: &impl EbpfContext, sock: *const u8) {
    let Some(socket) = Socket::tcp(sock) else { return };
    if !socket.owned() {
        return;
    }
    emit::<Hold>(ctx, |record, ktime| unsafe {
        let flags = flag::OWNED | current_task(addr_of_mut!((*record).task));
        addr_of_mut!((*record).head).write(Head {
            ktime,
            cookie: socket.cookie(),
            address: socket.address(),
            netns: socket.netns(),
            kind: kind::DESTROYED,
            old_state: 0,
            new_state: 0,
            flags,
        });
    });
}
