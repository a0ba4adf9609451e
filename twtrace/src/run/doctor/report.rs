//! From facts to a report. Pure: asks nobody, prints nothing.

use super::{
    facts::{Attempt, Facts},
    sysctls,
};
use crate::{
    probe::plan::{Hook, Tier},
    run::live::precision,
    sink::{
        Precision,
        doctor::{Access, CapabilityLine, Grade, HookLine, Report, Switch, TimeWait, Verdict},
    },
};
use rustix::thread::CapabilitySet;

/// A capability, the one that does as well, and what is lost without both.
struct Need {
    name: &'static str,
    bit: CapabilitySet,
    or: Option<(&'static str, CapabilitySet)>,
    lost: &'static str,
}

const SYS_ADMIN: Option<(&str, CapabilitySet)> = Some(("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN));
const DAC_OVERRIDE: Option<(&str, CapabilitySet)> = Some(("CAP_DAC_OVERRIDE", CapabilitySet::DAC_OVERRIDE));

/// By bpf_capable(), perfmon_capable(), kallsyms_show_value(), netns_install(), generic_permission() and
/// __ptrace_may_access().
const NEEDS: [Need; 7] = [
    Need { name: "CAP_BPF", bit: CapabilitySet::BPF, or: SYS_ADMIN, lost: "all: no program can be loaded" },
    Need { name: "CAP_PERFMON", bit: CapabilitySet::PERFMON, or: SYS_ADMIN, lost: "all: no program can trace" },
    Need {
        name: "CAP_SYS_ADMIN",
        bit: CapabilitySet::SYS_ADMIN,
        or: None,
        lost: "socket tables of other network namespaces; accept hooks where tracefs is not mounted",
    },
    Need {
        name: "CAP_SYSLOG",
        bit: CapabilitySet::SYSLOG,
        or: None,
        lost: "the timer of TIME_WAIT, whose address is hidden",
    },
    Need {
        name: "CAP_SYS_PTRACE",
        bit: CapabilitySet::SYS_PTRACE,
        or: None,
        lost: "who holds the sockets of other users, and the network namespaces that they are in",
    },
    Need {
        name: "CAP_DAC_READ_SEARCH",
        bit: CapabilitySet::DAC_READ_SEARCH,
        or: DAC_OVERRIDE,
        lost: "who holds the sockets of other users, and accept hooks unless as root: tracefs is root's",
    },
    Need { name: "CAP_NET_ADMIN", bit: CapabilitySet::NET_ADMIN, or: None, lost: "nothing that twtrace shows" },
];

pub(super) fn report(facts: &Facts) -> Report {
    let Facts { support, default, exact, namespaces, processes, .. } = facts;
    Report {
        watch: verdict(facts),
        advice: advice(facts),
        kernel: support.kernel.clone(),
        lockdown: support.lockdown.clone(),
        btf: access(&support.layout),
        tracefs: access(&support.tracefs),
        socket_table: access(&support.sock_diag),
        namespaces: *namespaces,
        processes: *processes,
        runtimes: facts.runtimes.clone(),
        time_wait: TimeWait {
            jiffy_ns: support.jiffy,
            default: grade(facts, default, false),
            exact: grade(facts, exact, true),
        },
        hooks: hooks(default, exact),
        capabilities: capabilities(facts.effective),
        sysctls: sysctls::lines(&facts.sysctls),
        ports: sysctls::ports(&facts.sysctls, support.jiffy),
    }
}

fn access<T>(result: &Result<T, String>) -> Access {
    Access { readable: result.is_ok(), reason: result.as_ref().err().cloned() }
}

fn verdict(facts: &Facts) -> Verdict {
    let reason = facts.default.refused.clone();
    Verdict { runs: reason.is_none(), remedy: reason.is_some().then(|| remedy(facts)), reason }
}

/// What stands in the way of any tracing, the likeliest first.
fn remedy(facts: &Facts) -> String {
    let lacks_tracing = missing(facts.effective).any(|need| need.or == SYS_ADMIN);
    if lacks_tracing {
        "run it as root (sudo), or with CAP_BPF and CAP_PERFMON".to_owned()
    } else if facts.on_host == Some(false) {
        "run it on the host: the capabilities of a container's user namespace do not count".to_owned()
    } else if facts.support.lockdown.as_deref() == Some("confidentiality") {
        "boot without lockdown, or with lockdown=integrity: confidentiality forbids reading the kernel's memory"
            .to_owned()
    } else if let (Err(_), Err(reason)) = (&facts.support.layout, &facts.support.tracefs) {
        format!("{reason}; or use a kernel with BTF (CONFIG_DEBUG_INFO_BTF)")
    } else {
        "see the reason of each hook below; twtrace needs a kernel from 5.10 on".to_owned()
    }
}

/// What to change for more than there is.
fn advice(facts: &Facts) -> Vec<String> {
    let mut advice = Vec::new();
    let missing: Vec<_> =
        missing(facts.effective).filter(|need| need.bit != CapabilitySet::NET_ADMIN).map(|need| need.name).collect();
    if !missing.is_empty() && facts.default.refused.is_none() {
        advice.push(format!("run it as root (sudo), or with {}: below is what each gives", missing.join(", ")));
    }
    advice.extend(facts.support.sock_diag.as_ref().err().map(|reason| format!("the socket table: {reason}")));
    if facts.default.refused.is_none() {
        advice.extend(
            facts.support.layout.as_ref().err().map(|reason| format!("what sockets say of themselves: {reason}")),
        );
        advice.extend(facts.support.tracefs.as_ref().err().map(|reason| format!("who accepts connections: {reason}")));
    }
    if facts.on_host == Some(false) && facts.default.refused.is_none() {
        advice.push("run it on the host: here it sees the processes of a container alone".to_owned());
    }
    advice
}

fn missing(effective: CapabilitySet) -> impl Iterator<Item = &'static Need> {
    NEEDS.iter().filter(move |need| {
        let other = need.or.map_or(CapabilitySet::empty(), |(_, bit)| bit);
        !effective.intersects(need.bit | other)
    })
}

fn capabilities(effective: CapabilitySet) -> Vec<CapabilityLine> {
    let line = |need: &Need| {
        let held = effective.contains(need.bit);
        let other = need.or.filter(|(_, bit)| !held && effective.contains(*bit));
        CapabilityLine { name: need.name, held, covered_by: other.map(|(name, _)| name), lost_without: need.lost }
    };
    NEEDS.iter().map(line).collect()
}

fn hooks(default: &Attempt, exact: &Attempt) -> Vec<HookLine> {
    let switch = |attempt: &Attempt, hook: Hook| {
        let outcome = attempt.hooks.iter().find(|(known, _)| *known == hook).map(|(_, outcome)| outcome);
        let reason = outcome.and_then(|outcome| outcome.as_ref().err().cloned());
        Switch { on: reason.is_none(), reason }
    };
    Hook::ALL
        .into_iter()
        .map(|hook| HookLine {
            name: hook.name(),
            gives: hook.gives(),
            default: switch(default, hook),
            exact: switch(exact, hook),
        })
        .collect()
}

fn grade(facts: &Facts, attempt: &Attempt, exact: bool) -> Option<Grade> {
    if attempt.refused.is_some() {
        return None;
    }
    let on: Vec<Hook> = attempt.hooks.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(hook, _)| *hook).collect();
    let tier = if on.contains(&Hook::SetStateClassic) {
        Tier::Classic
    } else if on.contains(&Hook::TimerExpire) {
        Tier::Hook
    } else {
        Tier::SockDiag
    };
    let precision = precision(&on, &facts.support);
    let exact = exact && on.contains(&Hook::TimerStart) && on.contains(&Hook::TimerCancel);
    let means = match precision {
        Precision::Hook if exact => {
            "begin, restarts and end by its timer, to the microsecond, and what ended it".to_owned()
        }
        Precision::Hook => "the end by its timer, to the microsecond; the begin to a jiffy at the worst".to_owned(),
        Precision::SockDiag => "the begin to a jiffy, the end by looking whether it is still there".to_owned(),
        Precision::Inferred => "60 s from its begin, by arithmetic alone".to_owned(),
    };
    Some(Grade { tier: tier.name(), precision: precision.name(), means })
}
