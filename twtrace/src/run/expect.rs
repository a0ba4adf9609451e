//! `twtrace expect`: holds a recording, or what happens while a command runs, against a specification.

use super::{
    child::{self, Child},
    files::Files,
    live::Live,
    record::{ended, header},
    recorder::Recorder,
    recordings,
    replay::{Replayed, Wanted, replay_all},
    session::{Limit, Session},
    stops::{Stops, signals},
    watch::{after, exit_code, is_closed_pipe},
};
use crate::{
    cli::{self, FilterArgs},
    model::filter::Filter,
    sink::{
        Sink,
        expect::{Checked, Checker, End, LONGEST, Spec, ktap},
    },
    stderr,
};
use anyhow::{Context as _, anyhow, bail};
use std::{
    cell::OnceCell,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    rc::Rc,
};
use tokio::{runtime::Runtime, signal::unix::Signal};

/// The exit code of bad usage.
const USAGE: u8 = 2;

/// What a run came to.
struct Run {
    checked: Rc<OnceCell<Checked>>,
    end: End,
    lost: u64,
    /// What went wrong beside it, such as the recording.
    failure: Option<anyhow::Error>,
}

/// `twtrace expect`.
///
/// # Errors
///
/// Where nothing can be traced or read, or the results cannot be written, but for a closed pipe.
pub fn expect(args: &cli::Expect) -> anyhow::Result<ExitCode> {
    let is_stdin = |path: &PathBuf| path.as_os_str() == "-";
    if is_stdin(&args.spec) && args.read.iter().any(is_stdin) {
        bail!("cannot read both from stdin: name a file for one of them");
    }
    let spec = match spec(&args.spec) {
        Ok(spec) => Rc::new(spec),
        Err(error) => {
            stderr::fail(&error);
            return Ok(ExitCode::from(USAGE));
        }
    };
    let Run { checked, end, lost, failure } = if args.read.is_empty() {
        let runtime = Runtime::new().context("cannot start the collector's threads")?;
        runtime.block_on(live(args, &spec))?
    } else {
        recorded(args, &spec)?
    };
    let is_expected = conclude(&checked, end)?;
    if let Some(error) = failure {
        return Err(error);
    }
    Ok(if is_expected { exit_code(args.tracing.fail_on_loss, lost) } else { ExitCode::FAILURE })
}

/// Reads a specification; what is wrong with it is said with its place.
fn spec(path: &Path) -> anyhow::Result<Spec> {
    let name = if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() };
    let input: io::Result<Box<dyn Read>> =
        if name == "stdin" { Ok(Box::new(io::stdin())) } else { File::open(path).map(|file| Box::new(file) as _) };
    let mut bytes = Vec::new();
    // One more than there may be, to be found too long.
    let read = input.and_then(|input| input.take(LONGEST as u64 + 1).read_to_end(&mut bytes));
    read.with_context(|| format!("cannot read {name}"))?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("cannot use {name}: it is no UTF-8 text"))?;
    Spec::parse(&text, &FilterArgs::parse_line)
        .map_err(|bad| anyhow!("cannot use {name}:{}:{}: {}", bad.line, bad.column, bad.error))
}

fn recorded(args: &cli::Expect, spec: &Rc<Spec>) -> anyhow::Result<Run> {
    let recordings = recordings::open(&args.read)?;
    let wanted = Wanted { files: &args.read, filter: &args.filter, all: args.all, transitions: false };
    let mut headers = recordings.iter().map(|recorded| &recorded.header);
    let first = headers.next().context("no recording was given")?;
    let is_asked_for = args.all || !args.filter.words().is_empty();
    if !is_asked_for && headers.any(|header| header.filters != first.filters) {
        bail!("cannot judge recordings that were made with different filters as one: give filters or --all");
    }
    let (checker, checked) = Checker::new(Rc::clone(spec), &wanted.filter(first)?, args.show);
    begin(spec, false)?;
    // The checker knows what the filters leave out since it is unknown.
    let everything = Wanted { filter: &FilterArgs::default(), all: true, ..wanted };
    let Replayed { lost, damaged, cut } =
        replay_all(recordings, &everything, vec![Box::new(checker)], Limit::default())?;
    Ok(Run { checked, end: End { status: None, damaged, cut }, lost, failure: None })
}

