//! What was there before the start: the socket table's rows, merged with events that overtake them.

use crate::verdict::{Tier, check};

const TABLES: &[Tier] = &[Tier::Exact, Tier::Timers, Tier::Table];
const GOES_ON: &str = "2s #7 10.0.0.1:40000 10.0.0.2:80 ESTABLISHED>CLOSE_WAIT inode=9
                       3s #7 CLOSE_WAIT>LAST_ACK by curl/812
                       4s #7 LAST_ACK>CLOSE done dead\n";
const LIFE: &str = "10.0.0.1:40000 > 10.0.0.2:80 of curl/812 by close
                    ESTABLISHED ?, CLOSE_WAIT 1s, LAST_ACK 1s
                    first remote, fin, preexisting";

/// Whichever comes first, the row or the event: it is one connection, and the event knows better.
#[test]
fn row_then_event() {
    let row = "1s #7 10.0.0.1:40000 10.0.0.2:80 row ESTABLISHED inode=9\n";
    check(
        TABLES,
        &format!("1s table begin\n {row} 1s table end\n 1s ready\n {GOES_ON}"),
        &LIFE.replace("ESTABLISHED ?", "ESTABLISHED ? sock_diag"),
    );
}

#[test]
fn event_then_row() {
    for row in ["ESTABLISHED inode=9", "CLOSE_WAIT inode=9"] {
        check(
            TABLES,
            &format!(
                "1s table begin
                 2s #7 10.0.0.1:40000 10.0.0.2:80 ESTABLISHED>CLOSE_WAIT inode=9
                 1.5s #7 row {row}
                 2.5s table end
                 2.5s ready
                 3s #7 CLOSE_WAIT>LAST_ACK by curl/812
                 4s #7 LAST_ACK>CLOSE done dead"
            ),
            LIFE,
        );
    }
}

/// It went, and was given out, before the reading that had seen it was through.
#[test]
fn gone_before_its_row_is_given() {
    check(
        TABLES,
        "1s table begin
         2s #7 10.0.0.1:40000 10.0.0.2:80 CLOSE_WAIT>LAST_ACK by curl/812
         3s #7 LAST_ACK>CLOSE done dead
         3.5s tick
         1.5s #7 row CLOSE_WAIT inode=9
         4s table end
         4s ready",
        "10.0.0.1:40000 > 10.0.0.2:80 of curl/812 by close
           CLOSE_WAIT ?, LAST_ACK 1s
           first remote, fin, preexisting",
    );
}

/// Begun while the table was read, and seen there before its first event was taken in.
#[test]
fn a_newborn_in_the_table() {
    let end = "5s #7 10.0.0.1:40000 10.0.0.2:80 ESTABLISHED>CLOSE_WAIT inode=9";
    check(
        TABLES,
        &format!(
            "1s table begin
             2s #7 10.0.0.1:40000 10.0.0.2:80 row SYN_SENT inode=9
             1.5s #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
             2.5s #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
             3s table end
             3s ready
             {end}"
        ),
        "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
           SYN_SENT 1s, ESTABLISHED 2.5s, CLOSE_WAIT ..
           first remote, close ?, not over",
    );
    check(
        TABLES,
        "1s table begin
         2.1s #7 10.0.0.2:80 10.0.0.1:40000 row ESTABLISHED
         2s   #90 @7 0.0.0.0:80 0.0.0.0:0 LISTEN>SYN_RECV
         2.001s #7 10.0.0.2:80 10.0.0.1:40000 SYN_RECV>ESTABLISHED
         3s table end
         3s ready",
        "10.0.0.2:80 > 10.0.0.1:40000 inbound
           SYN_RECV 1ms, ESTABLISHED ..
           first ?, close ?, not accepted, not over",
    );
}

