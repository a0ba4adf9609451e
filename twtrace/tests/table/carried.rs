//! What connections carry, held against what was written into them and against `ss`.

use super::{TcpState, inode, own_table, pair, reader, rows, tuple};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::Command,
    time::{Duration, Instant},
};
use twtrace::{
    model::{
        Observation, Question, SocketId,
        observation::{Row, Table},
    },
    probe::netns,
};

const ASKED: usize = 100_000;
const ANSWERED: usize = 7;

/// A client that has said something, and a server that has heard it all and answered.
fn talk(client: &mut TcpStream, server: &mut TcpStream) {
    let (mut from, mut to) = (client.try_clone().expect("a copy"), vec![0; ASKED]);
    let asking = std::thread::spawn(move || from.write_all(&vec![b'?'; ASKED]).expect("it listens"));
    server.read_exact(&mut to).expect("what was written");
    asking.join().expect("it is written");
    server.write_all(&[b'!'; ANSWERED]).expect("it listens");
    client.read_exact(&mut [0; ANSWERED]).expect("what was written");
}

fn row_of(rows: &[Row], stream: &TcpStream) -> Row {
    *rows.iter().find(|row| row.tuple == tuple(stream)).expect("it is open")
}

fn bytes(row: &Row) -> Option<(u64, u64)> {
    row.traffic.map(|traffic| (traffic.bytes_sent, traffic.bytes_received))
}

fn answers(question: Question) -> Vec<Observation> {
    let (reader, mut received) = reader();
    let asked = reader.start().expect("a thread");
    asked.send(vec![question]).expect("it listens");
    // The thread ends with its sender.
    drop(asked);
    std::iter::from_fn(|| received.blocking_recv()).flatten().collect()
}

#[test]
fn bytes_are_those_that_were_written() {
    let (listener, mut client, mut server) = pair("127.0.0.1:0");
    talk(&mut client, &mut server);
    let port = listener.local_addr().expect("bound").port();
    let mut table = own_table();
    let seen = rows(&mut table, port);
    assert_eq!(bytes(&row_of(&seen, &client)), Some((ASKED as u64, ANSWERED as u64)));
    assert_eq!(bytes(&row_of(&seen, &server)), Some((ANSWERED as u64, ASKED as u64)));
    assert!(row_of(&seen, &client).traffic.is_some_and(|traffic| traffic.srtt.is_some()));

    // `ss` says the same, by its own reading of the kernel's answer.
    let filter = format!("dport = :{port}");
    let output = Command::new("ss").args(["-tinH", &filter]).output().expect("ss of iproute2");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in [format!("bytes_sent:{ASKED}"), format!("bytes_received:{ANSWERED}")] {
        assert!(said.split_whitespace().any(|one| one == word), "{word}: {said}");
    }

    // A FIN is no byte of data.
    client.shutdown(Shutdown::Write).expect("it is open");
    let begin = Instant::now();
    let server = loop {
        let row = row_of(&rows(&mut table, port), &server);
        if row.state == TcpState::CloseWait {
            break row;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "no FIN comes: {row:?}");
    };
    assert_eq!(bytes(&server), Some((ANSWERED as u64, ASKED as u64)));
}

#[test]
fn they_are_read_for_those_alone_who_ask() {
    let (_listener, mut client, mut server) = pair("127.0.0.1:0");
    talk(&mut client, &mut server);
    let netns = Some(netns::own().expect("/proc").inode);
    let ask = |carried| {
        let socket = SocketId::Address(7);
        answers(Question::Socket { socket, netns, tuple: tuple(&client), v4_mapped: false, carried })
    };
    let row = |seen: &[Observation]| match seen {
        [Observation::Table(Table::Row(row))] => *row,
        _ => panic!("{seen:?}"),
    };
    assert_eq!(bytes(&row(&ask(true))), Some((ASKED as u64, ANSWERED as u64)));
    assert_eq!((row(&ask(false)).inode, bytes(&row(&ask(false)))), (Some(inode(&client)), None));

    // Of all at once: rows alone, and none of a listener.
    let seen = answers(Question::Carried { netns });
    let rows: Vec<Row> = seen.iter().map(|one| row(std::slice::from_ref(one))).collect();
    assert_eq!(bytes(&row_of(&rows, &client)), Some((ASKED as u64, ANSWERED as u64)));
    assert_eq!(bytes(&row_of(&rows, &server)), Some((ANSWERED as u64, ASKED as u64)));
    assert!(rows.iter().all(|row| row.state.carries()), "{rows:?}");
}
