//! Claims are tested in both directions: what is claimed is done, what is not claimed is refused and leaves no trace.

use throughline_core::{
    Content, Effect, ErrorKind, MetadataPatch, NewReservation, NewThread, OpKind, PersistArgs, Persistence,
    Position, ReadArgs, Role,
    audit::{AuditFrom, ReadAudit},
    changes::{ChangeScope, GetCursor, ListQuarantined, MoveCursor, ReadChanges},
    messages::{
        Add, Batch, Delete, FindMessages, Import, ImportRow, ReadPage, Reserve, Update, UpdateContent,
        UpdateMode,
    },
    operations::Addressed as _,
    pipeline::Clock as _,
    replication::{EndCapture, GetReplicationStatus},
    search::SearchMessages,
    sessions::{Claimer, ListAttempts, ResolveSession, Runtime},
    threads::{
        ClearThread, CreateThread, GetThread, Keep, ListPurgeable, ListTenants, ListThreads, PlanPrune,
    },
};
use throughline_layers::audit::{AuditKey, AuditLayer};
use tower_service::Service as _;

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, said},
};

checks! {
    Core "capabilities.add_matches_its_claim" [] "the store performs `add` if it claims it, and refuses it without effect otherwise" => add;
    Core "capabilities.reserve_matches_its_claim" [] "the store performs `reserve` if it claims it, and refuses it without effect otherwise" => reserve;
    Core "capabilities.update_content_matches_its_claim" [] "the store performs `updateContent` if it claims it, and refuses it otherwise" => update_content;
    Core "capabilities.update_matches_its_claim" [] "the store performs `update` if it claims it, and refuses it otherwise" => update;
    Core "capabilities.delete_matches_its_claim" [] "the store performs `delete` if it claims it, and refuses it otherwise" => delete;
    Core "capabilities.batch_matches_its_claim" [] "the store performs `batch` if it claims it, and refuses it without effect otherwise" => batch;
    Core "capabilities.import_matches_its_claim" [] "the store performs `import` if it claims it, and refuses it without effect otherwise" => import;
    Core "capabilities.thread_operations_match_their_claim" [] "the store performs `thread` if it claims it, and refuses it without effect otherwise" => thread;
    Core "capabilities.thread_reads_match_their_claim" [] "the store answers reads of threads if it claims thread operations, and refuses them otherwise" => catalog;
    Core "capabilities.change_reads_match_their_claim" [] "the store answers reads of changes if it claims changes, and refuses them otherwise" => changes;
    Core "capabilities.consumer_operations_match_their_claim" [] "the store performs consumer operations and their reads if it claims them, and refuses both otherwise" => consumer;
    Core "capabilities.session_operations_match_their_claim" [] "the store performs session operations and their reads if it claims them, and refuses both otherwise" => session;
    Core "capabilities.replication_matches_its_claim" [] "the store performs replication operations and their reads if it claims them, and refuses both otherwise" => replica;
    Core "capabilities.search_matches_its_claim" [] "the store finds terms if it claims search, and refuses searches otherwise" => search;
    Core "capabilities.indexed_metadata_matches_its_claim" [] "the store finds messages by the metadata fields that it claims, and refuses finds by others" => indexed_metadata;
    Core "capabilities.audit_matches_its_claim" [] "the store keeps an audit log if it claims one, and refuses its reads otherwise" => audit;
    Core "capabilities.read_matches_its_claim" [] "the store performs `read` if it claims it, and refuses it otherwise" => read;
    Core "capabilities.idempotency_keys_match_their_claim" [] "the store honors idempotency keys if it claims them, and refuses them without effect otherwise" => keys;
    Core "capabilities.description_shows_name_and_claims" [] "the description of a pipeline shows the backend's name and its claims" => described;
}

async fn add(rig: Rig) {
    claim(rig, Add::new("t".parse().unwrap(), said("m", "x")).into()).await;
}

async fn reserve(rig: Rig) {
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
    claim(rig, Reserve::new("t".parse().unwrap(), reservation).into()).await;
}

async fn update_content(rig: Rig) {
    let thread = "t".parse().unwrap();
    claim(rig, UpdateContent::new(thread, id("m"), append("x"), UpdateMode::Partial).into()).await;
}

