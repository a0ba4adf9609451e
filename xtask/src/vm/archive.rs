//! Stock Debian kernels by package, from the archive that this machine's own package sources name.
//!
//! apt works in a state folder of its own: the machine's lists and packages stay as they are.

use crate::succeed;
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The releases whose kernels the matrix is made of, the oldest first.
const RELEASES: [&str; 4] = ["bullseye", "bookworm", "trixie", "forky"];

/// Debian's name for this machine's architecture, which ends a kernel's release, too.
pub(crate) const OWN: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// How long lists of packages are good for.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The archive, and what was taken out of it.
pub(crate) struct Archive {
    folder: PathBuf,
    architecture: &'static str,
    lists: bool,
}

/// A kernel that is ready to boot.
pub(crate) struct Kernel {
    /// As `uname -r` says it.
    pub(crate) release: String,
    folder: PathBuf,
}

impl Kernel {
    pub(crate) fn image(&self) -> PathBuf {
        self.boot().join(format!("vmlinuz-{}", self.release))
    }

    /// Its image and its configuration.
    pub(crate) fn boot(&self) -> PathBuf {
        self.folder.join("boot")
    }

    /// Those of all releases, of which there is one.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules")
    }

    /// The files of some modules and of those that they need, in the order to load them.
    pub(crate) fn with_what_they_need(&self, modules: &[&str]) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for module in modules {
            let mut modprobe = Command::new("/sbin/modprobe");
            modprobe.arg("--dirname").arg(&self.folder).args(["--set-version", &self.release]);
            let output = modprobe.args(["--show-depends", module]).output().context("cannot start modprobe")?;
            let text = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success(), "the kernel {} has no module {module}", self.release);
            // "insmod /.../9p.ko.xz ", or "builtin 9p"
            let needed = text.lines().filter_map(|line| Some(PathBuf::from(line.strip_prefix("insmod ")?.trim())));
            files.extend(needed.filter(|file| !files.contains(file)).collect::<Vec<_>>());
        }
        Ok(files)
    }
}

impl Archive {
    /// Reads the archive's lists; without them, what was unpacked before is all there is.
    pub(crate) fn open(folder: &Path, architecture: &'static str) -> Result<Self> {
        let mut archive = Self { folder: folder.to_owned(), architecture, lists: true };
        if let Err(error) = archive.update() {
            eprintln!("xtask: {error:#}");
            archive.lists = false;
        }
        Ok(archive)
    }

    /// The newest kernel whose version begins so, or of all; from the archive where it was not unpacked before.
    pub(crate) fn kernel(&self, wanted: &str) -> Result<Kernel> {
        let releases = if self.lists { self.offered()? } else { self.unpacked()? };
        let release = newest(&releases, wanted).with_context(|| {
            let place =
                if self.lists { "in Debian's archive" } else { "unpacked here, and Debian's archive cannot be read" };
            format!("cannot find a kernel {wanted} {place}: give the beginning of a version, such as 6.1, or `newest`")
        })?;
        let kernel = Kernel { release: release.to_owned(), folder: self.kernels().join(release) };
        if !kernel.image().exists() {
            self.unpack(&kernel).with_context(|| format!("cannot get the kernel {release}"))?;
        }
        Ok(kernel)
    }

    fn kernels(&self) -> PathBuf {
        self.folder.join("kernels")
    }

    fn unpacked(&self) -> Result<BTreeSet<String>> {
        let Ok(entries) = fs::read_dir(self.kernels()) else { return Ok(BTreeSet::new()) };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        // What is half unpacked has another name.
        Ok(names.filter(|name| name.ends_with(self.architecture)).collect())
    }

