//! A sink that gathers a run, for a report of it at its end.

use crate::{
    model::{
        Change, Observation,
        filter::Filter,
        join::Origin,
        report::{Analysis, Host, Report},
        summary::Summary,
    },
    sink::{Attached, Sink},
};
use std::{cell::OnceCell, io, rc::Rc};

/// See the module.
pub struct Gatherer {
    analysis: Analysis,
    report: Rc<OnceCell<Report>>,
}

impl Gatherer {
    /// One for a run on these hosts; the report is there once the run is over.
    pub fn new(hosts: Vec<Host>) -> (Self, Rc<OnceCell<Report>>) {
        let report = Rc::new(OnceCell::new());
        (Self { analysis: Analysis::new(hosts, Filter::default()), report: Rc::clone(&report) }, report)
    }
}

impl Sink for Gatherer {
    fn origin(&mut self, origin: &Origin) {
        self.analysis.origin(origin);
    }

    fn attached(&mut self, _attached: &Attached) -> io::Result<()> {
        Ok(())
    }

    fn observation(&mut self, observation: &Observation) -> io::Result<()> {
        self.analysis.observation(observation);
        Ok(())
    }

    fn change(&mut self, change: &Change) -> io::Result<()> {
        self.analysis.change(change);
        Ok(())
    }

    fn finish(&mut self, summary: &Summary) -> io::Result<()> {
        let report = self.analysis.finish(summary);
        self.report.set(report).map_err(|_| io::Error::other("a run has ended twice"))
    }
}
