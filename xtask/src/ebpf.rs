//! Builds the eBPF object that twtrace carries, and proves that the one in the checkout is what its source says.

use crate::{
    cargo,
    compiler::{Compiler, Version},
    root, succeed, target,
};
use anyhow::{Context, Result, ensure};
use object::{Object as _, ObjectSection as _};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(crate) const OBJECT: &str = "twtrace/bpf/twtrace.bpf.o";
const COMPILER: &str = "twtrace/bpf/compiler.txt";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build it beside, and fail when the one in the checkout differs by a byte
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = root()?;
    let compiler = Compiler::find(&root)?;
    let built = build(&root, &compiler)?;
    let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    if arguments.check {
        return check(&root, &compiler.version, &bytes);
    }
    let object = root.join(OBJECT);
    fs::write(&object, &bytes).with_context(|| format!("cannot write {}", object.display()))?;
    let text = format!("{}\n", compiler.version);
    fs::write(root.join(COMPILER), text).with_context(|| format!("cannot write {COMPILER}"))?;
    println!("{OBJECT}: {} bytes, by {}", bytes.len(), compiler.version);
    Ok(ExitCode::SUCCESS)
}

fn build(root: &Path, compiler: &Compiler) -> Result<PathBuf> {
    let source = root.join("twtrace-ebpf");
    // First, so that the folders below are there to be named.
    succeed(cargo().args(["fetch", "--locked", "--quiet"]).current_dir(&source), "fetch the eBPF crates")?;
    let output = target(root).join("xtask/ebpf");
    let mut build = compiler.cargo_build()?;
    build
        .args(["--locked", "--quiet", "--release", "--target=bpfel-unknown-none", "--target-dir"])
        .arg(&output)
        .current_dir(&source)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(root, &source)?.join("\u{1f}"));
    succeed(&mut build, "build the eBPF object")?;
    Ok(output.join("bpfel-unknown-none/release/twtrace-ebpf"))
}

/// No debug information, so no BTF: twtrace reads the kernel's own, and no program here needs one of its own.
fn flags(root: &Path, source: &Path) -> Result<Vec<String>> {
    let mut flags = vec!["--cfg=bpf_target_arch=\"x86_64\"".to_owned(), "-Cdebuginfo=0".to_owned()];
    // Of two that match, the last one counts.
    let mut remap = |from: &Path, to: &str| {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    };
    remap(root, "..");
    remap(source, ".");
    for registry in registries()? {
        remap(&registry, "/registry");
    }
    Ok(flags)
}

/// The folders that crates are unpacked in, each named after its registry.
fn registries() -> Result<Vec<PathBuf>> {
    let home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => env::home_dir().context("cannot tell where cargo keeps its crates: set HOME")?.join(".cargo"),
    };
    let source = home.join("registry/src");
    let entries = fs::read_dir(&source).with_context(|| format!("cannot read {}", source.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn check(root: &Path, compiler: &Version, built: &[u8]) -> Result<ExitCode> {
    let recorded = fs::read_to_string(root.join(COMPILER))
        .with_context(|| format!("cannot read {COMPILER}: run `cargo xtask ebpf`"))?;
    let recorded = Version::from_text(&recorded);
    if recorded != *compiler {
        println!("WARNING: {OBJECT} NOT COMPARED: another compiler ({compiler}, not {recorded}): cannot compare");
        return Ok(ExitCode::SUCCESS);
    }
    let kept = fs::read(root.join(OBJECT)).with_context(|| format!("cannot read {OBJECT}"))?;
    if let Some(place) = first_difference(&kept, built) {
        ensure!(
            false,
            "{OBJECT} is not what its source builds: byte {place} differs, in {} (kept {} bytes, built {}): \
             run `cargo xtask ebpf` and commit what it writes",
            section_at(built, place),
            kept.len(),
            built.len(),
        );
    }
    println!("{OBJECT}: the same {} bytes, by {compiler}", built.len());
    Ok(ExitCode::SUCCESS)
}

fn first_difference(left: &[u8], right: &[u8]) -> Option<usize> {
    let differs = left.iter().zip(right).position(|(left, right)| left != right);
    differs.or((left.len() != right.len()).then(|| left.len().min(right.len())))
}

fn section_at(object: &[u8], place: usize) -> String {
    let place = place as u64;
    let Ok(file) = object::File::parse(object) else {
        return "no ELF file".to_owned();
    };
    for section in file.sections() {
        let Some((start, size)) = section.file_range() else {
            continue;
        };
        if (start..start + size).contains(&place) {
            return format!("section {}", section.name().unwrap_or("without a name"));
        }
    }
    "the headers".to_owned()
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn a_difference_is_found_where_it_is() {
        assert_eq!(first_difference(b"abc", b"abc"), None);
        assert_eq!(first_difference(b"abc", b"axc"), Some(1));
        assert_eq!(first_difference(b"abc", b"abcd"), Some(3));
        assert_eq!(first_difference(b"abc", b""), Some(0));
    }
}
