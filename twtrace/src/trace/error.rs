//! Why a recording cannot be read, and where one is damaged.

use super::FORMAT;
use std::{fmt, io};

/// Why a recording cannot be read at all.
#[derive(Debug)]
pub enum Error {
    /// It was written by a newer version, in a format that is not known here.
    Newer {
        /// twtrace's version.
        version: String,
        /// The format's.
        format: u32,
    },
    /// It does not begin as a recording does.
    NoRecording,
    /// Its beginning says what cannot be.
    Header {
        /// What is wrong with it.
        reason: String,
    },
    /// Its beginning is damaged, and so are all the copies of it.
    NoCopy,
    /// It was cut off before anything was recorded.
    Nothing {
        /// How long it is.
        bytes: u64,
    },
    /// It cannot be read from where it is.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { version, format } => write!(
                f,
                "it was written by twtrace {} with format {format}; this one reads up to {FORMAT}: use a newer twtrace",
                version.escape_debug()
            ),
            Self::NoRecording => write!(f, "it is no recording of twtrace: those are made with twtrace record -w FILE"),
            Self::Header { reason } => {
                write!(f, "its beginning makes no sense ({reason}), and says what the rest means")
            }
            Self::NoCopy => {
                write!(
                    f,
                    "its beginning is damaged, and no copy of it is left further on: nothing says what the rest means"
                )
            }
            Self::Nothing { bytes: 0 } => write!(f, "it is empty: nothing was recorded"),
            Self::Nothing { bytes } => {
                write!(f, "its beginning is damaged or cut off, and nothing recorded is in its {bytes} bytes")
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What is wrong with a recording of which the rest could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The first places, in their order.
    pub places: Vec<Place>,
    /// How many there are in all.
    pub number: u64,
    /// Rows that are known to be missing; those behind a cut are not known.
    pub rows: u64,
    /// The first rows are among them: what was there when the recording began.
    pub start: bool,
}

/// A place that could not be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The byte at which the message begins that is damaged.
    pub offset: u64,
    /// What is wrong.
    pub kind: DamageKind,
}

/// See [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The file ends without its end mark: what follows was not written, or was cut off.
    Cut,
    /// What the stream begins with is damaged, and a copy of it has all that it says.
    Beginning,
    /// A checksum is wrong.
    Checksum,
    /// The checksum is right and the batch makes no sense.
    Senseless,
    /// Batches are missing before it, without a trace.
    Missing,
    /// There is something behind the end mark.
    Trailing,
}

impl Damage {
    /// As many are named.
    const NAMED: usize = 16;

    pub(super) fn add(&mut self, offset: u64, kind: DamageKind) {
        self.number += 1;
        if self.places.len() < Self::NAMED {
            self.places.push(Place { offset, kind });
        }
    }

    /// The recording's beginning is damaged, was found there at the latest, and could be had all the same.
    pub(super) fn beginning(&mut self, offset: u64) {
        match self.places.first_mut() {
            Some(place) => place.kind = DamageKind::Beginning,
            None => self.add(offset, DamageKind::Beginning),
        }
    }

    /// Nothing is wrong but that the file ends early.
    pub fn is_cut_only(&self) -> bool {
        self.number == 1 && self.places.iter().all(|place| place.kind == DamageKind::Cut)
    }
}

/// One line, without the file's name.
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Place { offset, kind }) in self.places.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            match kind {
                DamageKind::Cut => write!(f, "cut off at byte {offset}: everything before it is given")?,
                DamageKind::Beginning => {
                    write!(f, "its beginning is damaged at byte {offset}: what it says was read from a copy")?
                }
                DamageKind::Checksum => write!(f, "wrong checksum in the batch at byte {offset}: left out")?,
                DamageKind::Senseless => write!(f, "the batch at byte {offset} makes no sense: left out")?,
                DamageKind::Missing => write!(f, "batches are missing before byte {offset}")?,
                DamageKind::Trailing => write!(f, "something follows the end mark at byte {offset}: left out")?,
            }
        }
        let unnamed = self.number.saturating_sub(self.places.len() as u64);
        if unnamed > 0 {
            write!(f, "; and {unnamed} more")?;
        }
        if self.rows > 0 {
            let rows = if self.rows == 1 { "row is" } else { "rows are" };
            let start = if self.start { ", those of the start too: the counters and the sockets of then" } else { "" };
            write!(f, " ({} {rows} missing{start})", self.rows)?;
        }
        Ok(())
    }
}