async fn update(rig: Rig) {
    claim(rig, Update::new("t".parse().unwrap(), id("m"), MetadataPatch::new()).into()).await;
}

async fn delete(rig: Rig) {
    claim(rig, Delete::new("t".parse().unwrap(), id("m")).into()).await;
}

async fn batch(rig: Rig) {
    claim(rig, Batch::new().with(Add::new("t".parse().unwrap(), said("m", "x"))).into()).await;
}

async fn import(rig: Rig) {
    let row = ImportRow::new(id("m"), Role::User, Content::text("x"), rig.clock.now());
    claim(rig, Import::new("t".parse().unwrap(), vec![row]).into()).await;
}

async fn thread(rig: Rig) {
    claim(rig.clone(), CreateThread::new(NewThread::new().with_id("t".parse().unwrap())).into()).await;
    // This operation needs a thread first, so it runs in a store of its own.
    claim(rig.sibling("clear"), ClearThread::new("t".parse().unwrap()).into()).await;
}

async fn catalog(rig: Rig) {
    let db = rig.db().await;
    let t = || "t".parse().unwrap();
    let reads: [ReadArgs; 5] = [
        GetThread { thread: t() }.into(),
        ListThreads::new(1).into(),
        PlanPrune { thread: t(), keep: Keep::everything() }.into(),
        ListPurgeable { after: None, limit: 1 }.into(),
        ListTenants { after: None, limit: 1 }.into(),
    ];
    for read in reads {
        let due = rig.capabilities.supports(OpKind::Read) && rig.capabilities.supports(OpKind::Thread);
        done_or_refused(&db, read, due).await;
    }
}

async fn changes(rig: Rig) {
    let db = rig.db().await;
    let due = rig.capabilities.supports(OpKind::Read) && rig.capabilities.changes;
    for scope in [ChangeScope::Thread("t".parse().unwrap()), ChangeScope::Tenant, ChangeScope::Store] {
        done_or_refused(&db, ReadChanges::new(scope, Position::ZERO, 1).into(), due).await;
    }
}

async fn consumer(rig: Rig) {
    let db = rig.db().await;
    let name = || "index".parse().unwrap();
    let claimed = rig.capabilities.supports(OpKind::Consumer);
    match db.on_consumer(MoveCursor::new(name(), Position::FIRST)).await {
        Ok(_) => assert!(claimed, "`consumer` is not claimed, and answered"),
        Err(error) => {
            assert!(!claimed, "`consumer` is claimed: {error}");
            assert_eq!(
                (error.kind(), error.effect()),
                (ErrorKind::Unsupported, Effect::NotApplied),
                "{error}"
            );
        }
    }
    for read in [GetCursor { consumer: name() }.into(), ListQuarantined::new(name(), 1).into()] {
        done_or_refused(&db, read, rig.capabilities.supports(OpKind::Read) && claimed).await;
    }
}

async fn replica(rig: Rig) {
    let db = rig.db().await;
    let claimed = rig.capabilities.supports(OpKind::Replica);
    match db.on_replica(EndCapture {}).await {
        Ok(_) => assert!(claimed, "`replica` is not claimed, and answered"),
        Err(error) => {
            assert!(!claimed, "`replica` is claimed: {error}");
            assert_eq!(
                (error.kind(), error.effect()),
                (ErrorKind::Unsupported, Effect::NotApplied),
                "{error}"
            );
        }
    }
    done_or_refused(&db, GetReplicationStatus {}.into(), rig.capabilities.supports(OpKind::Read) && claimed)
        .await;
}

async fn session(rig: Rig) {
    let db = rig.db().await;
    let location = db.agent("g").on("t");
    let runtime = Runtime::new("r".parse().unwrap(), "root".parse().unwrap());
    let claimer = Claimer::new("p".parse().unwrap(), runtime);
    let claimed = rig.capabilities.supports(OpKind::Session);
    match location.begin(location.run(claimer.clone()).unwrap()).await {
        Ok(_) => assert!(claimed, "`session` is not claimed, and answered"),
        Err(error) => {
            assert!(!claimed, "`session` is claimed: {error}");
            assert_eq!(
                (error.kind(), error.effect()),
                (ErrorKind::Unsupported, Effect::NotApplied),
                "{error}"
            );
        }
    }
    let (agent, thread) = ("g".parse().unwrap(), "t".parse().unwrap());
    let list = ListAttempts::new(agent, thread, 1);
    let look = ResolveSession { agent: list.agent.clone(), thread: list.thread.clone(), claimer };
    for read in [look.into(), list.into()] {
        done_or_refused(&db, read, rig.capabilities.supports(OpKind::Read) && claimed).await;
    }
}

