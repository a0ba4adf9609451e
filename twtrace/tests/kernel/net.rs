//! Network namespaces that a scenario makes for itself, and what the kernel says of them besides twtrace.

use crate::Tier;
use crate::actor::monotonic;
use crate::puppet::{Act, until};
use anyhow::{Context, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A network namespace with a tier's addresses on its loopback; gone when dropped.
pub(crate) struct Netns {
    name: String,
    path: String,
    inode: u64,
}

impl Netns {
    pub(crate) fn new(tier: Tier) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("twtrace-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name])?;
        let path = format!("/run/netns/{name}");
        let netns = Self { inode: std::fs::metadata(&path)?.ino(), path, name };
        netns.ip("link set lo up")?;
        netns.ip(&format!("address add {}/32 dev lo", tier.host(1)))?;
        netns.ip(&format!("address add {}/128 dev lo nodad", tier.host_v6()))?;
        Ok(netns)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn inode(&self) -> u64 {
        self.inode
    }

    /// `ip` inside.
    pub(crate) fn ip(&self, arguments: &str) -> Result<()> {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments.split_whitespace());
        run("ip", &all).map(drop)
    }

    /// Any command inside.
    pub(crate) fn run(&self, command: &str) -> Result<String> {
        let mut all = vec!["netns", "exec", &self.name];
        all.extend(command.split_whitespace());
        run("ip", &all)
    }

    /// Sets a sysctl below `net.ipv4`.
    pub(crate) fn set(&self, name: &str, value: &str) -> Result<()> {
        let write = format!("echo {value} > /proc/sys/net/ipv4/{name}");
        run("ip", &["netns", "exec", &self.name, "sh", "-c", &write]).map(drop)
    }

    /// A counter of /proc/net/snmp or /proc/net/netstat.
    pub(crate) fn counter(&self, name: &str) -> Result<u64> {
        let text = self.run("cat /proc/net/snmp /proc/net/netstat")?;
        let lines: Vec<&str> = text.lines().collect();
        let pairs = lines.chunks_exact(2).flat_map(|pair| pair[0].split(' ').zip(pair[1].split(' ')));
        let mut found = pairs.filter(|(key, _)| *key == name);
        let (_, value) = found.next().with_context(|| format!("no counter {name}"))?;
        Ok(value.parse()?)
    }

    /// Waits until a counter has this value: the kernel may count after the peer has seen what it counts.
    pub(crate) fn counts(&self, name: &str, value: u64) -> Result<()> {
        let what = format!("{name} is {value}");
        until(&what, Duration::from_secs(5), || Ok(self.counter(name)? == value))
    }
}

/// Two namespaces and a wire between them.
pub(crate) struct Wire {
    pub(crate) here: Netns,
    pub(crate) there: Netns,
    /// The address there.
    pub(crate) far: Ipv4Addr,
}

impl Wire {
    /// With the tier's hosts of this number and the next.
    pub(crate) fn new(tier: Tier, number: u8) -> Result<Self> {
        let (here, there) = (Netns::new(tier)?, Netns::new(tier)?);
        here.ip(&format!("link add wire type veth peer name wire netns {}", there.name))?;
        let (near, far) = (tier.host(number), tier.host(number + 1));
        for (end, address) in [(&here, near), (&there, far)] {
            end.ip(&format!("address add {address}/24 dev wire"))?;
            end.ip("link set wire up")?;
        }
        Ok(Self { here, there, far })
    }

    /// What is sent from here to this address goes out and is lost, without a word.
    pub(crate) fn lose(&self, address: Ipv4Addr) -> Result<()> {
        self.here.ip(&format!("neighbour replace {address} lladdr 02:00:00:00:00:09 dev wire"))
    }

    /// No longer.
    pub(crate) fn mend(&self, address: Ipv4Addr) -> Result<()> {
        self.here.ip(&format!("neighbour delete {address} dev wire"))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // A namespace that is left behind does no harm and has a name that says whose it was.
        let _ignored = run("ip", &["netns", "delete", &self.name]);
    }
}

/// What `ss` shows of one connection's end.
pub(crate) fn ss(netns: &Netns, local: SocketAddr, remote: SocketAddr) -> Result<String> {
    let filter = format!("src = {local} and dst = {remote}");
    run("ss", &["-N", &netns.name, "-Htan", &filter])
}

/// What `ss -i` says of one end.
pub(crate) struct Figures {
    /// Bytes that the other side has not acknowledged, or the process has not read.
    pub(crate) waiting: u64,
    pub(crate) sent: Option<u64>,
    /// Segments.
    pub(crate) sent_again: Option<u64>,
}

pub(crate) fn ss_figures(netns: &Netns, local: SocketAddr, remote: SocketAddr) -> Result<Figures> {
    let text = run("ss", &["-N", &netns.name, "-OHtin", &format!("src = {local} and dst = {remote}")])?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, received, sent, ..] = words[..] else { anyhow::bail!("ss says {text:?}") };
    let after = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    Ok(Figures {
        waiting: received.parse::<u64>()? + sent.parse::<u64>()?,
        sent: after("bytes_sent:").and_then(|count| count.parse().ok()),
        // `now/in all`; not there before the first one.
        sent_again: after("retrans:").and_then(|counts| counts.split('/').nth(1)?.parse().ok()),
    })
}

/// Has the kernel destroy one end of a connection; gives when that was, and the pid of the `ss` that asked for it.
pub(crate) fn destroy(netns: &Netns, local: SocketAddr, remote: SocketAddr) -> Result<(Act, u32)> {
    let filter = format!("src = {local} and dst = {remote}");
    let before = monotonic();
    let mut ss = Command::new("ss");
    ss.args(["-N", &netns.name, "-KHtan", &filter]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = ss.spawn()?;
    let pid = child.id();
    let output = child.wait_with_output()?;
    let shown = String::from_utf8_lossy(&output.stdout);
    let one = output.status.success() && shown.lines().count() == 1;
    ensure!(one, "ss -K destroyed not one socket but {shown:?}");
    Ok((Act::between(before, monotonic()), pid))
}

/// Whether programs may read kernel memory through typed pointers alone: LOCKDOWN_BPF_READ_KERNEL.
pub(crate) fn is_confidential() -> bool {
    let lockdown = std::fs::read_to_string("/sys/kernel/security/lockdown");
    lockdown.is_ok_and(|modes| modes.contains("[confidentiality]"))
}

/// CONFIG_HZ, where the kernel tells how it was built.
pub(crate) fn jiffies_a_second() -> Option<u32> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let told = run("zcat", &["/proc/config.gz"]);
    let config = told.ok().or_else(|| std::fs::read_to_string(format!("/boot/config-{}", release.trim())).ok())?;
    config.lines().find_map(|line| line.strip_prefix("CONFIG_HZ=")?.parse().ok())
}

/// What a program says that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("cannot run {program}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
