//! What is said beside the output: lines on stderr, `twtrace: warning: …`.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Lines that are kept back at the most, the newest.
const KEPT: usize = 1_000;

/// Lines that wait, while the terminal is a picture.
static HELD: Mutex<Option<VecDeque<String>>> = Mutex::new(None);

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

/// Keeps lines back until [`release`]: they would spoil the picture on the terminal.
pub fn hold() {
    held().get_or_insert_default();
}

/// The last line that waits.
pub fn last() -> Option<String> {
    let held = held();
    let line = held.as_ref()?.back()?;
    Some(line.trim_end().strip_prefix("twtrace: ").unwrap_or(line).to_owned())
}

/// Writes the lines that waited; from now on none does.
pub fn release() {
    let lines = held().take();
    for line in lines.unwrap_or_default() {
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

fn held() -> MutexGuard<'static, Option<VecDeque<String>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says why the run failed.
pub fn fail(error: &anyhow::Error) {
    say(&format!("{error:#}"), "");
}

/// Says what is neither a failure nor a warning, and good to know.
pub fn note(text: &str) {
    say(text, "");
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
    let lines = lines(text, level);
    if let Some(held) = &mut *held() {
        held.extend(lines.split_inclusive('\n').map(str::to_owned));
        held.drain(..held.len().saturating_sub(KEPT));
        return;
    }
    // Where nobody reads stderr there is nobody to tell.
    let _ = io::stderr().lock().write_all(lines.as_bytes());
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
