use super::*;
use crate::probe::{
    support::{TRACEPOINTS, samples::everything},
    symbols::Symbols,
};

const DEFAULT: Wish = Wish { tier: Tier::Hook, exact: false };
const EXACT: Wish = Wish { tier: Tier::Hook, exact: true };
/// What is only there for where a better one is not.
const MAKESHIFTS: [Hook; 2] = [Hook::SetStateClassic, Hook::DestroySock];
const TIMERS: [Hook; 3] = [Hook::TimerExpire, Hook::TimerStart, Hook::TimerCancel];

fn on(support: &Support, wish: Wish) -> Vec<Hook> {
    plan(support, wish).into_iter().filter(|(_, decision)| decision.is_ok()).map(|(hook, _)| hook).collect()
}

fn why_off(support: &Support, wish: Wish, hook: Hook) -> String {
    let decided = plan(support, wish).into_iter().find(|(known, _)| *known == hook).expect("every hook is decided on");
    decided.1.expect_err("it is off")
}

fn without(hooks: &[Hook]) -> Vec<Hook> {
    Hook::ALL.into_iter().filter(|hook| !hooks.contains(hook)).collect()
}

#[test]
fn every_hook_is_decided_on_once_in_order() {
    let decided: Vec<Hook> = plan(&everything(), DEFAULT).into_iter().map(|(hook, _)| hook).collect();
    assert_eq!(decided, Hook::ALL);
}

#[test]
fn what_costs_by_the_packet_waits_for_exact() {
    let waiting = [Hook::TimerStart, Hook::TimerCancel];
    assert_eq!(on(&everything(), DEFAULT), without(&[&waiting[..], &MAKESHIFTS].concat()));
    assert_eq!(on(&everything(), EXACT), without(&MAKESHIFTS));
    assert!(why_off(&everything(), DEFAULT, Hook::TimerStart).contains("--exact"));
}

#[test]
fn a_makeshift_waits_until_it_is_needed() {
    for hook in MAKESHIFTS {
        assert_eq!(why_off(&everything(), EXACT, hook), NOT_NEEDED);
        let better = hook.stands_in_for().expect("it is a makeshift");
        // Loading goes down the list: the better one has been tried before.
        assert!(Hook::ALL.iter().position(|&h| h == better) < Hook::ALL.iter().position(|&h| h == hook), "{hook:?}");
    }
}

#[test]
fn without_btf_the_classic_tracepoint_is_all() {
    let support = Support { layout: Err("no BTF here".to_owned()), tracepoints: Vec::new(), ..everything() };
    for wish in [DEFAULT, EXACT] {
        assert_eq!(on(&support, wish), [Hook::SetStateClassic]);
    }
    assert_eq!(why_off(&support, DEFAULT, Hook::SetState), "no BTF here");
    assert_eq!(why_off(&support, DEFAULT, Hook::Accept4), "no BTF here");
}

#[test]
fn a_hidden_timer_is_not_traced() {
    let support = Support { symbols: Symbols::default(), ..everything() };
    assert_eq!(on(&support, EXACT), without(&[&TIMERS[..], &MAKESHIFTS].concat()));
    for hook in TIMERS {
        let reason = why_off(&support, EXACT, hook);
        assert!(reason.contains("CAP_SYSLOG") && reason.contains("kernel.kptr_restrict"), "{reason}");
    }
}

#[test]
fn a_missing_tracepoint_costs_its_own_hook() {
    for missing in TRACEPOINTS {
        let hook = Hook::ALL.into_iter().find(|hook| hook.place() == Place::Btf(missing)).expect("it has a hook");
        let mut support = everything();
        if hook == Hook::DestroySock {
            support.tracefs = Err("not mounted".to_owned());
        }
        let all = on(&support, EXACT);
        support.tracepoints.retain(|(name, _)| *name != missing);
        let left = all.into_iter().filter(|other| other.place() != hook.place());
        assert_eq!(on(&support, EXACT), left.collect::<Vec<_>>());
        assert_eq!(why_off(&support, EXACT, hook), format!("this kernel has no tracepoint {missing}"));
    }
}

