//! Observations of every kind with anything at all in them.

use proptest::{collection::vec, option, prelude::*, sample::select};
use std::net::IpAddr;
use twtrace::model::{
    Comm, Endpoint, FourTuple, Ktime, LossPlace, Observation, Process, SocketId, TcpState, Transition,
    observation::{
        Cause, Container, Counters, Hold, Holder, Lost, ProcessReading, Reset, Row, Runtime, SocketSays, Table, Timer,
        TimerEvent, Traffic,
    },
};

/// Moments near one another, equal ones, and any.
fn at() -> impl Strategy<Value = Ktime> {
    prop_oneof![8 => 1_000u64..1_050, 4 => 5_000_000_000u64..9_000_000_000, 1 => any::<u64>()].prop_map(Ktime)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..8, any::<u64>()]
}

fn socket() -> impl Strategy<Value = SocketId> {
    prop_oneof![
        6 => number().prop_map(SocketId::Cookie),
        2 => number().prop_map(SocketId::Address),
        1 => number().prop_map(SocketId::Remnant),
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let near = (0u8..4).prop_map(|last| IpAddr::from([127, 0, 0, last]));
    (prop_oneof![near, any::<IpAddr>()], any::<u16>()).prop_map(|(ip, port)| Endpoint { ip, port })
}

fn tuple() -> impl Strategy<Value = FourTuple> {
    (endpoint(), endpoint()).prop_map(|(local, remote)| FourTuple { local, remote })
}

fn state() -> impl Strategy<Value = TcpState> {
    select(&TcpState::ALL[..])
}

fn process() -> impl Strategy<Value = Process> {
    let comm =
        prop_oneof![Just(b"nginx".to_vec()), Just(b"\\x41 \xff\n\xe2\x80\xae".to_vec()), vec(any::<u8>(), 0..16)];
    (any::<u32>(), any::<u32>(), option::of(number()), comm).prop_map(|(pid, uid, started, comm)| Process {
        pid,
        uid,
        started,
        comm: Comm::new(&comm),
    })
}

fn netns() -> impl Strategy<Value = Option<u32>> {
    option::of(prop_oneof![Just(4_026_531_840), any::<u32>()])
}

fn traffic() -> impl Strategy<Value = Traffic> {
    (number(), number(), any::<u32>(), option::of(number())).prop_map(
        |(bytes_sent, bytes_received, retransmits, srtt)| Traffic { bytes_sent, bytes_received, retransmits, srtt },
    )
}

fn says() -> impl Strategy<Value = SocketSays> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, any::<u16>(), option::of(number()), option::of(number()), option::of(traffic())).prop_map(
        |((owned, done, dead, full), error, inode, idle, traffic)| SocketSays {
            owned,
            done,
            dead,
            full,
            error,
            inode,
            idle,
            traffic,
        },
    )
}

fn transition() -> impl Strategy<Value = Observation> {
    let who = (option::of(says()), option::of(process()), any::<bool>());
    (at(), socket(), number(), netns(), tuple(), any::<bool>(), (state(), state()), who).prop_map(
        |(at, socket, address, netns, tuple, v4_mapped, (from, to), (socket_says, task, kernel_thread))| {
            Observation::Transition(Transition {
                at,
                socket,
                address,
                netns,
                tuple,
                v4_mapped,
                from,
                to,
                socket_says,
                task,
                kernel_thread,
            })
        },
    )
}

fn reset() -> impl Strategy<Value = Observation> {
    let reason = option::of(select(&["NOT_SPECIFIED", "TCP_ABORT_ON_CLOSE", ""][..]));
    (at(), socket(), number(), netns(), any::<bool>(), option::of(state()), reason).prop_map(
        |(at, socket, address, netns, sent, state, reason)| {
            Observation::Reset(Reset { at, socket, address, netns, sent, state, reason })
        },
    )
}

