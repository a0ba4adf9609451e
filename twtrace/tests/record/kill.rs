//! `kill -9`, at any moment: what a recording has lost.

use crate::{
    folder::Folder,
    recording::{Record, refused, replay, skipped},
    table,
};
use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The last second may be missing, and nothing else: of one file, and of a recording that is cut into several. What the
/// machine owes to anybody who does as the recorder has to is not the recorder's.
#[test]
fn a_kill_costs_a_second_at_the_most() {
    if skipped("a_kill_costs_a_second_at_the_most") {
        return;
    }
    let folder = Folder::new("record-kill");
    let mut moment = u64::from(std::process::id());
    for round in 0..4 {
        let port = table::unused_port();
        let in_round = folder.0.join(round.to_string());
        fs::create_dir(&in_round).expect("a folder");
        let stalls = Stalls::watch(&folder.0.join("stalls"));
        let rotate: &[&str] = if round % 2 == 0 { &[] } else { &["--rotate-size", "40K"] };
        let mut record = Record::start(&in_round.join("x.arrows"), rotate);
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let begin = Instant::now();
        let until = Duration::from_millis(2500 + (moment >> 33) % 1500);
        let mut made = Vec::new();
        while begin.elapsed() < until {
            refused(port, 1);
            made.push(begin.elapsed());
            thread::sleep(Duration::from_millis(2));
        }
        let killed = begin.elapsed();
        record.child.kill().expect("it is ours");
        record.child.wait().expect("it is ours");
        let owed = stalls.longest();
        let age = Duration::from_secs(1) + owed;
        let older = made.iter().filter(|made| killed.saturating_sub(**made) > age).count();
        assert!(older > 0 || owed > Duration::from_secs(1), "round {round}: nothing is older than {age:?}");
        let entries = fs::read_dir(&in_round).expect("it is there");
        let files: Vec<_> = entries.map(|entry| entry.expect("a name").path()).collect();
        assert!(files.len() == 1 || !rotate.is_empty(), "{files:?}");
        let replayed = replay(&files.iter().collect::<Vec<_>>(), port);
        let over = replayed.lives.iter().filter(|life| life["close"] == "refused").count();
        assert!(over <= made.len(), "{over} of {}", made.len());
        assert!(over >= older, "round {round}: {over} of {older} that were older than {age:?}");
        let is_named = |line: &str| line.contains("cut off at byte") || line.contains("nothing was recorded");
        assert!(replayed.errors.lines().all(is_named), "{}", replayed.errors);
    }
}

/// How long this machine lets somebody wait who wakes up as often as the recorder and writes to the same disk.
struct Stalls {
    beats: Arc<Mutex<Vec<Beat>>>,
    over: Arc<AtomicBool>,
}

/// When it was due, and how late it was done; the last one is not.
type Beat = (Instant, Option<Duration>);

/// How often events are fetched.
const BEAT: Duration = Duration::from_millis(25);
/// Threads that an event passes through: one fetches, one tracks, one writes.
const THREADS: u32 = 3;

impl Stalls {
    fn watch(path: &Path) -> Self {
        let stalls = Self { beats: Arc::default(), over: Arc::default() };
        let mut file = File::create(path).expect("a file");
        let (beats, over) = (stalls.beats.clone(), stalls.over.clone());
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let due = Instant::now() + BEAT;
                beats.lock().expect("no panic").push((due, None));
                thread::sleep(BEAT);
                file.write_all(&[0; 512]).expect("there is room");
                if let Some(beat) = beats.lock().expect("no panic").last_mut() {
                    beat.1 = Some(due.elapsed());
                }
            }
        });
        stalls
    }

    /// What an event may have waited so, in all its threads.
    fn longest(&self) -> Duration {
        let beats = self.beats.lock().expect("no panic");
        let late = beats.iter().map(|(due, late)| late.unwrap_or_else(|| due.elapsed()));
        late.max().unwrap_or_default() * THREADS
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
