//! `compact`: gives the free pages of the file back, or copies the rows without them.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use throughline::sqlite::Storage;

use super::{progress, verify::Verified};
use crate::{
    Exit, Failure, Outcome, Session,
    output::{CAUTION, GOOD, Output, bytes, line},
};

/// The treatment of the free pages of a store that is no file.
const OTHERWISE: &str = "use `VACUUM FULL` on the tables of the schema `throughline`";

/// Gives the free pages of the file back to the system; shows how many, and changes nothing without --apply
///
/// With --apply the file shrinks in short steps, and other processes write meanwhile. `retain` and `purge` free pages.
#[derive(Debug, Args)]
pub(crate) struct Compact {
    /// Shrinks the file
    #[arg(long, conflicts_with = "into")]
    apply: bool,
    /// Leaves the store as it is, and copies the rows to this new file, which is smaller still; end all writers before you move
    /// it to the path of the store
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compacted {
    applied: bool,
    file_bytes: u64,
    free_bytes: u64,
    compacts_in_place: bool,
    #[serde(flatten)]
    shrunk: Option<Shrunk>,
    #[serde(flatten)]
    copied: Option<Copied>,
}

/// The result of `--apply`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shrunk {
    /// The bytes that the file has less.
    returned_bytes: u64,
    /// The bytes that it has less as soon as no reader uses an older snapshot.
    held_bytes: u64,
}

/// The result of `--into`.
#[derive(Serialize)]
struct Copied {
    into: PathBuf,
    bytes: u64,
    verification: Verified,
}

impl Compact {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let storage = session.file("compact", OTHERWISE).await?.storage().await?;
        let mut done = Compacted::of(&storage);
        if self.apply {
            done.shrink(session).await?;
        } else if let Some(into) = &self.into {
            done.copied = Some(copy(session, into).await?);
        }
        let exit = done.copied.as_ref().map_or(Exit::Done, |copied| copied.verification.exit());
        session.settled = Some(exit);
        let name = session.store_name();
        let output = &mut session.output;
        match output.is_json() {
            true => output.json("compact", &done)?,
            false => done.write(&name, output)?,
        }
        Ok(exit)
    }
}

async fn copy(session: &Session, into: &Path) -> Result<Copied, Failure> {
    let progress = progress::spinner("copying rows");
    let file = session.file("compact", OTHERWISE).await?;
    let rebuilt = file.rebuild_into(into).await.map_err(Failure::of_copy)?;
    progress.finish_and_clear();
    let verification = Verified::of(rebuilt.verification);
    Ok(Copied { into: into.to_owned(), bytes: rebuilt.bytes, verification })
}

impl Compacted {
    const fn of(storage: &Storage) -> Self {
        Self {
            applied: false,
            file_bytes: storage.file_bytes,
            free_bytes: storage.free_bytes,
            compacts_in_place: storage.compacts_in_place,
            shrunk: None,
            copied: None,
        }
    }

    async fn shrink(&mut self, session: &mut Session) -> Result<(), Failure> {
        if !self.compacts_in_place {
            let refused = Failure::new(Exit::Failed, "unsupported", "the file cannot shrink in place");
            return Err(refused.advise("an earlier version created it: copy its rows with --into FILE"));
        }
        let bar = progress::of_bytes("giving pages back");
        let file = session.file_to_change("compact", OTHERWISE).await?;
        let compacted = file
            .compact(|so_far| {
                bar.set_length(so_far.free_bytes);
                bar.set_position(so_far.returned_bytes);
            })
            .await?;
        bar.finish_and_clear();
        let (before, after) = compacted.file_bytes;
        (self.applied, self.file_bytes) = (true, after);
        self.free_bytes = file.storage().await?.free_bytes;
        let returned_bytes = before.saturating_sub(after);
        self.shrunk = Some(Shrunk { returned_bytes, held_bytes: compacted.held_bytes });
        Ok(())
    }

    fn write(&self, name: &str, output: &mut Output) -> Result<(), Failure> {
        let (file, free) = (bytes(self.file_bytes), bytes(self.free_bytes));
        if let Some(Shrunk { returned_bytes, held_bytes }) = &self.shrunk {
            let returned = bytes(*returned_bytes);
            output.sentence(format_args!("{GOOD}{name} has {file}, {returned} less than before.{GOOD:#}"))?;
            if *held_bytes > 0 {
                output.sentence(format_args!(
                    "{CAUTION}{} more are free{CAUTION:#} as soon as the readers and backups that use an older state end.",
                    bytes(*held_bytes)
                ))?;
            }
            return Ok(());
        }
        output.sentence(format_args!("{name}: {file}, and {free} of it are free pages."))?;
        if let Some(Copied { into, bytes: size, verification }) = &self.copied {
            let into = line(&into.to_string_lossy());
            verification.write(output)?;
            output.sentence(format_args!("{GOOD}Copied the rows to {into}: {}.{GOOD:#}", bytes(*size)))?;
            output.sentence(format_args!(
                "End all writers and close the store; then move {into} to {name}. The file `{name}-fingerprints` stays."
            ))?;
            return Ok(());
        }
        output.sentence(match self.compacts_in_place {
            true => {
                "Nothing was changed. Add --apply to give them back, or --into FILE to copy the rows to a new file."
            }
            false => {
                "Nothing was changed. An earlier version created the file, so it cannot shrink in place: add --into FILE to copy \
                 the rows to a new file."
            }
        })?;
        Ok(())
    }
}
