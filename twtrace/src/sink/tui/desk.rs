//! Puts together what is to be seen: what the keys chose, what came in, what there is.
//!
//! Knows no terminal and no clock of its own, so a picture follows from observations and keys alone.

use super::{
    Command, Doing, Key, Options,
    feed::Feed,
    ports::PACE,
    scene::Scene,
    show::{self, Known, Under, shows_bytes},
    survey::{Lives, Place, Ports, Still, Survey, Wanted},
    view::{Act, Cursor, List, Sort, Tab, View},
};
use crate::{
    model::{
        Change, Ktime, Lifecycle, Observation, Question, Tracker,
        filter::Filter,
        report::{Advice, Analysis, Finding, Host, Report},
    },
    sink::{Attached, Clock},
};

/// See the module.
pub struct Desk {
    view: View,
    /// That of the command line: the session gives changes that match, the tracker has everything.
    filter: Filter,
    ports: Ports,
    clock: Option<Clock>,
    precision: &'static str,
    feed: Feed,
    survey: Survey,
    began: Ktime,
    now: Ktime,
    /// What stands still, and since when.
    still: Option<Stopped>,
    /// The connection that is looked at, as it was seen last.
    opened: Option<Opened>,
    host: Host,
    analysis: Analysis,
    findings: Findings,
    stale: bool,
}

/// What is wrong, as judged last.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub(super) found: Vec<Finding>,
    pub(super) advice: Vec<Advice>,
}

/// A picture that stands still.
struct Stopped {
    lives: Still,
    feed: Feed,
    at: Ktime,
}

/// A connection that is looked at.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    place: Option<Place>,
    pub(super) life: Lifecycle,
    pub(super) other: Option<Lifecycle>,
    /// When.
    pub(super) at: Ktime,
}

impl Desk {
    /// Nothing has come in yet.
    pub fn new(options: &Options) -> Self {
        Self {
            view: View::new(options),
            filter: options.filter.clone(),
            host: options.host.clone(),
            ports: Ports::of(&options.host.sysctls, options.host.netns),
            analysis: Analysis::new(vec![options.host.clone()], options.filter.clone()),
            clock: None,
            precision: "",
            feed: Feed::default(),
            survey: Survey::new(Tab::Overview),
            began: Ktime::default(),
            now: Ktime::default(),
            still: None,
            opened: None,
            findings: Findings::default(),
            stale: true,
        }
    }

    /// What the kernel's clock means as wall time, and how TIME_WAIT is measured.
    pub fn attached(&mut self, attached: &Attached) {
        self.clock = Some(attached.clock);
        self.precision = attached.precision.name();
        self.began = attached.at;
        self.now = attached.at;
    }

    /// All that came in is forgotten, and what the keys chose is not.
    pub fn begin_anew(&mut self) {
        self.now = self.began;
        self.feed = Feed::default();
        self.still = None;
        self.opened = None;
        self.view.detail = None;
        self.analysis = Analysis::new(vec![self.host.clone()], self.filter.clone());
        self.findings = Findings::default();
        self.stale = true;
    }

    /// Something was observed.
    pub fn observation(&mut self, observation: &Observation) {
        self.feed.observation(observation);
        self.analysis.observation(observation);
    }

    /// Something changed.
    pub fn change(&mut self, change: &Change) {
        self.feed.change(change, &self.view.filter);
        self.analysis.change(change);
        if let (Change::Ended { lifecycle, .. }, Some(opened)) = (change, &mut self.opened)
            && self.still.is_none()
        {
            if lifecycle.id == opened.life.id {
                opened.life = (**lifecycle).clone();
            } else if opened.other.as_ref().is_some_and(|other| other.id == lifecycle.id) {
                opened.other = Some((**lifecycle).clone());
            }
        }
    }

    /// It is `at` now.
    pub fn pass(&mut self, at: Ktime) {
        self.now = self.now.max(at);
        self.feed.history.pass(self.now, &self.survey.counts);
    }

    /// A key was pressed; what is for others to do comes back.
    pub fn press(&mut self, key: Key, tracker: &Tracker) -> Option<Command> {
        match self.view.press(key) {
            Act::Look => {}
            Act::Sort => self.stale = true,
            Act::Filter => self.choose_anew(),
            Act::Pause => {
                self.stale = true;
                self.still = self.view.paused.then(|| Stopped {
                    lives: Still::new(tracker),
                    feed: self.feed.clone(),
                    at: self.now,
                });
            }
            Act::Open => {
                if self.is_stale() {
                    self.look(tracker);
                }
                self.open(tracker);
            }
            Act::Command(command) => return Some(command),
        }
        if self.view.detail.is_none() {
            self.opened = None;
        }
        None
    }

    /// Counts what there is: to be done before a picture, and costs the more the more there is.
    pub fn look(&mut self, tracker: &Tracker) {
        let (lives, feed, now) = sources(self.still.as_ref(), &self.feed, self.now, tracker);
        let wanted = Wanted {
            tab: self.view.tab,
            now,
            pace: (now.since(self.began) / 1_000_000_000).clamp(1, PACE),
            filters: [&self.filter, &self.view.filter],
            closings: &feed.closings,
            ports: &self.ports,
            sort: &|list| self.view.sort(list),
        };
        self.survey = Survey::of(lives, &wanted);
        self.stale = false;
    }

