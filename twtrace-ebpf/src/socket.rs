//! Reading a socket, a time-wait socket or a task through pointers that the verifier knows the type of.

use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_get_current_uid_gid,
    bpf_get_socket_cookie, bpf_jiffies64, bpf_skc_to_tcp_sock,
};
use core::ptr::addr_of_mut;
use twtrace_common::{Addresses, Idle, Layout, Task, Traffic, Transition, flag};

const AF_INET6: u16 = 10;
pub const IPPROTO_TCP: u16 = 6;
/// `enum sock_flags`: SOCK_DEAD is bit 0, SOCK_DONE bit 1.
const SOCK_DEAD: u64 = 1;
const SOCK_DONE: u64 = 1 << 1;
/// `PF_KTHREAD` of include/linux/sched.h.
const PF_KTHREAD: u32 = 0x0020_0000;

#[unsafe(no_mangle)]
// Sound: integers alone.
pub static LAYOUT: Layout = unsafe { core::mem::zeroed() };

/// Loads what the compiler must not fold and the verifier may: from [`LAYOUT`], which is frozen.
#[inline(always)]
pub fn constant<T: Copy>(field: &T) -> T {
    unsafe { core::ptr::read_volatile(field) }
}

/// A plain load, which the verifier turns into one that survives a bad pointer.
#[inline(always)]
pub fn plain<T: Copy>(base: *const u8, offset: u32) -> T {
    unsafe { core::ptr::read_volatile(base.byte_add(offset as usize).cast()) }
}

/// A field of [`LAYOUT`].
macro_rules! layout {
    ($field:ident) => {
        $crate::socket::constant(&$crate::socket::LAYOUT.$field)
    };
}
pub(crate) use layout;

/// A field of a structure in the kernel, at the offset that [`LAYOUT`] has for it.
macro_rules! load {
    ($base:expr, $field:ident, $type:ty) => {
        $crate::socket::plain::<$type>($base, $crate::socket::layout!($field))
    };
}
pub(crate) use load;

/// A full TCP socket: the pointer as the tracepoint gives it, which the verifier trusts, so that loads through it
/// need no check at run time.
#[derive(Clone, Copy)]
pub struct Socket(*const u8);

impl Socket {
    /// None for what is no TCP socket.
    #[inline(always)]
    pub fn tcp(sock: *const u8) -> Option<Self> {
        (!sock.is_null() && load!(sock, protocol, u16) == IPPROTO_TCP).then_some(Self(sock))
    }

    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    /// Given on the first question, kept for good.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        if layout!(has_cookie) == 0 {
            return 0;
        }
        match load!(self.0, cookie, u64) {
            0 => unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) },
            cookie => cookie,
        }
    }

    #[inline(always)]
    pub fn netns(self) -> u32 {
        let net = load!(self.0, net, *const u8);
        load!(net, net_inum, u32)
    }

    #[inline(always)]
    pub fn owned(self) -> bool {
        load!(self.0, owned, u32) != 0
    }

    /// The port it is bound to, until it gives it back.
    #[inline(always)]
    pub fn local_port(self) -> u16 {
        let [_, port] = load!(self.0, ports, [u16; 2]);
        port
    }

    /// As the wider type that it is, which only a helper makes of the tracepoint's.
    #[inline(always)]
    pub fn connection(self) -> Option<Connection> {
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) }.cast_const().cast::<u8>();
        (!tcp.is_null()).then_some(Connection(tcp))
    }

    /// [`flag`] bits of the socket; the task's own come with [`Task`].
    #[inline(always)]
    pub fn flags(self) -> u8 {
        let flags = load!(self.0, flags, u64);
        let mut out = 0;
        if flags & SOCK_DONE != 0 {
            out |= flag::DONE;
        }
        if flags & SOCK_DEAD != 0 {
            out |= flag::DEAD;
        }
        out
    }

    /// Inode number of its file: what /proc/PID/fd shows as `socket:[…]`.
    #[inline(always)]
    pub fn inode(self) -> u64 {
        let socket = load!(self.0, socket, *const u8);
        let file = load!(socket, file, *const u8);
        let inode = load!(file, inode, *const u8);
        load!(inode, inode_number, u64)
    }

    /// inet_twsk_alloc() refuses, or will refuse the next one.
    #[inline(always)]
    pub fn time_wait_full(self) -> bool {
        if layout!(tw_refcount) == 0 {
            return false;
        }
        let net = load!(self.0, net, *const u8);
        let count = load!(net, tw_refcount, u32).wrapping_add(layout!(tw_uncounted));
        count > load!(net, max_tw_buckets, u32)
    }

    #[inline(always)]
    pub fn remote_port(self) -> u16 {
        u16::from_be(load!(self.0, ports, u16))
    }

    #[inline(always)]
    pub fn error(self) -> u16 {
        load!(self.0, error, u32) as u16
    }

    #[inline(always)]
    pub fn is_v6(self) -> bool {
        load!(self.0, family, u16) == AF_INET6
    }

    #[inline(always)]
    pub fn addresses(self, out: *mut Transition) {
        let [remote, local] = load!(self.0, addresses, [u32; 2]);
        unsafe {
            addr_of_mut!((*out).remote).cast::<u32>().write(remote);
            addr_of_mut!((*out).local).cast::<u32>().write(local);
        }
    }

    #[inline(always)]
    pub fn addresses_v6(self, out: *mut Addresses) {
        let [remote, local] = load!(self.0, addresses_v6, [[u64; 2]; 2]);
        unsafe {
            addr_of_mut!((*out).remote).cast::<[u64; 2]>().write(remote);
            addr_of_mut!((*out).local).cast::<[u64; 2]>().write(local);
        }
    }
}

