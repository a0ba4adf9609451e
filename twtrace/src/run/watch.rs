//! `twtrace watch`: shows, live or out of recordings.

use super::{
    files::Files,
    live::Live,
    metrics::Server,
    player,
    record::{ended, header},
    recorder::{Recorder, Recording},
    recordings,
    replay::{Replayed, Wanted, replay},
    screen::{self, Screen},
    session::{Limit, Session},
    stops::Stops,
};
use crate::{
    cli,
    model::tracker::Means,
    sink::{Sink, Untold, csv::Csv, json::Json, text},
    stderr,
};
use anyhow::Context as _;
use std::{
    io::{self, IsTerminal as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::runtime::Runtime;

/// The exit code of a run that lost events when `--fail-on-loss` was given.
const LOST: u8 = 3;

/// `twtrace watch`.
///
/// # Errors
///
/// Where nothing can be traced or read, or the output fails for another reason than a closed pipe.
pub fn watch(args: &cli::Watch) -> anyhow::Result<ExitCode> {
    let outcome = if args.read.is_empty() {
        let runtime = Runtime::new().context("cannot start the collector's threads")?;
        runtime.block_on(live(args))
    } else {
        recorded(args)
    };
    match outcome {
        // Wherever it was found out: the header may meet it already.
        Err(error) if is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        outcome => outcome,
    }
}

fn recorded(args: &cli::Watch) -> anyhow::Result<ExitCode> {
    // Several together have no time of their own that could be stopped.
    let several = args.format == cli::Format::Auto && args.read.len() > 1 && recordings::open(&args.read)?.len() > 1;
    let is_screen = screen::is_wanted(args) && !several;
    let transitions = args.events || is_screen;
    let wanted = Wanted { files: &args.read, filter: &args.filter, all: args.all, transitions };
    if is_screen {
        return player::play(&wanted, args);
    }
    let Replayed { lost, damaged, .. } = replay(&wanted, vec![sink(args)], limit(args))?;
    Ok(if damaged { ExitCode::FAILURE } else { exit_code(args.tracing.fail_on_loss, lost) })
}

async fn live(args: &cli::Watch) -> anyhow::Result<ExitCode> {
    let mut stops = Stops::listen().context("cannot listen for signals")?;
    let mut screen = if screen::is_wanted(args) { Some(Screen::new()?) } else { None };
    let files = args.writing.write.as_deref().map(|path| claim(path, args)).transpose()?;
    let server = Server::listen(&args.metrics).await?;
    let live = Live::attach(&args.tracing)?;
    let header = || header(&live, &args.filter);
    let mut sinks = match &mut screen {
        Some(screen) => screen.sinks(&header(), args, Box::new(live.counters())),
        None => vec![sink(args)],
    };
    let mut transitions = args.events || screen.is_some();
    if let Some(server) = server {
        if !transitions {
            // The metrics count them, and nobody else asked for them.
            sinks = sinks.into_iter().map(|sink| Box::new(Untold(sink)) as Box<dyn Sink>).collect();
            transitions = true;
        }
        sinks.push(server.start(args.filter.clone().filter(), &header()));
    }
    let mut recording = None;
    if let Some(files) = files {
        let name = files.name();
        let recorder = Recorder::start(files, header(), &args.writing)?;
        recording = Some(tokio::spawn(watch_over(recorder.recording(), name)));
        sinks.push(Box::new(recorder));
    }
    let means = Means { show_transitions: transitions, ..live.means };
    let session = Session::new(means, args.filter.clone().filter(), sinks, limit(args));
    let left = async {
        match &mut screen {
            Some(screen) => screen.left().await,
            None => std::future::pending().await,
        }
    };
    let until = async {
        tokio::select! {
            () = stops.first() => {}
            () = after(args.duration) => {}
            () = left => {}
        }
    };
    // Without the session, the recording has its end.
    let outcome = live.run(session, until).await.map(|session| session.lost());
    let recorded = match recording {
        Some(recording) => recording.await.context("watching over the recording broke down")?,
        None => true,
    };
    match outcome {
        Err(error) if recorded || !is_closed_pipe(&error) => Err(error),
        Ok(lost) if recorded => Ok(exit_code(args.tracing.fail_on_loss, lost)),
        _ => Ok(ExitCode::FAILURE),
    }
}

fn claim(path: &Path, args: &cli::Watch) -> anyhow::Result<Files> {
    if path == Path::new("-") {
        anyhow::bail!("cannot record to stdout, where the connections are shown: use twtrace record -w -");
    }
    Files::claim(path, &args.writing)
}

/// Says at once when the recording fails or has its size, for the run goes on; false where it failed.
async fn watch_over(recording: Arc<Recording>, name: String) -> bool {
    recording.over().await;
    let ended = ended(&recording, &name);
    ended.inspect_err(stderr::fail).is_ok()
}

fn limit(args: &cli::Watch) -> Limit {
    let early = matches!(args.format, cli::Format::Auto | cli::Format::Tui | cli::Format::Text);
    Limit { lifecycles: args.count.map(Into::into), early }
}

/// A run that is over, and what it lost.
pub(super) fn exit_code(fail_on_loss: bool, lost: u64) -> ExitCode {
    if fail_on_loss && lost > 0 { ExitCode::from(LOST) } else { ExitCode::SUCCESS }
}

/// When the time is up; never without one.
pub(super) async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn sink(args: &cli::Watch) -> Box<dyn Sink> {
    let (out, notes) = (io::stdout(), io::stderr());
    match args.format {
        cli::Format::Json => Box::new(Json::new(out)),
        cli::Format::Csv => Box::new(Csv::new(out, notes, args.events)),
        cli::Format::Auto | cli::Format::Tui | cli::Format::Text => {
            let options = text::Options {
                wall_time: args.wall_time,
                relative_time: args.relative_time,
                connection: args.events,
                terminal: out.is_terminal(),
            };
            Box::new(text::Text::new(out, notes, options))
        }
    }
}

pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
