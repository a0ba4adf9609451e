use super::{values::duration, *};
use crate::model::filter::{Family, Filter};
use clap::{CommandFactory as _, error::ErrorKind};
use std::{num::NonZeroU64, time::Duration};

fn watch(words: &str) -> Watch {
    let words = ["twtrace", "watch"].into_iter().chain(words.split_whitespace());
    match Cli::try_parse_from(words).expect("good words").command {
        Command::Watch(watch) => *watch,
        other => panic!("{other:?}"),
    }
}

/// The exit code and the first line of a usage error.
fn refused(words: &str) -> (i32, String) {
    let words = ["twtrace"].into_iter().chain(words.split_whitespace());
    let error = Cli::try_parse_from(words).expect_err("bad words");
    (error.exit_code(), error.to_string().lines().next().unwrap_or_default().to_owned())
}

#[test]
fn the_words_fit_together() {
    Cli::command().debug_assert();
}

#[test]
fn watch_without_words_shows_everything() {
    let watch = watch("");
    assert_eq!(watch.format, Format::Auto);
    assert!(!watch.events && !watch.wall_time && !watch.relative_time);
    assert_eq!((watch.duration, watch.count), (None, None));
    assert_eq!(watch.filter.filter(), Filter::default());
    assert_eq!(watch.tracing.ring, 16 << 20);
    assert_eq!(watch.tracing.tier, None);
}

#[test]
fn every_word_is_understood() {
    let watch = watch(
        "--format json --events -T -t --duration 1m30s --count 5 --exact --tier sock_diag --ring 4M --fail-on-loss -v \
         -p 1,2 --comm nginx --comm api -L 80,8000-8999 -D 443 --local-addr 10.0.0.0/8 --remote-addr ::1 -4 --uid 0 \
         --netns net:[4026531840]",
    );
    assert_eq!(watch.format, Format::Json);
    assert!(watch.events && watch.wall_time && watch.relative_time);
    assert_eq!(watch.duration, Some(Duration::from_secs(90)));
    assert_eq!(watch.count, NonZeroU64::new(5));
    let tracing = &watch.tracing;
    assert!(tracing.exact && tracing.fail_on_loss && tracing.verbose);
    assert_eq!((tracing.tier, tracing.ring), (Some(Tier::SockDiag), 4 << 20));
    let filter = watch.filter.filter();
    assert_eq!((filter.pids, filter.uids), (vec![1, 2], vec![0]));
    assert_eq!((filter.comms.len(), filter.local_ports.len(), filter.remote_ports.len()), (2, 2, 1));
    assert_eq!((filter.local_addrs.len(), filter.remote_addrs.len(), filter.netns.len()), (1, 1, 1));
    assert_eq!(filter.family, Some(Family::Ipv4));
}

/// A recording keeps them so, and whoever reads it applies them again.
#[test]
fn filters_are_the_same_out_of_a_recording() {
    let words = "-p 1,2 --comm nginx,a=b --uid 0 -L 80,8000-8999 -D 443 --local-addr 10.0.0.0/8,::ffff:1.2.3.4 \
                 --remote-addr 2001:db8::/32 -6 --netns net:[4026531840]";
    let given = watch(words).filter;
    let kept = given.words();
    let read = FilterArgs::parse(&kept).expect("they were words before");
    assert_eq!(read.filter(), given.filter(), "{kept:?}");
    assert_eq!(kept.len(), 9);
    assert!(watch("").filter.words().is_empty());
    assert!(FilterArgs::parse(&["--not-yet-known=1".to_owned()]).is_err());
    assert!(FilterArgs::parse(&["--help".to_owned()]).is_err());
}

