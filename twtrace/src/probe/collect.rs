//! The collector: from the ring to the tracker, in batches.
//!
//! It does nothing else, so that the ring is empty as often as can be. Batches wait in a channel of bounded
//! length; when the tracker is behind, they wait in the ring, and what finds no room there is counted.

use super::{clock, decode::record_length, load::Loaded};
use crate::model::Ktime;
use aya::maps::{MapData, RingBuf};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

/// How old a record may get in the ring.
const PERIOD: Duration = Duration::from_millis(25);
/// How many drains go by between two looks at the recursion counters.
const RECURSION_PERIOD: u32 = 40;
/// How much of it one batch takes.
const BATCH: usize = 256 * 1024;

/// Records, and what is known of those that are missing.
#[derive(Debug)]
pub struct Batch {
    /// Whole records, one behind the other.
    pub records: Bytes,
    /// Every event before this moment has been given, unless it was lost; `None` where more is waiting.
    pub drained: Option<Ktime>,
    /// Records lost in the ring since the batch before.
    pub lost: u64,
    /// Programs skipped by the kernel since the batch before.
    pub recursions: u64,
    /// Things in the ring that are no records.
    pub garbage: u64,
}

/// Reads the ring until `stop` changes, then takes the programs off, empties it, and ends.
///
/// # Errors
///
/// Where the ring cannot be waited for.
pub async fn collect(
    mut loaded: Loaded,
    batches: mpsc::Sender<Batch>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let Some(ring) = loaded.take_ring() else { return Ok(()) };
    // SAFETY: the ring owns its descriptor and gives the same one for as long as it lives.
    let mut ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
    let mut period = interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut losses = Losses::default();
    loop {
        let stopping = tokio::select! {
            _ = stop.changed() => true,
            _ = period.tick() => false,
            ready = ring.readable_mut() => {
                ready?.clear_ready();
                false
            }
        };
        if stopping {
            break;
        }
        if !drain(ring.get_mut(), &loaded, &mut losses, &batches).await {
            return Ok(());
        }
    }
    losses.calls = 0;
    loaded.detach();
    drain(ring.get_mut(), &loaded, &mut losses, &batches).await;
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
    fn count(&mut self, loaded: &Loaded) -> (u64, u64) {
        let lost = loaded.lost();
        // A file a program, so once in a while; the last count is asked for by hand.
        let look = self.calls.is_multiple_of(RECURSION_PERIOD);
        self.calls += 1;
        let recursions = if look { loaded.recursions() } else { self.recursions };
        let since = (lost.saturating_sub(self.lost), recursions.saturating_sub(self.recursions));
        (self.lost, self.recursions) = (lost, recursions);
        since
    }
}

/// Sends on all that is in the ring; false when nobody takes it any more.
async fn drain(
    ring: &mut RingBuf<MapData>,
    loaded: &Loaded,
    losses: &mut Losses,
    batches: &mpsc::Sender<Batch>,
) -> bool {
    loop {
        let before = clock::now();
        let mut records = BytesMut::with_capacity(BATCH);
        let mut garbage = 0;
        let mut emptied = true;
        while let Some(item) = ring.next() {
            if record_length(&item) == Some(item.len()) {
                records.extend_from_slice(&item);
            } else {
                garbage += 1;
            }
            if records.len() > BATCH - 1024 {
                emptied = false;
                break;
            }
        }
        let (lost, recursions) = losses.count(loaded);
        let drained = emptied.then_some(before);
        let batch = Batch { records: records.freeze(), drained, lost, recursions, garbage };
        if batches.send(batch).await.is_err() {
            return false;
        }
        if emptied {
            return true;
        }
    }
}
