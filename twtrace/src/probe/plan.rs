//! What to attach on a kernel, and what is missing without it: a pure function of [`Support`].

use super::support::Support;

/// A program of the object and the place it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Every state change, with a look at the socket.
    SetState,
    /// State changes in an interrupt of the former.
    SetStateNested,
    /// Every state change, without a look at the socket.
    SetStateClassic,
    /// Resets received.
    ReceiveReset,
    /// Resets sent, with the kernel's reason.
    SendReset,
    /// The process that destroys a socket.
    DestroySock,
    /// The process that accepts a connection.
    Accept,
    /// The same, by the call that nearly everybody uses.
    Accept4,
    /// The end of a TIME_WAIT.
    TimerExpire,
    /// Its start and restarts.
    TimerStart,
    /// Its early end, and by what.
    TimerCancel,
}

/// Where a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A tracepoint, with typed arguments.
    Btf(&'static str),
    /// A tracepoint, with the record that it prints: category and name.
    Classic(&'static str, &'static str),
}

impl Hook {
    /// The most important first.
    pub const ALL: [Self; 11] = [
        Self::SetState,
        Self::SetStateNested,
        Self::SetStateClassic,
        Self::ReceiveReset,
        Self::SendReset,
        Self::Accept,
        Self::Accept4,
        Self::DestroySock,
        Self::TimerExpire,
        Self::TimerStart,
        Self::TimerCancel,
    ];

    /// The hook for which this one is a makeshift: it is attached only where the other is not.
    pub fn stands_in_for(self) -> Option<Self> {
        match self {
            Self::SetStateClassic => Some(Self::SetState),
            // Whoever accepted a connection holds it until the end, unless it is passed on.
            Self::DestroySock => Some(Self::Accept4),
            _ => None,
        }
    }

    /// The program's name in the object.
    pub fn program(self) -> &'static str {
        match self {
            Self::SetState => "set_state",
            Self::SetStateNested => "set_state_nested",
            Self::SetStateClassic => "set_state_classic",
            Self::ReceiveReset => "receive_reset",
            Self::SendReset => "send_reset",
            Self::DestroySock => "destroy_sock",
            Self::Accept => "accept",
            Self::Accept4 => "accept4",
            Self::TimerExpire => "timer_expire",
            Self::TimerStart => "timer_start",
            Self::TimerCancel => "timer_cancel",
        }
    }

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SetState => "tp_btf/inet_sock_set_state",
            Self::SetStateNested => "tp_btf/inet_sock_set_state (nested)",
            Self::SetStateClassic => "tracepoint/sock/inet_sock_set_state",
            Self::ReceiveReset => "tp_btf/tcp_receive_reset",
            Self::SendReset => "tp_btf/tcp_send_reset",
            Self::DestroySock => "tp_btf/tcp_destroy_sock",
            Self::Accept => "tracepoint/syscalls/sys_exit_accept",
            Self::Accept4 => "tracepoint/syscalls/sys_exit_accept4",
            Self::TimerExpire => "tp_btf/timer_expire_entry",
            Self::TimerStart => "tp_btf/timer_start",
            Self::TimerCancel => "tp_btf/timer_cancel",
        }
    }

    /// Where it goes.
    pub fn place(self) -> Place {
        match self {
            Self::SetState | Self::SetStateNested => Place::Btf("inet_sock_set_state"),
            Self::SetStateClassic => Place::Classic("sock", "inet_sock_set_state"),
            Self::ReceiveReset => Place::Btf("tcp_receive_reset"),
            Self::SendReset => Place::Btf("tcp_send_reset"),
            Self::DestroySock => Place::Btf("tcp_destroy_sock"),
            Self::Accept => Place::Classic("syscalls", "sys_exit_accept"),
            Self::Accept4 => Place::Classic("syscalls", "sys_exit_accept4"),
            Self::TimerExpire => Place::Btf("timer_expire_entry"),
            Self::TimerStart => Place::Btf("timer_start"),
            Self::TimerCancel => Place::Btf("timer_cancel"),
        }
    }

    /// What twtrace cannot tell without it.
    pub fn gives(self) -> &'static str {
        match self {
            Self::SetState => "every state change, with what the socket itself says",
            Self::SetStateNested => "the state changes in an interrupt of another",
            Self::SetStateClassic => "every state change",
            Self::ReceiveReset => "resets received",
            Self::SendReset => "resets sent, and why",
            Self::DestroySock => "whose a connection was that the network had ended",
            Self::Accept | Self::Accept4 => "the process that accepted a connection",
            Self::TimerExpire => "the end of a TIME_WAIT to the microsecond",
            Self::TimerStart => "the start and the restarts of a TIME_WAIT to the microsecond",
            Self::TimerCancel => "what ended a TIME_WAIT early",
        }
    }
}

/// The ways of tracing, from the best to the one that works everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The socket is read, TIME_WAIT by its timer.
    Hook,
    /// The socket is read, TIME_WAIT by the socket table.
    SockDiag,
    /// The tracepoint's record alone, the rest by the socket table.
    Classic,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The best tier to use.
    pub tier: Tier,
    /// Attach what costs by the packet, too.
    pub exact: bool,
}

/// Why a makeshift is not attached.
pub const NOT_NEEDED: &str = "not needed";

/// Whether each hook is to be attached; if not, why.
pub type Plan = Vec<(Hook, Result<(), String>)>;

/// Decides what to attach.
pub fn plan(support: &Support, wish: Wish) -> Plan {
    Hook::ALL.into_iter().map(|hook| (hook, decide(support, wish, hook))).collect()
}

fn decide(support: &Support, wish: Wish, hook: Hook) -> Result<(), String> {
    let tier = if support.layout.is_err() { Tier::Classic } else { wish.tier };
    let lower = || format!("not in tier {}", tier.name());
    match hook {
        Hook::SetStateClassic if tier < Tier::Classic => return Err(NOT_NEEDED.to_owned()),
        Hook::SetStateClassic => {}
        _ => {
            support.layout.as_ref().map_err(Clone::clone)?;
            if tier == Tier::Classic {
                return Err(lower());
            }
        }
    }
    let timer = matches!(hook, Hook::TimerExpire | Hook::TimerStart | Hook::TimerCancel);
    if timer && tier > Tier::Hook {
        return Err(lower());
    }
    if timer && support.symbols.tw_timer_handler.is_none() {
        // kallsyms_show_value(), kernel/ksyms_common.c.
        return Err(
            "the address of tw_timer_handler is hidden: needs CAP_SYSLOG, and kernel.kptr_restrict below 2".to_owned()
        );
    }
    if matches!(hook, Hook::TimerStart | Hook::TimerCancel) && !wish.exact {
        return Err("costs by the packet: only with --exact".to_owned());
    }
    if hook == Hook::DestroySock && support.tracefs.is_ok() {
        return Err(NOT_NEEDED.to_owned());
    }
    match hook.place() {
        Place::Btf(name) if !support.tracepoints.iter().any(|(known, _)| *known == name) => {
            Err(format!("this kernel has no tracepoint {name}"))
        }
        Place::Btf(_) => Ok(()),
        Place::Classic(..) => support.tracefs.as_ref().map(drop).map_err(Clone::clone),
    }
}

impl Tier {
    /// As given to `--tier`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::SockDiag => "sock_diag",
            Self::Classic => "classic",
        }
    }
}

#[cfg(test)]
mod tests;
