//! How connections begin, and those that never are established.

use crate::verdict::{ALL, READING, Tier, check};

/// On a real network the answer comes in softirq, whoever runs; over loopback it is taken from the backlog.
#[test]
fn connect() {
    for answer in ["", "while nginx/5", "by curl/812"] {
        check(
            ALL,
            &format!(
                "0us   #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812 inode=9
                 100us #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9 {answer}"
            ),
            "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
               SYN_SENT 100us, ESTABLISHED ..
               first ?, close ?, not over",
        );
    }
}

/// The first event's tuple and cookie mean nothing up to 6.14: the listener's, or a name given to a request.
#[test]
fn passive_open() {
    let trace = "0us #90 @7 0.0.0.0:80  0.0.0.0:0      LISTEN>SYN_RECV while curl/812
                 3us #7 @7 10.0.0.2:80 10.0.0.1:40000 SYN_RECV>ESTABLISHED while curl/812
                 1ms #7 accept by nginx/5";
    check(
        &[Tier::Exact, Tier::Timers, Tier::Table, Tier::Bare],
        trace,
        "10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by accept
           SYN_RECV 3us, ESTABLISHED ..
           first ?, close ?, accepted, not over",
    );
    check(
        &[Tier::Classic],
        trace,
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 3us, ESTABLISHED ..
           first ?, close ?, not over",
    );
}

/// A server with fast open is in SYN_RECV from the SYN on, and may leave it by a FIN of either side.
#[test]
fn fast_open() {
    check(
        READING,
        "0us #7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
         2ms #7 SYN_RECV>CLOSE_WAIT inode=4
         3ms #7 CLOSE_WAIT>LAST_ACK by nginx/5
         4ms #7 LAST_ACK>CLOSE done dead",
        "10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by close
           SYN_RECV 2ms, CLOSE_WAIT 1ms, LAST_ACK 1ms
           first remote, fin, accepted, complete",
    );
    check(
        READING,
        "0us #7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
         2ms #7 SYN_RECV>FIN_WAIT1 by nginx/5 inode=4
         3ms #7 FIN_WAIT1>CLOSE dead err=104",
        "10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by close
           SYN_RECV 2ms, FIN_WAIT1 1ms
           first local nginx/5 certain, reset_received, accepted, complete",
    );
}

/// A socket connected to itself sends its FIN to itself.
#[test]
fn simultaneous_open() {
    check(
        &[Tier::Exact],
        "0us  #7 127.0.0.1:40000 127.0.0.1:40000 CLOSE>SYN_SENT by nc/3
         1us  #7 SYN_SENT>SYN_RECV by nc/3
         2us  #7 SYN_RECV>ESTABLISHED by nc/3
         1ms  #7 ESTABLISHED>FIN_WAIT1 by nc/3
         1001us #7 FIN_WAIT1>CLOSING by nc/3 done
         1002us #7 timer start TIME_WAIT due=60.001002s
         1002us #7 CLOSING>CLOSE by nc/3 done dead
         60.501002s #7 timer expire TIME_WAIT due=60.001002s",
        "127.0.0.1:40000 > 127.0.0.1:40000 outbound of nc/3 by connect
           SYN_SENT 1us, SYN_RECV 1us, ESTABLISHED 998us, FIN_WAIT1 1us, CLOSING 1us, TIME_WAIT 60.5s hook
           first simultaneous nc/3 certain, fin, expired, complete",
    );
}

/// How a handshake that fails ends is in sk_err.
#[test]
fn never_established() {
    for (error, close) in [
        ("err=111", "refused"),
        ("err=104", "refused"),
        ("err=110", "timed_out"),
        ("err=113", "unreachable"),
        ("err=101", "unreachable"),
        ("err=103 by ss/99", "destroyed"),
        // Non-blocking connect, then close.
        ("by curl/812", "abandoned"),
    ] {
        check(
            READING,
            &format!(
                "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
                 1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>CLOSE {error}"
            ),
            &format!(
                "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
                   SYN_SENT 1ms
                   first neither, {close}, complete"
            ),
        );
    }
    check(
        &[Tier::Classic],
        "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
         1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>CLOSE err=111",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 1ms
           first neither, close ?, complete",
    );
}

