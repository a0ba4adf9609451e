//! TIME_WAIT from its beginning: what is one, what is not, how long it lasts, and what starts it again.

use crate::verdict::{Tier, check, questions};

/// A connection that goes into TIME_WAIT at 4 ms.
pub(crate) const WAITS: &str = "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
                                1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
                                2ms #7 ESTABLISHED>FIN_WAIT1 by curl/812
                                3ms #7 FIN_WAIT1>FIN_WAIT2 dead
                                4ms #7 timer start TIME_WAIT due=60.004s
                                4ms #7 FIN_WAIT2>CLOSE done dead\n";
/// One whose FIN_WAIT2 is an orphan's from 4 ms on.
pub(crate) const ORPHAN: &str = "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
                                 1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
                                 2ms #7 ESTABLISHED>FIN_WAIT1 by curl/812
                                 3ms #7 FIN_WAIT1>FIN_WAIT2 dead
                                 4ms #7 timer start FIN_WAIT2 due=60.004s
                                 4ms #7 FIN_WAIT2>CLOSE dead\n";
pub(crate) const LIFE: &str = "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/812 by connect
                               SYN_SENT 1ms, ESTABLISHED 1ms, FIN_WAIT1 1ms";
pub(crate) const FIRST: &str = "first local curl/812 certain";

/// Retransmitted FINs and pure ACKs start it again: the span is the whole time.
#[test]
fn started_again() {
    let trace = format!(
        "{WAITS}
         8s     #7 timer cancel TIME_WAIT again
         8s     #7 timer start TIME_WAIT due=68s
         10s    #7 timer start TIME_WAIT due=70s
         20s    #7 row TIME_WAIT left=50s
         60s    #7 row TIME_WAIT left=10s
         70.504s #7 timer expire TIME_WAIT due=70s
         70.504s #7 absent
         71s tick"
    );
    let life = |basis: &str, restarts: u32| {
        format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT 70.5s {basis}\n{FIRST}, fin, expired, restarts {restarts}, complete")
    };
    check(&[Tier::Exact], &trace, &life("hook", 2));
    // Of two starts between two looks only the last is seen.
    check(&[Tier::Timers], &trace, &life("hook", 1));
    check(&[Tier::Table], &trace, &life("sock_diag", 1));
}

