//! Closing by FINs: every order in which they can come.

use crate::verdict::{ALL, READING, Tier, check};

const CONNECT: &str = "0us   #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
                       100us #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9\n";

/// The kernel goes through FIN_WAIT2 to CLOSE when the ACK of our FIN comes; the FIN_WAIT2 goes on in a time-wait
/// socket until the peer closes, and only then TIME_WAIT begins.
#[test]
fn the_peer_closes_later() {
    let trace = format!(
        "{CONNECT}
         5ms     #7 ESTABLISHED>FIN_WAIT1 by curl/812
         5.2ms   #7 FIN_WAIT1>FIN_WAIT2 dead
         5.2ms   #7 timer start FIN_WAIT2 due=60.0052s
         5.203ms #7 FIN_WAIT2>CLOSE dead
         26ms    tick
         3s      #7 timer cancel FIN_WAIT2 again
         3s      #7 timer start TIME_WAIT due=63s"
    );
    let begins = "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
                  SYN_SENT 100us, ESTABLISHED 4.9ms, FIN_WAIT1 200us,";
    check(
        &[Tier::Exact, Tier::Timers],
        &format!("{trace}\n 63.5s #7 timer expire TIME_WAIT due=63s"),
        &format!(
            "{begins} FIN_WAIT2 2.9948s hook, TIME_WAIT 60.5s hook
             first local curl/812 certain, fin, expired, complete"
        ),
    );
    let by_table = format!(
        "{trace}
         10s   #7 row TIME_WAIT left=53s
         63.2s #7 row TIME_WAIT left=0s
         63.6s #7 absent"
    );
    check(
        &[Tier::Table, Tier::Classic],
        &by_table,
        &format!(
            "{begins} FIN_WAIT2 2.9948s sock_diag, TIME_WAIT 60.6s sock_diag
             first local curl/812 certain, fin, expired, complete"
        ),
    );
    // Without any means nobody can say when, or whether, the peer closed.
    check(
        &[Tier::Bare],
        &trace,
        &format!(
            "{begins} FIN_WAIT2 ..
             first local curl/812 certain, close ?, not over"
        ),
    );
}

/// SOCK_DONE tells that the peer's FIN came with the ACK of ours.
#[test]
fn the_peer_closes_at_once() {
    let trace = format!(
        "{CONNECT}
         5ms     #7 ESTABLISHED>FIN_WAIT1 by curl/812
         5.2ms   #7 FIN_WAIT1>FIN_WAIT2 dead
         5.203ms #7 timer start TIME_WAIT due=60.005203s
         5.203ms #7 FIN_WAIT2>CLOSE done dead
         20s     tick
         20s     #7 row TIME_WAIT left=40.005203s
         60.705203s #7 timer expire TIME_WAIT due=60.005203s
         60.705203s #7 absent
         61.2s   tick"
    );
    let begins = "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
                  SYN_SENT 100us, ESTABLISHED 4.9ms, FIN_WAIT1 200us,";
    for (tiers, time_wait) in [
        (&[Tier::Exact, Tier::Timers][..], "FIN_WAIT2 3us, TIME_WAIT 60.7s hook"),
        (&[Tier::Table], "FIN_WAIT2 3us, TIME_WAIT 60.7s sock_diag"),
        (&[Tier::Classic], "FIN_WAIT2 3us sock_diag, TIME_WAIT 60.7s sock_diag"),
        // 60 s, and up to 2 s more that nobody saw.
        (&[Tier::Bare], "FIN_WAIT2 3us, TIME_WAIT 60s inferred"),
    ] {
        let expect = format!("{begins} {time_wait}\n first local curl/812 certain, fin, expired, complete");
        check(tiers, &trace, &expect);
    }
}

/// shutdown() leaves the descriptor; the later close() of what is in TIME_WAIT by then changes nothing.
#[test]
fn shutdown_then_the_peer_closes() {
    check(
        &[Tier::Exact, Tier::Timers],
        &format!(
            "{CONNECT}
             5ms #7 ESTABLISHED>FIN_WAIT1 by curl/812 inode=9
             6ms #7 FIN_WAIT1>FIN_WAIT2 inode=9
             2s  #7 timer start TIME_WAIT due=62s
             2s  #7 FIN_WAIT2>CLOSE done inode=9
             9s  #7 destroy by curl/812
             62.5s #7 timer expire TIME_WAIT due=62s"
        ),
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 100us, ESTABLISHED 4.9ms, FIN_WAIT1 1ms, FIN_WAIT2 1.994s, TIME_WAIT 60.5s hook
           first local curl/812 certain, fin, expired, complete",
    );
}

