//! `repair`: what a store can repair by itself.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use throughline::{
    Persistence, TenantId, ThreadId,
    messages::ListOpen,
    sqlite::{Maintenance, Part, Verification},
};

use super::{pages::Tenants, verify::Verified};
use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{BAD, GOOD, Output, count, line},
};

/// The expired replies that a plan names; it counts the others.
const NAMED: usize = 1000;

/// Rebuilds thread summaries, abandons replies whose lease has expired, and copies the rows of a damaged index to a new file
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    applied: bool,
    /// The threads whose summary is rebuilt.
    summaries: Vec<OfThread>,
    /// The replies that are abandoned.
    expired_replies: u64,
    expired: Vec<OfMessage>,
    /// Whether a page or an index of the file is damaged.
    damaged_file: bool,
    /// The path of the copy. With it nothing of the store itself is repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuild_into: Option<String>,
    /// Whether the verification found no damage at all.
    #[serde(skip)]
    was_sound: bool,
    /// The damage that this command does not repair.
    other_damage: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Verified>,
}

#[derive(Serialize, PartialEq, Eq)]
struct OfThread {
    tenant: TenantId,
    thread: ThreadId,
}

#[derive(Serialize)]
struct OfMessage {
    tenant: String,
    thread: String,
    message: String,
}

impl Repair {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let file = session.file("repair").await?;
        let progress = super::progress::spinner("verifying");
        let found = file.verify().await?;
        let mut plan = Plan::of(&found, self.rebuild_into.as_deref());
        if self.rebuild_into.is_none() {
            let reader = session.open(Access::Read).await?;
            plan.find_expired(&reader).await?;
        }
        if !self.apply {
            session.settled = Some(plan.exit());
        }
        progress.finish_and_clear();
        if !session.output.is_json() {
            // Before anything is done, so that the plan is known also if the program is killed.
            let shown = plan.write(&mut session.output).and_then(|()| Ok(session.output.flush()?));
            shown.map_err(|failure| if self.apply { failure.before_the_work() } else { failure })?;
        }
        let mut abandoned = 0;
        if self.apply {
            // The reader is not closed first: it holds no snapshot between two reads.
            plan.applied = true;
            let (verified, settled) = self.apply(&plan, &file, session).await?;
            (plan.after, abandoned) = (Some(verified), settled);
        }
        let exit = plan.exit();
        session.settled = Some(exit);
        let output = &mut session.output;
        if output.is_json() {
            output.json("repair", &plan)?;
        } else if let Some(after) = &plan.after {
            if let Some(into) = &plan.rebuild_into {
                output.sentence(format_args!(
                    "Copied the rows to {}. End all writers and close the store; then move this file to its path, and run \
                     `throughline repair` on it.",
                    line(into)
                ))?;
            } else if !plan.is_empty() {
                let summaries = count(plan.summaries.len() as u64, "thread");
                output.sentence(format_args!(
                    "Rebuilt the summary of {summaries}, and abandoned {}.",
                    count(abandoned, "expired draft")
                ))?;
            }
            after.write(output)?;
            output.sentence(match (after.sound, plan.rebuild_into.is_some()) {
                (true, false) => format!("{GOOD}Done, and verified: the store is sound.{GOOD:#}"),
                (false, false) => format!("{BAD}Done, but the damage above is left.{BAD:#}"),
                (true, true) => format!("{GOOD}The copy is sound; the store is unchanged.{GOOD:#}"),
                (false, true) => {
                    format!("{BAD}The copy has the damage above; the store is unchanged.{BAD:#}")
                }
            })?;
        } else if !plan.is_empty() {
            output.sentence("Nothing was changed. Add --apply to do this.")?;
        }
        Ok(exit)
    }

    /// Returns the verification of the store or of its copy, and the number of the abandoned replies. Writes no output, so that a
    /// reader who leaves does not end the work.
    async fn apply(
        &self,
        plan: &Plan,
        file: &Maintenance,
        session: &mut Session,
    ) -> Result<(Verified, u64), Failure> {
        if let Some(into) = &self.rebuild_into {
            let progress = super::progress::spinner("copying rows");
            let rebuilt = file.rebuild_into(into).await?;
            progress.finish_and_clear();
            return Ok((Verified::of(&rebuilt.verification), 0));
        }
        let mut abandoned = 0;
        if !plan.summaries.is_empty() || plan.expired_replies > 0 {
            let db = session.open(Access::Write).await?;
            for OfThread { tenant, thread } in &plan.summaries {
                db.for_tenant(tenant.clone()).thread(thread.clone()).rebuild_summary().await?;
            }
            abandoned = abandon_expired(&db).await?;
        }
        Ok((Verified::of(&file.verify().await?), abandoned))
    }
}

