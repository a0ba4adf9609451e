//! What `doctor` found out, for a person or as one JSON object.
//!
//! Prints and judges nothing: the report comes ready.

use super::format::{duration, one_line};
use serde::Serialize;
use std::io::{self, Write};

/// Raised when a field is renamed, retyped or dropped.
const SCHEMA: u32 = 1;

/// What this kernel, these privileges and these sysctls allow. What is not known is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether `watch` can run.
    pub watch: Verdict,
    /// What to change for more, the most important first.
    pub advice: Vec<String>,
    /// `uname -r`.
    pub kernel: String,
    /// `none`, `integrity` or `confidentiality`.
    pub lockdown: Option<String>,
    /// The kernel's types, and with them what a socket says of itself.
    pub btf: Access,
    /// The list of classic tracepoints.
    pub tracefs: Access,
    /// The socket table of our own network namespace.
    pub socket_table: Access,
    /// Network namespaces.
    pub namespaces: Namespaces,
    /// Processes; `None` where /proc cannot be read.
    pub processes: Option<Processes>,
    /// What runs containers and services here; `None` where /proc cannot be read.
    pub runtimes: Option<Vec<RuntimeLine>>,
    /// What can be said on TIME_WAIT.
    pub time_wait: TimeWait,
    /// Every hook that there is, in the order of importance.
    pub hooks: Vec<HookLine>,
    /// The capabilities that count.
    pub capabilities: Vec<CapabilityLine>,
    /// The settings that count for TIME_WAIT, in our own network namespace.
    pub sysctls: Vec<SysctlLine>,
    /// Local ports for outgoing connections; `None` where the settings cannot be read.
    pub ports: Option<Ports>,
}

/// Whether something works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// It does.
    pub runs: bool,
    /// Why not.
    pub reason: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
}

/// Whether something can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Access {
    /// It can.
    pub readable: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Network namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Namespaces {
    /// How many were found.
    pub found: usize,
    /// Of how many the socket table can be read.
    pub readable: usize,
    /// No process hides the one that it is in.
    pub whole: bool,
}

/// Processes and their descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Processes {
    /// How many there are, kernel threads among them.
    pub found: usize,
    /// Of how many the descriptors cannot be read.
    pub unreadable: usize,
}

/// A container runtime, or systemd with its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RuntimeLine {
    /// `docker`, `containerd`, `cri-o`, `podman`, `kubernetes`, `systemd`.
    pub runtime: &'static str,
    /// How many it runs.
    pub containers: usize,
    /// Processes in them.
    pub processes: usize,
}

/// What can be said on TIME_WAIT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimeWait {
    /// The finest that the kernel tells of time left.
    pub jiffy_ns: u64,
    /// As `watch` is.
    pub default: Option<Grade>,
    /// With `--exact`.
    pub exact: Option<Grade>,
}

/// How good a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grade {
    /// As `--tier` takes it.
    pub tier: &'static str,
    /// As in `attached`.
    pub precision: &'static str,
    /// In words.
    pub means: String,
}

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookLine {
    /// As the kernel's: `tp_btf/inet_sock_set_state`.
    pub name: &'static str,
    /// What is missing without it.
    pub gives: &'static str,
    /// As `watch` is.
    pub default: Switch,
    /// With `--exact`.
    pub exact: Switch,
}

/// On or off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Switch {
    /// It was attached.
    pub on: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// A capability of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CapabilityLine {
    /// `CAP_BPF`
    pub name: &'static str,
    /// It is effective.
    pub held: bool,
    /// Another that is effective and does as well.
    pub covered_by: Option<&'static str>,
    /// What is lost without it.
    pub lost_without: &'static str,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SysctlLine {
    /// `net.ipv4.tcp_tw_reuse`
    pub name: &'static str,
    /// As the kernel prints it.
    pub value: Option<String>,
    /// What it does today.
    pub means: String,
}

/// Local ports for connections to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// `ip_local_port_range`
    pub first: u16,
    /// The last that is taken.
    pub last: u16,
    /// How many of them are reserved.
    pub reserved: u32,
    /// How many are left.
    pub pool: u32,
    /// Connections a second to one address and port, with each port in TIME_WAIT for as long as the kernel's timer may
    /// take.
    pub rate_low: u32,
    /// The same with each one for 60 s exactly.
    pub rate_high: u32,
    /// The longest that a TIME_WAIT may last undisturbed.
    pub longest_time_wait_ns: u64,
}

/// One JSON object on a line.
pub fn json(out: &mut impl Write, report: &Report) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        schema: u32,
        version: &'static str,
        #[serde(flatten)]
        report: &'a Report,
    }
    let line = Line { kind: "doctor", schema: SCHEMA, version: env!("CARGO_PKG_VERSION"), report };
    let mut text = serde_json::to_vec(&line)?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()
}

/// For a person.
pub fn text(out: &mut impl Write, report: &Report) -> io::Result<()> {
    verdict(out, report)?;
    facts(out, report)?;
    hooks(out, report)?;
    capabilities(out, report)?;
    sysctls(out, report)?;
    out.flush()
}

