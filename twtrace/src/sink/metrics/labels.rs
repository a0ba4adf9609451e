//! Label sets, all of them bounded.

use crate::model::{Lifecycle, Process, Side};
use prometheus_client::encoding::EncodeLabelSet;
use std::{collections::HashSet, sync::Arc};

/// What is not known.
pub(super) const UNKNOWN: &str = "unknown";
/// What has no label of its own.
pub(super) const OTHER: &str = "other";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Build {
    pub(super) version: &'static str,
    pub(super) kernel: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Sockets {
    pub(super) state: &'static str,
    pub(super) process: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Owner {
    pub(super) process: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Step {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Closing {
    pub(super) process: Arc<str>,
    pub(super) closed_first: &'static str,
    pub(super) close: &'static str,
}

impl Closing {
    pub(super) fn of(life: &Lifecycle, names: &mut Names) -> Self {
        Self {
            process: names.of(life.owner.map(|owner| owner.process).as_ref()),
            closed_first: life.closed_first.map_or(UNKNOWN, Side::name),
            close: life.close.map_or(UNKNOWN, |close| close.name()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct End {
    pub(super) end: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Queue {
    pub(super) accepted: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Destination {
    pub(super) local: String,
    pub(super) destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Place {
    pub(super) place: &'static str,
}

/// The process names that have a label of their own, escaped as everywhere.
#[derive(Debug)]
pub(super) struct Names {
    most: usize,
    known: HashSet<Arc<str>>,
}

impl Names {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: HashSet::new() }
    }

    pub(super) fn of(&mut self, process: Option<&Process>) -> Arc<str> {
        let Some(process) = process else { return UNKNOWN.into() };
        let name = process.comm.to_string();
        if let Some(known) = self.known.get(name.as_str()) {
            return known.clone();
        }
        if self.known.len() >= self.most {
            return OTHER.into();
        }
        let name: Arc<str> = name.into();
        self.known.insert(name.clone());
        name
    }
}
