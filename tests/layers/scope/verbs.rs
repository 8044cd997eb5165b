//! The verb that each operation needs.

use throughline::{
    Content, MetadataPatch, NewMessage, NewReservation, NewThread, PersistArgs, Position, Role, ThreadId,
    Timestamp,
    audit::{AuditFrom, ReadAudit},
    changes::{ChangeScope, GetCursor, ReadChanges, ResetCursor},
    layers::scope::Verb,
    messages::{
        Add, Batch, ContentChange, Delete, GetMessage, Import, ImportRow, ReadContent, Reserve, Update,
        UpdateContent, UpdateMode,
    },
    replication::GetReplicationStatus,
    sessions::{DropAgent, ListAttempts},
    threads::{ArchiveThread, ClearThread, CreateThread, ListThreads},
};

use super::{Guarded, denied};

fn t() -> ThreadId {
    "t".parse().unwrap()
}

fn changed(mode: UpdateMode) -> PersistArgs {
    let whole = ContentChange::Replace(Content::text("x"));
    UpdateContent::new(t(), "m".parse().unwrap(), whole, mode).into()
}

/// Returns an operation for each row of the table in the documentation of the layer.
fn operations() -> Vec<(Verb, PersistArgs)> {
    let (m, agent) = (|| "m".parse().unwrap(), || "g".parse().unwrap());
    let add = || Add::new(t(), NewMessage::user("x"));
    let row = ImportRow::new(m(), Role::User, Content::text("x"), Timestamp::from_micros(1));
    let new = NewThread::new().with_id(t());
    vec![
        (Verb::Read, GetMessage { thread: t(), id: m() }.into()),
        (Verb::Read, ReadContent::new(t(), m(), None).into()),
        (Verb::Read, ListThreads::new(1).into()),
        (Verb::Read, ListAttempts::new(agent(), t(), 1).into()),
        (Verb::Append, add().into()),
        (Verb::Append, Reserve::new(t(), NewReservation::new(Role::User)).into()),
        (Verb::Append, changed(UpdateMode::Partial)),
        (Verb::Append, changed(UpdateMode::Final)),
        (Verb::Append, changed(UpdateMode::Abandon { reason: None })),
        (Verb::Edit, changed(UpdateMode::Edit)),
        (Verb::Edit, Update::new(t(), m(), MetadataPatch::new()).into()),
        (Verb::Edit, Batch::new().with(add()).with(Update::new(t(), m(), MetadataPatch::new())).into()),
        (Verb::Delete, Delete::new(t(), m()).into()),
        (Verb::Manage, CreateThread::new(new).into()),
        (Verb::Manage, ArchiveThread { thread: t(), archived: true }.into()),
        (Verb::Clear, ClearThread::new(t()).into()),
        (Verb::Import, Import::new(t(), vec![row]).into()),
        (Verb::Sessions, DropAgent { agent: agent() }.into()),
        (Verb::Consume, GetCursor { consumer: "c".parse().unwrap() }.into()),
        (Verb::Audit, ReadAudit::new(ChangeScope::Thread(t()), AuditFrom::End, 1).into()),
        (Verb::Replicate, GetReplicationStatus {}.into()),
        (Verb::Consume, ResetCursor { consumer: "c".parse().unwrap(), to: Position::new(0) }.into()),
    ]
}

/// Each operation is denied without its verb, and needs no other verb, except those of the items of a batch.
#[tokio::test]
async fn each_operation_needs_its_verb_and_no_other() {
    let guarded = Guarded::new();
    let everything = guarded.authority.everything();
    for (verb, args) in operations() {
        let others = Verb::ALL.iter().copied().filter(|other| *other != verb);
        let without = guarded.db.with_credential(everything.only(others));
        let answer = tower::ServiceExt::oneshot(without, args.clone()).await;
        denied(answer, &format!("the capability does not allow to {verb}"));
        let with = guarded.db.with_credential(everything.only([verb, Verb::Append]));
        // The store may return any error, but the call must reach it.
        if let Err(error) = tower::ServiceExt::oneshot(with, args).await {
            assert_ne!(error.site().map(throughline::Site::name), Some("scope"), "{error}");
        }
    }
    let named: std::collections::HashSet<Verb> = operations().into_iter().map(|(verb, _)| verb).collect();
    assert_eq!(named.len(), Verb::ALL.len(), "a verb without an operation");
}

#[tokio::test]
async fn the_audit_log_of_a_thread_needs_its_verb_and_contains_no_other_thread() {
    let guarded = Guarded::new();
    let everything = guarded.authority.everything();
    let read = |scope| ReadAudit::new(scope, AuditFrom::End, 10);
    let of_thread = guarded.db.with_credential(everything.in_thread(t()).only([Verb::Audit]));
    of_thread.read(read(ChangeScope::Thread(t()))).await.unwrap();
    let other = ChangeScope::Thread("u".parse().unwrap());
    denied(of_thread.read(read(other)).await, "the capability is not for this thread");
    let why = "the capability is not for every thread of the tenant";
    denied(of_thread.read(read(ChangeScope::Tenant)).await, why);
    denied(of_thread.read(read(ChangeScope::Store)).await, why);
    let of_tenant = guarded.db.with_credential(everything.of_tenant("default".parse().unwrap()));
    denied(of_tenant.read(read(ChangeScope::Store)).await, "the capability is not for the store as a whole");
    of_tenant.read(read(ChangeScope::Tenant)).await.unwrap();
    let reader = guarded.db.with_credential(everything.read_only());
    let why = "the capability does not allow to read the audit log";
    denied(reader.read(read(ChangeScope::Thread(t()))).await, why);
}

#[tokio::test]
async fn the_change_feed_of_the_store_needs_a_capability_for_every_tenant() {
    let guarded = Guarded::new();
    let everything = guarded.authority.everything();
    let read = |scope| ReadChanges::new(scope, Position::new(0), 10);
    let of_tenant = guarded.db.with_credential(everything.of_tenant("default".parse().unwrap()));
    denied(of_tenant.read(read(ChangeScope::Store)).await, "the capability is not for the store as a whole");
    of_tenant.read(read(ChangeScope::Tenant)).await.unwrap();
    let of_thread = guarded.db.with_credential(everything.in_thread(t()));
    let why = "the capability is not for every thread of the tenant";
    denied(of_thread.read(read(ChangeScope::Store)).await, why);
    denied(of_thread.read(read(ChangeScope::Tenant)).await, why);
    of_thread.read(read(ChangeScope::Thread(t()))).await.unwrap();
    guarded.db.with_credential(everything).read(read(ChangeScope::Store)).await.unwrap();
}

#[tokio::test]
async fn only_a_capability_for_the_whole_store_lists_its_tenants() {
    let guarded = Guarded::new();
    let everything = guarded.authority.everything();
    let of_tenant = guarded.db.with_credential(everything.of_tenant("default".parse().unwrap()));
    denied(of_tenant.tenants(None, 10).await, "the capability is not for the store as a whole");
    let of_thread = guarded.db.with_credential(everything.in_thread(t()));
    denied(of_thread.tenants(None, 10).await, "the capability is not for every thread of the tenant");
    guarded.db.with_credential(everything.read_only()).tenants(None, 10).await.unwrap();
}
