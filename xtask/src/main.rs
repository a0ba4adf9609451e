//! What Cargo does not do: `cargo xtask ebpf`, `test`, `vm` and `bench`.

mod bench;
mod compiler;
mod ebpf;
mod packages;
mod test;
mod vm;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build twtrace/bpf/twtrace.bpf.o from twtrace-ebpf
    Ebpf(ebpf::Arguments),
    /// Run every check and test there is; the last line counts them
    Test,
    /// Run the kernel tests on other kernels, in QEMU
    Vm(vm::Arguments),
    /// Measure what twtrace costs, beside its peers (needs root)
    Bench(bench::Arguments),
    /// The load that `bench` makes
    #[command(hide = true)]
    Flood(bench::flood::Arguments),
    /// The sockets that `bench states` counts
    #[command(hide = true)]
    Crowd(bench::crowd::Arguments),
}

fn main() -> ExitCode {
    if compiler::is_rustc_wrapper() {
        return compiler::wrap_rustc();
    }
    let done = match Arguments::parse().task {
        Task::Ebpf(arguments) => ebpf::run(&arguments),
        Task::Test => test::run(),
        Task::Vm(arguments) => vm::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Flood(arguments) => bench::flood::run(&arguments),
        Task::Crowd(arguments) => bench::crowd::run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout's folder.
fn root() -> Result<PathBuf> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .context("cannot tell where the checkout is: start this with `cargo xtask`")?;
    let xtask = PathBuf::from(manifest);
    let root = xtask.parent().context("xtask has no parent folder")?;
    Ok(root.to_path_buf())
}

/// Where this crate keeps what it gets and builds; nothing is kept outside the checkout.
fn target(root: &Path) -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(target) => root.join(target),
        None => root.join("target"),
    }
}

/// The cargo that runs this.
fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs `command` to its end; anything but success is an error that names `act`.
fn succeed(command: &mut Command, act: &str) -> Result<()> {
    let status =
        command.status().with_context(|| format!("cannot {act}: {:?} does not start", command.get_program()))?;
    anyhow::ensure!(status.success(), "cannot {act}: {command:?} ended with {status}");
    Ok(())
}
