use serde::{Deserialize, Serialize};

use super::{AuditDigest, AuditItem, AuditRecord};
use crate::{TenantId, ThreadId, change::ChangeScope, message::AuditNumber};

/// One entry of an audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditEntry {
    /// The number of the entry: 1, 2 and so on, without gaps.
    pub number: AuditNumber,
    /// The hash of the previous entry; [`AuditDigest::ZERO`] for the first one.
    pub previous: AuditDigest,
    /// The keyed hash of this entry: over its number, the previous hash and the record.
    pub hash: AuditDigest,
    /// The record.
    pub record: AuditRecord,
    /// The number of items that are omitted because they belong to other threads than the reader asked for. The hash covers all
    /// items.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub withheld: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The bytes of most entries, at most.
const USUAL_BYTES: usize = 640;

/// The hashed part of an entry, which a store keeps together with the hash.
#[derive(Serialize)]
struct Sealed<'a> {
    number: AuditNumber,
    previous: AuditDigest,
    record: &'a AuditRecord,
}

/// The hashed part of an entry, as it is decoded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    number: AuditNumber,
    previous: AuditDigest,
    record: AuditRecord,
}

impl AuditEntry {
    /// The hashed text of the entry, which a store keeps together with the hash.
    #[must_use]
    pub fn body(&self) -> String {
        Self::text(self.number, self.previous, &self.record)
    }

    pub(crate) fn text(number: AuditNumber, previous: AuditDigest, record: &AuditRecord) -> String {
        let mut text = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut text, &Sealed { number, previous, record })
            .expect("a record serializes into memory");
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    /// Decodes an entry from its [`body`](Self::body) and its hash. `None` if the body cannot be decoded. Only the host, which
    /// has the key, can verify the hash.
    #[must_use]
    pub fn from_kept(body: &[u8], hash: AuditDigest) -> Option<Self> {
        let Kept { number, previous, record } = serde_json::from_slice(body).ok()?;
        Some(Self { number, previous, hash, record, withheld: 0 })
    }

    /// Returns the part of the entry that a reader of this scope and tenant may see.
    #[must_use]
    pub fn shown(self, scope: &ChangeScope, tenant: &TenantId) -> Option<Self> {
        match scope {
            ChangeScope::Store => Some(self),
            _ if self.record.tenant != *tenant => None,
            ChangeScope::Tenant => Some(self),
            ChangeScope::Thread(thread) => self.in_thread(thread),
        }
    }

    /// Returns the entry with only the items of one thread. `None` if there are none.
    #[must_use]
    pub fn in_thread(mut self, thread: &ThreadId) -> Option<Self> {
        let items = self.record.items.len();
        self.record.items.retain(|item| item.thread.as_ref() == Some(thread));
        let left = self.record.items.len();
        self.withheld += (items - left) as u64;
        (left > 0).then_some(self)
    }

    /// Whether the index columns of a store match the record: the tenant, and the thread if the entry belongs to one thread. The
    /// hash does not cover those columns, so that a reader must compare them.
    #[must_use]
    pub fn is_found_by(&self, tenant: &str, thread: Option<&str>) -> bool {
        self.record.tenant.as_str() == tenant && self.only_thread().map(ThreadId::as_str) == thread
    }

