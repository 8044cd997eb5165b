//! `retain`: bounds the threads of a tenant.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use throughline::{
    ErrorKind, Persistence, ThreadId, Timestamp,
    threads::{Keep, PrunePlan, PruneThread},
};

use super::{pages::ThreadPages, planned_items::PlannedItems};
use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{Column, GOOD, Output, Table, bytes, count, line, parse_bytes, parse_duration},
};

/// The threads that a plan names, and the damaged ones; it counts the others.
const NAMED: usize = 1000;
/// The messages of one deletion.
const STEP: u32 = 500;

/// Deletes the oldest messages beyond a bound, with --apply
///
/// Without --apply it shows the plan and deletes nothing. A message that is added after the plan is not deleted, and pushes no other
/// message out.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("bound").required(true).multiple(true),
    override_usage = "throughline retain [OPTIONS] <BOUND>..., where a bound is --keep,\n       --keep-bytes or --older"
)]
pub(crate) struct Retain {
    /// The most messages of a thread to keep
    #[arg(long, value_name = "COUNT", group = "bound")]
    keep: Option<u64>,
    /// The most bytes of content of a thread to keep, such as 10M
    #[arg(long, value_name = "SIZE", group = "bound", value_parser = parse_bytes)]
    keep_bytes: Option<u64>,
    /// Deletes the messages older than this, such as 90d
    #[arg(long, value_name = "AGE", group = "bound", value_parser = parse_duration)]
    older: Option<Duration>,
    /// Only this thread; every listed thread of the tenant otherwise
    #[arg(long)]
    thread: Option<ThreadId>,
    /// Deletes what the plan says
    #[arg(long)]
    apply: bool,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Plan {
    tenant: String,
    applied: bool,
    threads: u64,
    messages: u64,
    bytes: u64,
    /// The threads, up to a number.
    named: Vec<OfThread>,
    damaged_threads: u64,
    /// Where the space of deleted messages is, in one sentence.
    #[serde(skip)]
    space: &'static str,
    /// The damaged threads, up to a number.
    damaged: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfThread {
    thread: String,
    messages: u64,
    bytes: u64,
}

impl Retain {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let access = if self.apply { Access::Write } else { Access::Read };
        let db = session.open(access).await?;
        let keep = self.keep(Timestamp::now());
        // The plan is shown before anything is deleted. A message that is added meanwhile is not part of it.
        let space = match session.is_file() {
            true => "The file keeps the space for later writes; `throughline compact --apply` gives it back.",
            false => "The store keeps the space for later writes.",
        };
        let mut plan = Plan { tenant: db.tenant().to_string(), space, ..Plan::default() };
        let mut affected = if self.apply { Some(PlannedItems::new()?) } else { None };
        match &self.thread {
            Some(thread) => plan.make(&db, thread, keep, affected.as_mut()).await?,
            None => {
                let mut pages = ThreadPages::of(&db);
                while let Some((page, damaged)) = pages.next().await? {
                    for thread in page {
                        plan.make(&db, &thread.thread, keep, affected.as_mut()).await?;
                    }
                    damaged.iter().for_each(|thread| plan.add_damaged(thread));
                }
            }
        }
        let exit = if plan.damaged_threads == 0 { Exit::Done } else { Exit::Findings };
        if !self.apply {
            session.settled = Some(exit);
        }
        if !session.output.is_json() {
            let shown = plan.write(&mut session.output).and_then(|()| Ok(session.output.flush()?));
            shown.map_err(|failure| if self.apply { failure.before_the_work() } else { failure })?;
        }
        let mut pruned = Ok(());
        if let Some(affected) = affected {
            plan.applied = true;
            (plan.messages, plan.bytes) = (0, 0);
            pruned = plan.apply(&db, affected).await;
        }
        // The report has the deleted messages even if a later thread failed.
        session.settled = Some(if pruned.is_ok() { exit } else { Exit::Failed });
        let reported = plan.report(&mut session.output);
        pruned.and(reported).map(|()| exit)
    }

    fn keep(&self, now: Timestamp) -> Keep {
        let mut keep = Keep::everything();
        if let Some(count) = self.keep {
            keep = keep.messages(count);
        }
        if let Some(bytes) = self.keep_bytes {
            keep = keep.bytes(bytes);
        }
        if let Some(age) = self.older {
            let micros = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
            keep = keep.since(Timestamp::from_micros(now.as_micros().saturating_sub(micros)));
        }
        keep
    }
}

impl Plan {
    /// Plans one thread, and keeps the plan for `--apply`.
    async fn make(
        &mut self,
        db: &Persistence,
        thread: &ThreadId,
        keep: Keep,
        affected: Option<&mut PlannedItems<PrunePlan>>,
    ) -> Result<(), Failure> {
        let planned = match db.thread(thread.clone()).plan_prune(keep).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.add_damaged(thread);
                return Ok(());
            }
            planned => planned?,
        };
        if planned.through.is_some() {
            self.add(thread, planned.messages, planned.bytes);
            if let Some(affected) = affected {
                affected.push(&planned)?;
            }
        }
        Ok(())
    }

    fn add_damaged(&mut self, thread: &ThreadId) {
        self.damaged_threads += 1;
        if self.damaged.len() < NAMED {
            self.damaged.push(thread.to_string());
        }
    }

    /// Deletes what the plan says. Adds what it deleted, also if it fails.
    async fn apply(&mut self, db: &Persistence, affected: PlannedItems<PrunePlan>) -> Result<(), Failure> {
        for planned in affected.into_items()? {
            self.prune(db, planned?).await?;
        }
        Ok(())
    }

    fn add(&mut self, thread: &ThreadId, messages: u64, bytes: u64) {
        self.threads += 1;
        self.messages += messages;
        self.bytes += bytes;
        if self.named.len() < NAMED {
            self.named.push(OfThread { thread: thread.to_string(), messages, bytes });
        }
    }

    /// Deletes the messages of a plan, and none that came after it. Adds what it deleted, also if it fails.
    async fn prune(&mut self, db: &Persistence, planned: PrunePlan) -> Result<(), Failure> {
        let PrunePlan { thread, generation, through: Some(through), .. } = planned else { return Ok(()) };
        loop {
            let step = PruneThread { thread: thread.clone(), through, generation, limit: STEP };
            let pruned = db
                .on_thread(step)
                .await
                .map_err(|error| Failure::from(error).about(format_args!("thread `{thread}`")))?;
            self.messages += pruned.messages;
            self.bytes += pruned.bytes;
            if !pruned.more {
                return Ok(());
            }
        }
    }

    /// Writes what was done.
    fn report(&self, output: &mut Output) -> Result<(), Failure> {
        if output.is_json() {
            output.json("retain", self)?;
        } else if self.threads == 0 {
            return Ok(());
        } else if self.applied {
            output.sentence(format_args!(
                "{GOOD}Deleted {}, {}.{GOOD:#} {}",
                count(self.messages, "message"),
                bytes(self.bytes),
                self.space
            ))?;
        } else {
            output.sentence("Nothing was deleted. Add --apply to delete these messages.")?;
        }
        Ok(())
    }

    fn write(&self, output: &mut Output) -> Result<(), Failure> {
        for thread in &self.damaged {
            output.sentence(format_args!("damaged, and left as it is: {}", line(thread)))?;
        }
        let unnamed = self.damaged_threads - self.damaged.len() as u64;
        if unnamed > 0 {
            output.line(format_args!("and {unnamed} more damaged threads"))?;
        }
        if self.threads == 0 {
            output
                .sentence(format_args!("No message of tenant {} is beyond the bound.", line(&self.tenant)))?;
            return Ok(());
        }
        let mut table =
            Table::new(&[Column::Right("MESSAGES"), Column::Right("SIZE"), Column::Left("THREAD")]);
        for OfThread { thread, messages, bytes: size } in &self.named {
            table.row(vec![messages.to_string(), bytes(*size), line(thread)]);
        }
        table.write(output)?;
        let unnamed = self.threads - self.named.len() as u64;
        if unnamed > 0 {
            output.line(format_args!("and {unnamed} more threads"))?;
        }
        output.sentence(format_args!(
            "Beyond the bound: {} in {}, {}.",
            count(self.messages, "message"),
            count(self.threads, "thread"),
            bytes(self.bytes)
        ))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use throughline::{NewMessage, memory::MemoryBackend, messages::PageFrom};

    use super::*;

    #[tokio::test]
    async fn messages_that_came_after_the_plan_push_no_more_out() {
        let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
        let add = async |number: u32| {
            db.thread("t").add(NewMessage::user(&number.to_string())).await.unwrap();
        };
        for number in 0..5 {
            add(number).await;
        }
        let planned = db.thread("t").plan_prune(Keep::everything().messages(3)).await.unwrap();
        for number in 5..10 {
            add(number).await;
        }
        let mut plan = Plan::default();
        plan.prune(&db, planned).await.unwrap();
        assert_eq!((plan.messages, plan.bytes > 0), (2, true));
        let left = db.thread("t").page(PageFrom::End, 100).await.unwrap().messages;
        let mut texts: Vec<_> = left.iter().map(throughline::Message::text).collect();
        texts.sort();
        assert_eq!(texts, ["2", "3", "4", "5", "6", "7", "8", "9"]);
    }

    #[tokio::test]
    async fn a_plan_of_many_threads_names_the_first_and_deletes_in_all() {
        let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
        let threads = NAMED + 7;
        for thread in 0..threads {
            for text in ["a", "b"] {
                db.thread(format!("t{thread}")).add(NewMessage::user(text)).await.unwrap();
            }
        }
        let keep = Keep::everything().messages(1);
        let (mut plan, mut affected) = (Plan::default(), PlannedItems::new().unwrap());
        for thread in 0..threads {
            let thread = format!("t{thread}").parse().unwrap();
            plan.make(&db, &thread, keep, Some(&mut affected)).await.unwrap();
        }
        assert_eq!((plan.named.len(), plan.threads, plan.messages), (NAMED, threads as u64, threads as u64));
        (plan.messages, plan.bytes) = (0, 0);
        plan.apply(&db, affected).await.unwrap();
        assert_eq!(plan.messages, threads as u64);
        let last = db.thread(format!("t{}", threads - 1)).page(PageFrom::End, 10).await.unwrap().messages;
        assert_eq!(last.iter().map(throughline::Message::text).collect::<Vec<_>>(), ["b"]);
    }

    #[tokio::test]
    async fn a_thread_that_was_cleared_after_the_plan_fails_by_its_name() {
        let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
        for text in ["a", "b"] {
            db.thread("t").add(NewMessage::user(text)).await.unwrap();
        }
        let planned = db.thread("t").plan_prune(Keep::everything().messages(1)).await.unwrap();
        db.thread("t").clear().await.unwrap();
        let mut plan = Plan::default();
        let Err(Failure::Reported(report)) = plan.prune(&db, planned).await else { panic!("it was pruned") };
        assert_eq!((report.code, plan.messages), (ErrorKind::Stale.code(), 0));
        assert!(report.text.starts_with("thread `t`: "), "{report:?}");
    }
}
