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
mod net;
mod puppet;
mod scenarios;
mod tracer;

use case::Case;
use libtest_mimic::{Arguments, Completion, Trial};
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
        let trials = scenarios::all().flat_map(|scenario| trials(&scenario, alone)).collect();
        failed |= libtest_mimic::run(&arguments, trials).has_failed();
    }
    if let Err(error) = case::end_shared_tracers() {
        println!("FAILED: {error:#}");
        failed = true;
    }
    for skipped in SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("skipped: {skipped}");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What could not run, and why.
static SKIPPED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn trials(scenario: &Scenario, alone: bool) -> Vec<Trial> {
    let play = scenario.play;
    if alone != matches!(play, Play::Alone(_)) {
        return Vec::new();
    }
    let tiers = scenario.tiers.iter();
    let trial = |&tier: &Tier| {
        let name = format!("{}::{tier}", scenario.name);
        Trial::ignorable_test(name.clone(), move || {
            if let Some(reason) = cannot_run(tier) {
                let mut skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
                skipped.push(format!("kernel::{name}: {reason}"));
                return Ok(Completion::ignored_with(reason));
            }
            match play {
                Play::Shared(act) => {
                    let case = Case::shared(tier).map_err(told)?;
                    case.verdict(act(&case)).map_err(told)?;
                }
                Play::Own(act) | Play::Alone(act) => act(tier).map_err(told)?,
            }
            Ok(Completion::Completed)
        })
    };
    tiers.map(trial).collect()
}

fn told(error: anyhow::Error) -> libtest_mimic::Failed {
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
    let runs = |program: &str| std::process::Command::new(program).arg("-V").output().is_ok();
    ["ip", "ss"].into_iter().find(|program| !runs(program)).map(|program| format!("needs {program} (iproute2)"))
}
