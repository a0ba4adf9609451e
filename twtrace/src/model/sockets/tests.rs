use super::*;
use crate::model::{
    Comm,
    sysctls::{PORT_RANGE, RESERVED_PORTS},
};
use proptest::prelude::*;

const NETNS: u32 = 1;

fn end(text: &str) -> Endpoint {
    let end: std::net::SocketAddr = text.parse().expect("an address and a port");
    Endpoint { ip: end.ip(), port: end.port() }
}

fn row(state: TcpState, local: &str, remote: &str, inode: Option<u64>) -> Row {
    Row {
        at: Ktime(0),
        socket: SocketId::Cookie(inode.unwrap_or(0)),
        netns: NETNS,
        tuple: FourTuple { local: end(local), remote: end(remote) },
        v4_mapped: false,
        state,
        time_wait_left: None,
        inode,
        last_ack: None,
        traffic: None,
    }
}

fn wait(local: &str, remote: &str, left: u64) -> Row {
    Row { time_wait_left: Some(left), ..row(TcpState::TimeWait, local, remote, None) }
}

fn process(pid: u32) -> Process {
    Process { pid, uid: 0, started: Some(u64::from(pid)), comm: Comm::new(b"api") }
}

/// With the usual port range.
fn sockets(listeners: &[&str], rows: &[Row]) -> Sockets {
    let values = [(PORT_RANGE, "32768 60999"), (RESERVED_PORTS, "40000")];
    let mut sockets = Sockets::new(false);
    sockets.enter(NETNS, PortRange::of(&values.map(|(name, value)| (name.to_owned(), value.to_owned())).into()));
    for at in listeners {
        let listener = row(TcpState::Listen, at, "0.0.0.0:0", Some(1));
        sockets.listens(&listener);
        sockets.listener(&listener, 0, 128);
    }
    rows.iter().for_each(|row| sockets.connection(row));
    sockets
}

fn ways(sockets: &Sockets) -> (Vec<String>, Vec<String>) {
    let out = sockets.outgoing(usize::MAX).0.into_iter();
    let out = out.map(|(_, from, to, load)| format!("{from} > {to} {}/{}", load.ports, load.counts.total()));
    let incoming =
        sockets.incoming(usize::MAX).0.into_iter().map(|(_, at, load)| format!("{at} {}", load.counts.total()));
    (out.collect(), incoming.collect())
}

#[test]
fn the_service_is_where_somebody_listens() {
    let open = |local, remote| row(TcpState::Established, local, remote, Some(7));
    let rows = [
        open("10.0.0.1:50000", "10.0.0.2:80"),
        open("10.0.0.1:50001", "10.0.0.2:80"),
        // A reserved port, and one that somebody chose: they take nothing from connect().
        open("10.0.0.1:40000", "10.0.0.2:80"),
        open("10.0.0.1:1023", "10.0.0.2:2049"),
        open("10.0.0.1:443", "10.0.0.9:51000"),
        // Listened on although it is in the range; a listener of all addresses of either family.
        open("[fd00::1]:50051", "[fd00::2]:60000"),
        open("10.0.0.1:50052", "10.0.0.9:33000"),
        // Nobody listens any more, and nobody chose this port for a connect.
        open("10.0.0.1:8080", "10.0.0.9:33001"),
    ];
    let sockets = sockets(&["0.0.0.0:443", "[fd00::1]:50051", "[::]:50052"], &rows);
    let (out, incoming) = ways(&sockets);
    assert_eq!(out, ["10.0.0.1 > 10.0.0.2:80 2/3", "10.0.0.1 > 10.0.0.2:2049 0/1"]);
    assert_eq!(incoming, ["10.0.0.1:443 1", "10.0.0.1:8080 1", "10.0.0.1:50052 1", "[fd00::1]:50051 1"]);
    let (top, count) = sockets.outgoing(1);
    assert_eq!((top[0].2, top.len(), count), (end("10.0.0.2:80"), 1, 2));
    assert_eq!((sockets.counts.total(), sockets.counts.of(TcpState::Established)), (11, 8));
}

