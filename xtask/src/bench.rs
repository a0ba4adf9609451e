//! Measures what twtrace costs, beside its peers and beside nothing at all, in one run.
//!
//! It prints figures with the bars they are held to and never fails for a missed one: how fast a machine is at
//! this moment is no property of the code.

pub(crate) mod crowd;
pub(crate) mod flood;
mod programs;
mod recording;
mod report;
mod states;
mod subject;
mod tracer;

use crate::{cargo, is_root, packages, root, succeed, target};
use anyhow::{Context, Result, ensure};
use flood::{Flood, Shape};
use programs::{Cost, Costs};
use report::{Bar, Report};
use rustix::time::{ClockId, clock_gettime};
use std::{
    fs, hint,
    path::PathBuf,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};
use subject::Subject;
use tracer::{Output, Tracer};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure
    #[arg(value_enum, default_value_t = Part::Tracing)]
    part: Part,
    /// Rounds of each comparison; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds a round lasts
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Seconds of the run that may lose nothing
    #[arg(long, default_value_t = 20)]
    loss_seconds: u64,
    /// Only the peers and the empty program, without twtrace
    #[arg(long)]
    peers_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// What tracing costs
    Tracing,
    /// What a recording costs and how large it is
    Record,
    /// How fast a recording is replayed
    Replay,
    /// How fast `twtrace states` is
    States,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    ensure!(is_root(), "cannot measure BPF programs: needs root (try sudo)");
    ensure!(arguments.rounds > 0 && arguments.seconds > 0, "cannot take a median of nothing");
    let needed = match arguments.part {
        Part::Tracing => &["iproute2", subject::PEERS_PACKAGE][..],
        Part::Record | Part::Replay => &["iproute2"],
        Part::States => &["iproute2", "net-tools"],
    };
    let missing = packages::ensure(needed)?;
    let bench = Bench::prepare(arguments)?;
    let mut report = Report::new()?;
    for package in missing {
        report.note(&format!("not compared with {package}: it is not installed"));
    }
    match arguments.part {
        Part::Tracing => bench.tracing(&mut report, arguments.peers_only)?,
        Part::Record => bench.record(&mut report)?,
        Part::Replay => bench.replay(&mut report)?,
        Part::States => bench.states(&mut report)?,
    }
    report.end();
    Ok(ExitCode::SUCCESS)
}

struct Bench {
    root: PathBuf,
    /// Optimised programs of this checkout.
    release: PathBuf,
    /// What the tracers say on stderr goes here.
    logs: PathBuf,
    subjects: Vec<Subject>,
    rounds: usize,
    lasts: Duration,
    loss_lasts: Duration,
}

impl Bench {
    fn prepare(arguments: &Arguments) -> Result<Self> {
        let root = root()?;
        let target = target(&root);
        let mut build = cargo();
        build.args(["build", "--release", "--locked", "--quiet", "--package=xtask", "--package=twtrace"]);
        succeed(build.current_dir(&root), "build what is measured")?;
        let logs = target.join("xtask/bench");
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        Ok(Self {
            release: target.join("release"),
            logs,
            subjects: Subject::all(arguments.peers_only),
            rounds: arguments.rounds,
            lasts: Duration::from_secs(arguments.seconds),
            loss_lasts: Duration::from_secs(arguments.loss_seconds),
            root,
        })
    }

    fn start(&self, subject: Subject, output: Output) -> Result<Tracer> {
        let command = subject.command(&self.release);
        let log = self.logs.join(format!("{}.stderr", subject.name().replace(' ', "")));
        Tracer::start(command, output, &log)
    }

    fn flood(&self, shape: Shape, lasts: Duration) -> Result<Flood> {
        Flood::run(&mut Command::new(self.release.join("xtask")), shape, lasts)
    }

    fn tracing(&self, report: &mut Report, peers_only: bool) -> Result<()> {
        self.cost_of_a_transition(report)?;
        for shape in [Shape::Pinned, Shape::Pair] {
            self.rate(report, shape)?;
        }
        if !peers_only {
            self.loss(report)?;
            self.system_call(report)?;
        }
        Ok(())
    }

