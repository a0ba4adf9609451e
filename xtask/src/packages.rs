//! Packages by name, of Debian and of PyPI: installs what is missing where that is allowed, names it where it is not.

use crate::{is_root, succeed};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

/// Those of `packages` that are still missing after what could be done about it.
pub(crate) fn ensure<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(missing);
    }
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        eprintln!("xtask: missing: to install it, run as root: {}", command_line(&missing));
        return Ok(missing);
    }
    eprintln!("xtask: {}", command_line(&missing));
    let _services = ServicesHeldBack::new();
    if install(&missing).is_err() {
        // Lists that are missing or old are the usual reason.
        succeed(apt_get().arg("update"), "update the package lists")?;
        if install(&missing).is_err() {
            // One that this release lacks must not keep the others away.
            for package in &missing {
                if let Err(error) = install(&[package]) {
                    eprintln!("xtask: {error:#}");
                }
            }
        }
    }
    Ok(self::missing(&missing))
}

fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    packages.iter().copied().filter(|package| !installed(package)).collect()
}

fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}

// Never at the price of a package that is already there: rustc-web conflicts with rustc.
const INSTALL: [&str; 4] = ["install", "--yes", "--no-remove", "--no-install-recommends"];

fn command_line(packages: &[&str]) -> String {
    format!("apt-get {} {}", INSTALL.join(" "), packages.join(" "))
}

fn install(packages: &[&str]) -> Result<()> {
    let act = format!("install {}", packages.join(", "));
    succeed(apt_get().args(INSTALL).args(packages), &act)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["--quiet=2", "--option=Dpkg::Use-Pty=0"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command
}

/// Keeps packages from starting their services: the tests start their own on free ports.
///
/// Debian asks policy-rc.d before it starts one. A file that is already there is its owner's and stays.
struct ServicesHeldBack;

impl ServicesHeldBack {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn new() -> Option<Self> {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o755).open(Self::POLICY);
        // 101: "action not allowed".
        let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n"));
        written.is_ok().then_some(Self)
    }
}

impl Drop for ServicesHeldBack {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(Self::POLICY) {
            eprintln!("xtask: cannot remove {}: {error}", Self::POLICY);
        }
    }
}

/// A folder that stands in for llvm-dev: `lib/libLLVM.so` as a link to the run-time library.
pub(crate) fn llvm_prefix(folder: &Path, major: &str) -> Result<()> {
    let name = format!("libLLVM.so.{major}.1");
    let library = fs::read_dir("/usr/lib")
        .context("cannot read /usr/lib")?
        .filter_map(|entry| Some(entry.ok()?.path().join(&name)))
        .find(|library| library.exists())
        .with_context(|| format!("cannot find {name}: apt-get install libllvm{major}"))?;
    let lib = folder.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot make {}", lib.display()))?;
    let link = lib.join("libLLVM.so");
    if fs::read_link(&link).is_ok_and(|target| target == library) {
        return Ok(());
    }
    let _ = fs::remove_file(&link);
    symlink(&library, &link).with_context(|| format!("cannot link {}", link.display()))
}

/// A Python of its own with these packages from PyPI, in `folder`; those that could not be had.
///
/// It is made anew only where one of them is missing.
pub(crate) fn python<'a>(folder: &Path, wanted: &[&'a str]) -> Vec<&'a str> {
    let python = folder.join("bin/python");
    let there = || {
        let mut import = Command::new(&python);
        let import = import.args(["-c", &format!("import {}", wanted.join(", "))]).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    };
    if there() {
        return Vec::new();
    }
    eprintln!("xtask: Python packages in {}: {}", folder.display(), wanted.join(" "));
    let made =
        succeed(Command::new("python3").args(["-m", "venv"]).arg(folder), "make a Python environment").and_then(|()| {
            let mut pip = Command::new(&python);
            succeed(pip.args(["-m", "pip", "install", "--quiet"]).args(wanted), "install Python packages")
        });
    if let Err(error) = made {
        eprintln!("xtask: {error:#}");
    }
    if there() { Vec::new() } else { wanted.to_vec() }
}
