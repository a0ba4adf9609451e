//! The readers of the socket table against this kernel and `ss`, on sockets that the test itself makes.

#[path = "live/namespace.rs"]
mod namespace;

use namespace::TestNetns;
use rustix::fd::{AsFd, AsRawFd};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use twtrace::model::observation::{Row, Table};
use twtrace::model::{Endpoint, FourTuple, Ktime, Observation, Question, SocketId, TcpState};
use twtrace::probe::ask::Reader;
use twtrace::probe::netns;
use twtrace::probe::table::{Ask, SocketTable, Sought};
use twtrace::probe::{clock, holders};

#[path = "table/carried.rs"]
mod carried;

/// Sockets on one port: two open connections, one that its server has neither read nor closed, one in TIME_WAIT.
struct Scene {
    port: u16,
    /// The server's end, in CLOSE_WAIT with data unread.
    close_wait: TcpStream,
    /// As the client saw the connection that is now in TIME_WAIT.
    time_wait: FourTuple,
    /// The cookie that it had before.
    cookie: SocketId,
    _others: Vec<TcpStream>,
    _listener: TcpListener,
}

impl Scene {
    fn new(table: &mut SocketTable, listen: &str, connect: &str) -> Self {
        let listener = TcpListener::bind(listen).expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let to: SocketAddr = format!("{connect}:{port}").parse().expect("an address");
        let pair = || {
            let client = TcpStream::connect(to).expect("a connection");
            (client, listener.accept().expect("its other end").0)
        };
        let [first, second] = [pair(), pair()];
        let (mut half_closed, close_wait) = pair();
        half_closed.write_all(b"never read").expect("room");
        half_closed.shutdown(Shutdown::Write).expect("open");
        let (client, server) = pair();
        let time_wait = tuple(&client);
        let row = table.find(by_tuple(time_wait)).expect("sock_diag").expect("it is there");
        assert_eq!((row.state, row.inode), (TcpState::Established, Some(inode(&client))));
        drop(client);
        drop(server);
        // The ACK of a FIN is delayed.
        await_state(table, tuple(&half_closed), TcpState::FinWait2);
        await_state(table, time_wait, TcpState::TimeWait);
        let others = vec![first.0, first.1, second.0, second.1, half_closed];
        Self { port, close_wait, time_wait, cookie: row.socket, _others: others, _listener: listener }
    }
}

fn await_state(table: &mut SocketTable, tuple: FourTuple, state: TcpState) {
    let begin = Instant::now();
    while table.find(by_tuple(tuple)).expect("sock_diag").is_none_or(|row| row.state != state) {
        assert!(begin.elapsed() < Duration::from_secs(5), "{tuple:?} is not in {state}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn own_table() -> SocketTable {
    SocketTable::open(netns::own().expect("/proc").inode).expect("a netlink socket")
}

fn by_tuple(tuple: FourTuple) -> Sought {
    Sought { socket: SocketId::Address(0), tuple, v4_mapped: false, tcp_info: false }
}

fn tuple(stream: &TcpStream) -> FourTuple {
    let end = |address: SocketAddr| Endpoint { ip: address.ip().to_canonical(), port: address.port() };
    FourTuple { local: end(stream.local_addr().expect("bound")), remote: end(stream.peer_addr().expect("connected")) }
}

fn inode(file: impl AsFd) -> u64 {
    rustix::fs::fstat(file).expect("open").st_ino
}

fn rows(table: &mut SocketTable, port: u16) -> Vec<Row> {
    let mut rows = Vec::new();
    let whole = table.dump(Ask::ALL.with_tcp_info(), |row| rows.push(row)).expect("sock_diag");
    assert!(whole);
    rows.retain(|row| row.tuple.local.port == port || row.tuple.remote.port == port);
    rows
}

/// How many sockets `ss` shows in each state, by the kernel's names.
fn counted_by_ss(port: u16) -> BTreeMap<String, usize> {
    let filter = format!("sport = :{port} or dport = :{port}");
    let output = Command::new("ss").args(["-tanH", &filter]).output().expect("ss of iproute2");
    let mut counts = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let state = match line.split_ascii_whitespace().next() {
            Some("ESTAB") => "ESTABLISHED".to_owned(),
            Some(state) => state.replace('-', "_").replace("FIN_WAIT_", "FIN_WAIT"),
            None => continue,
        };
        *counts.entry(state).or_default() += 1;
    }
    counts
}

fn counted(rows: &[Row]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row.state.name().to_owned()).or_default() += 1);
    counts
}

