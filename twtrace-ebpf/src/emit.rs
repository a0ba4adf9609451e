//! Reserve, fill, submit; count what did not fit.

use crate::socket::{Socket, current_task, layout, load};
use aya_ebpf::{
    EbpfContext,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::{bpf_get_socket_cookie, bpf_ktime_get_ns},
    macros::map,
    maps::{PerCpuArray, RingBuf},
    programs::{BtfTracePointContext, TracePointContext},
};
use aya_log_ebpf::debug;
use core::{ffi::c_void, ptr::addr_of_mut};
use twtrace_common::{Deed, Head, Hold, Reset, Transition, flag, kind};

/// States of include/net/tcp_states.h.
const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const SYN_RECV: u8 = 3;
const FIN_WAIT2: u8 = 5;
const CLOSE: u8 = 7;
const CLOSE_WAIT: u8 = 8;
const CLOSING: u8 = 11;

/// Its size is set at load (`--ring`).
#[map]
static RING: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Hands a record's place in the ring to `fill`, then submits it.
///
/// Never wakes the reader for a single record, which costs thirty times the record: it reads by the clock and
/// is woken early when much is waiting, which one record in 64 looks for.
#[inline(always)]
pub fn emit<T: 'static>(ctx: &impl EbpfContext, fill: impl FnOnce(*mut T, u64)) {
    let ktime = unsafe { bpf_ktime_get_ns() };
    let Some(mut entry) = RING.reserve::<T>(0) else {
        return count_lost(ctx.as_ptr());
    };
    fill(entry.as_mut_ptr(), ktime);
    let crowded = ktime & 63 == 0 && RING.query(BPF_RB_AVAIL_DATA.into()) > layout!(wake_bytes);
    entry.submit(if crowded { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }.into());
}

/// Out of the way of the records that do fit.
#[inline(never)]
fn count_lost(ctx: *mut c_void) {
    if let Some(lost) = LOST.get_ptr_mut(0) {
        unsafe { *lost += 1 };
    }
    debug!(&BtfTracePointContext::new(ctx), "the ring is full");
}

#[inline(always)]
pub fn transition(ctx: &impl EbpfContext, sock: *const u8, old_state: u8, new_state: u8) {
    let Some(socket) = Socket::tcp(sock) else { return };
    let owned = socket.owned();
    let fill = |record: *mut Transition, ktime: u64, mut flags: u8| unsafe {
        flags |= socket.flags();
        if owned {
            flags |= flag::OWNED;
        }
        if new_state == CLOSE && matches!(old_state, FIN_WAIT2 | CLOSING) && socket.time_wait_full() {
            flags |= flag::FULL;
        }
        socket.tuple(addr_of_mut!((*record).tuple), new_state == CLOSE);
        // Until the handshake is done there is no file, or its owner is known.
        let inode = if matches!(new_state, SYN_SENT | SYN_RECV | ESTABLISHED) { 0 } else { socket.inode() };
        addr_of_mut!((*record).inode).write(inode);
        addr_of_mut!((*record).head).write(Head {
            ktime,
            cookie: socket.cookie(),
            address: socket.address(),
            netns: socket.netns(),
            kind: kind::TRANSITION,
            old_state,
            new_state,
            flags,
        });
    };
    // What a segment brings about may be worked off by the process (its backlog), but is not its deed.
    let by_segment = matches!(new_state, ESTABLISHED | SYN_RECV | FIN_WAIT2 | CLOSE_WAIT | CLOSING);
    if owned && (!by_segment || old_state == new_state) {
        emit::<Deed>(ctx, |record, ktime| unsafe {
            let kthread = current_task(addr_of_mut!((*record).task));
            fill(addr_of_mut!((*record).transition), ktime, kthread);
            addr_of_mut!((*record).transition.head.kind).write(kind::DEED);
        });
    } else {
        emit::<Transition>(ctx, |record, ktime| fill(record, ktime, 0));
    }
}

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

/// Sixteen bytes of the context, by immediate offsets.
macro_rules! copy_v6 {
    ($field:ident, $to:expr, $offset:expr) => {
        $to.write($field!($offset, u32));
        $to.add(1).write($field!($offset + 4, u32));
        $to.add(2).write($field!($offset + 8, u32));
        $to.add(3).write($field!($offset + 12, u32));
    };
}

pub fn transition_classic(ctx: &TracePointContext) {
    const IPPROTO_TCP: u16 = 6;
    const AF_INET6: u16 = 10;
    // A plain load from the context: a helper would be refused where this program is needed most.
    macro_rules! field {
        ($offset:expr, $type:ty) => {
            ctx.as_ptr().cast_const().byte_add($offset).cast::<$type>().read_volatile()
        };
    }
    if unsafe { field!(classic::PROTOCOL, u16) } != IPPROTO_TCP {
        return;
    }
    emit::<Deed>(ctx, |deed, ktime| unsafe {
        let record = addr_of_mut!((*deed).transition);
        let family = field!(classic::FAMILY, u16);
        let tuple = addr_of_mut!((*record).tuple);
        let local = addr_of_mut!((*tuple).local).cast::<u32>();
        let remote = addr_of_mut!((*tuple).remote).cast::<u32>();
        if family == AF_INET6 {
            copy_v6!(field, local, classic::LOCAL_V6);
            copy_v6!(field, remote, classic::REMOTE_V6);
        } else {
            local.write(field!(classic::LOCAL_V4, u32));
            remote.write(field!(classic::REMOTE_V4, u32));
            for word in 1..4 {
                local.add(word).write(0);
                remote.add(word).write(0);
            }
        }
        addr_of_mut!((*tuple).family).write(family);
        addr_of_mut!((*tuple).local_port).write(field!(classic::LOCAL_PORT, u16));
        addr_of_mut!((*tuple).remote_port).write(field!(classic::REMOTE_PORT, u16));
        addr_of_mut!((*tuple).error).write(0);
        let kthread = current_task(addr_of_mut!((*deed).task));
        addr_of_mut!((*record).inode).write(0);
        addr_of_mut!((*record).head).write(Head {
            ktime,
            cookie: 0,
            address: field!(classic::ADDRESS, u64),
            netns: 0,
            kind: kind::DEED,
            old_state: field!(classic::OLD_STATE, u32) as u8,
            new_state: field!(classic::NEW_STATE, u32) as u8,
            flags: flag::CLASSIC | kthread,
        });
    });
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
