//! The timer of a time-wait socket: its beginning, its restarts and its end.
//!
//! `inet_timewait_sock` is reached from its `tw_timer`, so by reading memory behind the pointer that the
//! tracepoint gives: with a helper, since the verifier only knows the timer.

use crate::{
    emit::emit,
    read::read,
    socket::{current_task, layout, load},
};
use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_stack, bpf_jiffies64},
};
use core::ptr::addr_of_mut;
use twtrace_common::{Cancel, Head, STACK_DEPTH, Timer, kind};

const AF_INET6: u16 = 10;

#[inline(always)]
pub fn timer(ctx: &impl EbpfContext, timer: *const u8, kind: u8) {
    if is_time_wait(timer) {
        emit::<Timer>(ctx, |record, ktime| fill(ctx, record, timer, kind, ktime));
    }
}

#[inline(always)]
pub fn cancel(ctx: &impl EbpfContext, timer: *const u8) {
    if !is_time_wait(timer) {
        return;
    }
    emit::<Cancel>(ctx, |record, ktime| unsafe {
        fill(ctx, addr_of_mut!((*record).timer), timer, kind::TIMER_CANCEL, ktime);
        let task_flags = current_task(addr_of_mut!((*record).task));
        addr_of_mut!((*record).timer.head.flags).write(task_flags);
        let stack = addr_of_mut!((*record).stack);
        stack.write([0; STACK_DEPTH]);
        bpf_get_stack(ctx.as_ptr(), stack.cast(), size_of::<[u64; STACK_DEPTH]>() as u32, 0);
    });
}

#[inline(always)]
fn is_time_wait(timer: *const u8) -> bool {
    load!(timer, timer_function, u64) == layout!(tw_timer_handler)
}

/// The part of a time-wait socket in front of its timer, rounded up.
const FRONT: usize = 192;

/// The front of a time-wait socket, copied at one go: a helper call a field would cost more than all the rest.
#[repr(C, align(8))]
struct Front([u8; FRONT]);

impl Front {
    #[inline(always)]
    fn at<T: Copy>(&self, offset: u32) -> T {
        // Offsets come from the kernel's own layout and are constants to the verifier, which holds them against
        // the size of the stack.
        unsafe { self.0.as_ptr().byte_add(offset as usize).cast::<T>().read_volatile() }
    }
}

#[inline(always)]
fn fill(ctx: &impl EbpfContext, record: *mut Timer, timer: *const u8, kind: u8, ktime: u64) {
    let time_wait = (timer as u64).wrapping_sub(u64::from(layout!(tw_timer)));
    let front = read::<Front>(ctx, time_wait, 0);
    let family = front.at::<u16>(layout!(family));
    let netns = read::<u32>(ctx, front.at(layout!(net)), layout!(net_inum));
    unsafe {
        let tuple = addr_of_mut!((*record).tuple);
        addr_of_mut!((*tuple).family).write(family);
        let [remote_port, local_port] = front.at::<[u16; 2]>(layout!(ports));
        addr_of_mut!((*tuple).local_port).write(local_port);
        addr_of_mut!((*tuple).remote_port).write(u16::from_be(remote_port));
        addr_of_mut!((*tuple).error).write(0);
        let (local, remote) = if family == AF_INET6 {
            let [remote, local] = front.at::<[[u64; 2]; 2]>(layout!(addresses_v6));
            (local, remote)
        } else {
            let [remote, local] = front.at::<[u32; 2]>(layout!(addresses));
            ([u64::from(local), 0], [u64::from(remote), 0])
        };
        addr_of_mut!((*tuple).local).cast::<[u64; 2]>().write(local);
        addr_of_mut!((*tuple).remote).cast::<[u64; 2]>().write(remote);
        // Jiffies wrap; the difference does not.
        let remaining = load!(timer, timer_expires, u64).wrapping_sub(bpf_jiffies64()) as i64;
        addr_of_mut!((*record).remaining).write(remaining);
        addr_of_mut!((*record).head).write(Head {
            ktime,
            cookie: front.at(layout!(cookie)),
            address: time_wait,
            netns,
            kind,
            old_state: front.at(layout!(tw_substate)),
            new_state: 0,
            flags: 0,
        });
    }
}
