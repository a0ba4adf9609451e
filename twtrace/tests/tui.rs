//! The real program on a real terminal: in tmux, driven by keys, its screen read back.
//!
//! The same executable is the one that panics with the screen open: `tui --panic`. The oracle of what is to be seen
//! are the sockets that the test itself has opened and closed; that of the terminal is `stty`.

#[path = "tui/connections.rs"]
mod connections;
#[path = "live/folder.rs"]
mod folder;
#[path = "tui/slow.rs"]
mod slow;
#[path = "tui/tmux.rs"]
mod tmux;

use connections::Connections;
use folder::Folder;
use libtest_mimic::{Arguments, Completion, Trial};
use rustix::process::{Pid, Signal};
use slow::{Line, wait_for};
use std::{
    io::Write,
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};
use tmux::Tmux;
use twtrace::sink::tui::{Screen, Theme};

const PROGRAM: &str = env!("CARGO_BIN_EXE_twtrace");

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--panic") {
        panic_on_the_screen();
    }
    let mut arguments = Arguments::from_args();
    // One terminal at a time: what is awaited on it is awaited for so long and no longer.
    arguments.test_threads = Some(1);
    let trials: [(&str, fn()); 10] = [
        ("every_key_brings_its_picture", every_key_brings_its_picture),
        ("one_connection_is_drawn_with_both_ends", one_connection_is_drawn_with_both_ends),
        ("every_way_out_gives_the_terminal_back", every_way_out_gives_the_terminal_back),
        ("a_panic_gives_the_terminal_back", a_panic_gives_the_terminal_back),
        ("a_terminal_that_is_gone_ends_it", a_terminal_that_is_gone_ends_it),
        ("it_follows_the_size_of_the_terminal", it_follows_the_size_of_the_terminal),
        ("no_color_means_no_colour", no_color_means_no_colour),
        ("what_w_records_is_played", what_w_records_is_played),
        ("a_slow_line_holds_nobody_up", a_slow_line_holds_nobody_up),
        ("without_a_terminal_there_is_one_line", without_a_terminal_there_is_one_line),
    ];
    let trials = trials.map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            if let Some(reason) = why_not() {
                println!("skipped: tui::{name}: {reason}");
                return Ok(Completion::ignored_with(reason));
            }
            test();
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn why_not() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can trace");
    }
    let there = Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    (!there).then_some("tmux is not there")
}

/// A panic on another thread, and then the way out on which nothing is dropped.
fn panic_on_the_screen() -> ! {
    let _screen = Screen::open(Theme::Colours).expect("a terminal");
    thread::sleep(Duration::from_millis(500));
    let _ = thread::spawn(|| panic!("on purpose")).join();
    std::process::exit(101)
}

/// A view of these connections in a shell in tmux, attached.
fn watch(size: (u16, u16), environment: &str, words: &str) -> Tmux {
    let tmux = Tmux::new(size);
    tmux.run(&format!("{environment} {PROGRAM} watch {words}"));
    tmux.wait_for("connections by state");
    tmux
}

fn every_key_brings_its_picture() {
    let mut connections = Connections::new();
    let tmux = watch((120, 40), "", &connections.words());
    connections.closed(20);
    connections.leaked(30);
    let screen = tmux.wait_for("CLOSE_WAIT 30");
    assert!(screen.contains("TIME_WAIT 20"), "{screen}");
    let port = connections.port();
    let comm = std::fs::read_to_string("/proc/self/comm").expect("it is ours");
    let me = format!("{}/{}", comm.trim(), std::process::id());
    let cut: String = me.chars().take(9).collect();

    tmux.keys(&["t"]);
    let screen = tmux.wait_for("20 in TIME_WAIT");
    let row = screen.lines().find(|line| line.starts_with(&cut)).unwrap_or_else(|| panic!("{me}: {screen}"));
    assert_eq!(row.split_whitespace().nth(1), Some("20"), "{row}");
    let row = screen.lines().find(|line| line.contains(&format!("→ 127.0.0.1:{port}"))).expect("the destination");
    assert_eq!(row.split_whitespace().nth(2), Some("20"), "{row}");

    tmux.keys(&["a"]);
    let screen = tmux.wait_for("30 in CLOSE_WAIT, oldest first");
    let row = screen.lines().find(|line| line.starts_with(&cut)).expect("the process");
    assert_eq!(row.split_whitespace().nth(1), Some("30"), "{row}");

    tmux.keys(&["r"]);
    // The client's ends that are done, and the server's ends of these.
    let screen = tmux.wait_for("of 40 ends that have closed");
    assert!(screen.lines().any(|line| line.starts_with("local") && line.contains(&format!("→ 127.0.0.1:{port}"))));
    assert!(screen.lines().any(|line| line.starts_with("remote") && line.contains(&format!("at :{port}"))), "{screen}");

    tmux.keys(&["e"]);
    tmux.wait_for("events, newest first");

    // Of one port, which no other end has.
    tmux.keys(&["c"]);
    tmux.filter(&format!("-L {port}"));
    tmux.wait_for("30 connections, by age");
    tmux.filter("x");
    tmux.wait_for("unexpected argument");
    tmux.keys(&["Escape"]);
    tmux.wait_for("? help");
    tmux.keys(&["p"]);
    tmux.wait_for("PAUSED");
    connections.leaked(5);
    thread::sleep(Duration::from_secs(2));
    assert!(tmux.screen().contains("30 connections"), "{}", tmux.screen());
    tmux.keys(&["p"]);
    tmux.wait_for("35 connections");
    tmux.keys(&["?"]);
    tmux.wait_for("Questions");
    tmux.keys(&["Escape"]);
    // Away with the filter: the clients' ends are there again.
    tmux.wait_for("35 connections, by age");
    tmux.keys(&["Escape"]);
    tmux.wait_for("90 connections, by age");
    tmux.keys(&["q"]);
    tmux.wait_for("how it ended");
    tmux.wait_for("rc=0");
}

