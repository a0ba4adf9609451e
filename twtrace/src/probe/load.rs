//! Loading the object and attaching its programs.

use super::{
    plan::{Hook, NOT_NEEDED, Place, Plan},
    support::Support,
};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{MapData, PerCpuArray, RingBuf},
    programs::{Program, ProgramError, tp_btf::BtfTracePointLink, trace_point::TracePointLink},
};
use std::os::fd::{AsFd as _, AsRawFd as _};
use twtrace_common::{Layout, name};
use zerocopy::IntoBytes;

/// Built by `cargo xtask ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/twtrace.bpf.o");

/// The programs that are on, and the maps they write to. Dropping it takes them off.
pub struct Loaded {
    ebpf: Ebpf,
    links: Vec<Link>,
    ring: Option<RingBuf<MapData>>,
    lost: PerCpuArray<MapData, u64>,
    /// Why each hook that is not on is not.
    pub off: Vec<(Hook, String)>,
    /// The hooks that are on.
    pub on: Vec<Hook>,
}

/// A program on its hook, until this is dropped.
#[expect(dead_code, reason = "held for what dropping it does")]
enum Link {
    Btf(BtfTracePointLink),
    Classic(TracePointLink),
}

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of the ring: a power of two, and whole pages.
    pub ring: u32,
    /// Let the programs log what goes wrong with them.
    pub verbose: bool,
}

/// Loads the object and attaches what the plan says; what does not go is done without and named.
///
/// # Errors
///
/// Where nothing that reports state changes can be attached.
pub fn load(support: &Support, plan: Plan, options: Options) -> anyhow::Result<Loaded> {
    let loaded = attempt(support, plan, options)?;
    loaded.must_trace()?;
    Ok(loaded)
}

/// The same, and content with less: with no hook at all.
///
/// # Errors
///
/// Where the object cannot be loaded.
pub fn attempt(support: &Support, plan: Plan, options: Options) -> anyhow::Result<Loaded> {
    use anyhow::Context as _;

    // Before 5.11 the ring counts against RLIMIT_MEMLOCK; where it may not be raised, the kernel says so below.
    let unlimited = rustix::process::Rlimit { current: None, maximum: None };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited);

    let mut layout = support.layout.clone().unwrap_or_default();
    layout.wake_bytes = u64::from(options.ring / 4);
    let mut ebpf = open(&layout, options)
        .context("cannot load the eBPF object: needs CAP_BPF and CAP_PERFMON, and a kernel from 5.10 on (try sudo)")?;
    let btf = Btf::from_sys_fs().ok();
    let (mut links, mut on, mut off) = (Vec::new(), Vec::new(), Vec::new());
    for (hook, decision) in plan {
        let missed = hook.stands_in_for().is_some_and(|better| !on.contains(&better));
        let decision = match decision {
            Err(reason) if reason == NOT_NEEDED && missed => Ok(()),
            decision => decision,
        };
        match decision.and_then(|()| attach(&mut ebpf, hook, btf.as_ref())) {
            Ok(link) => {
                links.push(link);
                on.push(hook);
            }
            Err(reason) => off.push((hook, reason)),
        }
    }
    let ring = ebpf.take_map(name::RING).context("the object has no ring")?;
    let lost = ebpf.take_map(name::LOST).context("the object has no counter of losses")?;
    Ok(Loaded {
        ebpf,
        links,
        ring: Some(RingBuf::try_from(ring).context("cannot map the ring")?),
        lost: PerCpuArray::try_from(lost).context("cannot open the counter of losses")?,
        off,
        on,
    })
}

fn open(layout: &Layout, options: Options) -> Result<Ebpf, aya::EbpfError> {
    let level = if options.verbose { u8::MAX } else { 0 };
    let mut ebpf = EbpfLoader::new()
        .override_global(name::LAYOUT, layout.as_bytes(), true)
        .override_global(aya_log::LEVEL, &level, true)
        .map_max_entries(name::RING, options.ring)
        .load(OBJECT)?;
    if options.verbose {
        listen_to_probe(&mut ebpf);
    }
    Ok(ebpf)
}

/// Hands the programs' own diagnostics to the logger.
fn listen_to_probe(ebpf: &mut Ebpf) {
    match aya_log::EbpfLogger::init(ebpf) {
        Ok(mut logger) => {
            std::thread::spawn(move || {
                loop {
                    logger.flush();
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
            });
        }
        Err(error) => log::warn!("cannot read the probe's diagnostics: {error}"),
    }
}

fn attach(ebpf: &mut Ebpf, hook: Hook, btf: Option<&Btf>) -> Result<Link, String> {
    let program = ebpf.program_mut(hook.program()).ok_or("the object has no such program")?;
    let result = match (program, hook.place()) {
        (Program::BtfTracePoint(program), Place::Btf(name)) => {
            let btf = btf.ok_or("the kernel's BTF cannot be read")?;
            program
                .load(name, btf)
                .and_then(|()| program.attach())
                .and_then(|link| program.take_link(link))
                .map(Link::Btf)
        }
        (Program::TracePoint(program), Place::Classic(category, name)) => program
            .load()
            .and_then(|()| program.attach(category, name))
            .and_then(|link| program.take_link(link))
            .map(Link::Classic),
        _ => return Err("the object's program is of another kind".to_owned()),
    };
    result.map_err(|error| explain(&error))
}

/// The kernel's own words, without the verifier's log, on one line.
fn explain(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            log::debug!("{verifier_log}");
            format!("the kernel refuses it: {io_error}")
        }
        error => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text.replace('\n', " ")
        }
    }
}

impl Loaded {
    /// # Errors
    ///
    /// Where nothing that reports state changes is on.
    pub fn must_trace(&self) -> anyhow::Result<()> {
        let Self { on, off, .. } = self;
        if on.iter().any(|hook| matches!(hook, Hook::SetState | Hook::SetStateClassic)) {
            return Ok(());
        }
        let reasons: Vec<_> = off.iter().take(2).map(|(hook, reason)| format!("{}: {reason}", hook.name())).collect();
        anyhow::bail!(
            "cannot trace TCP state changes: {} (needs root, or CAP_BPF and CAP_PERFMON: try sudo; \
             `twtrace doctor` says more)",
            reasons.join("; ")
        )
    }

    /// The ring, once.
    pub fn take_ring(&mut self) -> Option<RingBuf<MapData>> {
        self.ring.take()
    }

    /// Takes the programs off their hooks. They stay loaded, with their counts.
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// Records that found no room in the ring so far.
    pub fn lost(&self) -> u64 {
        self.lost.get(&0, 0).map(|counts| counts.iter().sum()).unwrap_or(0)
    }

    /// How many events a program missed because it was running on that CPU already. Of the two for state changes
    /// one is always free.
    pub fn recursions(&self) -> u64 {
        let nested = self.on.contains(&Hook::SetStateNested);
        let paired = |hook: &Hook| nested && matches!(hook, Hook::SetState | Hook::SetStateNested);
        let programs = self.on.iter().filter(|hook| !paired(hook));
        programs.filter_map(|hook| misses(self.ebpf.program(hook.program())?)).sum()
    }
}

/// As the kernel tells it since 5.12, bpf_prog_show_fdinfo().
fn misses(program: &Program) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", program.fd().ok()?.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}
