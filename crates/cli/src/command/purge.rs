//! `purge`: frees what cleared and deleted threads left.

use clap::Args;
use serde::{Deserialize, Serialize};
use throughline::{
    ErrorKind, Persistence, TenantId, ThreadId,
    threads::{ListPurgeable, PurgeThread},
};

use super::{pages::Tenants, planned_items::PlannedItems};
use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{GOOD, Output, VERSION, count, line},
};

/// The threads that a plan names; it counts the others.
const NAMED: usize = 1000;
/// The threads of one read, and the messages of one step.
const PAGE: u32 = 500;

/// Frees what cleared and deleted threads left, with --apply
///
/// Without --apply it shows the plan and frees nothing. With it, it lists the attachments of each thread as soon as they are freed: the host can delete their files. A thread that
/// is cleared or deleted after the plan waits for the next call.
#[derive(Debug, Args)]
pub(crate) struct Purge {
    /// Every tenant of the store
    #[arg(long)]
    all_tenants: bool,
    /// Frees what the plan says
    #[arg(long)]
    apply: bool,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Plan {
    applied: bool,
    threads: u64,
    named: Vec<OfThread>,
    /// Always empty here: only freed messages leave attachments.
    attachments: [(); 0],
}

#[derive(Clone, Serialize, Deserialize)]
struct OfThread {
    tenant: TenantId,
    thread: ThreadId,
}

/// An attachment of a freed message, which the host may delete now.
#[derive(Serialize)]
struct Attachment<'a> {
    tenant: &'a str,
    thread: &'a str,
    attachment: &'a str,
}

impl Purge {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let access = if self.apply { Access::Write } else { Access::Read };
        let db = session.open(access).await?;
        let output = &mut session.output;
        let mut plan = Plan::default();
        let mut planned = if self.apply { Some(PlannedItems::new()?) } else { None };
        self.each(&db, |thread| {
            plan.add(&thread);
            planned.as_mut().map_or(Ok(()), |planned| planned.push(&thread))
        })
        .await?;
        let Some(planned) = planned else {
            match output.is_json() {
                true => output.json("purge", &plan)?,
                false => plan.write(output, "Add --apply to free the space.")?,
            }
            return Ok(Exit::Done);
        };
        let shown = match output.is_json() {
            true => begin(output, &plan),
            false => plan.write(output, "Freeing them."),
        };
        shown.and_then(|()| Ok(output.flush()?)).map_err(Failure::before_the_work)?;
        let mut freed = Freed::default();
        let ended = freed.apply(&db, planned, output).await;
        // The report has the freed threads even if a later thread failed.
        session.settled = Some(if ended.is_ok() { Exit::Done } else { Exit::Failed });
        let reported = freed.report(&mut session.output);
        ended.and(reported).map(|()| Exit::Done)
    }

    /// Calls `visit` with each thread that can be freed, a page at a time.
    async fn each(
        &self,
        db: &Persistence,
        mut visit: impl FnMut(OfThread) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.all_tenants {
            return each_of_tenant(db, &mut visit).await;
        }
        let mut tenants = Tenants::of(db);
        while let Some(tenant) = tenants.next().await? {
            each_of_tenant(&db.for_tenant(tenant), &mut visit).await?;
        }
        Ok(())
    }
}

async fn each_of_tenant(
    db: &Persistence,
    visit: &mut impl FnMut(OfThread) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after: Option<ThreadId> = None;
    loop {
        let page = db.read(ListPurgeable { after: after.take(), limit: PAGE }).await?.threads;
        let Some(last) = page.last().cloned() else { return Ok(()) };
        after = Some(last);
        for thread in page {
            visit(OfThread { tenant: db.tenant().clone(), thread })?;
        }
    }
}

impl Plan {
    fn add(&mut self, thread: &OfThread) {
        self.threads += 1;
        if self.named.len() < NAMED {
            self.named.push(thread.clone());
        }
    }

