//! What of the object loads and attaches on this kernel, how much the verifier has to do for it, and the facts from
//! which the plan is made: held against tables of the same names as those of [`matrix`](crate::matrix).

use crate::matrix::{folder, kernel};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use twtrace::probe::load::{Options, attempt};
use twtrace::probe::plan::{Hook, NOT_NEEDED, Tier, Wish, plan};
use twtrace::probe::support::Support;
use twtrace::probe::tracefs;

/// By how much the verifier's work may differ: another build of the same kernel may come to a few more.
const SLACK: f64 = 0.1;

/// Every program that this kernel's table has loads, and is as much work for the verifier as it says.
pub(crate) fn load() -> Result<()> {
    tracefs::mounted(compare)?
}

fn compare() -> Result<()> {
    let support = Support::detect();
    let mut plan = plan(&support, Wish { tier: Tier::Hook, exact: true });
    // The makeshifts, too.
    plan.iter_mut()
        .filter(|(_, decision)| decision.as_ref().is_err_and(|reason| reason == NOT_NEEDED))
        .for_each(|(_, decision)| *decision = Ok(()));
    let loaded = attempt(&support, plan, Options { ring: 1 << 20, verbose: false })?;
    let mut found = BTreeMap::new();
    for (hook, count) in loaded.verified() {
        found.insert(hook.program(), count.map_or_else(|| "on".to_owned(), |count| format!("on: {count}")));
    }
    for (hook, reason) in &loaded.off {
        found.insert(hook.program(), format!("off: {reason}"));
    }
    let (table, facts) =
        (folder().join(format!("{}.programs", kernel()?)), folder().join(format!("{}.facts", kernel()?)));
    if std::env::var_os("TWTRACE_MATRIX").is_some() {
        let lines: Vec<String> = found.iter().map(|(program, what)| format!("{program} {what}\n")).collect();
        std::fs::write(&table, lines.concat()).with_context(|| format!("cannot write {}", table.display()))?;
        return std::fs::write(&facts, facts_of(&support)?)
            .with_context(|| format!("cannot write {}", facts.display()));
    }
    let Ok(table) = std::fs::read_to_string(&table) else {
        println!("no table of the programs on this kernel: {}", table.display());
        return Ok(());
    };
    for (program, known) in table.lines().filter_map(|line| line.split_once(' ')) {
        let now = found.get(program).map_or("gone", String::as_str);
        ensure!(alike(known, now), "the program {program} is {now}, and should be {known}");
    }
    ensure!(table.lines().count() == found.len(), "the table has other programs than {:?}", found.keys());
    Ok(())
}

fn alike(known: &str, now: &str) -> bool {
    let count = |text: &str| text.strip_prefix("on: ").and_then(|count| count.parse::<f64>().ok());
    match (count(known), count(now)) {
        (Some(known), Some(now)) => (now - known).abs() <= known * SLACK,
        _ => known == now,
    }
}

/// What the plan depends on, for the tests of the plan.
fn facts_of(support: &Support) -> Result<String> {
    let decided = |exact| {
        let plan = plan(support, Wish { tier: Tier::Hook, exact });
        let on = plan.into_iter().filter(|(_, decision)| decision.is_ok());
        on.map(|(hook, _): (Hook, _)| hook.program()).collect::<Vec<_>>()
    };
    let facts = json!({
        "kernel": support.kernel,
        "lockdown": support.lockdown,
        "layout": support.layout.as_ref().err(),
        "has_cookie": support.layout.as_ref().ok().map(|layout| layout.has_cookie),
        "has_task": support.layout.as_ref().ok().map(|layout| layout.has_task),
        "tracepoints": support.tracepoints,
        "tw_timer_handler": support.symbols.tw_timer_handler.is_some(),
        "tracefs": support.tracefs.as_ref().err(),
        "jiffy": support.jiffy,
        "on": decided(false),
        "on_exact": decided(true),
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&facts)?))
}