fn one_connection_is_drawn_with_both_ends() {
    let mut connections = Connections::new();
    let tmux = watch((120, 40), "", &connections.words());
    connections.leaked(1);
    tmux.wait_for("CLOSE_WAIT 1");
    tmux.keys(&["c"]);
    tmux.filter(&format!("-L {}", connections.port()));
    tmux.wait_for(" 1 connections");
    tmux.keys(&["Enter"]);
    let screen = tmux.wait_for("other end: ");
    // Each end's states, in order; the client's end is FIN_WAIT2, as long as this one is kept.
    let states: Vec<_> = screen.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let states: Vec<_> = states.into_iter().filter(|word| word.contains('_') || *word == "ESTABLISHED").collect();
    let wanted = ["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "SYN_SENT", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2"];
    assert_eq!(states, wanted, "{screen}");
    tmux.keys(&["q"]);
    tmux.wait_for("rc=0");
}

fn every_way_out_gives_the_terminal_back() {
    for way in ["q", "C-c", "TERM", "INT", "twice"] {
        let tmux = watch((80, 24), "", "");
        match way {
            "TERM" => tmux.signal(&[Signal::TERM]),
            "INT" => tmux.signal(&[Signal::INT]),
            "twice" => tmux.signal(&[Signal::TERM, Signal::TERM]),
            key => tmux.keys(&[key]),
        }
        let screen = tmux.wait_for("rc=");
        let code = if way == "twice" && !screen.contains("rc=0") { "rc=130" } else { "rc=0" };
        assert!(screen.contains(code), "{way}: {screen}");
        tmux.is_as_before(way);
    }
}

fn a_panic_gives_the_terminal_back() {
    let tmux = Tmux::new((80, 24));
    let me = std::env::current_exe().expect("this test");
    tmux.run(&format!("{} --panic", me.display()));
    let screen = tmux.wait_for("rc=101");
    // Said where it can be read.
    assert!(screen.contains("on purpose"), "{screen}");
    tmux.is_as_before("panic");
}

fn a_terminal_that_is_gone_ends_it() {
    let tmux = watch((80, 24), "", "");
    let pid = tmux.program();
    drop(tmux);
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_running(pid) {
        assert!(Instant::now() < deadline, "{pid:?} goes on without a terminal");
        thread::sleep(Duration::from_millis(50));
    }
}

fn is_running(pid: Pid) -> bool {
    Path::new(&format!("/proc/{}/exe", pid.as_raw_pid())).read_link().is_ok()
}

fn it_follows_the_size_of_the_terminal() {
    let connections = Connections::new();
    let tmux = watch((80, 24), "", &connections.words());
    connections.closed(3);
    tmux.keys(&["c"]);
    tmux.wait_for("3 connections, by age");
    for (width, height) in [(250, 70), (40, 8), (30, 5), (80, 24)] {
        tmux.resize((width, height));
        let wanted = if width < 40 { "needs more room" } else { "TIME_WAIT" };
        let screen = tmux.wait_until(|screen| {
            let lines: Vec<_> = screen.lines().collect();
            screen.contains(wanted)
                && lines.len() == usize::from(height)
                && (height < 8 || lines[height as usize - 1].starts_with("? help"))
        });
        assert!(screen.lines().all(|line| line.chars().count() <= usize::from(width)), "{screen}");
    }
    tmux.keys(&["q"]);
    tmux.wait_for("rc=0");
}

fn no_color_means_no_colour() {
    for (environment, coloured) in [("NO_COLOR=1", false), ("NO_COLOR=", true)] {
        let connections = Connections::new();
        let tmux = watch((80, 24), environment, &connections.words());
        connections.closed(3);
        tmux.wait_for("TIME_WAIT 3");
        // SGR 30 to 37, 90 to 97 and 38: a colour of the letters.
        let screen = tmux.screen_with_styles();
        let sequences = screen.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m').map(|(codes, _)| codes));
        let any = sequences
            .flat_map(|codes| codes.split(';'))
            .any(|code| code.parse().is_ok_and(|code: u32| (30..=38).contains(&code) || (90..=97).contains(&code)));
        assert_eq!(any, coloured, "{environment}: {screen:?}");
    }
}