/// Abandons the expired replies of every tenant. Returns their number.
async fn abandon_expired(db: &Persistence) -> Result<u64, Failure> {
    let mut abandoned = 0;
    let mut tenants = Tenants::of(db);
    while let Some(tenant) = tenants.next().await? {
        let recovered = db.for_tenant(tenant).recover_expired_drafts("the lease expired").await?;
        abandoned += recovered.abandoned.len() as u64;
        // A damaged reply stays; the verification names it.
        let lost = recovered.failed.into_iter().find(|error| error.kind() != throughline::ErrorKind::Corrupt);
        if let Some(error) = lost {
            return Err(error.into());
        }
    }
    Ok(abandoned)
}

impl Plan {
    fn of(found: &Verification, rebuild_into: Option<&Path>) -> Self {
        let mut plan = Self {
            applied: false,
            summaries: Vec::new(),
            expired_replies: 0,
            expired: Vec::new(),
            damaged_file: false,
            rebuild_into: rebuild_into.map(|path| path.to_string_lossy().into_owned()),
            was_sound: found.is_sound(),
            other_damage: 0,
            after: None,
        };
        for damage in &found.damaged {
            match (damage.part, &damage.tenant, &damage.thread) {
                (Part::Thread | Part::Summary, Some(tenant), Some(thread)) => {
                    let of = OfThread { tenant: tenant.clone(), thread: thread.clone() };
                    if plan.rebuild_into.is_none() && !plan.summaries.contains(&of) {
                        plan.summaries.push(of);
                    }
                }
                (Part::File, ..) => plan.damaged_file = true,
                _ => plan.other_damage += 1,
            }
        }
        plan
    }

    /// Lists the expired replies of every tenant, a page at a time.
    async fn find_expired(&mut self, db: &Persistence) -> Result<(), Failure> {
        let mut tenants = Tenants::of(db);
        while let Some(tenant) = tenants.next().await? {
            let db = db.for_tenant(tenant.clone());
            let mut list = ListOpen::new(200).expired_only();
            loop {
                let open = db.read(list.clone()).await?;
                for message in open.messages {
                    self.expired_replies += 1;
                    if self.expired.len() < NAMED {
                        let (thread, message) = (message.thread.to_string(), message.id.to_string());
                        self.expired.push(OfMessage { tenant: tenant.to_string(), thread, message });
                    }
                }
                match open.next {
                    Some(next) => list.after = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    const fn is_empty(&self) -> bool {
        self.summaries.is_empty() && self.expired_replies == 0 && self.rebuild_into.is_none()
    }

    const fn exit(&self) -> Exit {
        match &self.after {
            Some(after) => after.exit(),
            None if self.was_sound && self.expired_replies == 0 => Exit::Done,
            None => Exit::Findings,
        }
    }

    fn write(&self, output: &mut Output) -> Result<(), Failure> {
        for OfThread { tenant, thread } in &self.summaries {
            let (tenant, thread) = (line(tenant.as_str()), line(thread.as_str()));
            output.sentence(format_args!("rebuild the summary of thread `{thread}` of tenant `{tenant}`"))?;
        }
        for OfMessage { tenant, thread, message } in &self.expired {
            let (tenant, thread, message) = (line(tenant), line(thread), line(message));
            output.sentence(format_args!(
                "abandon reply `{message}` in thread `{thread}` of tenant `{tenant}`: its lease has expired; its text stays"
            ))?;
        }
        let unnamed = self.expired_replies - self.expired.len() as u64;
        if unnamed > 0 {
            output.line(format_args!("abandon {unnamed} more expired replies"))?;
        }
        if self.expired_replies > 0 {
            output.sentence("A reply whose lease expires before --apply reaches it is abandoned too.")?;
        }
        match &self.rebuild_into {
            Some(into) => output.sentence(format_args!(
                "copy every row to the new file {}, with new indexes",
                line(into)
            ))?,
            None if self.damaged_file => output.sentence(
                "A page or an index of the file is damaged. --rebuild-into FILE copies the rows to a new file, with new indexes.",
            )?,
            None => {}
        }
        if self.other_damage > 0 {
            output.sentence(format_args!(
                "{} cannot be repaired here: restore the rows from a backup. `throughline verify` names each of them.",
                count(self.other_damage, "damage")
            ))?;
        }
        if self.is_empty() && self.was_sound {
            output.line(format_args!("{GOOD}Nothing to repair.{GOOD:#}"))?;
        }
        Ok(())
    }
}
