//! `restore`: a backup becomes a store.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{
    backup::{Proof, reopen},
    verify::Verified,
};
use crate::{
    Failure, Outcome, Session,
    output::{GOOD, bytes, line},
    store,
};

/// Copies a backup to the path of --store, and verifies the copy
///
/// No file may be at that path.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup
    backup: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored {
    backup: String,
    bytes: u64,
    proof: Proof,
}

impl Restore {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let target =
            session.store()?.file("restore", "use `pg_restore`, or `throughline import`")?.to_owned();
        let backup = store::file(&self.backup).await?;
        let progress = super::progress::spinner("copying");
        let proven = backup.backup_proven(&target).await.map_err(Failure::of_copy)?;
        let proof = Proof {
            position: reopen(&target, proven.position).await?,
            equal_rows: proven.rows,
            verification: Verified::of(proven.verification),
        };
        progress.finish_and_clear();
        // A path without UTF-8 is none in JSON, and the copy is made already.
        let backup = self.backup.to_string_lossy().into_owned();
        let restored = Restored { backup, bytes: proven.backup.bytes, proof };
        let exit = restored.proof.verification.exit();
        session.settled = Some(exit);
        let name = session.store_name();
        let output = &mut session.output;
        if output.is_json() {
            output.json("restore", &restored)?;
            return Ok(exit);
        }
        output.sentence(format_args!(
            "{GOOD}restored{GOOD:#} {} from {} to {name}: all {} rows are equal, at position {}",
            bytes(restored.bytes),
            line(&restored.backup),
            restored.proof.equal_rows,
            restored.proof.position
        ))?;
        restored.proof.verification.write(output)?;
        output.sentence(format_args!(
            "Put the file `{name}-fingerprints` of the lost store next to it, if you have it: without it, repeats of earlier \
             calls are refused."
        ))?;
        output
            .sentence("Consumers outside of the store must read everything again: later writes are lost.")?;
        Ok(exit)
    }
}
