//! Which socket is which: addresses used again, ports that are not yet theirs, tuples that exist twice.

use crate::verdict::{ALL, READING, Tier, check};

/// The slab gives the address of a closed socket to the next one at once.
#[test]
fn an_address_used_again() {
    check(
        ALL,
        "0us #7 @1 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
         1ms #7 @1 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         2ms #7 @1 ESTABLISHED>CLOSE_WAIT inode=9
         3ms #7 @1 CLOSE_WAIT>LAST_ACK by curl/812
         4ms #8 @1 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/813
         5ms #8 @1 10.0.0.1:40002 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=10",
        // The first one's last event is missing: by its cookie it may still be there, by its address it is not.
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 1ms, ESTABLISHED 1ms, CLOSE_WAIT 1ms, LAST_ACK ..
           first remote, close ?, not over
         10.0.0.1:40002 > 10.0.0.2:80 outbound of curl/813 by connect
           SYN_SENT 1ms, ESTABLISHED ..
           first ?, close ?, not over",
    );
}

/// What is left of a connection in the table is not the one that has its address now.
#[test]
fn an_address_used_again_over_a_time_wait() {
    let trace = "0us #7 @1 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
         1ms #7 @1 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         2ms #7 @1 ESTABLISHED>FIN_WAIT1 by curl/812
         3ms #7 @1 FIN_WAIT1>FIN_WAIT2 dead
         4ms #7 @1 timer start TIME_WAIT due=60.004s
         4ms #7 @1 FIN_WAIT2>CLOSE done dead
         5ms #8 @1 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/813
         6ms #8 @1 10.0.0.1:40002 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=10
         30ms tick
         31ms #7 row TIME_WAIT left=59.973s
         1s  #8 @1 ESTABLISHED>CLOSE_WAIT inode=10";
    for (tiers, fin_wait2) in [
        (&[Tier::Exact, Tier::Timers, Tier::Table][..], "FIN_WAIT2 1ms, TIME_WAIT .."),
        (&[Tier::Classic], "FIN_WAIT2 1ms sock_diag, TIME_WAIT .. sock_diag"),
    ] {
        check(
            tiers,
            trace,
            &format!(
                "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
                   SYN_SENT 1ms, ESTABLISHED 1ms, FIN_WAIT1 1ms, {fin_wait2}
                   first local curl/812 certain, fin, open, not over
                 10.0.0.1:40002 > 10.0.0.2:80 outbound of curl/813 by connect
                   SYN_SENT 1ms, ESTABLISHED 994ms, CLOSE_WAIT ..
                   first remote, close ?, not over"
            ),
        );
    }
}

/// connect(AF_UNSPEC) leaves the socket its old port: the next connection of the same socket shows it too early.
#[test]
fn disconnected_and_connected_again() {
    let trace = "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by nc/3
                 1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
                 2ms #7 ESTABLISHED>CLOSE by nc/3 inode=9
                 2.001ms #7 reset sent TCP_STATE in=CLOSE
                 3ms #7 10.0.0.1:40000 10.0.0.3:81 CLOSE>SYN_SENT by nc/3 inode=9
                 4ms #7 10.0.0.1:40002 10.0.0.3:81 SYN_SENT>ESTABLISHED inode=9";
    check(
        READING,
        trace,
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of nc/3 by connect
           SYN_SENT 1ms, ESTABLISHED 1ms
           first local nc/3 certain, reset_sent TCP_STATE, complete
         10.0.0.1:40002 > 10.0.0.3:81 outbound of nc/3 by connect
           SYN_SENT 1ms, ESTABLISHED ..
           first ?, close ?, not over",
    );
    check(
        &[Tier::Classic],
        trace,
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of nc/3 by connect
           SYN_SENT 1ms, ESTABLISHED 1ms
           first ?, close ?, complete
         10.0.0.1:40002 > 10.0.0.3:81 outbound of nc/3 by connect
           SYN_SENT 1ms, ESTABLISHED ..
           first ?, close ?, not over",
    );
}

/// A stale port is not the port: another connection that has it must not be thought over.
#[test]
fn a_stale_port_takes_nothing_over() {
    check(
        READING,
        "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by nc/3
         1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         2ms #8 10.0.0.1:40000 10.0.0.2:80 CLOSE>SYN_SENT by nc/4
         3ms #8 10.0.0.1:40002 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=8
         4ms #7 ESTABLISHED>CLOSE_WAIT inode=9",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of nc/3 by connect
           SYN_SENT 1ms, ESTABLISHED 3ms, CLOSE_WAIT ..
           first remote, close ?, not over
         10.0.0.1:40002 > 10.0.0.2:80 outbound of nc/4 by connect
           SYN_SENT 1ms, ESTABLISHED ..
           first ?, close ?, not over",
    );
}

/// Two namespaces may have the very same addresses and ports.
#[test]
fn the_same_tuple_in_two_namespaces() {
    check(
        READING,
        "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by nc/3
         1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         2ms #7 ESTABLISHED>FIN_WAIT1 by nc/3
         3ms #7 FIN_WAIT1>FIN_WAIT2 dead
         4ms #7 timer start TIME_WAIT due=60.004s
         4ms #7 FIN_WAIT2>CLOSE done dead
         5ms #8 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by nc/4 ns=2
         6ms #8 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=8 ns=2",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of nc/3 by connect
           SYN_SENT 1ms, ESTABLISHED 1ms, FIN_WAIT1 1ms, FIN_WAIT2 1ms, TIME_WAIT ..
           first local nc/3 certain, fin, open, not over
         10.0.0.1:40000 > 10.0.0.2:80 outbound ns=2 of nc/4 by connect
           SYN_SENT 1ms, ESTABLISHED ..
           first ?, close ?, not over",
    );
}

#[test]
fn addresses_of_all_kinds() {
    check(
        ALL,
        "0us #7 [::ffff:10.0.0.1]:0     [::ffff:10.0.0.2]:80 CLOSE>SYN_SENT by nc/3
         1ms #7 [::ffff:10.0.0.1]:40000 [::ffff:10.0.0.2]:80 SYN_SENT>ESTABLISHED inode=9
         2ms #8 [fd00::1]:0     [fd00::2]:80 CLOSE>SYN_SENT by nc/4
         3ms #8 [fd00::1]:40000 [fd00::2]:80 SYN_SENT>ESTABLISHED inode=8",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound mapped of nc/3 by connect
           SYN_SENT 1ms, ESTABLISHED ..
           first ?, close ?, not over
         [fd00::1]:40000 > [fd00::2]:80 outbound of nc/4 by connect
           SYN_SENT 1ms, ESTABLISHED ..
           first ?, close ?, not over",
    );
}

/// A time-wait socket made before its full socket was given a cookie has another one: the tuple joins them.
#[test]
fn a_time_wait_socket_with_a_cookie_of_its_own() {
    check(
        &[Tier::Timers],
        "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by nc/3
         1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         2ms #7 ESTABLISHED>FIN_WAIT1 by nc/3
         3ms #7 FIN_WAIT1>FIN_WAIT2 dead
         4ms #7 FIN_WAIT2>CLOSE done dead
         60.5s #99 10.0.0.1:40000 10.0.0.2:80 timer expire TIME_WAIT due=60.004s",
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of nc/3 by connect
           SYN_SENT 1ms, ESTABLISHED 1ms, FIN_WAIT1 1ms, FIN_WAIT2 1ms, TIME_WAIT 60.496s hook
           first local nc/3 certain, fin, expired, complete",
    );
}
