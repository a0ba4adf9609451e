//! What a recording says of itself: JSON, in the schema's metadata under `twtrace`.

use super::{Error, FORMAT};
use crate::model::{attached::Attached, join::Origin, tracker::Means};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key of the schema's metadata.
pub(super) const KEY: &str = "twtrace";

/// What a reader must know to say what the live run said, and what a person wants to know of the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// twtrace's version.
    pub version: String,
    /// The host's name.
    pub host: String,
    /// Which boot of it (/proc/sys/kernel/random/boot_id): `CLOCK_MONOTONIC` begins anew with each.
    pub boot: Option<String>,
    /// Which of the files it is that the recording was cut into, from 1.
    pub piece: u32,
    /// Inode of the network namespace that twtrace ran in.
    pub own_netns: u32,
    /// How it was called.
    pub command: Vec<String>,
    /// The words of the command that are filters: the recording has everything, a reader applies them again.
    pub filters: Vec<String>,
    /// Sysctls that matter, by name.
    pub sysctls: BTreeMap<String, String>,
    /// What was traced, and how.
    pub attached: Attached,
    /// What the tracker could go by.
    pub means: Means,
}

/// The header with the format's version, which alone may be asked of any recording.
#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    #[serde(flatten)]
    header: &'a Header,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
    #[serde(default)]
    version: String,
}

impl Header {
    /// The recording as one that is read alone.
    pub fn origin(&self) -> Origin {
        Origin {
            host: self.host.as_str().into(),
            version: self.version.as_str().into(),
            alone: true,
            boot: self.boot.as_deref().unwrap_or(&self.host).into(),
            ahead: 0,
            starts_ahead: 0,
        }
    }

    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Written { format: FORMAT, header: self })
    }

    pub(super) fn from_json(text: &str) -> Result<Self, Error> {
        let broken = |error: serde_json::Error| Error::Header { reason: error.to_string() };
        let Version { format, version } = serde_json::from_str(text).map_err(broken)?;
        if format > FORMAT {
            return Err(Error::Newer { version, format });
        }
        serde_json::from_str(text).map_err(broken)
    }
}
