//! What a guest runs.

use super::{Kind, arm64};
use crate::{cargo, succeed};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The kernel tests and twtrace as they were built, and the folder that has both without what only a debugger reads.
pub(super) struct Programs {
    tests: PathBuf,
    pub(super) twtrace: PathBuf,
    pub(super) folder: PathBuf,
}

impl Programs {
    /// Builds the kernel tests, and twtrace with them.
    pub(super) fn build(root: &Path, folder: &Path, release: bool, kind: Kind) -> Result<Self> {
        let mut cargo = cargo();
        cargo.args(["test", "--package", "twtrace", "--test", "kernel", "--no-run", "--locked"]);
        cargo.arg("--message-format=json-render-diagnostics").args(release.then_some("--release"));
        let strip = match kind {
            Kind::Own => "strip",
            Kind::Arm64 => {
                arm64::build_with(&mut cargo)?;
                "aarch64-linux-gnu-strip"
            }
        };
        let output = cargo
            .current_dir(root)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo test")?;
        ensure!(output.status.success(), "cannot build the kernel tests: cargo test --test kernel says why");
        let text = String::from_utf8_lossy(&output.stdout);
        let messages: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let built = |name: &str| {
            let mut built = messages.iter().filter(|message| message["target"]["name"] == name);
            let program = built.find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
            program.with_context(|| format!("cargo test does not say where it has put {name}"))
        };
        let programs = Self { tests: built("kernel")?, twtrace: built("twtrace")?, folder: folder.to_owned() };
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (program, name) in [(&programs.tests, "kernel"), (&programs.twtrace, "twtrace")] {
            let mut strip = Command::new(strip);
            strip.arg("--strip-debug").arg("-o").arg(folder.join(name)).arg(program);
            succeed(&mut strip, "take the debugger's part out of the tests")?;
        }
        Ok(programs)
    }
}
