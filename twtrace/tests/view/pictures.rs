//! An incident in a few lines, and what each view says of it.

use crate::{stage::Stage, trace};
use insta::assert_snapshot;
use std::fmt::Write;
use twtrace::model::observation::{Container, Runtime};

const SMALL: (u16, u16) = (80, 24);
const MIDDLE: (u16, u16) = (120, 40);
const LARGE: (u16, u16) = (250, 70);

/// curl opens 80 connections to 10.0.0.2:80 within 8 s, of 100 ports that there are, and closes each first. api keeps
/// three in CLOSE_WAIT, the oldest for 28 s; a fourth was never accepted. worker is refused. cron talks to its own
/// host, whose sshd closes by a reset. Three events were lost.
fn incident() -> Stage {
    let mut stage = Stage::new();
    let mut text = String::new();
    for (number, at) in [(1, 2), (2, 5), (3, 9)] {
        let ends = format!("10.0.0.1:8080 10.0.0.9:500{number}");
        writeln!(text, "{at}s #90{number} {ends} LISTEN>SYN_RECV").unwrap();
        writeln!(text, "{at}s #90{number} SYN_RECV>ESTABLISHED").unwrap();
        writeln!(text, "{at}s #90{number} accept by api/77").unwrap();
        writeln!(text, "{at}.1s #90{number} ESTABLISHED>CLOSE_WAIT done inode=90{number}").unwrap();
    }
    text.push_str(
        "10s #904 10.0.0.1:8080 10.0.0.9:5004 LISTEN>SYN_RECV
         10s #904 SYN_RECV>ESTABLISHED
         10.1s #904 ESTABLISHED>CLOSE_WAIT done
         12s #950 127.0.0.1:0 127.0.0.1:9999 CLOSE>SYN_SENT by worker/55
         12.0001s #950 127.0.0.1:40050 127.0.0.1:9999 SYN_SENT>CLOSE err=111
         15s #960 127.0.0.1:0 127.0.0.1:22 CLOSE>SYN_SENT by cron/66
         15.001s #961 127.0.0.1:22 127.0.0.1:40060 LISTEN>SYN_RECV
         15.002s #960 127.0.0.1:40060 127.0.0.1:22 SYN_SENT>ESTABLISHED
         15.003s #961 SYN_RECV>ESTABLISHED
         15.01s #961 accept by sshd/67
         19s #961 ESTABLISHED>CLOSE by sshd/67 dead
         19s #961 reset sent TCP_CLOSE
         19.001s #960 reset received
         19.001s #960 ESTABLISHED>CLOSE err=104 done
         20s lost 3\n",
    );
    for number in 0..80 {
        let (second, tenth) = (22 + number / 10, number % 10);
        let ends = format!("10.0.0.1:{} 10.0.0.2:80", 40_000 + number);
        writeln!(
            text,
            "{second}.{tenth}s #{number} 10.0.0.1:0 10.0.0.2:80 CLOSE>SYN_SENT by curl/{}",
            100 + number / 40
        )
        .unwrap();
        writeln!(text, "{second}.{tenth}01s #{number} {ends} SYN_SENT>ESTABLISHED").unwrap();
        writeln!(text, "{second}.{tenth}02s #{number} ESTABLISHED>FIN_WAIT1 by curl/{}", 100 + number / 40).unwrap();
        writeln!(text, "{second}.{tenth}03s #{number} FIN_WAIT1>FIN_WAIT2 dead").unwrap();
        writeln!(text, "{second}.{tenth}04s #{number} FIN_WAIT2>CLOSE done dead").unwrap();
    }
    text.push_str("30s tick\n");
    stage.play(&text);
    stage.process(trace::process("api/77"), 900, 1024);
    stage
}

#[test]
fn overview() {
    for (name, size) in [("small", SMALL), ("middle", MIDDLE), ("large", LARGE)] {
        assert_snapshot!(format!("overview_{name}"), incident().picture(size));
    }
}

#[test]
fn connections() {
    let mut stage = incident();
    stage.press("c");
    for (name, size) in [("small", SMALL), ("middle", MIDDLE), ("large", LARGE)] {
        assert_snapshot!(format!("connections_{name}"), stage.picture(size));
    }
    stage.press("sjj");
    assert_snapshot!("connections_by_state", stage.picture(SMALL));
}

#[test]
fn time_wait() {
    let mut stage = incident();
    stage.press("t");
    for (name, size) in [("small", SMALL), ("middle", MIDDLE), ("large", LARGE)] {
        assert_snapshot!(format!("time_wait_{name}"), stage.picture(size));
    }
    // Whose are they? Enter asks for them in the words of the command line.
    stage.press("<Enter>");
    let picture = stage.picture(SMALL);
    assert!(picture.contains("filter --comm 'curl'"), "{picture}");
    assert!(picture.contains("80 connections"), "{picture}");
    stage.press("<Esc><Tab><Enter>");
    let picture = stage.picture(SMALL);
    assert!(picture.contains("filter -D 80 --remote-addr 10.0.0.2"), "{picture}");
}

#[test]
fn close_wait() {
    let mut stage = incident();
    stage.press("a");
    for (name, size) in [("small", SMALL), ("middle", MIDDLE), ("large", LARGE)] {
        assert_snapshot!(format!("close_wait_{name}"), stage.picture(size));
    }
}

#[test]
fn closers() {
    let mut stage = incident();
    stage.press("r");
    for (name, size) in [("small", SMALL), ("middle", MIDDLE), ("large", LARGE)] {
        assert_snapshot!(format!("closers_{name}"), stage.picture(size));
    }
}

