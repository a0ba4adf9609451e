//! The wire between the eBPF programs and the collector: records, kinds, and the load-time layout.
//!
//! Holds no behaviour. Every record starts with a [`Head`], has no padding (zerocopy refuses it) and a
//! size that the assertions below pin, so that both sides agree without hoping.
#![no_std]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Names of the maps and globals in the object.
pub mod name {
    /// The [`Lane`](super::Lane)s: for each CPU, [`LEVELS`](super::LEVELS) of them.
    pub const LANES: &str = "LANES";
    /// What the lanes carry: for each the same number of [`CHUNK`](super::CHUNK)s, a power of two.
    pub const RECORDS: &str = "RECORDS";
    /// The ring buffer that wakes the reader when a lane gets crowded.
    pub const DOORBELL: &str = "DOORBELL";
    /// The [`Layout`](super::Layout) written at load.
    pub const LAYOUT: &str = "LAYOUT";
}

/// What a record says; the first thing to look at in a [`Head`].
pub mod kind {
    /// [`Transition`](super::Transition): a socket changes its state.
    pub const TRANSITION: u8 = 1;
    /// [`Reset`](super::Reset): `tcp_receive_reset`.
    pub const RESET_RECEIVED: u8 = 2;
    /// [`Reset`](super::Reset): `tcp_send_reset`.
    pub const RESET_SENT: u8 = 3;
    /// [`Hold`](super::Hold): a process takes a socket off the accept queue.
    pub const ACCEPTED: u8 = 4;
    /// [`Hold`](super::Hold): a socket is destroyed.
    pub const DESTROYED: u8 = 5;
    /// [`Timer`](super::Timer): the timer of a time-wait socket is armed or armed again.
    pub const TIMER_START: u8 = 6;
    /// [`Timer`](super::Timer): it has run out.
    pub const TIMER_EXPIRE: u8 = 7;
    /// [`Cancel`](super::Cancel): it is taken off the wheel.
    pub const TIMER_CANCEL: u8 = 8;
}

/// Bits of [`Head::flags`].
pub mod flag {
    /// The socket's lock is owned, so the current task is at work on this very socket (`sk_lock.owned`).
    pub const OWNED: u8 = 1;
    /// `SOCK_DONE`: the peer's FIN has been received.
    pub const DONE: u8 = 1 << 1;
    /// `SOCK_DEAD`: no file descriptor refers to the socket any more.
    pub const DEAD: u8 = 1 << 2;
    /// The current task is a kernel thread.
    pub const KTHREAD: u8 = 1 << 3;
    /// From the classic tracepoint, which cannot read the socket: the bits above say nothing.
    pub const CLASSIC: u8 = 1 << 4;
    /// The namespace has as many time-wait sockets as it may (`tcp_max_tw_buckets`).
    pub const FULL: u8 = 1 << 5;
    /// From the second copy of the program: seen by it alone or, rarely, by both.
    pub const COPY: u8 = 1 << 6;
}

/// Bits of [`Transition::parts`]: what follows the record, in this order.
pub mod part {
    /// [`Addresses`](super::Addresses): they are IPv6, and those in the record say nothing.
    pub const V6: u8 = 1;
    /// [`Task`](super::Task): the current one, which may be the reason.
    pub const TASK: u8 = 1 << 1;
    /// [`Idle`](super::Idle): at the transition that begins the closing.
    pub const IDLE: u8 = 1 << 2;
    /// [`Traffic`](super::Traffic): at the last transition.
    pub const TRAFFIC: u8 = 1 << 3;
    /// Every bit that means something.
    pub const ALL: u8 = V6 | TASK | IDLE | TRAFFIC;
}

/// How many lanes a CPU has: a program that an interrupt stops in the middle of a record leaves its own one half
/// written, and those that run in the interrupt take the next. An interrupt of TCP is not interrupted by another.
pub const LEVELS: u32 = 2;

/// The pieces that a lane's memory is made of. No record is in two of them: where [`Head::ktime`] is 0, or nothing
/// fits any more, the next record is at the start of the next one.
pub const CHUNK: u64 = 4096;

/// A queue that one CPU writes and the reader empties, with no lock between them. Positions count the bytes since
/// the start.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Lane {
    /// All before this position is written.
    pub head: u64,
    /// Records that found no room.
    pub lost: u64,
    /// 1 while somebody is writing, 0 otherwise.
    pub busy: u64,
    /// In a CPU's first lane: the address of the socket whose change the first copy of the program sees to.
    pub seen: u64,
    /// In a CPU's first lane: the state changes that the second copy saw to.
    pub copied: u64,
    /// The reader's side begins on a cache line of its own.
    pub unused: [u64; 3],
    /// All before this position has been read.
    pub tail: u64,
    /// To the end of the cache line.
    pub unused_too: [u64; 7],
}

