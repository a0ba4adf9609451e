//! Ends without FINs, and what sends and receives the resets.

use crate::verdict::{READING, Tier, check};

const CONNECT: &str = "0us   #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
                       1ms   #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9\n";
const ACTIVE: &str = "2ms #7 ESTABLISHED>FIN_WAIT1 by curl/812\n";
const LIFE: &str = "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
                    SYN_SENT 1ms, ESTABLISHED 1ms";

/// The trace goes on from an established connection of 2 ms.
#[track_caller]
fn ends(trace: &str, spans: &str, end: &str) {
    check(READING, &format!("{CONNECT}{trace}"), &format!("{LIFE}{spans}\n{end}"));
}

#[test]
fn received_in_each_state() {
    ends(
        "2ms #7 reset received
         2ms #7 ESTABLISHED>CLOSE err=104 inode=9 while nginx/5",
        "",
        "first remote, reset_received, complete",
    );
    // tcp_reset() turns it into EPIPE for one that knew of the peer's FIN.
    ends(
        "2ms #7 ESTABLISHED>CLOSE_WAIT done inode=9
         3ms #7 reset received
         3ms #7 CLOSE_WAIT>CLOSE done err=32 inode=9",
        ", CLOSE_WAIT 1ms",
        "first remote, reset_received, complete",
    );
    ends(
        &format!(
            "{ACTIVE}
             3ms #7 reset received
             3ms #7 FIN_WAIT1>CLOSE dead err=104"
        ),
        ", FIN_WAIT1 1ms",
        "first local curl/812 certain, reset_received, complete",
    );
    ends(
        &format!(
            "{ACTIVE}
             3ms #7 FIN_WAIT1>FIN_WAIT2 inode=9
             4ms #7 reset received
             4ms #7 FIN_WAIT2>CLOSE err=104 inode=9"
        ),
        ", FIN_WAIT1 1ms, FIN_WAIT2 1ms",
        "first local curl/812 certain, reset_received, complete",
    );
    ends(
        &format!(
            "{ACTIVE}
             3ms #7 FIN_WAIT1>CLOSING done dead
             4ms #7 reset received
             4ms #7 CLOSING>CLOSE done dead err=104"
        ),
        ", FIN_WAIT1 1ms, CLOSING 1ms",
        "first simultaneous curl/812 certain, reset_received, complete",
    );
    // The peer had forgotten us: its FIN_WAIT2 timed out, or it had no room for a time-wait socket.
    ends(
        "2ms #7 ESTABLISHED>CLOSE_WAIT done inode=9
         3ms #7 CLOSE_WAIT>LAST_ACK done by curl/812
         4ms #7 reset received
         4ms #7 LAST_ACK>CLOSE done dead err=104",
        ", CLOSE_WAIT 1ms, LAST_ACK 1ms",
        "first remote, reset_received, complete",
    );
}

/// tcp_rcv_state_process() calls tcp_reset() for data after close: it looks received, but ours is the one sent.
#[test]
fn data_after_close() {
    ends(
        &format!(
            "{ACTIVE}
             3ms     #7 reset received
             3ms     #7 FIN_WAIT1>CLOSE dead err=104
             3.002ms #7 reset sent TCP_ABORT_ON_DATA"
        ),
        ", FIN_WAIT1 1ms",
        "first local curl/812 certain, reset_sent TCP_ABORT_ON_DATA, complete",
    );
}

/// The same with the ACK of our FIN: it looks like the beginning of an orphan's FIN_WAIT2.
#[test]
fn data_with_the_ack_of_our_fin() {
    ends(
        &format!(
            "{ACTIVE}
             3ms     #7 FIN_WAIT1>FIN_WAIT2 dead
             3.002ms #7 FIN_WAIT2>CLOSE dead
             3.004ms #7 reset sent TCP_ABORT_ON_DATA in=CLOSE"
        ),
        ", FIN_WAIT1 1ms, FIN_WAIT2 4us",
        "first local curl/812 certain, reset_sent TCP_ABORT_ON_DATA, complete",
    );
}

/// SO_LINGER 0, unread data, and disconnect: the reset is traced after the state change.
#[test]
fn sent_by_close() {
    for reason in ["TCP_STATE", "TCP_ABORT_ON_CLOSE", "TCP_DISCONNECT_WITH_DATA"] {
        ends(
            &format!(
                "2ms     #7 ESTABLISHED>CLOSE by curl/812
                 2.003ms #7 reset sent {reason} in=CLOSE"
            ),
            "",
            &format!("first local curl/812 certain, reset_sent {reason}, complete"),
        );
    }
    ends(
        "2ms     #7 ESTABLISHED>CLOSE_WAIT done inode=9
         3ms     #7 CLOSE_WAIT>CLOSE done by curl/812
         3.003ms #7 reset sent TCP_ABORT_ON_CLOSE in=CLOSE",
        ", CLOSE_WAIT 1ms",
        "first remote, reset_sent TCP_ABORT_ON_CLOSE, complete",
    );
    // SO_LINGER 0 after shutdown(): neither SOCK_DONE nor SOCK_DEAD is set.
    ends(
        &format!(
            "{ACTIVE}
             3ms     #7 FIN_WAIT1>FIN_WAIT2 inode=9
             4ms     #7 FIN_WAIT2>CLOSE by curl/812
             4.003ms #7 reset sent TCP_STATE in=CLOSE"
        ),
        ", FIN_WAIT1 1ms, FIN_WAIT2 1ms",
        "first local curl/812 certain, reset_sent TCP_STATE, complete",
    );
}

