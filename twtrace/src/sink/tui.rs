//! The full-screen view: what happens, on a terminal, while it happens.
//!
//! ```text
//! changes, observations ─► Feed ─┐
//! the tracker, now and then ─► Survey ─┼─ Desk ─► Scene ─► drawing, in a thread of its own
//! keys ─► View ─┘
//! ```
//!
//! It sees what every sink sees, so a recording looks as the run did. Everything up to the scene is pure and so is the
//! drawing of one; the terminal is in one file. The cost is bounded by time, not by connections: no more than ten
//! pictures a second, and the connections are counted no more often than that a fortieth of the time goes to it, and as much to the findings.

mod desk;
mod draw;
mod feed;
mod key;
mod ports;
mod scene;
mod show;
mod survey;
mod terminal;
mod theme;
mod view;

pub use self::{
    desk::Desk,
    draw::draw,
    key::Key,
    scene::Scene,
    terminal::{Screen, give_back},
    theme::Theme,
};

use self::terminal::Input;
use super::{Attached, Sink, notes};
use crate::model::{Change, Ktime, Observation, Question, Tracker, filter::Filter, report::Host, summary::Summary};
use std::{
    collections::VecDeque,
    fmt,
    io::{self, Write},
    time::{Duration, Instant},
};

/// Between two pictures.
const PICTURE: Duration = Duration::from_millis(100);
/// Between two counts of the connections, however few there are.
const COUNT: Duration = Duration::from_millis(250);
/// Between two judgements of what is wrong.
const FINDINGS: Duration = Duration::from_secs(1);
/// Between two questions of what connections carry.
const CARRIED: Duration = Duration::from_secs(1);
/// How long what was said takes the place of the keys.
const SAID: Duration = Duration::from_secs(10);
/// Each of the two rests so many times as long as it took.
const SHARE: u32 = 40;

/// What the view works with.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the command line lets through.
    pub filter: Filter,
    /// Understands filter words as the command line does.
    pub parse: fn(&str) -> Result<Filter, String>,
    /// Where it is: the ports that there are, and what can be advised.
    pub host: Host,
    /// Out of a recording: there are keys to move in time.
    pub replayed: bool,
    /// How it is coloured.
    pub theme: Theme,
}

/// What a person wants of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// To end.
    Quit,
    /// To start recording, or to stop.
    Record,
    /// To move in a recording.
    Replay(Seek),
}

/// A move in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Seek {
    Pause,
    /// To the next event.
    Event,
    /// By a second.
    Second,
    Back,
    Forward,
    Begin,
    End,
    Faster,
    Slower,
}

/// What the run is doing, as far as the view shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Doing {
    /// The file that is being written.
    pub recording: Option<String>,
    /// Where a replay stands.
    pub replay: Option<Replay>,
    /// The last thing that was said on the side, such as a warning.
    pub said: Option<String>,
}

/// Where a replay stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// It stands still.
    pub paused: bool,
    /// Thousandths of the recorded time a second.
    pub speed: u64,
    /// Nanoseconds from the begin.
    pub position: u64,
    /// The whole, where known.
    pub length: Option<u64>,
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |nanos: u64| format!("{}:{:02}", nanos / 60_000_000_000, nanos / 1_000_000_000 % 60);
        let speed = match self.speed {
            slow @ 0..1_000 => format!("1/{}x", 1_000 / slow.max(1)),
            fast => format!("{}x", fast / 1_000),
        };
        let state = if self.paused { "REPLAY PAUSED" } else { "replay" };
        write!(f, "{state} {speed} {}", seconds(self.position))?;
        self.length.map_or(Ok(()), |length| write!(f, "/{}", seconds(length)))
    }
}

/// Takes commands to the run.
pub type Commands = Box<dyn FnMut(Command)>;
/// Says what the run is doing.
pub type Status = Box<dyn Fn() -> Doing>;

/// Shows on a terminal, and says the rest beside it once that is given back.
pub struct Tui<N: Write> {
    desk: Desk,
    theme: Theme,
    screen: Option<Screen>,
    notes: N,
    commands: Commands,
    status: Status,
    drawn: Option<Instant>,
    /// The last picture, and the size that it was for.
    scene: Option<((u16, u16), Scene)>,
    counts: Chore,
    findings: Chore,
    carried: Chore,
    /// What nobody has asked yet.
    questions: VecDeque<Question>,
    /// What was said last, and when it was first seen.
    said: Option<(String, Instant)>,
    /// The terminal is gone, and whoever read along.
    gone: bool,
}

