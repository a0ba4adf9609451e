//! The columns of a recording: one flat table, a row for each observation, null where a kind has no such thing.
//!
//! docs/trace-format.md says the same at length. Where the two disagree, one of them is a bug.

use super::{
    columns::{Column, Flag, Name, Number, Text, Time},
    nested::{Counts, Processes},
    text::Reason,
};
use crate::model::{
    Comm, LossPlace, TcpState,
    observation::{Cause, Runtime},
};
use arrow_array::{
    ArrayRef,
    types::{UInt16Type, UInt32Type, UInt64Type},
};
use arrow_schema::{ArrowError, Field};
use std::{collections::HashMap, net::IpAddr};

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Transition,
    ResetSent,
    ResetReceived,
    Accepted,
    Destroyed,
    TimerStart,
    TimerExpire,
    TimerCancel,
    TableBegin,
    TableRow,
    TableAbsent,
    TableReady,
    TableEnd,
    Holder,
    Process,
    Lost,
    Counters,
    Tick,
}

/// What the number of a socket is: see [`SocketId`](crate::model::SocketId).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketIs {
    Cookie,
    Address,
    Remnant,
}

macro_rules! columns {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty,)+) => {
        /// Columns that are being filled.
        pub(super) struct Out {
            $($(#[doc = $doc])+ pub(super) $name: <$type as Column>::Out,)+
        }

        impl Out {
            pub(super) fn blank(rows: usize) -> Self {
                Self { $($name: <$type as Column>::blank(rows),)+ }
            }

            /// In the order of [`fields`].
            pub(super) fn arrays(self) -> Result<Vec<ArrayRef>, ArrowError> {
                Ok(vec![$(<$type as Column>::array(self.$name)?,)+])
            }
        }

        /// Columns to be read.
        pub(super) struct In {
            $(pub(super) $name: <$type as Column>::In,)+
        }

        impl In {
            /// From the arrays of [`fields`], `None` for one without a value; fails where they are others.
            pub(super) fn open<'a>(arrays: impl IntoIterator<Item = Option<&'a ArrayRef>>) -> Result<Self, ArrowError> {
                let mut arrays = arrays.into_iter();
                Ok(Self {
                    $($name: match arrays.next().flatten() {
                        Some(array) => <$type as Column>::open(array)?,
                        None => <$type as Column>::absent(),
                    },)+
                })
            }
        }

        /// What Arrow is told of the columns.
        pub(super) fn fields() -> Vec<Field> {
            vec![$({
                let comment = concat!($($doc),+).trim().to_owned();
                Field::new(stringify!($name), <$type as Column>::data_type(), true)
                    .with_metadata(HashMap::from([("comment".to_owned(), comment)]))
            },)+]
        }
    };
}

columns! {
    /// What was observed: transition, reset_sent, accepted, timer_expire, table_row, tick, ...
    kind: Name<Kind>,
    /// When it was so
    time: Time,
    /// How much earlier that was than what had been given out before this row; 0 nearly always
    delay_ns: Number<UInt64Type>,
    /// The order among rows of the same time + delay_ns
    tie: Number<UInt16Type>,
    /// The socket's number: the same on every row of one socket
    socket: Number<UInt64Type>,
    /// What that number is: cookie (never used twice), address (used again at once)
    socket_is: Name<SocketIs>,
    /// The socket's address in the kernel
    address: Number<UInt64Type>,
    /// Inode number of the network namespace
    netns: Number<UInt32Type>,
    /// The socket's own address
    local_ip: Text<IpAddr>,
    /// The socket's own port
    local_port: Number<UInt16Type>,
    /// The other end's address
    remote_ip: Text<IpAddr>,
    /// The other end's port
    remote_port: Number<UInt16Type>,
    /// The addresses are v4-mapped IPv6 addresses
    v4_mapped: Flag,
    /// The state that a transition leaves
    from: Name<TcpState>,
    /// The state that a transition enters
    to: Name<TcpState>,
    /// The state in which something else found the socket; of a time-wait socket the substate
    state: Name<TcpState>,
    /// The task on the CPU holds the socket's lock: it is at work on this socket
    owned: Flag,
    /// SOCK_DONE: the peer's FIN is in
    done: Flag,
    /// SOCK_DEAD: no descriptor is left
    dead: Flag,
    /// The namespace's table of time-wait sockets is full
    tw_full: Flag,
    /// sk_err, an errno; null where the socket could not be read
    error: Number<UInt16Type>,
    /// Inode of the socket's file
    inode: Number<UInt64Type>,
    /// Since data last went either way, at the transition that begins the closing
    idle_ns: Number<UInt64Type>,
    /// Bytes of data sent, those sent again included: at the last transition, or so far when the table was read
    bytes_sent: Number<UInt64Type>,
    /// Bytes of data received in order: at the last transition, or so far when the table was read
    bytes_received: Number<UInt64Type>,
    /// Segments sent again: at the last transition, or so far when the table was read
    retransmits: Number<UInt32Type>,
    /// The smoothed round-trip time: at the last transition, or when the table was read
    srtt_ns: Number<UInt64Type>,
    /// The process; of a transition the one on the CPU, which need not have to do with it
    pid: Number<UInt32Type>,
    /// Its real user id
    uid: Number<UInt32Type>,
    /// When it was started
    started: Time,
    /// Its name, escaped where it is not plain text
    comm: Text<Comm>,
    /// It is a kernel thread
    kernel_thread: Flag,
    /// The kernel's name of a reset's reason
    reason: Text<Reason>,
    /// The moment for which a time-wait socket's timer was armed
    due: Time,
    /// What took a time-wait socket off: connect, segment, reset, abort, namespace
    cause: Name<Cause>,
    /// The table: nanoseconds until a time-wait socket's timer runs out
    time_wait_left_ns: Number<UInt64Type>,
    /// The table: nanoseconds since the last ACK came in
    last_ack_ns: Number<UInt64Type>,
    /// The table was read to its end
    whole: Flag,
    /// Processes with a descriptor of the inode
    holders: Processes,
    /// A process's cgroup
    cgroup: Text<Box<str>>,
    /// What runs its container: docker, containerd, cri-o, podman, systemd
    runtime: Name<Runtime>,
    /// Its container's id
    container: Text<Box<str>>,
    /// Its pod
    pod: Text<Box<str>>,
    /// Descriptors that it has open
    descriptors: Number<UInt64Type>,
    /// Descriptors that it may have open
    descriptor_limit: Number<UInt64Type>,
    /// How many events were lost
    count: Number<UInt64Type>,
    /// Where they were lost: ring, recursion, decode, recording
    place: Name<LossPlace>,
    /// The kernel's counters were read between this and time
    begun: Time,
    /// Its counter TW counts time-wait sockets when they are made
    time_waits_at_birth: Flag,
    /// The kernel's counters, by its names
    counters: Counts,
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn the_documentation_has_every_column() {
        let text = include_str!("../../../docs/trace-format.md");
        for field in fields() {
            let (start, end) = (format!("| `{}` | ", field.name()), format!(" | {} |", field.metadata()["comment"]));
            assert!(text.lines().any(|line| line.starts_with(&start) && line.ends_with(&end)), "{start}...{end}");
        }
    }
}
