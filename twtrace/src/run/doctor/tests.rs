use super::{
    facts::{Attempt, Facts},
    report::report,
};
use crate::{
    model::sysctls::Sysctls,
    probe::{
        plan::{Hook, Tier, Wish, plan},
        support::samples::everything,
        symbols::Symbols,
    },
    sink::doctor::{Namespaces, Processes, RuntimeLine, json, text},
};
use rustix::thread::CapabilitySet;
use serde_json::{Value, json};

/// Root on a host that allows all.
fn root() -> Facts {
    let sysctls: Sysctls = [
        ("net.ipv4.tcp_tw_reuse", "2"),
        ("net.ipv4.tcp_fin_timeout", "60"),
        ("net.ipv4.tcp_max_tw_buckets", "131072"),
        ("net.ipv4.ip_local_port_range", "32768 60999"),
        ("net.ipv4.ip_local_reserved_ports", ""),
        ("net.ipv4.tcp_timestamps", "1"),
        ("net.ipv4.tcp_max_orphans", "131072"),
        ("net.ipv4.tcp_rfc1337", "0"),
        ("net.core.somaxconn", "4096"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    as_planned(Facts {
        support: everything(),
        default: Attempt { hooks: Vec::new(), refused: None },
        exact: Attempt { hooks: Vec::new(), refused: None },
        effective: CapabilitySet::all(),
        on_host: Some(true),
        namespaces: Namespaces { found: 3, readable: 3, whole: true },
        processes: Some(Processes { found: 120, unreadable: 0 }),
        runtimes: Some(vec![
            RuntimeLine { runtime: "docker", containers: 3, processes: 12 },
            RuntimeLine { runtime: "systemd", containers: 1, processes: 1 },
        ]),
        sysctls,
    })
}

/// Every hook that is to go goes.
fn as_planned(mut facts: Facts) -> Facts {
    facts.default.hooks = plan(&facts.support, Wish { tier: Tier::Hook, exact: false });
    facts.exact.hooks = plan(&facts.support, Wish { tier: Tier::Hook, exact: true });
    facts
}

/// No right at all, on a kernel before tcp_tw_reuse_delay.
fn nobody() -> Facts {
    let mut facts = root();
    facts.support.symbols = Symbols::default();
    facts.support.tracefs = Err("tracefs cannot be read: Permission denied".to_owned());
    facts.support.lockdown = None;
    facts = as_planned(facts);
    for attempt in [&mut facts.default, &mut facts.exact] {
        attempt.refused = Some("cannot load the eBPF object: Operation not permitted".to_owned());
        for (_, outcome) in &mut attempt.hooks {
            *outcome = outcome.clone().and(Err("the eBPF object cannot be loaded".to_owned()));
        }
    }
    facts.effective = CapabilitySet::empty();
    facts.namespaces = Namespaces { found: 1, readable: 1, whole: false };
    facts.processes = Some(Processes { found: 120, unreadable: 119 });
    facts.runtimes = Some(Vec::new());
    facts
}

fn printed(facts: &Facts) -> String {
    let mut out = Vec::new();
    text(&mut out, &report(facts)).expect("memory takes it");
    String::from_utf8(out).expect("text")
}

#[test]
fn root_is_told_all() {
    insta::assert_snapshot!(printed(&root()));
}

#[test]
fn nobody_is_told_what_to_change_first() {
    insta::assert_snapshot!(printed(&nobody()));
}

#[test]
fn json_is_one_object_with_null_for_unknown() {
    let mut facts = nobody();
    facts.processes = None;
    facts.sysctls.clear();
    let mut out = Vec::new();
    json(&mut out, &report(&facts)).expect("memory takes it");
    assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
    let object: Value = serde_json::from_slice(&out).expect("JSON");
    for (pointer, value) in [
        ("/type", json!("doctor")),
        ("/schema", json!(1)),
        ("/watch/runs", json!(false)),
        ("/lockdown", json!(null)),
        ("/processes", json!(null)),
        ("/ports", json!(null)),
        (
            "/sysctls/0",
            json!({"name": "net.ipv4.tcp_tw_reuse", "value": null,
            "means": "whether a connect may take a port in TIME_WAIT; nothing changes for what comes in"}),
        ),
        ("/time_wait", json!({"jiffy_ns": 4_000_000, "default": null, "exact": null})),
        ("/hooks/0/default/on", json!(false)),
        ("/capabilities/0/held", json!(false)),
    ] {
        assert_eq!(object.pointer(pointer), Some(&value), "{pointer} of {object}");
    }
}

#[test]
fn precision_follows_from_what_is_on() {
    let grades = |facts: &Facts| {
        let time_wait = report(facts).time_wait;
        [time_wait.default, time_wait.exact].map(|grade| grade.map(|grade| (grade.tier, grade.precision)))
    };
    let mut facts = root();
    assert_eq!(grades(&facts), [Some(("hook", "hook")); 2]);
    let report_of = report(&facts).time_wait;
    assert_ne!(report_of.default, report_of.exact, "--exact adds something");

    facts.support.symbols = Symbols::default();
    facts = as_planned(facts);
    assert_eq!(grades(&facts), [Some(("sock_diag", "sock_diag")); 2]);

    facts.support.layout = Err("no BTF".to_owned());
    facts = as_planned(facts);
    assert_eq!(grades(&facts), [Some(("classic", "sock_diag")); 2]);

    facts.support.sock_diag = Err("this kernel has no tcp_diag".to_owned());
    assert_eq!(grades(&facts), [Some(("classic", "inferred")); 2]);
}

#[test]
fn the_remedy_fits_the_reason() {
    let refused = |change: fn(&mut Facts)| {
        let mut facts = root();
        facts.default.refused = Some("it was refused".to_owned());
        change(&mut facts);
        report(&facts).watch.remedy.expect("a remedy")
    };
    assert!(refused(|facts| facts.effective = CapabilitySet::SYSLOG).contains("CAP_BPF and CAP_PERFMON"));
    assert!(refused(|facts| facts.on_host = Some(false)).contains("on the host"));
    assert!(
        refused(|facts| facts.support.lockdown = Some("confidentiality".to_owned())).contains("lockdown=integrity")
    );
    let no_btf_no_tracefs = |facts: &mut Facts| {
        facts.support.layout = Err("no BTF".to_owned());
        facts.support.tracefs = Err("tracefs is not mounted: mount it".to_owned());
    };
    assert!(refused(no_btf_no_tracefs).contains("mount it"));
    assert!(refused(|_| {}).contains("hook"));
}

#[test]
fn a_capability_that_another_covers_is_not_asked_for() {
    let mut facts = root();
    facts.effective = CapabilitySet::all() - CapabilitySet::BPF - CapabilitySet::DAC_READ_SEARCH;
    let report = report(&facts);
    assert_eq!(report.advice, [""; 0]);
    let covered: Vec<_> = report.capabilities.iter().filter_map(|line| line.covered_by).collect();
    assert_eq!(covered, ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    assert!(report.hooks.iter().any(|line| line.name == Hook::SetState.name() && line.default.on));
}
