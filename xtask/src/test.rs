//! Runs every check and test there is, getting first what they need, and counts them in one last line.

use crate::{cargo, is_root, packages, root, target};
use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

/// What the tests drive or hold twtrace against; a test whose program is missing says that it was skipped.
const PACKAGES: [&str; 13] = [
    "apache2-utils",
    "chromium",
    "curl",
    "iproute2",
    "libbpf-tools",
    "nginx",
    "procps",
    "prometheus",
    "python3-venv",
    "redis-server",
    "redis-tools",
    "tmux",
    "wrk",
];

/// Libraries of Python that must open a recording.
const LIBRARIES: [&str; 3] = ["duckdb", "polars", "pyarrow"];

/// Tests that may be skipped, each with its reason.
const SKIPS: &str = "twtrace/tests/skips.txt";

/// How many tests may fail beside all the others and pass alone. Many are held to the clock or to how processes take
/// turns, and run hundreds at a time; one that is wrong is wrong alone as well.
const SECOND_TRIES: usize = 5;

pub(crate) fn run() -> Result<ExitCode> {
    let root = root()?;
    let mut missing = packages::ensure(&PACKAGES)?;
    missing.extend(packages::python(&target(&root).join("xtask/python"), &LIBRARIES));
    raise_file_limit();
    let mut failed_steps = Vec::new();
    for (name, arguments) in [
        ("format", &["fmt", "--all", "--check"][..]),
        ("format of twtrace-ebpf", &["fmt", "--manifest-path=twtrace-ebpf/Cargo.toml", "--check"]),
        ("clippy", &["clippy", "--workspace", "--all-targets", "--locked", "--", "-Dwarnings"]),
        ("documentation", &["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"]),
    ] {
        eprintln!("xtask: {name}");
        let mut step = cargo();
        step.args(arguments).current_dir(&root);
        if name == "documentation" {
            step.env("RUSTDOCFLAGS", "-Dwarnings");
        }
        let status = step.status().with_context(|| format!("cannot start the step {name}"))?;
        if !status.success() {
            failed_steps.push(name);
        }
    }
    eprintln!("xtask: tests");
    let (mut counts, mut succeeded) = run_tests(&root, &[])?;
    let second = try_again(&root, &counts)?;
    counts.passed += second.len();
    counts.failed -= second.len();
    succeeded |= !second.is_empty() && counts.failed == 0;
    if !succeeded && counts.failed == 0 {
        failed_steps.push("the tests' build or a test program");
    }
    let strict = env::var_os("CI").is_some() || (is_root() && missing.is_empty());
    let unlisted = unlisted(&counts.skips, &fs::read_to_string(root.join(SKIPS)).unwrap_or_default());
    for name in unlisted.iter().filter(|_| strict) {
        println!("failed: {name} was skipped and is not in {SKIPS}");
    }
    for step in &failed_steps {
        println!("failed: {step}");
    }
    if !missing.is_empty() {
        println!("not all could be tested without: {}", missing.join(", "));
    }
    for name in second {
        println!("passed at the second try, alone: {name}");
    }
    println!("{} passed, {} failed, {} skipped", counts.passed, counts.failed, counts.skipped);
    let good = succeeded && failed_steps.is_empty() && (!strict || unlisted.is_empty());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Thousands of sockets at once need thousands of descriptors; children inherit the limit.
fn raise_file_limit() {
    const WANTED: u64 = 1 << 20;
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.map(|hard| if is_root() { hard.max(WANTED) } else { hard });
    let raised = Rlimit { current: hard, maximum: hard };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        eprintln!("xtask: cannot raise the limit on open files to {hard:?}: {error}");
    }
}

/// Runs those that failed once more, each alone, and says which of them passed.
fn try_again(root: &Path, counts: &Counts) -> Result<Vec<String>> {
    if counts.failures.len() != counts.failed || counts.failed > SECOND_TRIES {
        return Ok(Vec::new());
    }
    let mut passed = Vec::new();
    for name in &counts.failures {
        eprintln!("xtask: {name}, once more");
        let (alone, succeeded) = run_tests(root, &["--exact", name])?;
        if succeeded && alone.passed > 0 {
            passed.push(name.clone());
        }
    }
    Ok(passed)
}

