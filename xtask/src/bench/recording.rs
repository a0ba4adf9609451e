//! What a recording costs: events lost beside it, CPU time, bytes on the disk, and the time that a replay takes.

use super::{
    Bench,
    flood::Shape,
    number_after,
    report::{Bar, Report},
    tracer::{Output, Tracer},
};
use crate::cargo;
use anyhow::{Context, Result, ensure};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Longer than a TIME_WAIT, whose end is a row of the recording, too.
const SIZED: Duration = Duration::from_secs(75);
/// A core replays as many transitions in a second.
const REPLAY: f64 = 3e6;

/// What traces: without a recording, with one on the side, and recording alone.
const TRACERS: [(&str, &[&str]); 3] = [
    ("watch --format json", &["watch", "--format", "json"]),
    ("watch --format json -w", &["watch", "--format", "json", "-w"]),
    ("record -w", &["record", "-w"]),
];

impl Bench {
    /// Losses and CPU time with a recording and without, and the recording's size.
    pub(super) fn record(&self, report: &mut Report) -> Result<()> {
        let shape = self.highest()?;
        report.heading(&format!("{:?} at the highest rate ({shape:?}), the default ring", self.loss_lasts));
        for (name, arguments) in TRACERS {
            let (file, connections, cpu, output) = self.traced(arguments, shape, self.loss_lasts)?;
            let lost = match output.lines().rev().find(|line| line.contains(r#""type":"summary""#)) {
                Some(summary) => number_after(summary, "events_lost").context("a summary without events_lost")? as f64,
                None => self.figures(&file)?["lost"],
            };
            let each = cpu.as_nanos() as f64 / (connections * 10).max(1) as f64;
            let figure = format!("{lost} lost, {connections} connections, {each:.0} ns of CPU a transition");
            report.line(name, &figure, Some(Bar::AtMost(0.0, lost)));
        }
        report.heading(&format!("the recording of {SIZED:?} at the highest rate"));
        let (file, ..) = self.traced(TRACERS[2].1, shape, SIZED)?;
        let figures = self.figures(&file)?;
        let each = figures["bytes"] / figures["transitions"];
        let figure = format!("{each:.2} ({} transitions in {} rows)", figures["transitions"], figures["rows"]);
        report.line("bytes a transition", &figure, Some(Bar::AtMost(16.0, each)));
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
    }

    /// CPU time of reading a recording, with the tracker and without.
    pub(super) fn replay(&self, report: &mut Report) -> Result<()> {
        let shape = self.highest()?;
        report.heading(&format!("the replay of {:?} at the highest rate ({shape:?})", self.loss_lasts));
        let (file, ..) = self.traced(TRACERS[2].1, shape, self.loss_lasts)?;
        let figures = self.figures(&file)?;
        report.line("reading", &format!("{:.0} ns a row", figures["read_ns_per_row"]), None);
        report.line("writing", &format!("{:.0} ns a row", figures["write_ns_per_row"]), None);
        let each = figures["replay_ns_per_transition"];
        let rate = 1e9 / each;
        let figure = format!("{:.2} million/s, {each:.0} ns each", rate / 1e6);
        report.line("reading and the tracker", &figure, Some(Bar::AtLeast(REPLAY, rate.round())));
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
    }

    /// Floods beside `twtrace ARGUMENTS`: the recording, if there is one, connections, CPU time and the output's tail.
    fn traced(&self, arguments: &[&str], shape: Shape, lasts: Duration) -> Result<(PathBuf, u64, Duration, String)> {
        let file = self.logs.join("bench.arrows");
        let mut command = Command::new(self.release.join("twtrace"));
        command.args(arguments);
        if arguments.last() == Some(&"-w") {
            command.arg(&file).arg("--force");
        }
        let tracer = Tracer::start(command, Output::Tail, &self.logs.join("recording.stderr"))?;
        let before = tracer.cpu_time()?;
        let flood = self.flood(shape, lasts)?;
        let cpu = tracer.cpu_time()?.saturating_sub(before);
        Ok((file, flood.connections, cpu, tracer.stop()?))
    }

    /// What twtrace's own benchmark says of a recording.
    fn figures(&self, file: &Path) -> Result<BTreeMap<String, f64>> {
        let mut bench = cargo();
        bench.args(["bench", "--quiet", "--locked", "--package=twtrace", "--bench=replay", "--"]).arg(file);
        let output = bench.current_dir(&self.root).stderr(Stdio::inherit()).output();
        let output = output.context("cannot start cargo bench")?;
        ensure!(output.status.success(), "the benchmark of {} failed", file.display());
        let text = String::from_utf8(output.stdout)?;
        let figures = text.lines().filter_map(|line| line.split_once(' '));
        figures.map(|(name, figure)| Ok((name.to_owned(), figure.trim().parse()?))).collect()
    }
}
