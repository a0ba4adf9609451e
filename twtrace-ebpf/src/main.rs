//! What the kernel side of twtrace observes: one short function a hook.
//!
//! It observes and never judges: no durations, no state kept between events, no decisions that a later
//! version may regret. What to read where comes from the layout written at load from the running kernel's BTF.
#![no_std]
#![no_main]

mod accept;
mod emit;
mod lane;
mod read;
mod socket;
mod time_wait;

use aya_ebpf::{
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use lane::Cpu;
use socket::{Socket, layout};
use twtrace_common::{NO_REASON, flag, kind};

/// Every state change of a TCP socket, with what the socket itself says at that moment.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn set_state(ctx: BtfTracePointContext) -> i32 {
    let Some(socket) = Socket::tcp(ctx.arg(0)) else { return 0 };
    let Some(cpu) = Cpu::current() else { return 0 };
    cpu.see(socket.address());
    emit::transition(&ctx, cpu, socket, ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8, 0);
    0
}

/// The same for a change in an interrupt of [`set_state`], which the kernel does not run again on that CPU. It is
/// attached after it, so it runs after it for each change.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn set_state_nested(ctx: BtfTracePointContext) -> i32 {
    let Some(socket) = Socket::tcp(ctx.arg(0)) else { return 0 };
    let Some(cpu) = Cpu::current() else { return 0 };
    if cpu.is_unseen(socket.address()) {
        emit::transition(&ctx, cpu, socket, ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8, flag::COPY);
    }
    0
}

/// The same where BTF programs are refused: the record alone, not the socket.
#[tracepoint(category = "sock", name = "inet_sock_set_state")]
pub fn set_state_classic(ctx: TracePointContext) -> u32 {
    emit::transition_classic(&ctx);
    0
}

#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn receive_reset(ctx: BtfTracePointContext) -> i32 {
    emit::reset(&ctx, ctx.arg(0), kind::RESET_RECEIVED, NO_REASON);
    0
}

#[btf_tracepoint(function = "tcp_send_reset")]
pub fn send_reset(ctx: BtfTracePointContext) -> i32 {
    // A third argument that this kernel does not pass may not even be looked at.
    let reason = if layout!(has_reset_reason) != 0 { ctx.arg::<u64>(2) } else { NO_REASON };
    emit::reset(&ctx, ctx.arg(0), kind::RESET_SENT, reason);
    0
}

/// A process destroys a socket: the last word on who held one that the network had ended before.
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn destroy_sock(ctx: BtfTracePointContext) -> i32 {
    emit::destroyed(&ctx, ctx.arg(0));
    0
}

/// `accept` returns to the process that called it: the current task is the one that accepted.
///
/// No tracepoint is at the accept itself, and the kernels that allow a program on `inet_csk_accept()` are not all.
#[tracepoint(category = "syscalls", name = "sys_exit_accept")]
pub fn accept(ctx: TracePointContext) -> u32 {
    accept::accepted(&ctx);
    0
}

#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
pub fn accept4(ctx: TracePointContext) -> u32 {
    accept::accepted(&ctx);
    0
}

#[btf_tracepoint(function = "timer_start")]
pub fn timer_start(ctx: BtfTracePointContext) -> i32 {
    time_wait::timer(&ctx, ctx.arg(0), kind::TIMER_START);
    0
}

#[btf_tracepoint(function = "timer_expire_entry")]
pub fn timer_expire(ctx: BtfTracePointContext) -> i32 {
    time_wait::timer(&ctx, ctx.arg(0), kind::TIMER_EXPIRE);
    0
}

#[btf_tracepoint(function = "timer_cancel")]
pub fn timer_cancel(ctx: BtfTracePointContext) -> i32 {
    time_wait::cancel(&ctx, ctx.arg(0));
    0
}

/// The least program there is: `cargo xtask bench` measures the others against it.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn empty(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Some of the helpers are for GPL programs alone.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
