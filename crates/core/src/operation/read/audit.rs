use serde::{Deserialize, Serialize};

use super::page;
use crate::{
    Position,
    audit_entry::AuditEntry,
    change::ChangeScope,
    message::{AuditNumber, carries_nothing},
    operation::ReadPage,
};

/// Where a page of an audit log lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuditFrom {
    /// The entries after this one: [`AuditNumber::ZERO`] for those from the first on.
    After(AuditNumber),
    /// The last entries before this one.
    Before(AuditNumber),
    /// The last entries there are.
    End,
}

/// Reads the log of who did what, in its order. A log is kept by a pipeline with the layer `audit`, and never shortened.
///
/// Of an entry that is about several threads a reader of one is shown the items of that one, and how many are withheld. Entries
/// about no thread are shown to who reads the tenant's log, and those of the pipeline itself, such as one about calls that were
/// [lost](crate::audit::AuditOutcome::Lost), to who reads the store's and the default tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadAudit {
    /// Whose entries.
    #[serde(default)]
    pub scope: ChangeScope,
    /// Which of them.
    pub from: AuditFrom,
    /// How many at most: 1 to [`ReadPage::MAX_LIMIT`](crate::operation::ReadPage::MAX_LIMIT).
    pub limit: u32,
    /// How many bytes at most: 1 to [`ReadPage::MAX_BYTES`]. A page ends before the entry that would exceed
    /// them, and says that there is more; it shows at least one.
    #[serde(default = "page::default_bytes", skip_serializing_if = "page::is_default_bytes")]
    pub max_bytes: u32,
}

impl ReadAudit {
    /// At most `limit` entries of this scope.
    #[must_use]
    pub const fn new(scope: ChangeScope, from: AuditFrom, limit: u32) -> Self {
        Self { scope, from, limit, max_bytes: ReadPage::DEFAULT_BYTES }
    }

    /// Ends the answer at so many bytes.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// The read that goes on behind `page`; nothing when that was all.
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
    /// The entries, in the order in which they stand. There may be none although there are more: of a narrow scope a store looks
    /// at so many entries of others in one call.
    pub entries: Vec<AuditEntry>,
    /// The content fields of what cannot be read as an entry. It may be anybody's, and is told to everybody who asks for more than one thread.
    pub damaged: Vec<AuditNumber>,
    /// How far was read, in the direction of the read.
    pub reached: AuditNumber,
    /// Whether there are more to read now, in the direction of the read.
    pub more: bool,
    /// How many entries the store has written, of every tenant. It counts them apart from the entries.
    pub written: AuditNumber,
    /// The position that the store had come to.
    pub position: Position,
}

carries_nothing!(AuditPage { entries: _, damaged: _, reached: _, more: _, written: _, position: _ });