/// The start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Head {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub ktime: u64,
    /// The socket's cookie; 0 where the kernel cannot give one.
    pub cookie: u64,
    /// The socket's address in the kernel; reused at once after the socket is freed.
    pub address: u64,
    /// Inode number of the network namespace; 0 where it cannot be read.
    pub netns: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// The state it was in; for a timer, the time-wait socket's substate.
    pub old_state: u8,
    /// The state it goes to; 0 where there is none.
    pub new_state: u8,
    /// Bits of [`flag`].
    pub flags: u8,
}

/// Both ends of a connection as the socket has them.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Tuple {
    /// `AF_INET` or `AF_INET6`; with `AF_INET` the first four bytes of each address count.
    pub family: u16,
    /// Host byte order; 0 before a port is chosen.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    /// `sk_err` at the moment of the event, a positive errno.
    pub error: u16,
    /// Network byte order.
    pub local: [u8; 16],
    /// Network byte order.
    pub remote: [u8; 16],
}

/// The current task.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Task {
    /// `CLOCK_BOOTTIME` nanoseconds at which the process started; 0 where it cannot be read.
    pub start_time: u64,
    /// The process id as user space means it (`tgid`), in the root pid namespace.
    pub pid: u32,
    /// Its real user id.
    pub uid: u32,
    /// Its name, ended by NUL; any bytes at all.
    pub comm: [u8; 16],
}

/// `sock:inet_sock_set_state`. What not every one has follows it, as [`part`] says.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Transition {
    /// The start.
    pub head: Head,
    /// Host byte order; 0 before a port is chosen.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
    /// `sk_err` at the moment of the event, a positive errno.
    pub error: u16,
    /// Bits of [`part`].
    pub parts: u8,
    /// Always 0.
    pub unused: u8,
    /// IPv4, network byte order.
    pub local: [u8; 4],
    /// IPv4, network byte order.
    pub remote: [u8; 4],
    /// Inode of the socket's file; 0 where there is none (never accepted, or closed), and at the changes of the
    /// handshake, where nobody asks.
    pub inode: u64,
}

/// IPv6 addresses, in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Addresses {
    /// Ours.
    pub local: [u8; 16],
    /// The other end's.
    pub remote: [u8; 16],
}

/// How long a connection has carried nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Idle {
    /// Since data last went either way; where none ever did, since the handshake, which sets the same fields
    /// (`tcp_finish_connect()`, `tcp_rcv_state_process()`, `tcp_create_openreq_child()`).
    pub jiffies: u64,
}

/// What a connection has carried.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Traffic {
    /// `tcp_sock.bytes_sent`
    pub bytes_sent: u64,
    /// `tcp_sock.bytes_received`
    pub bytes_received: u64,
    /// `tcp_sock.total_retrans`
    pub retransmits: u32,
    /// `tcp_sock.srtt_us`: eighths of a microsecond; 0 where it was never measured.
    pub smoothed_rtt: u32,
}

/// `tcp:tcp_receive_reset`, `tcp:tcp_send_reset`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Reset {
    /// The start; the address is 0 where the reset answers no socket.
    pub head: Head,
    /// The kernel's `enum sk_rst_reason`; [`NO_REASON`] where it gives none.
    pub reason: u64,
}

/// A [`Reset::reason`] that the kernel did not give.
pub const NO_REASON: u64 = u64::MAX;

/// A process and a socket that it holds: accepted, or destroyed by it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Hold {
    /// The start.
    pub head: Head,
    /// The process.
    pub task: Task,
}

/// The timer of a time-wait socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Timer {
    /// The start; `old_state` is the substate, FIN_WAIT2 or TIME_WAIT.
    pub head: Head,
    /// The connection's two ends.
    pub tuple: Tuple,
    /// Jiffies from now to the moment it was armed for; negative once that is past.
    pub remaining: i64,
}

/// How many return addresses a [`Cancel`] carries.
pub const STACK_DEPTH: usize = 12;

/// The timer of a time-wait socket is taken off the wheel, and by what.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Cancel {
    /// As for the other timer records.
    pub timer: Timer,
    /// The current task, which need not have anything to do with it.
    pub task: Task,
    /// The kernel's call chain, innermost first: which function ended it.
    pub stack: [u64; STACK_DEPTH],
}

