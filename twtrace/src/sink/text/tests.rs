use super::*;
use crate::sink::samples::*;
use proptest::prelude::*;

/// The rows and the notes of a run.
fn rows(options: Options, changes: &[Change]) -> (String, String) {
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    run(&mut Text::new(&mut out, &mut notes, options), changes).expect("memory takes it");
    [out, notes].map(|bytes| String::from_utf8(bytes).expect("text")).into()
}

fn closed(lifecycle: Lifecycle) -> Change {
    Change::Closed(Box::new(lifecycle))
}

/// The rows under the header.
fn check(changes: &[Change], expected: &[&str]) {
    let (out, _) = rows(Options::default(), changes);
    assert_eq!(out.lines().skip(1).collect::<Vec<_>>(), expected);
}

#[test]
fn a_row_when_closing_is_done_and_a_short_one_when_time_wait_is_over() {
    let (out, _) = rows(Options::default(), &[closed(closing()), announced(expired())]);
    insta::assert_snapshot!(out, @r"
    PID     COMM        LOCAL                 REMOTE             LIFE    CLOSED-BY       HOW            TIME_WAIT CLOSE_WAIT
    4242    curl        10.0.0.1:40000     -> 10.0.0.2:80        1.04s   local curl/4242 fin            running   -
    4242    curl        10.0.0.1:40000     -> 10.0.0.2:80        TIME_WAIT expired after 60.02s
    ");
}

#[test]
fn rows_of_every_kind() {
    check(
        &[ended(preexisting())],
        &[
            "812~    nginx       127.0.0.1:80       <- 127.0.0.1:40001    -       remote curl/4242? fin          -         2.50s      open before tracing",
        ],
    );
    check(
        &[ended(never_accepted())],
        &[
            "900^    api         [2001:db8:1234:5678:9abc:def0:1234:5678]:443 <- [2001:db8::2]:51234 2m05s remote reset_sent - ~2m05s never accepted by the application, TCP_STATE, up to 3 of its events lost, a transition is missing",
        ],
    );
    check(
        &[ended(no_port())],
        &[
            "77      ab          127.0.0.1:-        -> 127.0.0.1:80       ** no free port to 127.0.0.1:80 (EADDRNOTAVAIL)",
        ],
    );
    check(
        &[ended(unknown())],
        &[
            "-       -           10.0.0.1:22        -  10.0.0.9:50000     1.00s+  -               open           -         0ns+       still CLOSE_WAIT",
        ],
    );
    check(
        &[ended(overflow())],
        &[
            "4242    curl        10.0.0.1:40000     -> 10.0.0.2:80        1.04s   local curl/4242 fin            overflow  -          no TIME_WAIT could be made (tcp_max_tw_buckets)",
        ],
    );
    check(
        &[announced(taken_over())],
        &[
            "4242    curl        10.0.0.1:40000     -> 10.0.0.2:80        TIME_WAIT taken_over after ~60.02s, started again 2 times",
        ],
    );
    check(
        &[announced(orphan())],
        &[
            "4242    curl        10.0.0.1:40000     -> 10.0.0.2:80        FIN_WAIT2 over after 60.00s, no TIME_WAIT: timed_out",
        ],
    );
}

#[test]
fn an_orphans_fin_wait2_is_no_time_wait() {
    let mut life = orphan();
    (life.ended, life.close, life.spans[3].lasted) = (None, None, None);
    check(
        &[closed(life)],
        &[
            "4242    curl        10.0.0.1:40000     -> 10.0.0.2:80        1.00s+  local curl/4242 open           FIN_WAIT2 -",
        ],
    );
}

#[test]
fn hostile_names_stay_in_their_row() {
    check(
        &hostile().map(ended),
        &[
            r"666     \u{1b}[31mred\u{1b}[0m 10.0.0.1:40000 -> 10.0.0.2:80 1.04s   local \u{1b}[31mred\u{1b}[0m/666 fin 60.02s -",
            r"666     two\nlines  10.0.0.1:40000     -> 10.0.0.2:80        1.04s   local two\nlines/666 fin       60.02s    -",
            r#"666     say "hi"\\  10.0.0.1:40000     -> 10.0.0.2:80        1.04s   local say "hi"\\/666 fin       60.02s    -"#,
            r"666     \xff\xfe\x80 10.0.0.1:40000    -> 10.0.0.2:80        1.04s   local \xff\xfe\x80/666 fin     60.02s    -",
            r"666     a\u{202e}txt.exe 10.0.0.1:40000 -> 10.0.0.2:80       1.04s   local a\u{202e}txt.exe/666 fin 60.02s    -",
            "666     =1+2,3      10.0.0.1:40000     -> 10.0.0.2:80        1.04s   local =1+2,3/666 fin           60.02s    -",
        ],
    );
}

#[test]
fn time_columns_and_transitions() {
    let options = Options { wall_time: true, relative_time: true, connection: true, terminal: false };
    let (out, _) = rows(options, &[Change::Transition(transition()), closed(closing())]);
    insta::assert_snapshot!(out, @r"
    TIME(UTC)    SECONDS     CONN   PID     COMM        LOCAL                 REMOTE             LIFE    CLOSED-BY       HOW            TIME_WAIT CLOSE_WAIT
    00:00:01.102 1.102000    #1     4242    curl        10.0.0.1:40000        10.0.0.2:80        1.00s   ESTABLISHED -> FIN_WAIT1
    00:00:01.140 1.140000    #1     4242    curl        10.0.0.1:40000     -> 10.0.0.2:80        1.04s   local curl/4242 fin            running   -
    ");
}

#[test]
fn notes_stand_beside_the_rows() {
    let (out, notes) = rows(Options::default(), &[closed(closing()), lost(), announced(closing())]);
    assert_eq!(out.lines().count(), 2);
    insta::assert_snapshot!(notes, @r"
    twtrace 0.1.0 attached: kernel 6.18.0-test, 1 of 2 probes on, TIME_WAIT precision hook
      off: tp/timer_expire_entry: EPERM: needs [31mCAP_PERFMON
    twtrace: 12 events lost (ring): the ring was full; a larger --ring holds more
    still running at the end: 1 TIME_WAIT or FIN_WAIT2 shown above
    events        1234 received, 12 lost (ring 12)
    how it ended  fin 2, reset_sent 1, unknown 1
    closed first  local 1, remote 2, unknown 1
    audit                          kernel         seen  the kernel's counters against what was seen
      ActiveOpens                   20000        20000  agree
      PassiveOpens                  20001        20000  agree (to 1, counted while the counter was read)
      TW                            20000        19988  NOT
    ");
}

#[test]
fn the_header_comes_again_on_a_terminal_alone() {
    let changes: Vec<_> = std::iter::repeat_with(|| ended(expired())).take(81).collect();
    for (terminal, headers) in [(true, 3), (false, 1)] {
        let (out, _) = rows(Options { terminal, ..Options::default() }, &changes);
        let at: Vec<_> = (0..).zip(out.lines()).filter(|(_, line)| line.starts_with("PID ")).map(|(n, _)| n).collect();
        assert_eq!(at, [0, 41, 82][..headers]);
        assert_eq!(out.lines().count(), 81 + headers);
    }
}

#[test]
fn rows_fit_in_120_columns() {
    let (out, _) = rows(Options::default(), &[closed(closing()), announced(expired()), ended(no_port())]);
    for line in out.lines() {
        assert!(line.chars().count() <= 120, "{line}");
        assert!(!line.ends_with(' '), "{line:?}");
    }
}

#[test]
fn output_is_written_on_ticks() {
    let mut counted = Counted::default();
    let mut text = Text::new(&mut counted, io::sink(), Options::default());
    for _ in 0..100 {
        text.change(&ended(expired())).expect("taken");
    }
    text.tick(at(1), &Tracker::new(crate::model::tracker::Means::default())).expect("taken");
    drop(text);
    assert_eq!(counted.0, 1);
}

#[test]
fn a_closed_pipe_is_told_as_one() {
    let error = run(&mut Text::new(Closed, io::sink(), Options::default()), &[]).expect_err("closed");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let error = run(&mut Text::new(io::sink(), Closed, Options::default()), &[]).expect_err("closed");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

proptest! {
    #[test]
    fn no_name_steers_the_terminal(comm in prop::collection::vec(any::<u8>(), 0..20)) {
        let mut shown = transition();
        shown.process = Some(process(1, &comm));
        let life = named(&comm);
        let options = Options { terminal: true, ..Options::default() };
        let (out, notes) = rows(options, &[Change::Transition(shown), ended(life.clone()), announced(life)]);
        prop_assert_eq!(out.lines().count(), 4);
        prop_assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{:?}", out);
        prop_assert!(!notes.chars().any(|c| c.is_control() && c != '\n'), "{:?}", notes);
    }
}
