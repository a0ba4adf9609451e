//! `twtrace states`: reads the socket table, prints it, and does so again where that is wanted.

use super::{stops::Stops, watch::is_closed_pipe};
use crate::{
    cli,
    model::sockets::{Counts, Reading},
    probe::{
        clock,
        sockets::{self, Wish},
    },
    sink::{
        Clock,
        states::{self, Options},
    },
};
use anyhow::Context as _;
use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// `twtrace states`.
///
/// # Errors
///
/// Where no table can be read, or the output fails for another reason than a closed pipe.
pub fn states(args: cli::States) -> anyhow::Result<ExitCode> {
    let wish = Wish { filter: args.filter.clone().filter(), keep: args.sockets, processes: !args.no_processes };
    let mut page = Page { args, wish, before: None };
    let outcome = match page.args.watch {
        None => page.turn(false),
        Some(period) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("cannot listen for signals")?.block_on(page.watch(period))
        }
    };
    match outcome {
        Err(error) if is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        outcome => outcome.map(|()| ExitCode::SUCCESS),
    }
}

struct Page {
    args: cli::States,
    wish: Wish,
    /// The counts of the reading before.
    before: Option<Counts>,
}

impl Page {
    async fn watch(&mut self, period: Duration) -> anyhow::Result<()> {
        let mut stops = Stops::listen().context("cannot listen for signals")?;
        let end = self.args.duration.map(|duration| Instant::now() + duration);
        let deadline = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(deadline);
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut left = self.args.count.map(u64::from);
        while left != Some(0) {
            tokio::select! {
                biased;
                () = stops.first() => break,
                () = &mut deadline => break,
                _ = ticks.tick() => self.turn(io::stdout().is_terminal())?,
            }
            left = left.map(|left| left - 1);
        }
        Ok(())
    }

    /// Reads and prints once.
    fn turn(&mut self, in_place: bool) -> anyhow::Result<()> {
        let reading = sockets::read(&self.wish);
        if let (true, Some((netns, reason))) = (reading.sockets.namespaces.is_empty(), reading.unread.first()) {
            anyhow::bail!("cannot read the socket table of network namespace {netns}: {reason}");
        }
        anyhow::ensure!(
            !reading.sockets.namespaces.is_empty(),
            "cannot find the network namespaces asked for: `lsns -t net` lists them, as root"
        );
        let mut out = Vec::new();
        self.print(&mut out, &reading)?;
        if in_place && self.args.format == cli::StatesFormat::Text {
            out = fitted(&String::from_utf8_lossy(&out), rustix::termios::tcgetwinsize(io::stdout()).ok());
        }
        self.before = Some(reading.sockets.counts);
        let mut stdout = io::stdout().lock();
        stdout.write_all(&out).and_then(|()| stdout.flush()).context("cannot write to stdout")
    }

    fn print(&self, out: &mut Vec<u8>, reading: &Reading) -> io::Result<()> {
        let (realtime, boottime) = clock::ahead();
        let clock = Clock { realtime, boottime };
        match self.args.format {
            cli::StatesFormat::Json => states::json(out, reading, clock),
            cli::StatesFormat::Text => {
                let options = Options { top: self.args.top, each: self.args.sockets };
                states::text(out, reading, self.before.as_ref(), clock, options)?;
                // Blocks one below the other are told apart.
                if self.args.watch.is_some() { writeln!(out) } else { Ok(()) }
            }
        }
    }
}

/// Home, each line with its rest erased, the rest of the screen erased; what does not fit is cut off.
fn fitted(text: &str, size: Option<rustix::termios::Winsize>) -> Vec<u8> {
    let (rows, columns) = size.map_or((usize::MAX, usize::MAX), |size| (size.ws_row.into(), size.ws_col.into()));
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let mut screen = String::from("\x1b[H");
    let fits = lines.len() < rows;
    let shown = if fits { lines.len() } else { rows.saturating_sub(2) };
    for line in &lines[..shown] {
        screen.extend(line.chars().take(columns));
        screen.push_str("\x1b[K\n");
    }
    if !fits {
        screen.push_str(&format!("{} more lines: --top shows fewer rows\x1b[K\n", lines.len() - shown));
    }
    screen.push_str("\x1b[J");
    screen.into_bytes()
}