/// close() after shutdown() shows as a change from a state to itself, in every state that it may meet.
#[test]
fn shutdown_then_close() {
    check(
        &[Tier::Exact, Tier::Timers],
        &format!(
            "{CONNECT}
             5ms #7 ESTABLISHED>FIN_WAIT1 by curl/812 inode=9
             6ms #7 FIN_WAIT1>FIN_WAIT2 inode=9
             1s  #7 FIN_WAIT2>FIN_WAIT2 by curl/812
             1s  #7 timer start FIN_WAIT2 due=61s
             1s  #7 FIN_WAIT2>CLOSE dead by curl/812
             2s  #7 timer start TIME_WAIT due=62s
             62.5s #7 timer expire TIME_WAIT due=62s"
        ),
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 100us, ESTABLISHED 4.9ms, FIN_WAIT1 1ms, FIN_WAIT2 1.994s hook, TIME_WAIT 60.5s hook
           first local curl/812 certain, fin, expired, complete",
    );
    check(
        ALL,
        &format!(
            "{CONNECT}
             1ms #7 ESTABLISHED>CLOSE_WAIT inode=9
             2ms #7 CLOSE_WAIT>LAST_ACK by curl/812 inode=9
             3ms #7 LAST_ACK>LAST_ACK by curl/812"
        ),
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 100us, ESTABLISHED 900us, CLOSE_WAIT 1ms, LAST_ACK ..
           first remote, close ?, not over",
    );
    check(
        ALL,
        &format!(
            "{CONNECT}
             1ms #7 ESTABLISHED>FIN_WAIT1 by curl/812 inode=9
             2ms #7 FIN_WAIT1>FIN_WAIT1 by other/813
             3ms #7 FIN_WAIT1>CLOSING done
             4ms #7 CLOSING>CLOSING by curl/812 done"
        ),
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 100us, ESTABLISHED 900us, FIN_WAIT1 2ms, CLOSING ..
           first simultaneous curl/812 certain, close ?, not over",
    );
}

/// CLOSE_WAIT, in full: from the peer's FIN to our own.
#[test]
fn passive_close() {
    let trace = format!(
        "{CONNECT}
         1s  #7 ESTABLISHED>CLOSE_WAIT inode=9 done while nginx/5
         21s #7 CLOSE_WAIT>LAST_ACK done by curl/812
         21.001s #7 LAST_ACK>CLOSE done dead while nginx/5"
    );
    let life = "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
                SYN_SENT 100us, ESTABLISHED 999.9ms, CLOSE_WAIT 20s, LAST_ACK 1ms";
    check(READING, &trace, &format!("{life}\n first remote, fin, complete"));
    // The classic tracepoint does not say whether a reset ended it.
    check(&[Tier::Classic], &trace, &format!("{life}\n first remote, close ?, complete"));
}

/// Both FINs under way at once: ours was sent before theirs was seen. Never a FIN_WAIT2.
#[test]
fn simultaneous_close() {
    let trace = format!(
        "{CONNECT}
         5ms #7 ESTABLISHED>FIN_WAIT1 by curl/812
         6ms #7 FIN_WAIT1>CLOSING done dead
         7ms #7 timer start TIME_WAIT due=60.007s
         7ms #7 CLOSING>CLOSE done dead
         20s tick
         20s #7 row TIME_WAIT left=40.007s
         60.707s #7 timer expire TIME_WAIT due=60.007s
         60.707s #7 absent
         61.2s tick"
    );
    for (tier, closing, basis) in [
        (Tier::Exact, "", "hook"),
        (Tier::Timers, "", "hook"),
        (Tier::Table, "", "sock_diag"),
        (Tier::Classic, " sock_diag", "sock_diag"),
    ] {
        check(
            &[tier],
            &trace,
            &format!(
                "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
                 SYN_SENT 100us, ESTABLISHED 4.9ms, FIN_WAIT1 1ms, CLOSING 1ms{closing}, TIME_WAIT 60.7s {basis}
                 first simultaneous curl/812 certain, fin, expired, complete"
            ),
        );
    }
}

/// A child that nobody accepted has no file; one that was accepted has, whether accept was seen or not.
#[test]
fn never_accepted() {
    let trace = |inode: &str| {
        format!(
            "0us #7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
             2us #7 SYN_RECV>ESTABLISHED
             1ms #7 ESTABLISHED>CLOSE_WAIT done {inode}
             5s  #7 row CLOSE_WAIT {inode}"
        )
    };
    for (inode, accepted) in [("", "not accepted"), ("inode=4", "accepted")] {
        check(
            &[Tier::Exact, Tier::Timers, Tier::Table],
            &trace(inode),
            &format!(
                "10.0.0.2:80 > 10.0.0.1:40000 inbound
                   SYN_RECV 2us, ESTABLISHED 998us, CLOSE_WAIT ..
                   first remote, close ?, {accepted}, not over"
            ),
        );
    }
}
