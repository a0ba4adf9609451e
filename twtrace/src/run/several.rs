//! Several recordings as one: a tracker each, merged in order of wall time.

use super::{
    output::Output,
    recordings::Recorded,
    replay::{Replayed, Wanted},
    session::Limit,
};
use crate::{
    model::{
        Ktime, Observation, Tracker,
        audit::Audit,
        filter::Filter,
        join::{Held, Join, Origin},
    },
    sink::{Clock, Sink},
    trace::Header,
};

pub(super) struct Several {
    runs: Vec<Run>,
    join: Join,
    output: Output,
    clock: Clock,
    /// Which run the sinks were told of last.
    told: Option<usize>,
}

/// One of the recordings.
struct Run {
    recorded: Recorded,
    tracker: Tracker,
    filter: Filter,
    audit: Audit,
    next: Option<Observation>,
    /// The latest time that it has come to.
    at: Ktime,
}

impl Several {
    pub(super) fn new(
        recordings: Vec<Recorded>,
        wanted: &Wanted<'_>,
        sinks: Vec<Box<dyn Sink>>,
        limit: Limit,
    ) -> anyhow::Result<Self> {
        let clocks: Vec<Clock> = recordings.iter().map(|recorded| recorded.header.attached.clock).collect();
        let clock = common(&clocks);
        let origins = recordings.iter().map(|recorded| origin(&recorded.header, clock)).collect();
        let run = |mut recorded: Recorded| {
            let filter = wanted.filter(&recorded.header)?;
            let tracker = Tracker::new(wanted.means(&recorded.header));
            let (next, at) = (recorded.next()?, recorded.header.attached.at);
            Ok(Run { recorded, tracker, filter, audit: Audit::default(), next, at })
        };
        let runs = recordings.into_iter().map(run).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { runs, join: Join::new(origins), output: Output::new(sinks, limit), clock, told: None })
    }

    pub(super) fn replay(mut self) -> anyhow::Result<Replayed> {
        for number in 0..self.runs.len() {
            self.tell(number);
            let mut attached = self.runs[number].recorded.header.attached.clone();
            attached.at = self.join.time(number, attached.at);
            attached.clock = self.clock;
            self.output.each(|sink| sink.attached(&attached))?;
        }
        while !self.output.done()
            && let Some(number) = self.earliest()
        {
            self.step(number)?;
        }
        while let Some((number, held)) = self.join.release() {
            self.give(number, held)?;
        }
        let audits = self.runs.iter().map(|run| run.audit.lines(&run.tracker));
        self.output.finish(audits.flatten().collect())?;
        let damaged = self.runs.iter().any(|run| run.recorded.damaged);
        let cut = self.runs.iter().any(|run| run.recorded.cut);
        Ok(Replayed { lost: self.output.summary.total_lost(), damaged, cut })
    }

    /// The recording whose next observation is the oldest.
    fn earliest(&self) -> Option<usize> {
        let at = |number: usize| {
            let run = &self.runs[number];
            Some(self.join.time(number, run.at.max(run.next.as_ref()?.at())))
        };
        (0..self.runs.len()).filter_map(|number| Some((at(number)?, number))).min().map(|(_, number)| number)
    }

    fn step(&mut self, number: usize) -> anyhow::Result<()> {
        let run = &mut self.runs[number];
        let Some(observation) = run.next.take() else { return Ok(()) };
        run.next = run.recorded.next()?;
        run.at = run.at.max(observation.at());
        if let Observation::Counters(counters) = &observation {
            run.audit.counters(counters);
        }
        run.tracker.handle(&observation);
        std::iter::from_fn(|| run.tracker.poll_question()).for_each(drop);
        self.tell(number);
        self.output.observation(&observation)?;
        let run = &mut self.runs[number];
        if run.next.is_none() {
            run.tracker.finish(run.at);
        }
        self.collect(number);
        if let Observation::Tick(at) = observation {
            self.join.tick(number, at);
        }
        while let Some((number, held)) = self.join.poll() {
            self.give(number, held)?;
        }
        Ok(())
    }

    fn collect(&mut self, number: usize) {
        while let Some(change) = self.runs[number].tracker.poll() {
            self.join.change(number, change);
        }
    }

    fn give(&mut self, number: usize, held: Held) -> anyhow::Result<()> {
        self.tell(number);
        let run = &self.runs[number];
        match held {
            Held::Change(change) => self.output.change(&change, &run.filter)?,
            Held::Tick(at) => self.output.each(|sink| sink.tick(at, &run.tracker))?,
        }
        Ok(())
    }

    /// Says whose what follows is.
    fn tell(&mut self, number: usize) {
        if self.told.replace(number) != Some(number) {
            let origin = &self.join.origins()[number];
            self.output.sinks.iter_mut().for_each(|sink| sink.origin(origin));
        }
    }
}

/// A clock by which no time of any host comes before 0.
fn common(clocks: &[Clock]) -> Clock {
    let realtime = clocks.iter().map(|clock| clock.realtime).min().unwrap_or_default();
    let boot = clocks.iter().map(|clock| clock.realtime.saturating_sub(clock.boottime)).min().unwrap_or_default();
    Clock { realtime, boottime: realtime.saturating_sub(boot) }
}

fn origin(header: &Header, common: Clock) -> Origin {
    let ahead = |own: i64, common: i64| u64::try_from(own.saturating_sub(common)).unwrap_or_default();
    let boot = |clock: Clock| clock.realtime.saturating_sub(clock.boottime);
    let own = header.attached.clock;
    Origin {
        ahead: ahead(own.realtime, common.realtime),
        starts_ahead: ahead(boot(own), boot(common)),
        alone: false,
        ..header.origin()
    }
}
