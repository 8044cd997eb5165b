use std::fmt;

use serde::{Deserialize, Serialize};

use super::search::Tokenizer;
use crate::OpKind;

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: it is gone with the process, or with the backend value.
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

/// What a backend does and promises. The conformance kit tests every claim, and that what is not claimed is
/// refused.
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
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Whether it keeps idempotency keys. A call with a key is refused otherwise.
    pub idempotency: bool,
    /// Whether it keeps what was changed, in the order of the commits, to be read by
    /// [`ReadChanges`](crate::operation::ReadChanges).
    pub changes: bool,
    /// Whether it keeps the log of who did what, each entry in the commit of what it is about. The layer `audit` needs it.
    pub audit: bool,
    /// Whether it finds messages by their words.
    pub search: bool,
    /// Whether it finds Chinese, Japanese and Korean inside a run of characters.
    pub cjk_search: bool,
    /// Whether several processes may open the same store at once.
    pub multi_process: bool,
    /// The longest content of one message, in bytes of JSON.
    pub max_content_bytes: Option<u64>,
    operations: u16,
}

impl Capabilities {
    /// No operations, nothing promised but this durability.
    #[must_use]
    pub const fn new(durability: Durability) -> Self {
        Self {
            durability,
            idempotency: false,
            changes: false,
            audit: false,
            search: false,
            cjk_search: false,
            multi_process: false,
            max_content_bytes: None,
            operations: 0,
        }
    }

    /// Every operation, idempotency keys and the changes.
    #[must_use]
    pub const fn full(durability: Durability) -> Self {
        Self::new(durability).with_operations(&OpKind::ALL).with_idempotency().with_changes()
    }

    /// Claims these operations too.
    #[must_use]
    pub const fn with_operations(mut self, kinds: &[OpKind]) -> Self {
        let mut at = 0;
        while at < kinds.len() {
            self.operations |= 1 << kinds[at] as u16;
            at += 1;
        }
        self
    }

    /// Claims to keep idempotency keys.
    #[must_use]
    pub const fn with_idempotency(mut self) -> Self {
        self.idempotency = true;
        self
    }

    /// Claims to keep what was changed.
    #[must_use]
    pub const fn with_changes(mut self) -> Self {
        self.changes = true;
        self
    }

    /// Claims to keep the log of who did what, in the commits.
    #[must_use]
    pub const fn with_audit(mut self) -> Self {
        self.audit = true;
        self
    }

    /// Claims to find messages by their words, as this tokenizer divides them.
    #[must_use]
    pub const fn with_search(mut self, tokenizer: Tokenizer) -> Self {
        self.search = true;
        self.cjk_search = matches!(tokenizer, Tokenizer::Cjk);
        self
    }

    /// Claims that several processes may open the same store at once.
    #[must_use]
    pub const fn with_multi_process(mut self) -> Self {
        self.multi_process = true;
        self
    }

    /// Says the longest content of one message, in bytes of JSON.
    #[must_use]
    pub const fn with_max_content_bytes(mut self, bytes: u64) -> Self {
        self.max_content_bytes = Some(bytes);
        self
    }

    /// Whether this operation is claimed.
    #[must_use]
    pub const fn supports(&self, kind: OpKind) -> bool {
        self.operations & (1 << kind as u16) != 0
    }

    /// The operations that are claimed.
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
