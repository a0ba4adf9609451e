//! Where a recording goes: the same for every command that makes one.

use super::values::size;
use clap::Args;
use std::{num::NonZeroU32, path::PathBuf};

/// Where a recording goes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Recording")]
pub struct WritingArgs {
    /// Write everything that is observed to this file, readable by its owner alone; - for stdout
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Replace a recording that is there already
    #[arg(long, requires = "write")]
    pub force: bool,
    /// Go on in a new file when one has this size, e.g. 100M: FILE.arrows becomes FILE.0001.arrows, FILE.0002.arrows, …
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "write")]
    pub rotate_size: Option<u64>,
    /// Keep the last N of these files and delete the others
    #[arg(long, value_name = "N", requires = "rotate_size")]
    pub rotate_count: Option<NonZeroU32>,
    /// End the recording when so much has been written in all, e.g. 2G
    #[arg(long, value_name = "SIZE", value_parser = size, requires = "write")]
    pub max_size: Option<u64>,
}
