//! Whose connection it is, and who closed it: the lock's owner, never whoever happens to run.

use crate::verdict::{READING, Tier, check};

const CONNECT: &str = "0us   #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
                       1ms   #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9\n";
const ACCEPT: &str = "0us #8 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV while curl/812
                      1ms #8 SYN_RECV>ESTABLISHED while curl/812\n";

/// Both ends on this host: the one that closed first is named at the other, too.
#[test]
fn the_other_end_is_here() {
    let trace = |ns: &str| {
        format!(
            "0us   #7 127.0.0.1:0     127.0.0.1:80 CLOSE>SYN_SENT by curl/812
             10us  #8 127.0.0.1:80 127.0.0.1:40000 LISTEN>SYN_RECV {ns}
             12us  #8 SYN_RECV>ESTABLISHED {ns}
             20us  #7 127.0.0.1:40000 127.0.0.1:80 SYN_SENT>ESTABLISHED by curl/812 inode=9
             50us  #8 accept by nginx/5
             1ms   #8 ESTABLISHED>FIN_WAIT1 by nginx/6 {ns}
             1.01ms #7 ESTABLISHED>CLOSE_WAIT while nginx/6 inode=9
             2ms   #7 CLOSE_WAIT>LAST_ACK by curl/812"
        )
    };
    for (ns, shown, confidence) in [("", "", "certain"), ("ns=2", " ns=2", "likely")] {
        check(
            READING,
            &trace(ns),
            &format!(
                "127.0.0.1:40000 > 127.0.0.1:80 outbound of curl/812 by connect
                   SYN_SENT 20us, ESTABLISHED 990us, CLOSE_WAIT 990us, LAST_ACK ..
                   first remote nginx/6 {confidence}, close ?, not over
                 127.0.0.1:80 > 127.0.0.1:40000 inbound{shown} of nginx/5 by accept
                   SYN_RECV 2us, ESTABLISHED 988us, FIN_WAIT1 ..
                   first local nginx/6 certain, close ?, accepted, not over"
            ),
        );
    }
}

/// A worker closes what its parent accepted; the last holder closes what several hold.
#[test]
fn closed_by_another_than_its_owner() {
    check(
        &[Tier::Exact, Tier::Timers, Tier::Table, Tier::Bare],
        &format!("{ACCEPT} 2ms #8 accept by nginx/5\n 3ms #8 ESTABLISHED>FIN_WAIT1 by nginx/6"),
        "10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by accept
           SYN_RECV 1ms, ESTABLISHED 2ms, FIN_WAIT1 ..
           first local nginx/6 certain, close ?, accepted, not over",
    );
}

/// A kernel worker closes for somebody else (io_uring's exit, the reference cycles of unix_gc()).
#[test]
fn a_kernel_worker_is_nobody() {
    check(
        READING,
        &format!("{CONNECT} 2ms #7 ESTABLISHED>FIN_WAIT1 by kworker/u4:1/77"),
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 1ms, ESTABLISHED 1ms, FIN_WAIT1 ..
           first local curl/812 likely, close ?, not over",
    );
    check(
        READING,
        &format!("{ACCEPT} 2ms #8 ESTABLISHED>FIN_WAIT1 by kworker/77\n 3ms #8 destroy by kworker/77"),
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 1ms, ESTABLISHED 1ms, FIN_WAIT1 ..
           first local, close ?, not over",
    );
}

/// In softirq anybody may run, a peer or the idle task: it is never the owner or the closer.
#[test]
fn whoever_runs_is_nobody() {
    check(
        READING,
        &format!(
            "{ACCEPT}
             2ms #8 ESTABLISHED>CLOSE_WAIT while curl/812
             3ms #8 CLOSE_WAIT>CLOSE err=32 while rustc/44"
        ),
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 1ms, ESTABLISHED 1ms, CLOSE_WAIT 1ms
           first remote, reset_received, not accepted, complete",
    );
    check(
        &[Tier::Classic],
        &format!("{ACCEPT} 2ms #8 ESTABLISHED>CLOSE_WAIT while curl/812\n 3ms #8 CLOSE_WAIT>CLOSE while rustc/44"),
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 1ms, ESTABLISHED 1ms, CLOSE_WAIT 1ms
           first remote, close ?, complete",
    );
}

const LISTEN: &str = "0us #3 0.0.0.0:80 0.0.0.0:0 CLOSE>LISTEN by nginx/5 inode=2\n";

/// inet_csk_listen_stop() resets what nobody accepted, with each child's lock not owned.
#[test]
fn a_listener_closed_over_its_queue() {
    check(
        READING,
        &format!(
            "{LISTEN}{ACCEPT}
             5ms     #3 LISTEN>CLOSE by nginx/6
             5.01ms  #8 ESTABLISHED>CLOSE dead while nginx/6
             5.012ms #8 reset sent TCP_STATE in=CLOSE"
        ),
        "10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by listener
           SYN_RECV 1ms, ESTABLISHED 4.01ms
           first local nginx/6 likely, reset_sent TCP_STATE, not accepted, complete",
    );
    // The client had closed before: it stays the first.
    check(
        READING,
        &format!(
            "{LISTEN}{ACCEPT}
             2ms     #8 ESTABLISHED>CLOSE_WAIT done
             5ms     #3 LISTEN>CLOSE by nginx/6
             5.01ms  #8 CLOSE_WAIT>CLOSE done dead while nginx/6
             5.012ms #8 reset sent TCP_STATE in=CLOSE"
        ),
        "10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by listener
           SYN_RECV 1ms, ESTABLISHED 1ms, CLOSE_WAIT 3.01ms
           first remote, reset_sent TCP_STATE, not accepted, complete",
    );
}

