//! Recordings to read: which files belong together, and what they hold in the order in which it was observed.

mod overlap;

use crate::{
    model::{Ktime, Observation, observation::Table},
    trace::{Error, Header, Reader},
};
use anyhow::{Context as _, bail};
use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;

/// One run of twtrace, in one file or in several that it was cut into.
pub(super) struct Recorded {
    /// Of its first file.
    pub(super) header: Header,
    pieces: VecDeque<Piece>,
    /// Something in the middle of it could not be believed; that its end is missing is no damage.
    pub(super) damaged: bool,
    /// A file of it has no end, or one before it is missing.
    pub(super) cut: bool,
    seam: Seam,
}

/// Where one run goes on for another that saw the same up to there.
#[derive(Default)]
struct Seam {
    /// The latest moment that was given.
    at: Ktime,
    /// What the run says up to here was said by the one before it.
    from: Option<Ktime>,
    /// Namespaces whose tables are being read, from there on.
    begun: HashSet<u32>,
    /// The kernel's counters of the start were given.
    counted: bool,
}

/// One file. A recording may have more of them than may be open at once.
struct Piece {
    path: PathBuf,
    header: Header,
    reader: Option<Reader<Box<dyn Read>>>,
    /// Another run, which goes on where that of the file before ended.
    takes_over: bool,
}

/// Opens files, in whatever order they are given, and puts together what belongs together; in order of their begin.
pub(super) fn open(paths: &[PathBuf]) -> anyhow::Result<Vec<Recorded>> {
    let (mut pieces, mut nothing) = (Vec::new(), false);
    for path in paths {
        match Piece::open(path) {
            // One that was killed as it began: the others have what was recorded, up to there.
            Err(error) if paths.len() > 1 && is_nothing(&error) => {
                log::warn!("{}: {}", path.display(), error.root_cause());
                nothing = true;
            }
            piece => pieces.push(piece?),
        }
    }
    pieces.sort_by(|one, other| one.begin().cmp(&other.begin()));
    let mut recorded = Vec::<Recorded>::new();
    for piece in pieces {
        let follows =
            recorded.last().and_then(|run| Some((run.pieces.back()?, run))).filter(|(last, _)| last.is_of(&piece));
        match follows.map(|(last, _)| (last.number(), last.path.display())) {
            Some((number, path)) if number == piece.number() => {
                bail!("{} and {path} are the same recording: give it once", piece.path.display())
            }
            Some((number, _)) if number + 1 == piece.number() => {
                recorded.last_mut().context("it was found there")?.pieces.push_back(piece);
            }
            gap => {
                let cut = gap.is_some();
                if let Some((_, path)) = gap {
                    log::warn!("files are missing between {path} and {}: two recordings", piece.path.display());
                }
                recorded.push(Recorded::new(piece, cut));
            }
        }
    }
    let mut recorded = overlap::counted_once(recorded)?;
    recorded.iter_mut().for_each(|recorded| recorded.cut |= nothing);
    Ok(recorded)
}

fn is_nothing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Nothing { .. }))
}

impl Piece {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let reader = reader(path)?;
        let header = reader.header().clone();
        // What is no file cannot be opened again.
        let reader = Some(reader).filter(|_| path == Path::new("-") || !path.is_file());
        Ok(Self { path: path.to_owned(), header, reader, takes_over: false })
    }

    /// By wall time, then what tells one run from another, then by number.
    fn begin(&self) -> (i128, &str, Option<&str>, u32) {
        let Header { host, boot, attached, .. } = &self.header;
        let wall = i128::from(attached.at.0) + i128::from(attached.clock.realtime);
        (wall, host, boot.as_deref(), self.number())
    }

    fn number(&self) -> u32 {
        self.header.piece
    }

    /// Both are of one run: no other has the same moment of the same boot.
    fn is_of(&self, other: &Self) -> bool {
        let run = |piece: &Self| {
            let Header { host, boot, attached, .. } = &piece.header;
            (host.clone(), boot.clone(), attached.at)
        };
        run(self) == run(other)
    }
}

impl Recorded {
    fn new(piece: Piece, cut: bool) -> Self {
        let header = piece.header.clone();
        Self { header, pieces: [piece].into(), damaged: false, cut, seam: Seam::default() }
    }

    /// What was observed next; `None` at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Observation>> {
        while let Some(piece) = self.pieces.front_mut() {
            let path = &piece.path;
            if std::mem::take(&mut piece.takes_over) {
                self.seam.from = Some(self.seam.at);
                self.seam.begun.clear();
            }
            let reader = match &mut piece.reader {
                Some(reader) => reader,
                closed => closed.insert(reader(path)?),
            };
            if let Some(observation) = reader.next() {
                let observation = observation.with_context(|| format!("cannot read {}", path.display()))?;
                let goes_on = || self.pieces.iter().any(|piece| piece.takes_over);
                if self.seam.is_new(&observation) && !(self.seam.is_end(&observation) && goes_on()) {
                    return Ok(Some(observation));
                }
                continue;
            }
            if let Some(damage) = reader.damage() {
                log::warn!("{}: {damage}", path.display());
                self.damaged |= !damage.is_cut_only();
                self.cut |= damage.is_cut_only();
            }
            self.pieces.pop_front();
        }
        Ok(None)
    }
}

impl Seam {
    /// The kernel's counters at the end of a run: those of the last run are the end's.
    fn is_end(&mut self, observation: &Observation) -> bool {
        matches!(observation, Observation::Counters(_)) && std::mem::replace(&mut self.counted, true)
    }

    /// Nothing has said it yet.
    fn is_new(&mut self, observation: &Observation) -> bool {
        let at = observation.at();
        self.at = self.at.max(at);
        let Some(from) = self.from else { return true };
        match observation {
            _ if at <= from => false,
            Observation::Table(Table::Begin { netns, .. }) => {
                self.begun.insert(*netns);
                true
            }
            // Where the begin of a reading is not given, nobody knows what is missing in it.
            Observation::Table(Table::End { netns, .. }) => self.begun.remove(netns),
            _ => true,
        }
    }
}

fn reader(path: &Path) -> anyhow::Result<Reader<Box<dyn Read>>> {
    let cannot_read = || format!("cannot read {}", path.display());
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(BufReader::with_capacity(BUFFER, File::open(path).with_context(cannot_read)?))
    };
    Reader::open(input).with_context(cannot_read)
}