/// TIME_WAIT gives its own beginning, which its timer bears out in the end; CLOSE_WAIT gives one by the last ACK; the rest gives none.
#[test]
fn what_a_row_says_of_its_past() {
    let row = |row: &str| format!("100s table begin\n 100s #7 10.0.0.1:40000 10.0.0.2:80 row {row}\n 100s ready\n");
    check(
        &[Tier::Exact, Tier::Timers],
        &format!("{} 145.5s #7 timer expire TIME_WAIT due=145s", row("TIME_WAIT left=45s")),
        "10.0.0.1:40000 > 10.0.0.2:80
           TIME_WAIT 60.5s hook
           first ?, close ?, expired, preexisting",
    );
    check(
        &[Tier::Table],
        &format!("{} 145.5s #7 absent", row("TIME_WAIT left=45s")),
        "10.0.0.1:40000 > 10.0.0.2:80
           TIME_WAIT 60.5s sock_diag
           first ?, close ?, expired, preexisting",
    );
    check(
        TABLES,
        &format!("{} 107s #7 CLOSE_WAIT>CLOSE err=32 inode=9", row("CLOSE_WAIT ack=3s inode=9")),
        "10.0.0.1:40000 > 10.0.0.2:80
           CLOSE_WAIT 10s inferred
           first remote, reset_received, preexisting",
    );
    check(
        TABLES,
        &row("CLOSE_WAIT"),
        "10.0.0.1:40000 > 10.0.0.2:80
           CLOSE_WAIT .. inferred
           first remote, close ?, not accepted, preexisting, not over",
    );
    check(
        &[Tier::Timers],
        &format!("{} 163.5s #7 timer expire TIME_WAIT due=163s", row("FIN_WAIT2 left=9s")),
        "10.0.0.1:40000 > 10.0.0.2:80
           FIN_WAIT2 ? sock_diag, TIME_WAIT 60.5s hook
           first local, fin, expired, preexisting",
    );
}

/// Requests and closed sockets are no connections; a listener tells the direction of those at its port.
#[test]
fn what_is_no_connection() {
    check(
        TABLES,
        "1s table begin
         1s #3 10.0.0.2:80 0.0.0.0:0 row LISTEN inode=5
         1s #4 10.0.0.2:80 10.0.0.1:1 row NEW_SYN_RECV
         1s #5 10.0.0.2:80 10.0.0.1:2 row SYN_RECV
         1s #6 10.0.0.2:81 10.0.0.1:3 row CLOSE inode=7
         1s #7 10.0.0.2:80 10.0.0.1:4 row ESTABLISHED inode=9
         1s table end
         1s ready",
        "10.0.0.2:80 > 10.0.0.1:4 inbound
           ESTABLISHED .. sock_diag
           first ?, close ?, accepted, preexisting, not over",
    );
}

/// Events of before the start without a table: connections in mid-life.
#[test]
fn attached_in_mid_life() {
    for (first, span, side) in [
        ("ESTABLISHED>FIN_WAIT1 by curl/812", "ESTABLISHED ?, FIN_WAIT1 ..", "first local curl/812 certain"),
        ("FIN_WAIT1>FIN_WAIT2 dead", "FIN_WAIT1 ?, FIN_WAIT2 ..", "first local"),
        ("CLOSE_WAIT>LAST_ACK", "CLOSE_WAIT ?, LAST_ACK ..", "first remote"),
        ("FIN_WAIT1>CLOSING", "FIN_WAIT1 ?, CLOSING ..", "first simultaneous"),
    ] {
        let owner = if first.contains("curl") { " of curl/812 by close" } else { "" };
        check(
            &[Tier::Exact, Tier::Timers, Tier::Table, Tier::Bare],
            &format!("1s #7 10.0.0.1:40000 10.0.0.2:80 {first}"),
            &format!("10.0.0.1:40000 > 10.0.0.2:80{owner}\n {span}\n {side}, close ?, preexisting, not over"),
        );
    }
    // A listener's rows and readings that nobody waits for make no connection.
    check(TABLES, "1s #7 10.0.0.1:40000 10.0.0.2:80 row ESTABLISHED inode=9", "");
}

/// Of a server's connections that were there, the direction is their listener's to tell, and the owner /proc's.
#[test]
fn the_holder_of_an_inode() {
    check(
        TABLES,
        "1s table begin
         1s #7 10.0.0.2:80 10.0.0.1:4 row ESTABLISHED inode=9
         1s table end
         1s ready
         2s holder inode=9 nginx/5 nginx/6",
        "10.0.0.2:80 > 10.0.0.1:4 of nginx/5 by socket_table
           ESTABLISHED .. sock_diag
           first ?, close ?, preexisting, not over",
    );
}
