//! The collector: from the lanes to the tracker, in batches.
//!
//! It does nothing else, so that the lanes are empty as often as can be. Batches wait in a channel of bounded
//! length; when the tracker is behind, records wait in the lanes, and what finds no room there is counted.

use super::{
    lanes::{Lanes, SETTLED},
    load::Loaded,
};
use crate::model::Ktime;
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep},
};

/// How old a record may get in its lane.
const PERIOD: Duration = Duration::from_millis(25);
/// How many drains go by between two looks at the recursion counters.
const RECURSION_PERIOD: u32 = 40;
/// How much one batch takes at most.
const BATCH: u64 = 256 * 1024;
/// How often to look again, at the end, for a writer that is held up in the middle of a record.
const LAST_LOOKS: u32 = 100;

/// Records, and what is known of those that are missing.
#[derive(Debug)]
pub struct Batch {
    /// Whole records, one behind the other.
    pub records: Bytes,
    /// Every event before this moment has been given, unless it was lost; `None` where more is waiting.
    pub drained: Option<Ktime>,
    /// Records lost for want of room since the batch before.
    pub lost: u64,
    /// Programs skipped by the kernel since the batch before.
    pub recursions: u64,
    /// Things in the lanes that are no records.
    pub garbage: u64,
}

/// Reads the lanes until `stop` changes, then takes the programs off, empties them, and ends.
///
/// # Errors
///
/// Where the doorbell cannot be waited for.
pub async fn collect(
    mut loaded: Loaded,
    batches: mpsc::Sender<Batch>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let Some((mut lanes, doorbell)) = loaded.take_lanes() else { return Ok(()) };
    // SAFETY: the ring owns its descriptor and gives the same one for as long as it lives.
    let mut doorbell = unsafe { AsyncFd::register_with_interest(doorbell, Interest::READABLE) }?;
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut losses = Losses::default();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            _ = period.tick() => {}
            ready = doorbell.readable_mut() => {
                let mut ready = ready?;
                // It says nothing but that it rang.
                while ready.get_inner_mut().next().is_some() {}
                ready.clear_ready();
            }
        }
        let Some(until) = lanes.look() else { continue };
        if !drain(&mut lanes, until, &loaded, &mut losses, &batches).await {
            return Ok(());
        }
    }
    losses.calls = 0;
    loaded.detach();
    for _ in 0..LAST_LOOKS {
        // What happened up to here is to count as settled.
        sleep(SETTLED + Duration::from_millis(1)).await;
        if let Some(until) = lanes.look() {
            drain(&mut lanes, until, &loaded, &mut losses, &batches).await;
            break;
        }
    }
    Ok(())
}

/// What was lost up to the batch before.
#[derive(Default)]
struct Losses {
    lost: u64,
    recursions: u64,
    calls: u32,
}

impl Losses {
    fn count(&mut self, loaded: &Loaded, lanes: &Lanes) -> (u64, u64) {
        let lost = lanes.lost();
        // A file a program, so once in a while; the last count is asked for by hand.
        let look = self.calls.is_multiple_of(RECURSION_PERIOD);
        self.calls += 1;
        let recursions = if look { loaded.recursions(lanes) } else { self.recursions };
        let since = (lost.saturating_sub(self.lost), recursions.saturating_sub(self.recursions));
        (self.lost, self.recursions) = (lost, recursions);
        since
    }
}

/// Sends on all that is in the lanes up to a moment; false when nobody takes it any more.
async fn drain(
    lanes: &mut Lanes,
    until: Ktime,
    loaded: &Loaded,
    losses: &mut Losses,
    batches: &mpsc::Sender<Batch>,
) -> bool {
    loop {
        let mut records = BytesMut::with_capacity(lanes.waiting().min(BATCH) as usize);
        let reading = lanes.read(until, &mut records);
        let (lost, recursions) = losses.count(loaded, lanes);
        let drained = (!reading.more).then_some(until);
        let records = records.freeze();
        lanes.keep(&records);
        let batch = Batch { records, drained, lost, recursions, garbage: reading.garbage };
        if batches.send(batch).await.is_err() {
            return false;
        }
        if !reading.more {
            return true;
        }
    }
}
