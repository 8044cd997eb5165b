use throughline_core::{
    Idempotency, IndexedMetadata, PersistArgs, PersistResult, TenantId, Timestamp,
    replication::Image,
    sessions::{ResolveSession, SessionResolved},
};

use crate::{Halt, RowSource, StagedRows, decide::WriteScope, rows::ChangeEvent};

/// A write with its context, as plain data.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The operation.
    pub args: &'a PersistArgs,
    /// Its idempotency key.
    pub idempotency: Option<&'a Idempotency>,
    /// The time of this attempt.
    pub now: Timestamp,
}

/// The size limits of the engine. The default has no limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of content that a message may have.
    pub max_content_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_content_bytes: u64::MAX }
    }
}

impl Limits {
    /// Limits the content of a message to `bytes`.
    #[must_use]
    pub const fn with_max_content_bytes(mut self, bytes: u64) -> Self {
        self.max_content_bytes = bytes;
        self
    }
}

/// The answer to a write that was applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The answer.
    pub result: PersistResult,
    /// Whether the write takes a position. A replay takes none.
    pub changed: bool,
}

/// Decides writes one after the other, over the rows of a source.
///
/// Each write sees the changes of the writes before it. A write is applied as a whole or not at all: [`apply`](Self::apply)
/// undoes a write that is refused or stopped.
#[derive(Debug)]
pub struct Transaction<S> {
    source: S,
    rows: StagedRows,
    limits: Limits,
    indexed: IndexedMetadata,
}

impl<S: RowSource> Transaction<S> {
    /// Returns a transaction over the rows of `source`.
    pub fn new(source: S, limits: Limits) -> Self {
        Self { source, rows: StagedRows::default(), limits, indexed: IndexedMetadata::none() }
    }

    /// Stages the entries of messages in the index of these metadata fields.
    #[must_use]
    pub fn with_indexed_metadata(mut self, indexed: IndexedMetadata) -> Self {
        self.indexed = indexed;
        self
    }

    /// Applies a write. It stays applied, unless [`undo`](Self::undo) is called before the next one.
    ///
    /// # Errors
    /// Why the write is not applied. It is then undone.
    pub fn apply(&mut self, write: &Write<'_>) -> Result<Outcome, Halt<S::Stop>> {
        self.rows.set_savepoint();
        let events = self.rows.events.len();
        match self.scope(write.tenant, write.now).write(write) {
            Ok(outcome) => {
                if outcome.changed && self.rows.events.len() == events {
                    self.push_position_event(write.tenant, write.now);
                }
                Ok(outcome)
            }
            Err(halt) => {
                self.rows.undo();
                Err(halt)
            }
        }
    }

    /// Takes a position for a change that the engine does not decide, such as an entry of the audit log.
    pub fn take_position(&mut self, tenant: &TenantId, now: Timestamp) {
        self.rows.set_savepoint();
        self.push_position_event(tenant, now);
    }

    fn push_position_event(&mut self, tenant: &TenantId, at: Timestamp) {
        self.rows.events.push(ChangeEvent { tenant: tenant.clone(), at, change: None });
    }

    /// Undoes the last write.
    pub fn undo(&mut self) {
        self.rows.undo();
    }

    /// Returns the session that a claimer may resume, after the writes so far.
    ///
    /// # Errors
    /// The error of the source.
    pub fn resolve_session(
        &mut self,
        tenant: &TenantId,
        read: &ResolveSession,
        now: Timestamp,
    ) -> Result<SessionResolved, Halt<S::Stop>> {
        self.scope(tenant, now).resolve_session(read)
    }

    /// Applies the row image of a primary over the stored rows, and takes no position. `is_new` states for an alias whether the
    /// store lacks it. Returns whether the image cleared or deleted a thread.
    ///
    /// # Errors
    /// Why the image is not applied. It is then undone.
    pub fn put_image(&mut self, image: &Image, is_new: bool) -> Result<bool, Halt<S::Stop>> {
        self.rows.set_savepoint();
        let put = self.scope(&image.tenant, Timestamp::from_micros(0)).put_image(&image.part, is_new);
        if put.is_err() {
            self.rows.undo();
        }
        put
    }

    fn scope<'a>(&'a mut self, tenant: &'a TenantId, now: Timestamp) -> WriteScope<'a, S> {
        let (source, rows) = (&mut self.source, &mut self.rows);
        WriteScope { source, rows, tenant, now, limits: self.limits, indexed: &self.indexed, rewritten: 0 }
    }

    /// The changes of the writes so far.
    pub const fn staged(&self) -> &StagedRows {
        &self.rows
    }

    /// Takes the rows to write, and continues with an empty stage. Rows are loaded again.
    pub fn take_staged(&mut self) -> StagedRows {
        std::mem::take(&mut self.rows)
    }

    /// The source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// The source, to load the rows that it has recorded as missing.
    pub const fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// Returns the source and the rows to write.
    pub fn into_parts(self) -> (S, StagedRows) {
        (self.source, self.rows)
    }
}
