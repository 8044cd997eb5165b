use serde::{Deserialize, Serialize};

use super::AuditKey;
use throughline_core::{
    Effect, ErrorKind, PersistError, Persistence, Result,
    audit::{AuditDigest, AuditFrom, AuditNumber, ReadAudit},
    changes::ChangeScope,
};

/// The length and head of an audit log at one moment, kept outside of the store. With it, [`verify`](super::verify)
/// detects that the log was truncated or rewritten from its beginning.
///
/// It is small, reveals only a count, and can be kept as JSON. Only the holder of the key can create or change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Anchor {
    /// The number of entries, which is the number of the last entry.
    pub count: AuditNumber,
    /// The hash of the last entry.
    pub head: AuditDigest,
    /// A keyed hash of both.
    pub seal: AuditDigest,
}

impl Anchor {
    pub(super) fn new(key: &AuditKey, count: AuditNumber, head: AuditDigest) -> Self {
        Self { count, head, seal: Self::seal(key, count, &head) }
    }

    /// Returns true if this key created the anchor, and it is unchanged.
    #[must_use]
    pub fn is_of(&self, key: &AuditKey) -> bool {
        Self::seal(key, self.count, &self.head).is_same_as(&self.seal)
    }

    fn seal(key: &AuditKey, count: AuditNumber, head: &AuditDigest) -> AuditDigest {
        let mut bytes = count.get().to_le_bytes().to_vec();
        bytes.extend(head.as_bytes());
        key.anchor(&bytes)
    }
}

/// Returns the anchor of the current log. The handle must have access to the whole store: with capabilities, one for
/// every tenant with [`Verb::Audit`](crate::scope::Verb::Audit).
///
/// It checks only the last entry. Call [`verify`](super::verify) with the existing anchors first, or this anchor
/// attests unverified entries.
///
/// # Errors
/// `Corrupt` when the last entry cannot be read, or has another key; the errors of the read.
pub async fn anchor(db: &Persistence, key: &AuditKey) -> Result<Anchor> {
    let page = db.read(ReadAudit::new(ChangeScope::Store, AuditFrom::End, 1)).await?;
    let Some(last) = page.entries.last() else {
        if page.damaged.is_empty() {
            return Ok(Anchor::new(key, AuditNumber::ZERO, AuditDigest::ZERO));
        }
        return Err(corrupt("the last entry of the audit log cannot be read"));
    };
    if !page.damaged.is_empty() || !key.has_sealed(last) {
        return Err(corrupt("the last entry of the audit log was not made with this key, or was changed"));
    }
    Ok(Anchor::new(key, last.number, last.hash))
}

fn corrupt(detail: &'static str) -> PersistError {
    PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied)
}