    /// All programs' time by the number of transitions, against that of a program that does nothing and sits on the
    /// same tracepoint during the same flood.
    fn cost_of_a_transition(&self, report: &mut Report) -> Result<()> {
        report.heading("time of all programs a transition (one CPU; in brackets: over the empty program beside them)");
        // On while this lives, whatever becomes of it.
        let _counting = aya::sys::enable_stats(aya::sys::Stats::RunTime).context("cannot count BPF run time")?;
        let _empty = programs::attach_empty(&self.root.join(crate::ebpf::OBJECT))?;
        let mut alone = Vec::new();
        let mut others: Vec<[Vec<f64>; 2]> = vec![Default::default(); self.subjects.len()];
        let mut parts = Costs::new();
        for _ in 0..self.rounds {
            alone.push(self.empty_program(|| self.flood(Shape::Pinned, self.lasts).map(drop))?);
            for (subject, [costs, ratios]) in self.subjects.iter().zip(&mut others) {
                let tracer = self.start(*subject, Output::Nowhere)?;
                let before = programs::costs_of(tracer.pid())?;
                let empty = self.empty_program(|| self.flood(Shape::Pinned, self.lasts).map(drop))?;
                let spent = programs::difference(&before, &programs::costs_of(tracer.pid())?);
                tracer.stop()?;
                let time: Duration = spent.values().map(|cost| cost.time).sum();
                let cost = Cost { runs: subject.transitions(&spent), time }.nanoseconds_a_run();
                costs.push(cost);
                ratios.push(cost / empty);
                if *subject == Subject::Twtrace {
                    parts = spent;
                }
            }
        }
        report.line("empty program alone", &format!("{:.0} ns", median(&mut alone)), None);
        for (subject, [costs, ratios]) in self.subjects.iter().zip(&mut others) {
            let (cost, ratio) = (median(costs), median(ratios));
            let bar = (*subject == Subject::Twtrace).then_some(Bar::AtMost(4.0, ratio));
            report.line(subject.name(), &format!("{cost:.0} ns ({ratio:.2})"), bar);
        }
        for (name, cost) in parts.iter().filter(|(_, cost)| cost.runs > 0) {
            let figure = format!("{:.0} ns a run, {} runs", cost.nanoseconds_a_run(), cost.runs);
            report.line(&format!("  twtrace's {name}"), &figure, None);
        }
        Ok(())
    }

    /// Nanoseconds a run of the empty program, which is attached, during `load`.
    fn empty_program(&self, load: impl FnOnce() -> Result<()>) -> Result<f64> {
        let pid = std::process::id();
        let before = programs::costs_of(pid)?;
        load()?;
        let costs = programs::difference(&before, &programs::costs_of(pid)?);
        let cost = costs.get("empty").context("the empty program was not counted")?;
        ensure!(cost.runs > 0, "the empty program never ran");
        Ok(cost.nanoseconds_a_run())
    }

    /// Connections a second with each subject over those with none, in rounds that take turns.
    fn rate(&self, report: &mut Report, shape: Shape) -> Result<()> {
        // Two threads that wait for one another by turning round spend CPU time that says nothing.
        let (described, by_cpu) = match shape {
            Shape::Pinned => ("one CPU; in brackets: over none, and the same by the flood's CPU time", true),
            Shape::Pair | Shape::Loops => ("a client and a server, any CPU; in brackets: over none", false),
        };
        report.heading(&format!("connect-close flood ({described})"));
        let mut without = Vec::new();
        let mut with: Vec<[Vec<f64>; 3]> = vec![Default::default(); self.subjects.len()];
        for _ in 0..self.rounds {
            let none = self.flood(shape, self.lasts)?;
            without.push(none.rate());
            for (subject, [rates, ratios, cpu_ratios]) in self.subjects.iter().zip(&mut with) {
                let tracer = self.start(*subject, Output::Nowhere)?;
                let flood = self.flood(shape, self.lasts)?;
                tracer.stop()?;
                rates.push(flood.rate());
                ratios.push(flood.rate() / none.rate());
                cpu_ratios.push(flood.rate_of_cpu() / none.rate_of_cpu());
            }
        }
        report.line("none", &format!("{:.0}/s", median(&mut without)), None);
        for (subject, [rates, ratios, cpu_ratios]) in self.subjects.iter().zip(&mut with) {
            let ratio = median(ratios);
            let by_cpu = if by_cpu { format!(", {:.2}", median(cpu_ratios)) } else { String::new() };
            let bar = (*subject == Subject::Twtrace).then_some(Bar::AtLeast(0.93, ratio));
            report.line(subject.name(), &format!("{:.0}/s ({ratio:.2}{by_cpu})", median(rates)), bar);
        }
        Ok(())
    }

