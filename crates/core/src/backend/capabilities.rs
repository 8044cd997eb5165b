use std::fmt;

use serde::{Deserialize, Serialize};

use super::{IndexedMetadata, search::Tokenizer};
use crate::OpKind;

/// The failures that an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: the data is lost with the process, or with the backend value.
    Volatile,
    /// The end of the process, `kill -9` included.
    Process,
    /// The loss of power.
    PowerLoss,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Volatile => "volatile",
            Self::Process => "survives the process",
            Self::PowerLoss => "survives power loss",
        })
    }
}

/// The operations that a backend supports and the guarantees that it claims. The conformance kit tests every claim,
/// and that the backend refuses each operation that it does not claim.
///
/// ```
/// use throughline_core::{Capabilities, Durability, OpKind};
///
/// let claims = Capabilities::new(Durability::Process).with_operations(&[OpKind::Add, OpKind::Read]);
/// assert!(claims.supports(OpKind::Add) && !claims.supports(OpKind::Batch));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The failures that an acknowledged write survives.
    pub durability: Durability,
    /// Whether the store keeps idempotency keys. If not, it refuses calls with a key.
    pub idempotency: bool,
    /// Whether the store keeps a change feed in commit order, for [`ReadChanges`](crate::operation::ReadChanges).
    pub changes: bool,
    /// Whether the store keeps an audit log, each record in the commit that it is about. The layer `audit` requires
    /// this.
    pub audit: bool,
    /// Whether the store has a full-text index.
    pub search: bool,
    /// Whether a search finds Chinese, Japanese and Korean words inside of a run of characters.
    pub cjk_search: bool,
    /// The metadata fields by which the store finds messages, for [`FindMessages`](crate::operation::FindMessages).
    pub indexed_metadata: IndexedMetadata,
    /// Whether several processes can open the same store at the same time.
    pub multi_process: bool,
    /// The longest content of one message, in bytes of JSON; `None` for no limit.
    pub max_content_bytes: Option<u64>,
    operations: u16,
}

impl Capabilities {
    /// Returns the claims of a store with this durability, no operations and no other guarantee.
    #[must_use]
    pub const fn new(durability: Durability) -> Self {
        Self {
            durability,
            idempotency: false,
            changes: false,
            audit: false,
            search: false,
            cjk_search: false,
            indexed_metadata: IndexedMetadata::none(),
            multi_process: false,
            max_content_bytes: None,
            operations: 0,
        }
    }

    /// Returns the claims of every operation, idempotency keys and the change feed.
    #[must_use]
    pub const fn full(durability: Durability) -> Self {
        Self::new(durability).with_operations(&OpKind::ALL).with_idempotency().with_changes()
    }

    /// Adds these operations.
    #[must_use]
    pub const fn with_operations(mut self, kinds: &[OpKind]) -> Self {
        let mut at = 0;
        while at < kinds.len() {
            self.operations |= 1 << kinds[at] as u16;
            at += 1;
        }
        self
    }

    /// Adds idempotency keys.
    #[must_use]
    pub const fn with_idempotency(mut self) -> Self {
        self.idempotency = true;
        self
    }

    /// Adds the change feed.
    #[must_use]
    pub const fn with_changes(mut self) -> Self {
        self.changes = true;
        self
    }

    /// Adds the audit log.
    #[must_use]
    pub const fn with_audit(mut self) -> Self {
        self.audit = true;
        self
    }

    /// Adds full-text search with this tokenizer.
    #[must_use]
    pub const fn with_search(mut self, tokenizer: Tokenizer) -> Self {
        self.search = true;
        self.cjk_search = matches!(tokenizer, Tokenizer::Cjk);
        self
    }

    /// Sets the metadata fields by which the store finds messages.
    #[must_use]
    pub fn with_indexed_metadata(mut self, indexed: IndexedMetadata) -> Self {
        self.indexed_metadata = indexed;
        self
    }

    /// Adds that several processes can open the same store at the same time.
    #[must_use]
    pub const fn with_multi_process(mut self) -> Self {
        self.multi_process = true;
        self
    }

    /// Sets the longest content of one message, in bytes of JSON.
    #[must_use]
    pub const fn with_max_content_bytes(mut self, bytes: u64) -> Self {
        self.max_content_bytes = Some(bytes);
        self
    }

    /// Whether the store claims this operation.
    #[must_use]
    pub const fn supports(&self, kind: OpKind) -> bool {
        self.operations & (1 << kind as u16) != 0
    }

    /// Returns the operations that the store claims.
    pub fn operations(&self) -> impl Iterator<Item = OpKind> {
        OpKind::ALL.into_iter().filter(|kind| self.supports(*kind))
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.durability)?;
        if self.multi_process {
            f.write_str(", several processes")?;
        }
        if self.idempotency {
            f.write_str(", idempotency keys")?;
        }
        if self.changes {
            f.write_str(", changes")?;
        }
        if self.audit {
            f.write_str(", audit")?;
        }
        if self.search {
            f.write_str(if self.cjk_search { ", search with CJK" } else { ", search" })?;
        }
        if !self.indexed_metadata.is_empty() {
            write!(f, ", finds by {}", self.indexed_metadata)?;
        }
        if let Some(bytes) = self.max_content_bytes {
            write!(f, ", content up to {bytes} bytes")?;
        }
        if OpKind::ALL.iter().all(|kind| self.supports(*kind)) {
            return f.write_str(", every operation");
        }
        f.write_str(", only")?;
        for kind in self.operations() {
            write!(f, " {kind}")?;
        }
        Ok(())
    }
}
