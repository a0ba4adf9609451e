//! Loading the object and attaching its programs.

use super::{
    lanes::Lanes,
    plan::{Hook, NOT_NEEDED, Place, Plan},
    support::Support,
};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Map, MapData, RingBuf},
    programs::{Program, ProgramError, tp_btf::BtfTracePointLink, trace_point::TracePointLink},
};
use std::os::fd::{AsFd as _, AsRawFd as _};
use twtrace_common::{CHUNK, LEVELS, Layout, name};
use zerocopy::IntoBytes;

/// Built by `cargo xtask ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/twtrace.bpf.o");

/// The programs that are on, and the maps they write to. Dropping it takes them off.
pub struct Loaded {
    ebpf: Ebpf,
    links: Vec<Link>,
    lanes: Option<(Lanes, RingBuf<MapData>)>,
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
    /// Bytes of all lanes together: a power of two, and whole pages. Each gets the largest power of two that leaves as
    /// much to the others, and a chunk at least.
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

    let count = lanes().context("cannot tell how many CPUs there may be")?;
    let mut layout = support.layout.clone().unwrap_or_default();
    let chunks = (u64::from(options.ring) / CHUNK / u64::from(count)).max(1);
    layout.lane_shift = u64::from(chunks.ilog2());
    layout.lane_bytes = CHUNK << layout.lane_shift;
    let mut ebpf = open(&layout, count, options)
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
    let lanes = map(&mut ebpf, count, layout.lane_bytes).context("cannot map the lanes")?;
    let doorbell = ebpf.take_map(name::DOORBELL).context("the object has no doorbell")?;
    let doorbell = RingBuf::try_from(doorbell).context("cannot map the doorbell")?;
    Ok(Loaded { ebpf, links, lanes: Some((lanes, doorbell)), off, on })
}

/// A CPU's number is its lanes' place. More of them may be plugged in later.
fn lanes() -> anyhow::Result<u32> {
    let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last: u32 = possible.trim().rsplit(['-', ',']).next().unwrap_or_default().parse()?;
    Ok((last + 1) * LEVELS)
}

fn map(ebpf: &mut Ebpf, count: u32, lane_bytes: u64) -> anyhow::Result<Lanes> {
    let mut array = |name| match ebpf.take_map(name) {
        Some(Map::Array(map)) => Ok(map),
        _ => anyhow::bail!("the object has no array {name}"),
    };
    let (lanes, records) = (array(name::LANES)?, array(name::RECORDS)?);
    Ok(Lanes::map(lanes.fd(), records.fd(), count as usize, lane_bytes)?)
}

fn open(layout: &Layout, lanes: u32, options: Options) -> Result<Ebpf, aya::EbpfError> {
    let level = if options.verbose { u8::MAX } else { 0 };
    let mut ebpf = EbpfLoader::new()
        .override_global(name::LAYOUT, layout.as_bytes(), true)
        .override_global(aya_log::LEVEL, &level, true)
        .map_max_entries(name::LANES, lanes)
        .map_max_entries(name::RECORDS, lanes << layout.lane_shift)
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

    /// The lanes and what wakes their reader, once.
    pub fn take_lanes(&mut self) -> Option<(Lanes, RingBuf<MapData>)> {
        self.lanes.take()
    }

    /// Takes the programs off their hooks. They stay loaded, with their counts.
    pub fn detach(&mut self) {
        self.links.clear();
    }

    /// How many instructions the verifier went through for each program that is on; `None` where the kernel does not
    /// tell it, which is before 5.16.
    pub fn verified(&self) -> Vec<(Hook, Option<u32>)> {
        let count = |hook: Hook| match self.ebpf.program(hook.program())? {
            Program::BtfTracePoint(program) => program.info().ok()?.verified_instruction_count(),
            Program::TracePoint(program) => program.info().ok()?.verified_instruction_count(),
            _ => None,
        };
        self.on.iter().map(|&hook| (hook, count(hook))).collect()
    }

    /// How many events no program saw because one was running on that CPU already. Of those that the program for
    /// state changes missed, its second copy has seen all but those that it missed itself.
    pub fn recursions(&self, lanes: &Lanes) -> u64 {
        // What is missed is counted first, so this is read first.
        let missed = |hook: &Hook| misses(self.ebpf.program(hook.program())?);
        let programs = self.on.iter().filter(|hook| **hook != Hook::SetStateNested);
        let missed: u64 = programs.filter_map(missed).sum();
        missed.saturating_sub(lanes.copied())
    }
}

/// As the kernel tells it since 5.12, bpf_prog_show_fdinfo().
fn misses(program: &Program) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", program.fd().ok()?.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}
