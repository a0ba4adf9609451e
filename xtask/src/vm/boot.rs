//! One boot of a kernel under QEMU: this machine's files, read only, and one folder to write to.

use super::{archive::Kernel, arm64::Arm64};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a guest may take until it runs its script: ten times what it takes under emulation on a quiet machine.
const START: Duration = Duration::from_secs(300);

/// The same by hardware, where a kernel that does not come up is tried under emulation.
const QUICK_START: Duration = Duration::from_secs(60);

/// What boots kernels here.
pub(crate) enum Machine<'a> {
    /// This machine's own architecture, with this machine's own files.
    Own {
        vng: PathBuf,
        kvm: bool,
    },
    Arm64(&'a Arm64),
}

/// What to do in the guest, as root.
pub(crate) struct Errand<'a> {
    /// Of the guest's shell. It runs in the checkout.
    pub(crate) script: &'a str,
    /// The only place that the guest can write to; what the script says and the console come here.
    pub(crate) folder: &'a Path,
    /// How long the script may take.
    pub(crate) patience: Duration,
}

/// Files in the folder of an errand.
const SCRIPT: &str = "guest.sh";
const STARTED: &str = "started";
pub(crate) const OUTPUT: &str = "output.txt";
const CONSOLE: &str = "console.txt";
const STATUS: &str = "status";

impl Machine<'_> {
    /// KVM is used where it carries the kernel, which is tried with this one.
    pub(crate) fn own(vng: &Path, kernel: &Kernel, folder: &Path) -> Result<Self> {
        let machine = |kvm| Self::Own { vng: vng.to_owned(), kvm };
        // A hypervisor below this machine may lend it a /dev/kvm that hangs; it is asked once.
        let hangs = folder.join("kvm-hangs");
        let kvm = File::options().read(true).write(true).open("/dev/kvm").is_ok() && !hangs.exists();
        if kvm {
            let trial = folder.join("kvm");
            let errand = Errand { script: "true", folder: &trial, patience: QUICK_START };
            if let Err(error) = machine(true).run(kernel, &errand) {
                eprintln!("xtask: emulating, since KVM does not carry a guest: {error:#}");
                fs::write(&hangs, "")?;
                return Ok(machine(false));
            }
        }
        Ok(machine(kvm))
    }

    pub(crate) fn is_emulated(&self) -> bool {
        !matches!(self, Self::Own { kvm: true, .. })
    }

    /// Boots, runs the errand and comes back with its exit status.
    pub(crate) fn run(&self, kernel: &Kernel, errand: &Errand<'_>) -> Result<i32> {
        let folder = errand.folder;
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(folder.join(SCRIPT), self.script(kernel, errand)?)?;
        let began = Instant::now();
        let mut guest = match self.start(kernel, folder) {
            // Once in a while a kernel stumbles over the code that it patches while it boots, which QEMU's emulation shows it
            // half done. One that does nothing does nothing again.
            Err(error) if self.is_emulated() && began.elapsed() < START / 2 => {
                eprintln!("xtask: once more: {error:#}");
                self.start(kernel, folder)?
            }
            guest => guest?,
        };
        let output = folder.join(OUTPUT);
        guest.until(errand.patience, || folder.join(STATUS).exists()).with_context(|| {
            let (release, console) = (&kernel.release, folder.join(CONSOLE));
            format!("{release} has not done its errand: see {} and {}", output.display(), console.display())
        })?;
        let status = fs::read_to_string(folder.join(STATUS))?;
        status.trim().parse().with_context(|| format!("{} ended its errand with {status:?}", kernel.release))
    }

    /// Boots up to the script.
    fn start(&self, kernel: &Kernel, folder: &Path) -> Result<Guest> {
        let mut guest = Guest(self.boot(kernel, folder)?);
        let patience = if self.is_emulated() { START } else { QUICK_START };
        guest
            .until(patience, || folder.join(STARTED).exists())
            .with_context(|| format!("{} does not come up: see {}", kernel.release, folder.join(CONSOLE).display()))?;
        Ok(guest)
    }

    fn script(&self, kernel: &Kernel, errand: &Errand<'_>) -> Result<String> {
        let folder = path(errand.folder)?;
        let boot = kernel.boot();
        Ok(format!(
            "touch {folder}/{STARTED}\n\
             exec >{folder}/{OUTPUT} 2>&1\n\
             ip link set lo up\n\
             mount --bind {boot} /boot\n\
             mount -t tmpfs tmpfs /tmp\n\
             (\n{script}\n)\n\
             echo $? >{folder}/{STATUS}.new\n\
             sync\n\
             mv {folder}/{STATUS}.new {folder}/{STATUS}\n",
            boot = path(&boot)?,
            script = errand.script,
        ))
    }

    fn boot(&self, kernel: &Kernel, folder: &Path) -> Result<Child> {
        let console = File::create(folder.join(CONSOLE))?;
        let script = folder.join(SCRIPT);
        let mut machine = match self {
            Self::Own { vng, kvm } => virtme(vng, *kvm, kernel, folder, path(&script)?)?,
            Self::Arm64(arm64) => arm64.command(kernel, folder, path(&script)?)?,
        };
        // In a group of its own, to be ended with the QEMU that it starts.
        machine.process_group(0).stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        machine.spawn().with_context(|| format!("cannot start {:?}", machine.get_program()))
    }
}

fn virtme(vng: &Path, kvm: bool, kernel: &Kernel, folder: &Path, script: &str) -> Result<Command> {
    let mut virtme = Command::new("nice");
    virtme.arg("--adjustment=10").arg(vng);
    virtme.args(["--verbose", "--disable-microvm", "--user=root", "--memory=3G", "--cpus=2"]);
    if !kvm {
        // An emulated timer on a busy machine is too late for the kernel's check of it (timer_irq_works()).
        virtme.args(["--disable-kvm", "--append=no_timer_check"]);
    }
    virtme.arg(format!("--rwdir={}", path(folder)?)).arg("--run").arg(kernel.image());
    virtme.arg("--").arg(format!("sh {script}"));
    Ok(virtme)
}

/// In the guest's shell and in virtme-ng's options nothing is quoted.
pub(crate) fn path(path: &Path) -> Result<&str> {
    let text = path.to_str().unwrap_or_default();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._+-".contains(letter);
    if text.is_empty() || !text.chars().all(plain) {
        bail!("cannot give {} to a guest: a checkout in a path of plain letters can", path.display());
    }
    Ok(text)
}

/// QEMU and what has started it, ended when dropped.
struct Guest(Child);

impl Guest {
    /// Waits until it is so.
    fn until(&mut self, patience: Duration, so: impl Fn() -> bool) -> Result<()> {
        let give_up = Instant::now() + patience;
        loop {
            let over = self.0.try_wait()?;
            if so() {
                return Ok(());
            }
            if let Some(status) = over {
                bail!("the guest has ended with {status}");
            }
            ensure!(Instant::now() < give_up, "not in {patience:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // What it was for is in its folder, whatever becomes of it; already gone is as good.
        let _gone = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _gone = self.0.wait();
    }
}