#[test]
fn no_port_is_free() {
    check(
        ALL,
        "0us #7 10.0.0.1:0 10.0.0.2:80 CLOSE>SYN_SENT by wrk/6
         1us #7 10.0.0.1:0 10.0.0.2:80 SYN_SENT>CLOSE by wrk/6",
        "10.0.0.1:0 > 10.0.0.2:80 outbound of wrk/6 by connect
           SYN_SENT 1us
           first neither, no_port, complete",
    );
}

/// A server's child whose handshake is broken off by a reset of the client.
#[test]
fn reset_in_syn_recv() {
    check(
        READING,
        "0us #7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
         2us #7 SYN_RECV>CLOSE err=104",
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 2us
           first neither, reset_received, not accepted, complete",
    );
}

/// inet_csk_complete_hashdance() throws away a child that lost the race; the one with the tuple lives on.
#[test]
fn phantom_child() {
    check(
        READING,
        "0us #7 @7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
         2us #7 @7 SYN_RECV>ESTABLISHED
         3us #8 @8 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
         4us #8 @8 SYN_RECV>CLOSE
         2ms #7 @7 ESTABLISHED>CLOSE_WAIT inode=4
         3ms #7 @7 CLOSE_WAIT>LAST_ACK by nginx/5
         4ms #7 @7 LAST_ACK>CLOSE done dead",
        "10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by close
           SYN_RECV 2us, ESTABLISHED 1.998ms, CLOSE_WAIT 1ms, LAST_ACK 1ms
           first remote, fin, accepted, complete",
    );
}

/// The same, but the one that lost is heard of first: the other's birth alone is known then.
#[test]
fn phantom_child_before_the_true_one() {
    check(
        READING,
        "0us #7 @7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
         1us #8 @8 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
         4us #8 @8 SYN_RECV>CLOSE
         5us #7 @7 SYN_RECV>ESTABLISHED
         2ms #7 @7 ESTABLISHED>CLOSE err=104",
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 5us, ESTABLISHED 1.995ms
           first remote, reset_received, not accepted, complete",
    );
}

/// Nobody else has the tuple, so this was the connection, though its end is the same: a child of TCP Fast Open whose
/// listener is closed. Its address has another by the time at which that is sure.
#[test]
fn closed_in_syn_recv() {
    check(
        READING,
        "0us   #7 @7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
         2ms   #7 @7 SYN_RECV>CLOSE dead
         3ms   #8 @7 10.0.0.2:80 10.0.0.1:40001 LISTEN>SYN_RECV
         4ms   #8 @7 SYN_RECV>ESTABLISHED
         300ms tick
         400ms #8 @7 ESTABLISHED>CLOSE err=104",
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 2ms
           first neither, reset_sent, not accepted, complete
         10.0.0.2:80 > 10.0.0.1:40001 inbound
           SYN_RECV 1ms, ESTABLISHED 396ms
           first remote, reset_received, not accepted, complete",
    );
}

/// TCP Fast Open: bytes in the SYN, so it can be accepted, read and closed before the handshake is done.
#[test]
fn accepted_in_syn_recv() {
    check(
        READING,
        "0us  #5 0.0.0.0:80 0.0.0.0:0 CLOSE>LISTEN by nginx/4
         0us  #7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
         1ms  #7 accept by nginx/5
         9ms  #7 SYN_RECV>ESTABLISHED inode=4
         20ms #7 ESTABLISHED>CLOSE err=104 inode=4",
        "10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by accept
           SYN_RECV 9ms, ESTABLISHED 11ms
           first remote, reset_received, accepted, complete",
    );
}
