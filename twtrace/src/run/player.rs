//! Plays a recording on the whole screen: at its own pace or another, forward and back.
//!
//! It stands between the reader and the session, which know nothing of it. To go back is to begin anew and to go on at
//! full speed up to there: the tracker has no way back, and so what is seen is what was seen the first time.

use super::{
    recordings::{self, Recorded},
    replay::Wanted,
    screen::{self, SharedDoing},
    session::{Limit, Session},
    stops::Stops,
    watch::exit_code,
};
use crate::{
    cli,
    model::{Change, Ktime, Observation, Tracker, filter::Filter, summary::Summary},
    sink::{
        Attached, Sink,
        tui::{Command, Replay, Seek, Tui},
    },
    stderr,
};
use anyhow::{Context as _, bail};
use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Stderr},
    process::ExitCode,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const SECOND: u64 = 1_000_000_000;
/// Between two looks at the keys.
const BEAT: Duration = Duration::from_millis(25);
/// Thousandths of the recorded time a second: as recorded, and the slowest and fastest.
const AS_RECORDED: u64 = 1_000;
const SLOWEST: u64 = AS_RECORDED / 8;
const FASTEST: u64 = AS_RECORDED * 1024;

/// Plays it until somebody leaves.
pub(super) fn play(wanted: &Wanted<'_>, args: &cli::Watch) -> anyhow::Result<ExitCode> {
    screen::check()?;
    let runtime = Runtime::new().context("cannot start a thread for signals")?;
    let stopped = Arc::<AtomicBool>::default();
    runtime.block_on(listen(stopped.clone()))?;
    let mut player = Player::open(wanted, stopped)?;
    player.play()?;
    player.session.finish(player.at)?;
    let lost = player.session.lost();
    Ok(if player.recorded.damaged { ExitCode::FAILURE } else { exit_code(args.tracing.fail_on_loss, lost) })
}

async fn listen(stopped: Arc<AtomicBool>) -> anyhow::Result<()> {
    let mut stops = Stops::listen().context("cannot listen for signals")?;
    let mut hangup = screen::hangup()?;
    tokio::spawn(async move {
        tokio::select! {
            () = stops.first() => {}
            _ = hangup.recv() => {}
        }
        stopped.store(true, Ordering::Relaxed);
    });
    Ok(())
}

struct Player<'a> {
    wanted: &'a Wanted<'a>,
    filter: Filter,
    view: View,
    recorded: Recorded,
    session: Session,
    /// The observation whose time has not come.
    next: Option<Observation>,
    begin: Ktime,
    /// Where it stands.
    at: Ktime,
    pace: Pace,
    /// Known once the end was seen.
    length: Option<u64>,
    commands: Rc<RefCell<VecDeque<Command>>>,
    doing: SharedDoing,
    stopped: Arc<AtomicBool>,
}

/// How recorded time follows from that of the person who looks.
#[derive(Clone, Copy, Debug)]
struct Pace {
    paused: bool,
    speed: u64,
    /// At this moment it was there.
    since: (Instant, Ktime),
}

impl Pace {
    fn new(at: Ktime) -> Self {
        Self { paused: false, speed: AS_RECORDED, since: (Instant::now(), at) }
    }

