//! The reads. They go through the same layers as the writes.

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
    /// The reads. They go through the same layers as the writes: an encryption layer must decrypt, a redirect must
    /// answer from where it wrote.
    #[derive(Eq)]
    ReadArgs in Read;
    /// The answers to the reads.
    ReadResult;

    /// One message.
    Get: GetMessage -> Option<Message> as "get";
    /// A stretch of a thread.
    Page: ReadPage -> Page as "page";
    /// The messages that a writer may still be at work on.
    OpenReservations: ListOpen -> OpenReservations as "openReservations";
    /// One thread.
    Thread: GetThread -> Option<ThreadSummary> as "thread";
    /// The threads of the tenant.
    Threads: ListThreads -> ThreadList as "threads";
    /// What a prune would take away.
    PlanPrune: PlanPrune -> PrunePlan as "planPrune";
    /// The threads that take up room for nothing.
    Purgeable: ListPurgeable -> PurgeableThreads as "purgeable";
    /// The tenants of the store.
    Tenants: ListTenants -> Tenants as "tenants";
    /// What was changed, in the order of the commits.
    Changes: ReadChanges -> Changes as "changes";
    /// Who did what.
    Audit: ReadAudit -> AuditPage as "audit";
    /// Messages with certain words.
    Search: SearchMessages -> SearchHits as "search";
    /// How far a consumer of the changes has come.
    Cursor: GetCursor -> ConsumerCursor as "cursor";
    /// What a consumer of the changes has passed over.
    Quarantined: ListQuarantined -> QuarantinedChanges as "quarantined";
    /// By what names the messages of a thread are known.
    Aliases: ListAliases -> Aliases as "aliases";
    /// What a claimer may go on with.
    Resolve: ResolveSession -> SessionResolved as "resolveSession";
    /// The runs of an agent in a thread.
    Attempts: ListAttempts -> Attempts as "attempts";
    /// What the store keeps, as images.
    Images: ReadImages -> Images as "images";
    /// How the store stands to the one beside it.
    ReplicationStatus: GetReplicationStatus -> ReplicationStatus as "replicationStatus";
}

impl ReadResult {
    /// The messages it holds.
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

    /// The entries of threads it holds.
    #[must_use]
    pub fn entries(&self) -> &[ThreadSummary] {
        match self {
            Self::Thread(entry) => entry.as_slice(),
            Self::Threads(list) => &list.entries,
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

/// A read of one thing that may not be there.
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
