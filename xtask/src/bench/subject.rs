//! Who is measured: twtrace and its peers.

use super::programs::Costs;
use std::{path::Path, process::Command};

/// The peers' package in Debian, and the folder that it puts them in.
pub(super) const PEERS_PACKAGE: &str = "libbpf-tools";
const PEERS_FOLDER: &str = "/usr/sbin";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Twtrace,
    TwtraceExact,
    Peer(&'static str),
}

impl Subject {
    /// All that are on this machine.
    pub(super) fn all(peers_only: bool) -> Vec<Self> {
        let own = [Self::Twtrace, Self::TwtraceExact];
        let peers = ["tcpstates", "tcplife"];
        let peers = peers.into_iter().filter(|peer| Path::new(PEERS_FOLDER).join(peer).exists());
        own.into_iter().filter(|_| !peers_only).chain(peers.map(Self::Peer)).collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Twtrace => "twtrace",
            Self::TwtraceExact => "twtrace --exact",
            Self::Peer(name) => name,
        }
    }

    /// What starts it; `release` is the folder of this checkout's optimised programs.
    pub(super) fn command(self, release: &Path) -> Command {
        if let Self::Peer(name) = self {
            // Unlike twtrace, they need it mounted where they are.
            const WITH_TRACEFS: &str = "mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; exec \"$0\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", WITH_TRACEFS]).arg(Path::new(PEERS_FOLDER).join(name));
            return command;
        }
        let mut command = Command::new(release.join("twtrace"));
        command.args(["watch", "--format", "json"]);
        if self == Self::TwtraceExact {
            command.arg("--exact");
        }
        command
    }

    /// How many transitions `costs` stands for.
    ///
    /// In twtrace one program runs once for each; of a peer's it is the one that runs most.
    pub(super) fn transitions(self, costs: &Costs) -> u64 {
        let named = matches!(self, Self::Twtrace | Self::TwtraceExact).then_some("set_state");
        let runs = named.and_then(|name| costs.get(name)).map(|cost| cost.runs);
        runs.or(costs.values().map(|cost| cost.runs).max()).unwrap_or_default()
    }
}
