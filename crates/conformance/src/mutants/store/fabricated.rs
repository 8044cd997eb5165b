//! Answers that no store gave.

use throughline_core::{
    Content, Message, MessageState, Metadata, PersistArgs, PersistResponse, PersistResult, Position,
    Revision, Role, Seq, TenantId, ThreadId, Timestamp,
    backend::ThreadStats,
    messages::{
        Added, Batched, ContentUpdated, Deleted, GetMessage, Imported, ImportedRow, Reserved, Updated,
    },
    operations::Addressed as _,
    pipeline::{Extensions, Receipt},
    threads::{Generation, ThreadChanged, ThreadSummary},
};

pub(super) fn response(result: PersistResult, receipt: Receipt) -> PersistResponse {
    PersistResponse { result, receipt, extensions: Extensions::new() }
}

pub(super) fn applied(result: PersistResult) -> PersistResponse {
    response(result, Receipt::at(Position::FIRST))
}

pub(super) fn added(message: Message) -> PersistResponse {
    applied(Added { message, deduplicated: false }.into())
}

/// The answer to a heartbeat.
pub(super) fn renewed(message: &Message) -> PersistResponse {
    let (thread, id) = (message.thread.clone(), message.id.clone());
    let (revision, state) = (message.revision, message.state);
    applied(ContentUpdated { thread, id, revision, state, deduplicated: false }.into())
}

/// A change of what is not there, as if it had been.
pub(super) fn done(asked: &PersistArgs) -> Option<PersistResponse> {
    let (revision, state, deduplicated) = (Revision::FIRST, MessageState::Final, false);
    let result: PersistResult = match asked {
        PersistArgs::UpdateContent(update) => {
            let (thread, id) = (update.thread.clone(), update.id.clone());
            ContentUpdated { thread, id, revision, state, deduplicated }.into()
        }
        PersistArgs::Update(update) => {
            let (thread, id) = (update.thread.clone(), update.id.clone());
            let (metadata, attachments, kept) = (Metadata::new(), Vec::new(), Vec::new());
            Updated { thread, id, seq: Seq::FIRST, metadata, kept, attachments, revision, deduplicated }
                .into()
        }
        PersistArgs::Delete(delete) => {
            let (thread, id) = (delete.thread.clone(), delete.id.clone());
            Deleted { thread, id, seq: Seq::FIRST, revision, state, attachments: Vec::new(), deduplicated }
                .into()
        }
        _ => return None,
    };
    Some(applied(result))
}

/// An entry of a thread that was just created.
pub(super) fn entry(tenant: &TenantId, thread: &ThreadId, now: Timestamp) -> ThreadSummary {
    ThreadStats::implied(now).entry(tenant, thread, Generation::FIRST, Seq::ZERO)
}

/// A write to a thread that takes none, as if it did.
pub(super) fn taken(tenant: &TenantId, asked: &PersistArgs, now: Timestamp) -> Option<PersistResponse> {
    let result: PersistResult = match asked {
        PersistArgs::Add(add) => {
            Added { message: add.to_message(tenant, Seq::FIRST, now), deduplicated: false }.into()
        }
        PersistArgs::Reserve(reserve) => {
            Reserved { message: reserve.to_message(tenant, Seq::FIRST, now), deduplicated: false }.into()
        }
        PersistArgs::Import(import) => {
            let rows = vec![ImportedRow::Gone; import.rows.len()];
            Imported { thread: import.thread.clone(), rows, deduplicated: false }.into()
        }
        PersistArgs::Thread(args) => {
            let entry = entry(tenant, args.thread()?, now);
            args.changed(ThreadChanged { summary: entry, deduplicated: false })?.into()
        }
        PersistArgs::Batch(batch) => {
            let outputs = batch.items.iter().map(|item| Some(taken(tenant, item, now)?.result));
            Batched { outputs: outputs.collect::<Option<_>>()?, deduplicated: false }.into()
        }
        other => return done(other),
    };
    Some(applied(result))
}

/// An empty message.
pub(super) fn nothing_said(asked: &GetMessage) -> Message {
    let never = Timestamp::from_micros(0);
    Message {
        tenant: TenantId::default(),
        thread: asked.thread.clone(),
        id: asked.id.clone(),
        seq: Seq::FIRST,
        role: Role::User,
        state: MessageState::Final,
        revision: Revision::FIRST,
        content: Content::empty(),
        metadata: Metadata::new(),
        attachments: Vec::new(),
        abandon_reason: None,
        lease: None,
        created_at: never,
        updated_at: never,
    }
}