    fn write(&self, output: &mut Output, next: &str) -> Result<(), Failure> {
        for OfThread { tenant, thread } in &self.named {
            output.sentence(format_args!(
                "thread `{}` of tenant `{}`",
                line(thread.as_str()),
                line(tenant.as_str())
            ))?;
        }
        let unnamed = self.threads - self.named.len() as u64;
        if unnamed > 0 {
            output.line(format_args!("and {unnamed} more threads"))?;
        }
        match self.threads {
            0 => output.line("Nothing to free.")?,
            threads => {
                let threads = count(threads, "cleared or deleted thread");
                output.sentence(format_args!("{threads} can be freed. {next}"))?;
            }
        }
        Ok(())
    }
}

/// Begins the document of `--apply`, which is written in parts: the attachments of the freed threads have no bound.
fn begin(output: &mut Output, plan: &Plan) -> Result<(), Failure> {
    output.text(format_args!("{{\"version\":{VERSION},\"command\":\"purge\",\"applied\":true,\"named\":"))?;
    output.json_part(&plan.named)?;
    Ok(output.text(format_args!(",\"attachments\":["))?)
}

/// The work that is done.
#[derive(Default)]
struct Freed {
    threads: u64,
    attachments: u64,
}

impl Freed {
    /// Frees the planned threads.
    async fn apply(
        &mut self,
        db: &Persistence,
        planned: PlannedItems<OfThread>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        for thread in planned.into_items()? {
            let OfThread { tenant, thread } = thread?;
            self.purge(&db.for_tenant(tenant), thread, output).await?;
        }
        Ok(())
    }

    /// Frees a thread, and writes the attachments of each step at once: after it the store does not know them any more.
    async fn purge(
        &mut self,
        db: &Persistence,
        thread: ThreadId,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let of_thread =
            |failure: Failure| failure.about(format_args!("thread `{thread}` of tenant `{}`", db.tenant()));
        loop {
            let step = PurgeThread { thread: thread.clone(), limit: PAGE };
            let freed = match db.on_thread(step).await {
                // Another process has freed the thread.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                freed => freed.map_err(|error| of_thread(error.into()))?,
            };
            for attachment in &freed.attachments {
                let attachment = Attachment {
                    tenant: db.tenant().as_str(),
                    thread: thread.as_str(),
                    attachment: attachment.as_str(),
                };
                attachment.write(output, self.attachments == 0).map_err(unlisted).map_err(of_thread)?;
                self.attachments += 1;
            }
            output.flush().map_err(|error| of_thread(unlisted(error.into())))?;
            if !freed.more {
                self.threads += 1;
                return Ok(());
            }
        }
    }

    fn report(&self, output: &mut Output) -> Result<(), Failure> {
        if output.is_json() {
            output.text(format_args!("],\"threads\":{}}}\n", self.threads))?;
        } else if self.threads > 0 {
            let threads = count(self.threads, "cleared or deleted thread");
            output.sentence(format_args!("{GOOD}Freed {threads}.{GOOD:#}"))?;
        }
        Ok(())
    }
}

impl Attachment<'_> {
    fn write(&self, output: &mut Output, is_first: bool) -> Result<(), Failure> {
        if output.is_json() {
            if !is_first {
                output.text(format_args!(","))?;
            }
            return output.json_part(self);
        }
        Ok(output.sentence(format_args!(
            "attachment without a message: `{}` of thread `{}` of tenant `{}`",
            line(self.attachment),
            line(self.thread),
            line(self.tenant)
        ))?)
    }
}

/// The reader of the output left during the work: the rest is not freed, because its attachments would be lost.
fn unlisted(failure: Failure) -> Failure {
    match failure {
        Failure::OutputClosed => Failure::new(
            Exit::Failed,
            "cancelled",
            "the reader of the output left, so that some attachments of the freed messages were not listed",
        )
        .advise("repeat the command for the rest, and read its whole output"),
        failure @ Failure::Reported(_) => failure,
    }
}