async fn live(args: &cli::Expect, spec: &Rc<Spec>) -> anyhow::Result<Run> {
    if args.writing.write.as_deref() == Some(Path::new("-")) {
        bail!("cannot record to stdout, where the results are written: name a file");
    }
    // As long as a command runs, signals are its own.
    let (mut stops, signals) = if args.command.is_empty() {
        (Some(Stops::listen().context("cannot listen for signals")?), None)
    } else {
        (None, Some(signals().context("cannot listen for signals")?))
    };
    let files = args.writing.write.as_deref().map(|path| Files::claim(path, &args.writing)).transpose()?;
    let live = Live::attach(&args.tracing)?;
    let mut child = match signals {
        Some(signals) => Some(spawn(args, signals)?),
        None => None,
    };
    begin(spec, child.is_some())?;
    let mut status = None;
    let until = async {
        if let Some(child) = &mut child {
            status = Some(child.ended().await);
            if let Ok(mut stops) = Stops::listen() {
                tokio::select! {
                    () = stops.first() => {}
                    () = tokio::time::sleep(args.settle) => {}
                }
            }
        } else if let Some(stops) = &mut stops {
            tokio::select! {
                () = stops.first() => {}
                () = after(args.duration) => {}
            }
        }
    };
    let run = trace(args, spec, live, files, until).await;
    let status = match (status, &mut child) {
        (Some(status), _) => Some(status?),
        // Tracing has failed before the command has ended.
        (None, Some(child)) => Some(child.ended().await?),
        (None, None) => None,
    };
    let mut run = run?;
    run.end.status = status.map(child::code);
    Ok(run)
}

/// Judges what happens until then, and records it where that is wanted.
async fn trace(
    args: &cli::Expect,
    spec: &Rc<Spec>,
    live: Live,
    files: Option<Files>,
    until: impl Future<Output = ()>,
) -> anyhow::Result<Run> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    let mut recording = None;
    if let Some(files) = files {
        let name = files.name();
        let recorder = Recorder::start(files, header(&live, &args.filter), &args.writing)?;
        recording = Some((recorder.recording(), name));
        sinks.push(Box::new(recorder));
    }
    let (checker, checked) = Checker::new(Rc::clone(spec), &args.filter.clone().filter(), args.show);
    sinks.push(Box::new(checker));
    let session = Session::new(live.means, Filter::default(), sinks, Limit::default());
    let lost = live.run(session, until).await?.lost();
    let failure = recording.and_then(|(recording, name)| ended(&recording, &name).err());
    Ok(Run { checked, end: End::default(), lost, failure })
}

/// Runs the command. The results have stdout to themselves, so the command's goes to stderr.
fn spawn(args: &cli::Expect, signals: (Signal, Signal)) -> anyhow::Result<Child> {
    Child::spawn(&args.command, Stdio::from(io::stderr()), signals)?
        .with_context(|| format!("cannot run {}", args.command[0].display()))
}

/// Says how many results there will be; also that whoever waits for the probes may begin.
fn begin(spec: &Spec, command: bool) -> anyhow::Result<()> {
    unless_closed(ktap::begin(&mut io::stdout().lock(), spec, command))
}

/// Writes the results; whether all is as expected.
fn conclude(checked: &OnceCell<Checked>, end: End) -> anyhow::Result<bool> {
    let verdict = checked.get().context("the run did not come to its end")?.verdict(end);
    let mut out = io::BufWriter::new(io::stdout().lock());
    unless_closed(ktap::write(&mut out, &verdict).and_then(|()| out.flush()))?;
    let (failed, all) = verdict.failed();
    if failed > 0 {
        stderr::note(&format!("{failed} of {all} tests failed"));
    }
    Ok(failed == 0)
}

/// Whoever has read enough still gets the status.
fn unless_closed(written: io::Result<()>) -> anyhow::Result<()> {
    match written.map_err(anyhow::Error::from) {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        written => written.context("cannot write the results"),
    }
}
