use serde::{Deserialize, Serialize};

use super::AuditKey;
use throughline_core::{
    Effect, ErrorKind, PersistError, Persistence, Result,
    audit::{AuditDigest, AuditFrom, AuditNumber, ReadAudit},
    changes::ChangeScope,
};

/// How far a log had come, to be kept where who can write to the store cannot: with it [`verify`](super::verify) finds out that a
/// log was cut off, or made anew from its beginning.
///
/// It is small, tells nothing but a count, and can be kept as JSON. Whoever has not the key can neither make one nor change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Anchor {
    /// How many entries there were: the number of the last one.
    pub count: AuditNumber,
    /// The hash of the last one.
    pub head: AuditDigest,
    /// A hash over both, keyed.
    pub seal: AuditDigest,
}

impl Anchor {
    pub(super) fn new(key: &AuditKey, count: AuditNumber, head: AuditDigest) -> Self {
        Self { count, head, seal: Self::seal(key, count, &head) }
    }

    /// Whether it was made with this key, and is as it was made.
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

/// The anchor of the log as it stands. The handle needs to see the whole store: where capabilities are kept, one for every tenant with
/// [`Verb::Audit`](crate::scope::Verb::Audit).
///
/// Only the last entry is looked at: [`verify`](super::verify) before, with the anchors that there are, or this one vouches for what
/// nobody has looked at.
///
/// # Errors
/// `Corrupt` when the last entry cannot be read, or was not made with this key; what the read answers.
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
