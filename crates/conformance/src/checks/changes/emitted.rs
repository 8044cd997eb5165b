//! The change events of each write.

use std::time::Duration;

use throughline_core::{
    Content, ErrorKind, NewReservation, PersistArgs, Persistence, Position, Revision, Role, Seq, Timestamp,
    changes::{Change, ChangeKind, ChangeScope, ChangedMessage},
    messages::{Add, Batch, Delete, Import, ImportRow, Reserve, Update, UpdateContent, UpdateMode},
    threads::{
        ClearThread, CreateThread, Generation, LabelPatch, PruneThread, PublishThread, PurgeThread,
        RebuildThread,
    },
};

use crate::{
    call::call,
    check::checks,
    rig::Rig,
    shorthand::{append, changes_after, id, new_thread, refused, said, the, thread_id, title},
};

checks! {
    Extended "changes.every_message_write_emits_its_kind" [Add Reserve UpdateContent Update Delete Read; changes] "every write to a message emits a change of its kind with the resulting message" => messages;
    Extended "changes.every_thread_operation_emits_its_kind" [Add Thread Read; changes] "every operation on a thread emits a change of its kind" => threads;
    Extended "changes.batch_emits_one_change_per_item" [Add Reserve UpdateContent Delete Batch Read; changes] "a batch emits the change of each item, in item order" => batch;
    Extended "changes.import_emits_one_change_per_added_message" [Add Import Read; changes] "an import emits one change for each message that it adds" => import;
    Extended "changes.calls_without_effect_emit_none" [Reserve UpdateContent Thread Read; changes] "calls without effect emit no change: a heartbeat, a repeated deletion, a rebuild, a purge" => nothing;
    Extended "changes.refused_calls_emit_none" [Add UpdateContent Delete Thread Read; changes] "a refused call emits no change" => refusals;
    Extended "changes.refused_batches_emit_none" [Add Batch Read; changes] "a refused batch emits no change" => refused_batch;
    Extended "changes.replays_emit_none" [Add Read; keys changes] "a call that is replayed by its key emits no second change" => replays;
}

/// Makes calls and returns the change events of each, with their tenant and time verified.
struct EmittedChanges {
    db: Persistence,
    after: Position,
}

impl EmittedChanges {
    async fn new(rig: &Rig) -> Self {
        Self { db: rig.db().await, after: Position::ZERO }
    }

    async fn all(&mut self) -> Vec<Change> {
        let changes = changes_after(&self.db, ChangeScope::Tenant, self.after).await;
        self.after = changes.last().map_or(self.after, |change| change.position);
        changes
    }

    /// The change events of this write. The last one has the position of the write.
    async fn of(&mut self, args: impl Into<PersistArgs>, now: Timestamp) -> Vec<ChangeKind> {
        let args = args.into();
        let case = format!("{args:?}");
        let response = call(&self.db, args, None).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        let position = response.receipt.position.expect("a write has a position");
        let changes = self.all().await;
        assert!(changes.is_sorted_by(|a, b| a.position < b.position), "{changes:?}");
        if let Some(last) = changes.last() {
            assert_eq!(last.position, position, "{case}");
        }
        let circumstances = |change: &Change| (change.tenant == *self.db.tenant(), change.at);
        assert!(changes.iter().all(|change| circumstances(change) == (true, now)), "{changes:?}");
        changes.into_iter().map(|change| change.kind).collect()
    }
}

fn message(name: &str, seq: Seq, revision: u64) -> ChangedMessage {
    ChangedMessage { id: id(name), seq, revision: Revision::new(revision) }
}

fn t() -> throughline_core::ThreadId {
    thread_id("t")
}

