use std::collections::BTreeMap;

use super::{
    super::{
        EncryptLayer, KeyId, Unreadable,
        key_set::{KeyUsage, Stale},
        thread_keys::ThreadKeys,
    },
    RewriteCursor, Rewritten,
    cursor::Stage,
};
use throughline_core::{
    ErrorKind, PersistError, Persistence, Position, ReadArgs, Reply, Result, Seq, ThreadId,
    changes::{ChangeScope, ReadChanges},
    messages::{PageFrom, ReadPage},
    operations::OperationOf,
    threads::{GetThread, LabelThread, ListThreads, RenameThread},
};

/// One pass through a store, page by page.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    pub(super) layer: EncryptLayer,
    pub(super) db: Persistence,
    pub(super) cursor: RewriteCursor,
    pub(super) report: Rewritten,
    pub(super) page: u32,
    /// The number of ciphertexts under each key.
    pub(super) met: BTreeMap<KeyId, u64>,
    /// Whether the pass re-encrypts data or only counts it.
    writes: bool,
}

impl Walk {
    pub(super) fn new(layer: EncryptLayer, db: Persistence, writes: bool) -> Self {
        Self {
            layer,
            db,
            cursor: RewriteCursor::default(),
            report: Rewritten::default(),
            page: 100,
            met: BTreeMap::new(),
            writes,
        }
    }

    pub(super) async fn step(&mut self) -> Result<bool> {
        if let Some((thread, seq)) = self.cursor.within.clone() {
            self.cursor.within = self.page_of(&thread, seq).await?.map(|seq| (thread, seq));
            return Ok(true);
        }
        if let Some(thread) = self.cursor.queue.last().cloned() {
            self.begin(&thread).await?;
            self.cursor.queue.pop();
            return Ok(true);
        }
        self.cursor.stage = match self.cursor.stage.clone() {
            Stage::Start => Stage::Keys(None),
            Stage::Keys(after) => self.keys(after).await?,
            Stage::Threads(after) => {
                let list = ListThreads { after, ..ListThreads::new(self.page).archived_too() };
                let list = self.db.read(list).await?;
                self.cursor.since.get_or_insert(list.position);
                self.cursor.until = Some(list.position);
                // The queue is processed from its end.
                let shown = list.threads.into_iter().rev().map(|entry| entry.thread);
                self.cursor.queue = list.damaged.into_iter().chain(shown).collect();
                match list.next {
                    Some(next) => Stage::Threads(Some(next)),
                    None => Stage::Changed(self.cursor.since.unwrap_or(Position::ZERO)),
                }
            }
            Stage::Changed(after) => {
                let changes = self.db.read(ReadChanges::new(ChangeScope::Tenant, after, self.page)).await?;
                let mut threads: Vec<_> = changes.changes.into_iter().map(|change| change.thread).collect();
                threads.sort_unstable();
                threads.dedup();
                self.cursor.queue = threads;
                // The pass also sees its own changes; they need no second change.
                let is_due = self.cursor.until.is_none_or(|until| changes.position < until);
                if changes.more && is_due { Stage::Changed(changes.position) } else { Stage::Visit }
            }
            Stage::Visit | Stage::Done => Stage::Done,
        };
        Ok(self.cursor.stage != Stage::Done)
    }

    /// Re-encrypts the thread keys that are under another key of the key ring.
    async fn keys(&mut self, after: Option<(throughline_core::TenantId, ThreadId)>) -> Result<Stage> {
        let key_provider = self.layer.key_provider().clone();
        let Some(store) = &key_provider.threads else { return Ok(Stage::Threads(None)) };
        let listed = store.list(after.as_ref(), self.page as usize).await?;
        if !self.writes
            && let Some(first) = listed.damaged.first()
        {
            // An unreadable record does not reveal the key that wraps it.
            let detail = format!(
                "{} records of the store of keys cannot be read, the first is `{first}`: restore or remove them",
                listed.damaged.len()
            );
            return Err(PersistError::new(ErrorKind::Corrupt, detail));
        }
        let last = listed.keys.last().map(|(owner, _)| owner.clone());
        for ((tenant, thread), wrapped) in listed.keys {
            let under = wrapped.under().ok_or_else(|| Unreadable::Malformed.at("key", &thread, None))?;
            if !self.writes {
                *self.met.entry(under).or_default() += 1;
            } else if under != key_provider.key_ring.write_key() {
                let secret = key_provider
                    .unwrap(&key_provider.key_ring.now(), &tenant, &thread, &wrapped)
                    .map_err(|why| why.at("key", &thread, None))?;
                let rewrapped = key_provider.wrap(&tenant, &thread, &wrapped.id(), &secret)?;
                // Another process has re-encrypted or destroyed a key that changed meanwhile.
                self.report.thread_keys +=
                    u64::from(ThreadKeys::replace(&**store, &tenant, &thread, &wrapped, rewrapped).await?);
            }
        }
        // Last, because a failed step is repeated.
        self.report.damaged_keys.extend(listed.damaged);
        Ok(last.map_or(Stage::Threads(None), |last| Stage::Keys(Some(last))))
    }