    /// Findings are to be seen, and move.
    pub fn shows_findings(&self) -> bool {
        self.view.tab == Tab::Overview && self.still.is_none()
    }

    /// Says anew what is wrong: what costs most of all.
    pub fn judge(&mut self, tracker: &Tracker) {
        let Report { findings, advice, .. } = self.analysis.report(tracker);
        self.findings = Findings { found: findings, advice };
    }

    /// What was counted last is not what is wanted now.
    pub fn is_stale(&self) -> bool {
        self.stale || self.survey.tab != self.view.tab
    }

    /// The past was that of other connections.
    fn choose_anew(&mut self) {
        self.stale = true;
        self.feed.history.forget();
    }

    fn open(&mut self, tracker: &Tracker) {
        let (lives, feed, now) = sources(self.still.as_ref(), &self.feed, self.now, tracker);
        match show::under_cursor(&mut self.view, &self.survey, feed) {
            Some(Under::Connection(id)) => {
                let place = lives.find(id);
                let life = place.and_then(|place| lives.get(place)).or_else(|| feed.closings.get(id).cloned());
                let Some(life) = life else { return };
                let other = other_end(&life, lives, feed);
                self.opened = Some(Opened { place, life, other, at: now });
                self.view.detail = Some(id);
                self.view.scroll = 0;
            }
            Some(Under::Words(words)) if self.view.choose(&words) == Act::Filter => self.choose_anew(),
            Some(Under::Words(_)) | None => {}
        }
    }

    /// What is looked at may have gone on.
    fn reopen(&mut self, tracker: &Tracker) {
        let (lives, feed, now) = sources(self.still.as_ref(), &self.feed, self.now, tracker);
        let Some(opened) = &mut self.opened else { return };
        if let Some(life) = opened.place.and_then(|place| lives.get(place)) {
            opened.life = life;
        }
        if let Some(other) = other_end(&opened.life, lives, feed) {
            opened.other = Some(other);
        }
        opened.at = now;
    }

    /// What is to be asked of the connections on a screen of this size: what each has carried so far, while that is
    /// looked at. The kernel locks a socket for it, so all are asked only where they are sorted by it.
    pub fn questions(&self, tracker: &Tracker, (width, _): (u16, u16)) -> Vec<Question> {
        if self.still.is_some() {
            return Vec::new();
        }
        if let Some(Opened { life, other, .. }) = &self.opened {
            let lives = std::iter::once(life).chain(other);
            return lives.filter_map(|life| tracker.question_of_carried(life)).collect();
        }
        let (sort, _) = self.view.sort(List::Connections);
        if self.view.tab != Tab::Connections || !shows_bytes(sort, width) {
            return Vec::new();
        }
        if sort == Sort::Bytes {
            return self.survey.carry.iter().map(|&netns| Question::Carried { netns }).collect();
        }
        let Cursor { top, page, .. } = self.view.cursor_of(List::Connections);
        let seen = self.survey.places.iter().skip(top).take(page);
        seen.filter_map(|place| tracker.question_of_carried(&tracker.life(place.socket)?)).collect()
    }

    /// What is to be seen on a screen of this size.
    pub fn scene(&mut self, tracker: &Tracker, size: (u16, u16), doing: &Doing) -> Scene {
        if self.is_stale() {
            self.look(tracker);
        }
        self.reopen(tracker);
        let (lives, feed, now) = sources(self.still.as_ref(), &self.feed, self.now, tracker);
        let lost = self.feed.total_lost();
        let Self { view, survey, ports, clock, precision, opened, findings, .. } = self;
        let known = Known { survey, lives, feed, ports, now, clock: *clock, precision, size, lost, doing, findings };
        show::scene(&known, view, opened.as_ref())
    }
}

fn sources<'a>(
    still: Option<&'a Stopped>,
    feed: &'a Feed,
    now: Ktime,
    tracker: &'a Tracker,
) -> (Lives<'a>, &'a Feed, Ktime) {
    match still {
        Some(stopped) => (Lives::Still(&stopped.lives), &stopped.feed, stopped.at),
        None => (Lives::Live(tracker), feed, now),
    }
}

/// The other end of a connection, among those that are there or that have closed.
fn other_end(life: &Lifecycle, lives: Lives<'_>, feed: &Feed) -> Option<Lifecycle> {
    let other = lives.other_end(life).filter(|other| is_same_time(life, other));
    other.or_else(|| feed.closings.other_end(life).filter(|other| is_same_time(life, other)).cloned())
}

/// A tuple is used again and again; two ends of one connection were there at one time.
fn is_same_time(one: &Lifecycle, other: &Lifecycle) -> bool {
    let begins_before = |a: &Lifecycle, b: &Lifecycle| match (a.opened, b.ended) {
        (Some(opened), Some(ended)) => opened <= ended,
        _ => true,
    };
    begins_before(one, other) && begins_before(other, one)
}
