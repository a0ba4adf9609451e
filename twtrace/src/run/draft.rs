//! A file that appears under its name when it is whole, or not at all.

use anyhow::{Context as _, bail};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Write},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A file that is being written. Dropped before it is [kept](Self::keep), it leaves nothing behind.
pub(super) struct Draft {
    /// As a person knows it.
    name: String,
    file: File,
    /// Under which name it is written, and which it gets; a stream has neither.
    places: Option<(PathBuf, PathBuf)>,
}

/// Writes to a draft.
pub(super) struct Pen {
    name: String,
    file: File,
}

impl Draft {
    /// `-` is stdout, where `binary` does not go to a terminal. What is no file, such as a named pipe, is written to at
    /// once.
    pub(super) fn new(path: &Path, binary: bool) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            let stdout = io::stdout();
            if binary && stdout.is_terminal() {
                bail!("cannot write to a terminal what is no text: redirect stdout, or name a file with -o");
            }
            let file = stdout.as_fd().try_clone_to_owned().context("cannot write to stdout")?.into();
            return Ok(Self { name: "stdout".to_owned(), file, places: None });
        }
        let name = path.display().to_string();
        let cannot = || format!("cannot write {name}");
        // Where a link leads is replaced, not the link.
        let goal = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&goal) {
            Ok(found) if found.is_dir() => bail!("cannot write {name}: it is a directory: name a file in it"),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(&goal).with_context(cannot)?;
                return Ok(Self { name, file, places: None });
            }
            _ => {}
        }
        let draft = beside(&goal);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).with_context(cannot)?;
        Ok(Self { name, file, places: Some((draft, goal)) })
    }

    pub(super) fn pen(&self) -> io::Result<Pen> {
        Ok(Pen { name: self.name.clone(), file: self.file.try_clone()? })
    }

    /// It is whole.
    pub(super) fn keep(mut self) -> anyhow::Result<()> {
        let Some((draft, goal)) = &self.places else { return Ok(()) };
        // Some filesystems tell only now that there is no room.
        self.file
            .sync_all()
            .and_then(|()| fs::rename(draft, goal))
            .with_context(|| format!("cannot write {}", self.name))?;
        self.places = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some((draft, _)) = &self.places {
            // Nobody is left to tell.
            let _ = fs::remove_file(draft);
        }
    }
}

/// `.incident.csv.4242.part`, beside `incident.csv`: a rename does not cross filesystems.
fn beside(goal: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(goal.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    goal.with_file_name(name)
}

impl Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    ": make room, or choose another place with -o"
                }
                _ => "",
            };
            io::Error::new(error.kind(), format!("cannot write {}: {error}{remedy}", self.name))
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(folder).expect("there").map(|entry| entry.expect("one").file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_draft_becomes_the_file_when_it_is_whole() {
        let folder = std::env::temp_dir().join(format!("twtrace-draft-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let (path, link) = (folder.join("x.csv"), folder.join("link"));
        fs::write(&path, "old").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let draft = Draft::new(&link, false).expect("made");
        draft.pen().expect("a pen").write_all(b"new").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"old");
        draft.keep().expect("kept");
        assert_eq!(fs::read(&link).expect("there"), b"new");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());

        let draft = Draft::new(&path, false).expect("made");
        draft.pen().expect("a pen").write_all(b"newer").expect("written");
        drop(draft);
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(names(&folder), ["link", "x.csv"]);
        fs::remove_dir_all(&folder).expect("our folder");
    }

    #[test]
    fn a_full_disk_is_named_with_the_remedy() {
        let draft = Draft::new(Path::new("/dev/full"), true).expect("a device");
        let error = draft.pen().expect("a pen").write(b"x").expect_err("full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(
            error.to_string(),
            "cannot write /dev/full: No space left on device (os error 28): make room, or choose another place with -o"
        );
    }
}
