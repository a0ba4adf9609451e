//! What /proc said last of processes' descriptors.

use crate::model::observation::ProcessReading;
use hashbrown::HashMap;

/// Processes that are kept.
const ROOM: usize = 4096;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes(HashMap<(usize, u32), Descriptors>);

/// Open descriptors, and how many may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors {
    pub(crate) descriptors: u64,
    pub(crate) limit: u64,
}

impl Processes {
    pub(crate) fn take(&mut self, host: usize, reading: &ProcessReading) {
        let process = (host, reading.process.pid);
        let (Some(descriptors), Some(limit)) = (reading.descriptors, reading.descriptor_limit) else { return };
        if self.0.len() >= ROOM && !self.0.contains_key(&process) {
            // Whoever has few is of no interest here.
            let most = self.0.values().map(|kept| kept.descriptors).sum::<u64>() / ROOM as u64;
            self.0.retain(|_, kept| kept.descriptors > most);
        }
        self.0.insert(process, Descriptors { descriptors, limit });
    }

    /// The one of these that is nearest to its limit.
    pub(crate) fn fullest(&self, host: usize, pids: &[u32]) -> Option<Descriptors> {
        let known = pids.iter().filter_map(|pid| self.0.get(&(host, *pid)).copied());
        known.min_by_key(|kept| kept.limit.saturating_sub(kept.descriptors))
    }
}
