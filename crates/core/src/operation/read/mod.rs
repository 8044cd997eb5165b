//! The reads. They pass through the same layers as the writes.

mod aliases;
mod audit;
mod changes;
mod consumer;
mod content;
mod damaged;
mod find;
mod get;
mod images;
mod open;
mod page;
mod search;
mod session;
mod tenants;
mod threads;

pub use self::{
    aliases::{Alias, AliasCursor, Aliases, ListAliases},
    audit::{AuditFrom, AuditPage, ReadAudit},
    changes::{Changes, ReadChanges},
    consumer::{ConsumerCursor, GetCursor, ListQuarantined, QuarantinedChange, QuarantinedChanges},
    content::{ContentTail, ReadContent},
    damaged::DamagedMessage,
    find::{FindCursor, FindMessages, FindOrder, FoundMessages},
    get::GetMessage,
    images::{GetReplicationStatus, Images, ReadImages},
    open::{ListOpen, OpenCursor, OpenReservations},
    page::{Page, PageFrom, ReadPage, Visibility},
    search::{SearchHit, SearchHits, SearchMessages},
    session::{Attempts, ListAttempts, ResolveSession, SessionResolved},
    tenants::{ListTenants, Tenants},
    threads::{GetThread, ListPurgeable, ListThreads, PlanPrune, PrunePlan, PurgeableThreads, ThreadList},
};
use super::family::family;
use crate::message::{CarriesContent, ContentField, ContentFieldMut};
use crate::{Message, replica::ReplicationStatus, thread::ThreadSummary};

family! {
    /// The reads. They pass through the same layers as the writes: an encryption layer must decrypt, and a redirect must answer
    /// from the store that it wrote to.
    #[derive(Eq)]
    ReadArgs in Read;
    /// The answers to the reads.
    ReadResult;

    /// Reads one message.
    Get: GetMessage -> Option<Message> as "get";
    /// Reads the content of a message after a cursor.
    Content: ReadContent -> Option<ContentTail> as "content";
    /// Reads a page of a thread.
    Page: ReadPage -> Page as "page";
    /// Lists the open messages.
    OpenReservations: ListOpen -> OpenReservations as "openReservations";
    /// Reads one thread summary.
    Thread: GetThread -> Option<ThreadSummary> as "thread";
    /// Lists the threads of the tenant.
    Threads: ListThreads -> ThreadList as "threads";
    /// Plans a prune.
    PlanPrune: PlanPrune -> PrunePlan as "planPrune";
    /// Lists the threads with rows to purge.
    Purgeable: ListPurgeable -> PurgeableThreads as "purgeable";
    /// Lists the tenants of the store.
    Tenants: ListTenants -> Tenants as "tenants";
    /// Reads the change feed.
    Changes: ReadChanges -> Changes as "changes";
    /// Reads the audit log.
    Audit: ReadAudit -> AuditPage as "audit";
    /// Searches messages.
    Search: SearchMessages -> SearchHits as "search";
    /// Finds messages by a metadata field.
    Find: FindMessages -> FoundMessages as "find";
    /// Reads the cursor of a consumer.
    Cursor: GetCursor -> ConsumerCursor as "cursor";
    /// Lists the quarantine of a consumer.
    Quarantined: ListQuarantined -> QuarantinedChanges as "quarantined";
    /// Lists the provider aliases of a thread.
    Aliases: ListAliases -> Aliases as "aliases";
    /// Reads the session that a claimer may resume.
    Resolve: ResolveSession -> SessionResolved as "resolveSession";
    /// Lists the runs of an agent in a thread.
    Attempts: ListAttempts -> Attempts as "attempts";
    /// Reads row images, for replication.
    Images: ReadImages -> Images as "images";
    /// Reads the replication status.
    ReplicationStatus: GetReplicationStatus -> ReplicationStatus as "replicationStatus";
}

impl ReadResult {
    /// The messages of the answer.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        self.facts().messages()
    }

    /// The thread summaries of the answer.
    #[must_use]
    pub fn summaries(&self) -> &[ThreadSummary] {
        self.facts().summaries()
    }
}

/// The answer of a read that may find nothing.
impl<T: CarriesContent> CarriesContent for Option<T> {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        self.iter().flat_map(CarriesContent::content_fields).collect()
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        self.iter_mut().flat_map(CarriesContent::content_fields_mut).collect()
    }
}