async fn search(rig: Rig) {
    let due = rig.capabilities.supports(OpKind::Read) && rig.capabilities.search;
    done_or_refused(&rig.db().await, SearchMessages::new("word", 1).into(), due).await;
}

async fn indexed_metadata(rig: Rig) {
    let db = rig.db().await;
    let claimed = &rig.capabilities.indexed_metadata;
    for name in claimed.iter().chain(["a-field-that-no-store-claims"]) {
        let due = rig.capabilities.supports(OpKind::Read) && claimed.contains(name);
        done_or_refused(&db, FindMessages::new(name, "tool", 1).into(), due).await;
    }
}

async fn audit(rig: Rig) {
    let due = rig.capabilities.supports(OpKind::Read) && rig.capabilities.audit;
    let db = rig.db().await;
    for scope in [ChangeScope::Thread("t".parse().unwrap()), ChangeScope::Tenant, ChangeScope::Store] {
        done_or_refused(&db, ReadAudit::new(scope, AuditFrom::End, 1).into(), due).await;
    }
    drop(db);
    let layer = AuditLayer::new(AuditKey::new(&[0; 32]));
    let built = rig.builder().layer(layer).backend(rig.sibling("audited").open().await).build();
    assert_eq!(
        built.map(drop).map_err(|error| error.kind()),
        if rig.capabilities.audit { Ok(()) } else { Err(ErrorKind::Invalid) }
    );
}

async fn done_or_refused(db: &Persistence, read: ReadArgs, due: bool) {
    let case = read.as_str();
    match db.run(read).await {
        Ok(_) => assert!(due, "`{case}` is not claimed, and answered"),
        Err(error) => {
            assert!(!due, "`{case}` is claimed: {error}");
            assert_eq!(
                (error.kind(), error.effect()),
                (ErrorKind::Unsupported, Effect::NotApplied),
                "{error}"
            );
        }
    }
}

async fn read(rig: Rig) {
    claim(rig, ReadPage::new("t".parse().unwrap(), throughline_core::messages::PageFrom::Start, 1).into())
        .await;
}

/// On an empty store an operation that is done answers, or says that there is no such message.
async fn claim(rig: Rig, args: PersistArgs) {
    let kind = args.kind();
    let thread = args.thread().cloned().expect("of one thread");
    let mut db = rig.db().await;
    let answer = db.call(args).await;
    if rig.capabilities.supports(kind) {
        let done = answer.as_ref().map_or_else(|error| error.kind() == ErrorKind::NotFound, |_| true);
        assert!(done, "`{kind}` is claimed: {answer:?}");
    } else {
        let Err(error) = answer else { panic!("`{kind}` is not claimed, and answered") };
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotApplied), "{error}");
        if rig.capabilities.supports(OpKind::Read) {
            assert_eq!(everything(&db.thread(thread)).await, []);
        }
    }
}

async fn keys(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    if !rig.capabilities.supports(OpKind::Add) {
        return;
    }
    let answer = thread.add(said("m", "x")).key("k").await;
    if rig.capabilities.idempotency {
        assert!(!answer.expect("keys are claimed").deduplicated);
        return;
    }
    let error = answer.expect_err("keys are not claimed");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotApplied), "{error}");
    // The neighbour that is claimed: the same call without a key, which finds no trace of the refused one.
    thread.add(said("m", "x")).await.expect("without a key it is done");
}

async fn described(rig: Rig) {
    let backend = rig.open().await;
    let name = throughline_core::Backend::name(&backend).to_owned();
    let db = rig.builder().backend(backend).build().expect("an empty stack builds");
    assert_eq!(db.describe().names().collect::<Vec<_>>(), [name.as_str()]);
    assert_eq!(*db.describe().capabilities(), rig.capabilities);
    assert!(!name.is_empty());
}