fn hold() -> impl Strategy<Value = Observation> {
    (at(), socket(), any::<bool>(), option::of(process()))
        .prop_map(|(at, socket, accepted, process)| Observation::Hold(Hold { at, socket, accepted, process }))
}

fn timer() -> impl Strategy<Value = Observation> {
    let event = prop_oneof![
        Just(TimerEvent::Start),
        Just(TimerEvent::Expire),
        (option::of(select(&Cause::ALL[..])), option::of(process()))
            .prop_map(|(cause, by)| TimerEvent::Cancel(cause, by)),
    ];
    (at(), socket(), netns(), tuple(), state(), at(), event).prop_map(
        |(at, socket, netns, tuple, substate, due, event)| {
            Observation::Timer(Timer { at, socket, netns, tuple, substate, due, event })
        },
    )
}

fn table() -> impl Strategy<Value = Observation> {
    let row =
        (at(), socket(), any::<u32>(), tuple(), any::<bool>(), state(), option::of(number()), option::of(number()))
            .prop_flat_map(|(at, socket, netns, tuple, v4_mapped, state, time_wait_left, inode)| {
                (option::of(number()), option::of(traffic())).prop_map(move |(last_ack, traffic)| {
                    let ends =
                        Row { at, socket, netns, tuple, v4_mapped, state, time_wait_left, inode, last_ack, traffic };
                    Table::Row(ends)
                })
            });
    let table = prop_oneof![
        4 => row,
        1 => (at(), any::<u32>()).prop_map(|(at, netns)| Table::Begin { at, netns }),
        1 => (at(), socket()).prop_map(|(at, socket)| Table::Absent { at, socket }),
        1 => at().prop_map(|at| Table::Ready { at }),
        1 => (at(), any::<u32>(), any::<bool>()).prop_map(|(at, netns, whole)| Table::End { at, netns, whole }),
    ];
    table.prop_map(Observation::Table)
}

fn text() -> impl Strategy<Value = Box<str>> {
    "\\PC{0,20}|/system.slice/nginx.service".prop_map(Into::into)
}

fn reading() -> impl Strategy<Value = Observation> {
    let container = (select(&Runtime::ALL[..]), text(), option::of(text())).prop_map(|(runtime, id, pod)| Container {
        runtime,
        id,
        pod,
    });
    let limits = (option::of(number()), option::of(number()));
    (at(), process(), option::of(text()), option::of(container), limits).prop_map(
        |(at, process, cgroup, container, (descriptors, descriptor_limit))| {
            Observation::Process(Box::new(ProcessReading {
                at,
                process,
                cgroup,
                container,
                descriptors,
                descriptor_limit,
            }))
        },
    )
}

fn rest() -> impl Strategy<Value = Observation> {
    let holder = (at(), number(), vec(process(), 0..4))
        .prop_map(|(at, inode, processes)| Observation::Holder(Holder { at, inode, processes }));
    let lost = (at(), number(), select(&LossPlace::ALL[..]))
        .prop_map(|(at, count, place)| Observation::Lost(Lost { at, count, place }));
    let values = proptest::collection::btree_map("[A-Za-z]{0,20}", any::<u64>(), 0..6);
    let counters = (at(), at(), any::<u32>(), any::<bool>(), values).prop_map(
        |(before, after, netns, time_waits_at_birth, values)| {
            Observation::Counters(Counters { before, after, netns, time_waits_at_birth, values })
        },
    );
    prop_oneof![holder, lost, counters, at().prop_map(Observation::Tick)]
}

/// Any.
pub(crate) fn observation() -> impl Strategy<Value = Observation> {
    // Boxed: they are too large for a stack.
    prop_oneof![
        4 => transition().boxed(),
        1 => reset().boxed(),
        1 => hold().boxed(),
        1 => timer().boxed(),
        1 => table().boxed(),
        1 => reading().boxed(),
        1 => rest().boxed(),
    ]
}
