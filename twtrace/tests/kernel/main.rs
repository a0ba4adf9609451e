//! twtrace on this kernel: real sockets of real processes, and whole lifecycles held against what they did.
//!
//! The same executable is the actor: `kernel --actor [NETNS]`. A scenario that cannot run here is skipped, and the
//! reason is printed at the end as `skipped: kernel::NAME: REASON`. Everything happens on loopback and in network
//! namespaces that the scenarios make.

mod actor;
mod case;
#[path = "../live/folder.rs"]
mod folder;
mod lifecycle;
mod matrix;
mod net;
mod programs;
mod puppet;
mod raw;
mod scenarios;
mod tracer;
mod uring;

use case::Case;
use libtest_mimic::{Arguments, Completion, Trial};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

/// How twtrace is made to look at the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Tier {
    Hook,
    Exact,
    SockDiag,
    Classic,
}

impl Tier {
    pub(crate) const ALL: &[Self] = &[Self::Hook, Self::Exact, Self::SockDiag, Self::Classic];

    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Hook => &[],
            Self::Exact => &["--exact"],
            Self::SockDiag => &["--tier", "sock_diag"],
            Self::Classic => &["--tier", "classic"],
        }
    }

    /// An address that only this tier's scenarios use: nobody else's connections, and no other tier's, are theirs.
    pub(crate) fn host(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 91, self as u8, number)
    }

    /// The same for IPv6.
    pub(crate) fn host_v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd91, 0, 0, self as u16, 0, 0, 0, 1)
    }

    /// What to show: both ends of every connection are there.
    pub(crate) fn networks(self) -> String {
        format!("{}/24,{}/64", self.host(0), self.host_v6())
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hook => "hook",
            Self::Exact => "exact",
            Self::SockDiag => "sock_diag",
            Self::Classic => "classic",
        })
    }
}

/// A scenario and the tiers on which it can be told right.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) play: Play,
    pub(crate) tiers: &'static [Tier],
}

/// How a scenario is run.
#[derive(Clone, Copy)]
pub(crate) enum Play {
    /// Beside others, with the tracer of its tier.
    Shared(fn(&Case) -> anyhow::Result<()>),
    /// Beside others, with a tracer that it starts itself.
    Own(fn(Tier) -> anyhow::Result<()>),
    /// With nothing beside it: it loads the machine.
    Alone(fn(Tier) -> anyhow::Result<()>),
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().is_some_and(|word| word == "--actor") {
        return match actor::run(words.next().as_deref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("actor {}: {error:#}", std::process::id());
                ExitCode::FAILURE
            }
        };
    }
    let mut arguments = Arguments::from_args();
    // They wait most of the time, each for its own TIME_WAIT.
    let together = arguments.test_threads.unwrap_or(256);
    let mut failed = false;
    for (alone, threads) in [(true, 1), (false, together)] {
        arguments.test_threads = Some(threads);
        let mut trials: Vec<Trial> = scenarios::all().flat_map(|scenario| trials(&scenario, alone)).collect();
        if alone && is_wanted("programs") {
            trials.push(Trial::ignorable_test("programs", || match cannot_run(Tier::SockDiag) {
                Some(reason) => Ok(skip("programs", reason)),
                None => programs::load().map(|()| Completion::Completed).map_err(|error| told("programs", &error)),
            }));
        }
        failed |= libtest_mimic::run(&arguments, trials).has_failed();
    }
    if let Err(error) = case::end_shared_tracers() {
        println!("FAILED: {error:#}");
        failed = true;
    }
    match matrix::check(&PASSED.lock().unwrap_or_else(PoisonError::into_inner)) {
        Ok(unlike) => {
            failed |= !unlike.is_empty();
            unlike.iter().for_each(|what| println!("FAILED: not as the table of this kernel has it: {what}"));
        }
        Err(error) => {
            println!("FAILED: {error:#}");
            failed = true;
        }
    }
    for skipped in SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("skipped: {skipped}");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

static PASSED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What could not run, and why.
static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Counts as skipped, with its reason.
pub(crate) fn skip(name: &str, reason: String) -> Completion {
    SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).push(format!("kernel::{name}: {reason}"));
    Completion::ignored_with(reason)
}

fn trials(scenario: &Scenario, alone: bool) -> Vec<Trial> {
    let play = scenario.play;
    if alone != matches!(play, Play::Alone(_)) {
        return Vec::new();
    }
    let tiers = scenario.tiers.iter().filter(|tier| is_wanted(&format!("{}::{tier}", scenario.name)));
    let trial = |&tier: &Tier| {
        let name = format!("{}::{tier}", scenario.name);
        Trial::ignorable_test(name.clone(), move || {
            if let Some(reason) = cannot_run(tier) {
                return Ok(skip(&name, reason));
            }
            matrix::play(&name);
            let outcome = match play {
                Play::Shared(act) => Case::shared(tier).and_then(|case| case.verdict(act(&case))),
                Play::Own(act) | Play::Alone(act) => act(tier),
            };
            outcome.map_err(|error| told(&name, &error))?;
            PASSED.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
            Ok(Completion::Completed)
        })
    };
    tiers.map(trial).collect()
}

/// Whether `TWTRACE_SCENARIOS` asks for it, a list of parts of names: more than the one that the command line takes.
/// Those behind a `!` are left out.
fn is_wanted(name: &str) -> bool {
    let Ok(list) = std::env::var("TWTRACE_SCENARIOS") else { return true };
    let (left_out, picked): (Vec<&str>, Vec<&str>) = list.split(',').partition(|part| part.starts_with('!'));
    let is_in = |parts: &[&str]| parts.iter().any(|part| name.contains(part.trim_start_matches('!')));
    !is_in(&left_out) && (picked.is_empty() || is_in(&picked))
}

/// At once, too: on a slow machine the run may be ended before its end, where they are listed.
fn told(name: &str, error: &anyhow::Error) -> libtest_mimic::Failed {
    eprintln!("{name}: {error:#}");
    format!("{error:#}").into()
}

/// Why no scenario of this tier can run here, if so.
fn cannot_run(tier: Tier) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    if tier != Tier::Classic && !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("this kernel has no BTF".to_owned());
    }
    if matches!(tier, Tier::Hook | Tier::Exact) && net::is_confidential() {
        return Some("in confidentiality lockdown no program may read what is behind a timer".to_owned());
    }
    let runs = |program: &str| std::process::Command::new(program).arg("-V").output().is_ok();
    ["ip", "ss"].into_iter().find(|program| !runs(program)).map(|program| format!("needs {program} (iproute2)"))
}
