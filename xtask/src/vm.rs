//! The kernel tests on other kernels: gets stock Debian kernels, boots each in QEMU, and runs the tests in it.
//!
//! The guest sees this machine's files, so what runs there is what was built here. Everything is kept in target/vm.

mod archive;
mod arm64;
mod boot;
mod programs;

use crate::{packages, root, target, test::verdict};
use anyhow::{Context as _, Result, ensure};
use archive::Archive;
use arm64::Arm64;
use boot::{Errand, Machine};
use programs::Programs;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

/// What twtrace is to be right on: the oldest, three that were long about, and the newest.
const MATRIX: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", "newest"];

/// What every guest takes, and what one of this machine's architecture takes.
const PACKAGES: [&str; 2] = ["binutils", "kmod"];
const OWN_PACKAGES: [&str; 4] = ["busybox-static", "iproute2", "python3-venv", "qemu-system-x86"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The beginnings of versions, such as 6.1, or `newest`
    #[arg(value_name = "KERNEL", default_values = MATRIX)]
    kernels: Vec<String>,
    /// Only scenarios whose name has this in it, such as `late_fin` or `::exact`; `!NAME` leaves one out
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    scenario: Vec<String>,
    /// What CI has the time for: a few scenarios on the oldest and the newest kernel, and no failure where none can boot
    #[arg(long, conflicts_with_all = ["kernels", "scenario", "arch"])]
    short: bool,
    /// Emulate a machine of another architecture than this one's
    #[arg(long)]
    arch: Option<Architecture>,
    /// Confine the guest's kernel
    #[arg(long)]
    lockdown: Option<Lockdown>,
    /// Build twtrace for speed: an emulated guest is slow enough, and the build takes longer
    #[arg(long)]
    release: bool,
    /// Add what is reported to the tables in twtrace/tests/matrix, which it is held against otherwise
    #[arg(long)]
    table: bool,
    /// How long the tests on one kernel may take
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    patience: u64,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Lockdown {
    Integrity,
    Confidentiality,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Architecture {
    Arm64,
}

/// A guest's kind of machine.
#[derive(Clone, Copy)]
enum Kind {
    /// This machine's own.
    Own,
    Arm64,
}

/// What came of one kernel.
struct Outcome {
    kernel: String,
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
}

/// What a guest brings, in the folder of its run.
const TABLES: &str = "tables";
const RECORDINGS: &str = "recordings";

/// A scenario for each mechanism, of those that do not depend on how fast the machine is.
const SHORT: [&str; 4] = ["programs", "late_fin::exact", "late_fin::sock_diag", "taken_over_by_a_syn::exact"];

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.short {
        return run_short();
    }
    let kind = match arguments.arch {
        Some(Architecture::Arm64) if archive::OWN != "arm64" => Kind::Arm64,
        _ => Kind::Own,
    };
    let lab = Lab::new(kind, arguments.release)?;
    let mut good = true;
    for wanted in &arguments.kernels {
        // The others may boot.
        good &= match lab.test(wanted, arguments) {
            Ok(outcome) => outcome.show(),
            Err(error) => {
                println!("failed on {wanted}: {error:#}");
                false
            }
        };
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A machine on which nothing can be booted, or not in time, says nothing of twtrace: that is a skip, with its reason.
fn run_short() -> Result<ExitCode> {
    let scenario = SHORT.map(str::to_owned).to_vec();
    let arguments = Arguments {
        kernels: Vec::new(),
        scenario,
        short: true,
        release: false,
        arch: None,
        lockdown: None,
        table: false,
        patience: 6,
    };
    let lab = Lab::new(Kind::Own, false);
    let mut good = true;
    for wanted in [MATRIX[0], MATRIX[MATRIX.len() - 1]] {
        let test = || match &lab {
            Ok(lab) => lab.test(wanted, &arguments),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        match test() {
            // Under emulation, on a busy machine, a second may be a minute; what is wrong is wrong again.
            Ok(outcome) => good &= outcome.show() || test().is_ok_and(|outcome| outcome.show()),
            Err(error) => println!("skipped: vm::{wanted}: {error:#}"),
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What kernels are booted with and tested by.
struct Lab {
    root: PathBuf,
    folder: PathBuf,
    archive: Archive,
    programs: Programs,
    boots: Boots,
}

/// What boots kernels.
enum Boots {
    Virtme(PathBuf),
    Arm64(Arm64),
}

impl Lab {
    fn new(kind: Kind, release: bool) -> Result<Self> {
        let root = root()?;
        let target = target(&root);
        ensure!(!target.starts_with("/tmp"), "a guest has a /tmp of its own, and cannot see {}", target.display());
        let (own, architecture) = match kind {
            Kind::Own => (&OWN_PACKAGES, archive::OWN),
            Kind::Arm64 => (&arm64::PACKAGES, "arm64"),
        };
        let missing = packages::ensure(&[&PACKAGES[..], own].concat())?;
        ensure!(missing.is_empty(), "cannot boot a kernel without {0}: apt-get install {0}", missing.join(" "));
        let folder = match kind {
            Kind::Own => target.join("vm"),
            Kind::Arm64 => target.join("vm/arm64"),
        };
        let archive = Archive::open(&folder, architecture)?;
        let boots = match kind {
            Kind::Own => Boots::Virtme(virtme_ng(&folder)?),
            Kind::Arm64 => Boots::Arm64(Arm64::new(&archive, &folder, vec![root.clone(), target])?),
        };
        let programs = Programs::build(&root, &folder.join("programs"), release, kind)?;
        Ok(Self { root, folder, archive, programs, boots })
    }

    fn test(&self, wanted: &str, arguments: &Arguments) -> Result<Outcome> {
        let kernel = self.archive.kernel(wanted)?;
        let machine = match &self.boots {
            Boots::Virtme(vng) => Machine::own(vng, &kernel, &self.folder)?,
            Boots::Arm64(arm64) => Machine::Arm64(arm64),
        };
        let name = match arguments.lockdown {
            Some(lockdown) => format!("{} in {} lockdown", kernel.release, lockdown.name()),
            None => kernel.release.clone(),
        };
        let how = if machine.is_emulated() { "emulated" } else { "by KVM" };
        eprintln!("xtask: the kernel tests on {name}, {how}");
        let folder = self.folder.join("runs").join(name.replace(' ', "-"));
        let script = self.script(
            arguments,
            &name_of_tables(&kernel.release, arguments.lockdown),
            &folder,
            machine.is_emulated(),
        )?;
        let errand =
            Errand { script: &script, folder: &folder, patience: Duration::from_secs(arguments.patience * 60) };
        let began = Instant::now();
        let status = machine.run(&kernel, &errand)?;
        if arguments.table {
            copy(&folder.join(TABLES), &self.tables())?;
        }
        let output = fs::read(folder.join(boot::OUTPUT))?;
        let outcome = Outcome::read(name.clone(), &String::from_utf8_lossy(&output), status);
        eprintln!("xtask: {name} took {:.0} s", began.elapsed().as_secs_f64());
        eprintln!("xtask: the console, what the tests said, and their recordings are in {}", folder.display());
        Ok(outcome)
    }
}

impl Lab {
    /// What is to be reported on each kernel.
    fn tables(&self) -> PathBuf {
        self.root.join("twtrace/tests/matrix")
    }

    /// What the guest does; it can write to `own` alone.
    fn script(&self, arguments: &Arguments, tables: &str, own: &Path, emulated: bool) -> Result<String> {
        let Programs { twtrace, folder, .. } = &self.programs;
        // From memory: the guest reads this machine's files slowly, and a build beside it may replace them.
        let mut script = format!(
            "cp {folder}/* /tmp && mount --bind /tmp/twtrace {twtrace} || exit\ncd {tests}\n",
            folder = boot::path(folder)?,
            twtrace = boot::path(twtrace)?,
            tests = boot::path(&self.root.join("twtrace"))?
        );
        if let Some(lockdown) = arguments.lockdown {
            script += &format!("echo {} >/sys/kernel/security/lockdown || exit\n", lockdown.name());
        }
        let scenarios = arguments.scenario.join(",");
        if !scenarios.is_empty() {
            script += &format!("export TWTRACE_SCENARIOS='{}'\n", scenarios.replace('\'', ""));
        }
        if emulated {
            script += "export TWTRACE_SLACK=3000\n";
        }
        let recordings = own.join(RECORDINGS);
        let recordings = boot::path(&recordings)?;
        script += &format!("mkdir {recordings} && export TWTRACE_RECORDINGS={recordings} || exit\n");
        if arguments.table {
            let (new, old) = (own.join(TABLES), self.tables());
            let (new, old) = (boot::path(&new)?, boot::path(&old)?);
            script += &format!("mkdir {new} && export TWTRACE_MATRIX={new} || exit\ncp {old}/{tables}.* {new}\n");
        }
        script += "/tmp/kernel";
        Ok(script)
    }
}

impl Lockdown {
    fn name(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
        }
    }
}

impl Outcome {
    /// Whether all is well.
    fn show(&self) -> bool {
        let Self { kernel, passed, failed, skipped } = self;
        for name in failed {
            println!("failed on {kernel}: {name}");
        }
        println!("{kernel}: {passed} passed, {} failed, {skipped} skipped", failed.len());
        failed.is_empty()
    }

    /// From what the tests print.
    fn read(kernel: String, output: &str, status: i32) -> Self {
        let mut outcome = Self { kernel, passed: 0, failed: Vec::new(), skipped: 0 };
        for (name, verdict) in output.lines().filter_map(verdict) {
            match verdict.split_whitespace().next() {
                Some("ok") => outcome.passed += 1,
                Some("ignored") => outcome.skipped += 1,
                _ => outcome.failed.push(name.to_owned()),
            }
        }
        // One that finds out in the middle that it cannot be played ends well, and says so.
        let skips = output.lines().filter(|line| line.starts_with("skipped: ")).count();
        outcome.passed -= skips.saturating_sub(outcome.skipped).min(outcome.passed);
        outcome.skipped = outcome.skipped.max(skips);
        if status != 0 && outcome.failed.is_empty() {
            // A tracer's run as a whole, say.
            outcome.failed.push(format!("the tests ended with status {status}"));
        }
        outcome
    }
}

/// The kernel's version, its architecture if it is another, and its lockdown if it is in one: as the tests name their
/// tables.
fn name_of_tables(release: &str, lockdown: Option<Lockdown>) -> String {
    let version: Vec<&str> = release.split('.').take(2).collect();
    let architecture = if release.ends_with("-arm64") { "-aarch64" } else { "" };
    let lockdown = lockdown.map(|lockdown| format!("-{}", lockdown.name())).unwrap_or_default();
    format!("{}{architecture}{lockdown}", version.join("."))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// The machine's own virtme-ng, or one from PyPI.
fn virtme_ng(folder: &Path) -> Result<PathBuf> {
    let works = |program: &Path| {
        let mut version = Command::new(program);
        version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    let own = folder.join("python");
    let (installed, got) = (PathBuf::from("vng"), own.join("bin/vng"));
    if works(&installed) {
        return Ok(installed);
    }
    if !works(&got) {
        packages::python(&own, &["virtme_ng"]);
    }
    ensure!(works(&got), "cannot boot a kernel without virtme-ng: pip install virtme-ng");
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn results_are_read_by_name() {
        let output = "\nrunning 4 tests\ntest a::hook  ... ok\ntest b::exact ... FAILED\ntest c::hook ... ignored\n\
                      test d::hook  ... ok\n---- b::exact ----\nit is not so\n\
                      skipped: kernel::c::hook: needs root\nskipped: kernel::d::hook: not on this kernel\n";
        let outcome = Outcome::read("6.1".to_owned(), output, 101);
        assert_eq!((outcome.passed, outcome.skipped), (1, 2));
        assert_eq!(outcome.failed, ["b::exact"]);
        // Nothing failed by name, and it failed.
        assert_eq!(Outcome::read("6.1".to_owned(), "test a ... ok\n", 1).failed.len(), 1);
    }
}
