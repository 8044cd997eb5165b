use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use throughline_core::{
    audit::{AuditDigest, AuditEntry, AuditSealer},
    messages::{CarriesContent, ContentField, FieldValue},
};

/// The secret of an audit log. A clone shares the key. It is never printed, and it is wiped from memory with the last
/// clone.
///
/// A log has one key for its whole life: entries of another key do not verify.
///
/// ```
/// use throughline_core::{NewMessage, messages::Add};
/// use throughline_layers::{audit::AuditKey};
///
/// let key = AuditKey::new(&[7; 32]);
/// let said = |text: &str| Add::new("t".parse().unwrap(), NewMessage::user(text));
/// assert_eq!(key.content_digest(&said("hello")), key.content_digest(&said("hello")));
/// assert_ne!(key.content_digest(&said("hello")), key.content_digest(&said("hullo")));
/// assert_eq!(format!("{key:?}"), "AuditKey(..)");
/// ```
#[derive(Clone)]
pub struct AuditKey(Arc<Keys>);

/// A derived key for each purpose, so that a hash for one purpose is never valid for another.
struct Keys {
    entries: Zeroizing<[u8; 32]>,
    anchors: Zeroizing<[u8; 32]>,
    names: Zeroizing<[u8; 32]>,
    content: Zeroizing<[u8; 32]>,
}

impl AuditKey {
    /// Derives the key from this secret. The caller wipes its own copy.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = |purpose| Zeroizing::new(blake3::derive_key(purpose, secret));
        Self(Arc::new(Keys {
            entries: derive("throughline 2026 audit entry"),
            anchors: derive("throughline 2026 audit anchor"),
            names: derive("throughline 2026 audit idempotency key"),
            content: derive("throughline 2026 audit content"),
        }))
    }

    /// Returns the hash of all content in an operation, a message or an answer, as audit entries have it; `None`
    /// without content. The hash of a message equals the hash in the entry of its addition, unless an inner layer
    /// changed the content.
    #[must_use]
    pub fn content_digest(&self, of: &impl CarriesContent) -> Option<AuditDigest> {
        let content_fields = of.content_fields();
        let mut hasher = blake3::Hasher::new_keyed(&self.0.content);
        let mut is_empty = true;
        for ContentField { value, .. } in content_fields {
            // Each field is hashed with its kind and length, so that no two lists of content fields hash alike.
            let (tag, bytes) = bytes(&value);
            if bytes.is_empty() {
                continue;
            }
            is_empty = false;
            hasher.update(&[tag]);
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(&bytes);
        }
        (!is_empty).then(|| digest(hasher.finalize()))
    }

    /// Returns true if this key computed the hash of the entry, and the entry is unchanged.
    #[must_use]
    pub fn has_sealed(&self, entry: &AuditEntry) -> bool {
        entry.withheld == 0 && self.seal(entry.body().as_bytes()).is_same_as(&entry.hash)
    }

    pub(super) fn anchor(&self, bytes: &[u8]) -> AuditDigest {
        digest(blake3::keyed_hash(&self.0.anchors, bytes))
    }
}

impl AuditSealer for AuditKey {
    fn seal(&self, body: &[u8]) -> AuditDigest {
        digest(blake3::keyed_hash(&self.0.entries, body))
    }

    fn key(&self, key: &str) -> AuditDigest {
        digest(blake3::keyed_hash(&self.0.names, key.as_bytes()))
    }
}

fn digest(hash: blake3::Hash) -> AuditDigest {
    AuditDigest::from_bytes(*hash.as_bytes())
}

fn bytes<'a>(value: &FieldValue<'a>) -> (u8, std::borrow::Cow<'a, [u8]>) {
    match value {
        FieldValue::Whole(content) => (1, content.as_json().as_bytes().into()),
        FieldValue::Delta(delta) if delta.is_empty() => (2, [].as_slice().into()),
        FieldValue::Delta(delta) => {
            (2, serde_json::to_vec(delta).expect("a delta serializes into memory").into())
        }
        FieldValue::Metadata(metadata) if metadata.is_empty() => (3, [].as_slice().into()),
        FieldValue::Metadata(metadata) => {
            (3, serde_json::to_vec(metadata).expect("metadata serializes into memory").into())
        }
        FieldValue::Reason(text) => (4, text.as_bytes().into()),
        FieldValue::Title(title) => (5, title.as_str().as_bytes().into()),
        FieldValue::Preview(text) => (6, text.as_bytes().into()),
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_core::{
        Message, Metadata, NewMessage, PersistArgs, Seq, TenantId, Timestamp,
        messages::{Batch, Delete},
        threads::{RenameThread, ThreadArgs},
    };

    fn add(text: &str, facts: &str) -> throughline_core::messages::Add {
        let facts: Metadata = serde_json::from_str(facts).unwrap();
        throughline_core::messages::Add::new(
            "t".parse().unwrap(),
            NewMessage::user(text).with_metadata(facts),
        )
    }

    #[test]
    fn the_content_digest_covers_all_content_and_nothing_else() {
        let key = AuditKey::new(&[1; 32]);
        let of = |args: PersistArgs| key.content_digest(&args);
        let plain = of(add("a", "{}").into());
        assert_eq!(plain, of(add("a", "{}").into()), "ids are no content");
        let others = [
            of(add("b", "{}").into()),
            of(add("a", r#"{"k":1}"#).into()),
            of(Batch::new().with(add("a", "{}")).with(add("a", "{}")).into()),
            of(ThreadArgs::from(RenameThread::new("t".parse().unwrap(), "a".parse().unwrap())).into()),
            AuditKey::new(&[2; 32]).content_digest(&add("a", "{}")),
        ];
        assert!(others.iter().all(|other| other.is_some() && *other != plain), "{others:?}");
        assert_eq!(of(Delete::new("t".parse().unwrap(), "m".parse().unwrap()).into()), None);
    }

    #[test]
    fn a_message_has_the_content_digest_of_its_addition() {
        let key = AuditKey::new(&[1; 32]);
        let add = add("hello", r#"{"k":[1,2]}"#);
        let message: Message = add.to_message(&TenantId::default(), Seq::FIRST, Timestamp::from_micros(7));
        assert_eq!(key.content_digest(&message), key.content_digest(&add));
    }
}
