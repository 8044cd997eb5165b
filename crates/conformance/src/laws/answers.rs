//! Answers to reads with a value in every field.

use throughline_core::{
    Content, Delta, Labels, MessageState, PersistResult, Position, ReadArgs, ReadResult, Revision, Role, Seq,
    TenantId, ThreadId, Title,
    audit::{AuditNumber, AuditPage},
    changes::{
        Change, ChangeKind, ChangedMessage, Changes, ConsumerCursor, QuarantinedChange, QuarantinedChanges,
    },
    messages::{
        Alias, AliasCursor, Aliases, ContentCursor, ContentTail, DamagedMessage, FindCursor, FoundMessages,
        OpenCursor, OpenReservations, Origin, Page,
    },
    replication::{Image, ImagePart, Images, ReplicationState, ReplicationStatus},
    search::{SearchHit, SearchHits},
    sessions::{
        Attempt, AttemptState, Attempts, HandOff, Resolution, SessionGeneration, SessionResolved,
        SessionRevision,
    },
    threads::{
        ForkPoint, Generation, PrunePlan, PurgeableThreads, Tenants, ThreadCursor, ThreadList, ThreadSummary,
    },
};

use super::every_field::{at, cursor, far, id, message, metadata, runtime};

/// The answer of a store in which `text` is everywhere; another one for another `number`.
pub(super) fn answer(asked: &ReadArgs, tenant: &TenantId, text: &str, number: u64) -> PersistResult {
    let thread = || asked_thread(asked);
    let shown = |name: &str| message(tenant, thread(), name, &format!("{text} {number}"));
    let damaged =
        || vec![DamagedMessage { thread: thread(), seq: Some(Seq::new(number)), id: Some(id("bad")) }];
    let position = Position::new(20 + number);
    let answer = match asked {
        ReadArgs::Get(get) => ReadResult::Get(Some(message(
            tenant,
            get.thread.clone(),
            get.id.as_str(),
            &format!("{text} {number}"),
        ))),
        ReadArgs::Content(read) => ReadResult::Content(Some(ContentTail {
            thread: thread(),
            id: read.id.clone(),
            seq: Seq::new(4),
            state: MessageState::Streaming,
            revision: Revision::new(number),
            replaced: true,
            parts: vec![Delta::text(format!("{text} {number}")), Delta::Blocks(Content::text(text))],
            next: ContentCursor::new(Revision::new(2), 31, Revision::new(number)),
            has_more: true,
        })),
        ReadArgs::Page(_) => ReadResult::Page(Page {
            thread: thread(),
            messages: vec![shown("m")],
            damaged: damaged(),
            has_more: true,
            first_open: Some(Seq::new(3)),
            last_seq: Seq::new(9),
            position,
        }),
        ReadArgs::OpenReservations(_) => ReadResult::OpenReservations(OpenReservations {
            messages: vec![shown("m")],
            damaged: damaged(),
            next: Some(OpenCursor { thread: thread(), seq: Seq::new(7) }),
        }),
        ReadArgs::Thread(_) => ReadResult::Thread(Some(entry(tenant, thread(), text, number))),
        ReadArgs::Threads(list) => ReadResult::Threads(ThreadList {
            threads: vec![entry(tenant, thread(), text, number)],
            damaged: vec![id("a-damaged-thread")],
            next: Some(ThreadCursor { order: list.order, at: at(8), thread: thread() }),
            position,
        }),
        ReadArgs::PlanPrune(_) => ReadResult::PlanPrune(PrunePlan {
            thread: thread(),
            generation: Generation::new(3),
            through: Some(Seq::new(6)),
            messages: number,
            bytes: 9,
        }),
        ReadArgs::Purgeable(_) => {
            ReadResult::Purgeable(PurgeableThreads { threads: vec![id(&format!("p{number}"))] })
        }
        ReadArgs::Tenants(_) => ReadResult::Tenants(Tenants { tenants: vec![id(&format!("t{number}"))] }),
        ReadArgs::Changes(_) => {
            let message = ChangedMessage { id: id("m"), seq: Seq::new(4), revision: Revision::new(number) };
            ReadResult::Changes(Changes {
                changes: vec![Change {
                    position,
                    tenant: tenant.clone(),
                    thread: thread(),
                    at: at(7),
                    kind: ChangeKind::Added(message),
                }],
                position,
                more: true,
            })
        }
        ReadArgs::Audit(_) => ReadResult::Audit(AuditPage {
            entries: Vec::new(),
            damaged: vec![AuditNumber::new(4)],
            reached: AuditNumber::new(4),
            more: true,
            written: AuditNumber::new(9),
            position,
        }),
        ReadArgs::Search(_) => ReadResult::Search(SearchHits {
            hits: vec![SearchHit {
                thread: thread(),
                id: id("m"),
                seq: Seq::new(4),
                role: Role::User,
                created_at: at(7),
                snippet: format!("early {text} {number}"),
                marks: vec![(0, 5)],
            }],
            damaged: vec![thread()],
            indexed: position,
            terminated_early: true,
        }),
        ReadArgs::Find(_) => ReadResult::Find(FoundMessages {
            messages: vec![shown("m")],
            damaged: damaged(),
            next: Some(FindCursor { created_at: at(7), thread: thread(), seq: Seq::new(7) }),
        }),
        ReadArgs::Cursor(asked) => ReadResult::Cursor(ConsumerCursor {
            consumer: asked.consumer.clone(),
            position,
            quarantined: number,
        }),
        ReadArgs::Quarantined(asked) => ReadResult::Quarantined(QuarantinedChanges {
            consumer: asked.consumer.clone(),
            changes: vec![QuarantinedChange { position, thread: thread(), at: at(7), why: text.to_owned() }],
            more: true,
        }),
        ReadArgs::Aliases(_) => ReadResult::Aliases(Aliases {
            thread: thread(),
            aliases: vec![Alias {
                message: id("m"),
                role: Role::User,
                origin: Origin::new().in_turn(id("turn")),
            }],
            next: Some(AliasCursor { message: id("m"), n: number }),
        }),
        ReadArgs::Resolve(asked) => ReadResult::Resolve(SessionResolved {
            agent: asked.agent.clone(),
            thread: thread(),
            resolution: Resolution {
                session: Some(id("session")),
                work_dir: Some(id("/work")),
                withheld: None,
                gap: None,
                generation: SessionGeneration::new(2),
                revision: SessionRevision::new(number),
                binding: None,
            },
        }),
        ReadArgs::Attempts(asked) => ReadResult::Attempts(Attempts {
            agent: asked.agent.clone(),
            thread: thread(),
            attempts: vec![attempt(text, number)],
            more: true,
        }),
        ReadArgs::Images(_) => ReadResult::Images(Images {
            images: vec![Image::new(tenant.clone(), ImagePart::Message(Box::new(shown("m").into())))],
            cursor: cursor(8),
            more: true,
            position,
            kept_after: Position::new(2),
            damaged: vec!["a row".to_owned()],
            at: at(7),
        }),
        ReadArgs::ReplicationStatus(_) => ReadResult::ReplicationStatus(ReplicationStatus {
            replication_state: ReplicationState::PRIMARY,
            cursor: Some(cursor(8)),
            position,
            is_empty: false,
        }),
        other => unreachable!("`{}` is a read that the kit does not know", other.as_str()),
    };
    answer.into()
}

