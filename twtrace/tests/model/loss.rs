//! What was not seen: it is said, and whatever it may have damaged says so.

use crate::verdict::{READING, Tier, check, watch};
use twtrace::model::Change;

#[test]
fn marks_what_lived_then() {
    check(
        READING,
        "0us #6 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/811
         1ms #6 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>CLOSE err=111
         500ms tick
         1s  #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
         1.1s lost 3
         1.2s #7 10.0.0.1:40002 10.0.0.2:80 SYN_SENT>CLOSE err=111
         1.3s #8 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/813
         1.4s #8 10.0.0.1:40004 10.0.0.2:80 SYN_SENT>CLOSE err=111",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/811 by connect
           SYN_SENT 1ms
           first neither, refused, complete
         10.0.0.1:40002 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 200ms
           first neither, refused, lost 3
         10.0.0.1:40004 > 10.0.0.2:80 outbound of curl/813 by connect
           SYN_SENT 100ms
           first neither, refused, complete",
    );
}

/// A loss becomes known after it happened: what had ended a moment before is marked, too.
#[test]
fn is_known_late() {
    check(
        READING,
        "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
         1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>CLOSE err=111
         100ms tick
         100ms lost 1 recursion",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 1ms
           first neither, refused, lost 1",
    );
}

#[test]
fn is_told_as_it_becomes_known() {
    let mut told = Vec::new();
    watch(Tier::Bare, "5ms lost 3\n 9ms lost 1 recursion", |change| {
        if let Change::Lost(lost) = change {
            told.push((lost.at.0, lost.count, lost.place.name()));
        }
    });
    assert_eq!(told, [(5_000_000, 3, "ring"), (9_000_000, 1, "recursion")]);
}

/// A CLOSE that was lost: the next whole reading of the table does not have the socket.
#[test]
fn a_lost_end_is_found_by_the_table() {
    let begin = "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
                 1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
                 2ms lost 1
                 10s table begin\n";
    let life = "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect\n SYN_SENT 1ms,";
    check(
        &[Tier::Exact, Tier::Timers, Tier::Table],
        &format!("{begin} 10.1s table end\n 11s tick"),
        &format!("{life} ESTABLISHED ? sock_diag\n first ?, close ?, lost 1, broken"),
    );
    // A reading that broke off, or of another namespace, proves nothing.
    for no_proof in ["10.1s table end partial", "10.1s table begin ns=2\n 10.1s table end ns=2"] {
        check(
            &[Tier::Exact, Tier::Timers, Tier::Table],
            &format!("{begin} {no_proof}\n 11s tick"),
            &format!("{life} ESTABLISHED ..\n first ?, close ?, lost 1, not over"),
        );
    }
    // Nor does one that an event contradicts.
    check(
        &[Tier::Exact, Tier::Timers, Tier::Table],
        &format!("{begin} 10.1s table end\n 10.2s #7 ESTABLISHED>CLOSE_WAIT inode=9\n 11s tick"),
        &format!("{life} ESTABLISHED 10.199s, CLOSE_WAIT ..\n first remote, close ?, lost 1, not over"),
    );
}

/// Without its first event nobody knows when it began, or who called whom.
#[test]
fn a_lost_begin() {
    check(
        READING,
        "1ms lost 1
         2ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         3ms #7 ESTABLISHED>FIN_WAIT1 by curl/812",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by close
           SYN_SENT ?, ESTABLISHED 1ms, FIN_WAIT1 ..
           first local curl/812 certain, close ?, not over",
    );
    check(
        READING,
        "1ms lost 1
         2ms #7 10.0.0.2:80 10.0.0.1:40000 SYN_RECV>ESTABLISHED
         3ms #7 ESTABLISHED>FIN_WAIT1 by nginx/5",
        "10.0.0.2:80 > 10.0.0.1:40000 of nginx/5 by close
           SYN_RECV ?, ESTABLISHED 1ms, FIN_WAIT1 ..
           first local nginx/5 certain, close ?, not over",
    );
}

/// The states on both sides of a gap are known, the time in them is not.
#[test]
fn a_gap_in_the_middle() {
    check(
        READING,
        "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
         1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         9ms #7 CLOSE_WAIT>LAST_ACK by curl/812
         10ms #7 LAST_ACK>CLOSE done dead",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 1ms, ESTABLISHED ?, CLOSE_WAIT ?, LAST_ACK 1ms
           first remote, fin, broken",
    );
}

/// With the timers' starts, one that is missing after a loss is no overflow.
#[test]
fn no_conclusion_from_what_may_be_lost() {
    check(
        &[Tier::Exact],
        "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
         1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         2ms #7 ESTABLISHED>FIN_WAIT1 by curl/812
         3ms #7 FIN_WAIT1>FIN_WAIT2 dead
         4ms lost 1
         4ms #7 FIN_WAIT2>CLOSE done dead",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 1ms, ESTABLISHED 1ms, FIN_WAIT1 1ms, FIN_WAIT2 1ms, TIME_WAIT ..
           first local curl/812 certain, fin, open, lost 1, not over",
    );
}

/// Another connection has the tuple: the end of the one before was lost.
#[test]
fn a_tuple_that_two_have() {
    check(
        READING,
        "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
         1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         1s  #8 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/813
         1.1s #8 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 1ms, ESTABLISHED ? inferred
           first ?, close ?, broken
         10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/813 by connect
           SYN_SENT 100ms, ESTABLISHED ..
           first ?, close ?, not over",
    );
}
