//! `twtrace record`, and what `watch -w` has of it.

use super::{
    child::{self, Child},
    files::Files,
    live::Live,
    metrics::Server,
    recorder::{End, Recorder, Recording},
    session::{Limit, Session},
    stops::{Stops, signals},
    watch::{after, exit_code},
};
use crate::{
    cli,
    model::{filter::Filter, tracker::Means},
    probe::{host, sysctl},
    sink::{Sink, progress::Progress},
    stderr,
    trace::Header,
};
use anyhow::{Context as _, anyhow};
use std::{
    io::{self, IsTerminal as _},
    path::Path,
    process::{ExitCode, Stdio},
    sync::Arc,
};
use tokio::runtime::Runtime;

/// `twtrace record`.
///
/// # Errors
///
/// Where nothing can be traced or written.
pub fn record(args: &cli::Record) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::new().context("cannot start the collector's threads")?;
    runtime.block_on(live(args))
}

async fn live(args: &cli::Record) -> anyhow::Result<ExitCode> {
    let path = args.writing.write.as_deref().context("no file was given: -w FILE")?;
    if path == Path::new("-") && !args.command.is_empty() {
        anyhow::bail!("cannot record to stdout, which is {}'s: name a file", args.command[0].display());
    }
    if args.command.is_empty() {
        let mut stops = Stops::listen().context("cannot listen for signals")?;
        let files = Files::claim(path, &args.writing)?;
        let live = Live::attach(&args.tracing)?;
        let lost = run(args, files, live, stops.first()).await?;
        return Ok(exit_code(args.tracing.fail_on_loss, lost));
    }
    let signals = signals().context("cannot listen for signals")?;
    let files = Files::claim(path, &args.writing)?;
    let live = Live::attach(&args.tracing)?;
    let mut child = match Child::spawn(&args.command, Stdio::inherit(), signals)? {
        Ok(child) => child,
        Err(error) => {
            let code = child::code_of_unstarted(&error);
            stderr::fail(&anyhow!(error).context(format!("cannot run {}", args.command[0].display())));
            return Ok(ExitCode::from(code));
        }
    };
    let mut status = None;
    let recorded = run(args, files, live, async { status = Some(child.ended().await) }).await;
    // The recording may have its end before the command has.
    let status = match status {
        Some(status) => status?,
        None => child.ended().await?,
    };
    match (child::code(status), recorded) {
        (0, recorded) => Ok(exit_code(args.tracing.fail_on_loss, recorded?)),
        (code, recorded) => {
            if let Err(error) = recorded {
                stderr::fail(&error);
            }
            Ok(ExitCode::from(code))
        }
    }
}

/// Records until then; gives the number of events that were lost.
async fn run(args: &cli::Record, files: Files, live: Live, until: impl Future<Output = ()>) -> anyhow::Result<u64> {
    let name = files.name();
    let server = Server::listen(&args.metrics).await?;
    let recorder = Recorder::start(files, header(&live, &args.filter), &args.writing)?;
    let recording = recorder.recording();
    let size = recording.clone();
    // A command has the terminal to itself.
    let terminal = io::stderr().is_terminal() && args.command.is_empty();
    let progress = Progress::new(io::stderr(), name.clone(), terminal, Box::new(move || size.bytes()));
    // The recorder comes first: it has written all when the other sums up.
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(recorder), Box::new(progress)];
    let means = Means { show_transitions: server.is_some(), ..live.means };
    sinks.extend(server.map(|server| server.start(args.filter.clone().filter(), &header(&live, &args.filter))));
    let session = Session::new(means, Filter::default(), sinks, Limit::default());
    let until = async {
        tokio::select! {
            () = until => {}
            () = after(args.duration) => {}
            () = recording.over() => {}
        }
    };
    let session = live.run(session, until).await?;
    ended(&recording, &name)?;
    Ok(session.lost())
}

/// Says how the recording ended where that was not with the run.
pub(super) fn ended(recording: &Arc<Recording>, name: &str) -> anyhow::Result<()> {
    match recording.end().transpose()? {
        Some(End::Full) => log::warn!("{name} has its --max-size: the recording has ended"),
        Some(End::Finished | End::Closed) | None => {}
    }
    Ok(())
}

/// What a reader has to know.
pub(super) fn header(live: &Live, filter: &cli::FilterArgs) -> Header {
    Header {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: host::name(),
        boot: host::boot(),
        piece: 1,
        own_netns: live.own,
        command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        filters: filter.words(),
        sysctls: sysctl::all(),
        attached: live.attached.clone(),
        means: live.means,
    }
}