/// The timers' ends alone know the last start by the moment for which it was armed.
#[test]
fn started_again_by_the_end_alone() {
    check(
        &[Tier::Timers],
        &format!("{WAITS} 70.504s #7 timer expire TIME_WAIT due=70s"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT 70.5s hook\n{FIRST}, fin, expired, restarts 1, complete"),
    );
}

/// The wheel is late by up to 2 s at HZ=250; that is no restart.
#[test]
fn the_wheel_is_late() {
    check(
        &[Tier::Exact, Tier::Timers],
        &format!("{WAITS} 61.954s #7 timer expire TIME_WAIT due=60.008s"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT 61.95s hook\n{FIRST}, fin, expired, complete"),
    );
}

/// tcp_fin_timeout runs out: the peer never closed, and it never was a TIME_WAIT.
#[test]
fn an_orphan_times_out() {
    let trace = format!(
        "{ORPHAN}
         30s     tick
         30s     #7 row FIN_WAIT2 left=30.004s
         60.504s #7 timer expire FIN_WAIT2 due=60.004s"
    );
    check(
        &[Tier::Exact, Tier::Timers],
        &trace,
        &format!("{LIFE}, FIN_WAIT2 60.501s hook\n{FIRST}, timed_out, complete"),
    );
    // The table: no longer there, and why is anybody's guess.
    check(
        &[Tier::Table, Tier::Classic],
        &format!("{trace}\n 61s tick\n 61.1s #7 absent\n 62s tick"),
        &format!("{LIFE}, FIN_WAIT2 ? sock_diag\n{FIRST}, close ?, complete"),
    );
}

/// With TCP_LINGER2 above 60 s the orphan stays a full socket for the time beyond.
#[test]
fn a_full_orphan() {
    check(
        &[Tier::Exact, Tier::Timers],
        "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
         1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
         2ms #7 ESTABLISHED>FIN_WAIT1 by curl/812
         3ms #7 FIN_WAIT1>FIN_WAIT2 dead
         10s #7 row FIN_WAIT2
         30.003s #7 timer start FIN_WAIT2 due=90s
         30.003s #7 FIN_WAIT2>CLOSE dead
         90.1s #7 timer expire FIN_WAIT2 due=90s",
        &format!("{LIFE}, FIN_WAIT2 90.097s hook\n{FIRST}, timed_out, complete"),
    );
}

/// Where sockets have no cookies, the small one goes by another name than the full one had: the tuple tells whose it is,
/// and that one was made.
#[test]
fn a_small_socket_by_another_name() {
    for (trace, substate) in [(WAITS, "TIME_WAIT"), (ORPHAN, "FIN_WAIT2")] {
        let named = format!("#9 10.0.0.1:40000 10.0.0.2:80 timer start {substate}");
        let trace = trace.replace(&format!("#7 timer start {substate}"), &named);
        check(
            &[Tier::Exact],
            &format!("{trace} 60.5s #9 timer expire TIME_WAIT due=60.004s"),
            &format!(
                "{LIFE}, FIN_WAIT2 1ms{}, TIME_WAIT 60.496s hook\n{FIRST}, fin, expired, complete",
                if substate == "TIME_WAIT" { "" } else { " hook" }
            ),
        );
    }
}

/// The timers' ends alone: the due time of the last start gives the moment of the peer's FIN.
#[test]
fn an_orphans_time_wait_by_its_end() {
    check(
        &[Tier::Timers],
        &format!("{ORPHAN} 63.5s #7 timer expire TIME_WAIT due=63.004s"),
        &format!("{LIFE}, FIN_WAIT2 3.001s hook, TIME_WAIT 60.496s hook\n{FIRST}, fin, expired, complete"),
    );
}

/// A jiffy's rounding must not let TIME_WAIT begin before the moment at which there was no FIN yet.
#[test]
fn a_start_to_a_jiffy() {
    check(
        &[Tier::Table],
        &format!("{ORPHAN} 30ms #7 row TIME_WAIT left=59.971s\n 60.6s #7 absent"),
        &format!("{LIFE}, FIN_WAIT2 1ms sock_diag, TIME_WAIT 60.596s sock_diag\n{FIRST}, fin, expired, complete"),
    );
}

/// The classic tracepoint sees no difference; the table does.
#[test]
fn the_table_tells_what_the_classic_tracepoint_saw() {
    let trace = format!(
        "{ORPHAN} 25ms tick\n 30ms #7 row FIN_WAIT2 left=59.978s\n 5s #7 row TIME_WAIT left=58s\n 63.5s #7 absent"
    );
    check(
        &[Tier::Classic],
        &trace,
        &format!("{LIFE}, FIN_WAIT2 2.997s sock_diag, TIME_WAIT 60.5s sock_diag\n{FIRST}, fin, expired, complete"),
    );
}

/// A run that ends before it is over says so.
#[test]
fn still_there_at_the_end() {
    check(
        &[Tier::Exact, Tier::Timers, Tier::Table],
        WAITS,
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT ..\n{FIRST}, fin, open, not over"),
    );
}

/// The table is asked at the moments that matter, and no more.
#[test]
fn what_is_asked() {
    let ticks = "25ms tick\n 330ms tick\n 3.4s tick\n 20s tick\n 26s tick\n 30s tick";
    assert_eq!(
        questions(Tier::Table, &format!("{ORPHAN}{ticks}")),
        [
            "25ms socket 10.0.0.1:40000",
            "330ms socket 10.0.0.1:40000",
            "3.4s socket 10.0.0.1:40000",
            "26s table Some(1)"
        ]
    );
    // While it lasts, only the reading that sees restarts; then every 100 ms until it is gone.
    assert_eq!(
        questions(Tier::Table, &format!("{WAITS} 1s tick\n 59s tick\n 60.005s tick\n 60.05s tick\n 60.2s tick")),
        ["59s table Some(1)", "60.005s socket 10.0.0.1:40000", "60.2s socket 10.0.0.1:40000"]
    );
    assert_eq!(questions(Tier::Bare, &format!("{ORPHAN}{ticks}")), [""; 0]);
    // What was planned for an orphan is no reason to look for the end of its TIME_WAIT, which may be started again.
    let trace = format!(
        "{ORPHAN} 25ms tick\n 26ms #7 row TIME_WAIT left=59.99s\n 400ms tick\n 4s tick\n 24s tick
         25s #7 row TIME_WAIT left=40s\n 60.1s tick\n 65.1s tick"
    );
    assert_eq!(
        questions(Tier::Table, &trace),
        ["25ms socket 10.0.0.1:40000", "60.1s table Some(1)", "65.1s socket 10.0.0.1:40000"]
    );
    // Nor is what was planned to find a server's owner.
    let server = "0us #7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
                  1ms #7 SYN_RECV>ESTABLISHED
                  2ms #7 ESTABLISHED>FIN_WAIT1 by nginx/5
                  3ms #7 FIN_WAIT1>FIN_WAIT2 dead
                  4ms #7 FIN_WAIT2>CLOSE done dead
                  1.1s tick\n 1.3s tick\n 20s tick";
    assert_eq!(questions(Tier::Table, server), [""; 0]);
}

/// Of two ends on this host the one that closes last tells the other's TIME_WAIT: the ACK of its FIN is the orphan's.
#[test]
fn the_other_end_tells() {
    let both = format!(
        "{ORPHAN}
         1s     #8 10.0.0.2:80 10.0.0.1:40000 CLOSE_WAIT>LAST_ACK by nginx/5
         1.001s #8 LAST_ACK>CLOSE done dead"
    );
    let server = "10.0.0.2:80 > 10.0.0.1:40000 of nginx/5 by close
                  CLOSE_WAIT ?, LAST_ACK 1ms
                  first remote, fin, preexisting";
    check(
        &[Tier::Timers, Tier::Table, Tier::Bare],
        &both,
        &format!("{server}\n{LIFE}, FIN_WAIT2 997ms inferred, TIME_WAIT .. inferred\n{FIRST}, fin, open, not over"),
    );
    // Where the ACK took its time, the timer tells when the FIN came; only one that was repeated started it twice.
    for (resent, begin) in [
        (0, "FIN_WAIT2 1.197s inferred, TIME_WAIT 60.3s hook"),
        (1, "FIN_WAIT2 997ms inferred, TIME_WAIT 60.5s inferred"),
    ] {
        let slow = both
            .replace("1.001s #8 LAST_ACK>CLOSE", &format!("1.3s #8 LAST_ACK>CLOSE sent=0 received=0 resent={resent}"));
        let restarts = if resent == 0 { "" } else { " restarts 1," };
        check(
            &[Tier::Timers],
            &format!("{slow}\n 61.5s #7 timer expire TIME_WAIT due=61.2s"),
            &format!(
                "{}\n{LIFE}, {begin}\n{FIRST}, fin, expired,{restarts} complete",
                server.replace("LAST_ACK 1ms", "LAST_ACK 300ms")
            ),
        );
    }
    // With an answer of its own, none is needed.
    let exact = both.replace("1.001s", "1.0005s #7 timer start TIME_WAIT due=61.0005s\n 1.001s");
    check(
        &[Tier::Exact],
        &exact,
        &format!("{server}\n{LIFE}, FIN_WAIT2 997.5ms hook, TIME_WAIT .. hook\n{FIRST}, fin, open, not over"),
    );
    // A reset in place of the ACK: the orphan is gone, or was never made.
    check(
        &[Tier::Timers, Tier::Table, Tier::Bare],
        &both.replace("LAST_ACK>CLOSE done", "LAST_ACK>CLOSE err=104 done"),
        &format!("{}\n{LIFE}, FIN_WAIT2 ..\n{FIRST}, close ?, not over", server.replace("fin,", "reset_received,")),
    );
}
