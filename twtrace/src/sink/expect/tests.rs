//! Specifications, lives, and what has to come of them, by hand.

mod any;

use super::{Checker, End, Spec, Verdict, ktap};
use crate::{
    cli::FilterArgs,
    model::{Basis, Lifecycle, TcpState, Tracker, filter::Filter, summary::Summary, tracker::Means},
    sink::{
        Sink as _,
        samples::{
            at, attached, bare, closing, ended, expired, hostile, named, never_accepted, no_port, overflow,
            preexisting, span, summary, unknown,
        },
    },
};
use smallvec::smallvec;
use std::rc::Rc;

fn parse(text: &str) -> Result<Spec, String> {
    Spec::parse(text, &FilterArgs::parse_line).map_err(|bad| format!("{}:{}: {}", bad.line, bad.column, bad.error))
}

/// Two minutes after its start the run ends; all that happened until one second before was seen.
fn judge(spec: &str, lives: &[Lifecycle], summary: &Summary, end: End) -> Verdict {
    let spec = Rc::new(parse(spec).expect("a specification"));
    let (mut checker, checked) = Checker::new(spec, &Filter::default(), 2);
    checker.attached(&attached()).expect("memory takes it");
    let tracker = Tracker::new(Means::default());
    for millis in [119_000, 120_000] {
        checker.tick(at(millis), &tracker).expect("memory takes it");
    }
    for life in lives {
        checker.change(&ended(life.clone())).expect("memory takes it");
    }
    checker.finish(summary).expect("memory takes it");
    checked.get().expect("it is over").verdict(end)
}

fn printed(spec: &str, lives: &[Lifecycle]) -> String {
    let mut out = Vec::new();
    let verdict = judge(spec, lives, &Summary::default(), End::default());
    ktap::write(&mut out, &verdict).expect("memory takes it");
    String::from_utf8(out).expect("text")
}

/// Whether the only test passes.
fn passes(test: &str, lives: &[Lifecycle]) -> bool {
    let spec = format!("[[expect]]\nname = \"it\"\n{test}");
    judge(&spec, lives, &Summary::default(), End::default()).failed().0 == 0
}

/// Its peer closed two minutes before the end.
fn leaking() -> Lifecycle {
    let spans = smallvec![
        span(TcpState::SynRecv, 0, Some(1), Basis::Observed),
        span(TcpState::Established, 1, Some(999), Basis::Observed),
        span(TcpState::CloseWait, 1_000, None, Basis::Observed),
    ];
    Lifecycle { spans, opened: Some(at(0)), ended: None, close: None, preexisting: false, ..preexisting() }
}

/// Established, and nobody has closed.
fn idle() -> Lifecycle {
    Lifecycle {
        opened: Some(at(0)),
        spans: smallvec![span(TcpState::Established, 0, None, Basis::Observed)],
        ..bare(9, "10.0.0.1:9", "10.0.0.2:9")
    }
}

