//! What connections carry: shown where there is room, and asked for while it is looked at.

use crate::stage::Stage;
use insta::assert_snapshot;
use twtrace::model::{Question, SocketId, tracker::Means};

const SMALL: (u16, u16) = (80, 12);
const MIDDLE: (u16, u16) = (120, 12);
const LARGE: (u16, u16) = (250, 12);

/// An upload, a download, one of which nothing was read, and one that is over.
fn stage() -> Stage {
    let mut stage = Stage::with(Means { timer_ends: true, show_transitions: true, table: true, ..Means::default() });
    stage.play(
        "0s ready
         1s #1 10.0.0.1:0 10.0.0.2:80 CLOSE>SYN_SENT by put/7
         1s #1 10.0.0.1:40001 10.0.0.2:80 SYN_SENT>ESTABLISHED
         2s #2 10.0.0.1:0 10.0.0.2:80 CLOSE>SYN_SENT by get/8
         2s #2 10.0.0.1:40002 10.0.0.2:80 SYN_SENT>ESTABLISHED
         3s #3 10.0.0.1:0 10.0.0.2:80 CLOSE>SYN_SENT by idle/9
         3s #3 10.0.0.1:40003 10.0.0.2:80 SYN_SENT>ESTABLISHED
         4s #4 10.0.0.1:0 10.0.0.2:80 CLOSE>SYN_SENT by done/10
         4s #4 10.0.0.1:40004 10.0.0.2:80 SYN_SENT>ESTABLISHED
         4s #4 ESTABLISHED>FIN_WAIT1 by done/10
         4s #4 FIN_WAIT1>FIN_WAIT2 dead
         4s #4 FIN_WAIT2>CLOSE done dead sent=70 received=12345
         5s #1 row ESTABLISHED inode=5 sent=1500000 received=20
         7s #2 row ESTABLISHED inode=6 sent=1000 received=2500000000
         9s tick",
    );
    stage
}

#[test]
fn bytes_so_far_and_in_all() {
    let mut stage = stage();
    stage.press("c");
    assert_snapshot!("bytes_middle", stage.picture(MIDDLE));
    assert_snapshot!("bytes_large", stage.picture(LARGE));
    assert!(!stage.picture(SMALL).contains("BYTES"));
    stage.press("sss");
    assert_snapshot!("bytes_sorted", stage.picture(SMALL));
    stage.press("S<Enter>");
    assert_snapshot!("bytes_unknown_detail", stage.picture(SMALL));
    stage.press("<Esc><End><Enter>");
    assert_snapshot!("bytes_detail", stage.picture(SMALL));
}

#[test]
fn they_are_asked_for_while_they_are_looked_at() {
    let mut stage = stage();
    let of_each = |stage: &mut Stage, size| {
        stage.picture(size);
        let asked = stage.desk.questions(&stage.tracker, size);
        let cookies = asked.into_iter().map(|question| match question {
            Question::Socket { socket: SocketId::Cookie(cookie), carried: true, .. } => cookie,
            Question::Carried { netns: Some(1) } => 0,
            _ => panic!("{question:?}"),
        });
        cookies.collect::<Vec<_>>()
    };
    // Not on the screen, by the view or for want of room.
    assert_eq!(of_each(&mut stage, LARGE), [0_u64; 0]);
    stage.press("c");
    assert_eq!(of_each(&mut stage, SMALL), [0_u64; 0]);
    // Of those that are to be seen and have not told all.
    assert_eq!(of_each(&mut stage, MIDDLE), [1, 2, 3]);
    stage.press("S");
    assert_eq!(of_each(&mut stage, (120, 7)), [3]);
    // Of all of them where they are sorted by it.
    stage.press("sss");
    assert_eq!(of_each(&mut stage, SMALL), [0]);
    stage.press("p");
    assert_eq!(of_each(&mut stage, SMALL), [0_u64; 0]);
    stage.press("p<Enter>");
    assert_eq!(of_each(&mut stage, SMALL), [2]);
}