const _: () = {
    assert!(size_of::<Head>() == 32);
    assert!(size_of::<Lane>() == 128);
    assert!(size_of::<Transition>() == 56);
    assert!(size_of::<Addresses>() == 32);
    assert!(size_of::<Task>() == 32);
    assert!(size_of::<Idle>() == 8);
    assert!(size_of::<Traffic>() == 24);
    assert!(size_of::<Reset>() == 40);
    assert!(size_of::<Hold>() == 64);
    assert!(size_of::<Timer>() == 80);
    assert!(size_of::<Cancel>() == 208);
};

/// The running kernel as the programs need to know it: byte offsets into its structures, from its BTF,
/// and what it can do. Frozen at load, so the verifier sees constants.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Layout {
    /// Address of `tw_timer_handler`.
    pub tw_timer_handler: u64,
    /// Bytes of a lane, a power of two.
    pub lane_bytes: u64,
    /// Chunks of a lane, as a power of two.
    pub lane_shift: u64,
    /// `tcp_send_reset` names its reason (since 6.10)
    pub has_reset_reason: u32,
    /// What `tw_refcount` is less than it: 1 where it is `tw_count`
    pub tw_uncounted: u32,
    /// `sock.sk_lock.owned`
    pub owned: u32,
    /// `sock.sk_err`
    pub error: u32,
    /// `sock.sk_socket`
    pub socket: u32,
    /// `socket.file`
    pub file: u32,
    /// `file.f_inode`
    pub inode: u32,
    /// `inode.i_ino`
    pub inode_number: u32,
    /// `sock_common.skc_flags`
    pub flags: u32,
    /// `sock_common.skc_family`
    pub family: u32,
    /// `sock_common.skc_state`
    pub state: u32,
    /// `sock_common.skc_daddr`, with `skc_rcv_saddr` right behind it
    pub addresses: u32,
    /// `sock_common.skc_v6_daddr`, with `skc_v6_rcv_saddr` right behind it
    pub addresses_v6: u32,
    /// `sock_common.skc_dport`, with `skc_num` right behind it
    pub ports: u32,
    /// `inet_sock.inet_sport`
    pub source_port: u32,
    /// `tcp_sock.bytes_sent`
    pub bytes_sent: u32,
    /// `tcp_sock.bytes_received`
    pub bytes_received: u32,
    /// `tcp_sock.total_retrans`
    pub retransmits: u32,
    /// `tcp_sock.srtt_us`
    pub smoothed_rtt: u32,
    /// `tcp_sock.lsndtime`
    pub last_sent: u32,
    /// `inet_connection_sock.icsk_ack.lrcvtime`
    pub last_received: u32,
    /// `sock.sk_protocol`
    pub protocol: u32,
    /// `sock_common.skc_cookie`
    pub cookie: u32,
    /// `sock_common.skc_net`
    pub net: u32,
    /// `net.ns.inum`
    pub net_inum: u32,
    /// `net.ipv4.tcp_death_row.tw_refcount`, which is 1 where there is no time-wait socket, or `tw_count`; 0 where the
    /// death row is not in `struct net`
    pub tw_refcount: u32,
    /// `net.ipv4.tcp_death_row.sysctl_max_tw_buckets`
    pub max_tw_buckets: u32,
    /// `task_struct.files`
    pub files: u32,
    /// `files_struct.fdt`
    pub fdt: u32,
    /// `fdtable.fd`
    pub fd: u32,
    /// `file.private_data`
    pub private_data: u32,
    /// `socket.sk`
    pub sk: u32,
    /// `task_struct.tgid`
    pub tgid: u32,
    /// `task_struct.comm`
    pub comm: u32,
    /// `task_struct.real_cred`
    pub real_cred: u32,
    /// `cred.uid`
    pub uid: u32,
    /// `task_struct.flags`
    pub task_flags: u32,
    /// `task_struct.group_leader`
    pub group_leader: u32,
    /// `task_struct.start_boottime`
    pub start_time: u32,
    /// `timer_list.function`
    pub timer_function: u32,
    /// `timer_list.expires`
    pub timer_expires: u32,
    /// `inet_timewait_sock.tw_timer`
    pub tw_timer: u32,
    /// Byte of `inet_timewait_sock.tw_substate`
    pub tw_substate: u32,
    /// `bpf_get_socket_cookie` is allowed in BTF tracepoints (since 5.12)
    pub has_cookie: u16,
    /// `bpf_get_current_task_btf` exists (since 5.11)
    pub has_task: u16,
}