#[test]
fn what_is_no_specification_is_refused_at_its_place() {
    let test = |rest: &str| format!("[[expect]]\nname = \"a\"\n{rest}");
    let cases = [
        (String::new(), "1:1: nothing is expected: write an [[expect]]"),
        ("expect = []".to_owned(), "1:10: nothing is expected: the list is empty"),
        ("[expect]\nname = \"a\"".to_owned(), "1:1: write [[expect]], in two brackets"),
        ("x = ".to_owned(), "1:5: this is no TOML: "),
        ("lots = 1\n[[expect]]".to_owned(), "1:1: a specification has no key \"lots\": it has lost, status, where,"),
        ("lost = \"few\"\n[[expect]]".to_owned(), "1:8: lost is a number, \"> 3\","),
        ("[[expect]]\ncount = 1".to_owned(), "1:1: a test needs a name"),
        (test("evry = 1"), "3:1: an [[expect]] has no key \"evry\": it has name, where, when,"),
        (test(""), "1:1: \"a\" asserts nothing: give it count, every, some or none"),
        (test("where = \"-L x\"\ncount = 1"), "3:9: bad filter: invalid value 'x'"),
        (test("where = \" \"\ncount = 1"), "3:9: where is empty"),
        (test("count = -1"), "3:9: count is a number"),
        (test("count = \"3..1\""), "3:9: the range \"3..1\" ends before it begins"),
        (test("count = \"..\""), "3:9: count is a number"),
        (test("count = \"any\""), "3:9: count is a number"),
        (test("count = \"< 0\""), "3:9: nothing is \"< 0\""),
        (test("every = {}"), "3:9: every says nothing"),
        (test("none = []"), "3:8: none says nothing"),
        (test("every = { owner = {} }"), "3:19: owner says nothing"),
        (test("every = { clsoe = \"fin\" }"), "3:11: a lifecycle has no field \"clsoe\": it has "),
        (test("every = { owner.name = \"x\" }"), "3:17: a lifecycle has no field \"owner.name\": it has owner.basis"),
        (test("none = { close = \"rst\" }"), "3:18: close is never \"rst\": it is fin, reset_sent,"),
        (test("none = { close = [\"fin\", \"rst\"] }"), "3:26: close is never \"rst\""),
        (test("none = { close = [] }"), "3:18: the list is empty"),
        (test("none = { close = [[\"fin\"]] }"), "3:19: a list in a list"),
        (test("none = { family = \"null\" }"), "3:19: family is never null"),
        (test("none = { close = \"!= null\" }"), "3:18: write \"not null\""),
        (test("none = { complete = \"true\" }"), "3:21: complete is true or false, without quotes"),
        (test("none = { ended = \"2026\" }"), "3:18: ended is a moment"),
        (test("none = { owner = \"nginx\" }"), "3:18: owner is made of fields"),
        (test("none = { owner.comm = \"> x\" }"), "3:23: a text is not less or more"),
        (test("none = { remote.ip = \"10.0.0.256\" }"), "3:22: \"10.0.0.256\" is neither an address nor"),
        (test("none = { remote.port = \"http\" }"), "3:24: remote.port is a number"),
        (test("none = { remote.port = 1.5 }"), "3:24: remote.port is a number"),
        (test("none = { bytes_sent = \"> 64K\" }"), "3:23: bytes_sent is a number of bytes"),
        (
            test("every = { time_wait.duration_ns = \"60s\" }"),
            "3:35: time_wait.duration_ns is a time that is never met",
        ),
        (test("every = { srtt_ns = 5 }"), "3:21: srtt_ns is a time that is never met"),
        (test("every = { srtt_ns = \"< 5\" }"), "3:21: srtt_ns is a time"),
        (test("every = { states = \"SYN_SENT, *\" }"), "3:20: \"SYN_SENT, *\" is no state"),
        (test("every = { states.TIMEWAIT = \"null\" }"), "3:18: \"TIMEWAIT\" is no state"),
        (test("count = 1\nunknown = \"pass\""), "4:11: unknown is \"fail\" or \"skip\""),
        ([test("count = 1\n"), test("count = 1")].concat(), "4:1: another test has the name \"a\""),
        ("[[expect]]\nname = \"ä\"; every = 1".to_owned(), "2:11: this is no TOML"),
        ("[[expect]]\nname = \"two\\nlines\"\ncount = 1".to_owned(), "2:8: a name is one line of text"),
        ("#".repeat(super::LONGEST + 1), "1:1: it is longer than 1.0 MB"),
    ];
    for (text, error) in cases {
        let told = parse(&text).expect_err(&text);
        assert!(told.starts_with(error), "{}\ngave {told}\nnot  {error}", text.get(..200).unwrap_or(&text));
    }
}

