//! `twtrace export`: recordings as the files of other tools.

use super::{
    draft::Draft,
    replay::{Replayed, Wanted, replay},
    session::Limit,
    watch::is_closed_pipe,
};
use crate::{
    cli::{self, ExportFormat},
    sink::{
        Sink,
        csv::Csv,
        export::{
            parquet::{Parquet, Rows},
            perfetto::Perfetto,
        },
        json::Json,
    },
};
use anyhow::bail;
use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// `twtrace export`.
///
/// # Errors
///
/// Where a recording cannot be read or the output not be written.
pub fn export(args: &cli::Export, format: ExportFormat) -> anyhow::Result<ExitCode> {
    let mut drafts = Vec::new();
    let mut draft = |path: &Path, binary| -> anyhow::Result<_> {
        spare_recordings(path, &args.files)?;
        let draft = Draft::new(path, binary)?;
        let pen = draft.pen()?;
        drafts.push(draft);
        Ok(pen)
    };
    let out = args.output.as_path();
    let sinks: Vec<Box<dyn Sink>> = match format {
        ExportFormat::Jsonl => vec![Box::new(Json::new(draft(out, false)?))],
        ExportFormat::Csv => vec![Box::new(Csv::new(draft(out, false)?, io::stderr(), args.events))],
        ExportFormat::Perfetto => vec![Box::new(Perfetto::new(draft(out, true)?))],
        ExportFormat::Parquet => {
            let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(Parquet::new(draft(out, true)?, Rows::Lifecycles)?)];
            if args.events {
                sinks.push(Box::new(Parquet::new(draft(&transitions(out), true)?, Rows::Transitions)?));
            }
            sinks
        }
    };
    let wanted = Wanted { files: &args.files, filter: &args.filter, all: args.all, transitions: args.events };
    let Replayed { lost, damaged, .. } = match replay(&wanted, sinks, Limit::default()) {
        Err(error) if is_closed_pipe(&error) => return Ok(ExitCode::SUCCESS),
        outcome => outcome?,
    };
    drafts.into_iter().try_for_each(Draft::keep)?;
    if lost > 0 {
        log::warn!(
            "{lost} events were lost when this was recorded: where lost_evidence is not 0, something may be missing"
        );
    }
    Ok(if damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `incident.parquet` has its transitions in `incident.transitions.parquet`.
fn transitions(out: &Path) -> PathBuf {
    let mut name = out.file_stem().unwrap_or_default().to_owned();
    name.push(".transitions.parquet");
    out.with_file_name(name)
}

/// Evidence is never replaced by what was made of it.
fn spare_recordings(out: &Path, recordings: &[PathBuf]) -> anyhow::Result<()> {
    let file = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| (file.dev(), file.ino()));
    let Some(replaced) = file(out) else { return Ok(()) };
    if recordings.iter().any(|recording| file(recording) == Some(replaced)) {
        bail!("will not replace the recording {} by its export: name another file with -o", out.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::transitions;
    use std::path::Path;

    #[test]
    fn transitions_stand_beside_the_lifecycles() {
        assert_eq!(transitions(Path::new("/a/b.c.parquet")), Path::new("/a/b.c.transitions.parquet"));
        assert_eq!(transitions(Path::new("b")), Path::new("b.transitions.parquet"));
    }
}
