//! What twtrace reports on this kernel, and on which basis: a checked-in table for each kernel and lockdown.
//!
//! A scenario says what must be true everywhere. The table says how much of it is known here, so that a basis cannot
//! get worse unseen. `TWTRACE_MATRIX=FOLDER` adds to the table in a folder; a life that may be told in several ways has
//! several lines. A scenario that the table has not is held against the scenario alone.

use anyhow::{Context, Result};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// By scenario and tier.
type Lines = BTreeMap<String, BTreeSet<String>>;

static SEEN: Mutex<Lines> = Mutex::new(Lines::new());

thread_local! {
    /// What is played in this thread.
    static PLAYED: RefCell<String> = const { RefCell::new(String::new()) };
}

pub(crate) fn play(trial: &str) {
    PLAYED.set(trial.to_owned());
}

/// The trial that this thread plays.
pub(crate) fn played() -> String {
    PLAYED.with_borrow(Clone::clone)
}

/// Notes how a life is told.
pub(crate) fn note(name: &str, life: &Value) {
    let line = format!("{name}: {}", told(life));
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).entry(played()).or_default().insert(line);
}

/// Without times and ids, which differ from run to run.
fn told(life: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let mut told = format!("{} closed first by {}", word(&life["close"]), word(&life["closed_first"]));
    if life["owner"].is_object() {
        told += &format!(", owner by {}", word(&life["owner"]["basis"]));
    }
    let time_wait = &life["time_wait"];
    if time_wait.is_object() {
        told += &format!(", TIME_WAIT {} by {}", word(&time_wait["end"]), word(&time_wait["basis"]));
    }
    told
}

/// Holds what was told by those scenarios that `passed` against the table of this kernel, if it has one, or adds it.
pub(crate) fn check(passed: &BTreeSet<String>) -> Result<Vec<String>> {
    let seen = std::mem::take(&mut *SEEN.lock().unwrap_or_else(PoisonError::into_inner));
    let path = folder().join(format!("{}.lives", kernel()?));
    let (add, there) = (std::env::var_os("TWTRACE_MATRIX").is_some(), path.exists());
    let mut table = if there { parse(&std::fs::read_to_string(&path)?) } else { Lines::new() };
    if !add && !there {
        println!("no table of what is reported on this kernel: {}", path.display());
        return Ok(Vec::new());
    }
    let mut unlike = Vec::new();
    let wanted = |trial: &String| passed.contains(trial) && (add || table.contains_key(trial));
    let seen: Vec<_> = seen.into_iter().filter(|(trial, _)| wanted(trial)).collect();
    for (trial, lines) in seen {
        let known = table.entry(trial.clone()).or_default();
        let new = lines.difference(known);
        unlike.extend(new.filter(|_| !add).map(|line| format!("{trial}: {line}\n  is not among {known:?}")));
        known.extend(lines);
    }
    if !add || table.is_empty() {
        return Ok(unlike);
    }
    let text: Vec<String> =
        table.iter().flat_map(|(trial, lines)| lines.iter().map(move |line| format!("{trial} {line}\n"))).collect();
    std::fs::write(&path, text.concat()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Vec::new())
}

fn parse(text: &str) -> Lines {
    let mut lines = Lines::new();
    for (trial, line) in text.lines().filter_map(|line| line.split_once(' ')) {
        lines.entry(trial.to_owned()).or_default().insert(line.to_owned());
    }
    lines
}

/// This kernel's version, its architecture if it is not x86-64, and its lockdown if it is in one: the name of its tables.
pub(crate) fn kernel() -> Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version: Vec<&str> = release.split('.').take(2).collect();
    let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let confined = ["integrity", "confidentiality"].into_iter().find(|mode| lockdown.contains(&format!("[{mode}]")));
    let confined = confined.map(|mode| format!("-{mode}")).unwrap_or_default();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => String::new(),
        other => format!("-{other}"),
    };
    Ok(format!("{}{architecture}{confined}", version.join(".")))
}

/// Where tables are read, or written.
pub(crate) fn folder() -> PathBuf {
    // A guest can write to one folder alone.
    let own = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matrix"));
    std::env::var_os("TWTRACE_MATRIX").map_or_else(own, PathBuf::from)
}