fn agrees_with_ss(listen: &str, connect: &str, v4_mapped_server: bool) {
    let mut table = own_table();
    let before = clock::now();
    let scene = Scene::new(&mut table, listen, connect);
    let rows = rows(&mut table, scene.port);
    let counts = counted(&rows);
    assert_eq!(counts, counted_by_ss(scene.port));
    let expected = [("CLOSE_WAIT", 1), ("ESTABLISHED", 4), ("FIN_WAIT2", 1), ("LISTEN", 1), ("TIME_WAIT", 1)];
    assert_eq!(counts, expected.map(|(state, count)| (state.to_owned(), count)).into());

    for row in &rows {
        assert!(row.at >= before && row.at <= clock::now());
        let is_server = row.tuple.local.port == scene.port && row.state != TcpState::Listen;
        assert_eq!(row.v4_mapped, is_server && v4_mapped_server, "{row:?}");
        assert_eq!(row.last_ack.is_some(), !matches!(row.state, TcpState::Listen | TcpState::TimeWait), "{row:?}");
    }
    let of = |state| rows.iter().find(|row| row.state == state).expect("counted above");
    let waits = of(TcpState::TimeWait);
    assert_eq!((waits.tuple, waits.socket, waits.inode), (scene.time_wait, scene.cookie, None));
    let left = waits.time_wait_left.expect("it is a time-wait socket");
    assert!((58_000_000_001..=60_000_000_000).contains(&left), "{left}");
    assert_eq!(of(TcpState::CloseWait).inode, Some(inode(&scene.close_wait)));
    assert_eq!(of(TcpState::CloseWait).tuple, tuple(&scene.close_wait));
}

#[test]
fn ipv4_agrees_with_ss() {
    agrees_with_ss("127.77.1.1:0", "127.77.1.1", false);
}

#[test]
fn ipv6_agrees_with_ss() {
    agrees_with_ss("[::1]:0", "[::1]", false);
}

#[test]
fn v4_mapped_agrees_with_ss() {
    agrees_with_ss("[::]:0", "127.77.1.2", true);
}

#[test]
fn lookups_find_that_socket_and_no_other() {
    let mut table = own_table();
    let scene = Scene::new(&mut table, "[::]:0", "127.77.1.3");
    let mut find =
        |socket, tuple, v4_mapped| table.find(Sought { socket, tuple, v4_mapped, tcp_info: false }).expect("sock_diag");

    for socket in [scene.cookie, SocketId::Address(0)] {
        let row = find(socket, scene.time_wait, false).expect("it waits");
        assert_eq!((row.socket, row.tuple, row.state), (scene.cookie, scene.time_wait, TcpState::TimeWait));
        assert!(row.time_wait_left.is_some_and(|left| left > 58_000_000_000));
    }
    assert_eq!(find(SocketId::Cookie(1 << 60), scene.time_wait, false), None);

    // Both families find a v4-mapped socket.
    let server = tuple(&scene.close_wait);
    for v4_mapped in [false, true] {
        let row = find(SocketId::Address(0), server, v4_mapped).expect("it is there");
        assert_eq!((row.state, row.v4_mapped, row.inode), (TcpState::CloseWait, true, Some(inode(&scene.close_wait))));
    }
    // Nobody is connected from port 1, but somebody listens: the kernel gives the listener.
    let nobody = FourTuple { remote: Endpoint { port: 1, ..server.remote }, ..server };
    assert_eq!(find(SocketId::Address(0), nobody, true), None);
}

#[test]
fn the_syn_queue_is_left_out() {
    let listener = TcpListener::bind("127.77.1.4:0").expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    // The server's socket is made when data come, so until then the connection stays in the queue.
    set_option(&listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 30);
    let client = TcpStream::connect(("127.77.1.4", port)).expect("a connection");
    assert_eq!(counted_by_ss(port).get("SYN_RECV"), Some(&1));
    let mut table = own_table();
    let rows = rows(&mut table, port);
    assert_eq!(counted(&rows), [("ESTABLISHED".to_owned(), 1), ("LISTEN".to_owned(), 1)].into());
    assert_eq!(table.find(by_tuple(tuple(&client).reversed())).expect("sock_diag"), None);
}

