//! `compact`: a copy without free pages.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::verify::Verified;
use crate::{
    Exit, Failure, Outcome, Session,
    output::{GOOD, bytes, line},
};

/// Copies a SQLite store to a new file without free pages
///
/// Without --into it shows the size of the free pages. The store itself stays as it is, because other processes may have it open. End all writers before you move the new file to its
/// path.
#[derive(Debug, Args)]
pub(crate) struct Compact {
    /// The new file
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compacted {
    file_bytes: u64,
    free_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    into: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verified>,
}

impl Compact {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let file =
            session.file("compact", "use `VACUUM FULL` on the tables of the schema `throughline`").await?;
        let storage = file.storage().await?;
        let mut done = Compacted {
            file_bytes: storage.file_bytes,
            free_bytes: storage.free_bytes,
            into: self.into,
            bytes: None,
            verification: None,
        };
        if let Some(into) = &done.into {
            let progress = super::progress::spinner("copying rows");
            let rebuilt = file.rebuild_into(into).await.map_err(Failure::of_copy)?;
            progress.finish_and_clear();
            done.bytes = Some(rebuilt.bytes);
            done.verification = Some(Verified::of(rebuilt.verification));
        }
        let exit = done.verification.as_ref().map_or(Exit::Done, Verified::exit);
        session.settled = Some(exit);
        let name = session.store_name();
        let output = &mut session.output;
        if output.is_json() {
            output.json("compact", &done)?;
            return Ok(exit);
        }
        let (file, free) = (bytes(done.file_bytes), bytes(done.free_bytes));
        output.sentence(format_args!("{name} has {file}, of which {free} are free pages."))?;
        match (&done.into, done.bytes, &done.verification) {
            (Some(into), Some(size), Some(verification)) => {
                let into = line(&into.to_string_lossy());
                verification.write(output)?;
                output.sentence(format_args!("{GOOD}Copied the rows to {into}: {}.{GOOD:#}", bytes(size)))?;
                output.sentence(format_args!(
                    "End all writers and close the store; then move {into} to {name}. The file `{name}-fingerprints` stays."
                ))?;
            }
            _ => output.sentence("Nothing was changed. Add --into FILE to copy the rows to a new file.")?,
        }
        Ok(exit)
    }
}
