//! A guest of another architecture: QEMU emulates an arm64 machine, which virtme-ng could not fill from this one.
//!
//! Debian's packages for arm64 make an initial ramdisk. The checkout, what was built, and what was unpacked are seen
//! at the same paths as here, by 9p.

use super::{
    archive::{Archive, Kernel},
    boot::path,
};
use crate::succeed;
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What this machine needs for it.
pub(super) const PACKAGES: [&str; 4] = ["cpio", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-system-arm"];

/// What the kernel tests call, and what the kernel calls for its modules.
const IN_THE_GUEST: [&str; 3] = ["busybox-static", "iproute2", "kmod"];

/// What the kernel needs to see this machine's files.
const MODULES: [&str; 2] = ["9p", "9pnet_virtio"];

/// Rust's name of it.
const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Has `cargo` build for it, with Rust's own libraries for it, which are a part of the toolchain.
pub(super) fn build_with(cargo: &mut Command) -> Result<()> {
    let there = || {
        let mut rustc = Command::new("rustc");
        let output = rustc.args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null()).output();
        output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
    };
    if !there() {
        let mut rustup = Command::new("rustup");
        succeed(rustup.args(["target", "add", TARGET]), "get Rust's libraries for arm64")?;
    }
    ensure!(there(), "cannot build for arm64 without Rust's libraries: rustup target add {TARGET}");
    cargo.args(["--target", TARGET]).env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    Ok(())
}

/// The machine, without a kernel.
pub(crate) struct Arm64 {
    /// What is its own.
    folder: PathBuf,
    /// What it sees of this machine, and cannot write to.
    shown: Vec<PathBuf>,
}

impl Arm64 {
    pub(super) fn new(archive: &Archive, folder: &Path, shown: Vec<PathBuf>) -> Result<Self> {
        let arm64 = Self { folder: folder.to_owned(), shown };
        if !arm64.files().exists() {
            arm64.unpack(archive).context("cannot get the programs of an arm64 guest")?;
        }
        Ok(arm64)
    }

    fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    fn unpack(&self, archive: &Archive) -> Result<()> {
        let new = self.folder.join("files.new");
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        for name in ["bin", "sbin", "lib"] {
            fs::create_dir_all(new.join("usr").join(name))?;
            symlink(format!("usr/{name}"), new.join(name))?;
        }
        for package in archive.with_what_they_need(&IN_THE_GUEST)? {
            let act = format!("unpack {}", package.display());
            succeed(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&new), &act)?;
        }
        fs::remove_dir_all(new.join("usr/share"))?;
        Ok(fs::rename(new, self.files())?)
    }

    /// QEMU with this kernel, which runs `script` in the guest; that can write to `own` alone.
    pub(super) fn command(&self, kernel: &Kernel, own: &Path, script: &str) -> Result<Command> {
        let mut qemu = Command::new("nice");
        qemu.args([
            "--adjustment=10",
            "qemu-system-aarch64",
            "-machine",
            "virt",
            "-cpu",
            "cortex-a57",
            "-smp",
            "2",
            "-m",
            "3G",
            "-nic",
            "none",
            "-no-reboot",
        ]);
        qemu.args(["-display", "none", "-monitor", "none", "-serial", "stdio"]);
        qemu.args(["-append", "console=ttyAMA0 panic=-1"]).arg("-kernel").arg(kernel.image());
        let mut mounts = String::new();
        let shown = self.shown.iter().map(|folder| (folder.as_path(), "readonly=on", "ro,cache=loose"));
        for (number, (folder, access, options)) in shown.chain([(own, "readonly=off", "rw")]).enumerate() {
            let (tag, folder) = (format!("share{number}"), path(folder)?);
            qemu.arg("-fsdev")
                .arg(format!("local,id={tag},path={folder},security_model=none,multidevs=remap,{access}"));
            qemu.arg("-device").arg(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
            mounts += &format!("mkdir -p {folder}\n");
            mounts += &format!("mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,{options} {tag} {folder}\n");
        }
        mounts += &format!("mount --bind {} /usr/lib/modules\n", path(&kernel.modules())?);
        qemu.arg("-initrd").arg(self.ramdisk(kernel, &format!("{mounts}sh {script}\n"))?);
        Ok(qemu)
    }

    /// The guest's files, and its first process, which does `errand` when it has the kernel's modules.
    fn ramdisk(&self, kernel: &Kernel, errand: &str) -> Result<PathBuf> {
        let (files, ramdisk) = (self.files(), self.folder.join("ramdisk"));
        let modules = files.join("modules");
        if modules.exists() {
            fs::remove_dir_all(&modules)?;
        }
        fs::create_dir(&modules)?;
        let mut init = INIT.to_owned();
        for module in kernel.with_what_they_need(&MODULES)? {
            let name = module.file_name().context("a module without a name")?;
            fs::copy(&module, modules.join(name))?;
            init += &format!("insmod /modules/{}\n", path(Path::new(name))?);
        }
        init += errand;
        init += "poweroff -f\n";
        let first = files.join("init");
        fs::write(&first, init)?;
        fs::set_permissions(&first, fs::Permissions::from_mode(0o755))?;
        let mut pack = Command::new("sh");
        pack.args(["-c", "find . | cpio --quiet --create --format=newc >\"$0\""]).arg(&ramdisk).current_dir(files);
        succeed(&mut pack, "pack an initial ramdisk")?;
        Ok(ramdisk)
    }
}

/// What comes before anything can be done in the guest.
const INIT: &str = "\
#!/usr/bin/busybox sh
export PATH=/usr/sbin:/usr/bin
/usr/bin/busybox --install -s /usr/bin
mkdir -p /boot /dev /proc /run /sys /tmp /usr/lib/modules
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t securityfs securityfs /sys/kernel/security
";
