//! Any text as a specification, and any assertion on lives of every kind.

use super::*;
use proptest::prelude::*;

proptest! {
    /// Whatever a text is, it is understood or refused at a place that is in it.
    #[test]
    fn any_text_is_understood_or_refused(text in any_spec()) {
        if let Err(bad) = Spec::parse(&text, &FilterArgs::parse_line) {
            let line = text.split('\n').nth(bad.line - 1);
            prop_assert!(line.is_some_and(|line| bad.column <= line.chars().count() + 1), "{bad:?} of {text:?}");
            prop_assert!(!bad.error.contains('\n'), "{bad:?}");
        }
    }

    /// What holds for every life holds not for none of them, and what was understood can be judged.
    #[test]
    fn every_and_none_do_not_both_pass(path in path(), value in value()) {
        let lives = [expired(), closing(), unknown(), leaking(), preexisting(), never_accepted(), no_port(), idle()];
        let test = |key: &str| format!("[[expect]]\nname = \"a\"\n{key} = {{ {path} = {value} }}");
        if parse(&test("every")).is_ok() {
            for life in &lives {
                let passed = ["every", "none"].map(|key| {
                    judge(&test(key), std::slice::from_ref(life), &Summary::default(), End::default()).failed().0 == 0
                });
                prop_assert!(passed != [true, true], "{path} = {value}");
            }
        }
    }
}

fn any_spec() -> impl Strategy<Value = String> {
    let word = || prop_oneof![path(), value(), "[a-z_]{1,9}", "\\PC{0,4}", Just("[[expect]]".to_owned())];
    let key = prop_oneof!["name|where|when|count|every|some|none|unknown|lost|status", word()];
    let line = prop_oneof![
        (key, path(), value()).prop_map(|(key, path, value)| format!("{key} = {{ {path} = {value} }}")),
        (word(), word()).prop_map(|(key, value)| format!("{key} = {value}")),
        Just("[[expect]]\nname = \"a\"".to_owned()),
        "\\PC{0,20}",
    ];
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

fn path() -> impl Strategy<Value = String> {
    let paths = [
        "close",
        "owner",
        "owner.comm",
        "local.ip",
        "states",
        "states.CLOSE_WAIT.duration_ns",
        "time_wait.duration_ns",
        "ended",
        "complete",
        "bytes_sent",
        "close_wait.accepted",
        "remote.port",
        "closed_by.comm",
        "close_reason",
    ];
    prop::sample::select(paths.map(str::to_owned).to_vec())
}

fn value() -> impl Strategy<Value = String> {
    let number = prop_oneof!["[0-9]{1,3}(s|ms|kB|)", "[0-9]{1,25}"];
    let range = (prop_oneof!["", "> ", "<=", "\\.\\.", "!= ", "= "], number).prop_map(|(sign, number)| sign + &number);
    let text = prop_oneof![
        range,
        prop::sample::select(
            ["null", "not null", "fin", "!= fin", "curl", "10.0.0.0/8", "* > CLOSE_WAIT", "*"]
                .map(str::to_owned)
                .to_vec()
        ),
    ];
    let one = prop_oneof![text.prop_map(|text| format!("\"{text}\"")), Just("true".to_owned()), Just("80".to_owned())];
    prop::collection::vec(one, 1..3).prop_map(|values| match values.as_slice() {
        [one] => one.clone(),
        _ => format!("[{}]", values.join(", ")),
    })
}
