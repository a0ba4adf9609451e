//! What the kernel counts for the BPF programs of a process, and the empty program to hold it against.

use anyhow::{Context, Result};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, loaded_programs},
};
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// Runs and time of one program while the kernel counted them.
#[derive(Clone, Copy, Default)]
pub(super) struct Cost {
    pub(super) runs: u64,
    pub(super) time: Duration,
}

impl Cost {
    pub(super) fn nanoseconds_a_run(&self) -> f64 {
        self.time.as_nanos() as f64 / self.runs.max(1) as f64
    }
}

/// Costs by the program's name.
pub(super) type Costs = BTreeMap<String, Cost>;

/// The ids of the programs that the process `pid` holds.
pub(super) fn held_by(pid: u32) -> Result<Vec<u32>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut ids = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
        // A descriptor may be closed before it is looked at.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        // A link's description names its program too, and what link it is.
        if text.lines().any(|line| line.starts_with("link_type:")) {
            continue;
        }
        ids.extend(text.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse::<u32>().ok()));
    }
    Ok(ids)
}

pub(super) fn costs_of(pid: u32) -> Result<Costs> {
    let ids = held_by(pid)?;
    let mut costs = Costs::new();
    for program in loaded_programs() {
        let program = program.context("cannot list the loaded programs")?;
        if ids.contains(&program.id()) {
            let cost = costs.entry(program.name_as_str().unwrap_or("?").to_owned()).or_default();
            cost.runs += program.run_count();
            cost.time += program.run_time();
        }
    }
    Ok(costs)
}

/// What was added between two readings.
pub(super) fn difference(before: &Costs, after: &Costs) -> Costs {
    let less = |(name, after): (&String, &Cost)| {
        let before = before.get(name).copied().unwrap_or_default();
        let runs = after.runs.saturating_sub(before.runs);
        (name.clone(), Cost { runs, time: after.time.saturating_sub(before.time) })
    };
    after.iter().map(less).collect()
}

/// The object's program that does nothing, attached for as long as the value lives.
pub(super) fn attach_empty(object: &Path) -> Result<Ebpf> {
    let mut ebpf = Ebpf::load_file(object).with_context(|| format!("cannot load {}", object.display()))?;
    let program = ebpf.program_mut("empty").context("the object has no program `empty`")?;
    let program: &mut BtfTracePoint = program.try_into()?;
    let btf = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
    program.load("inet_sock_set_state", &btf).context("cannot load the empty program: needs root")?;
    program.attach().context("cannot attach the empty program")?;
    Ok(ebpf)
}