async fn messages(rig: Rig) {
    let mut emitted = EmittedChanges::new(&rig).await;
    let now = rig.clock.advance(Duration::from_secs(1));
    let reserve = |name: &str| Reserve::new(t(), NewReservation::new(Role::Assistant).with_id(id(name)));
    let update = |name: &str, mode| UpdateContent::new(t(), id(name), append("x"), mode);
    let added = emitted.of(Add::new(t(), said("m", "x").created_at(Timestamp::from_micros(1))), now).await;
    let m = the(&emitted.db.thread("t"), "m").await.seq;
    assert_eq!(added, [ChangeKind::Added(message("m", m, 1))]);
    let reserved = emitted.of(reserve("r"), now).await;
    let r = the(&emitted.db.thread("t"), "r").await.seq;
    assert_eq!(reserved, [ChangeKind::Reserved(message("r", r, 1))]);
    let written = emitted.of(update("r", UpdateMode::Partial), now).await;
    assert_eq!(written, [ChangeKind::Written(message("r", r, 2))]);
    let patched = emitted.of(Update::new(t(), id("r"), Default::default()), now).await;
    assert_eq!(patched, [ChangeKind::Patched(message("r", r, 2))]);
    let finished = emitted.of(update("r", UpdateMode::Final), now).await;
    assert_eq!(finished, [ChangeKind::Finished(message("r", r, 3))]);
    let edited = emitted.of(update("r", UpdateMode::Edit), now).await;
    assert_eq!(edited, [ChangeKind::Edited(message("r", r, 4))]);
    emitted.of(reserve("s"), now).await;
    let s = the(&emitted.db.thread("t"), "s").await.seq;
    let abandoned = emitted.of(update("s", UpdateMode::Abandon { reason: None }), now).await;
    assert_eq!(abandoned, [ChangeKind::Abandoned(message("s", s, 2))]);
    let deleted = emitted.of(Delete::new(t(), id("r")), now).await;
    assert_eq!(deleted, [ChangeKind::Deleted(message("r", r, 4))]);
    let all = changes_after(&emitted.db, ChangeScope::Tenant, Position::ZERO).await;
    assert_eq!(all.len(), 9);
    assert!(all.iter().all(|change| change.thread == t()));
}

async fn threads(rig: Rig) {
    let mut emitted = EmittedChanges::new(&rig).await;
    let db = emitted.db.clone();
    let now = rig.clock.advance(Duration::from_secs(1));
    let created = CreateThread::new(new_thread("t").hidden().created_at(Timestamp::from_micros(1)));
    assert_eq!(emitted.of(created, now).await, [ChangeKind::ThreadCreated]);
    let labels = LabelPatch::new().set("k", "v").unwrap();
    let changes: [throughline_core::threads::ThreadArgs; 3] = [
        throughline_core::threads::RenameThread::new(t(), title("x")).into(),
        throughline_core::threads::ArchiveThread { thread: t(), archived: true }.into(),
        throughline_core::threads::LabelThread::new(t()).with_labels(labels).into(),
    ];
    for args in changes {
        assert_eq!(emitted.of(PersistArgs::Thread(args), now).await, [ChangeKind::ThreadChanged]);
    }
    assert_eq!(emitted.of(PublishThread { thread: t() }, now).await, [ChangeKind::ThreadPublished]);
    let mut seqs = vec![];
    for name in ["a", "b", "c"] {
        emitted.of(Add::new(t(), said(name, "x")), now).await;
        seqs.push(the(&db.thread("t"), name).await.seq);
    }
    let prune = |limit| PruneThread { thread: t(), through: seqs[1], generation: Generation::FIRST, limit };
    for seq in &seqs[..2] {
        assert_eq!(emitted.of(prune(1), now).await, [ChangeKind::ThreadPruned { through: *seq }]);
    }
    assert_eq!(emitted.of(prune(1), now).await, []);
    let cleared = emitted.of(ClearThread::new(t()), now).await;
    let [ChangeKind::ThreadCleared { generation, through }] = cleared.as_slice() else {
        panic!("{cleared:?}")
    };
    assert_eq!(*generation, Generation::new(2));
    assert!(*through >= seqs[2]);
    let next = db.thread("t").add(said("d", "x")).await.unwrap().message.seq;
    assert!(*through < next, "{through} would take away what came after it, at {next}");
    emitted.all().await;
    assert_eq!(
        emitted.of(throughline_core::threads::DeleteThread { thread: t() }, now).await,
        [ChangeKind::ThreadDeleted]
    );
}

async fn batch(rig: Rig) {
    let mut emitted = EmittedChanges::new(&rig).await;
    let now = rig.clock.advance(Duration::from_secs(1));
    let u = || thread_id("u");
    let batch = Batch::new()
        .with(Add::new(t(), said("m", "x")))
        .with(Reserve::new(u(), NewReservation::new(Role::Assistant).with_id(id("m"))))
        .with(UpdateContent::new(u(), id("m"), append("x"), UpdateMode::Final))
        .with(Add::new(t(), said("n", "x")))
        .with(Delete::new(t(), id("m")));
    let response = emitted.db.batch(batch).reply().await.unwrap();
    let changes = emitted.all().await;
    let seqs: Vec<Seq> = changes.iter().filter_map(|change| change.kind.message()).map(|m| m.seq).collect();
    let n = the(&emitted.db.thread("t"), "n").await.seq;
    let due = [
        ("t", ChangeKind::Added(message("m", seqs[0], 1))),
        ("u", ChangeKind::Reserved(message("m", seqs[1], 1))),
        ("u", ChangeKind::Finished(message("m", seqs[1], 2))),
        ("t", ChangeKind::Added(message("n", n, 1))),
        ("t", ChangeKind::Deleted(message("m", seqs[0], 1))),
    ];
    let read: Vec<_> = changes.iter().map(|change| (change.thread.as_str(), change.kind.clone())).collect();
    assert_eq!(read, due);
    assert!(changes.is_sorted_by(|a, b| a.position < b.position), "{changes:?}");
    assert_eq!(changes.last().map(|change| change.position), response.receipt.position);
    assert!(changes.iter().all(|change| change.at == now));
}