    /// Where it should stand now.
    fn target(&self, now: Instant) -> Ktime {
        let (since, at) = self.since;
        if self.paused {
            return at;
        }
        let passed = now.saturating_duration_since(since).as_nanos() * u128::from(self.speed) / u128::from(AS_RECORDED);
        at.after(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Goes on from there.
    fn from(&mut self, at: Ktime) {
        self.since = (Instant::now(), at);
    }

    fn pause(&mut self, at: Ktime) {
        self.paused = true;
        self.from(at);
    }
}

impl<'a> Player<'a> {
    fn open(wanted: &'a Wanted<'a>, stopped: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let mut recorded = open(wanted)?;
        let header = &recorded.header;
        let filter = wanted.filter(header)?;
        let (commands, doing) = (Rc::<RefCell<VecDeque<Command>>>::default(), SharedDoing::default());
        let ask = {
            let commands = commands.clone();
            Box::new(move |command| commands.borrow_mut().push_back(command))
        };
        let begin = header.attached.at;
        doing.borrow_mut().replay = Some(Replay { paused: false, speed: AS_RECORDED, position: 0, length: None });
        let options = screen::options(header, filter.clone(), true);
        let view = View(Rc::new(RefCell::new(Tui::new(&options, io::stderr(), ask, screen::status(&doing)))));
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(view.clone())];
        let mut session = Session::new(wanted.means(header), filter.clone(), sinks, Limit::default());
        session.attached(&header.attached)?;
        let next = recorded.next()?;
        let pace = Pace::new(begin);
        let (at, length) = (begin, None);
        Ok(Self { wanted, filter, view, recorded, session, next, begin, at, pace, length, commands, doing, stopped })
    }

    fn play(&mut self) -> anyhow::Result<()> {
        while !self.stopped.load(Ordering::Relaxed) {
            let beat = Instant::now();
            let target = self.pace.target(beat);
            let is_there = self.feed(target, beat + BEAT)?;
            match &self.next {
                Some(_) if is_there => self.at = self.at.max(target),
                Some(_) => {}
                None => self.end(),
            }
            self.show()?;
            loop {
                let command = self.commands.borrow_mut().pop_front();
                match command {
                    None => break,
                    Some(Command::Quit) => return Ok(()),
                    Some(Command::Record) => stderr::note("what is played is a recording already"),
                    Some(Command::Replay(seek)) => self.seek(seek)?,
                }
            }
            thread::sleep((beat + BEAT).saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    /// Gives what was observed up to `target`; false where that takes longer than up to `deadline`.
    fn feed(&mut self, target: Ktime, deadline: Instant) -> anyhow::Result<bool> {
        let mut given = 0_u32;
        while self.next.as_ref().is_some_and(|next| next.at() <= target) {
            self.step()?;
            given += 1;
            if given.is_multiple_of(256) && Instant::now() >= deadline {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives one observation; true if it was an event of the kernel.
    fn step(&mut self) -> anyhow::Result<bool> {
        let Some(observation) = self.next.take() else { return Ok(false) };
        self.at = self.at.max(observation.at());
        self.session.observe(&observation)?;
        self.session.questions().for_each(drop);
        self.next = self.recorded.next()?;
        Ok(matches!(
            observation,
            Observation::Transition(_) | Observation::Reset(_) | Observation::Hold(_) | Observation::Timer(_)
        ))
    }

    /// Nothing comes any more: it stands still where the last observation was.
    fn end(&mut self) {
        self.length = Some(self.at.since(self.begin));
        self.pace.pause(self.at);
    }

    fn show(&mut self) -> io::Result<()> {
        let position = self.at.since(self.begin);
        let replay = Replay { paused: self.pace.paused, speed: self.pace.speed, position, length: self.length };
        self.doing.borrow_mut().replay = Some(replay);
        self.view.0.borrow_mut().tick(self.at, self.session.tracker())
    }

    fn seek(&mut self, seek: Seek) -> anyhow::Result<()> {
        match seek {
            Seek::Pause if self.pace.paused => {
                self.pace.paused = false;
                self.pace.from(self.at);
            }
            Seek::Pause => self.pace.pause(self.at),
            Seek::Event => {
                while self.next.is_some() && !self.step()? {}
                self.pace.pause(self.at);
            }
            Seek::Second => self.pace.pause(self.at.after(SECOND)),
            Seek::Forward => self.pace.from(self.at.after(10 * SECOND)),
            Seek::Back => self.back(self.at.before(10 * SECOND).max(self.begin))?,
            Seek::Begin => self.back(self.begin)?,
            Seek::End => self.pace.from(Ktime(u64::MAX)),
            Seek::Faster => self.speed(self.pace.speed * 2),
            Seek::Slower => self.speed(self.pace.speed / 2),
        }
        Ok(())
    }

    fn speed(&mut self, speed: u64) {
        self.pace.speed = speed.clamp(SLOWEST, FASTEST);
        self.pace.from(self.at);
    }

    /// Begins anew, and goes on up to there.
    fn back(&mut self, at: Ktime) -> anyhow::Result<()> {
        if self.wanted.files.iter().any(|file| file.as_os_str() == "-") {
            stderr::note("what comes out of a pipe cannot be read again: there is no way back");
            return Ok(());
        }
        self.recorded = open(self.wanted)?;
        let header = &self.recorded.header;
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(self.view.clone())];
        self.session = Session::new(self.wanted.means(header), self.filter.clone(), sinks, Limit::default());
        self.view.0.borrow_mut().begin_anew();
        self.next = self.recorded.next()?;
        self.at = self.begin;
        self.pace.from(at);
        Ok(())
    }
}

fn open(wanted: &Wanted<'_>) -> anyhow::Result<Recorded> {
    let mut recordings = recordings::open(wanted.files)?;
    match (recordings.pop(), recordings.is_empty()) {
        (Some(recorded), true) => Ok(recorded),
        (Some(_), false) => bail!("the full-screen view plays one recording: --format text shows several as one"),
        (None, _) => bail!("no recording was given"),
    }
}

/// The view outlives the sessions.
#[derive(Clone)]
struct View(Rc<RefCell<Tui<Stderr>>>);

impl Sink for View {
    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        self.0.borrow_mut().attached(attached)
    }

    fn observation(&mut self, observation: &Observation) -> io::Result<()> {
        self.0.borrow_mut().observation(observation)
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        self.0.borrow_mut().change(change)
    }

    fn tick(&mut self, at: Ktime, tracker: &Tracker) -> io::Result<()> {
        self.0.borrow_mut().tick(at, tracker)
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.0.borrow_mut().finish(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::{AS_RECORDED, Pace, SECOND};
    use crate::model::Ktime;
    use std::time::{Duration, Instant};

    #[test]
    fn time_passes_at_the_pace_that_is_wanted() {
        let now = Instant::now();
        let pace = |paused, speed| Pace { paused, speed, since: (now, Ktime(SECOND)) };
        let after = |pace: Pace| pace.target(now + Duration::from_secs(2)).0;
        assert_eq!(after(pace(false, AS_RECORDED)), 3 * SECOND);
        assert_eq!(after(pace(false, AS_RECORDED * 8)), 17 * SECOND);
        assert_eq!(after(pace(false, AS_RECORDED / 8)), SECOND + SECOND / 4);
        assert_eq!(after(pace(true, AS_RECORDED)), SECOND);
        assert_eq!(pace(false, u64::MAX).target(now + Duration::from_secs(u64::from(u32::MAX))), Ktime(u64::MAX));
    }
}
