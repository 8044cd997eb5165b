use serde::{Deserialize, Serialize};

use super::{AuditDigest, AuditRecord};
use crate::{TenantId, ThreadId, change::ChangeScope, message::AuditNumber};

/// One entry of an audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditEntry {
    /// Its place in the log: 1, 2 and so on, without gaps.
    pub number: AuditNumber,
    /// The hash of the entry before it; [`AuditDigest::ZERO`] of the first.
    pub previous: AuditDigest,
    /// The hash of this one, over the number, the hash before and the record, keyed with the key of the host.
    pub hash: AuditDigest,
    /// What it says.
    pub record: AuditRecord,
    /// How many items of the record are left out because they are of other threads than were asked for. The hash is that of the
    /// whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub withheld: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the hash of an entry is taken over, and what a store keeps beside it.
#[derive(Serialize)]
struct Sealed<'a> {
    number: AuditNumber,
    previous: AuditDigest,
    record: &'a AuditRecord,
}

/// The same, read back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    number: AuditNumber,
    previous: AuditDigest,
    record: AuditRecord,
}

impl AuditEntry {
    /// The text that the hash is taken over: what a store keeps, beside the hash.
    #[must_use]
    pub fn body(&self) -> String {
        Self::text(self.number, self.previous, &self.record)
    }

    pub(crate) fn text(number: AuditNumber, previous: AuditDigest, record: &AuditRecord) -> String {
        serde_json::to_string(&Sealed { number, previous, record }).expect("a record serializes into memory")
    }

    /// Reads what a store kept: the [`body`](Self::body) and the hash. Whether the one is that of the other only the host can
    /// tell, who has the key; nothing when the body is no body of an entry.
    #[must_use]
    pub fn from_kept(body: &[u8], hash: AuditDigest) -> Option<Self> {
        let Kept { number, previous, record } = serde_json::from_slice(body).ok()?;
        Some(Self { number, previous, hash, record, withheld: 0 })
    }

    /// What of it is shown to who reads this scope from this tenant, if anything is.
    #[must_use]
    pub fn shown(self, scope: &ChangeScope, tenant: &TenantId) -> Option<Self> {
        match scope {
            ChangeScope::Store => Some(self),
            _ if self.record.tenant != *tenant => None,
            ChangeScope::Tenant => Some(self),
            ChangeScope::Thread(thread) => self.in_thread(thread),
        }
    }

    /// What of it a reader of one thread is shown: the items of that thread, and nothing when there are none.
    #[must_use]
    pub fn in_thread(mut self, thread: &ThreadId) -> Option<Self> {
        let items = self.record.items.len();
        self.record.items.retain(|item| item.thread.as_ref() == Some(thread));
        let left = self.record.items.len();
        self.withheld += (items - left) as u64;
        (left > 0).then_some(self)
    }

    /// Whether a store finds it where its record belongs: by this tenant and, where it is about one alone, by this thread. What a
    /// store finds entries by is no part of what is hashed, and has to be held against what is.
    #[must_use]
    pub fn is_found_by(&self, tenant: &str, thread: Option<&str>) -> bool {
        self.record.tenant.as_str() == tenant && self.only_thread().map(ThreadId::as_str) == thread
    }

    /// The one thread that all of it is about, where that is so.
    #[must_use]
    pub fn only_thread(&self) -> Option<&ThreadId> {
        let (first, rest) = self.record.items.split_first()?;
        let thread = first.thread.as_ref()?;
        rest.iter().all(|item| item.thread.as_ref() == Some(thread)).then_some(thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Effect, ErrorKind, Position, Revision, Timestamp,
        audit_entry::{AuditItem, AuditOutcome},
    };

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

    /// The hash is over the text: what is read back has to be written as it was.
    #[test]
    fn what_is_kept_comes_back_to_the_same_text() {
        for entry in all() {
            let back = AuditEntry::from_kept(entry.body().as_bytes(), entry.hash).unwrap();
            assert_eq!((&back, back.body()), (&entry, entry.body()));
            let json = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<AuditEntry>(&json).unwrap(), entry);
        }
        let [first, ..] = &all()[..] else { panic!("there are some") };
        let strange = first.body().replacen('{', r#"{"more":1,"#, 1);
        for body in [strange.as_str(), "", "{}", "null"] {
            assert_eq!(AuditEntry::from_kept(body.as_bytes(), first.hash), None, "{body}");
        }
    }

    #[test]
    fn it_never_changes() {
        // Files carry these texts: another one here would declare every log forged.
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
