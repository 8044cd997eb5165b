//! A message as the model sees it.

use std::{collections::BTreeMap, time::Duration};

use throughline_core::{
    Lease, Message, MessageId, MessageState, Metadata, Revision, Role, Seq, TenantId, Timestamp,
};

use super::{content::Blocks, step::THREADS};

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) tenant: usize,
    pub(super) thread: usize,
    pub(super) id: MessageId,
    /// Deleted: only the id is left.
    pub(super) dead: bool,
    /// Deleted by a clear of the thread: its attachments stay until a purge.
    pub(super) cleared: bool,
    pub(super) seq: u64,
    pub(super) role: Role,
    pub(super) state: MessageState,
    pub(super) revision: u64,
    pub(super) blocks: Blocks,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) attachments: Vec<&'static str>,
    pub(super) reason: Option<&'static str>,
    /// How long, and until when.
    pub(super) lease: Option<(i64, i64)>,
    pub(super) created: i64,
    pub(super) updated: i64,
    /// The time of a heartbeat that a store can count as a change or not.
    pub(super) renewed: Option<i64>,
}

impl Row {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, MessageState::Reserved | MessageState::Streaming)
    }

    /// Something of it has changed.
    pub(super) fn touch(&mut self, now: i64) {
        self.updated = self.updated.max(now);
        // A store that counts heartbeats can be ahead after the clock went back.
        self.renewed = self.renewed.filter(|renewed| *renewed > self.updated);
    }

    /// Its writer sent a heartbeat.
    pub(super) fn renew(&mut self, now: i64) {
        self.renewed = Some(self.renewed.unwrap_or(self.updated).max(now));
    }

    pub(super) fn facts(&self) -> Metadata {
        let facts: Vec<String> =
            self.metadata.iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
        serde_json::from_str(&format!("{{{}}}", facts.join(","))).expect("metadata")
    }

    pub(super) fn message(&self, tenant: &TenantId) -> Message {
        Message {
            tenant: tenant.clone(),
            thread: THREADS[self.thread].parse().expect("a valid id"),
            id: self.id.clone(),
            seq: Seq::new(self.seq),
            role: self.role,
            state: self.state,
            revision: Revision::new(self.revision),
            content: self.blocks.json(),
            metadata: self.facts(),
            attachments: self.attachments.iter().map(|name| name.parse().expect("a valid key")).collect(),
            abandon_reason: self.reason.map(str::to_owned),
            lease: self.lease.map(|(duration, until)| Lease {
                duration: Duration::from_micros(duration.unsigned_abs()),
                expires_at: Timestamp::from_micros(until),
            }),
            created_at: Timestamp::from_micros(self.created),
            updated_at: Timestamp::from_micros(self.updated),
        }
    }
}
