//! The reads. They pass through the same layers as the writes.

mod aliases;
mod audit;
mod changes;
mod consumer;
mod damaged;
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
    damaged::DamagedMessage,
    get::GetMessage,
    images::{GetReplicationStatus, Images, ReadImages},
    open::{ListOpen, OpenCursor, OpenReservations},
    page::{Page, PageFrom, ReadPage, Visibility},
    search::{SearchHit, SearchHits, SearchMessages},
    session::{Attempts, ListAttempts, ResolveSession, SessionResolved},
    tenants::{ListTenants, Tenants},
    threads::{GetThread, ListPurgeable, ListThreads, PlanPrune, PrunePlan, PurgeableThreads, ThreadList},
};
use super::{Addressed, family::family};
use crate::message::{CarriesContent, ContentField, ContentFieldMut};
use crate::{
    Message, MessageId, ThreadId, change::ChangeScope, replica::ReplicationStatus, thread::ThreadSummary,
};

family! {
    /// The reads. They pass through the same layers as the writes: an encryption layer must decrypt, and a redirect must answer
    /// from the store that it wrote to.
    #[derive(Eq)]
    ReadArgs in Read;
    /// The answers to the reads.
    ReadResult;

    /// Reads one message.
    Get: GetMessage -> Option<Message> as "get";
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
        match self {
            Self::Get(message) => message.as_slice(),
            Self::Page(page) => &page.messages,
            Self::OpenReservations(open) => &open.messages,
            Self::Thread(_)
            | Self::Threads(_)
            | Self::PlanPrune(_)
            | Self::Purgeable(_)
            | Self::Tenants(_)
            | Self::Changes(_)
            | Self::Audit(_)
            | Self::Search(_)
            | Self::Cursor(_)
            | Self::Quarantined(_)
            | Self::Aliases(_)
            | Self::Resolve(_)
            | Self::Attempts(_)
            | Self::Images(_)
            | Self::ReplicationStatus(_) => &[],
        }
    }

    /// The thread summaries of the answer.
    #[must_use]
    pub fn summaries(&self) -> &[ThreadSummary] {
        match self {
            Self::Thread(entry) => entry.as_slice(),
            Self::Threads(list) => &list.threads,
            Self::Get(_)
            | Self::Page(_)
            | Self::OpenReservations(_)
            | Self::PlanPrune(_)
            | Self::Purgeable(_)
            | Self::Tenants(_)
            | Self::Changes(_)
            | Self::Audit(_)
            | Self::Search(_)
            | Self::Cursor(_)
            | Self::Quarantined(_)
            | Self::Aliases(_)
            | Self::Resolve(_)
            | Self::Attempts(_)
            | Self::Images(_)
            | Self::ReplicationStatus(_) => &[],
        }
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

impl Addressed for ReadArgs {
    fn thread(&self) -> Option<&ThreadId> {
        match self {
            Self::Get(get) => Some(&get.thread),
            Self::Page(page) => Some(&page.thread),
            Self::OpenReservations(list) => list.thread.as_ref(),
            Self::Thread(get) => Some(&get.thread),
            Self::PlanPrune(plan) => Some(&plan.thread),
            Self::Search(search) => search.thread.as_ref(),
            Self::Aliases(list) => Some(&list.thread),
            Self::Resolve(resolve) => Some(&resolve.thread),
            Self::Attempts(list) => Some(&list.thread),
            Self::Changes(ReadChanges { scope, .. }) | Self::Audit(ReadAudit { scope, .. }) => match scope {
                ChangeScope::Thread(thread) => Some(thread),
                ChangeScope::Tenant | ChangeScope::Store => None,
            },
            Self::Threads(_)
            | Self::Purgeable(_)
            | Self::Tenants(_)
            | Self::Cursor(_)
            | Self::Quarantined(_)
            | Self::Images(_)
            | Self::ReplicationStatus(_) => None,
        }
    }

    fn message(&self) -> Option<&MessageId> {
        match self {
            Self::Get(get) => Some(&get.id),
            Self::Page(_)
            | Self::OpenReservations(_)
            | Self::Thread(_)
            | Self::Threads(_)
            | Self::PlanPrune(_)
            | Self::Purgeable(_)
            | Self::Tenants(_)
            | Self::Changes(_)
            | Self::Audit(_)
            | Self::Search(_)
            | Self::Cursor(_)
            | Self::Quarantined(_)
            | Self::Aliases(_)
            | Self::Resolve(_)
            | Self::Attempts(_)
            | Self::Images(_)
            | Self::ReplicationStatus(_) => None,
        }
    }
}

impl Addressed for ReadResult {
    fn thread(&self) -> Option<&ThreadId> {
        match self {
            Self::Get(message) => message.as_ref().map(|message| &message.thread),
            Self::Page(page) => Some(&page.thread),
            Self::Thread(entry) => entry.as_ref().map(|entry| &entry.thread),
            Self::PlanPrune(plan) => Some(&plan.thread),
            Self::Aliases(list) => Some(&list.thread),
            Self::Resolve(resolved) => Some(&resolved.thread),
            Self::Attempts(list) => Some(&list.thread),
            Self::OpenReservations(_)
            | Self::Threads(_)
            | Self::Purgeable(_)
            | Self::Tenants(_)
            | Self::Changes(_)
            | Self::Audit(_)
            | Self::Search(_)
            | Self::Cursor(_)
            | Self::Quarantined(_)
            | Self::Images(_)
            | Self::ReplicationStatus(_) => None,
        }
    }

    fn message(&self) -> Option<&MessageId> {
        match self {
            Self::Get(message) => message.as_ref().map(|message| &message.id),
            Self::Page(_)
            | Self::OpenReservations(_)
            | Self::Thread(_)
            | Self::Threads(_)
            | Self::PlanPrune(_)
            | Self::Purgeable(_)
            | Self::Tenants(_)
            | Self::Changes(_)
            | Self::Audit(_)
            | Self::Search(_)
            | Self::Cursor(_)
            | Self::Quarantined(_)
            | Self::Aliases(_)
            | Self::Resolve(_)
            | Self::Attempts(_)
            | Self::Images(_)
            | Self::ReplicationStatus(_) => None,
        }
    }
}
