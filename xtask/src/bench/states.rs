//! `twtrace states` beside what is used for it now, on the same sockets.
//!
//! `ss -s` prints five sums that the kernel keeps anyway (/proc/net/sockstat): it knows no state but TIME_WAIT and no
//! destination, looks at no socket, and so is quicker than anything that does.

use super::{Bench, crowd::Crowd, median, report::Report};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
    time::Instant,
};

/// Connections in TIME_WAIT, and open ones, which have two sockets each.
const CROWDS: [(u64, u64); 2] = [(95_000, 2_500), (70_000, 9_000)];

/// Each counts by state.
const PEERS: [(&str, &str); 4] = [
    ("netstat -n | awk", "netstat -n | awk '/^tcp/ {n[$6]++} END {for (s in n) print s, n[s]}'"),
    ("netstat -tan | awk", "netstat -tan | awk '/^tcp/ {n[$6]++} END {for (s in n) print s, n[s]}'"),
    ("ss -tan | awk", "ss -tan | awk 'NR > 1 {n[$1]++} END {for (s in n) print s, n[s]}'"),
    ("ss -s", "ss -s"),
];

impl Bench {
    /// Wall time of each, over that of twtrace.
    pub(super) fn states(&self, report: &mut Report) -> Result<()> {
        for (waiting, open) in CROWDS {
            report.heading(&format!(
                "counting {} sockets: {waiting} in TIME_WAIT, {} open (milliseconds; in brackets: over twtrace's)",
                waiting + 2 * open,
                2 * open
            ));
            let program = self.release.join("twtrace");
            // The other namespaces of the host are no part of the comparison.
            let own = format!("{} states --netns=NETNS", program.display());
            let subjects = [
                ("twtrace --no-processes", format!("{own} --no-processes")),
                ("twtrace", own.clone()),
                ("twtrace --format json", format!("{own} --format json")),
            ];
            let peers = PEERS.map(|(name, command)| (name, command.to_owned()));
            let subjects: Vec<_> = subjects.into_iter().chain(peers).collect();
            let mut times = vec![Vec::new(); subjects.len()];
            // TIME_WAIT lasts for a minute, so each round has its own.
            for _ in 0..self.rounds {
                let crowd = Crowd::gather(&mut Command::new(self.release.join("xtask")), waiting, open)?;
                for ((_, command), times) in subjects.iter().zip(&mut times) {
                    times.push(milliseconds(&crowd, command)?);
                }
            }
            let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
            for ((name, _), time) in subjects.iter().zip(&medians) {
                report.line(name, &format!("{time:.1} ({:.2})", time / medians[1]), None);
            }
        }
        Ok(())
    }
}

fn milliseconds(crowd: &Crowd, command: &str) -> Result<f64> {
    let netns = format!("/proc/{}/ns/net", crowd.pid());
    let command = command.replace("NETNS", &fs::metadata(&netns)?.ino().to_string());
    let netns = format!("--net={netns}");
    let begin = Instant::now();
    let status = Command::new("nsenter").args([&netns, "sh", "-c", &command]).stdout(Stdio::null()).status();
    ensure!(status.context("cannot start nsenter (util-linux)")?.success(), "{command} failed");
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}
