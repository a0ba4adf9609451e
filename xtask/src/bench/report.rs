//! The table that a person reads.

use anyhow::Result;
use std::{fs, thread};

/// What a figure is held to: the bar and the figure.
#[derive(Clone, Copy)]
pub(super) enum Bar {
    AtMost(f64, f64),
    AtLeast(f64, f64),
}

impl Bar {
    fn describe(self) -> String {
        let (sign, bar, met) = match self {
            Self::AtMost(bar, figure) => ("<=", bar, figure <= bar),
            Self::AtLeast(bar, figure) => (">=", bar, figure >= bar),
        };
        format!("{sign} {bar}  {}", if met { "ok" } else { "MISSED" })
    }
}

pub(super) struct Report {
    missed: usize,
    held: usize,
}

impl Report {
    /// Opens with the machine, without which no figure means anything.
    pub(super) fn new() -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let cpus = thread::available_parallelism()?;
        println!("Linux {}, {cpus} CPUs, load {} at the start", kernel.trim(), load()?);
        Ok(Self { missed: 0, held: 0 })
    }

    pub(super) fn heading(&self, text: &str) {
        println!("\n{text}");
    }

    pub(super) fn note(&self, text: &str) {
        println!("note: {text}");
    }

    pub(super) fn line(&mut self, name: &str, figure: &str, bar: Option<Bar>) {
        let described = bar.map(Bar::describe).unwrap_or_default();
        self.held += usize::from(bar.is_some());
        self.missed += usize::from(described.ends_with("MISSED"));
        println!("{}", format!("  {name:<28} {figure:<36} {described}").trim_end());
    }

    pub(super) fn end(&self) {
        println!("\n{} of {} bars met", self.held - self.missed, self.held);
    }
}

/// Processes that want a CPU, over the last minute: others than those measured spoil the figures.
fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(load.split(' ').next().unwrap_or_default().to_owned())
}
