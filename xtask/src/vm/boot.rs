//! One boot of a kernel under QEMU, by virtme-ng: this machine's files, read only, and one folder to write to.

use super::archive::Kernel;
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
pub(crate) struct Machine {
    pub(crate) vng: PathBuf,
    pub(crate) kvm: bool,
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

impl Machine {
    /// KVM is used where it carries the kernel, which is tried with this one.
    pub(crate) fn new(vng: PathBuf, kernel: &Kernel, folder: &Path) -> Result<Self> {
        let kvm = File::options().read(true).write(true).open("/dev/kvm").is_ok();
        let mut machine = Self { vng, kvm };
        // A hypervisor below this machine may lend it a /dev/kvm that hangs; it is asked once.
        let hangs = folder.join("kvm-hangs");
        machine.kvm &= !hangs.exists();
        if machine.kvm {
            let trial = folder.join("kvm");
            let errand = Errand { script: "true", folder: &trial, patience: QUICK_START };
            if let Err(error) = machine.run(kernel, &errand) {
                eprintln!("xtask: emulating, since KVM does not carry a guest: {error:#}");
                fs::write(&hangs, "")?;
                machine.kvm = false;
            }
        }
        Ok(machine)
    }

    /// Boots, runs the errand and comes back with its exit status.
    pub(crate) fn run(&self, kernel: &Kernel, errand: &Errand<'_>) -> Result<i32> {
        let folder = errand.folder;
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(folder.join(SCRIPT), self.script(kernel, errand)?)?;
        let mut guest = Guest(self.boot(kernel, folder)?);
        let start = if self.kvm { QUICK_START } else { START };
        let console = folder.join(CONSOLE);
        let (release, console) = (&kernel.release, console.display());
        guest
            .until(start, || folder.join(STARTED).exists())
            .with_context(|| format!("{release} does not come up: see {console}"))?;
        let output = folder.join(OUTPUT);
        guest
            .until(errand.patience, || folder.join(STATUS).exists())
            .with_context(|| format!("{release} has not done its errand: see {} and {console}", output.display()))?;
        let status = fs::read_to_string(folder.join(STATUS))?;
        status.trim().parse().with_context(|| format!("{release} ended its errand with {status:?}"))
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
        let mut vng = Command::new("nice");
        // In a group of its own, to be ended with the QEMU that it starts.
        vng.arg("--adjustment=10").arg(&self.vng).process_group(0);
        vng.args(["--verbose", "--disable-microvm", "--user=root", "--memory=3G", "--cpus=2"]);
        if !self.kvm {
            // An emulated timer on a busy machine is too late for the kernel's check of it (timer_irq_works()).
            vng.args(["--disable-kvm", "--append=no_timer_check"]);
        }
        vng.arg(format!("--rwdir={}", path(folder)?)).arg("--run").arg(kernel.image());
        vng.arg("--").arg(format!("sh {}/{SCRIPT}", path(folder)?));
        vng.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        vng.spawn().with_context(|| format!("cannot start {}", self.vng.display()))
    }
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

/// virtme-ng and its QEMU, ended when dropped.
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
                bail!("virtme-ng has ended with {status}");
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
