//! Removes secrets from content that is already stored.

mod report;

pub use self::report::{Left, ScrubCursor, ScrubReport, WhyLeft};
use super::{Redactions, Redactor, redaction::Redaction};
use crate::transform::Down;
use throughline_core::{
    ErrorKind, Message, MessageId, MessageState, Metadata, MetadataPatch, PersistError, Persistence, Result,
    ThreadId,
    messages::{ContentChange, Delete, PageFrom, ReadPage, Update, UpdateContent, UpdateMode, Visibility},
    threads::{LabelThread, ListThreads, RenameThread, ThreadSummary},
};

/// Visits the threads of a tenant through the pipeline, and hides the matches of its rules in content, metadata, titles
/// and owners.
///
/// ```no_run
/// use throughline_core::{Persistence};
/// use throughline_layers::{redact::{Rules, Scrub}};
///
/// # async fn example(db: Persistence) -> throughline_core::Result<()> {
/// let rules = Rules::none().literal("leaked-in-november", "correct horse battery staple").compile()?;
/// let report = Scrub::new(&db, rules).run().await?;
/// println!("{} hidden: {}", report.redactions.total(), report.redactions);
/// for left in &report.left {
///     println!("{} {:?} is left: {:?}", left.thread, left.message, left.why);
/// }
/// # Ok(())
/// # }
/// ```
///
/// It works in [steps](Self::step) of one page of one thread, and resumes at a [`ScrubCursor`]. A second pass changes
/// nothing. Add the same rule to the pipeline's layer first: the scrub does not visit text that is written to finished
/// threads meanwhile.
///
/// Consumers of the change feed see the changes, such as the full-text index and mirrors. The scrub does not cover
/// hidden threads, the errors of failed runs, ids, labels, attachment keys, backups, and forks of other tenants. A
/// store may keep old bytes in its WAL until the next checkpoint; see the guide.
#[derive(Debug, Clone)]
pub struct Scrub {
    db: Persistence,
    redactor: Redactor,
    dry: bool,
    deletes_abandoned: bool,
}

/// The number of messages of one step.
const PAGE: u32 = 100;

impl Scrub {
    /// Creates a scrub of the handle's tenant with these rules.
    #[must_use]
    pub fn new(db: &Persistence, redactor: Redactor) -> Self {
        Self { db: db.clone(), redactor, dry: false, deletes_abandoned: false }
    }

    /// Only reports the matches, and writes nothing.
    #[must_use]
    pub const fn dry_run(mut self) -> Self {
        self.dry = true;
        self
    }

    /// Deletes abandoned messages with secrets, because no other change of them is possible.
    #[must_use]
    pub const fn deleting_abandoned(mut self) -> Self {
        self.deletes_abandoned = true;
        self
    }

    /// Scrubs all listed threads, including archived ones.
    ///
    /// # Errors
    /// The errors of the reads, and of writes that failed without a refusal. Completed changes stay; another run finds
    /// the rest.
    ///
    /// # Cancel safety
    /// A dropped call stops between two writes.
    pub async fn run(&self) -> Result<ScrubReport> {
        self.go(ScrubCursor::default()).await
    }

    /// Scrubs one thread, listed or hidden.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As for [`run`](Self::run).
    pub async fn thread(&self, thread: ThreadId) -> Result<ScrubReport> {
        let mut report = ScrubReport::default();
        if let Some(entry) = self.db.thread(thread.clone()).summary().await? {
            self.entry(&entry, &mut report).await?;
        }
        let rest = ScrubCursor {
            listed_all: true,
            thread: Some((thread, PageFrom::Start)),
            ..ScrubCursor::default()
        };
        report.add(self.go(rest).await?);
        Ok(report)
    }

    async fn go(&self, from: ScrubCursor) -> Result<ScrubReport> {
        let (mut report, mut next) = (ScrubReport::default(), Some(from));
        while let Some(cursor) = next {
            report.add(self.step(cursor).await?);
            next = report.next.take();
        }
        Ok(report)
    }

    /// Runs one step: the next thread of the list, or the next 100 messages of one. The report contains the next
    /// cursor.
    ///
    /// # Errors
    /// As for [`run`](Self::run). The caller can repeat the step.
    ///
    /// # Cancel safety
    /// As for [`run`](Self::run).
    pub async fn step(&self, cursor: ScrubCursor) -> Result<ScrubReport> {
        let mut report = ScrubReport::default();
        let ScrubCursor { threads, listed_all, thread } = cursor;
        if let Some((thread, from)) = thread {
            let read = ReadPage::new(thread.clone(), from, PAGE).showing(Visibility::All);
            let page = self.db.read(read).await?;
            for message in &page.messages {
                self.message(message, &mut report).await?;
            }
            let thread = page.next(from).map(|from| (thread, from));
            let is_over = listed_all && thread.is_none();
            report.next = (!is_over).then_some(ScrubCursor { threads, listed_all, thread });
            return Ok(report);
        }
        if listed_all {
            return Ok(report);
        }
        let mut list = ListThreads::new(1).archived_too();
        list.after = threads;
        let list = self.db.threads(list).await?;
        for damaged in &list.damaged {
            leave(&mut report, damaged, None, WhyLeft::Refused(ErrorKind::Corrupt));
        }
        if let Some(entry) = list.threads.first() {
            self.entry(entry, &mut report).await?;
        }
        let thread = list.threads.first().map(|entry| (entry.thread.clone(), PageFrom::Start));
        let listed_all = list.next.is_none();
        let is_over = listed_all && thread.is_none();
        report.next = (!is_over).then_some(ScrubCursor { threads: list.next, listed_all, thread });
        Ok(report)
    }

