//! Recordings to read: which files belong together, and what they hold in the order in which it was observed.

use crate::{
    model::Observation,
    trace::{Error, Header, Reader},
};
use anyhow::{Context as _, bail};
use std::{
    collections::VecDeque,
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
}

/// One file. A recording may have more of them than may be open at once.
struct Piece {
    path: PathBuf,
    header: Header,
    reader: Option<Reader<Box<dyn Read>>>,
}

/// Opens files, in whatever order they are given, and puts together what belongs together; in order of their begin.
pub(super) fn open(paths: &[PathBuf]) -> anyhow::Result<Vec<Recorded>> {
    let mut pieces = Vec::new();
    for path in paths {
        match Piece::open(path) {
            // One that was killed as it began: the others have what was recorded.
            Err(error) if paths.len() > 1 && is_nothing(&error) => {
                log::warn!("{}: {}", path.display(), error.root_cause())
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
                recorded.push(Recorded { header: piece.header.clone(), pieces: [piece].into(), damaged: false, cut });
            }
        }
    }
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
        Ok(Self { path: path.to_owned(), header, reader })
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
    /// What was observed next; `None` at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Observation>> {
        while let Some(piece) = self.pieces.front_mut() {
            let path = &piece.path;
            let reader = match &mut piece.reader {
                Some(reader) => reader,
                closed => closed.insert(reader(path)?),
            };
            if let Some(observation) = reader.next() {
                return Ok(Some(observation.with_context(|| format!("cannot read {}", path.display()))?));
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

fn reader(path: &Path) -> anyhow::Result<Reader<Box<dyn Read>>> {
    let cannot_read = || format!("cannot read {}", path.display());
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(BufReader::with_capacity(BUFFER, File::open(path).with_context(cannot_read)?))
    };
    Reader::open(input).with_context(cannot_read)
}