async fn import(rig: Rig) {
    let mut emitted = EmittedChanges::new(&rig).await;
    let now = rig.clock.advance(Duration::from_secs(1));
    emitted.of(Add::new(t(), said("b", "x")), now).await;
    let row =
        |name: &str| ImportRow::new(id(name), Role::User, Content::text("x"), Timestamp::from_micros(1));
    let mut ended = row("c");
    ended.abandoned = Some(None);
    let rows = vec![row("a"), row("b"), ended];
    let changes = emitted.of(Import::new(t(), rows.clone()), now).await;
    let seqs = [the(&emitted.db.thread("t"), "a").await.seq, the(&emitted.db.thread("t"), "c").await.seq];
    assert_eq!(
        changes,
        [ChangeKind::Added(message("a", seqs[0], 1)), ChangeKind::Added(message("c", seqs[1], 1))]
    );
    assert_eq!(emitted.of(Import::new(t(), rows), now).await, []);
}

async fn nothing(rig: Rig) {
    let mut emitted = EmittedChanges::new(&rig).await;
    let now = rig.clock.advance(Duration::from_secs(1));
    let reserve = Reserve::new(t(), NewReservation::new(Role::Assistant).with_id(id("r")));
    assert_eq!(emitted.of(reserve, now).await.len(), 1);
    let alive = UpdateContent::new(t(), id("r"), append(""), UpdateMode::Partial);
    assert_eq!(emitted.of(alive, now).await, []);
    for args in [
        PersistArgs::from(RebuildThread { thread: t() }),
        PublishThread { thread: t() }.into(),
        PurgeThread { thread: t(), limit: 1 }.into(),
    ] {
        assert_eq!(emitted.of(args.clone(), now).await, [], "{args:?}");
    }
    assert_eq!(emitted.of(throughline_core::threads::DeleteThread { thread: t() }, now).await.len(), 1);
    assert_eq!(emitted.of(throughline_core::threads::DeleteThread { thread: t() }, now).await, []);
    assert_eq!(emitted.of(PurgeThread { thread: t(), limit: 10 }, now).await, []);
}

async fn refusals(rig: Rig) {
    let mut emitted = EmittedChanges::new(&rig).await;
    let db = emitted.db.clone();
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    assert_eq!(emitted.all().await.len(), 1);
    refused(thread.add(said("m", "y")).await, ErrorKind::AlreadyExists);
    refused(thread.update_content(id("m"), append("x"), UpdateMode::Final).await, ErrorKind::Stale);
    refused(thread.delete(id("n")).await, ErrorKind::NotFound);
    refused(db.create_thread(new_thread("t")).await, ErrorKind::AlreadyExists);
    refused(db.thread("u").rename(title("x")).await, ErrorKind::NotFound);
    refused(thread.add(said("n", "x").in_generation(Generation::new(2))).await, ErrorKind::Stale);
    assert_eq!(emitted.all().await, []);
    thread.add(said("o", "x")).await.unwrap();
    assert_eq!(emitted.all().await.len(), 1);
}

async fn refused_batch(rig: Rig) {
    let mut emitted = EmittedChanges::new(&rig).await;
    let db = emitted.db.clone();
    let add = |name: &str| Add::new(t(), said(name, "x"));
    refused(
        db.batch(Batch::new().with(add("m")).with(add("n")).with(add("m"))).await,
        ErrorKind::AlreadyExists,
    );
    assert_eq!(emitted.all().await, []);
    db.batch(Batch::new().with(add("m")).with(add("n"))).await.unwrap();
    assert_eq!(emitted.all().await.len(), 2);
}

async fn replays(rig: Rig) {
    let mut emitted = EmittedChanges::new(&rig).await;
    let db = emitted.db.clone();
    for key in ["k", "l"] {
        for round in 0..2 {
            let answer = db.thread("t").add(throughline_core::NewMessage::user(key)).key(key).await.unwrap();
            assert_eq!((answer.deduplicated, emitted.all().await.len()), (round == 1, 1 - round));
        }
    }
}
