//! The files of a recording, by name: claimed before anything else is done, and numbered where there are several.
//!
//! They are made new and readable by their owner alone. What is there is replaced only where that was asked for, and
//! not before there is something to put in its place.

use crate::cli::WritingArgs;
use anyhow::{Context as _, bail};
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _},
    os::{
        fd::AsFd as _,
        unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

/// Where a recording goes.
pub(super) struct Files {
    place: Place,
    /// The one that was made to claim its name, and has nothing in it.
    claimed: Option<(PathBuf, File)>,
    /// Those that were written, oldest first.
    written: VecDeque<PathBuf>,
}

pub(super) struct Next {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// These are to be deleted.
    pub(super) outdated: Vec<PathBuf>,
}

enum Place {
    /// Stdout, a device or a pipe: no file of ours.
    Stream(PathBuf, File),
    One {
        path: PathBuf,
        replaces: bool,
    },
    Numbered {
        path: PathBuf,
        replaces: Vec<PathBuf>,
        keep: Option<usize>,
        next: u32,
    },
}

impl Files {
    /// Makes the first file, or sees that it can be replaced.
    pub(super) fn claim(path: &Path, args: &WritingArgs) -> anyhow::Result<Self> {
        let place = match (args.rotate_size, stream(path)?) {
            (None, Some(stream)) => Place::Stream(path.to_owned(), stream),
            (None, None) => Place::One { path: path.to_owned(), replaces: exists(path, args.force)? },
            (Some(_), Some(_)) => bail!("cannot rotate {}: it is no file; leave out --rotate-size", path.display()),
            (Some(_), None) => {
                let replaces = pieces(path).with_context(|| format!("cannot look for files of {}", path.display()))?;
                if let (Some(old), false) = (replaces.first(), args.force) {
                    bail!("{}", refusal(old));
                }
                let keep = args.rotate_count.and_then(|count| usize::try_from(count.get()).ok());
                Place::Numbered { path: path.to_owned(), replaces, keep, next: 1 }
            }
        };
        let mut files = Self { place, claimed: None, written: VecDeque::new() };
        if !files.replaces() {
            files.claimed = files.make()?;
        }
        Ok(files)
    }

    /// The next file to write to; the first, and again at each cut.
    pub(super) fn next(&mut self) -> anyhow::Result<Next> {
        if let Place::Stream(path, stream) = &self.place {
            return Ok(Next { path: path.clone(), file: stream.try_clone()?, outdated: Vec::new() });
        }
        for old in self.replaced() {
            fs::remove_file(&old).with_context(|| format!("cannot replace {}", old.display()))?;
        }
        let claimed = match self.claimed.take() {
            Some(claimed) => Some(claimed),
            None => self.make()?,
        };
        let (path, file) = claimed.context("a stream has no next file")?;
        self.written.push_back(path.clone());
        let keep = match self.place {
            Place::Numbered { keep, .. } => keep.unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        let outdated = self.written.drain(..self.written.len().saturating_sub(keep)).collect();
        Ok(Next { path, file, outdated })
    }

    /// They were made here, and hold nothing but the recording.
    pub(super) fn are_ours(&self) -> bool {
        !matches!(self.place, Place::Stream(..))
    }

    /// As a person knows the whole of it.
    pub(super) fn name(&self) -> String {
        match &self.place {
            Place::Stream(path, _) if path.as_os_str() == "-" => "stdout".to_owned(),
            Place::Stream(path, _) | Place::One { path, .. } => path.display().to_string(),
            Place::Numbered { path, .. } => numbered(path, "NNNN").display().to_string(),
        }
    }

    fn make(&mut self) -> anyhow::Result<Option<(PathBuf, File)>> {
        let path = match &mut self.place {
            Place::Stream(..) => return Ok(None),
            Place::One { path, .. } => path.clone(),
            Place::Numbered { path, next, .. } => {
                let path = numbered(path, &format!("{next:04}"));
                *next += 1;
                path
            }
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot make the recording {}", path.display()))?;
        Ok(Some((path, file)))
    }

    fn replaces(&self) -> bool {
        match &self.place {
            Place::Stream(..) => false,
            Place::One { replaces, .. } => *replaces,
            Place::Numbered { replaces, .. } => !replaces.is_empty(),
        }
    }

    /// What has to go now, once.
    fn replaced(&mut self) -> Vec<PathBuf> {
        match &mut self.place {
            Place::Stream(..) => Vec::new(),
            Place::One { path, replaces } => std::mem::take(replaces).then(|| path.clone()).into_iter().collect(),
            Place::Numbered { replaces, .. } => std::mem::take(replaces),
        }
    }
}

/// What came to nothing leaves no file behind.
impl Drop for Files {
    fn drop(&mut self) {
        if let Some((path, _)) = self.claimed.take() {
            // Nothing is in it, and nobody is left to tell.
            let _ = fs::remove_file(path);
        }
    }
}

/// Something to write to that is no file: stdout, a device, a named pipe.
fn stream(path: &Path) -> anyhow::Result<Option<File>> {
    if path.as_os_str() == "-" {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            bail!("cannot write a recording to a terminal: redirect stdout, or name a file");
        }
        return Ok(Some(stdout.as_fd().try_clone_to_owned().context("cannot write to stdout")?.into()));
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => bail!("cannot write a recording to {}: it is a directory", path.display()),
        Ok(found) if !found.is_file() => {
            let stream = OpenOptions::new().write(true).open(path);
            Ok(Some(stream.with_context(|| format!("cannot write to {}", path.display()))?))
        }
        _ => Ok(None),
    }
}

/// Whether there is something to be replaced, where that is allowed.
fn exists(path: &Path, force: bool) -> anyhow::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) if !force => bail!("{}", refusal(path)),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot make the recording {}", path.display())),
    }
}

