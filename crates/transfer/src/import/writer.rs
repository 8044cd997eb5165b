//! The writing side of an import: one thread of the store after the other.

use std::{collections::HashSet, ops::Range};

use throughline_core::{
    ErrorKind, PersistError, Persistence, ThreadId,
    messages::{Import, ImportRow, ImportedRow},
    threads::{ArchiveThread, PublishThread, ThreadSummary},
};

use super::{
    Conversation,
    calls::{admitted, refused},
    to_writer::{Item, Rows},
};
use crate::{FindingKind, Location, Progress, Report, TransferError};

/// Writes one thread after the other.
pub(super) struct Writer<'a> {
    db: &'a Persistence,
    progress: &'a Progress,
    pub(super) report: Report,
    thread: Option<Begun>,
    /// The threads of the source that were deleted from the store.
    deleted: HashSet<ThreadId>,
}

struct Begun {
    id: ThreadId,
    archived: bool,
    continues: bool,
    /// Whether its messages are numbered and the store may have some of them. Until the first that it does not have,
    /// each is imported by itself: one that differs shows another conversation.
    is_compared: bool,
    /// The reason why the thread cannot be imported.
    refusal: Option<FindingKind>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(db: &'a Persistence, progress: &'a Progress) -> Self {
        Self { db, progress, report: Report::default(), thread: None, deleted: HashSet::new() }
    }

    pub(super) async fn take(&mut self, item: Item) -> Result<(), TransferError> {
        match item {
            Item::Begin(conversation) => self.begin(*conversation).await,
            Item::Rows(rows) => self.write(&rows).await,
            Item::End => self.end().await,
        }
    }

    async fn begin(&mut self, conversation: Conversation) -> Result<(), TransferError> {
        let Conversation { id, new, archived, continues, numbered, leaves, location } = conversation;
        let mut is_compared = false;
        let refusal = if self.leaves_deleted(&id, leaves.as_ref()).await? {
            Some(FindingKind::Deleted)
        } else {
            // Hidden until all of it is imported.
            let new = new.with_id(id.clone()).hidden();
            match admitted(|| self.db.create_thread(new.clone()).into_future()).await {
                Ok(_) => None,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    is_compared = numbered;
                    None
                }
                // A deleted thread is not created again.
                Err(error) if error.kind() == ErrorKind::Gone => Some(FindingKind::Deleted),
                Err(error) => Some(FindingKind::Refused(refused(error, &id)?)),
            }
        };
        if refusal == Some(FindingKind::Deleted) {
            self.deleted.insert(id.clone());
        }
        if let Some(found) = &refusal {
            self.report.skip(&location, found.clone());
        }
        self.thread = Some(Begun { id, archived, continues, is_compared, refusal });
        Ok(())
    }

    /// Whether a thread is a fork of a deleted one that the store does not have yet. It would bring back a part of what was
    /// deleted.
    async fn leaves_deleted(&self, id: &ThreadId, leaves: Option<&ThreadId>) -> Result<bool, TransferError> {
        let leaves = leaves.is_some_and(|thread| self.deleted.contains(thread));
        Ok(leaves && self.summary(id).await?.is_none())
    }

    fn is_compared(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.is_compared)
    }

    async fn end(&mut self) -> Result<(), TransferError> {
        let Some(Begun { id: thread, archived, continues, refusal, .. }) = self.thread.take() else {
            return Ok(());
        };
        self.report.threads += u64::from(!continues);
        if refusal.is_some() {
            return Ok(());
        }
        if let Err(error) = self.publish(&thread, archived).await {
            let found = FindingKind::Refused(refused(error, &thread)?);
            self.report.skip(&Location::Thread(thread), found);
        }
        Ok(())
    }

    async fn publish(&self, thread: &ThreadId, archived: bool) -> Result<(), PersistError> {
        // A listed thread has been published before, and its archive flag is then the host's choice.
        let entry = self.summary(thread).await?;
        let Some(entry) = entry.filter(|entry| !entry.listed) else { return Ok(()) };
        if archived && !entry.archived {
            let archive = ArchiveThread { thread: thread.clone(), archived };
            admitted(|| self.db.on_thread(archive.clone()).into_future()).await?;
        }
        let publish = PublishThread { thread: thread.clone() };
        admitted(|| self.db.on_thread(publish.clone()).into_future()).await?;
        Ok(())
    }

    async fn summary(&self, thread: &ThreadId) -> Result<Option<ThreadSummary>, PersistError> {
        admitted(|| self.db.thread(thread).summary().into_future()).await
    }

    async fn write(&mut self, Rows { rows, locations, .. }: &Rows) -> Result<(), TransferError> {
        self.progress.add_messages(rows.len() as u64);
        let Some(thread) = self.thread.as_ref().map(|thread| thread.id.clone()) else { return Ok(()) };
        let mut next = 0;
        while next < rows.len() {
            if let Some(found) = self.thread.as_ref().and_then(|thread| thread.refusal.clone()) {
                locations[next..].iter().for_each(|location| self.report.skip(location, found.clone()));
                return Ok(());
            }
            let end = if self.is_compared() { next + 1 } else { rows.len() };
            self.import(&thread, (rows, locations), next..end).await?;
            next = end;
        }
        Ok(())
    }

    /// Imports rows. If the store refuses them because of their content, one of them may be the cause: it then imports each half
    /// by itself.
    async fn import(
        &mut self,
        thread: &ThreadId,
        (rows, locations): (&[ImportRow], &[Location]),
        all: Range<usize>,
    ) -> Result<(), TransferError> {
        let mut parts = vec![all];
        while let Some(part) = parts.pop() {
            let (Range { start, end }, locations) = (part.clone(), &locations[part.clone()]);
            let import = || Import::new(thread.clone(), rows[part.clone()].to_vec());
            match admitted(|| self.db.run(import()).into_future()).await {
                Ok(imported) => self.imported(imported.rows, locations),
                Err(error) => match (refused(error, thread)?, locations) {
                    (refusal, [location]) => self.report.skip(location, FindingKind::Refused(refusal)),
                    _ => {
                        let middle = start.midpoint(end);
                        parts.extend([middle..end, start..middle]);
                    }
                },
            }
        }
        Ok(())
    }

    /// Counts and reports the outcome of each row.
    fn imported(&mut self, outcomes: Vec<ImportedRow>, locations: &[Location]) {
        for (location, outcome) in locations.iter().zip(outcomes) {
            if let Some(thread) = self.thread.as_mut().filter(|thread| thread.is_compared) {
                thread.is_compared = !matches!(outcome, ImportedRow::Added(_));
                if matches!(outcome, ImportedRow::Differs(_)) {
                    thread.refusal = Some(FindingKind::OtherConversation);
                }
            }
            match outcome {
                // An import of files repairs no damaged row.
                ImportedRow::Added(_) | ImportedRow::Restored(_) => self.report.messages += 1,
                ImportedRow::Present(_) => self.report.already_there += 1,
                ImportedRow::Differs(_) => self.report.skip(location, FindingKind::Differs),
                ImportedRow::Gone => self.report.skip(location, FindingKind::Deleted),
            }
        }
    }
}