#[test]
fn fields_hold_what_they_should() {
    let yes = [
        (expired(), "closed_first = \"local\", close = [\"refused\", \"fin\"], complete = true"),
        (expired(), "time_wait.duration_ns = \"60s..60.5s\", time_wait.end = \"expired\", close_wait = \"null\""),
        (expired(), "remote = { ip = \"10.0.0.0/30\", port = 80 }, local.port = \"> 1024\", family = \"ipv4\""),
        (expired(), "owner.comm = \"curl\", owner.pid = [1, \"4000..5000\"], owner.start_time = \"not null\""),
        (expired(), "states = \"SYN_SENT > * > TIME_WAIT\", \"states.FIN_WAIT2.duration_ns\" = \"..37ms\""),
        (expired(), "states.CLOSING = \"null\", states.FIN_WAIT1 = \"not null\", bytes_sent = \"null\""),
        (expired(), "close_reason = \"null\", close = \"!= refused\", connection = 1, lost_evidence = 0"),
        (expired(), "direction = \"outbound\", close_wait.accepted = \"null\", states.TIME_WAIT.basis = \"hook\""),
        (
            leaking(),
            "ended = \"null\", states = \"* > CLOSE_WAIT\", close_wait.duration_ns = \"> 117s\", close = \"null\"",
        ),
        (leaking(), "close_wait.accepted = true, states.CLOSE_WAIT = \"not null\", closed_by.comm = \"!= nginx\""),
        (closing(), "time_wait.end = \"open\", time_wait.duration_ns = \"null\", ended = \"null\""),
        (preexisting(), "opened = \"null\", preexisting = true, states = \"* > CLOSE_WAIT > LAST_ACK\""),
        (never_accepted(), "close = \"reset_sent\", close_reason = \"TCP_STATE\", close_wait.accepted = false"),
        (no_port(), "local.port = \"null\", closed_by = \"null\", time_wait = \"null\", closed_first = \"neither\""),
        (overflow(), "time_wait.end = \"overflow\", time_wait.duration_ns = \"< 1ns\""),
        (unknown(), "owner = \"null\", direction = \"null\""),
        (idle(), "close = \"null\", closed_first = \"null\", time_wait = \"null\""),
        (named(b"null"), "owner.comm = \"= null\""),
    ];
    for (life, terms) in yes {
        assert!(passes(&format!("every = {{ {terms} }}"), std::slice::from_ref(&life)), "{terms}");
        assert!(!passes(&format!("none = {{ {terms} }}"), std::slice::from_ref(&life)), "{terms}");
        assert!(passes(&format!("some = {{ {terms} }}"), &[life, idle()]), "{terms}");
    }
    let no = [
        (expired(), "closed_first = \"remote\""),
        (expired(), "time_wait.duration_ns = \"< 60.02s\""),
        (expired(), "remote.ip = \"10.0.0.0/31\""),
        (expired(), "close_wait.duration_ns = \"> 0s\""),
        (expired(), "states = \"SYN_SENT > * > FIN_WAIT2\""),
        (expired(), "close = [\"refused\", \"null\"]"),
        (expired(), "owner = \"null\""),
        (expired(), "close = \"fin\", complete = false"),
        (leaking(), "close_wait.duration_ns = \"..100s\""),
        (idle(), "close = \"fin\""),
        (idle(), "states.CLOSE_WAIT.duration_ns = \"> 0s\""),
        (named(b"x"), "owner.comm = \"!= x\""),
    ];
    for (life, terms) in no {
        assert!(passes(&format!("none = {{ {terms} }}"), std::slice::from_ref(&life)), "{terms}");
        assert!(!passes(&format!("every = {{ {terms} }}"), std::slice::from_ref(&life)), "{terms}");
        assert!(!passes(&format!("some = {{ {terms} }}"), &[life]), "{terms}");
    }
}

