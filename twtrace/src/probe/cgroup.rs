//! Where a process runs, by the text of /proc/PID/cgroup.
//!
//! The paths are a convention of each container runtime and no promise of the kernel's: what follows none is a path
//! and nothing more. Anybody who may make a cgroup chooses its name, so nothing is text, and lengths are bounded.

use crate::model::observation::{Container, Runtime};
use crate::model::process::Place;
use std::path::{Path, PathBuf};

/// The kernel prints no longer one (`proc_cgroup_show()`, kernel/cgroup/cgroup.c).
const LONGEST_PATH: usize = 4096;
/// Digits of an id as runtimes make them; a short one may be cut to 12.
const ID_DIGITS: std::ops::RangeInclusive<usize> = 12..=64;
/// How each runtime names a container's scope, or its folder where systemd does not make it.
const PREFIXES: [(&str, Runtime); 5] = [
    ("docker", Runtime::Docker),
    ("cri-containerd", Runtime::Containerd),
    ("nerdctl", Runtime::Containerd),
    ("crio", Runtime::CriO),
    ("libpod", Runtime::Podman),
];
/// Where the host's files are; the second is for a container that shares the host's processes.
const ROOTS: [&str; 2] = ["/", "/proc/1/root"];
/// A folder for each pod, of what it has written.
const POD_LOGS: &str = "var/log/pods";
/// A folder for each container of Docker's.
const DOCKER: &str = "var/lib/docker/containers";
/// containerd's folders of running containers, by its own namespaces.
const TASKS: [&str; 2] =
    ["run/containerd/io.containerd.runtime.v2.task", "run/k3s/containerd/io.containerd.runtime.v2.task"];
/// Docker's namespace in containerd.
const DOCKER_NAMESPACE: &str = "moby";

/// What the host knows beside a path; a test knows something else.
pub(super) trait Host {
    /// The runtime of a container of which the path tells nothing but the id.
    fn runtime(&self, id: &str) -> Option<Runtime>;
    /// `namespace/name` of the pod with this uid.
    fn pod(&self, uid: &str) -> Option<Box<str>>;
}

/// The host that we are on, by its files alone: no runtime is asked.
pub(super) struct ThisHost;

impl Host for ThisHost {
    fn runtime(&self, id: &str) -> Option<Runtime> {
        if on_host(&[DOCKER]).any(|containers| containers.join(id).exists()) {
            return Some(Runtime::Docker);
        }
        on_host(&TASKS).find_map(|tasks| {
            let mut namespaces = std::fs::read_dir(tasks).ok()?.flatten();
            let namespace = namespaces.find(|namespace| namespace.path().join(id).exists())?.file_name();
            Some(if namespace == DOCKER_NAMESPACE { Runtime::Docker } else { Runtime::Containerd })
        })
    }

    /// By kubelet's folders, `namespace_name_uid`: neither of the names can hold the line between them.
    fn pod(&self, uid: &str) -> Option<Box<str>> {
        on_host(&[POD_LOGS]).find_map(|logs| {
            std::fs::read_dir(logs).ok()?.flatten().find_map(|folder| {
                let name = folder.file_name().into_string().ok()?;
                let (namespace, name) = name.strip_suffix(uid)?.strip_suffix('_')?.split_once('_')?;
                Some(format!("{namespace}/{name}").into())
            })
        })
    }
}

