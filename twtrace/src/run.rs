//! A live run: one source, one tracker, some sinks.

mod audit;
mod doctor;
mod engine;

pub use doctor::doctor;

use crate::{
    cli,
    model::{Ktime, Observation, observation::Table, tracker::Means},
    probe::{
        ask, clock,
        collect::{Batch, collect},
        counters,
        decode::Decoder,
        jiffies,
        load::{self, Loaded, Options},
        netns,
        plan::{Hook, Tier, Wish, plan},
        support::Support,
        sysctl, tracefs,
    },
    sink::{Attached, Clock, Precision, Probe, Sink, csv::Csv, json::Json, text},
};
use anyhow::Context as _;
use engine::{Engine, Limit};
use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

/// Batches that may wait for the tracker: beyond that they wait in the ring, where losses are counted.
const BATCHES: usize = 1024;
/// How long the last answers may take: the table gives some 100,000 sockets a second.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// The exit code of a run that lost events when `--fail-on-loss` was given.
const LOST: u8 = 3;

/// `twtrace watch`.
///
/// # Errors
///
/// Where nothing can be traced, or the output fails for another reason than a closed pipe.
pub fn watch(args: cli::Watch) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::new().context("cannot start the collector's threads")?;
    match runtime.block_on(live(args)) {
        // Wherever it was found out: the header may meet it already.
        Err(error) if is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        outcome => outcome,
    }
}

async fn live(args: cli::Watch) -> anyhow::Result<ExitCode> {
    let tier = match args.tracing.tier {
        None | Some(cli::Tier::Hook) => Tier::Hook,
        Some(cli::Tier::SockDiag) => Tier::SockDiag,
        Some(cli::Tier::Classic) => Tier::Classic,
    };
    let wish = Wish { tier, exact: args.tracing.exact };
    let options = Options { ring: args.tracing.ring, verbose: args.tracing.verbose };
    let mut stops = Stops::listen().context("cannot listen for signals")?;
    let (support, loaded) = tracefs::mounted(|| {
        let support = Support::detect();
        let loaded = load::load(&support, plan(&support, wish), options);
        (support, loaded)
    })
    .context("cannot start a thread to mount tracefs on")?;
    let loaded = loaded?;
    let attached = attached(&support, &loaded);
    let means = Means {
        timer_ends: loaded.on.contains(&Hook::TimerExpire),
        timer_starts: loaded.on.contains(&Hook::TimerStart),
        table: support.sock_diag.is_ok(),
        reuse_delay: reuse_delay(),
        wheel: jiffies::wheel(support.jiffy),
        show_transitions: args.events,
    };
    let own = netns::own().context("cannot read /proc/self/ns/net: is /proc mounted?")?.inode;
    let audit = audit::Audit::begin(own, loaded.on.contains(&Hook::SetState), &support);

    let limit = Limit { lifecycles: args.count.map(Into::into), early: is_text(args.format) };
    let duration = args.duration;
    let filter = args.filter.clone().filter();
    let fail_on_loss = args.tracing.fail_on_loss;
    let mut engine = Engine::new(means, Decoder::new(&support), filter, sink(&args), limit, audit);
    engine.attached(&attached)?;
    let mut source = Source::start(loaded, means.table)?;
    let deadline = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let outcome = loop {
        let result = tokio::select! {
            () = stops.first() => break Ok(()),
            () = &mut deadline => break Ok(()),
            batch = source.batches.recv() => match batch {
                Some(batch) => engine.batch(batch),
                // The collector has failed; finishing says how.
                None => break Ok(()),
            },
            Some(answers) = source.answers.recv() => engine.answers(answers),
            asker = &mut source.asker, if !source.asking => {
                source.asking = true;
                engine.ask(asker.ok());
                Ok(())
            }
        };
        match result {
            Ok(()) if engine.done() => break Ok(()),
            Ok(()) => {}
            Err(error) => break Err(error.into()),
        }
    };
    stops.second_ends_at_once();
    let outcome = match outcome {
        Ok(()) => finish(&mut engine, source).await,
        error => error,
    };
    outcome?;
    Ok(if fail_on_loss && engine.lost() > 0 { ExitCode::from(LOST) } else { ExitCode::SUCCESS })
}