#[test]
fn without_tracefs_nothing_classic() {
    let reason = "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing";
    let mut support = Support { tracefs: Err(reason.to_owned()), ..everything() };
    assert_eq!(on(&support, EXACT), without(&[Hook::SetStateClassic, Hook::Accept, Hook::Accept4]));
    assert_eq!(why_off(&support, EXACT, Hook::Accept), reason);
    support.layout = Err("no BTF here".to_owned());
    assert_eq!(on(&support, EXACT), []);
    assert_eq!(why_off(&support, EXACT, Hook::SetStateClassic), reason);
}

#[test]
fn a_forced_tier_is_kept_to() {
    let sock_diag = Wish { tier: Tier::SockDiag, exact: true };
    assert_eq!(on(&everything(), sock_diag), without(&[&TIMERS[..], &MAKESHIFTS].concat()));
    assert_eq!(why_off(&everything(), sock_diag, Hook::TimerExpire), "not in tier sock_diag");
    let classic = Wish { tier: Tier::Classic, exact: true };
    assert_eq!(on(&everything(), classic), [Hook::SetStateClassic]);
    assert_eq!(why_off(&everything(), classic, Hook::SetState), "not in tier classic");
}

/// Facts that were captured on real kernels, and what those then took: tests/kernel/programs.rs has written both.
#[test]
fn what_is_planned_on_a_kernel_is_what_it_takes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matrix");
    let mut kernels = 0;
    for entry in std::fs::read_dir(folder).expect("the tables are checked in").map_while(Result::ok) {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "facts") {
            continue;
        }
        kernels += 1;
        let facts = std::fs::read_to_string(&path).expect("readable");
        let facts: serde_json::Value = serde_json::from_str(&facts).expect("JSON");
        let taken = std::fs::read_to_string(path.with_extension("programs")).expect("a table of the same name");
        let is_on = |program: &str| taken.lines().any(|line| line.starts_with(&format!("{program} on")));
        let support = support_of(&facts);
        for hook in on(&support, EXACT) {
            // The kernel says so when a program that reads its memory is loaded, and not before.
            let refused = support.lockdown.as_deref() == Some("confidentiality");
            assert!(is_on(hook.program()) || refused, "{}: {hook:?} is planned and did not load", path.display());
        }
        for (wish, name) in [(DEFAULT, "on"), (EXACT, "on_exact")] {
            let planned: Vec<&str> = on(&support, wish).into_iter().map(Hook::program).collect();
            assert_eq!(serde_json::json!(planned), facts[name], "{}: {name}", path.display());
        }
    }
    assert!(kernels >= 5, "only {kernels} kernels");
}

fn support_of(facts: &serde_json::Value) -> Support {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let layout = twtrace_common::Layout {
        has_cookie: facts["has_cookie"].as_u64().map_or(0, |flag| flag as u16),
        has_task: facts["has_task"].as_u64().map_or(0, |flag| flag as u16),
        ..Default::default()
    };
    let tracepoints = facts["tracepoints"].as_array().expect("a list");
    let tracepoint = |name: &'static str| {
        let found = tracepoints.iter().find(|tracepoint| tracepoint[0] == name)?;
        Some((name, found[1].as_u64()? as usize))
    };
    Support {
        kernel: text(&facts["kernel"]).expect("a name"),
        lockdown: text(&facts["lockdown"]),
        layout: text(&facts["layout"]).map_or(Ok(layout), Err),
        tracepoints: TRACEPOINTS.into_iter().filter_map(tracepoint).collect(),
        symbols: if facts["tw_timer_handler"] == true { everything().symbols } else { Symbols::default() },
        tracefs: text(&facts["tracefs"]).map_or_else(|| everything().tracefs, Err),
        jiffy: facts["jiffy"].as_u64().expect("a number"),
        ..everything()
    }
}