/// TCP_LINGER2 below zero asks for no FIN_WAIT2 of an orphan at all.
#[test]
fn negative_linger2() {
    ends(
        &format!(
            "{ACTIVE}
             3ms     #7 FIN_WAIT1>FIN_WAIT2 inode=9
             4ms     #7 FIN_WAIT2>FIN_WAIT2 by curl/812
             4.001ms #7 FIN_WAIT2>CLOSE dead by curl/812
             4.003ms #7 reset sent TCP_ABORT_ON_LINGER in=CLOSE"
        ),
        ", FIN_WAIT1 1ms, FIN_WAIT2 1.003ms",
        "first local curl/812 certain, reset_sent TCP_ABORT_ON_LINGER, complete",
    );
}

/// Keepalive says so by a reset before the state change; retransmission and TCP_USER_TIMEOUT say nothing.
#[test]
fn timed_out() {
    ends(
        "1.999ms #7 reset sent TCP_KEEPALIVE_TIMEOUT in=ESTABLISHED
         2ms     #7 ESTABLISHED>CLOSE err=110 inode=9",
        "",
        "first neither, timed_out TCP_KEEPALIVE_TIMEOUT, complete",
    );
    ends("2ms #7 ESTABLISHED>CLOSE err=110 inode=9 while rustc/44", "", "first neither, timed_out, complete");
    ends(
        &format!("{ACTIVE} 9s #7 FIN_WAIT1>CLOSE dead err=110"),
        ", FIN_WAIT1 8.998s",
        "first local curl/812 certain, timed_out, complete",
    );
    ends(
        "2ms #7 ESTABLISHED>CLOSE_WAIT done inode=9
         3ms #7 CLOSE_WAIT>LAST_ACK done by curl/812
         9s  #7 LAST_ACK>CLOSE done dead err=110",
        ", CLOSE_WAIT 1ms, LAST_ACK 8.997s",
        "first remote, timed_out, complete",
    );
}

/// Of too many orphans the kernel resets one, in whatever context it finds out.
#[test]
fn too_many_orphans() {
    ends(
        "2ms     #7 ESTABLISHED>FIN_WAIT1 by curl/812
         2.001ms #7 reset sent TCP_ABORT_ON_MEMORY in=FIN_WAIT1
         2.002ms #7 FIN_WAIT1>CLOSE dead by curl/812",
        ", FIN_WAIT1 2us",
        "first local curl/812 certain, reset_sent TCP_ABORT_ON_MEMORY, complete",
    );
}

/// `ss -K` runs on the socket, with its lock, and destroys what it does not own.
#[test]
fn ss_kills() {
    let trace = "0us #7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
                 1ms #7 SYN_RECV>ESTABLISHED
                 1.999ms #7 reset sent NOT_SPECIFIED in=ESTABLISHED
                 2ms #7 ESTABLISHED>CLOSE err=103 inode=9 by ss/99
                 2.1ms #7 destroy by ss/99";
    check(
        READING,
        trace,
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 1ms, ESTABLISHED 1ms
           first local ss/99 certain, destroyed NOT_SPECIFIED, accepted, complete",
    );
    ends(
        "1.999ms #7 reset sent NOT_SPECIFIED in=ESTABLISHED
         2ms #7 ESTABLISHED>CLOSE err=103 inode=9 by ss/99",
        "",
        "first local ss/99 certain, destroyed NOT_SPECIFIED, complete",
    );
}

/// Whatever the classic tracepoint shows of an end without FINs, it does not show why.
#[test]
fn the_classic_tracepoint_does_not_say() {
    check(
        &[Tier::Classic],
        &format!("{CONNECT} 2ms #7 ESTABLISHED>CLOSE by curl/812"),
        &format!("{LIFE}\n first ?, close ?, complete"),
    );
    // The table tells it from a time-wait socket: there is none any more. Whether there was one, and for how long
    // FIN_WAIT2 went on in it, it does not tell.
    check(
        &[Tier::Classic],
        &format!(
            "{CONNECT}{ACTIVE}
             3ms  #7 FIN_WAIT1>FIN_WAIT2 inode=9
             4ms  #7 FIN_WAIT2>CLOSE err=104 inode=9
             30ms tick
             31ms #7 absent
             1s   tick"
        ),
        &format!("{LIFE}, FIN_WAIT1 1ms, FIN_WAIT2 ? sock_diag\n first local curl/812 certain, close ?, complete"),
    );
}
