//! The full-screen view of a run: what it needs to know, and what it asks for.

use super::{
    on_demand::{OnDemand, ReadCounters},
    report,
};
use crate::{
    cli,
    model::filter::Filter,
    sink::{
        Sink,
        tui::{Command, Doing, Options, Theme, Tui},
    },
    stderr,
    trace::Header,
};
use anyhow::Context as _;
use std::{
    cell::RefCell,
    env,
    io::{self, IsTerminal as _},
    rc::Rc,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// What the run is doing, for the view to show it.
pub(super) type SharedDoing = Rc<RefCell<Doing>>;

/// The run's end of it.
pub(super) struct Screen {
    asked: UnboundedSender<Command>,
    commands: UnboundedReceiver<Command>,
    /// The terminal is gone.
    hangup: Signal,
}

/// The view is what is wanted: asked for, or the output is a terminal that can show it and nothing was asked for that
/// rows alone have.
pub(super) fn is_wanted(args: &cli::Watch) -> bool {
    let wants_rows = args.events || args.wall_time || args.relative_time;
    match args.format {
        cli::Format::Tui => true,
        cli::Format::Auto if wants_rows => false,
        cli::Format::Auto => io::stdout().is_terminal() && env::var_os("TERM").is_some_and(|term| term != "dumb"),
        _ => false,
    }
}

/// There is a terminal to draw on.
pub(super) fn check() -> anyhow::Result<()> {
    anyhow::ensure!(
        io::stdout().is_terminal(),
        "cannot open the full-screen view: stdout is not a terminal; --format text, json and csv write anywhere"
    );
    Ok(())
}

/// What the view of a run with this header works with.
pub(super) fn options(header: &Header, filter: Filter, replayed: bool) -> Options {
    Options { filter, parse: cli::FilterArgs::parse_line, host: report::host(header), replayed, theme: theme() }
}

/// Colours, unless NO_COLOR says otherwise (<https://no-color.org>): set to anything but nothing.
fn theme() -> Theme {
    if env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) { Theme::Colours } else { Theme::Plain }
}

/// What the run is doing, and what was said on the side last.
pub(super) fn status(doing: &SharedDoing) -> Box<dyn Fn() -> Doing> {
    let doing = doing.clone();
    Box::new(move || Doing { said: stderr::last(), ..doing.borrow().clone() })
}

impl Screen {
    pub(super) fn new() -> anyhow::Result<Self> {
        check()?;
        let (asked, commands) = unbounded_channel();
        Ok(Self { asked, commands, hangup: hangup()? })
    }

    /// The view, which takes the terminal when tracing begins, and what records when it says so.
    pub(super) fn sinks(&mut self, header: &Header, args: &cli::Watch, counters: ReadCounters) -> Vec<Box<dyn Sink>> {
        let doing = SharedDoing::default();
        let mut recorder = None;
        let toggle = match &args.writing.write {
            Some(file) => {
                doing.borrow_mut().recording = Some(file.display().to_string());
                None
            }
            None => {
                let (sink, toggle) = OnDemand::new(header.clone(), &args.writing, doing.clone(), counters);
                recorder = Some(sink);
                Some(toggle)
            }
        };
        let asked = self.asked.clone();
        let ask = Box::new(move |command| match (command, &toggle) {
            (Command::Record, Some(toggle)) => toggle.set(!toggle.get()),
            (Command::Record, None) => stderr::note("recording since the start, with -w: it ends with the run"),
            // Nobody takes it any more when the run is over.
            _ => drop(asked.send(command).ok()),
        });
        let options = options(header, args.filter.clone().filter(), false);
        let view: Box<dyn Sink> = Box::new(Tui::new(&options, io::stderr(), ask, status(&doing)));
        let recorder = recorder.map(|recorder| -> Box<dyn Sink> { Box::new(recorder) });
        [view].into_iter().chain(recorder).collect()
    }

    /// Somebody wants to leave, or the terminal is gone.
    pub(super) async fn left(&mut self) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => return,
                command = self.commands.recv() => if matches!(command, None | Some(Command::Quit)) { return },
            }
        }
    }
}

/// SIGHUP: the terminal has gone.
pub(super) fn hangup() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("cannot listen for signals")
}