    /// The highest rate this machine makes, for long; with what it costs twtrace itself.
    fn loss(&self, report: &mut Report) -> Result<()> {
        let shape = self.highest()?;
        report.heading(&format!(
            "{:?} at the highest rate ({shape:?}), the default ring, JSON into a pipe",
            self.loss_lasts
        ));
        let tracer = self.start(Subject::Twtrace, Output::Tail)?;
        let (memory, wake_ups, cpu) = (tracer.resident()?, tracer.wake_ups()?, tracer.cpu_time()?);
        let flood = self.flood(shape, self.loss_lasts)?;
        let seconds = flood.lasted.as_secs_f64();
        let memory = tracer.resident()?.saturating_sub(memory);
        let wake_ups = tracer.wake_ups()?.saturating_sub(wake_ups);
        let cpu = tracer.cpu_time()?.saturating_sub(cpu).as_secs_f64();
        let tail = tracer.stop()?;
        let summary = tail.lines().rev().find(|line| line.contains(r#""type":"summary""#));
        let summary = summary.context("twtrace printed no summary")?;
        let number =
            |name: &str| number_after(summary, name).with_context(|| format!("the summary has no {name}: {summary}"));
        let (events, lost) = (number("events_received")?, number("events_lost")?);
        report.line("connections", &format!("{:.0}/s, {} in all", flood.rate(), flood.connections), None);
        report.line("events received", &format!("{:.0}/s, {events} in all", events as f64 / seconds), None);
        let figure = format!("{lost} {}", object_after(summary, "lost_by_place").unwrap_or_default());
        report.line("events lost", &figure, Some(Bar::AtMost(0.0, lost as f64)));
        let share = wake_ups as f64 / events.max(1) as f64;
        let figure = format!("{:.0}/s, {share:.5} an event", wake_ups as f64 / seconds);
        report.line("wake-ups", &figure, Some(Bar::AtMost(0.01, share)));
        // Both ends of each connection are on this host, so each is two lifecycles.
        let each = memory as f64 / (2 * flood.connections).max(1) as f64;
        let figure = format!("{each:.0} bytes, {} MiB more in all", memory >> 20);
        report.line("memory a lifecycle", &figure, None);
        report.line("CPU of twtrace", &format!("{:.2} of one", cpu / seconds), None);
        Ok(())
    }

    /// The shape that makes the most connections here.
    fn highest(&self) -> Result<Shape> {
        let probe = Duration::from_secs(1);
        let pair = self.flood(Shape::Pair, probe)?.rate();
        let loops = self.flood(Shape::Loops, probe)?.rate();
        Ok(if pair > loops { Shape::Pair } else { Shape::Loops })
    }

    /// What a system call that has nothing to do with TCP pays while twtrace runs.
    fn system_call(&self, report: &mut Report) -> Result<()> {
        report.heading("a system call that does nothing (getppid; in brackets: over none)");
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            without.push(getppid_nanoseconds()?);
            let tracer = self.start(Subject::Twtrace, Output::Nowhere)?;
            with.push(getppid_nanoseconds()?);
            tracer.stop()?;
        }
        let (without, with) = (median(&mut without), median(&mut with));
        report.line("none", &format!("{without:.0} ns"), None);
        report.line("twtrace", &format!("{with:.0} ns ({:.2})", with / without), None);
        Ok(())
    }
}

/// On a thread that stays on one CPU, so that this process itself does not.
fn getppid_nanoseconds() -> Result<f64> {
    const CALLS: u32 = 3_000_000;
    let measured = thread::spawn(|| -> Result<f64> {
        flood::pin_to_one_cpu()?;
        let cpu = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime));
        let start = cpu()?;
        for _ in 0..CALLS {
            hint::black_box(rustix::process::getppid());
        }
        Ok((cpu()? - start).as_nanos() as f64 / f64::from(CALLS))
    });
    measured.join().map_err(|_| anyhow::anyhow!("the measuring thread panicked"))?
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The number of the JSON field `name` in `line`.
fn number_after(line: &str, name: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
    let rest = rest.trim_start();
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The text of the JSON object that is the field `name` in `line`.
fn object_after<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
    let end = rest.find('}')?;
    Some(&rest[..=end])
}

#[cfg(test)]
mod tests {
    use super::{median, number_after, object_after};

    #[test]
    fn the_middle_one_counts() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [3.0]), 3.0);
    }

    #[test]
    fn a_number_is_found_by_its_field() {
        assert_eq!(number_after(r#"{"a":1,"events_lost":42}"#, "events_lost"), Some(42));
        assert_eq!(number_after(r#"{"events_lost":null}"#, "events_lost"), None);
        assert_eq!(object_after(r#"{"lost":{"ring":3},"x":{}}"#, "lost"), Some(r#"{"ring":3}"#));
    }
}