fn run_tests(root: &Path, arguments: &[&str]) -> Result<(Counts, bool)> {
    let mut child = Command::new(cargo().get_program())
        .args(["test", "--workspace", "--locked", "--no-fail-fast", "--", "--show-output"])
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut counts = Counts::default();
    // As bytes: a test may print any.
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what cargo test prints")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        counts.read(&line);
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    Ok((counts.settled(), status.success()))
}

/// What the test programs say, summed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Names of the tests that failed.
    failures: BTreeSet<String>,
    /// Names of the tests that said of themselves that they were skipped.
    skips: BTreeSet<String>,
}

impl Counts {
    fn read(&mut self, line: &str) {
        if let Some(skip) = line.trim_start().strip_prefix("skipped: ") {
            let name = skip.split_once(": ").map_or(skip, |(name, _)| name);
            self.skips.insert(name.trim().to_owned());
        } else if line.strip_prefix("running ").is_some_and(|rest| rest.ends_with(" test") || rest.ends_with(" tests"))
        {
            // Until its result is there: the program may crash.
            self.failed += 1;
        } else if line.starts_with("FAILED: ") {
            // What a program says of its tests as a whole.
            self.failed += 1;
        } else if let Some(name) = failure(line) {
            self.failures.insert(name.to_owned());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.failed = self.failed.saturating_sub(1);
            // "ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s"
            let (_, result) = result.split_once(". ").unwrap_or_default();
            for part in result.split("; ") {
                let Some((number, what)) = part.split_once(' ') else {
                    continue;
                };
                let Ok(number) = number.parse::<usize>() else {
                    continue;
                };
                match what {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.skipped += number,
                    _ => {}
                }
            }
        }
    }

    /// A test that skips itself returns early, which its harness takes for a pass, unless it could say "ignored".
    fn settled(mut self) -> Self {
        let counted_as_passed = self.skips.len().saturating_sub(self.skipped);
        self.passed = self.passed.saturating_sub(counted_as_passed);
        self.skipped += counted_as_passed;
        self
    }
}

/// The name in `test NAME ... FAILED`.
fn failure(line: &str) -> Option<&str> {
    verdict(line).filter(|(_, verdict)| *verdict == "FAILED").map(|(name, _)| name)
}

/// A test's name and what became of it: `test late_fin::exact      ... ok`.
pub(crate) fn verdict(line: &str) -> Option<(&str, &str)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name.trim(), verdict.trim()))
}

/// Those of `skips` that `list` does not name: a line each, `NAME: REASON`, `#` for comments.
fn unlisted(skips: &BTreeSet<String>, list: &str) -> Vec<String> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let listed: BTreeSet<&str> = lines.filter_map(|line| Some(line.split_once(": ")?.0.trim())).collect();
    skips.iter().filter(|name| !listed.contains(name.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::{Counts, unlisted};

    fn counts(output: &str) -> Counts {
        let mut counts = Counts::default();
        output.lines().for_each(|line| counts.read(line));
        counts.settled()
    }

    #[test]
    fn results_of_several_programs_are_summed() {
        let counts = counts(
            "running 3 tests\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             running 7 tests\n\
             test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!((counts.passed, counts.failed, counts.skipped), (7, 2, 1));
    }

    #[test]
    fn what_may_be_tried_again_has_a_name() {
        let counts = counts(
            "running 3 tests\n\
             test expired::hook                          ... FAILED\n\
             test expired::exact ... ok\n\
             test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             FAILED: tier hook lost events\n\
             running 1 test\n",
        );
        assert_eq!(counts.failures, ["expired::hook".to_owned()].into());
        // It, what was said of all, and the program that did not come to an end.
        assert_eq!((counts.passed, counts.failed), (2, 3));
    }

    #[test]
    fn a_test_that_skips_itself_did_not_pass() {
        let counts = counts(
            "skipped: reuse: no ss here\n\
             skipped: reuse: no ss here\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!((counts.passed, counts.failed, counts.skipped), (2, 0, 1));
        assert_eq!(unlisted(&counts.skips, "# comment\nreuse: no ss\n"), [""; 0]);
        assert_eq!(unlisted(&counts.skips, "# reuse: no ss\nreused: x\n"), ["reuse"]);
    }
}