    async fn entry(&self, entry: &ThreadSummary, report: &mut ScrubReport) -> Result<()> {
        report.looked_at += 1;
        let redaction = Redaction::new(self.redactor.clone());
        let mut down = Down::new(&redaction);
        let title = down.whole_title(&entry.title);
        let (Ok(title), Ok(metadata)) = (title, down.facts(&entry.metadata, false)) else {
            leave(report, &entry.thread, None, WhyLeft::Refused(ErrorKind::TooLarge));
            return Ok(());
        };
        let mut found = Redactions::from(down.into_counts());
        let owner = entry.owner.as_ref().and_then(|owner| self.redactor.owner_id(owner, &mut found));
        if title.is_none() && metadata.is_none() && owner.is_none() {
            return Ok(());
        }
        let mut made = Ok(());
        if !self.dry {
            // Without an expected title, because a layer with the same rules would change it.
            if let Some(title) = title {
                let rename = RenameThread::new(entry.thread.clone(), title);
                made = self.db.on_thread(rename).await.map(drop);
            }
            if made.is_ok() && (metadata.is_some() || owner.is_some()) {
                let mut label = LabelThread::new(entry.thread.clone());
                if let Some(metadata) = metadata {
                    label = label.with_metadata(difference(&entry.metadata, &metadata)?);
                }
                if let Some(owner) = owner {
                    label = label.with_owner(Some(owner));
                }
                made = self.db.on_thread(label).await.map(drop);
            }
        }
        record(report, &found, made, &entry.thread, None)
    }

    async fn message(&self, message: &Message, report: &mut ScrubReport) -> Result<()> {
        report.looked_at += 1;
        let redaction = Redaction::new(self.redactor.clone());
        let (mut down, mut in_reason) = (Down::new(&redaction), Redactions::new());
        let content = down.whole_content(&message.content);
        let metadata = down.facts(&message.metadata, false);
        let mut found = Redactions::from(down.into_counts());
        let (Ok(content), Ok(metadata)) = (content, metadata) else {
            leave(report, &message.thread, Some(&message.id), WhyLeft::Refused(ErrorKind::TooLarge));
            return Ok(());
        };
        let reason = message.abandon_reason.as_deref();
        let reason = reason.and_then(|reason| self.redactor.text(reason, &mut in_reason));
        if content.is_none() && metadata.is_none() && reason.is_none() {
            return Ok(());
        }
        let is_fixed = content.is_some() || reason.is_some();
        if is_fixed && message.state == MessageState::Abandoned && self.deletes_abandoned {
            found.add(&in_reason);
            let delete = Delete::new(message.thread.clone(), message.id.clone()).expecting(message.revision);
            let made = if self.dry { Ok(()) } else { self.db.run(delete).await.map(drop) };
            return record(report, &found, made, &message.thread, Some(&message.id));
        }
        let mut made = Ok(());
        let mut can_be_changed = metadata.is_some();
        let is_fixed = match (message.state, content) {
            (MessageState::Final, Some(content)) => {
                can_be_changed = true;
                if !self.dry {
                    let change = ContentChange::Replace(content);
                    let (thread, id) = (message.thread.clone(), message.id.clone());
                    let edit = UpdateContent::new(thread, id, change, UpdateMode::Edit);
                    made = self.db.run(edit.expecting(message.revision)).await.map(drop);
                }
                false
            }
            _ => is_fixed,
        };
        if let (Some(metadata), Ok(()), false) = (metadata, &made, self.dry) {
            let patch = difference(&message.metadata, &metadata)?;
            let update = Update::new(message.thread.clone(), message.id.clone(), patch);
            made = self.db.run(update).await.map(drop);
        }
        if is_fixed {
            let why = if message.state.is_open() { WhyLeft::Open } else { WhyLeft::Abandoned };
            leave(report, &message.thread, Some(&message.id), why);
        }
        if can_be_changed {
            return record(report, &found, made, &message.thread, Some(&message.id));
        }
        Ok(())
    }
}

/// Returns the patch that turns `before` into `after`.
fn difference(before: &Metadata, after: &Metadata) -> Result<MetadataPatch> {
    let mut patch = MetadataPatch::new();
    for (name, _) in before.iter().filter(|(name, _)| after.get(name).is_none()) {
        patch = patch.clear(name);
    }
    for (name, value) in after.iter() {
        if before.get(name).is_none_or(|old| old.get() != value.get()) {
            patch = patch.set(name, value)?;
        }
    }
    Ok(patch)
}

/// Records the result of a change. A refused change is reported as left; another failure ends the step.
fn record(
    report: &mut ScrubReport,
    found: &Redactions,
    made: Result<(), PersistError>,
    thread: &ThreadId,
    message: Option<&MessageId>,
) -> Result<()> {
    match made {
        Ok(()) => {
            report.redactions.add(found);
            report.changed += 1;
            Ok(())
        }
        Err(error) if error.kind().is_refusal() && !error.kind().passes_with_time() => {
            leave(report, thread, message, WhyLeft::Refused(error.kind()));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn leave(report: &mut ScrubReport, thread: &ThreadId, message: Option<&MessageId>, why: WhyLeft) {
    report.left.push(Left { thread: thread.clone(), message: message.cloned(), why });
}