/// Neither that it is so nor that it is not.
#[test]
fn what_cannot_be_told_never_passes() {
    let missed = || Lifecycle { lost_evidence: 1, ..expired() };
    let cases = [
        (unknown(), "owner.comm = \"curl\""),
        (unknown(), "owner.comm = \"!= curl\""),
        (unknown(), "direction = \"inbound\""),
        (unknown(), "closed_first = \"remote\""),
        (unknown(), "close_wait.accepted = [true, false]"),
        (expired(), "bytes_sent = \"0..\""),
        (expired(), "close = \"fin\", srtt_ns = \"< 1s\""),
        (closing(), "time_wait.duration_ns = \"60s..200s\""),
        (closing(), "time_wait.duration_ns = \"!= 60s..200s\""),
        (leaking(), "close_wait.duration_ns = \"..2h\""),
        (missed(), "close_wait = \"null\""),
        (missed(), "close_wait.duration_ns = \"> 1s\""),
        (missed(), "states.CLOSING = \"not null\""),
        (missed(), "states = \"*\""),
        (missed(), "bytes_sent = 0"),
        (preexisting(), "states = \"ESTABLISHED > CLOSE_WAIT > LAST_ACK\""),
        (preexisting(), "states.SYN_RECV = \"null\""),
        (preexisting(), "states.ESTABLISHED.duration_ns = \"> 0s\""),
    ];
    for (life, terms) in cases {
        for key in ["every", "some", "none"] {
            let test = format!("{key} = {{ {terms} }}");
            assert!(!passes(&test, std::slice::from_ref(&life)), "{test}");
            assert!(!passes(&format!("{test}\nunknown = \"skip\""), std::slice::from_ref(&life)), "{test}");
        }
    }
}

#[test]
fn a_test_about_nothing_proves_nothing() {
    for test in ["every = { close = \"fin\" }", "none = { close = \"fin\" }", "some = { close = \"fin\" }", "count = 1"]
    {
        assert!(!passes(test, &[]), "{test}");
        assert!(!passes(&format!("{test}\nwhere = \"-D 81\""), &[expired()]), "{test}");
    }
    for test in ["every = { close = \"fin\" }", "none = { close = \"fin\" }"] {
        assert!(passes(&format!("{test}\ncount = \"0..\""), &[]), "{test}");
    }
    assert!(passes("count = 0\nwhere = \"-D 81\"", &[expired()]));
    assert!(passes("count = \"2..3\"", &[expired(), idle()]) && !passes("count = \"> 2\"", &[expired(), idle()]));
}

#[test]
fn what_is_not_known_can_be_left_out() {
    let test = "every = { owner.comm = \"curl\" }";
    assert!(!passes(test, &[expired(), unknown()]));
    assert!(passes(&format!("{test}\nunknown = \"skip\""), &[expired(), unknown()]));
    assert!(!passes(&format!("{test}\nunknown = \"skip\""), &[expired(), unknown(), no_port()]));
}

#[test]
fn whoever_owns_it_may_be_meant() {
    let of = |rest: &str| format!("where = \"--comm curl\"\n{rest}");
    assert!(!passes(&of("count = 1"), &[expired(), unknown()]));
    assert!(passes(&of("count = \"1..2\""), &[expired(), unknown()]));
    assert!(passes(&of("count = 1\nunknown = \"skip\""), &[expired(), unknown()]));
    assert!(!passes(&of("none = { ended = \"null\" }"), &[expired(), unknown()]));
    assert!(passes(&of("none = { close = \"refused\" }"), &[expired(), idle()]), "it does not matter whose it is");
    assert!(!passes(&of("some = { ended = \"null\" }"), &[expired(), unknown()]));
    assert!(passes("where = \"--comm curl -D 80\"\ncount = 1", &[expired(), unknown()]), "its port is another");
    assert!(!passes("when = { owner.comm = \"curl\" }\ncount = 1", &[expired(), unknown()]));
    assert!(passes("when = { owner.pid = \"not null\", owner.comm = \"curl\" }\ncount = 1", &[expired(), unknown()]));
}

#[test]
fn keys_of_the_top_are_for_all() {
    let spec = "where = \"-D 80\"\nwhen = { close = \"fin\" }\nunknown = \"skip\"\n\
                [[expect]]\nname = \"a\"\nwhere = \"--comm curl\"\ncount = 1\n\
                [[expect]]\nname = \"b\"\nwhen = { closed_first = \"neither\" }\ncount = 0\n";
    let verdict = judge(spec, &[expired(), no_port(), unknown()], &Summary::default(), End::default());
    assert_eq!(verdict.failed(), (0, 3), "{verdict:#?}");
}

