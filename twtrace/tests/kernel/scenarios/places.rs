//! In which cgroup and container the processes run.

use super::HELD;
use crate::case::{Case, Pair};
use crate::net::run;
use crate::puppet::Puppet;
use crate::{Play::Shared, Scenario, Tier};
use anyhow::Result;
use serde_json::json;

pub(super) fn all() -> Vec<Scenario> {
    vec![Scenario { name: "cgroup_and_container", play: Shared(cgroup_and_container), tiers: Tier::ALL }]
}

/// A cgroup of the unified hierarchy; gone when dropped, once its processes are.
struct Cgroup(String);

/// The hierarchy is mounted where nobody else sees it, for a host may have it anywhere or nowhere.
const MOUNT: &str = "mount -t cgroup2 none /tmp && cd /tmp";

impl Cgroup {
    fn with(path: &str, pid: u32) -> Result<Self> {
        let script = format!("{MOUNT} && mkdir -p {path} && echo {pid} > {path}/cgroup.procs");
        run("unshare", &["--mount", "sh", "-c", &script])?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // One that is left behind does no harm and has a name that says whose it was.
        let _ignored = run("unshare", &["--mount", "sh", "-c", &format!("{MOUNT} && rmdir -p {}", self.0)]);
    }
}

/// A server as Docker would run it and a client as systemd would, in cgroups that are made for them.
fn cgroup_and_container(case: &Case) -> Result<()> {
    const ID: &str = "01fd96f7ad292b02a8317cde4ecb8c7ef3cc06ffdd113f13410e0837eb2b2a20";
    let (client, mut server) = (Puppet::new(case.home())?, Puppet::new(case.home())?);
    let parent = format!("twtrace-{}", server.pid());
    let docker = Cgroup::with(&format!("{parent}/docker-{ID}.scope"), server.pid())?;
    let unit = Cgroup::with(&format!("{parent}/api.service/worker"), client.pid())?;
    let listening = server.does(&format!("listen l {} 8", case.at(0)))?.end()?;
    let mut pair = Pair::again(case.tier, client, server, listening, "")?;
    pair.client_closes_first(HELD)?;
    case.life("server", pair.server_end, pair.client_end)?.says(&json!({
        "cgroup": format!("/{}", docker.0), "container": ID, "container_runtime": "docker", "pod": null,
    }));
    case.life("client", pair.client_end, pair.server_end)?.says(&json!({
        "cgroup": format!("/{}", unit.0), "container": "api.service", "container_runtime": "systemd", "pod": null,
    }));
    // The cgroups go when nobody is in them.
    drop(pair);
    Ok(())
}