/// For options that take a number and that no library here knows.
fn set_option(socket: &TcpListener, level: libc::c_int, option: libc::c_int, value: libc::c_int) {
    let (address, size) = (&raw const value, size_of_val(&value) as libc::socklen_t);
    // SAFETY: the option takes an int, and gets the address and the size of one.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, address.cast(), size) };
    assert_eq!(done, 0);
}

#[test]
fn sockets_bound_to_an_interface_are_found_after_a_dump() {
    const LOOPBACK: libc::c_int = 1;
    const SO_BINDTOIFINDEX: libc::c_int = 62;
    let listener = TcpListener::bind("127.77.1.8:0").expect("a listener");
    set_option(&listener, libc::SOL_SOCKET, SO_BINDTOIFINDEX, LOOPBACK);
    let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let (server, _) = listener.accept().expect("its other end");
    let mut table = own_table();
    assert!(table.dump(Ask::ALL, drop).expect("sock_diag"));
    let row = table.find(by_tuple(tuple(&server))).expect("sock_diag").expect("it is there");
    assert_eq!((row.inode, row.tuple), (Some(inode(&server)), tuple(&client).reversed()));
}

#[test]
fn the_holder_is_this_process() {
    let listener = TcpListener::bind("127.77.1.5:0").expect("a listener");
    let inode = inode(&listener);
    let found = holders::holders(&hashbrown::HashSet::from([inode]), 1);
    let [holder] = &found[..] else { panic!("{found:?}") };
    let [process] = &holder.processes[..] else { panic!("{holder:?}") };
    let name = std::fs::read("/proc/self/comm").expect("/proc");
    assert_eq!((holder.inode, process.pid), (inode, std::process::id()));
    assert_eq!(process.comm.bytes(), name.trim_ascii_end());
}

type Received = tokio::sync::mpsc::UnboundedReceiver<Vec<Observation>>;

fn reader() -> (Reader, Received) {
    let (answers, received) = tokio::sync::mpsc::unbounded_channel();
    (Reader::new(answers).expect("/proc"), received)
}

/// What comes for questions asked together, until a table is at its end.
fn answers(questions: Vec<Question>) -> Vec<Observation> {
    let (reader, mut received) = reader();
    let asked = reader.start().expect("a thread");
    asked.send(questions).expect("it listens");
    let mut seen = Vec::new();
    while !seen.iter().any(is_end) {
        seen.extend(received.blocking_recv().expect("an answer"));
    }
    drop(asked);
    // The thread ends with its sender.
    while let Some(more) = received.blocking_recv() {
        seen.extend(more);
    }
    seen
}

fn is_end(observation: &Observation) -> bool {
    matches!(observation, Observation::Table(Table::End { .. }))
}

#[test]
fn questions_that_wait_together_are_answered_once() {
    let own = netns::own().expect("/proc").inode;
    let table = Question::Table { netns: None };
    let seen = answers(vec![table, table, Question::Table { netns: Some(own) }]);
    assert_eq!(seen.iter().filter(|one| is_end(one)).count(), 1);
    assert!(matches!(seen[0], Observation::Table(Table::Begin { netns, .. }) if netns == own));
    assert!(matches!(seen[seen.len() - 1], Observation::Table(Table::End { netns, whole: true, .. }) if netns == own));
}