#[test]
fn what_is_missing_fails_the_run() {
    let test = "[[expect]]\nname = \"a\"\ncount = 1";
    let failed = |top: &str, summary: &Summary, end: End| {
        judge(&format!("{top}\n{test}"), &[expired()], summary, end).failed().0
    };
    let (none, twelve) = (Summary::default(), summary());
    let of = |status| End { status: Some(status), ..End::default() };
    assert_eq!([failed("", &none, End::default()), failed("", &twelve, End::default())], [0, 1]);
    for (top, fails) in [("lost = 12", 0), ("lost = \"< 12\"", 1), ("lost = \"any\"", 0)] {
        assert_eq!(failed(top, &twelve, End::default()), fails, "{top}");
    }
    for end in [End { cut: true, ..of(0) }, End { damaged: true, ..of(0) }] {
        assert_eq!([failed("", &none, end), failed("lost = \"any\"", &none, end)], [1, 0]);
    }
    for (top, status, fails) in
        [("", 1, 1), ("status = \"1..\"", 1, 0), ("status = 2", 0, 1), ("status = \"any\"", 9, 0)]
    {
        assert_eq!(failed(top, &none, of(status)), fails, "{top}");
    }
}

#[test]
fn a_failure_names_the_field_what_was_found_and_how_it_is_known() {
    let spec = "[[expect]]\nname = \"gone # in time\"\nevery = { time_wait.duration_ns = \"60s..62s\", owner.comm = \"curl\" }\n";
    let lives = [expired(), closing(), unknown(), leaking()];
    assert_eq!(
        printed(spec, &lives),
        r##"# kernel 6.18.0-test, TIME_WAIT precision hook
ok 1 nothing was lost
# 4 lifecycles
# every time_wait.duration_ns = "60s..62s", owner.comm = "curl": not so for 3
#   connection 1: curl/4242 10.0.0.1:40000 -> 10.0.0.2:80, in TIME_WAIT for 117.86s when the run ended
#     time_wait.duration_ns: at least 117.86s, still running when the run ended (hook), expected "60s..62s"
#   connection 5: owner unknown 10.0.0.1:22 -- 10.0.0.9:50000, in CLOSE_WAIT for 117.00s when the run ended
#     time_wait.duration_ns: null (it had not been in this state when the run ended), expected "60s..62s"
#     owner.comm: unknown (its owner is not known), expected "curl"
#   and 1 more
not ok 2 gone \x23 in time
# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 error:0
"##
    );
}

/// As kunit_parser.py of the kernel has it, no description has a `#`; and no line is made by a name.
#[test]
fn no_name_makes_a_line_of_its_own() {
    let spec = "[[expect]]\nname = \"ok 1 \u{202e}# SKIP\"\nnone = { owner.comm = \"!= \\\\u001b\" }\n";
    let mut lives = hostile().to_vec();
    lives.push(named(b"x\nok 9 y\n1..0"));
    let text = printed(spec, &lives);
    for line in text.lines() {
        let is_ours = line.starts_with("# ") || line == "ok 1 nothing was lost";
        assert!(is_ours || line == "not ok 2 ok 1 \\u{202e}\\x23 SKIP", "{line:?}");
    }
    assert!(text.chars().all(|c| c == '\n' || c.is_ascii_graphic() || c == ' '), "{text:?}");
}

/// What users are told to write is understood.
#[test]
fn the_specifications_of_the_documentation_are_understood() {
    let docs = include_str!("../../../../docs/expect.md");
    let specs: Vec<_> = docs.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(specs.len() > 3, "{} specifications", specs.len());
    for spec in specs {
        assert!(parse(spec).is_ok(), "{:?} of\n{spec}", parse(spec));
    }
}
