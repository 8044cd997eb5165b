//! The work of `repair --apply`.

use std::path::Path;

use serde::Serialize;
use throughline::{
    ErrorKind, Persistence,
    messages::{ContentChange, UpdateContent, UpdateMode},
    sqlite::Maintenance,
};

use super::{
    Source,
    plan::{Expired, OfThread, Plan},
};
use crate::{
    Access, Exit, Failure, Session,
    command::{planned_items::PlannedItems, progress, verify::Verified},
    output::{BAD, GOOD, Output, count},
};

/// The work that was done, and the verification of the store or of its copy after it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Applied {
    rebuilt_summaries: u64,
    abandoned_replies: u64,
    after: Verified,
}

impl Applied {
    /// Copies the rows of a file to a new one.
    pub(super) async fn copy(file: &Maintenance, into: &Path) -> Result<Self, Failure> {
        let progress = progress::spinner("copying rows");
        let rebuilt = file.rebuild_into(into).await.map_err(Failure::of_copy)?;
        progress.finish_and_clear();
        let after = Verified::of(rebuilt.verification);
        Ok(Self { rebuilt_summaries: 0, abandoned_replies: 0, after })
    }

    /// Does what the plan says, and no more. Writes no output, so that a reader who leaves does not end the work.
    pub(super) async fn repair(
        source: &Source,
        plan: &Plan,
        expired: PlannedItems<Expired>,
        session: &mut Session,
    ) -> Result<Self, Failure> {
        let (mut rebuilt_summaries, mut abandoned_replies) = (0, 0);
        if !plan.is_empty() {
            let db = session.open(Access::Write).await?;
            for OfThread { tenant, thread } in &plan.summaries {
                match db.for_tenant(tenant.clone()).thread(thread.clone()).rebuild_summary().await {
                    Ok(_) => rebuilt_summaries += 1,
                    // The thread was deleted after the plan.
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Gone) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            abandoned_replies = Self::abandon(&db, expired).await?;
        }
        let after = source.verify(session).await?;
        Ok(Self { rebuilt_summaries, abandoned_replies, after })
    }

    /// Abandons the planned replies that are still expired. Returns their number.
    pub(super) async fn abandon(db: &Persistence, expired: PlannedItems<Expired>) -> Result<u64, Failure> {
        let mut abandoned = 0;
        for reply in expired.into_items()? {
            let Expired { tenant, thread, message, revision } = reply?;
            let mode = UpdateMode::Abandon { reason: Some("the lease expired".to_owned()) };
            let abandon = UpdateContent::new(thread, message, ContentChange::none(), mode)
                .expecting(revision)
                .only_if_expired();
            match db.for_tenant(tenant).run(abandon).await {
                Ok(_) => abandoned += 1,
                Err(error) => match error.kind() {
                    // Its writer continued it, or it was settled or deleted.
                    ErrorKind::Stale | ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Gone => {}
                    // A damaged reply stays; the verification names it.
                    ErrorKind::Corrupt => {}
                    _ => return Err(error.into()),
                },
            }
        }
        Ok(abandoned)
    }

    pub(super) const fn exit(&self) -> Exit {
        self.after.exit()
    }

    pub(super) fn write(&self, plan: &Plan, output: &mut Output) -> Result<(), Failure> {
        if !plan.is_empty() {
            output.sentence(format_args!(
                "Rebuilt the summary of {}, and abandoned {}.",
                count(self.rebuilt_summaries, "thread"),
                count(self.abandoned_replies, "expired draft")
            ))?;
        }
        let left = plan.expired_replies.saturating_sub(self.abandoned_replies);
        if left > 0 {
            output.sentence(format_args!(
                "{} of the plan stayed: its writer continued it, or it was settled meanwhile.",
                count(left, "draft")
            ))?;
        }
        self.after.write(output)?;
        Ok(output.sentence(if self.after.sound {
            format!("{GOOD}Done, and verified: the store is sound.{GOOD:#}")
        } else {
            format!("{BAD}Done, but the damage above is left.{BAD:#}")
        })?)
    }

    pub(super) fn write_copy(&self, into: &str, output: &mut Output) -> Result<(), Failure> {
        output.sentence(format_args!(
            "Copied the rows to {into}. End all writers and close the store; then move this file to its path, and run \
             `throughline repair` on it."
        ))?;
        self.after.write(output)?;
        Ok(output.sentence(if self.after.sound {
            format!("{GOOD}The copy is sound; the store is unchanged.{GOOD:#}")
        } else {
            format!("{BAD}The copy has the damage above; the store is unchanged.{BAD:#}")
        })?)
    }
}