    /// Releases of all kernels that the archive has.
    fn offered(&self) -> Result<BTreeSet<String>> {
        let pattern = format!("^linux-image-[0-9].*-{}$", self.architecture);
        let output = self.apt("apt-cache").args(["search", "--names-only", &pattern]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let names = text.lines().filter_map(|line| line.split(' ').next()?.strip_prefix("linux-image-"));
        // Other flavours have no 9p, by which the guest sees this machine's files; and what is no full version is a
        // package without content.
        let plain = names.filter(|name| {
            let flavour = name.strip_suffix(self.architecture).map(|rest| rest.trim_end_matches('-'));
            flavour.is_some_and(|rest| !rest.ends_with("-cloud") && !rest.ends_with("-rt") && numbers(rest).len() > 2)
        });
        Ok(plain.map(str::to_owned).collect())
    }

    /// Brings the lists up to date.
    fn update(&self) -> Result<()> {
        let sources = self.folder.join("apt/sources.list");
        let age = fs::metadata(&sources).ok().and_then(|file| file.modified().ok()?.elapsed().ok());
        if age.is_some_and(|age| age < FRESH) {
            return Ok(());
        }
        for folder in ["apt/lists/partial", "apt/cache/archives/partial"] {
            fs::create_dir_all(self.folder.join(folder)).with_context(|| format!("cannot make {folder}"))?;
        }
        // What this machine has installed is no matter.
        fs::write(self.folder.join("apt/status"), "")?;
        // It takes its name when the lists are there.
        let new = self.folder.join("apt/sources.new");
        fs::write(&new, sources_list()?)?;
        eprintln!("xtask: Debian's lists of packages");
        let mut update = self.apt("apt-get");
        update.arg(format!("--option=Dir::Etc::SourceList={}", new.display()));
        succeed(update.args(["--quiet=2", "update"]), "read Debian's lists of packages")?;
        Ok(fs::rename(new, sources)?)
    }

    fn unpack(&self, kernel: &Kernel) -> Result<()> {
        let release = &kernel.release;
        let (packages, new) = (self.folder.join("packages"), self.kernels().join(format!("{release}.new")));
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        fs::create_dir_all(new.join("boot"))?;
        fs::create_dir_all(&packages)?;
        for name in self.parts(release)? {
            eprintln!("xtask: {name}");
            let act = format!("download {name}");
            succeed(self.apt("apt-get").args(["--quiet=2", "download", &name]).current_dir(&packages), &act)?;
            let package = package_of(&packages, &name)?;
            succeed(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&new), &format!("unpack {name}"))?;
            fs::remove_file(package)?;
        }
        if !new.join("lib").exists() {
            symlink("usr/lib", new.join("lib"))?;
        }
        let modules = new.join("lib/modules").join(release);
        // Where they are since 6.19.
        for (name, place) in [("vmlinuz", "vmlinuz"), ("config", "config")] {
            let file = modules.join(place);
            if file.exists() {
                fs::copy(file, new.join(format!("boot/{name}-{release}")))?;
            }
        }
        succeed(Command::new("/sbin/depmod").arg("--basedir").arg(&new).arg(release), "list the kernel's modules")?;
        fs::rename(new, &kernel.folder)?;
        ensure!(kernel.image().exists(), "its package has no image at {}", kernel.image().display());
        Ok(())
    }