fn what_w_records_is_played() {
    let folder = Folder::new("tui");
    let mut connections = Connections::new();
    let tmux = watch((120, 40), &format!("cd {};", folder.0.display()), &connections.words());
    connections.leaked(4);
    tmux.wait_for("CLOSE_WAIT 4");
    tmux.keys(&["w"]);
    tmux.wait_for("REC twtrace-");
    connections.leaked(3);
    connections.closed(5);
    tmux.wait_for("CLOSE_WAIT 7");
    tmux.wait_for("TIME_WAIT 5");
    tmux.keys(&["w"]);
    tmux.wait_for("recorded to twtrace-");
    tmux.keys(&["q"]);
    tmux.wait_for("rc=0");

    is_as_whole_as_a_run(&folder.0);

    tmux.run(&format!("clear; {PROGRAM} watch -r twtrace-*.arrows"));
    tmux.wait_for("replay 1x");
    tmux.keys(&["End"]);
    let screen = tmux.wait_for("REPLAY PAUSED");
    // What was there before is in it too: the recording begins with a reading of the table.
    let screen = if screen.contains("CLOSE_WAIT 7") { screen } else { tmux.wait_for("CLOSE_WAIT 7") };
    assert!(screen.contains("TIME_WAIT 5"), "{screen}");
    tmux.keys(&["Home"]);
    tmux.wait_for("0:00/");
    tmux.wait_for("TIME_WAIT 0");
    tmux.keys(&["+", "+", "+"]);
    tmux.wait_for("8x");
    tmux.keys(&["q"]);
    tmux.wait_for("rc=0");
    tmux.is_as_before("replay");
}

/// It says what a recording of a whole run says: where processes run, which were known before it began, and how it
/// stands against the kernel's own counters.
fn is_as_whole_as_a_run(folder: &Path) {
    let mut files = std::fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("a file").path());
    let records = said_of(&files.next().expect("a recording"));
    let own = std::fs::read_to_string("/proc/self/cgroup").expect("it is ours");
    let own: Vec<&str> = own.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
    // /proc is asked behind the table: who is over by then may have been too quick.
    let is_ours =
        |record: &&serde_json::Value| record["owner"]["pid"] == std::process::id() && record["ended"].is_null();
    let mut ours = records.iter().filter(is_ours).peekable();
    assert!(ours.peek().is_some(), "nothing of us");
    for record in ours {
        assert!(own.iter().any(|path| record["cgroup"] == *path), "{own:?}: {record}");
    }
    let summary = records.iter().find(|record| record["type"] == "summary").expect("it ends");
    let audit = summary["audit"].as_array().expect("a list");
    let opened = audit.iter().find(|line| line["counter"] == "ActiveOpens").expect("it is counted");
    // While it was recorded this process alone has called eight times.
    assert!(opened["kernel"].as_u64() >= Some(8) && opened["seen"].as_u64() >= Some(8), "{summary}");
}

/// Pictures wait for the line, and are left out; what happens is followed all the same.
fn a_slow_line_holds_nobody_up() {
    let folder = Folder::new("slow");
    let (recording, notes) = (folder.0.join("slow.arrows"), folder.0.join("notes"));
    let connections = Connections::new();
    let mut command = Command::new(PROGRAM);
    command.args(["watch", "--format", "tui", "-w"]).arg(&recording).env("TERM", "xterm-256color");
    let mut line = Line::new(&mut command, &notes);
    wait_for("the first picture", || (line.came() > 0).then_some(()));
    // The view that changes most.
    line.press("e");
    // Whoever floods the host meanwhile may take the room of some; without anybody they are all there.
    let recorded = |wanted: usize| {
        let wanted = wanted * 3 / 4;
        wait_for("what was recorded", || (recorded(&recording, connections.port()).len() >= wanted).then_some(()));
    };
    connections.closed(1_000);
    recorded(1_000);
    line.stall();
    connections.closed(1_000);
    recorded(2_000);
    line.press("q");
    assert_eq!(line.ends(), Some(0), "{}", std::fs::read_to_string(&notes).unwrap_or_default());
}

/// The lives of the clients of this port, as far as they have been written.
fn recorded(recording: &Path, port: u16) -> Vec<serde_json::Value> {
    let is_one = |record: &serde_json::Value| record["remote"]["port"] == port && record["direction"] == "outbound";
    said_of(recording).into_iter().filter(is_one).collect()
}

/// What a recording says, line by line, whether or not it has its end.
fn said_of(recording: &Path) -> Vec<serde_json::Value> {
    let output = Command::new(PROGRAM).args(["watch", "--format", "json", "-r"]).arg(recording).output();
    let said = String::from_utf8(output.expect("twtrace starts").stdout).expect("text");
    said.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

fn without_a_terminal_there_is_one_line() {
    let output =
        Command::new(PROGRAM).args(["watch", "--format", "tui"]).stdin(Stdio::null()).output().expect("twtrace starts");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("stdout is not a terminal") && said.contains("--format text"), "{said}");
    assert!(output.stdout.is_empty());
    std::io::stdout().flush().expect("it is open");
}
