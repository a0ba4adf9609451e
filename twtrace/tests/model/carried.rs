//! What a connection has carried: so far, as the table says, and in all, as its end says.

use crate::trace;
use twtrace::model::{Ktime, Lifecycle, Question, SocketId, Tracker, observation::Traffic, tracker::Means};

/// Of the connection with this cookie.
fn life(tracker: &Tracker, cookie: u64) -> Lifecycle {
    tracker.life(SocketId::Cookie(cookie)).unwrap()
}

fn play(tracker: &mut Tracker, text: &str) {
    let text = text.replace("#7", "#7 10.0.0.1:40000 10.0.0.2:80");
    trace::parse(&text).iter().for_each(|(observation, _)| tracker.handle(observation));
}

fn tracker() -> Tracker {
    Tracker::new(Means { timer_ends: true, table: true, ..Means::default() })
}

fn traffic(bytes_sent: u64, bytes_received: u64) -> Traffic {
    Traffic { bytes_sent, bytes_received, ..Traffic::default() }
}

const OPEN: &str = "1s ready
    2s #7 CLOSE>SYN_SENT by curl/8
    2s #7 SYN_SENT>ESTABLISHED\n";

#[test]
fn nothing_is_known_before_it_was_read() {
    let mut tracker = tracker();
    play(&mut tracker, OPEN);
    play(&mut tracker, "3s #7 row ESTABLISHED inode=9\n");
    assert_eq!(life(&tracker, 7).carried(), None);
}

/// The latest reading counts; another one that says nothing of it takes nothing away; the end knows better.
#[test]
fn so_far_and_in_all() {
    let mut tracker = tracker();
    play(&mut tracker, OPEN);
    play(
        &mut tracker,
        "3s #7 row ESTABLISHED inode=9 sent=10 received=0
         4s #7 row ESTABLISHED inode=9 sent=20 received=30
         5s #7 row ESTABLISHED inode=9
         6s #7 ESTABLISHED>FIN_WAIT1 by curl/8
         6s #7 FIN_WAIT1>FIN_WAIT2 dead\n",
    );
    assert_eq!(life(&tracker, 7).carried(), Some((traffic(20, 30), Some(Ktime(4_000_000_000)))));
    // It is not what the connection carried in all.
    assert_eq!(life(&tracker, 7).traffic, None);
    play(&mut tracker, "7s #7 FIN_WAIT2>CLOSE done dead sent=21 received=31\n");
    assert_eq!(life(&tracker, 7).carried(), Some((traffic(21, 31), None)));
    assert_eq!(life(&tracker, 7).so_far, None);
    // A row that was read before, and comes late.
    play(&mut tracker, "6.5s #7 row FIN_WAIT2 sent=20 received=30\n");
    assert_eq!(life(&tracker, 7).carried(), Some((traffic(21, 31), None)));
}

#[test]
fn one_that_was_there_before() {
    let mut tracker = tracker();
    let row = "1s #7 row ESTABLISHED inode=9 sent=5 received=6";
    play(&mut tracker, &format!("1s table begin\n {row}\n 1s table end\n 1s ready\n"));
    assert_eq!(life(&tracker, 7).carried(), Some((traffic(5, 6), Some(Ktime(1_000_000_000)))));
}

/// Readings that come every second must not make /proc be read every second.
#[test]
fn a_reading_of_it_asks_for_nothing() {
    let mut tracker = tracker();
    play(&mut tracker, "1s ready\n 2s #7 ESTABLISHED>CLOSE_WAIT done inode=9\n");
    while tracker.poll_question().is_some() {}
    play(&mut tracker, "3s #7 row CLOSE_WAIT inode=9 sent=5 received=6\n");
    assert_eq!(tracker.poll_question(), None);
    play(&mut tracker, "4s #7 row CLOSE_WAIT inode=9\n");
    assert_eq!(tracker.poll_question(), Some(Question::Holder { inode: 9 }));
}

/// Only while there is a socket that can tell.
#[test]
fn who_can_be_asked() {
    let mut tracker = tracker();
    let asks = |tracker: &Tracker| {
        let question = tracker.question_of_carried(&life(tracker, 7));
        question.is_some_and(|question| {
            matches!(question, Question::Socket { socket: SocketId::Cookie(7), carried: true, .. })
        })
    };
    play(&mut tracker, "1s ready\n 2s #7 CLOSE>SYN_SENT by curl/8\n");
    assert!(!asks(&tracker));
    play(&mut tracker, "2s #7 SYN_SENT>ESTABLISHED\n");
    assert!(asks(&tracker));
    play(&mut tracker, "6s #7 ESTABLISHED>FIN_WAIT1 by curl/8\n 6s #7 FIN_WAIT1>FIN_WAIT2 dead\n");
    assert!(asks(&tracker));
    play(&mut tracker, "7s #7 FIN_WAIT2>CLOSE done dead\n");
    assert!(!asks(&tracker));
}