    /// The thread of the entry, if all its items belong to one thread.
    #[must_use]
    pub fn only_thread(&self) -> Option<&ThreadId> {
        AuditItem::only_thread(&self.record.items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Effect, ErrorKind, Position, Revision, Timestamp, audit_entry::AuditOutcome};

    fn item(thread: Option<&str>) -> AuditItem {
        AuditItem {
            operation: "updateContent".into(),
            mode: thread.map(|_| "edit".into()),
            thread: thread.map(|thread| thread.parse().unwrap()),
            messages: thread.map(|_| "m \u{1F600}".parse().unwrap()).into_iter().collect(),
            revision: thread.map(|_| Revision::new(7)),
            of: thread.is_none().then(|| "index".to_owned()),
        }
    }

    fn entry(outcome: AuditOutcome, items: Vec<AuditItem>) -> AuditEntry {
        let has_facts = !items.is_empty();
        let record = AuditRecord {
            outcome,
            at: Timestamp::from_micros(-7),
            tenant: "alice".parse().unwrap(),
            actor: has_facts.then(|| "\"al\u{7}ice\"".to_owned()),
            call_site: has_facts.then(String::new),
            call: "0-1".to_owned(),
            key: has_facts.then_some(AuditDigest::from_bytes([255; 32])),
            content: has_facts.then_some(AuditDigest::from_bytes([1; 32])),
            items,
            omitted: 0,
        };
        let hash = AuditDigest::from_bytes([9; 32]);
        AuditEntry { number: AuditNumber::new(3), previous: AuditDigest::ZERO, hash, record, withheld: 0 }
    }

    fn all() -> Vec<AuditEntry> {
        let (kind, effect) = (ErrorKind::ContractViolation, Effect::Unknown);
        vec![
            entry(
                AuditOutcome::Applied { after: Position::ZERO, position: Position::new(9) },
                vec![item(Some("t"))],
            ),
            entry(
                AuditOutcome::Failed { kind, effect, site: "a/b".to_owned(), times: 2, until: None },
                vec![item(None)],
            ),
            entry(AuditOutcome::Elsewhere { times: 1 }, vec![item(Some("t")), item(Some("u")), item(None)]),
            entry(AuditOutcome::Lost { calls: 7 }, Vec::new()),
        ]
    }

    /// The hash covers the text, so that a decoded entry must serialize to the same text.
    #[test]
    fn a_stored_entry_serializes_to_the_same_text() {
        for entry in all() {
            let back = AuditEntry::from_kept(entry.body().as_bytes(), entry.hash).unwrap();
            assert_eq!((&back, back.body()), (&entry, entry.body()));
            let json = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<AuditEntry>(&json).unwrap(), entry);
        }
        let [first, ..] = &all()[..] else { panic!("there are some") };
        let unknown_field = first.body().replacen('{', r#"{"more":1,"#, 1);
        for body in [unknown_field.as_str(), "", "{}", "null"] {
            assert_eq!(AuditEntry::from_kept(body.as_bytes(), first.hash), None, "{body}");
        }
    }

    #[test]
    fn it_never_changes() {
        // Existing files contain these texts: a change would make every existing log look forged.
        let body = r#"{"number":3,"previous":"0000000000000000000000000000000000000000000000000000000000000000","record":{"outcome":{"lost":{"calls":7}},"at":-7,"tenant":"alice","call":"0-1","items":[]}}"#;
        assert_eq!(all()[3].body(), body);
        let begins = r#"{"outcome":{"failed":{"kind":"contract_violation","effect":"unknown","site":"a/b","times":2}},"#;
        assert!(all()[1].body().contains(begins), "{}", all()[1].body());
    }

    #[test]
    fn a_reader_of_a_thread_is_shown_the_items_of_it() {
        let [alone, none, several, _] = &all()[..] else { panic!("four") };
        let t = "t".parse().unwrap();
        assert_eq!(alone.clone().in_thread(&t), Some(alone.clone()));
        assert_eq!(none.clone().in_thread(&t), None);
        let shown = several.clone().in_thread(&t).unwrap();
        assert_eq!((shown.record.items.len(), shown.withheld), (1, 2));
        assert_eq!((alone.only_thread(), several.only_thread(), none.only_thread()), (Some(&t), None, None));
        let other = "bob".parse().unwrap();
        let scopes = [ChangeScope::Store, ChangeScope::Tenant, ChangeScope::Thread(t)];
        let shown = scopes.map(|scope| alone.clone().shown(&scope, &other).is_some());
        assert_eq!(shown, [true, false, false]);
    }
}
