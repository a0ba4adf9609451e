//! The compiler and the linker of the eBPF object: finds them, or gets them into the target folder.
//!
//! Debian's rustc-web with its built `core` for BPF makes the bytes that are compared. A nightly with rust-src
//! makes a working object too, but other bytes.

use crate::{cargo, packages, succeed, target};
use anyhow::{Context, Result, bail, ensure};
use std::{
    env,
    ffi::OsString,
    fmt,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// libLLVM comes with the compiler, which depends on it.
const PACKAGES: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const BPF_LINKER: &str = "0.13.0";

/// What to build the object with.
pub(crate) struct Compiler {
    rustc: PathBuf,
    /// The cargo that builds `core` too, where the compiler brings none for BPF.
    build_std: Option<PathBuf>,
    /// The folder of bpf-linker, which rustc looks for on PATH.
    linker: Option<PathBuf>,
    pub(crate) version: Version,
}

/// What decides over the object's bytes; kept beside it.
#[derive(PartialEq, Eq)]
pub(crate) struct Version(String);

impl Version {
    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Compiler {
    pub(crate) fn find(root: &Path) -> Result<Self> {
        if packages::ensure(&PACKAGES)?.is_empty() {
            return Self::debian(root);
        }
        Self::nightly().context(
            "cannot find a compiler for BPF: install Debian's rustc-web and libstd-rust-web-dev-bpf \
             (as root, see above), or a nightly: rustup toolchain install nightly --component rust-src, \
             and bpf-linker on PATH",
        )
    }

    fn debian(root: &Path) -> Result<Self> {
        let rustc = PathBuf::from(DEBIAN_RUSTC);
        let (name, llvm) = describe(&rustc)?;
        let major = llvm.split('.').next().unwrap_or_default();
        let linker = install_linker(&target(root).join("xtask"), major)?;
        let version = Version(format!("{name}, LLVM {llvm}, bpf-linker {BPF_LINKER}"));
        Ok(Self { rustc, build_std: None, linker: Some(linker), version })
    }

    fn nightly() -> Result<Self> {
        let output = Command::new("rustup").args(["which", "--toolchain=nightly", "rustc"]).output()?;
        ensure!(output.status.success(), "no nightly toolchain");
        let rustc = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        let sysroot = rustc.ancestors().nth(2).context("rustc is in no sysroot")?;
        let source = sysroot.join("lib/rustlib/src/rust/library/core");
        ensure!(source.exists(), "the nightly toolchain has no rust-src");
        let linker = Command::new("bpf-linker").arg("--version").output().context("no bpf-linker on PATH")?;
        let linker = String::from_utf8(linker.stdout)?;
        let (name, llvm) = describe(&rustc)?;
        let version = Version(format!("{name}, LLVM {llvm}, {}", linker.trim()));
        eprintln!("xtask: Debian's compiler is not here, so {version} builds: its bytes cannot be compared");
        Ok(Self { build_std: Some(rustc.with_file_name("cargo")), rustc, linker: None, version })
    }

    /// `cargo build` with this compiler and none of the user's settings.
    pub(crate) fn cargo_build(&self) -> Result<Command> {
        let mut build = match &self.build_std {
            Some(nightly) => {
                let mut build = Command::new(nightly);
                build.args(["build", "-Zbuild-std=core"]);
                build
            }
            None => {
                let mut build = cargo();
                // aya-ebpf uses one unstable feature, which does exist in a stable compiler.
                build.arg("build").env("RUSTC_BOOTSTRAP", "aya_ebpf");
                build
            }
        };
        for name in ["RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
            build.env_remove(name);
        }
        build
            .env("RUSTC", &self.rustc)
            .env("RUSTC_WRAPPER", env::current_exe().context("cannot tell where xtask itself is")?)
            .env(WRAP, "1");
        if let Some(linker) = &self.linker {
            let path = env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(linker.clone()).chain(env::split_paths(&path));
            build.env("PATH", env::join_paths(folders).context("cannot put bpf-linker on PATH")?);
        }
        Ok(build)
    }
}

/// The compiler's name with its version, and the version of its LLVM.
fn describe(rustc: &Path) -> Result<(String, String)> {
    let output = Command::new(rustc)
        .args(["--version", "--verbose"])
        .output()
        .with_context(|| format!("cannot run {}", rustc.display()))?;
    let text = String::from_utf8(output.stdout)?;
    let Some(name) = text.lines().next() else { bail!("{} has no version", rustc.display()) };
    let llvm = text.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    Ok((name.to_owned(), llvm.context("rustc names no LLVM version")?.to_owned()))
}

/// Installs bpf-linker under `folder` for the compiler's LLVM, once; gives its folder.
fn install_linker(folder: &Path, llvm: &str) -> Result<PathBuf> {
    let installed = folder.join(format!("bpf-linker-{BPF_LINKER}-llvm-{llvm}"));
    let bin = installed.join("bin");
    let works = Command::new(bin.join("bpf-linker"))
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if works {
        return Ok(bin);
    }
    let prefix = folder.join("llvm");
    packages::llvm_prefix(&prefix, llvm)?;
    let build = folder.join("bpf-linker-build");
    succeed(
        cargo()
            .args(["install", "bpf-linker", "--locked", "--quiet", "--force", "--no-default-features"])
            .arg(format!("--version={BPF_LINKER}"))
            .arg(format!("--features=llvm-{llvm}"))
            .arg("--root")
            .arg(&installed)
            .arg("--target-dir")
            .arg(&build)
            .env("LLVM_PREFIX", &prefix)
            .env_remove("RUSTC"),
        "install bpf-linker",
    )?;
    let _ = std::fs::remove_dir_all(build);
    Ok(bin)
}

/// Set where cargo is to call this program in rustc's stead.
const WRAP: &str = "TWTRACE_XTASK_WRAPS_RUSTC";

pub(crate) fn is_rustc_wrapper() -> bool {
    env::var_os(WRAP).is_some()
}

/// Calls rustc with metadata that only the crate's name and version decide.
///
/// Cargo derives it from the checkout's folder too, and so would the order and names of the object's symbols.
pub(crate) fn wrap_rustc() -> ExitCode {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let for_bpf = arguments.iter().any(|argument| argument == "bpfel-unknown-none");
    let name = arguments
        .iter()
        .position(|argument| argument == "--crate-name")
        .and_then(|place| arguments.get(place + 1)?.to_str().map(str::to_owned));
    if let (true, Some(name)) = (for_bpf, name) {
        let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
        for argument in &mut arguments {
            if argument.as_encoded_bytes().starts_with(b"metadata=") {
                *argument = format!("metadata={name}-{version}").into();
            }
        }
    }
    let Some((rustc, arguments)) = arguments.split_first() else {
        eprintln!("xtask: {WRAP} is set, which only `cargo xtask ebpf` may do");
        return ExitCode::FAILURE;
    };
    let error = Command::new(rustc).args(arguments).exec();
    eprintln!("xtask: cannot run {}: {error}", rustc.display());
    ExitCode::FAILURE
}