/// A `struct tcp_sock`.
#[derive(Clone, Copy)]
pub struct Connection(*const u8);

impl Connection {
    /// The port that it was bound to: at ->CLOSE it has given it back (inet_put_port()), but inet_sport still has it.
    #[inline(always)]
    pub fn source_port(self) -> u16 {
        u16::from_be(load!(self.0, source_port, u16))
    }

    #[inline(always)]
    pub fn idle(self) -> Idle {
        // tcp_jiffies32 wraps; the differences do not.
        let now = unsafe { bpf_jiffies64() } as u32;
        let sent = now.wrapping_sub(load!(self.0, last_sent, u32));
        let received = now.wrapping_sub(load!(self.0, last_received, u32));
        Idle { jiffies: u64::from(if sent < received { sent } else { received }) }
    }

    #[inline(always)]
    pub fn traffic(self) -> Traffic {
        Traffic {
            bytes_sent: load!(self.0, bytes_sent, u64),
            bytes_received: load!(self.0, bytes_received, u64),
            retransmits: load!(self.0, retransmits, u32),
            smoothed_rtt: load!(self.0, smoothed_rtt, u32),
        }
    }
}

/// Describes the current task; gives [`flag::KTHREAD`] or 0.
#[inline(always)]
pub fn current_task(out: *mut Task) -> u8 {
    if layout!(has_task) == 0 {
        return current_task_by_helpers(out);
    }
    let task = unsafe { bpf_get_current_task_btf() }.cast::<u8>().cast_const();
    let leader = load!(task, group_leader, *const u8);
    let credentials = load!(task, real_cred, *const u8);
    let comm = load!(task, comm, [u64; 2]);
    unsafe {
        addr_of_mut!((*out).start_time).write(load!(leader, start_time, u64));
        addr_of_mut!((*out).pid).write(load!(task, tgid, u32));
        addr_of_mut!((*out).uid).write(load!(credentials, uid, u32));
        addr_of_mut!((*out).comm).cast::<[u64; 2]>().write(comm);
    }
    if load!(task, task_flags, u32) & PF_KTHREAD != 0 { flag::KTHREAD } else { 0 }
}

/// Where the task itself cannot be had (before 5.11), neither can its start, nor whether it is a kernel thread.
#[inline(always)]
fn current_task_by_helpers(out: *mut Task) -> u8 {
    unsafe {
        addr_of_mut!((*out).start_time).write(0);
        addr_of_mut!((*out).pid).write((bpf_get_current_pid_tgid() >> 32) as u32);
        addr_of_mut!((*out).uid).write(bpf_get_current_uid_gid() as u32);
        bpf_get_current_comm(addr_of_mut!((*out).comm).cast(), 16);
    }
    0
}