/// What costs the more the more there is, and is done the less often for it.
struct Chore {
    period: Duration,
    /// When it was done last, and how long that took.
    done: Option<(Instant, Duration)>,
}

impl Chore {
    fn every(period: Duration) -> Self {
        Self { period, done: None }
    }

    fn is_due(&self) -> bool {
        self.done.is_none_or(|(at, cost)| at.elapsed() >= self.period.max(cost * SHARE))
    }

    fn run(&mut self, work: impl FnOnce()) {
        let began = Instant::now();
        work();
        self.done = Some((Instant::now(), began.elapsed()));
    }
}

impl<N: Write> Tui<N> {
    /// Takes the terminal when the probes are on; what is to be said before and after goes to `notes`.
    pub fn new(options: &Options, notes: N, commands: Commands, status: Status) -> Self {
        Self {
            desk: Desk::new(options),
            theme: options.theme,
            screen: None,
            notes,
            commands,
            status,
            drawn: None,
            scene: None,
            counts: Chore::every(COUNT),
            findings: Chore::every(FINDINGS),
            carried: Chore::every(CARRIED),
            questions: VecDeque::new(),
            said: None,
            gone: false,
        }
    }

    /// What comes next comes from the begin again.
    pub fn begin_anew(&mut self) {
        self.desk.begin_anew();
    }

    fn listen(&mut self, tracker: &Tracker) {
        let inputs = self.screen.as_ref().map(Screen::inputs).unwrap_or_default();
        for input in inputs {
            let command = match input {
                Input::Key(key) => self.desk.press(key, tracker),
                Input::Gone => {
                    self.gone = true;
                    Some(Command::Quit)
                }
            };
            if command == Some(Command::Quit) {
                // The shell is to be seen at once; the rest takes the time it takes.
                self.screen = None;
            }
            if let Some(command) = command {
                (self.commands)(command);
            }
        }
    }

    fn picture(&mut self, tracker: &Tracker) -> io::Result<()> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < PICTURE) {
            return Ok(());
        }
        if self.desk.is_stale() || self.counts.is_due() {
            self.counts.run(|| self.desk.look(tracker));
        }
        if self.desk.shows_findings() && self.findings.is_due() {
            self.findings.run(|| self.desk.judge(tracker));
        }
        let size = screen.size();
        let mut doing = (self.status)();
        if doing.said != self.said.as_ref().map(|(said, _)| said.clone()) {
            self.said = doing.said.clone().map(|said| (said, Instant::now()));
        }
        doing.said = doing.said.filter(|_| self.said.as_ref().is_some_and(|(_, at)| at.elapsed() < SAID));
        let picture = (size, self.desk.scene(tracker, size, &doing));
        if self.carried.is_due() {
            // Those of before are of no use any more, if nobody has asked them.
            self.carried.run(|| self.questions = self.desk.questions(tracker, size).into());
        }
        if self.scene.as_ref() != Some(&picture) && screen.show(picture.1.clone())? {
            self.scene = Some(picture);
            self.drawn = Some(Instant::now());
        }
        Ok(())
    }
}

impl<N: Write> Sink for Tui<N> {
    fn attached(&mut self, attached: &Attached) -> io::Result<()> {
        notes::attached(&mut self.notes, attached, None)?;
        self.desk.attached(attached);
        self.screen = Some(Screen::open(self.theme)?);
        Ok(())
    }

    fn observation(&mut self, observation: &Observation) -> io::Result<()> {
        self.desk.observation(observation);
        Ok(())
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        self.desk.change(change);
        Ok(())
    }

    fn tick(&mut self, at: Ktime, tracker: &Tracker) -> io::Result<()> {
        self.desk.pass(at);
        self.listen(tracker);
        self.picture(tracker)
    }

    fn question(&mut self) -> Option<Question> {
        self.questions.pop_front()
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        self.screen = None;
        let said = notes::summary(&mut self.notes, summary);
        // Nobody is left to read it.
        if self.gone { Ok(()) } else { said }
    }
}