fn asked_thread(asked: &ReadArgs) -> ThreadId {
    use throughline_core::operations::Addressed as _;
    asked.thread().cloned().unwrap_or_else(far)
}

fn entry(tenant: &TenantId, thread: ThreadId, text: &str, number: u64) -> ThreadSummary {
    ThreadSummary {
        tenant: tenant.clone(),
        thread,
        title: Title::new(text).expect("a short title"),
        owner: Some(id("owner")),
        labels: Labels::new().with("project", "one").expect("a label"),
        metadata: metadata(text),
        archived: true,
        listed: true,
        reuses_ids: true,
        generation: Generation::new(3),
        last_seq: Seq::new(9),
        forked_from: Some(Box::new(ForkPoint { thread: id("t"), message: id("r") })),
        preview: Some(text.to_owned()),
        messages: number,
        turns: 2,
        bytes: 9,
        created_at: at(7),
        active_at: at(8),
        updated_at: at(9),
    }
}

fn attempt(text: &str, number: u64) -> Attempt {
    Attempt {
        id: id("run"),
        number,
        generation: SessionGeneration::new(2),
        provider: id("p"),
        runtime: Some(runtime()),
        resumes: Some(id("session")),
        assigned: Some(id("session")),
        session: Some(id("session")),
        work_dir: Some(id("/work")),
        rerun_of: Some(id("earlier")),
        origin: Some(HandOff { agent: id("other"), thread: id("t"), attempt: Some(id("earlier")) }),
        state: AttemptState::Completed,
        detail: Some(text.to_owned()),
        started_at: at(7),
        ended_at: Some(at(8)),
    }
}