    /// Processes the thread itself; its messages come next.
    async fn begin(&mut self, thread: &ThreadId) -> Result<()> {
        let get = GetThread { thread: thread.clone() };
        let (entry, usage) = match self.read(get).await {
            // Its messages may be readable.
            Err(error) if self.writes && error.kind() == ErrorKind::Corrupt => {
                self.report.damaged += 1;
                self.cursor.within = Some((thread.clone(), Seq::ZERO));
                return Ok(());
            }
            answer => match answer? {
                Some((Some(entry), usage)) => (entry, usage),
                _ => return Ok(()),
            },
        };
        self.cursor.within = Some((thread.clone(), Seq::ZERO));
        if !self.writes {
            return Ok(());
        }
        if usage.stale.contains(&Stale::Title(thread.clone())) {
            let rename = RenameThread::new(thread.clone(), entry.title.clone()).expecting(entry.title);
            let answer = self.db.on_thread(rename).await;
            self.report.titles += self.done(answer)?;
        }
        if usage.stale.contains(&Stale::ThreadMetadata(thread.clone())) {
            // An empty patch: the layer adds the values that are not under the current key.
            let answer = self.db.on_thread(LabelThread::new(thread.clone())).await;
            self.report.metadata += self.done(answer)?;
        }
        Ok(())
    }

    /// Processes a page of messages. Returns the last one if there are more.
    async fn page_of(&mut self, thread: &ThreadId, after: Seq) -> Result<Option<Seq>> {
        let from = PageFrom::After(after);
        let read = ReadPage::new(thread.clone(), from, self.page);
        let Some((page, usage)) = self.read(read).await? else { return Ok(None) };
        // A message that the store cannot read has an unknown key.
        if !self.writes
            && let Some(damaged) = page.damaged.first()
        {
            return Err(damaged.to_error());
        }
        let next = match page.next(from) {
            Some(PageFrom::After(seq)) => Some(seq),
            _ => None,
        };
        let damaged = page.damaged.len() as u64;
        if self.writes && !usage.stale.is_empty() {
            for message in page.messages {
                self.row(message, &usage).await?;
            }
        }
        self.report.damaged += damaged;
        Ok(next)
    }

    /// Reads through the pipeline. Returns the output and the keys that the layer met; `None` for a shredded thread.
    pub(super) async fn read<R>(&mut self, read: R) -> Result<Option<(R::Output, KeyUsage)>>
    where
        R: OperationOf<ReadArgs>,
    {
        let Reply { output, extensions, .. } = match self.db.run::<ReadArgs>(read.into()).reply().await {
            Ok(reply) => reply,
            Err(error) if error.kind() == ErrorKind::Gone => {
                self.report.shredded += 1;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let Some(usage) = extensions.get::<KeyUsage>() else {
            let detail = "the handle is on a pipeline without the layer `encrypt`";
            return Err(PersistError::new(ErrorKind::Invalid, detail));
        };
        for (key, ciphertexts) in &usage.keys {
            *self.met.entry(key.clone()).or_default() += ciphertexts;
        }
        Ok(Some((R::output(output)?, usage.clone())))
    }

    /// Returns 1 for a completed write. Returns 0 when another writer changed or deleted the row, or when the row
    /// exceeds a limit.
    pub(super) fn done<T>(&mut self, answer: Result<T>) -> Result<u64> {
        match answer {
            Ok(_) => Ok(1),
            Err(error) => match error.kind() {
                ErrorKind::Stale | ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::Gone => Ok(0),
                ErrorKind::TooLarge => {
                    self.report.too_large += 1;
                    Ok(0)
                }
                _ => Err(error),
            },
        }
    }
}
