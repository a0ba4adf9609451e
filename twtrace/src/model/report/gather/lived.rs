//! A life as the tables take it in: what all of them ask of it is worked out once.

use super::{course::Scale, names};
use crate::model::{Comm, Ktime, Lifecycle, Process, Span, TcpState, TimeWaitEnd, report::Place};
use smallvec::SmallVec;

/// See the module.
pub(crate) struct Lived<'a> {
    pub(crate) life: &'a Lifecycle,
    /// Which of the hosts had it.
    pub(crate) host: usize,
    /// Its states one by one; a TIME_WAIT of which none could be made is none.
    pub(crate) stays: Stays<'a>,
    pub(crate) scale: Scale,
    /// The end of the run, or now.
    pub(crate) end: Ktime,
    pub(crate) owner: Option<Process>,
    pub(crate) comm: Option<Comm>,
    pub(crate) place: Place,
}

type Stays<'a> = SmallVec<[Stay<'a>; 6]>;

/// A span with its two ends, as far as they are known.
pub(crate) struct Stay<'a> {
    pub(crate) span: &'a Span,
    /// When it began; the origin where it was there before. `None` where nobody can say.
    pub(crate) from: Option<Ktime>,
    /// When it ended; `None` while it goes on.
    pub(crate) until: Option<Ktime>,
    /// It goes on at the end of the run.
    pub(crate) open: bool,
}

impl<'a> Lived<'a> {
    pub(crate) fn new(life: &'a Lifecycle, host: usize, scale: Scale, end: Ktime) -> Self {
        let owner = names::owner(life);
        let stays = stays(life, scale.origin());
        Self { life, host, stays, scale, end, owner, comm: names::comm(owner), place: names::place(life) }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.life.ended.is_none()
    }

    /// The stay in a state that it enters once at the most.
    pub(crate) fn stay(&self, state: TcpState) -> Option<&Stay<'a>> {
        self.stays.iter().find(|stay| stay.span.state == state)
    }
}

fn stays(life: &Lifecycle, origin: Ktime) -> Stays<'_> {
    let overflow = life.time_wait_end == Some(TimeWaitEnd::Overflow);
    let spans = life.spans.iter().enumerate();
    let spans = spans.filter(|(_, span)| !(overflow && span.state == TcpState::TimeWait));
    spans
        .map(|(index, span)| {
            let next = life.spans.get(index + 1);
            let from = span.entered.or_else(|| (index == 0 && life.preexisting).then_some(origin));
            let left = span.entered.zip(span.lasted).map(|(entered, lasted)| entered.after(lasted));
            let until = left.or_else(|| next.and_then(|next| next.entered)).or(life.ended);
            Stay { span, from, until, open: next.is_none() && life.ended.is_none() }
        })
        .collect()
}

impl Stay<'_> {
    /// Nanoseconds in the state, to the end of the run where it goes on; at least so many where it was there before.
    pub(crate) fn length(&self, end: Ktime) -> Option<u64> {
        self.span.lasted.or_else(|| Some(self.until.unwrap_or(end).since(self.from?)))
    }
}