#[test]
fn proc_is_scanned_once_a_second() {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.77.1.6:0").expect("a listener"));
    let (reader, mut received) = reader();
    let questions = reader.start().expect("a thread");
    let mut scans = Vec::new();
    let mut begin = None;
    for listener in &listeners {
        questions.send(vec![Question::Holder { inode: inode(listener) }; 2]).expect("it listens");
        begin.get_or_insert_with(|| {
            scans.push(received.blocking_recv().expect("an answer"));
            Instant::now()
        });
    }
    scans.push(received.blocking_recv().expect("an answer"));
    // A little of the second had passed when the first answer was taken.
    assert!(begin.is_some_and(|begin| begin.elapsed() > Duration::from_millis(900)));
    assert_eq!(scans.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn the_start_tells_tables_then_holders() {
    let listener = TcpListener::bind("127.77.1.7:0").expect("a listener");
    let (mut reader, mut received) = reader();
    reader.bootstrap();
    drop(reader);
    let mut seen = Vec::new();
    while let Some(batch) = received.blocking_recv() {
        assert!((1..=1024).contains(&batch.len()));
        seen.extend(batch);
    }
    let (mut reading, mut last, mut tables_over) = (None, Ktime(0), false);
    for one in &seen {
        match one {
            Observation::Table(Table::Begin { netns, at }) => {
                assert!(reading.is_none() && !tables_over);
                (reading, last) = (Some(*netns), *at);
            }
            Observation::Table(Table::Row(row)) => {
                assert!(reading == Some(row.netns) && row.at >= last);
                last = row.at;
            }
            Observation::Table(Table::End { netns, at, .. }) => {
                assert!(reading.take() == Some(*netns) && *at >= last);
            }
            Observation::Holder(_) => {
                assert!(reading.is_none());
                tables_over = true;
            }
            Observation::Table(Table::Ready { .. }) => assert!(reading.is_none()),
            other => panic!("{other:?}"),
        }
    }
    let is_ours = |one: &Observation| {
        matches!(one, Observation::Holder(holder) if holder.inode == inode(&listener)
            && holder.processes.iter().any(|process| process.pid == std::process::id()))
    };
    assert!(seen.iter().any(is_ours));
}

fn pair(listen: &str) -> (TcpListener, TcpStream, TcpStream) {
    let listener = TcpListener::bind(listen).expect("a listener");
    let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let (server, _) = listener.accept().expect("its other end");
    (listener, client, server)
}

#[test]
fn another_namespace_is_read_and_its_end_is_said() {
    let Some(bound) = TestNetns::new("life") else { return };
    let netns = bound.find();
    let (listener, client, server) = netns.open().expect("root may").inside(|| pair("127.0.0.1:0")).expect("root may");
    let (socket, inode) = (SocketId::Address(7), inode(&client));
    let one =
        Question::Socket { socket, netns: Some(netns.inode), tuple: tuple(&client), v4_mapped: false, carried: false };
    let table = Question::Table { netns: Some(netns.inode) };

    let seen = answers(vec![one, table]);
    let row = |one: &Observation| match one {
        Observation::Table(Table::Row(row)) => Some(*row),
        _ => None,
    };
    let rows: Vec<Row> = seen.iter().filter_map(row).collect();
    assert_eq!(rows.len(), 1 + 3, "{seen:?}");
    assert_eq!((rows[0].netns, rows[0].inode), (netns.inode, Some(inode)));
    assert!(matches!(seen[seen.len() - 1], Observation::Table(Table::End { whole: true, .. })));

    drop((listener, client, server));
    drop(bound);
    if !netns::all().whole {
        eprintln!("skipped in part: a process hides its network namespace");
        return;
    }
    let seen = answers(vec![one, table]);
    let [Observation::Table(absent), Observation::Table(begin), Observation::Table(end)] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert!(matches!(absent, Table::Absent { socket, .. } if *socket == SocketId::Address(7)));
    assert!(matches!(begin, Table::Begin { netns: number, .. } if *number == netns.inode));
    assert!(matches!(end, Table::End { netns: number, whole: true, .. } if *number == netns.inode));
}

#[test]
fn link_local_sockets_are_found() {
    let Some(bound) = TestNetns::new("link") else { return };
    bound.ip(&["link", "add", "twtrace0", "type", "veth", "peer", "name", "twtrace1"]);
    bound.ip(&["link", "set", "twtrace0", "up"]);
    bound.ip(&["link", "set", "twtrace1", "up"]);
    bound.ip(&["addr", "add", "fe80::77/64", "dev", "twtrace0", "nodad"]);
    let netns = bound.find();
    let find = || {
        let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6").expect("/proc");
        let line = table.lines().find(|line| line.ends_with("twtrace0")).expect("it has an address");
        let index = line.split_ascii_whitespace().nth(1).expect("an index");
        let index = u32::from_str_radix(index, 16).expect("a number");
        let (_listener, client, server) = pair(&format!("[fe80::77%{index}]:0"));
        let sought = by_tuple(tuple(&client));
        drop(client);
        drop(server);
        SocketTable::open(netns.inode).and_then(|mut table| table.find(sought)).expect("sock_diag")
    };
    let row = netns.open().expect("root may").inside(find).expect("root may").expect("it is found");
    assert_eq!(row.state, TcpState::TimeWait);
}