/// Owners, the better the more direct: the listener's, /proc's, the closer, accept.
#[test]
fn the_best_evidence_counts() {
    let life = |owner: &str, rest: &str| {
        format!("10.0.0.2:80 > 10.0.0.1:40000 inbound of {owner}\n SYN_RECV 1ms, ESTABLISHED {rest}")
    };
    let open = |accepted: &str| format!("..\n first ?, close ?, {accepted}, not over");
    check(READING, &format!("{LISTEN}{ACCEPT}"), &life("nginx/5 by listener", &open("not accepted")));
    check(
        &[Tier::Exact, Tier::Timers, Tier::Table],
        &format!("{LISTEN}{ACCEPT} 1.1s tick\n 1.2s #8 row ESTABLISHED inode=4\n 1.3s holder inode=4 worker/6"),
        &life("worker/6 by socket_table", &open("accepted")),
    );
    check(
        READING,
        &format!("{LISTEN}{ACCEPT} 2ms #8 ESTABLISHED>FIN_WAIT1 by worker/7"),
        &life("worker/7 by close", "1ms, FIN_WAIT1 ..\n first local worker/7 certain, close ?, not over"),
    );
    check(
        READING,
        &format!("{LISTEN}{ACCEPT} 2ms #8 accept by worker/8\n 3ms #8 ESTABLISHED>FIN_WAIT1 by worker/7"),
        &life("worker/8 by accept", "2ms, FIN_WAIT1 ..\n first local worker/7 certain, close ?, accepted, not over"),
    );
}

/// Two listeners at one port (SO_REUSEPORT): whose child it is shows later or not at all.
#[test]
fn two_listeners_at_one_port() {
    check(
        READING,
        &format!("{LISTEN} 0us #4 0.0.0.0:80 0.0.0.0:0 CLOSE>LISTEN by nginx/6 inode=3\n{ACCEPT}"),
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 1ms, ESTABLISHED ..
           first ?, close ?, not accepted, not over",
    );
}

/// A reset from this host has a sender with a name.
#[test]
fn a_reset_of_the_other_end() {
    check(
        READING,
        "0us #7 127.0.0.1:0     127.0.0.1:80 CLOSE>SYN_SENT by curl/812
         1ms #7 127.0.0.1:40000 127.0.0.1:80 SYN_SENT>ESTABLISHED by curl/812 inode=9
         1ms #8 127.0.0.1:80 127.0.0.1:40000 LISTEN>SYN_RECV
         2ms #8 SYN_RECV>ESTABLISHED
         2ms #8 accept by nginx/5
         5ms #8 ESTABLISHED>CLOSE by nginx/5
         5.01ms #7 reset received
         5.01ms #7 ESTABLISHED>CLOSE err=104 inode=9 while nginx/5
         5.02ms #8 reset sent TCP_STATE in=CLOSE",
        "127.0.0.1:80 > 127.0.0.1:40000 inbound of nginx/5 by accept
           SYN_RECV 1ms, ESTABLISHED 3ms
           first local nginx/5 certain, reset_sent TCP_STATE, accepted, complete
         127.0.0.1:40000 > 127.0.0.1:80 outbound of curl/812 by connect
           SYN_SENT 1ms, ESTABLISHED 4.01ms
           first remote nginx/5 certain, reset_received, complete",
    );
}

/// What nobody was seen to accept, and somebody has, may be anybody's, where accepts are seen (io_uring). What is closed by
/// FIN was taken from the queue, too, though its file is another's (MPTCP): the queue's own are only ever reset.
#[test]
fn taken_and_nobody_saw_how() {
    let accepted = format!("{LISTEN}{ACCEPT} 2ms #8 ESTABLISHED>CLOSE err=104 inode=4");
    let end = "SYN_RECV 1ms, ESTABLISHED 1ms\n first remote, reset_received, accepted, complete";
    check(&[Tier::Exact], &accepted, &format!("10.0.0.2:80 > 10.0.0.1:40000 inbound\n {end}"));
    let by_listener = format!("10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by listener\n {end}");
    check(&[Tier::Timers, Tier::Table, Tier::Bare], &accepted, &by_listener);
    // Whoever listens need not be who closed it.
    let closed = format!("{LISTEN}{ACCEPT} 2ms #8 ESTABLISHED>FIN_WAIT1 by kworker/77");
    let end = "SYN_RECV 1ms, ESTABLISHED 1ms, FIN_WAIT1 ..\n first local, close ?, not over";
    check(&[Tier::Exact], &closed, &format!("10.0.0.2:80 > 10.0.0.1:40000 inbound\n {end}"));
    let by_listener = format!("10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by listener\n {end}");
    check(&[Tier::Timers, Tier::Table], &closed, &by_listener);
}

/// tcp_migrate_req: a queue moves to another listener, which may be another process's.
#[test]
fn a_queue_that_moves() {
    let moved = format!(
        "{LISTEN}{ACCEPT} 2ms #6 0.0.0.0:80 0.0.0.0:0 CLOSE>LISTEN by nginx/6
         3ms #3 LISTEN>CLOSE by nginx/5\n"
    );
    let ended =
        |rest: &str| format!("10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/6 by listener\n SYN_RECV 1ms, {rest}");
    check(
        READING,
        &format!("{moved} 5ms #8 ESTABLISHED>CLOSE err=104"),
        &ended("ESTABLISHED 4ms\n first remote, reset_received, not accepted, complete"),
    );
    check(
        READING,
        &format!("{moved} 5ms #6 LISTEN>CLOSE by nginx/6\n 5ms #8 ESTABLISHED>CLOSE while nginx/6"),
        &ended("ESTABLISHED 4ms\n first local nginx/6 likely, reset_sent, not accepted, complete"),
    );
    check(READING, &moved, &ended("ESTABLISHED ..\n first ?, close ?, not accepted, not over"));
}