#[test]
fn events() {
    let mut stage = incident();
    stage.press("e");
    for (name, size) in [("small", SMALL), ("middle", MIDDLE), ("large", LARGE)] {
        assert_snapshot!(format!("events_{name}"), stage.picture(size));
    }
    // The loss is one of them, far below.
    stage.press("/-D 22<Enter>");
    assert_snapshot!("events_filtered", stage.picture(SMALL));
}

#[test]
fn one_connection_and_its_other_end() {
    let mut stage = incident();
    stage.press("e/-D 22<Enter><Down><Enter>");
    assert_snapshot!("detail_small", stage.picture(SMALL));
    assert_snapshot!("detail_middle", stage.picture(MIDDLE));
    // TIME_WAIT dwarfs the rest, and can be left out.
    stage.press("<Esc><Esc>cS<Enter>");
    assert_snapshot!("detail_time_wait", stage.picture(SMALL));
    stage.press("s");
    assert_snapshot!("detail_without_time_wait", stage.picture(SMALL));
}

/// A container of a pod, and a service of the host: both ends say so, and steer nothing.
#[test]
fn where_both_ends_run() {
    let id = "01fd96f7ad29d1a2b6e9a2a6e8fbc5a7c0a8c2a6f1e5b5d9c2f4a7b8c9d0e1f2";
    let pod = Container { runtime: Runtime::Containerd, id: id.into(), pod: Some("shop/cron-0\u{202e}".into()) };
    let unit = Container { runtime: Runtime::Systemd, id: "ssh.service".into(), pod: None };
    let mut stage = Stage::new();
    stage.play(
        "15s #960 127.0.0.1:0 127.0.0.1:22 CLOSE>SYN_SENT by cron/66
         15.001s #961 127.0.0.1:22 127.0.0.1:40060 LISTEN>SYN_RECV
         15.002s #960 127.0.0.1:40060 127.0.0.1:22 SYN_SENT>ESTABLISHED
         15.003s #961 SYN_RECV>ESTABLISHED
         15.01s #961 accept by sshd/67
         16s tick",
    );
    stage.runs("cron/66", &format!("/kubepods.slice/cri-containerd-{id}.scope"), pod);
    stage.runs("sshd/67", "/system.slice/ssh.service\u{1b}[2J", unit);
    stage.press("c/-D 22<Enter><Enter>");
    for (name, size) in [("small", SMALL), ("middle", MIDDLE), ("large", LARGE)] {
        assert_snapshot!(format!("detail_places_{name}"), stage.picture(size));
    }
}

#[test]
fn help() {
    let mut stage = incident();
    stage.press("?");
    assert_snapshot!("help_small", stage.picture(SMALL));
    assert_snapshot!("help_middle", stage.picture(MIDDLE));
}

#[test]
fn nothing_yet() {
    let mut stage = Stage::new();
    for key in ["c", "t", "a", "r", "e", "o"] {
        stage.press(key);
        let picture = stage.picture(SMALL);
        assert!(picture.contains("0 connections"), "{key}: {picture}");
    }
    assert_snapshot!("nothing_yet", stage.picture(SMALL));
}

#[test]
fn a_stopped_picture_stands_still() {
    let mut stage = incident();
    stage.press("cSp");
    let before = stage.picture(SMALL);
    stage.play(
        "40s #999 10.0.0.1:40099 10.0.0.2:80 CLOSE>SYN_SENT by curl/102
         41s tick",
    );
    assert_eq!(stage.picture(SMALL), before);
    // It can be looked through all the same.
    stage.press("a");
    assert!(stage.picture(SMALL).contains("4 in CLOSE_WAIT"));
    stage.press("c ");
    let after = stage.picture(SMALL);
    assert!(after.contains("SYN_SENT") && !before.contains("SYN_SENT"), "{after}");
}

#[test]
fn a_filter_that_is_wrong_is_told_so() {
    let mut stage = incident();
    stage.press("c/-D http<Enter>");
    let picture = stage.picture(MIDDLE);
    let line = picture.lines().last().unwrap();
    assert!(line.starts_with("/-D http") && line.contains("\"http\" is no port"), "{line}");
}

#[test]
fn no_size_breaks_it() {
    let mut stage = incident();
    for key in ["o", "c", "t", "a", "r", "e", "c<Enter>", "?"] {
        stage.press(key);
        for size in [(1, 1), (39, 24), (40, 8), (41, 9), (60, 12), (500, 200)] {
            stage.picture(size);
        }
    }
}

/// A name that would clear the screen, and one that runs from right to left.
#[test]
fn hostile_names_steer_nothing() {
    let mut stage = Stage::new();
    let mut name = trace::process("x/7");
    name.comm = twtrace::model::Comm::new(b"\x1b[2J\xff\xe2\x80\xaee");
    for (observation, _) in trace::parse(
        "1s #1 10.0.0.1:40000 10.0.0.2:80 CLOSE>SYN_SENT by x/7
         1.001s #1 10.0.0.1:40000 10.0.0.2:80 SYN_SENT>ESTABLISHED
         2s tick",
    ) {
        match observation {
            twtrace::model::Observation::Transition(mut transition) => {
                transition.task = transition.task.map(|_| name);
                stage.take(&twtrace::model::Observation::Transition(transition));
            }
            other => stage.take(&other),
        }
    }
    for key in ["c", "e", "c<Enter>"] {
        stage.press(key);
        let picture = stage.picture(LARGE);
        assert!(!picture.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{picture:?}");
        assert!(picture.contains(r"\u{1b}[2J\xff\u{202e}e"), "{picture}");
    }
}
