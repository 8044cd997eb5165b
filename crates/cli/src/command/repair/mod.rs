//! `repair`: what a store can repair by itself.

mod applied;
mod plan;

use std::path::PathBuf;

use clap::Args;
use throughline::sqlite::Maintenance;

use self::{applied::Applied, plan::Plan};
use super::{
    planned_items::PlannedItems,
    verify::{Verified, verify_by_reads},
};
use crate::{
    Access, Failure, Outcome, Session,
    output::{Output, line},
    store::{self, StoreName},
};

/// Repairs summaries and expired replies, with --apply
///
/// Without --apply it shows the plan and changes nothing. It rebuilds damaged thread summaries, and abandons the replies whose lease has expired: their text stays. --apply does what the plan
/// says and no more: a reply that expires after the plan waits for the next call. --rebuild-into copies the rows of a file with a
/// damaged index to a new file.
#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// Shows the plan only; this is the default
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Does what the plan says
    #[arg(long)]
    apply: bool,
    /// Only copies every row to this new file, with new indexes. The store itself stays as it is
    #[arg(long, value_name = "FILE")]
    rebuild_into: Option<PathBuf>,
}

/// The store as its damage is found: a SQLite file, or by reads.
enum Source {
    File(Box<Maintenance>),
    Reads,
}

impl Source {
    async fn open(session: &Session, copies: bool) -> Result<Self, Failure> {
        match session.store()? {
            StoreName::Url(_) if !copies => Ok(Self::Reads),
            _ => {
                let alternative = "use `REINDEX SCHEMA throughline`";
                Ok(Self::File(Box::new(session.file("repair --rebuild-into", alternative).await?)))
            }
        }
    }

    async fn verify(&self, session: &mut Session) -> Result<Verified, Failure> {
        let progress = super::progress::spinner("verifying");
        let verified = match self {
            Self::File(file) => Verified::of(file.verify().await?),
            Self::Reads => verify_by_reads(&session.open(Access::Read).await?).await?,
        };
        progress.finish_and_clear();
        Ok(verified)
    }
}

impl Repair {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        if self.apply
            && let StoreName::File(path) = session.store()?
        {
            store::make_readable(path).await?;
        }
        let source = Source::open(session, self.rebuild_into.is_some()).await?;
        let found = source.verify(session).await?;
        let mut plan = Plan::of(&found, self.rebuild_into.as_deref());
        let mut expired = if self.apply { Some(PlannedItems::new()?) } else { None };
        if self.rebuild_into.is_none() {
            let reader = session.open(Access::Read).await?;
            plan.find_expired(&reader, expired.as_mut()).await?;
        }
        let mut exit = plan.exit();
        if !self.apply {
            session.settled = Some(exit);
        }
        if !session.output.is_json() {
            // Before anything is done, so that the plan is known also if the program is killed.
            let shown = plan.write(&mut session.output).and_then(|()| Ok(session.output.flush()?));
            shown.map_err(|failure| if self.apply { failure.before_the_work() } else { failure })?;
        }
        if let Some(expired) = expired {
            // The reader is not closed first: it holds no snapshot between two reads.
            let applied = match (&source, &self.rebuild_into) {
                (Source::File(file), Some(into)) => Applied::copy(file, into).await?,
                _ => Applied::repair(&source, &plan, expired, session).await?,
            };
            exit = applied.exit();
            plan.apply(applied);
        }
        session.settled = Some(exit);
        report(&plan, &mut session.output)?;
        Ok(exit)
    }
}

/// Writes what was done.
fn report(plan: &Plan, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json("repair", plan);
    }
    match (&plan.done, &plan.rebuild_into) {
        (None, _) if plan.is_empty() => Ok(()),
        (None, _) => Ok(output.sentence("Nothing was changed. Add --apply to do this.")?),
        (Some(applied), Some(into)) => applied.write_copy(&line(into), output),
        (Some(applied), None) => applied.write(plan, output),
    }
}
