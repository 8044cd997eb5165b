//! The permissions that a call needs.

use std::slice;

use super::Verb;
use throughline_core::{
    PersistArgs, ReadArgs, ThreadId,
    audit::ReadAudit,
    changes::{ChangeScope, ReadChanges},
    messages::UpdateMode,
    operations::Addressed as _,
    threads::ThreadArgs,
};

/// One permission that a capability must grant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Demand<'a> {
    pub(super) verb: Verb,
    pub(super) subject: Subject<'a>,
}

/// The subject of a permission.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    Thread(&'a ThreadId),
    /// Every thread of the tenant.
    Tenant,
    /// Every tenant.
    Store,
}

impl<'a> Demand<'a> {
    /// Returns all permissions that a call needs; a batch needs those of each operation. `None` stands for an operation
    /// that this layer does not know.
    pub(super) fn of(args: &'a PersistArgs) -> impl Iterator<Item = Option<Self>> {
        // The edge refuses a batch within a batch.
        let items = match args {
            PersistArgs::Batch(batch) => batch.items.as_slice(),
            single => slice::from_ref(single),
        };
        items.iter().flat_map(|item| std::iter::once(Self::of_one(item)).chain(Self::also(item).map(Some)))
    }

    /// Returns a second permission: an operation that returns a message also needs to read it.
    fn also(args: &'a PersistArgs) -> Option<Self> {
        match args {
            PersistArgs::Thread(ThreadArgs::TakeLast(take)) => {
                Some(Self { verb: Verb::Read, subject: Subject::Thread(&take.thread) })
            }
            _ => None,
        }
    }

    fn of_one(args: &'a PersistArgs) -> Option<Self> {
        let verb = match args {
            PersistArgs::Add(_) | PersistArgs::Reserve(_) | PersistArgs::Batch(_) => Verb::Append,
            PersistArgs::UpdateContent(update) => match update.mode {
                UpdateMode::Edit => Verb::Edit,
                UpdateMode::Partial | UpdateMode::Final | UpdateMode::Abandon { .. } => Verb::Append,
            },
            PersistArgs::Update(_) => Verb::Edit,
            PersistArgs::Delete(_) => Verb::Delete,
            PersistArgs::Import(_) => Verb::Import,
            PersistArgs::Thread(thread) => match thread {
                ThreadArgs::Create(_)
                | ThreadArgs::Rename(_)
                | ThreadArgs::Archive(_)
                | ThreadArgs::Label(_)
                | ThreadArgs::Publish(_)
                | ThreadArgs::Rebuild(_) => Verb::Manage,
                ThreadArgs::Clear(_)
                | ThreadArgs::Prune(_)
                | ThreadArgs::Delete(_)
                | ThreadArgs::Purge(_) => Verb::Clear,
                ThreadArgs::Resolve(_) => Verb::Append,
                ThreadArgs::TakeLast(_) => Verb::Delete,
                _ => return None,
            },
            PersistArgs::Session(_) => Verb::Sessions,
            PersistArgs::Consumer(_) => Verb::Consume,
            PersistArgs::Replica(_) => Verb::Replicate,
            PersistArgs::Read(read) => match read {
                ReadArgs::Cursor(_) | ReadArgs::Quarantined(_) => Verb::Consume,
                ReadArgs::Audit(_) => Verb::Audit,
                ReadArgs::Images(_) | ReadArgs::ReplicationStatus(_) => Verb::Replicate,
                ReadArgs::Get(_)
                | ReadArgs::Page(_)
                | ReadArgs::OpenReservations(_)
                | ReadArgs::Thread(_)
                | ReadArgs::Threads(_)
                | ReadArgs::PlanPrune(_)
                | ReadArgs::Purgeable(_)
                | ReadArgs::Tenants(_)
                | ReadArgs::Changes(_)
                | ReadArgs::Search(_)
                | ReadArgs::Aliases(_)
                | ReadArgs::Resolve(_)
                | ReadArgs::Attempts(_) => Verb::Read,
                _ => return None,
            },
            _ => return None,
        };
        let subject = match args {
            PersistArgs::Read(
                ReadArgs::Changes(ReadChanges { scope: ChangeScope::Store, .. })
                | ReadArgs::Audit(ReadAudit { scope: ChangeScope::Store, .. })
                | ReadArgs::Tenants(_),
            ) => Subject::Store,
            PersistArgs::Replica(_)
            | PersistArgs::Read(ReadArgs::Images(_) | ReadArgs::ReplicationStatus(_)) => Subject::Store,
            args => args.thread().map_or(Subject::Tenant, Subject::Thread),
        };
        Some(Self { verb, subject })
    }
}
