//! Every way in which the kernel ends a time-wait socket.

use crate::{
    time_wait::{FIRST, LIFE, ORPHAN, WAITS},
    verdict::{Tier, check},
};

/// TIME_WAIT of 996 ms that ends at 1 s, as the timers' cancelling tells.
#[track_caller]
fn cancelled(cause: &str, end: &str) {
    check(
        &[Tier::Exact],
        &format!("{WAITS} 1s #7 timer cancel TIME_WAIT {cause}"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT 996ms hook\n{FIRST}, fin, {end}, complete"),
    );
}

#[test]
fn what_cancels_its_timer() {
    cancelled("connect", "reused");
    cancelled("segment", "taken_over");
    cancelled("reset", "reset");
    cancelled("abort", "purged");
    cancelled("namespace", "purged");
    cancelled("other", "end ?");
}

/// Data or a SYN for an orphan's FIN_WAIT2 is answered by a reset; a reset of the peer kills it.
#[test]
fn what_cancels_an_orphans_timer() {
    for (cause, close) in
        [("segment", "reset_sent"), ("reset", "reset_received"), ("abort", "destroyed"), ("namespace", "close ?")]
    {
        check(
            &[Tier::Exact],
            &format!("{ORPHAN} 1s #7 timer cancel FIN_WAIT2 {cause}"),
            &format!("{LIFE}, FIN_WAIT2 997ms hook\n{FIRST}, {close}, complete"),
        );
    }
}

/// A timer that is started again for nearly the same moment says nothing; when it is cancelled, it tells since when it ran.
#[test]
fn what_cancels_a_timer_tells_its_start() {
    check(
        &[Tier::Exact],
        &format!("{ORPHAN} 2s #7 timer cancel TIME_WAIT abort due=61.204s"),
        &format!("{LIFE}, FIN_WAIT2 1.201s hook, TIME_WAIT 796ms hook\n{FIRST}, fin, purged, complete"),
    );
}

/// The reset that answers data for an orphan is traced since 6.10, for the time-wait socket.
#[test]
fn an_orphans_reset_is_traced() {
    check(
        &[Tier::Timers, Tier::Table],
        &format!("{ORPHAN} 1s #7 reset sent TCP_TIMEWAIT_SOCKET in=TIME_WAIT"),
        &format!("{LIFE}, FIN_WAIT2 997ms\n{FIRST}, reset_sent TCP_TIMEWAIT_SOCKET, complete"),
    );
}

const CONNECTS: &str = "1s     #8 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/813
                        1.001s #8 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9\n";
const CONNECTED: &str = "10.0.0.1:40000 > 10.0.0.2:80 outbound of curl/813 by connect
                         SYN_SENT 1ms, ESTABLISHED ..
                         first ?, close ?, not over";

/// __inet_check_established() takes the port inside connect(), right behind SYN_SENT.
#[test]
fn reused_by_connect() {
    check(
        &[Tier::Timers, Tier::Table, Tier::Bare],
        &format!("{WAITS}{CONNECTS}"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT 996ms\n{FIRST}, fin, reused, complete\n{CONNECTED}"),
    );
    check(
        &[Tier::Exact],
        &format!("{WAITS} 1.0005s #7 timer cancel TIME_WAIT connect\n{CONNECTS}"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT 996.5ms hook\n{FIRST}, fin, reused, complete\n{CONNECTED}"),
    );
}

/// A server's TIME_WAIT gives way to a SYN of its client, up to a handshake before the child is seen.
#[test]
fn taken_over_by_a_syn() {
    let server = "0us #7 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
                  1ms #7 SYN_RECV>ESTABLISHED
                  2ms #7 ESTABLISHED>FIN_WAIT1 by nginx/5
                  3ms #7 FIN_WAIT1>FIN_WAIT2 dead
                  4ms #7 timer start TIME_WAIT due=60.004s
                  4ms #7 FIN_WAIT2>CLOSE done dead\n";
    let again = "1s     #8 10.0.0.2:80 10.0.0.1:40000 LISTEN>SYN_RECV
                 1.001s #8 SYN_RECV>ESTABLISHED";
    let life = |time_wait: &str| {
        format!(
            "10.0.0.2:80 > 10.0.0.1:40000 inbound of nginx/5 by close
             SYN_RECV 1ms, ESTABLISHED 1ms, FIN_WAIT1 1ms, FIN_WAIT2 1ms, TIME_WAIT {time_wait}
             first local nginx/5 certain, fin, taken_over, complete
             10.0.0.2:80 > 10.0.0.1:40000 inbound
             SYN_RECV 1ms, ESTABLISHED ..
             first ?, close ?, not accepted, not over"
        )
    };
    check(&[Tier::Timers, Tier::Table, Tier::Bare], &format!("{server}{again}"), &life("996ms inferred"));
    check(&[Tier::Exact], &format!("{server} 999ms #7 timer cancel TIME_WAIT segment\n{again}"), &life("995ms hook"));
}

/// What the table no longer has, and no event explains, ended in a way that nobody can name.
#[test]
fn gone_early_by_the_table() {
    check(
        &[Tier::Table],
        &format!(
            "{WAITS}
             1s   table begin
             1s   #7 row TIME_WAIT left=59.004s
             1.1s table end
             26s  table begin
             26.1s table end
             26.2s tick
             27s  tick"
        ),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT ? sock_diag\n{FIRST}, fin, end ?, complete"),
    );
}

/// A namespace cannot be found any more long before the kernel takes its sockets down: their timers tell when that was.
#[test]
fn gone_with_its_namespace() {
    let gone = "25s table begin\n 25.1s table end\n 26s tick";
    check(
        &[Tier::Exact],
        &format!("{WAITS}{gone}\n 31.004s #7 timer cancel TIME_WAIT namespace"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT 31s hook\n{FIRST}, fin, purged, complete"),
    );
    // Nor is it kept for ever, whatever became of its timer.
    check(
        &[Tier::Exact],
        &format!("{WAITS}{gone}\n 67s table begin\n 67.1s table end\n 68s tick"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT ? sock_diag\n{FIRST}, fin, end ?, complete"),
    );
    check(
        &[Tier::Timers, Tier::Table],
        &format!("{WAITS}{gone}"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT ? sock_diag\n{FIRST}, fin, end ?, complete"),
    );
}

/// inet_twsk_alloc() refuses past tcp_max_tw_buckets, and the events are as always. With the timers' starts it shows
/// by the one that is missing.
#[test]
fn no_room_by_the_timers() {
    let trace = "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
                 1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
                 2ms #7 ESTABLISHED>FIN_WAIT1 by curl/812
                 3ms #7 FIN_WAIT1>FIN_WAIT2 dead
                 4ms #7 FIN_WAIT2>CLOSE dead done full";
    check(
        &[Tier::Exact],
        trace,
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT 0us hook\n{FIRST}, fin, overflow, complete"),
    );
}

/// Without them the kernel's own count hints at it, and the table confirms it or does not.
#[test]
fn no_room_by_the_table() {
    let trace = "0us #7 10.0.0.1:0     10.0.0.2:80 CLOSE>SYN_SENT by curl/812
                 1ms #7 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9
                 2ms #7 ESTABLISHED>FIN_WAIT1 by curl/812
                 3ms #7 FIN_WAIT1>FIN_WAIT2 dead
                 4ms #7 FIN_WAIT2>CLOSE dead done full\n";
    check(
        &[Tier::Timers, Tier::Table],
        &format!("{trace} 5ms tick\n 6ms #7 absent\n 500ms tick"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT 0us sock_diag\n{FIRST}, fin, overflow, complete"),
    );
    check(
        &[Tier::Timers, Tier::Table],
        &format!("{trace} 5ms tick\n 6ms #7 row TIME_WAIT left=59.998s\n 500ms tick"),
        &format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT ..\n{FIRST}, fin, open, not over"),
    );
}

/// An orphan for which there was no room, where the timers' starts are seen: no reset follows that would be an abort's.
#[test]
fn no_room_for_an_orphan() {
    check(
        &[Tier::Exact],
        &ORPHAN.replace("4ms #7 timer start FIN_WAIT2 due=60.004s", ""),
        &format!("{LIFE}, FIN_WAIT2 1ms hook, TIME_WAIT 0us hook\n{FIRST}, fin, overflow, complete"),
    );
}

/// tcp_twsk_unique() gives a connect a port of the kernel's choice only after tcp_tw_reuse_delay; before, something else
/// must have ended the TIME_WAIT. A port that the application chose is given at once.
#[test]
fn too_young_to_be_reused() {
    let after = |start: &str, established: &str, port: u16| {
        format!(
            "{WAITS}
             {start} #8 10.0.0.1:{port} 10.0.0.2:80 CLOSE>SYN_SENT by curl/813
             {established} #8 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED inode=9"
        )
    };
    let life = |rest: &str| format!("{LIFE}, FIN_WAIT2 1ms, TIME_WAIT {rest}\n{CONNECTED}");
    for (trace, rest) in [
        (after("500ms", "501ms", 0), "? inferred\nfirst local curl/812 certain, fin, end ?, complete"),
        (after("500ms", "501ms", 40_000), "496ms\nfirst local curl/812 certain, fin, reused, complete"),
        (after("1.004s", "1.005s", 0), "1s\nfirst local curl/812 certain, fin, reused, complete"),
    ] {
        check(&[Tier::BareWithDelay], &trace, &life(rest));
    }
}
