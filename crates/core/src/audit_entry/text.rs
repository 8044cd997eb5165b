//! The text of the record of a write, of which the caller serializes all that does not depend on the store.

use std::borrow::Cow;

use serde::Serialize;

use super::{AuditDigest, AuditItem, AuditRecord};
use crate::{MessageId, Position, Revision, TenantId, ThreadId, Timestamp, message::AuditNumber};

/// The record of a write as JSON, without its outcome, its time and the revisions of its items.
#[derive(Debug)]
pub(crate) struct RecordText {
    /// The members of the record after its time.
    text: Vec<u8>,
    /// The offset in `text` at which each item gets its revision.
    revisions: Vec<usize>,
}

/// The members of a record between its time and its items.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    tenant: &'a TenantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_site: &'a Option<String>,
    call: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: &'a Option<AuditDigest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: &'a Option<AuditDigest>,
}

/// The members of an item before its revision.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation<'a> {
    operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: &'a Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: &'a Option<ThreadId>,
    #[serde(skip_serializing_if = "<[MessageId]>::is_empty")]
    messages: &'a [MessageId],
}

impl RecordText {
    /// Serializes the record of a write. Ignores its outcome, its time and the revisions of its items.
    pub(crate) fn new(record: &AuditRecord) -> Self {
        let AuditRecord {
            outcome: _,
            at: _,
            tenant,
            actor,
            call_site,
            call,
            key,
            content,
            items,
            omitted: _,
        } = record;
        let mut text = Vec::with_capacity(512);
        push(&mut text, &Call { tenant, actor, call_site, call, key, content });
        // The members continue those of the record.
        text[0] = b',';
        text.pop();
        text.extend_from_slice(br#","items":["#);
        let mut revisions = Vec::with_capacity(items.len());
        for AuditItem { operation, mode, thread, messages, revision: _, of } in items {
            if !revisions.is_empty() {
                text.push(b',');
            }
            push(&mut text, &Operation { operation, mode, thread, messages });
            text.pop();
            revisions.push(text.len());
            if let Some(of) = of {
                text.extend_from_slice(br#","of":"#);
                push(&mut text, of);
            }
            text.push(b'}');
        }
        text.extend_from_slice(b"]}");
        Self { text, revisions }
    }

    /// Returns the [body](super::AuditEntry::body) of the entry: the bytes that the whole entry serializes to.
    pub(crate) fn body(
        &self,
        (number, previous): (AuditNumber, AuditDigest),
        (after, position): (Position, Position),
        at: Timestamp,
        revisions: impl IntoIterator<Item = Option<Revision>>,
    ) -> String {
        /// The bytes of the members that are added here, at most: names, five numbers and a hash.
        const ADDED: usize = 288;
        /// The bytes of a revision and its name, at most.
        const REVISION: usize = 32;
        let mut body = Vec::with_capacity(self.text.len() + ADDED + REVISION * self.revisions.len());
        body.extend_from_slice(br#"{"number":"#);
        push(&mut body, &number);
        body.extend_from_slice(br#","previous":"#);
        push(&mut body, &previous);
        body.extend_from_slice(br#","record":{"outcome":{"applied":{"after":"#);
        push(&mut body, &after);
        body.extend_from_slice(br#","position":"#);
        push(&mut body, &position);
        body.extend_from_slice(br#"}},"at":"#);
        push(&mut body, &at);
        let mut written = 0;
        for (end, revision) in self.revisions.iter().zip(revisions) {
            if let Some(revision) = revision {
                body.extend_from_slice(&self.text[written..*end]);
                written = *end;
                body.extend_from_slice(br#","revision":"#);
                push(&mut body, &revision);
            }
        }
        body.extend_from_slice(&self.text[written..]);
        body.push(b'}');
        String::from_utf8(body).expect("JSON is UTF-8")
    }
}

fn push(text: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(text, value).expect("a record serializes into memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit_entry::{AuditEntry, AuditOutcome};

    fn items() -> [AuditItem; 3] {
        let whole = AuditItem {
            operation: "updateContent".into(),
            mode: Some("edit".into()),
            thread: Some("t \"1\"".parse().unwrap()),
            messages: vec!["m \u{1F600}".parse().unwrap(), "n".parse().unwrap()],
            revision: Some(Revision::new(7)),
            of: Some("an \"agent\"".to_owned()),
        };
        let last = AuditItem { of: None, revision: Some(Revision::new(u64::MAX)), ..whole.clone() };
        let bare = AuditItem {
            operation: "resetCursor".into(),
            mode: None,
            thread: None,
            messages: Vec::new(),
            revision: None,
            of: None,
        };
        [whole, bare, last]
    }

    fn record(items: Vec<AuditItem>, at: i64, has_facts: bool) -> AuditRecord {
        AuditRecord {
            outcome: AuditOutcome::Applied { after: Position::new(8), position: Position::new(u64::MAX) },
            at: Timestamp::from_micros(at),
            tenant: "alice".parse().unwrap(),
            actor: has_facts.then(|| "\"al\u{7}ice\"".to_owned()),
            call_site: has_facts.then(String::new),
            call: "0-1".to_owned(),
            key: has_facts.then_some(AuditDigest::from_bytes([255; 32])),
            content: has_facts.then_some(AuditDigest::from_bytes([1; 32])),
            items,
            omitted: 0,
        }
    }

    /// The hash covers the body, and a reader serializes the decoded entry to verify it.
    #[test]
    fn the_body_is_that_of_the_serialized_entry() {
        let [whole, bare, last] = items();
        let lists = [
            vec![],
            vec![whole.clone()],
            vec![bare.clone()],
            vec![bare.clone(), whole.clone(), bare.clone(), last.clone()],
            vec![last, bare.clone(), whole, bare],
        ];
        for items in lists {
            for (at, has_facts) in [(-7, true), (i64::MAX, false), (i64::MIN, true)] {
                let record = record(items.clone(), at, has_facts);
                let link = (AuditNumber::new(u64::MAX), AuditDigest::from_bytes([9; 32]));
                // The text does not depend on what only the store knows.
                let mut before = record.clone();
                before.outcome = AuditOutcome::Lost { calls: 1 };
                before.at = Timestamp::from_micros(1);
                before.items.iter_mut().for_each(|item| item.revision = None);
                let body = RecordText::new(&before).body(
                    link,
                    (Position::new(8), Position::new(u64::MAX)),
                    record.at,
                    record.items.iter().map(|item| item.revision),
                );
                assert_eq!(body, AuditEntry::text(link.0, link.1, &record));
            }
        }
    }
}
