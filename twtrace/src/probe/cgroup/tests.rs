use super::{Host, Runtime, ThisHost, place};
use proptest::prelude::*;

const ID: &str = "01fd96f7ad292b02a8317cde4ecb8c7ef3cc06ffdd113f13410e0837eb2b2a20";
const UID: &str = "72f7f152-440c-66ac-9084-e0fc1d8a910c";

/// Knows nothing.
struct Nothing;

impl Host for Nothing {
    fn runtime(&self, _: &str) -> Option<Runtime> {
        None
    }

    fn pod(&self, _: &str) -> Option<Box<str>> {
        None
    }
}

/// Knows every id as containerd's, and one pod.
struct Kubelet;

impl Host for Kubelet {
    fn runtime(&self, _: &str) -> Option<Runtime> {
        Some(Runtime::Containerd)
    }

    fn pod(&self, uid: &str) -> Option<Box<str>> {
        (uid == UID).then(|| "shop/web-0".into())
    }
}

/// `RUNTIME ID POD` of a path, with ID and UID for those above.
fn told(path: &str, host: &impl Host) -> String {
    let path = path.replace("UID", UID).replace("ID", ID).replace("U_D", &UID.replace('-', "_"));
    let place = place(format!("0::{path}\n").as_bytes(), host);
    assert_eq!(place.cgroup.as_deref(), Some(&*path));
    let Some(container) = place.container else { return String::new() };
    let pod = container.pod.map(|pod| format!(" {pod}")).unwrap_or_default();
    format!("{} {}{pod}", container.runtime.name(), container.id).replace(ID, "ID").replace(UID, "POD")
}

/// As they stand on hosts; the ids are others.
#[test]
fn every_runtime_by_its_path() {
    let cases = [
        // Docker by systemd, by itself, rootless, with a parent; kind's node and a pod in it.
        ("/system.slice/docker-ID.scope", "docker ID"),
        ("/docker/ID", "docker ID"),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", "docker ID"),
        ("/docker/ID/system.slice/containerd.service", "docker ID"),
        (
            "/docker/01fd96f7ad29/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/cri-containerd-ID.scope",
            "containerd ID",
        ),
        // containerd by systemd, by itself, and where the two halves disagree; nerdctl; k3s.
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_D.slice/cri-containerd-ID.scope",
            "containerd ID POD",
        ),
        ("/kubepods.slice/kubepods-podU_D.slice/cri-containerd-ID.scope", "containerd ID POD"),
        ("/kubepods-besteffort-podU_D.slice:cri-containerd:ID", "containerd ID POD"),
        ("/system.slice/containerd.service/kubepods-podU_D.slice:cri-containerd:ID", "containerd ID POD"),
        ("/kubepods/burstable/podUID/ID", "kubernetes ID POD"),
        ("/kubepods/podUID/ID", "kubernetes ID POD"),
        ("/system.slice/nerdctl-ID.scope", "containerd ID"),
        (
            "/docker/01fd96f7ad29/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_D.slice/cri-containerd-ID.scope",
            "containerd ID POD",
        ),
        // CRI-O, also of a static pod; its monitor is outside of the container.
        ("/kubepods.slice/kubepods-podU_D.slice/crio-ID.scope", "cri-o ID POD"),
        ("/kubepods.slice/kubepods-podU_D.slice/crio-ID.scope/container", "cri-o ID POD"),
        ("/kubepods/besteffort/podUID/crio-ID", "cri-o ID POD"),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a6dc9e2b0ab1d3ae9a2d20c25c2c3d4.slice/crio-ID.scope",
            "cri-o ID 0a6dc9e2b0ab1d3ae9a2d20c25c2c3d4",
        ),
        ("/kubepods.slice/kubepods-podU_D.slice/crio-conmon-ID.scope", "systemd crio-conmon-ID.scope"),
        // Podman as root, rootless, by cgroupfs; its monitor.
        ("/machine.slice/libpod-ID.scope", "podman ID"),
        ("/machine.slice/libpod-ID.scope/container", "podman ID"),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", "podman ID"),
        ("/libpod_parent/libpod-ID", "podman ID"),
        ("/machine.slice/libpod-conmon-ID.scope", "systemd libpod-conmon-ID.scope"),
        // Units.
        ("/system.slice/nginx.service", "systemd nginx.service"),
        ("/system.slice/system-postgresql.slice/postgresql@15-main.service", "systemd postgresql@15-main.service"),
        ("/system.slice/docker.service", "systemd docker.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "systemd session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/api.service/workers", "systemd api.service"),
        ("/init.scope", "systemd init.scope"),
        // Nobody's.
        ("/", ""),
        ("/user.slice", ""),
        ("/ID", ""),
        ("/actions_job/ID", ""),
        ("/docker/buildkit", ""),
        ("/kubepods/burstable/podUID", ""),
        ("/docker-.scope/cri-containerd-xyz.scope", "systemd cri-containerd-xyz.scope"),
    ];
    for (path, expected) in cases {
        assert_eq!(told(path, &Nothing), expected, "{path}");
    }
}

#[test]
fn the_host_may_know_more() {
    assert_eq!(told("/kubepods/burstable/podUID/ID", &Kubelet), "containerd ID shop/web-0");
    assert_eq!(told("/default/ID", &Kubelet), "containerd ID");
    assert_eq!(told("/kubepods/podUID/ID", &ThisHost), "kubernetes ID POD");
}

#[test]
fn the_most_telling_path_counts() {
    let path = |text: &str| place(text.as_bytes(), &Nothing).cgroup;
    // cgroup v1 with Docker, a hybrid host, a v2 one.
    let v1 = format!("11:cpu,cpuacct:/docker/{ID}\n4:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n");
    assert_eq!(path(&v1).as_deref(), Some(&*format!("/docker/{ID}")));
    let hybrid = format!("4:memory:/docker/{ID}\n1:name=systemd:/x\n0::/system.slice/containerd.service\n");
    assert_eq!(path(&hybrid).as_deref(), Some(&*format!("/docker/{ID}")));
    assert_eq!(path("4:memory:/a\n1:name=systemd:/b\n0::/\n").as_deref(), Some("/b"));
    assert_eq!(path("4:memory:/a\n1:name=systemd:/b\n0::/c\n").as_deref(), Some("/c"));
    assert_eq!(path("4:memory:/\n0::/\n").as_deref(), Some("/"));
    assert_eq!(path("0::/system.slice/old.service (deleted)\n").as_deref(), Some("/system.slice/old.service"));
}

#[test]
fn what_makes_no_sense_is_unknown() {
    let long = format!("0::/{}\n", "x".repeat(5000));
    for text in ["", "\n\n", "0::", "0::relative", "nonsense", "::", &long] {
        assert_eq!(place(text.as_bytes(), &Nothing), Default::default(), "{text:?}");
    }
    assert_eq!(place(b"0::/a\xff:b", &Nothing).cgroup.as_deref(), Some("/a\u{fffd}:b"));
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes: Vec<u8>) {
        place(&bytes, &Kubelet);
    }

    /// Made of what paths are made of.
    #[test]
    fn parts_never_panic(parts in prop::collection::vec("(0:|:|/|\n|docker|crio|-|pod|kubepods|\\.slice|\\.scope|\\.service|[0-9a-f]{8,66})", 0..40)) {
        let place = place(parts.concat().as_bytes(), &Kubelet);
        prop_assert!(place.cgroup.is_none_or(|path| path.starts_with('/') && path.len() <= 3 * super::LONGEST_PATH));
        if let Some(container) = place.container {
            prop_assert!(!container.id.is_empty() && !container.id.contains(['/', '\n']));
        }
    }
}
