//! Calls with a value in every field, and full answers to the reads. No store has to be able to make them: the probe inside
//! answers.

use std::{fmt::Debug, str::FromStr, time::Duration};

use throughline_core::{
    Content, Delta, Labels, Message, MessageId, MessageState, Metadata, MetadataPatch, NewMessage,
    NewReservation, NewThread, PersistArgs, Position, Revision, Role, Seq, TenantId, ThreadId, Timestamp,
    Title,
    audit::{AuditFrom, AuditNumber, ReadAudit},
    changes::{
        ChangeScope, GetCursor, ListQuarantined, MoveCursor, QuarantineChange, ReadChanges, ReleaseChange,
        ResetCursor,
    },
    messages::{
        Add, AliasCursor, Batch, ContentChange, Delete, FindCursor, FindMessages, FindOrder, GetMessage,
        Import, ImportRow, ListAliases, ListOpen, OpenCursor, Origin, PageFrom, ReadContent, ReadPage,
        Reserve, ResolveId, TakeLastMessage, Update, UpdateContent, UpdateMode, Visibility,
    },
    replication::{
        ApplyImages, BeginCapture, CaptureId, EndCapture, Epoch, GetReplicationStatus, Image, ImageCursor,
        ImagePart, ReadImages, ReplicationState, SetReplicationState,
    },
    search::SearchMessages,
    sessions::{
        AdoptSession, AdoptedPointer, AdoptedRun, AttemptState, BackfillRuntime, BeginRun, CancelRun,
        Claimer, ClearPointerIf, ConfirmRun, Directory, DropAgent, DropRuntime, FailRun, Failure, HandOff,
        ListAttempts, PinSession, Reach, RenewRun, ResetAgent, ResetSession, ResolveSession, RetireSession,
        RunReport, Runtime, SessionGeneration, SessionRevision,
    },
    threads::{
        ArchiveThread, ClearThread, CreateThread, DeleteThread, ForkPoint, Generation, GetThread, Keep,
        LabelPatch, LabelThread, ListPurgeable, ListTenants, ListThreads, PlanPrune, PruneThread,
        PublishThread, PurgeThread, RebuildThread, RenameThread, ThreadCursor, ThreadOrder,
    },
};

use super::operations::t;

/// An id of any kind.
pub(super) fn id<T: FromStr<Err: Debug>>(name: &str) -> T {
    name.parse().expect("a valid id")
}

/// A thread with a name longer than the others have.
pub(super) fn far() -> ThreadId {
    id("a-thread-with-a-longer-name")
}

pub(super) const fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// More than the texts that a layer may treat as small.
const LARGE: usize = 65 << 10;

