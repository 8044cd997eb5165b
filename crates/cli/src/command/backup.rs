//! `backup`: one moment of a store as a new file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use throughline::{Persistence, Position, sqlite::SqliteReader, threads::ListThreads};

use super::verify::Verified;
use crate::{
    Exit, Failure, Outcome, Session,
    output::{GOOD, bytes, line},
};

/// Copies one moment of a SQLite store to a new file
///
/// Hosts can write meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The new file
    file: PathBuf,
    /// Opens the copy, verifies it, and compares every row with the same moment of the store
    #[arg(long)]
    prove: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    file: PathBuf,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proof {
    pub(super) position: u64,
    pub(super) equal_rows: u64,
    pub(super) verification: Verified,
}

impl Backup {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let file = session.file("backup", "use `pg_dump`, or `throughline export`").await?;
        let progress = super::progress::spinner("copying");
        let made = if self.prove {
            let proven = file.backup_proven(&self.file).await.map_err(Failure::of_copy)?;
            let proof = Proof {
                position: reopen(&self.file, proven.position).await?,
                equal_rows: proven.rows,
                verification: Verified::of(proven.verification),
            };
            Made { file: self.file, bytes: proven.backup.bytes, proof: Some(proof) }
        } else {
            let backup = file.backup(&self.file).await.map_err(Failure::of_copy)?;
            Made { file: self.file, bytes: backup.bytes, proof: None }
        };
        progress.finish_and_clear();
        let exit = made.proof.as_ref().map_or(Exit::Done, |proof| proof.verification.exit());
        session.settled = Some(exit);
        let output = &mut session.output;
        if output.is_json() {
            output.json("backup", &made)?;
            return Ok(exit);
        }
        let name = line(&made.file.to_string_lossy());
        output.sentence(format_args!("{GOOD}copied{GOOD:#} {} to {name}", bytes(made.bytes)))?;
        match made.proof {
            Some(proof) => {
                output.sentence(format_args!(
                    "{GOOD}proven{GOOD:#}: at position {}, all {} rows of the copy equal those of the store",
                    proof.position, proof.equal_rows
                ))?;
                proof.verification.write(output)?;
                if proof.verification.sound {
                    output.sentence("The copy is sound.")?;
                } else {
                    output.sentence("The copy has the damage of the store.")?;
                }
            }
            None => output.sentence("Add --prove to open, verify and compare the copy.")?,
        }
        Ok(exit)
    }
}

/// Opens a copy as a reader does, and returns its position.
///
/// # Errors
/// The error of the opening. `corrupt` if the copy is not at the position of its source; the error names its file.
pub(super) async fn reopen(file: &Path, copied: Position) -> Result<u64, Failure> {
    let db = Persistence::builder().backend(SqliteReader::open(file).await?).build()?;
    let position = db.threads(ListThreads::new(1)).await?.position;
    db.close().await?;
    if position == copied {
        return Ok(position.get());
    }
    let file = file.display();
    let text =
        format!("the copy `{file}` was reopened at position {position}, and its source was at {copied}");
    Err(Failure::new(Exit::Failed, "corrupt", text)
        .advise(format!("delete `{file}`, check the disk, and repeat the command")))
}

#[cfg(test)]
mod tests {
    use throughline::{NewMessage, sqlite::SqliteOptions};

    use super::*;

    #[tokio::test]
    async fn a_copy_at_another_position_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.db");
        let backend = SqliteOptions::new().open(&path).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        db.thread("t").add(NewMessage::user("hello")).await.unwrap();
        db.close().await.unwrap();
        assert_eq!(reopen(&path, Position::new(1)).await.unwrap(), 1);
        let Err(Failure::Reported(report)) = reopen(&path, Position::new(2)).await else { panic!("equal") };
        assert_eq!(report.code, "corrupt");
        assert!(report.text.contains("copy.db") && report.advice.unwrap().contains("copy.db"));
    }
}
