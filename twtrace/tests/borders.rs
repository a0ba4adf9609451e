//! The borders of docs/architecture.md, held by reading the sources.
//!
//! It knows paths as the compiler does (`use` trees, `super`), and nothing of macros: a path that a macro makes is
//! out of its sight.

#![expect(clippy::unwrap_used, reason = "a test panics")]

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// What only the probe may name.
const KERNEL_CRATES: [&str; 5] = ["aya", "aya_log", "netlink_sys", "netlink_packet_sock_diag", "procfs"];

/// What the model may not name: anything that gives another answer at the next replay.
const IMPURE: [&str; 13] = [
    "aya",
    "crate::cli",
    "crate::probe",
    "crate::run",
    "crate::sink",
    "libc",
    "rustix",
    "std::env",
    "std::fs",
    "std::process",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
];

/// What all sinks share; the samples are their tests'.
const SHARED_BY_SINKS: [&str; 4] =
    ["crate::sink::format", "crate::sink::notes", "crate::sink::record", "crate::sink::samples"];

const LONGEST_FILE: usize = 400;

#[test]
fn the_kernel_is_only_known_to_the_probe() {
    let found = sources().into_iter().filter(|source| !source.module.starts_with("crate::probe"));
    no_one_names("a kernel crate outside of probe/", found, |path| KERNEL_CRATES.iter().any(|name| within(path, name)));
}

#[test]
fn the_model_is_pure() {
    let model = sources().into_iter().filter(|source| within(&source.module, "crate::model"));
    no_one_names("something impure in model/", model, |path| IMPURE.iter().any(|name| within(path, name)));
}

#[test]
fn the_probe_knows_no_sink() {
    let probe = sources().into_iter().filter(|source| within(&source.module, "crate::probe"));
    no_one_names("a sink in probe/", probe, |path| within(path, "crate::sink"));
}

#[test]
fn no_sink_knows_another() {
    let sources = sources();
    let sinks: Vec<&str> = sources
        .iter()
        .filter_map(|source| {
            let name = source.module.strip_prefix("crate::sink::")?;
            (!name.contains("::") && !SHARED_BY_SINKS.contains(&source.module.as_str()))
                .then_some(source.module.as_str())
        })
        .collect();
    for sink in &sinks {
        let own = sources.iter().filter(|source| within(&source.module, sink)).cloned();
        no_one_names("another sink", own, |path| sinks.iter().any(|other| other != sink && within(path, other)));
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut found = Vec::new();
    for file in rust_files(&root()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        if lines > LONGEST_FILE {
            found.push(format!("{} has {lines} lines", file.display()));
        }
    }
    assert!(found.is_empty(), "which noun is hiding in it?\n{}", found.join("\n"));
}

/// The object above all: a compiler writes the paths that it sees into what it builds.
#[test]
fn no_file_names_this_machine() {
    let root = root();
    let mut names = vec![concat!("index.crates", ".io").to_owned(), format!("{}/", root.display())];
    names.extend(
        env::home_dir().filter(|home| home.components().count() > 1).map(|home| format!("{}/", home.display())),
    );
    for file in files(&root) {
        let bytes = fs::read(&file).unwrap();
        for name in &names {
            let found = bytes.windows(name.len()).any(|window| window == name.as_bytes());
            assert!(!found, "{} names {name}", file.display());
        }
    }
}

#[test]
fn paths_are_found_as_the_compiler_finds_them() {
    let source = Source {
        module: "crate::model::tracker".to_owned(),
        file: PathBuf::new(),
        text: "use std::{fs, time::{Duration, Instant as Now}}; // use aya::Ebpf;\n\
               use super::state::*;\nlet now = tokio::time::sleep(super::super::probe::X);"
            .to_owned(),
    };
    assert_eq!(
        source.paths(),
        [
            "std::fs",
            "std::time::Duration",
            "std::time::Instant",
            "crate::model::state::*",
            "tokio::time::sleep",
            "crate::probe::X",
        ]
    );
}

fn no_one_names(what: &str, sources: impl IntoIterator<Item = Source>, forbidden: impl Fn(&str) -> bool) {
    let found: Vec<String> = sources
        .into_iter()
        .flat_map(|source| {
            let paths = source.paths().into_iter().filter(|path| forbidden(path));
            paths.map(|path| format!("{} names {path}", source.file.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// `path` is `module` or something in it.
fn within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[derive(Clone)]
struct Source {
    module: String,
    file: PathBuf,
    text: String,
}

fn sources() -> Vec<Source> {
    let folder = root().join("twtrace/src");
    rust_files(&folder)
        .into_iter()
        .map(|file| {
            let inside = file.strip_prefix(&folder).unwrap().with_extension("");
            let names = inside.iter().map(|name| name.to_str().unwrap());
            let names = names.filter(|name| !["lib", "main", "mod"].contains(name));
            let module = std::iter::once("crate").chain(names).collect::<Vec<_>>().join("::");
            Source { module, text: fs::read_to_string(&file).unwrap(), file }
        })
        .collect()
}

impl Source {
    /// Every path of more than one name, from its root.
    fn paths(&self) -> Vec<String> {
        let code: Vec<&str> =
            self.text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect();
        let code = code.join("\n");
        let mut paths = Vec::new();
        let mut rest = code.as_str();
        while let Some(start) = rest.find(is_name) {
            rest = &rest[start..];
            let end = rest.find(|character| !is_name(character) && character != ':').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word == "use" {
                let (tree, after) = after.split_once(';').unwrap_or((after, ""));
                expand("", tree, &mut paths);
                rest = after;
            } else {
                let path = word.trim_end_matches(':');
                if path.contains("::") {
                    paths.push(path.to_owned());
                }
                rest = after;
            }
        }
        paths.iter().map(|path| self.absolute(path)).collect()
    }

    fn absolute(&self, path: &str) -> String {
        let mut module: Vec<&str> = self.module.split("::").collect();
        let mut names: Vec<&str> = path.split("::").collect();
        if !["self", "super"].contains(&names[0]) {
            return path.to_owned();
        }
        while ["self", "super"].contains(&names[0]) && names.len() > 1 {
            if names.remove(0) == "super" && module.len() > 1 {
                module.pop();
            }
        }
        module.extend(names);
        module.join("::")
    }
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Adds the paths of a `use` tree such as `std::{fs, time::Instant}`.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, branches)) = tree.split_once('{') else {
        let name = tree.split_whitespace().next().unwrap_or_default();
        if !name.is_empty() {
            paths.push(format!("{prefix}{name}"));
        }
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let mut depth = 0;
    let mut start = 0;
    for (place, character) in branches.char_indices() {
        match character {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                expand(&prefix, &branches[start..place], paths);
                start = place + 1;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = files(folder);
    files.retain(|file| file.extension().is_some_and(|end| end == "rs"));
    files
}

/// All files below `folder` but what git and the builds keep there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                found.extend(files(&path));
            }
        } else if name != ".git" {
            found.push(path);
        }
    }
    found
}
