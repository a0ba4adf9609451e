use super::{
    Ask, Beside, Dump, INET_DIAG_INFO, INET_DIAG_SHUTDOWN, Message, Messages, NLM_F_DUMP_INTR, Request, Sought, Traffic,
};
use crate::model::{Endpoint, FourTuple, Ktime, SocketId, TcpState};
use proptest::prelude::*;
use zerocopy::IntoBytes;

const SEQUENCE: u32 = 7;

/// A `struct inet_diag_msg` of 10.0.0.1:80 and 10.0.0.2:4660 with cookie 0x1_0000_0002.
fn socket(state: u8, timer: u8, expires: u32, inode: u32) -> Vec<u8> {
    let mut bytes = vec![2, state, timer, 0, 0, 80, 0x12, 0x34];
    for address in [[10, 0, 0, 1], [10, 0, 0, 2]] {
        bytes.extend(address);
        bytes.extend([0; 12]);
    }
    for word in [0, 2, 1, expires, 0, 0, 0, inode] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(SEQUENCE.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

/// A full socket as the kernel sends it when asked for INET_DIAG_INFO.
fn full(state: u8) -> Vec<u8> {
    let mut tcp_info = [0; 248];
    tcp_info[52..56].copy_from_slice(&4200_u32.to_ne_bytes());
    tcp_info[56..60].copy_from_slice(&3108_u32.to_ne_bytes());
    let mut body = socket(state, 0, 0, 4711);
    body.extend(attribute(INET_DIAG_SHUTDOWN, &[0]));
    body.extend(attribute(INET_DIAG_INFO, &tcp_info));
    body
}

fn decoded(bytes: &[u8]) -> Vec<Message> {
    Messages { bytes, sequence: SEQUENCE, at: Ktime(5), netns: 9 }.collect()
}

fn row(body: &[u8]) -> crate::model::observation::Row {
    match decoded(&message(20, 0, body))[..] {
        [Message::Socket { row, .. }] => row,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_socket() {
    let row = row(&full(8));
    assert_eq!(row.state, TcpState::CloseWait);
    assert_eq!(row.socket, SocketId::Cookie(0x1_0000_0002));
    assert_eq!(row.tuple.local, Endpoint { ip: [10, 0, 0, 1].into(), port: 80 });
    assert_eq!(row.tuple.remote, Endpoint { ip: [10, 0, 0, 2].into(), port: 0x1234 });
    assert_eq!((row.at, row.netns, row.inode), (Ktime(5), 9, Some(4711)));
    assert_eq!(row.last_ack, Some(3_108_000_000));
    assert_eq!((row.time_wait_left, row.v4_mapped), (None, false));
}

/// `expires`, then the two queues, the user and the inode.
#[test]
fn a_listener_has_a_queue_and_its_limit() {
    let mut body = socket(10, 0, 0, 4711);
    body[56..64].copy_from_slice(&[3_u32.to_ne_bytes(), 128_u32.to_ne_bytes()].concat());
    body.extend(attribute(INET_DIAG_INFO, &[0xff; 248]));
    let [Message::Socket { row, beside, .. }] = decoded(&message(20, 0, &body))[..] else { panic!("a socket") };
    assert_eq!(beside, Beside { device: 0, receive_queue: 3, send_queue: 128, last_data: None });
    assert_eq!((row.state, row.last_ack), (TcpState::Listen, None));
    let [Message::Socket { beside, .. }] = decoded(&message(20, 0, &full(8)))[..] else { panic!("a socket") };
    assert_eq!(beside.last_data, Some(4_200_000_000));
}

#[test]
fn a_time_wait_socket_has_time_left() {
    let waits = row(&socket(6, 3, 59_996, 0));
    assert_eq!((waits.state, waits.time_wait_left), (TcpState::TimeWait, Some(59_996_000_000)));
    assert_eq!((waits.inode, waits.last_ack), (None, None));
    let orphan = row(&socket(5, 3, 0, 0));
    assert_eq!((orphan.state, orphan.time_wait_left), (TcpState::FinWait2, Some(0)));
    let keepalive = row(&socket(5, 2, 29_952, 0));
    assert_eq!((keepalive.state, keepalive.time_wait_left), (TcpState::FinWait2, None));
}

#[test]
fn no_ack_before_the_first() {
    for state in [2, 7, 10] {
        assert_eq!(row(&full(state)).last_ack, None);
    }
}

#[test]
fn the_syn_queue_is_told_from_sockets() {
    let half_open = decoded(&message(20, 0, &socket(3, 1, 900, 0)));
    assert!(matches!(half_open[..], [Message::HalfOpen(tuple)] if tuple.local.port == 80), "{half_open:?}");
    assert_eq!(row(&full(3)).state, TcpState::SynRecv);
}

#[test]
fn mapped_addresses_are_ipv4() {
    let mut bytes = full(1);
    bytes[0] = 10;
    bytes[8..24].copy_from_slice(&"::ffff:127.0.0.1".parse::<std::net::Ipv6Addr>().expect("valid").octets());
    bytes[24..40].copy_from_slice(&"::ffff:127.0.0.2".parse::<std::net::Ipv6Addr>().expect("valid").octets());
    let row = row(&bytes);
    assert!(row.v4_mapped);
    assert_eq!(row.tuple.remote.ip, std::net::IpAddr::from([127, 0, 0, 2]));
}

#[test]
fn ends_and_refusals() {
    let errno = |errno: i32| (-errno).to_ne_bytes();
    assert_eq!(decoded(&message(3, 0, &errno(0))), [Message::Done { error: 0, interrupted: false }]);
    assert_eq!(decoded(&message(3, NLM_F_DUMP_INTR, &errno(4))), [Message::Done { error: 4, interrupted: true }]);
    assert_eq!(decoded(&message(2, 0, &errno(libc::ENOENT))), [Message::Refused(libc::ENOENT)]);
    assert_eq!(decoded(&message(2, 0, &i32::MIN.to_ne_bytes())), [Message::Refused(i32::MAX)]);
    let mut stale = message(3, 0, &errno(0));
    stale[8] ^= 1;
    assert_eq!(decoded(&stale), [Message::Foreign]);
    let interrupted = decoded(&message(20, NLM_F_DUMP_INTR, &full(1)));
    assert!(matches!(interrupted[..], [Message::Socket { interrupted: true, .. }]));
}

#[test]
fn nonsense_ends_the_reading() {
    let good = message(20, 0, &full(1));
    let mut short_header = good.clone();
    short_header[0] = 15;
    short_header[1] = 0;
    let mut family = good.clone();
    family[16] = 1;
    let mut state = good.clone();
    state[17] = 13;
    let mut attribute = good.clone();
    attribute[16 + 72] = 3;
    for wrong in [short_header, family, state, attribute] {
        assert_eq!(decoded(&[wrong, good.clone()].concat()), [Message::Malformed]);
    }
    assert_eq!(decoded(&good[..good.len() - 1]), [Message::Malformed]);
}

#[test]
fn a_lookup_names_both_ends() {
    let tuple = FourTuple {
        local: Endpoint { ip: [127, 0, 0, 1].into(), port: 0x1234 },
        remote: Endpoint { ip: [127, 0, 0, 2].into(), port: 80 },
    };
    let socket = SocketId::Cookie(0x1_0000_0002);
    let sought = Sought { socket, tuple, v4_mapped: false, tcp_info: false };
    let request = Request::lookup(sought, 3, SEQUENCE);
    let bytes = request.as_bytes();
    assert_eq!(bytes[16..20], [2, 6, 0, 0]);
    assert_eq!(bytes[24..32], [0x12, 0x34, 0, 80, 127, 0, 0, 1]);
    assert_eq!(bytes[44..48], [127, 0, 0, 2]);
    assert_eq!(bytes[60..], [3_u32, 2, 1].map(u32::to_ne_bytes).concat());
    let sought = Sought { socket: SocketId::Address(9), v4_mapped: true, tcp_info: true, ..sought };
    let mapped = Request::lookup(sought, 0, SEQUENCE);
    let bytes = mapped.as_bytes();
    assert_eq!(bytes[16..20], [10, 6, 2, 0]);
    assert_eq!(bytes[28..44], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]);
    assert_eq!(bytes[64..], [0xff; 8]);
}

/// `struct inet_diag_req`: the extensions before the ends, the states behind them.
#[test]
fn a_dump_asks_for_both_families() {
    let dump = Dump::new(Ask::only(TcpState::CloseWait).with_tcp_info(), SEQUENCE);
    let bytes = dump.as_bytes();
    assert_eq!((bytes.len(), &bytes[16..20]), (76, &[0, 0, 0, 2][..]));
    assert_eq!(bytes[4..6], 18_u16.to_ne_bytes());
    assert_eq!(bytes[68..72], (1_u32 << 8).to_ne_bytes());
    // ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING: numbers 1, 4, 5, 8, 9, 11.
    let dump = Dump::new(Ask::carriers(), SEQUENCE);
    assert_eq!(dump.as_bytes()[68..72], 0b1011_0011_0010_u32.to_ne_bytes());
}

/// tcpi_rtt, tcpi_total_retrans, tcpi_bytes_received, tcpi_bytes_sent: offsets by `offsetof` of linux/tcp.h.
#[test]
fn what_a_socket_has_carried() {
    let carried = |state: u8, length: usize| {
        let mut tcp_info = [0; 248];
        tcp_info[68..72].copy_from_slice(&31_u32.to_ne_bytes());
        tcp_info[100..104].copy_from_slice(&3_u32.to_ne_bytes());
        tcp_info[128..136].copy_from_slice(&5_000_000_001_u64.to_ne_bytes());
        tcp_info[200..208].copy_from_slice(&7_u64.to_ne_bytes());
        let mut body = socket(state, 0, 0, 4711);
        body.extend(attribute(INET_DIAG_INFO, &tcp_info[..length]));
        row(&body).traffic
    };
    let traffic = Traffic { bytes_sent: 7, bytes_received: 5_000_000_001, retransmits: 3, srtt: Some(31_000) };
    assert_eq!(carried(1, 248), Some(traffic));
    // The peer's FIN is in, and no byte of data.
    assert_eq!(carried(8, 248), Some(Traffic { bytes_received: 5_000_000_000, ..traffic }));
    // A kernel that knows less; and states that carry nothing.
    assert_eq!((carried(1, 208), carried(1, 207), carried(1, 0)), (Some(traffic), None, None));
    assert_eq!((carried(2, 248), carried(10, 248)), (None, None));
    // Nothing was measured.
    assert_eq!(row(&full(1)).traffic, Some(Traffic::default()));
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes: Vec<u8>) {
        decoded(&bytes);
    }

    #[test]
    fn damage_never_panics(cut in 0..400_usize, flips in proptest::collection::vec((0..400_usize, any::<u8>()), 0..4)) {
        let messages = [message(20, 0, &full(1)), message(20, 0, &socket(6, 3, 1, 0)), message(3, 0, &[0; 4])];
        let mut bytes = messages.concat();
        for (at, with) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= with;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        decoded(&bytes);
    }
}
