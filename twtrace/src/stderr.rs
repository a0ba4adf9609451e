//! What is said beside the output: lines on stderr, `twtrace: warning: …`.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::{self, Write};

/// Every `log` record from warnings on, and with `-v` what the probes and twtrace itself say of their work.
struct Stderr;

/// Crates that talk about themselves; their warnings count all the same.
const OTHERS: [&str; 2] = ["aya", "aya_obj"];

/// Lets `log` write to stderr.
pub fn listen(verbose: bool) {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(if verbose { LevelFilter::Debug } else { LevelFilter::Warn });
    }
}

/// Says why the run failed.
pub fn fail(error: &anyhow::Error) {
    say(&format!("{error:#}"), "");
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let krate = metadata.target().split("::").next().unwrap_or_default();
        metadata.level() <= Level::Warn || !OTHERS.contains(&krate)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            say(&record.args().to_string(), name(record.level()));
        }
    }

    fn flush(&self) {}
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
        Level::Debug | Level::Trace => "debug: ",
    }
}

fn say(text: &str, level: &str) {
    // Where nobody reads stderr there is nobody to tell.
    let _ = io::stderr().lock().write_all(lines(text, level).as_bytes());
}

/// Each line with its mark, and nothing in it that steers a terminal.
fn lines(text: &str, level: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        lines.push_str("twtrace: ");
        lines.push_str(level);
        lines.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Stderr, lines};
    use log::{Level, Log, Metadata};

    #[test]
    fn every_line_is_marked_and_steers_no_terminal() {
        assert_eq!(lines("no\u{1b}[31m\r\nyes", "warning: "), "twtrace: warning: no [31m\ntwtrace: warning: yes\n");
        assert_eq!(lines("", ""), "");
    }

    #[test]
    fn the_probes_talk_and_aya_only_warns() {
        let is_shown = |target, level| Stderr.enabled(&Metadata::builder().target(target).level(level).build());
        assert!(is_shown("aya_obj", Level::Warn) && !is_shown("aya", Level::Debug));
        assert!(is_shown("twtrace_ebpf::emit", Level::Debug) && is_shown("twtrace::probe", Level::Debug));
    }
}
