//! What the running kernel answers. Nothing is concluded here.

use crate::{
    model::{observation::Runtime, sysctls::Sysctls},
    probe::{
        holders,
        load::{self, Options},
        netns,
        plan::{Hook, Plan, Tier, Wish, plan},
        process,
        support::Support,
        sysctl,
        table::SocketTable,
        tracefs,
    },
    sink::doctor::{Namespaces, Processes, RuntimeLine},
};
use anyhow::Context as _;
use rustix::thread::CapabilitySet;
use std::os::unix::fs::MetadataExt as _;

/// Enough for a moment.
const RING: u32 = 1 << 16;
/// The user namespace of the host, always (`PROC_USER_INIT_INO`, include/uapi/linux/nsfs.h).
const HOST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// What was found out.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) support: Support,
    pub(super) default: Attempt,
    pub(super) exact: Attempt,
    /// The capabilities in effect.
    pub(super) effective: CapabilitySet,
    /// Capabilities count on the host, and not in a user namespace alone.
    pub(super) on_host: Option<bool>,
    pub(super) namespaces: Namespaces,
    pub(super) processes: Option<Processes>,
    pub(super) runtimes: Option<Vec<RuntimeLine>>,
    pub(super) sysctls: Sysctls,
}

/// A load and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) hooks: Plan,
    /// Why a run is not possible with it.
    pub(super) refused: Option<String>,
}

pub(super) fn ask() -> anyhow::Result<Facts> {
    let (support, default, exact) = tracefs::mounted(|| {
        let support = Support::detect();
        let [default, exact] = [false, true].map(|exact| attempt(&support, exact));
        (support, default, exact)
    })
    .context("cannot start a thread to mount tracefs on")?;
    // They cannot be denied to the process itself; if they are, it has none.
    let effective = rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    Ok(Facts {
        support,
        default,
        exact,
        effective,
        on_host: std::fs::metadata("/proc/self/ns/user").ok().map(|ns| ns.ino() == HOST_USER_NAMESPACE),
        namespaces: namespaces(),
        processes: holders::unreadable().ok().map(|(found, unreadable)| Processes { found, unreadable }),
        runtimes: process::runtimes().ok().map(|runtimes| runtimes.into_iter().map(runtime).collect()),
        sysctls: sysctl::all(),
    })
}

fn runtime((runtime, (containers, processes)): (Runtime, (usize, usize))) -> RuntimeLine {
    RuntimeLine { runtime: runtime.name(), containers, processes }
}

/// Loads and attaches, looks at what went, and takes it off at once.
fn attempt(support: &Support, exact: bool) -> Attempt {
    let plan = plan(support, Wish { tier: Tier::Hook, exact });
    match load::attempt(support, plan.clone(), Options { ring: RING, verbose: false }) {
        Ok(loaded) => {
            let outcome = |hook: Hook| match loaded.off.iter().find(|(off, _)| *off == hook) {
                Some((_, reason)) => Err(reason.clone()),
                None => Ok(()),
            };
            let refused = loaded.must_trace().err().or_else(|| netns::own().err().map(no_proc));
            Attempt {
                hooks: Hook::ALL.into_iter().map(|hook| (hook, outcome(hook))).collect(),
                refused: refused.map(|error| format!("{error:#}")),
            }
        }
        Err(error) => {
            // In full only once: it is the same for every hook.
            let none = || Err("the eBPF object cannot be loaded".to_owned());
            let hooks = plan.into_iter().map(|(hook, decision)| (hook, decision.and_then(|()| none()))).collect();
            Attempt { hooks, refused: Some(format!("{error:#}")) }
        }
    }
}

fn no_proc(error: std::io::Error) -> anyhow::Error {
    anyhow::Error::new(error).context("cannot read /proc/self/ns/net: is /proc mounted?")
}

fn namespaces() -> Namespaces {
    let own = netns::own().ok();
    let survey = netns::all();
    let is_readable = |netns: &&netns::Netns| {
        let check = || SocketTable::open(netns.inode)?.check();
        // We are there already, and may not have the right to go there.
        if own.as_ref().is_some_and(|own| own.inode == netns.inode) {
            return check().is_ok();
        }
        netns.open().and_then(|door| door.inside(check)).is_ok_and(|checked: std::io::Result<()>| checked.is_ok())
    };
    let readable = survey.found.iter().filter(is_readable).count();
    Namespaces { found: survey.found.len(), readable, whole: survey.whole }
}