fn on_host(folders: &[&'static str]) -> impl Iterator<Item = PathBuf> {
    ROOTS.iter().flat_map(move |root| folders.iter().map(|folder| Path::new(root).join(folder)))
}

/// The path that tells a container, if one does; else the first that is not the root, the unified hierarchy's before
/// systemd's before the others'.
pub(super) fn place(text: &[u8], host: &impl Host) -> Place {
    let mut paths: Vec<(u8, String)> = text.split(|&byte| byte == b'\n').filter_map(path).collect();
    paths.sort_by_key(|(rank, _)| *rank);
    let contained = paths.iter().find_map(|(_, path)| Some((path, container(path, host)?)));
    if let Some((path, container)) = contained {
        return Place { cgroup: Some(path.as_str().into()), container: Some(container) };
    }
    let Some((_, path)) = paths.iter().find(|(_, path)| path != "/").or(paths.first()) else { return Place::default() };
    let unit = paths.iter().find_map(|(_, path)| unit(path));
    Place { cgroup: Some(path.as_str().into()), container: unit }
}

/// Of a line `4:memory:/user.slice`, its path and how far it stands behind the unified hierarchy's.
fn path(line: &[u8]) -> Option<(u8, String)> {
    let mut fields = line.splitn(3, |&byte| byte == b':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    // Of one that has been removed under its processes.
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    if path.len() > LONGEST_PATH || path.first() != Some(&b'/') {
        return None;
    }
    let rank = match (hierarchy, controllers) {
        (b"0", _) => 0,
        (_, b"name=systemd") => 1,
        _ => 2,
    };
    Some((rank, String::from_utf8_lossy(path).into_owned()))
}

/// The innermost container on the path.
fn container(path: &str, host: &impl Host) -> Option<Container> {
    let parts: Vec<&str> = path.split('/').collect();
    let (at, runtime, id) = (0..parts.len()).rev().find_map(|at| {
        let (runtime, id) = named(parts[at]).or_else(|| bare(&parts, at, host))?;
        Some((at, runtime, id))
    })?;
    let uid = parts[..=at].iter().rev().find_map(|part| pod_uid(part));
    let pod = uid.map(|uid| host.pod(&uid).unwrap_or_else(|| uid.into()));
    Some(Container { runtime, id: id.into(), pod })
}

/// `docker-ID.scope`; `crio-ID`; `kubepods-burstable-podUID.slice:cri-containerd:ID`, which runc makes where it was to
/// ask systemd and does not.
fn named(part: &str) -> Option<(Runtime, &str)> {
    let (part, line) = match part.rsplit_once(".slice:") {
        Some((_, part)) => (part, ':'),
        None => (part.strip_suffix(".scope").unwrap_or(part), '-'),
    };
    let (prefix, id) = part.rsplit_once(line)?;
    let (_, runtime) = PREFIXES.iter().find(|(name, _)| *name == prefix)?;
    is_id(id).then_some((*runtime, id))
}

/// An id and nothing else, as runtimes name folders that they make themselves.
fn bare<'a>(parts: &[&'a str], at: usize, host: &impl Host) -> Option<(Runtime, &'a str)> {
    let id = parts[at];
    if id.len() != *ID_DIGITS.end() || !is_id(id) {
        return None;
    }
    let above = &parts[..at];
    if above.last() == Some(&"docker") {
        return Some((Runtime::Docker, id));
    }
    let in_pod = above.iter().any(|part| pod_uid(part).is_some());
    let runtime = host.runtime(id).or(in_pod.then_some(Runtime::Kubernetes))?;
    Some((runtime, id))
}

fn is_id(id: &str) -> bool {
    ID_DIGITS.contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Of `podUID`, or `kubepods-besteffort-podUID.slice`, in which systemd's separator is replaced.
fn pod_uid(part: &str) -> Option<String> {
    let part = part.split_once(".slice").map_or(part, |(slice, _)| slice);
    let uid = match part.strip_prefix("pod") {
        Some(uid) => uid,
        None => part.split_once("kubepods")?.1.rsplit_once("-pod")?.1,
    };
    // A static pod's is 32 digits without separators.
    let is_uid =
        (32..=36).contains(&uid.len()) && uid.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b'-' | b'_'));
    is_uid.then(|| uid.replace('_', "-"))
}

/// The innermost service or scope of systemd.
fn unit(path: &str) -> Option<Container> {
    let part = path.rsplit('/').find(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
    Some(Container { runtime: Runtime::Systemd, id: part.into(), pod: None })
}

#[cfg(test)]
mod tests;
