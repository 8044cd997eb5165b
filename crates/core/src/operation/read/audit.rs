use serde::{Deserialize, Serialize};

use super::page;
use crate::{
    MessageId, Position, Result, ThreadId,
    audit_entry::{AuditEntry, AuditItem},
    change::ChangeScope,
    message::{AuditNumber, carries_nothing},
    operation::{
        Addressed, Reach, ReadPage, Verb,
        facts::{AnswerFacts, Facts, Limits, Split, StatesFacts},
        subject::Asked,
    },
};

/// The part of an audit log that a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuditFrom {
    /// The entries after this one; [`AuditNumber::ZERO`] for the first page.
    After(AuditNumber),
    /// The last entries before this one.
    Before(AuditNumber),
    /// The last entries.
    End,
}

/// Reads the audit log in order. A pipeline with the layer `audit` keeps a log, and never shortens it.
///
/// A reader of one thread sees only the items of that thread, and the number of withheld items. A reader of the tenant also sees
/// entries without a thread. The pipeline's own entries, such as those of [lost](crate::audit::AuditOutcome::Lost)
/// calls, are visible to readers of the store and of the default tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadAudit {
    /// The entries to read: of a thread, of a tenant, or of the store.
    #[serde(default)]
    pub scope: ChangeScope,
    /// The part of the log.
    pub from: AuditFrom,
    /// The most entries to return: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
    /// The most bytes of the answer: 1 to [`ReadPage::MAX_BYTES`]. A page ends before the entry that would exceed them, but shows
    /// at least one entry.
    #[serde(default = "page::default_bytes", skip_serializing_if = "page::is_default_bytes")]
    pub max_bytes: u32,
}

impl ReadAudit {
    /// Returns a read of at most `limit` entries of this scope.
    #[must_use]
    pub const fn new(scope: ChangeScope, from: AuditFrom, limit: u32) -> Self {
        Self { scope, from, limit, max_bytes: ReadPage::DEFAULT_BYTES }
    }

    /// Sets the most bytes of the answer.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Returns the read of the next page after `page`. `None` after the last page.
    #[must_use]
    pub fn next(&self, page: &AuditPage) -> Option<Self> {
        let from = match self.from {
            AuditFrom::After(_) => AuditFrom::After(page.reached),
            AuditFrom::Before(_) | AuditFrom::End => AuditFrom::Before(page.reached),
        };
        page.more.then(|| Self { from, ..self.clone() })
    }
}

carries_nothing!(ReadAudit { scope: _, from: _, limit: _, max_bytes: _ });

/// The answer to [`ReadAudit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// The entries, in the order of the log. The list can be empty although [`more`](Self::more) is true, because a store
    /// examines a bounded number of entries for a narrow scope.
    pub entries: Vec<AuditEntry>,
    /// The numbers of damaged entries. The owner of a damaged entry is unknown, so that every read of more than one thread
    /// returns it.
    pub damaged: Vec<AuditNumber>,
    /// The number of the last examined entry, in the direction of the read.
    pub reached: AuditNumber,
    /// Whether there are more entries now, in the direction of the read.
    pub more: bool,
    /// The number of entries that the store has written for all tenants. The store counts them separately from the rows.
    pub written: AuditNumber,
    /// The last position of the store.
    pub position: Position,
}

carries_nothing!(AuditPage { entries: _, damaged: _, reached: _, more: _, written: _, position: _ });

impl Addressed for ReadAudit {
    fn thread(&self) -> Option<&ThreadId> {
        self.scope.thread()
    }

    fn message(&self) -> Option<&MessageId> {
        None
    }
}

crate::operation::addresses_no_thread!(AuditPage);

impl StatesFacts for ReadAudit {
    fn facts(&self) -> Facts<'_> {
        Facts {
            reach: Some(Reach::of(&self.scope)),
            limits: Limits::page(self.limit, self.max_bytes),
            split_by_message: Split::Here,
            ..Facts::needing(&[Verb::Audit])
        }
    }
}

impl AnswerFacts for AuditPage {
    fn check(&self, asked: &Asked<'_>) -> Result<(), &'static str> {
        let is_asked_for =
            |item: &AuditItem| asked.subject.thread.is_none() || item.thread == asked.subject.thread;
        let matches = |entry: &AuditEntry| {
            asked.is_of(&entry.record.tenant) && entry.record.items.iter().all(is_asked_for)
        };
        if self.entries.iter().all(matches) {
            Ok(())
        } else {
            Err("answered with an audit entry of another tenant or thread than it was asked")
        }
    }
}
