//! From the descriptor that `accept` returns to its socket.

use crate::{
    emit::emit,
    read::read,
    socket::{IPPROTO_TCP, current_task, layout, load},
};
use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_current_task, bpf_get_current_task_btf},
    programs::TracePointContext,
};
use core::ptr::addr_of_mut;
use twtrace_common::{Head, Hold, flag, kind};

/// Where the record of every `syscalls:sys_exit_*` has the call's result.
const RESULT: usize = 16;

#[inline(always)]
pub fn accepted(ctx: &TracePointContext) {
    let result = unsafe { ctx.as_ptr().cast_const().byte_add(RESULT).cast::<i64>().read_volatile() };
    if result < 0 {
        return;
    }
    let descriptors = descriptors(ctx);
    let file = read::<u64>(ctx, descriptors.wrapping_add(result as u64 * 8), 0);
    let socket = read::<u64>(ctx, file, layout!(private_data));
    let sock = read::<u64>(ctx, socket, layout!(sk));
    // set_state gave it its cookie when the connection was established. What has none is no TCP connection.
    let cookie = read::<u64>(ctx, sock, layout!(cookie));
    let is_tcp =
        if layout!(has_cookie) != 0 { cookie != 0 } else { read::<u16>(ctx, sock, layout!(protocol)) == IPPROTO_TCP };
    if !is_tcp {
        return;
    }
    emit::<Hold>(ctx, |record, ktime| unsafe {
        let kthread = current_task(addr_of_mut!((*record).task));
        addr_of_mut!((*record).head).write(Head {
            ktime,
            cookie,
            address: sock,
            netns: 0,
            kind: kind::ACCEPTED,
            old_state: 0,
            new_state: 0,
            flags: flag::OWNED | kthread,
        });
    });
}

/// The array of the current task's open files: the first pointer on the way to it that the verifier has no type for.
#[inline(always)]
fn descriptors(ctx: &TracePointContext) -> u64 {
    if layout!(has_task) != 0 {
        let task = unsafe { bpf_get_current_task_btf() }.cast::<u8>().cast_const();
        let files = load!(task, files, *const u8);
        let table = load!(files, fdt, *const u8);
        return load!(table, fd, u64);
    }
    // Before 5.11 a task has no type either.
    let files = read::<u64>(ctx, unsafe { bpf_get_current_task() }, layout!(files));
    let table = read::<u64>(ctx, files, layout!(fdt));
    read::<u64>(ctx, table, layout!(fd))
}