/// JSON that a round trip through a parser would change: numbers with their digits, duplicate names, NUL and lone surrogates. It also
/// has characters of several bytes from the first on.
fn raw(text: &str) -> String {
    let text = serde_json::to_string(&format!("日本語の文 é 🦀 {text}")).expect("it serializes");
    let odd =
        r#""price":1.10,"price":1e2,"big":123456789012345678901234567890,"nul":"a\u0000b","lone":"\ud83d""#;
    format!(r#"[{{"type":"text","text":{text}}},{{"type":"tool","input":{{{odd},"deep":[{text}]}}}}]"#)
}

pub(super) fn content(text: &str) -> Content {
    Content::from_json(raw(text)).expect("an array")
}

pub(super) fn metadata(text: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set("memo", text).expect("a string");
    metadata.set("none", &serde_json::Value::Null).expect("null");
    metadata
}

fn keys() -> [throughline_core::ids::AttachmentKey; 2] {
    [id("first-file"), id("second-file")]
}

pub(super) fn runtime() -> Runtime {
    Runtime::new(id("r"), id("root"))
}

fn report() -> RunReport {
    RunReport::of(id("session")).in_directory(id("/work")).without_artifact().retiring(id("retired"))
}

pub(super) const fn cursor(row: u64) -> ImageCursor {
    ImageCursor {
        capture: CaptureId::new(5),
        part: 1,
        row,
        touched: 3,
        changes: Position::new(4),
        audit: AuditNumber::new(2),
    }
}

/// A message with a value in every field.
pub(super) fn message(tenant: &TenantId, thread: ThreadId, name: &str, text: &str) -> Message {
    Message {
        tenant: tenant.clone(),
        thread,
        id: id(name),
        seq: Seq::new(4),
        role: Role::Assistant,
        state: MessageState::Abandoned,
        revision: Revision::new(3),
        content: content(text),
        metadata: metadata(text),
        attachments: keys().to_vec(),
        abandon_reason: Some(text.to_owned()),
        lease: None,
        created_at: at(11),
        updated_at: at(12),
    }
}

/// Every write, each with every condition and every fact that it can have, with `text` wherever text can be.
pub(super) fn writes(text: &str) -> Vec<(&'static str, PersistArgs)> {
    let mut calls = messages(text);
    calls.extend(threads(text));
    calls.extend(sessions(text));
    calls.extend(of_the_store(text));
    calls
}

fn messages(text: &str) -> Vec<(&'static str, PersistArgs)> {
    let new = |name: &str| {
        let new = NewMessage::new(Role::Assistant, content(text)).with_id(id(name));
        new.with_metadata(metadata(text)).with_attachments(keys()).created_at(at(7))
    };
    let reservation =
        NewReservation::new(Role::Assistant).with_id(id("reserved")).with_metadata(metadata(text));
    let reservation =
        reservation.with_attachments(keys()).with_lease(Duration::from_secs(90)).created_at(at(7));
    let patch = || MetadataPatch::new().set("patched", text).expect("a string").clear("cleared");
    let absent = || {
        let mut absent = Metadata::new();
        absent.set("claimed", text).expect("a string");
        absent.set("first", &[text]).expect("a list");
        absent
    };
    let change = |change, mode| {
        UpdateContent::new(t(), id("r"), change, mode).expecting(Revision::new(4)).within(1 << 20)
    };
    let append = |text: &str| ContentChange::Append(Delta::text(text));
    let blocks = || ContentChange::Append(Delta::Blocks(content(text)));
    let large = |bytes: usize| format!("{text} {} {text}", "x".repeat(bytes));
    let row = |name: &str, abandoned| ImportRow {
        metadata: metadata(text),
        attachments: keys().to_vec(),
        abandoned,
        origin: Origin::new().in_turn(id("turn")).item(id("item")).event(id("event")),
        updated_at: at(9),
        ..ImportRow::new(id(name), Role::User, content(text), at(8))
    };
    let rows = || vec![row("i1", None), row("i2", Some(None)), row("i3", Some(Some(text.to_owned())))];
    let abandon = |reason| UpdateMode::Abandon { reason };
    let add = |name: &str, text: &str| Add::new(far(), NewMessage::user(text).with_id(id(name)));
    vec![
        (
            "a full add",
            Add::new(far(), new("a").after(Seq::new(8)).in_generation(Generation::new(3)))
                .expecting(Revision::new(5))
                .into(),
        ),
        ("an add of 5 KiB", add("five", &large(5 << 10)).into()),
        ("an add of 65 KiB", add("large", &large(LARGE)).into()),
        (
            "a full reserve",
            Reserve::new(far(), reservation.after(Seq::new(8)).in_generation(Generation::new(3)))
                .expecting(Revision::new(5))
                .into(),
        ),
        ("a full append", change(append(text), UpdateMode::Partial).into()),
        ("an append of blocks", change(blocks(), UpdateMode::Partial).into()),
        ("a full edit", change(ContentChange::Replace(content(text)), UpdateMode::Edit).into()),
        (
            "an edit of 65 KiB",
            change(ContentChange::Replace(content(&large(LARGE))), UpdateMode::Edit).into(),
        ),
        ("a full finish", change(blocks(), UpdateMode::Final).into()),
        ("an abandonment without a reason", change(append(text), abandon(None)).into()),
        ("a full abandonment", change(append(text), abandon(Some(text.to_owned()))).only_if_expired().into()),
        (
            "a full update",
            Update::new(t(), id("r"), patch())
                .with_absent(absent())
                .with_attachments(keys())
                .expecting(Revision::new(4))
                .into(),
        ),
        ("an update where absent", Update::setting_absent(far(), id("r"), absent()).into()),
        ("an update without attachments", Update::new(far(), id("r"), patch()).with_attachments([]).into()),
        ("a full delete", Delete::new(far(), id("d")).expecting(Revision::new(4)).after(Seq::new(8)).into()),
        ("a delete of what is damaged", Delete::damaged(far(), id("d")).into()),
        (
            "a full batch",
            Batch::new()
                .after(Seq::new(8))
                .with(Add::new(far(), new("b1")))
                .with(Update::new(far(), id("b1"), patch()).with_attachments([]))
                .with(Delete::new(far(), id("b0")).expecting(Revision::new(2)))
                .with(Add::new(far(), new("b2").in_generation(Generation::new(3))))
                .with(ClearThread::new(far()).expecting(Generation::new(3)))
                .with(ResetSession {
                    agent: id("g"),
                    thread: far(),
                    expected: Some(SessionGeneration::new(2)),
                })
                .into(),
        ),
        ("a full import", Import::new(far(), rows()).expecting([1, 5, 7].map(Revision::new).to_vec()).into()),
        ("a full restoration", Import::restoring(far(), rows()).into()),
    ]
}

fn threads(text: &str) -> Vec<(&'static str, PersistArgs)> {
    let title = |text: &str| Title::new(text).expect("a short title");
    let labels = Labels::new().with("project", "one").expect("a label").with("kind", "two").expect("a label");
    let created = NewThread::new().with_id(far()).with_title(title(text)).with_owner(id("owner"));
    let created = created.with_labels(labels).with_metadata(metadata(text)).created_at(at(7)).hidden();
    let created = created.forked_from(ForkPoint { thread: t(), message: id("r") }).reusing_ids();
    let label = LabelPatch::new().set("project", "two").expect("a label").clear("kind").expect("a label");
    let annotated = MetadataPatch::new().set("annotated", text).expect("a string").clear("cleared");
    let origin = Origin::new().in_turn(id("turn")).item(id("item")).event(id("event"));
    vec![
        ("a full create", CreateThread::new(created).into()),
        ("a full rename", RenameThread::new(far(), title(text)).expecting(title("the former title")).into()),
        ("an archive", ArchiveThread { thread: far(), archived: true }.into()),
        ("an archive undone", ArchiveThread { thread: far(), archived: false }.into()),
        (
            "a full label",
            LabelThread::new(far())
                .with_labels(label)
                .with_owner(Some(id("owner")))
                .with_metadata(annotated)
                .into(),
        ),
        ("an owner taken away", LabelThread::new(far()).with_owner(None).into()),
        ("a publication", PublishThread { thread: far() }.into()),
        ("a rebuild", RebuildThread { thread: far() }.into()),
        ("a full clear", ClearThread::new(far()).expecting(Generation::new(3)).into()),
        (
            "a prune",
            PruneThread { thread: far(), through: Seq::new(6), generation: Generation::new(3), limit: 7 }
                .into(),
        ),
        (
            "a full resolve",
            ResolveId::new(far(), origin)
                .of(Role::User)
                .or_legacy([id::<MessageId>("old")])
                .in_generation(Generation::new(3))
                .into(),
        ),
        ("a full take", TakeLastMessage::new(far()).expecting(Seq::new(8)).into()),
        ("a delete of a thread", DeleteThread { thread: far() }.into()),
        ("a purge", PurgeThread { thread: far(), limit: 7 }.into()),
    ]
}

fn sessions(text: &str) -> Vec<(&'static str, PersistArgs)> {
    let (agent, thread, attempt) = (|| id("g"), far, || id("run"));
    let begin = BeginRun::new(agent(), thread(), claimer()).named(attempt()).assigning(id("session"));
    let begin = begin.in_directory(id("/work")).expecting(SessionRevision::new(6));
    let origin = HandOff { agent: id("other"), thread: thread(), attempt: Some(id("earlier")) };
    let run = AdoptedRun {
        id: attempt(),
        provider: id("p"),
        runtime: Some(runtime()),
        session: Some(id("session")),
        work_dir: Some(id("/work")),
        state: AttemptState::Completed,
        started_at: at(7),
        ended_at: Some(at(8)),
    };
    let pointer = AdoptedPointer {
        session: id("session"),
        provider: id("p"),
        runtime: Some(runtime()),
        work_dir: Some(id("/work")),
    };
    let failed = FailRun {
        agent: agent(),
        thread: thread(),
        attempt: attempt(),
        failure: Failure::Other,
        detail: Some(text.to_owned()),
        report: report(),
    };
    let cleared =
        ClearPointerIf { agent: agent(), thread: thread(), session: id("session"), runtime: Some(runtime()) };
    vec![
        ("a full begin", begin.handed_off(origin).with_lease(Duration::from_secs(90)).into()),
        ("a renewal", RenewRun { agent: agent(), thread: thread(), attempt: attempt() }.into()),
        (
            "a full pin",
            PinSession {
                agent: agent(),
                thread: thread(),
                attempt: attempt(),
                session: id("session"),
                work_dir: Some(id("/work")),
            }
            .into(),
        ),
        (
            "a full confirmation",
            ConfirmRun { agent: agent(), thread: thread(), attempt: attempt(), report: report() }.into(),
        ),
        ("a full failure", failed.into()),
        (
            "a full cancellation",
            CancelRun { agent: agent(), thread: thread(), attempt: attempt(), report: report() }.into(),
        ),
        (
            "a full reset",
            ResetSession { agent: agent(), thread: thread(), expected: Some(SessionGeneration::new(2)) }
                .into(),
        ),
        ("a retirement", RetireSession { agent: agent(), thread: thread(), session: id("session") }.into()),
        ("a full clear of a pointer", cleared.into()),
        (
            "a full adoption",
            AdoptSession { agent: agent(), thread: thread(), pointer: Some(pointer), runs: vec![run] }.into(),
        ),
        ("a dry backfill", BackfillRuntime { agent: agent(), thread: thread(), dry_run: true }.into()),
        ("a reset of an agent", ResetAgent { agent: agent() }.into()),
        ("a drop of an agent", DropAgent { agent: agent() }.into()),
        ("a drop of a runtime", DropRuntime { runtime: id("r") }.into()),
    ]
}

fn claimer() -> Claimer {
    let claimer = Claimer::new(id("p"), runtime()).queued_under(SessionGeneration::new(2));
    let reach = Reach { directory: Directory::Elsewhere, session_missing: true };
    claimer.rerunning(id("earlier")).fresh().reaching(reach)
}

fn of_the_store(text: &str) -> Vec<(&'static str, PersistArgs)> {
    let moved = MoveCursor::new(id("mailer"), Position::new(9)).expecting(Position::new(8));
    let quarantined = QuarantineChange {
        consumer: id("mailer"),
        position: Position::new(9),
        thread: far(),
        why: text.to_owned(),
    };
    let tenant = TenantId::default();
    let image = |part| Image::new(tenant.clone(), part);
    let applied = ApplyImages {
        epoch: Epoch::new(2),
        from: Some(cursor(7)),
        to: cursor(8),
        images: vec![image(ImagePart::Message(Box::new(message(&tenant, far(), "copied", text).into())))],
        position: Position::new(9),
        kept_after: Position::new(2),
    };
    let (primary, replica) = (ReplicationState::PRIMARY, ReplicationState::PRIMARY.as_replica());
    vec![
        ("a full move of a cursor", moved.into()),
        ("a reset of a cursor", ResetCursor::new(id("mailer"), Position::new(3)).into()),
        ("a quarantine", quarantined.into()),
        ("a release", ReleaseChange { consumer: id("mailer"), position: Position::new(9) }.into()),
        ("the begin of a capture", BeginCapture { whole: true }.into()),
        ("a full apply", applied.into()),
        ("a change of the replication state", SetReplicationState::new(primary, replica).into()),
        ("the end of a capture", EndCapture {}.into()),
    ]
}

/// Every read, each with every filter and every bound that it can have.
pub(super) fn reads() -> Vec<(&'static str, PersistArgs)> {
    let page = |from, shown| ReadPage::new(far(), from, 7).with_max_bytes(1 << 16).showing(shown);
    let threads = ListThreads::new(7).of_owner(id("owner")).with_max_bytes(1 << 16).archived();
    let labels = Labels::new().with("project", "one").expect("a label");
    let threads = threads.with_labels(labels).unlisted_too().ordered_by(ThreadOrder::NewestCreated);
    let threads = threads.after(ThreadCursor { order: ThreadOrder::NewestCreated, at: at(7), thread: t() });
    let active = ListThreads::new(7).archived_too();
    let active = active.after(ThreadCursor { order: ThreadOrder::LatestActivity, at: at(7), thread: t() });
    let mut open = ListOpen::new(7).in_thread(far()).expired_only().with_max_bytes(1 << 16);
    open.after = Some(OpenCursor { thread: far(), seq: Seq::new(2) });
    let mut aliases = ListAliases::new(far(), 7).of_message(id("m"));
    aliases.after = Some(AliasCursor { message: id("m"), n: 2 });
    let audit = ReadAudit::new(ChangeScope::Thread(far()), AuditFrom::Before(AuditNumber::new(9)), 7);
    let mut quarantined = ListQuarantined::new(id("mailer"), 7);
    quarantined.after = Position::new(3);
    let mut attempts = ListAttempts::new(id("g"), far(), 7).with_max_bytes(1 << 16);
    attempts.before = Some(9);
    let find = FindMessages::new("memo", "early", 7)
        .in_thread(far())
        .ordered(FindOrder::OldestFirst)
        .showing(Visibility::All)
        .after(FindCursor { created_at: at(6), thread: far(), seq: Seq::new(2) })
        .with_max_bytes(1 << 16);
    vec![
        ("a get", GetMessage { thread: far(), id: id("m") }.into()),
        (
            "a tail read",
            ReadContent::new(far(), id("m"), Some("2.31.4".parse().expect("a cursor"))).with_limit(77).into(),
        ),
        ("the first page", page(PageFrom::Start, Visibility::All).into()),
        ("a page forwards", page(PageFrom::After(Seq::new(2)), Visibility::Settled).into()),
        ("the last page", page(PageFrom::End, Visibility::All).into()),
        ("a page backwards", page(PageFrom::Before(Seq::new(9)), Visibility::Final).into()),
        ("open reservations", open.into()),
        ("a thread", GetThread { thread: far() }.into()),
        ("threads by creation", threads.into()),
        ("threads by activity", active.into()),
        (
            "a plan of a prune",
            PlanPrune { thread: far(), keep: Keep::everything().messages(3).bytes(9).since(at(7)) }.into(),
        ),
        ("purgeable threads", ListPurgeable { after: Some(t()), limit: 7 }.into()),
        ("tenants", ListTenants { after: Some(id("acme")), limit: 7 }.into()),
        ("changes of a thread", ReadChanges::new(ChangeScope::Thread(far()), Position::new(3), 7).into()),
        ("changes of a tenant", ReadChanges::new(ChangeScope::Tenant, Position::new(3), 7).into()),
        ("audit entries", audit.with_max_bytes(1 << 16).into()),
        ("a search of a thread", SearchMessages::new("early lat*", 7).in_thread(far()).into()),
        ("a search", SearchMessages::new("early lat*", 7).into()),
        ("a find", find.into()),
        ("a cursor", GetCursor { consumer: id("mailer") }.into()),
        ("quarantined changes", quarantined.into()),
        ("aliases", aliases.into()),
        ("a resolution", ResolveSession { agent: id("g"), thread: far(), claimer: claimer() }.into()),
        ("attempts", attempts.into()),
        ("images", ReadImages::new(cursor(7), 7).into()),
        ("the replication status", GetReplicationStatus {}.into()),
    ]
}

/// The name of an operation; for a family, that of the operation in it.
pub(super) fn name_of(args: &PersistArgs) -> &'static str {
    match args {
        PersistArgs::Thread(thread) => thread.as_str(),
        PersistArgs::Read(read) => read.as_str(),
        PersistArgs::Consumer(consumer) => consumer.as_str(),
        PersistArgs::Session(session) => session.as_str(),
        PersistArgs::Replica(replica) => replica.as_str(),
        other => other.kind().as_str(),
    }
}