/// Takes the probes off, gives out what is left, and sums up.
async fn finish(engine: &mut Engine, mut source: Source) -> anyhow::Result<()> {
    engine.end_audit();
    source.stop.send_replace(true);
    while let Some(batch) = source.batches.recv().await {
        engine.batch(batch)?;
    }
    engine.ask_once_more();
    // Nobody is left to ask, so the answers come to an end; a reading of the start that still goes on may be cut off.
    source.asker.close();
    let last_answers = async {
        while let Some(answers) = source.answers.recv().await {
            engine.answers(answers)?;
        }
        Ok::<_, io::Error>(())
    };
    if let Ok(result) = tokio::time::timeout(LAST_ANSWERS, last_answers).await {
        result?;
    }
    engine.finish(clock::now())?;
    source.failure().await
}

/// Where observations come from.
struct Source {
    batches: mpsc::Receiver<Batch>,
    collector: JoinHandle<io::Result<()>>,
    stop: watch::Sender<bool>,
    answers: mpsc::UnboundedReceiver<Vec<Observation>>,
    /// Comes once every socket that was there at the start has been given.
    asker: oneshot::Receiver<engine::Questions>,
    asking: bool,
}

impl Source {
    fn start(loaded: Loaded, table: bool) -> anyhow::Result<Self> {
        let (to_tracker, batches) = mpsc::channel(BATCHES);
        let (stop, stopped) = watch::channel(false);
        let collector = tokio::spawn(collect(loaded, to_tracker, stopped));
        let (to_answers, answers) = mpsc::unbounded_channel();
        let (ready, asker) = oneshot::channel();
        if table {
            let reader = ask::Reader::new(to_answers.clone()).context("cannot read the socket table")?;
            let bootstrap = move || bootstrap(reader, &to_answers, ready);
            std::thread::Builder::new().name("bootstrap".to_owned()).spawn(bootstrap)?;
        }
        Ok(Self { batches, collector, stop, answers, asker, asking: !table })
    }

    /// Why the collector ended, if it failed.
    async fn failure(self) -> anyhow::Result<()> {
        self.collector.await.context("the collector broke down")?.context("cannot read the ring")
    }
}

/// The probes are on: now what was there before them.
fn bootstrap(
    mut reader: ask::Reader,
    answers: &mpsc::UnboundedSender<Vec<Observation>>,
    ready: oneshot::Sender<engine::Questions>,
) {
    reader.bootstrap();
    let done = Observation::Table(Table::Ready { at: clock::now() });
    // Nobody listens any more when the run has ended meanwhile.
    if answers.send(vec![done]).is_err() {
        return;
    }
    match reader.start() {
        Ok(questions) => {
            let _ = ready.send(questions);
        }
        Err(error) => log::warn!("cannot start the thread that reads the socket table: {error}"),
    }
}

/// What ends a run from outside.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn first(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Whoever asks twice does not want to wait for the rest.
    fn second_ends_at_once(mut self) {
        tokio::spawn(async move {
            self.first().await;
            std::process::exit(130);
        });
    }
}

/// How long a TIME_WAIT's port stays out of reach of a connect, in nanoseconds.
fn reuse_delay() -> Option<u64> {
    let millis: u64 = sysctl::read("net.ipv4.tcp_tw_reuse_delay")?.parse().ok()?;
    millis.checked_mul(1_000_000)
}

fn is_text(format: cli::Format) -> bool {
    matches!(format, cli::Format::Auto | cli::Format::Text)
}

fn sink(args: &cli::Watch) -> Box<dyn Sink> {
    let (out, notes) = (io::stdout(), io::stderr());
    match args.format {
        cli::Format::Json => Box::new(Json::new(out)),
        cli::Format::Csv => Box::new(Csv::new(out, notes, args.events)),
        cli::Format::Auto | cli::Format::Text => {
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

fn attached(support: &Support, loaded: &Loaded) -> Attached {
    let off = |hook: Hook| loaded.off.iter().find(|(known, _)| *known == hook).map(|(_, reason)| reason.clone());
    let (realtime, boottime) = clock::ahead();
    Attached {
        at: clock::now(),
        kernel: support.kernel.clone(),
        probes: Hook::ALL.into_iter().map(|hook| Probe { name: hook.name(), off: off(hook) }).collect(),
        precision: precision(&loaded.on, support),
        clock: Clock { realtime, boottime },
    }
}

/// How TIME_WAIT is measured with these hooks.
fn precision(on: &[Hook], support: &Support) -> Precision {
    if on.contains(&Hook::TimerExpire) {
        Precision::Hook
    } else if support.sock_diag.is_ok() {
        Precision::SockDiag
    } else {
        Precision::Inferred
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The moments between which the kernel's counters were read.
type Window = (Ktime, Ktime);

/// The counters, where they can be read: a host without them is traced all the same.
fn read_counters() -> Option<counters::Counters> {
    counters::read().inspect_err(|error| log::warn!("cannot read the kernel's TCP counters: {error}")).ok()
}