fn verdict(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Verdict { runs, reason, remedy } = &report.watch;
    if *runs {
        writeln!(out, "watch can run")?;
    } else {
        writeln!(out, "watch cannot run: {}", one_line(reason.as_deref().unwrap_or("unknown")))?;
        if let Some(remedy) = remedy {
            writeln!(out, "to change: {}", one_line(remedy))?;
        }
    }
    for advice in &report.advice {
        writeln!(out, "for more: {}", one_line(advice))?;
    }
    writeln!(out)
}

fn facts(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { kernel, lockdown, namespaces, time_wait, .. } = report;
    writeln!(out, "kernel         {}", one_line(kernel))?;
    writeln!(
        out,
        "lockdown       {}",
        lockdown.as_deref().map_or("not readable: no /sys/kernel/security/lockdown here".to_owned(), one_line)
    )?;
    for (name, access) in [("BTF", &report.btf), ("tracefs", &report.tracefs), ("socket table", &report.socket_table)] {
        writeln!(out, "{name:<14} {}", access.reason.as_deref().map_or("readable".to_owned(), one_line))?;
    }
    let hiding = if namespaces.whole { "" } else { "; some processes hide theirs" };
    let Namespaces { found, readable, .. } = namespaces;
    writeln!(out, "namespaces     socket tables of {readable} of {found} readable{hiding}")?;
    match report.processes {
        Some(Processes { found, unreadable }) => {
            writeln!(out, "processes      descriptors of {unreadable} of {found} not readable")?;
        }
        None => writeln!(out, "processes      not readable")?,
    }
    writeln!(out, "containers     {}", runtimes(report.runtimes.as_deref()))?;
    writeln!(out, "jiffy          {}", jiffy(time_wait.jiffy_ns))?;
    writeln!(out, "TIME_WAIT      {}", grade(time_wait.default.as_ref()))?;
    writeln!(out, "  with --exact {}", grade(time_wait.exact.as_ref()))
}

/// `docker: 3 with 12 processes; systemd: 1 with 1 process`
fn runtimes(runtimes: Option<&[RuntimeLine]>) -> String {
    let word = |line: &RuntimeLine| {
        let RuntimeLine { runtime, containers, processes } = line;
        format!("{runtime}: {containers} with {processes} process{}", if *processes == 1 { "" } else { "es" })
    };
    match runtimes {
        None => "not readable".to_owned(),
        Some([]) => "no runtime seen".to_owned(),
        Some(lines) => lines.iter().map(word).collect::<Vec<_>>().join("; "),
    }
}

/// `4 ms (HZ=250)`
fn jiffy(nanos: u64) -> String {
    let hertz = 1_000_000_000_u64.checked_div(nanos).unwrap_or(0);
    format!("{} ms (HZ={hertz})", nanos as f64 / 1e6)
}

fn grade(grade: Option<&Grade>) -> String {
    match grade {
        Some(Grade { tier, precision, means }) => format!("tier {tier}, precision {precision}: {means}"),
        None => "nothing can be traced".to_owned(),
    }
}

fn hooks(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "\n{:<39} {:<7} --exact gives", "hooks", "default")?;
    let shown = |switch: &Switch| if switch.on { "on" } else { "off" };
    for HookLine { name, gives, default, exact } in &report.hooks {
        writeln!(out, "  {name:<37} {:<7} {:<7} {gives}", shown(default), shown(exact))?;
        for reason in [&default.reason, &exact.reason].into_iter().flatten().take(1) {
            writeln!(out, "      off: {}", one_line(reason))?;
        }
        if let (Some(first), Some(second)) = (&default.reason, &exact.reason)
            && first != second
        {
            writeln!(out, "      off with --exact: {}", one_line(second))?;
        }
    }
    Ok(())
}

fn capabilities(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "\ncapabilities")?;
    for line in &report.capabilities {
        let state = match (line.held, line.covered_by) {
            (true, _) => "held".to_owned(),
            (false, Some(other)) => format!("missing, but {other} does as well"),
            (false, None) => format!("missing: {}", line.lost_without),
        };
        writeln!(out, "  {:<19} {state}", line.name)?;
    }
    Ok(())
}

fn sysctls(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "\nsysctls of this network namespace")?;
    for SysctlLine { name, value, means } in &report.sysctls {
        let name = name.rsplit('.').next().unwrap_or(name);
        let value = match value.as_deref() {
            None => "(not there)".to_owned(),
            Some("") => "(empty)".to_owned(),
            Some(value) => one_line(value),
        };
        writeln!(out, "  {name} {value}: {means}")?;
    }
    writeln!(out, "\nports for outgoing connections")?;
    let Some(ports) = report.ports else {
        return writeln!(out, "  not known");
    };
    let Ports { first, last, reserved, pool, rate_low, rate_high, longest_time_wait_ns } = ports;
    writeln!(out, "  {pool} a destination (address and port): {first}-{last}, less {reserved} reserved")?;
    writeln!(
        out,
        "  so {rate_low} to {rate_high} connections a second to one, where this end closes first and no port is reused:\n  \
         each stays in TIME_WAIT for 60 s to {}",
        duration(longest_time_wait_ns)
    )
}