#[test]
fn a_time_wait_leaves_between_the_least_and_the_most() {
    let rows = [3, 1, 2].map(|left| wait(&format!("10.0.0.1:5000{left}"), "10.0.0.2:80", left));
    let sockets = sockets(&[], &rows);
    assert_eq!(sockets.outgoing(1).0[0].3.time_wait_left, Some((1, 3)));
    let begun = |left| Row { at: Ktime(100_000_000_000), ..wait("10.0.0.1:1", "10.0.0.2:80", left) }.time_wait_began();
    assert_eq!(
        (begun(60_000_000_000), begun(1), begun(0)),
        (Some(Ktime(100_000_000_000)), Some(Ktime(40_000_000_001)), None)
    );
}

#[test]
fn the_oldest_close_wait_comes_first_and_unknown_ones_last() {
    let leak = |inode| row(TcpState::CloseWait, &format!("10.0.0.1:{inode}"), "10.0.0.2:50000", Some(inode));
    let mut sockets = sockets(&["10.0.0.1:80"], &[leak(1), leak(2), leak(3)]);
    let idle = |ack| Idle { data: Some(ack + 1), ack: Some(ack) };
    let key = |cookie| (NETNS, SocketId::Cookie(cookie));
    sockets.ages([(key(1), idle(5)), (key(3), idle(9)), (key(8), idle(99))].into_iter().collect());
    sockets.settle(&HashMap::new());
    let ages = sockets.close_waits.iter().map(|one| (one.row.inode, one.at_least, one.at_most));
    assert_eq!(
        ages.collect::<Vec<_>>(),
        [(Some(3), Some(9), Some(10)), (Some(1), Some(5), Some(6)), (Some(2), None, None)]
    );
}

#[test]
fn the_oldest_holder_has_it() {
    let open = |inode| row(TcpState::Established, "10.0.0.1:80", &format!("10.0.0.2:{inode}"), Some(inode));
    let leak = row(TcpState::CloseWait, "10.0.0.1:80", "10.0.0.2:9", Some(9));
    let unaccepted = row(TcpState::Established, "10.0.0.1:80", "10.0.0.2:8", None);
    let mut sockets = sockets(&[], &[open(2), open(3), open(4), open(5), leak, unaccepted]);
    let owners = [(2, vec![process(10), process(11)]), (3, vec![process(10)]), (9, vec![process(12)]), (4, vec![])];
    sockets.settle(&owners.into_iter().collect());
    let owned: Vec<_> = sockets.owned().iter().map(|one| (one.process.pid, one.counts.total(), one.shared)).collect();
    assert_eq!(owned, [(12, 1, 0), (10, 2, 1)]);
    // Nobody has one, and of another it is not known.
    assert_eq!(sockets.ownerless().total(), 1);
    assert_eq!(sockets.unaccepted, 1);
    assert_eq!(sockets.close_waits[0].owner, Some(process(12)));
}

/// `sk_acceptq_is_full()`: more than the backlog.
#[test]
fn a_queue_is_full_with_one_more_than_its_backlog() {
    let listener = |waiting| Listener {
        row: row(TcpState::Listen, "0.0.0.0:80", "0.0.0.0:0", None),
        waiting,
        backlog: 2,
        owner: None,
    };
    assert_eq!([1, 2, 3].map(|waiting| listener(waiting).is_full()), [false, false, true]);
}

proptest! {
    /// Each is counted once in every way of counting.
    #[test]
    fn sums_agree(ports in prop::collection::vec((1_u16..=u16::MAX, 1_u16..=u16::MAX, 0..12_usize), 0..200)) {
        let rows: Vec<Row> = ports.iter().map(|&(local, remote, state)| {
            row(TcpState::ALL[state], &format!("10.0.0.1:{local}"), &format!("10.0.0.2:{remote}"), Some(u64::from(local)))
        }).collect();
        let mut sockets = sockets(&[], &rows);
        sockets.settle(&rows.iter().filter_map(|row| Some((row.inode?, Vec::new()))).collect());
        let total = rows.len() as u64;
        prop_assert_eq!(sockets.counts.total(), total);
        prop_assert_eq!(sockets.namespaces[&NETNS].counts, sockets.counts);
        let out: u64 = sockets.outgoing(usize::MAX).0.iter().map(|(.., load)| load.counts.total()).sum();
        let incoming: u64 = sockets.incoming(usize::MAX).0.iter().map(|(.., load)| load.counts.total()).sum();
        prop_assert_eq!(out + incoming, total);
        prop_assert_eq!(sockets.ownerless().total(), total);
    }
}