    /// The packages that a kernel consists of: since 6.19 its image and modules are in packages of their own.
    fn parts(&self, release: &str) -> Result<Vec<String>> {
        let image = format!("linux-image-{release}");
        let output = self.apt("apt-cache").args(["depends", &image]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let needed = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let own = needed.filter(|name| name.starts_with("linux-") && name.ends_with(release));
        Ok([image.clone()].into_iter().chain(own.map(str::to_owned)).collect())
    }

    /// The files of some packages and of those that they need, as for a machine that has none.
    pub(crate) fn with_what_they_need(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let mut apt = self.apt("apt-get");
        // It installs nothing, so it need not keep this machine's own from it.
        apt.args(["--quiet=2", "--option=Debug::NoLocking=1", "--download-only", "--no-install-recommends", "--yes"]);
        succeed(apt.arg("install").args(packages), &format!("download {}", packages.join(", ")))?;
        let files = fs::read_dir(self.folder.join("apt/cache/archives"))?.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
    }

    fn apt(&self, program: &str) -> Command {
        let folder = self.folder.join("apt");
        let mut command = Command::new(program);
        for (option, place) in [
            ("Dir::State", folder.clone()),
            ("Dir::State::status", folder.join("status")),
            ("Dir::Cache", folder.join("cache")),
            ("Dir::Etc::SourceList", folder.join("sources.list")),
            ("Dir::Etc::SourceParts", "/dev/null".into()),
        ] {
            command.arg(format!("--option={option}={}", place.display()));
        }
        command.args([
            &format!("--option=APT::Architecture={}", self.architecture),
            &format!("--option=APT::Architectures={}", self.architecture),
            "--option=APT::Sandbox::User=",
            "--option=Acquire::Languages=none",
            "--option=Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
            "--option=Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
        ]);
        command
    }
}

/// This machine's own sources of Debian packages, with the other releases in the place of its own.
fn sources_list() -> Result<String> {
    let format = "$(REPO_URI) $(RELEASE)";
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", format, "Created-By: Packages"])
        .output()
        .context("cannot ask for this machine's package sources: needs apt-get, so Debian")?;
    let own = String::from_utf8_lossy(&output.stdout).into_owned();
    let list = other_releases(&own);
    ensure!(!list.is_empty(), "cannot find a source of Debian packages among this machine's own: needs Debian");
    Ok(list)
}

fn other_releases(own: &str) -> String {
    let mut list = BTreeSet::new();
    for (place, suite) in own.lines().filter_map(|line| line.split_once(' ')) {
        let Some(codename) = RELEASES.iter().find(|name| suite.starts_with(**name)) else { continue };
        let part = suite.strip_prefix(codename).unwrap_or_default();
        if !part.is_empty() && part != "-security" {
            continue;
        }
        for release in RELEASES {
            list.insert(format!("deb [signed-by={KEYRING}] {place} {release}{part} main\n"));
            if part.is_empty() && release == "trixie" {
                list.insert(format!("deb [signed-by={KEYRING}] {place} {release}-backports main\n"));
            }
        }
    }
    list.into_iter().collect()
}

/// Of Debian's package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

fn package_of(folder: &Path, name: &str) -> Result<PathBuf> {
    let prefix = format!("{name}_");
    let files = fs::read_dir(folder)?.filter_map(|entry| entry.ok());
    let mut found = files.filter(|file| file.file_name().to_string_lossy().starts_with(&prefix));
    Ok(found.next().with_context(|| format!("cannot find the package {name} that apt-get has got"))?.path())
}

/// The newest of `releases` that begins with the numbers of `wanted`.
fn newest<'a>(releases: &'a BTreeSet<String>, wanted: &str) -> Option<&'a str> {
    let begin = if wanted == "newest" { Vec::new() } else { numbers(wanted) };
    if begin.is_empty() && wanted != "newest" {
        return None;
    }
    let fitting = releases.iter().filter(|release| numbers(release).starts_with(&begin));
    fitting.max_by_key(|release| numbers(release)).map(String::as_str)
}

/// `6.12.117+deb13-amd64` is 6, 12, 117, 13; the architecture's own number is none.
fn numbers(version: &str) -> Vec<u64> {
    let version = version.trim_end_matches("amd64").trim_end_matches("arm64");
    version.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{newest, other_releases};

    #[test]
    fn the_newest_that_begins_so() {
        let releases = ["6.1.0-9-amd64", "6.1.0-0.deb11.52-amd64", "6.1.0-56-amd64", "6.12.95+deb13-amd64"];
        let releases =
            [&releases[..], &["6.12.117+deb12-amd64", "6.12.117+deb13-amd64", "7.2.12+deb14-amd64"]].concat();
        let releases = releases.into_iter().map(str::to_owned).collect();
        assert_eq!(newest(&releases, "6.1"), Some("6.1.0-56-amd64"));
        assert_eq!(newest(&releases, "6.12"), Some("6.12.117+deb13-amd64"));
        assert_eq!(newest(&releases, "newest"), Some("7.2.12+deb14-amd64"));
        assert_eq!(newest(&releases, "5.10"), None);
        // Debian's 64 is no part of the version.
        let releases = ["6.12.9+deb13-arm64", "6.12.9+deb13.1-arm64"].into_iter().map(str::to_owned).collect();
        assert_eq!(newest(&releases, "6.12"), Some("6.12.9+deb13.1-arm64"));
        assert_eq!(newest(&releases, "latest"), None);
    }

    #[test]
    fn each_source_of_debian_stands_for_all_releases() {
        let own = "http://a.example/debian/ bookworm\nhttp://a.example/debian/ bookworm-updates\n\
                   http://b.example/security/ bookworm-security\nhttp://c.example/other/ nodistro\n";
        let list = other_releases(own);
        let count = |what: &str| list.lines().filter(|line| line.contains(what)).count();
        assert_eq!((count("a.example"), count("b.example"), count("c.example")), (5, 4, 0), "{list}");
        assert!(list.contains("a.example/debian/ trixie-backports main\n"), "{list}");
        assert!(list.contains("b.example/security/ bullseye-security main\n"), "{list}");
    }
}