fn refusal(path: &Path) -> String {
    format!("will not overwrite {}: name another file, or replace it with --force", path.display())
}

/// The number stands before the extension: `incident.0001.arrows`.
fn numbered(path: &Path, number: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".");
    name.push(number);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The numbered files of this name that are there.
fn pieces(path: &Path) -> io::Result<Vec<PathBuf>> {
    let pattern = numbered(path, "");
    let pattern = pattern.file_name().unwrap_or_default().as_bytes();
    // The number goes where the two dots meet, or to the end.
    let (before, after) = pattern.split_at(path.file_stem().unwrap_or_default().len() + 1);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let name = entry?.file_name();
        let number = name.as_bytes().strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        if number.is_some_and(|number| number.len() >= 4 && number.iter().all(u8::is_ascii_digit)) {
            found.push(path.with_file_name(name));
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{numbered, pieces};
    use std::{fs, path::Path};

    #[test]
    fn numbers_stand_before_the_extension_and_are_found_again() {
        assert_eq!(numbered(Path::new("/a/b.c.arrows"), "0001"), Path::new("/a/b.c.0001.arrows"));
        let folder = std::env::temp_dir().join(format!("twtrace-pieces-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let others =
            ["x.arrows", "x.001.arrows", "x.00a1.arrows", "y.0001.arrows", "x.0001.arrows.gz", "x.0001", "x.y.0001"];
        let cases = [
            ("x.arrows", ["x.0001.arrows", "x.12345.arrows"]),
            ("x.y", ["x.0001.y", "x.0002.y"]),
            ("z", ["z.0001", "z.0002"]),
        ];
        for name in others.iter().chain(cases.iter().flat_map(|(_, names)| names)) {
            fs::write(folder.join(name), "").expect("a file");
        }
        for (name, names) in cases {
            let found = pieces(&folder.join(name)).expect("the folder is there");
            assert_eq!(found, names.map(|name| folder.join(name)), "{name}");
        }
        fs::remove_dir_all(&folder).expect("our folder");
    }
}