#[test]
fn a_recording_has_a_file_its_limits_and_a_command() {
    let record = |words: &str| {
        let words = ["twtrace", "record"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(words).expect("good words").command {
            Command::Record(record) => *record,
            other => panic!("{other:?}"),
        }
    };
    let args = record("-w x.arrows --rotate-size 100M --rotate-count 10 --max-size 2G --duration 1m -- sh -c -w");
    assert_eq!(args.writing.write.as_deref(), Some(std::path::Path::new("x.arrows")));
    assert_eq!((args.writing.rotate_size, args.writing.max_size), (Some(100 << 20), Some(2 << 30)));
    assert_eq!(args.command, ["sh", "-c", "-w"]);
    assert_eq!(refused("record").0, 2);
    for size in ["0", "x", "1Q", "99999999999T", "1.5M"] {
        let rule = "a size is a number of bytes, or one with K, M, G or T: 512K, 100M, 2G";
        let (code, line) = refused(&format!("record -w x --max-size {size}"));
        assert_eq!((code, line), (2, format!("error: invalid value '{size}' for '--max-size <SIZE>': {rule}")));
    }
}

#[test]
fn usage_errors_exit_2_and_name_the_rule() {
    let page = rustix::param::page_size();
    let ring = format!("a ring is a power of two of bytes, from one page ({page}) up to 2G: 512K, 16M");
    let time = "a time is a number with its unit, ms, s, m, h or d: 30s, 2m, 1h30m";
    let cases = [
        ("watch --ring 3M", format!("error: invalid value '3M' for '--ring <SIZE>': {ring}")),
        ("watch --ring 2048", format!("error: invalid value '2048' for '--ring <SIZE>': {ring}")),
        ("watch --ring 4G", format!("error: invalid value '4G' for '--ring <SIZE>': {ring}")),
        ("watch --duration 30", format!("error: invalid value '30' for '--duration <TIME>': {time}")),
        ("watch --duration 0s", format!("error: invalid value '0s' for '--duration <TIME>': {time}")),
        (
            "watch -L 90-80",
            "error: invalid value '90-80' for '--local-port <PORTS>': the range ends before it begins: write 80-90"
                .to_owned(),
        ),
        ("watch -4 -6", "error: the argument '--ipv4' cannot be used with '--ipv6'".to_owned()),
        ("watch --format tv", "error: invalid value 'tv' for '--format <FORMAT>'".to_owned()),
        ("watch --nonsense", "error: unexpected argument '--nonsense' found".to_owned()),
        ("trace", "error: unrecognized subcommand 'trace'".to_owned()),
    ];
    for (words, line) in cases {
        assert_eq!(refused(words), (2, line), "{words}");
    }
    assert_eq!(refused("watch --count 0").0, 2);
    assert_eq!(refused("watch -p 0").0, 2);
    assert_eq!(refused("").0, 2);
}

#[test]
fn filters_are_understood_on_a_line_of_their_own() {
    let filter = FilterArgs::parse_line("  -p 1,2 --comm 'Web Content' -D443 ").expect("good words");
    assert_eq!(filter, watch_filter(&["-p", "1,2", "--comm", "Web Content", "-D", "443"]));
    assert_eq!(FilterArgs::parse_line(""), Ok(Filter::default()));
    let cases = [
        ("-p x", "invalid value 'x' for '--pid <PIDS>': invalid digit found in string"),
        ("80", "unexpected argument '80' found"),
        ("--help", "unexpected argument '--help' found"),
        ("--comm 'a", "a quote is not closed"),
        ("-4 -6", "the argument '--ipv4' cannot be used with '--ipv6'"),
    ];
    for (line, error) in cases {
        assert_eq!(FilterArgs::parse_line(line), Err(error.to_owned()), "{line}");
    }
}

fn watch_filter(words: &[&str]) -> Filter {
    let words = ["twtrace", "watch"].iter().chain(words);
    match Cli::try_parse_from(words).expect("good words").command {
        Command::Watch(watch) => watch.filter.filter(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn help_is_no_error() {
    let error = Cli::try_parse_from(["twtrace", "watch", "--help"]).expect_err("help is given as one");
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayHelp, 0));
}

#[test]
fn durations_add_up() {
    let cases = [("500ms", 500), ("30s", 30_000), ("2m", 120_000), ("1h30m", 5_400_000), ("1.5s", 1_500)];
    for (word, millis) in cases {
        assert_eq!(duration(word), Ok(Duration::from_millis(millis)), "{word}");
    }
    for word in ["", "s", "30", "-5s", "3 s", "99999999999999999999s", "213503982335d"] {
        assert!(duration(word).is_err(), "{word}");
    }
}

#[test]
fn completions_and_manual_name_every_command() {
    let mut script = Vec::new();
    completions(Shell::Bash, &mut script).expect("memory takes it");
    let script = String::from_utf8(script).expect("text");
    let mut page = Vec::new();
    man(&mut page).expect("memory takes it");
    let page = String::from_utf8(page).expect("text");
    for command in ["watch", "record", "expect", "doctor", "completions", "man"] {
        assert!(script.contains(&format!("twtrace__subcmd__{command}")), "{command}: {script}");
        assert!(page.contains(&format!(".SH \"TWTRACE {}\"", command.to_uppercase())), "{command}");
    }
    assert_eq!(page.matches(".TH ").count(), 1);
    assert!(page.contains("fail\\-on\\-loss"));
}
