use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    ErrorKind, Lease, Message, MessageId, MessageState, PersistArgs, PersistError, PersistResult, Result,
    Revision, Seq, TenantId, ThreadId, Timestamp,
    operation::{
        Added, Addressed as _, Batch, Batched, ContentUpdated, Deleted, Imported, ImportedRow, Pruned,
        Purged, Reserved, ResolvedBy, ResolvedId, SessionResult, TakenMessage, ThreadArgs, ThreadChanged,
        ThreadDeleted, ThreadResult, Updated,
    },
    thread::ThreadSummary,
};

/// The record under an idempotency key, next to the fingerprint. It is sufficient to answer a repeated call like the first one,
/// and has no copy of content.
///
/// Equal fingerprints prove that the repeated call has the same content. An [`Add`](crate::operation::Add) or a
/// [`Reserve`](crate::operation::Reserve) is therefore answered from the call itself. Only the answer to an
/// [`Update`](crate::operation::Update), the whole metadata, is read from the message in its current state.
///
/// ```
/// use throughline_core::backend::Replay;
///
/// let kept = r#"{"add":{"id":"m-1","seq":3,"at":1700000000000000}}"#;
/// let replay: Replay = serde_json::from_str(kept)?;
/// assert_eq!(serde_json::to_string(&replay)?, kept);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Replay {
    /// Of an [`Add`](crate::operation::Add).
    Add {
        /// The id of the first call.
        id: MessageId,
        /// The sequence number of the message.
        seq: Seq,
        /// The time of creation.
        at: Timestamp,
    },
    /// Of a [`Reserve`](crate::operation::Reserve).
    Reserve {
        /// The id of the first call.
        id: MessageId,
        /// The sequence number of the message.
        seq: Seq,
        /// The time of creation.
        at: Timestamp,
        /// The expiry of its first lease.
        expires_at: Timestamp,
    },
    /// Of an [`UpdateContent`](crate::operation::UpdateContent).
    UpdateContent {
        /// The revision after the call.
        revision: Revision,
        /// The state after the call.
        state: MessageState,
    },
    /// Of an [`Update`](crate::operation::Update).
    Update,
    /// Of a [`Delete`](crate::operation::Delete).
    Delete(Deleted),
    /// Of an [`Import`](crate::operation::Import).
    Import(Vec<ImportedRow>),
    /// Of an operation that returns a thread summary.
    Thread,
    /// Of a [`PruneThread`](crate::operation::PruneThread).
    Prune(Pruned),
    /// Of a [`DeleteThread`](crate::operation::DeleteThread).
    DeleteThread(ThreadDeleted),
    /// Of a [`PurgeThread`](crate::operation::PurgeThread).
    Purge(Purged),
    /// Of a [`ResolveId`](crate::operation::ResolveId).
    Resolve(ResolvedId),
    /// Of a [`TakeLastMessage`](crate::operation::TakeLastMessage): the facts of the deletion, without the message.
    TakeLast(Option<Deleted>),
    /// Of an operation on agent sessions. Its answer has ids and times, and no content.
    Session(Box<SessionResult>),
    /// Of a [`Batch`](crate::operation::Batch), item by item.
    Batch(Vec<Self>),
}

/// The current rows of a store, for answers that depend on them.
pub trait LookUp {
    /// Returns a message in its current state.
    ///
    /// # Errors
    /// The error of the read.
    fn message(&mut self, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>>;

    /// Returns the summary of a thread.
    ///
    /// # Errors
    /// The error of the read.
    fn thread(&mut self, thread: &ThreadId) -> Result<Option<ThreadSummary>>;
}

fn misfit() -> PersistError {
    PersistError::new(ErrorKind::Corrupt, "the record under the idempotency key does not fit the call")
}

impl Replay {
    /// Returns the record for a write that the store is about to commit.
    ///
    /// # Panics
    /// If `result` answers a read, a consumer operation or a replication operation, which take no key.
    #[must_use]
    pub fn of(result: &PersistResult) -> Self {
        match result {
            PersistResult::Add(Added { message, .. }) => {
                Self::Add { id: message.id.clone(), seq: message.seq, at: message.created_at }
            }
            PersistResult::Reserve(Reserved { message, .. }) => Self::Reserve {
                id: message.id.clone(),
                seq: message.seq,
                at: message.created_at,
                expires_at: message.lease.map_or(message.created_at, |lease| lease.expires_at),
            },
            PersistResult::UpdateContent(ContentUpdated { revision, state, .. }) => {
                Self::UpdateContent { revision: *revision, state: *state }
            }
            PersistResult::Update(_) => Self::Update,
            PersistResult::Delete(deleted) => Self::Delete(deleted.clone()),
            PersistResult::Batch(batched) => Self::Batch(batched.outputs.iter().map(Self::of).collect()),
            PersistResult::Import(imported) => Self::Import(imported.rows.clone()),
            PersistResult::Thread(ThreadResult::Prune(pruned)) => Self::Prune(pruned.clone()),
            PersistResult::Thread(ThreadResult::Delete(deleted)) => Self::DeleteThread(deleted.clone()),
            PersistResult::Thread(ThreadResult::Purge(purged)) => Self::Purge(purged.clone()),
            PersistResult::Thread(ThreadResult::Resolve(resolved)) => Self::Resolve(resolved.clone()),
            PersistResult::Thread(ThreadResult::TakeLast(taken)) => Self::TakeLast(taken.deleted.clone()),
            PersistResult::Thread(
                ThreadResult::Create(_)
                | ThreadResult::Rename(_)
                | ThreadResult::Archive(_)
                | ThreadResult::Label(_)
                | ThreadResult::Publish(_)
                | ThreadResult::Rebuild(_)
                | ThreadResult::Clear(_),
            ) => Self::Thread,
            PersistResult::Session(session) => Self::Session(Box::new(session.clone())),
            PersistResult::Read(_) | PersistResult::Consumer(_) | PersistResult::Replica(_) => {
                panic!("a read has no idempotency key, and neither has what a consumer keeps")
            }
        }
    }

    /// Answers the repeated call `args` like the first one, with `deduplicated: true`.
    ///
    /// # Errors
    /// `Gone` if a patched message was deleted since; `Corrupt` if the record does not fit the call although the fingerprints are
    /// equal; and the errors of `look_up`.
    pub fn answer(
        &self,
        tenant: &TenantId,
        args: &PersistArgs,
        look_up: &mut dyn LookUp,
    ) -> Result<PersistResult> {
        Ok(match (self, args) {
            (Self::Add { id, seq, at }, PersistArgs::Add(add)) => {
                let message =
                    Message { id: id.clone(), created_at: *at, ..add.to_message(tenant, *seq, *at) };
                Added { message, deduplicated: true }.into()
            }
            (Self::Reserve { id, seq, at, expires_at }, PersistArgs::Reserve(reserve)) => {
                let message = reserve.to_message(tenant, *seq, *at);
                let lease = message.lease.map(|lease| Lease { expires_at: *expires_at, ..lease });
                let message = Message { id: id.clone(), created_at: *at, lease, ..message };
                Reserved { message, deduplicated: true }.into()
            }
            (Self::UpdateContent { revision, state }, PersistArgs::UpdateContent(update)) => ContentUpdated {
                thread: update.thread.clone(),
                id: update.id.clone(),
                revision: *revision,
                state: *state,
                deduplicated: true,
            }
            .into(),
            (Self::Update, PersistArgs::Update(update)) => {
                let Some(message) = look_up.message(&update.thread, &update.id)? else {
                    return Err(PersistError::new(
                        ErrorKind::Gone,
                        "the patch was applied, and the message has been deleted since",
                    )
                    .about(&update.thread, &update.id));
                };
                Updated {
                    thread: message.thread,
                    id: message.id,
                    metadata: message.metadata,
                    attachments: message.attachments,
                    revision: message.revision,
                    deduplicated: true,
                }
                .into()
            }
            (Self::Delete(deleted), PersistArgs::Delete(_)) => {
                Deleted { deduplicated: true, ..deleted.clone() }.into()
            }
            (Self::Import(rows), PersistArgs::Import(import)) if rows.len() == import.rows.len() => {
                Imported { thread: import.thread.clone(), rows: rows.clone(), deduplicated: true }.into()
            }
            (Self::Thread, PersistArgs::Thread(args)) => {
                let thread = args.thread().expect("every operation on a thread names it");
                let Some(entry) = look_up.thread(thread)? else {
                    let detail = "the call was applied, and the thread has been deleted since";
                    return Err(PersistError::new(ErrorKind::Gone, detail));
                };
                match args.changed(ThreadChanged { summary: entry, deduplicated: true }) {
                    Some(result) => result.into(),
                    None => return Err(misfit()),
                }
            }
            (Self::Prune(pruned), PersistArgs::Thread(ThreadArgs::Prune(_))) => {
                ThreadResult::Prune(Pruned { deduplicated: true, ..pruned.clone() }).into()
            }
            (Self::DeleteThread(deleted), PersistArgs::Thread(ThreadArgs::Delete(_))) => {
                ThreadResult::Delete(ThreadDeleted { deduplicated: true, ..deleted.clone() }).into()
            }
            (Self::Purge(purged), PersistArgs::Thread(ThreadArgs::Purge(_))) => {
                ThreadResult::Purge(Purged { deduplicated: true, ..purged.clone() }).into()
            }
            (Self::Resolve(resolved), PersistArgs::Thread(ThreadArgs::Resolve(_))) => {
                ThreadResult::Resolve(ResolvedId { deduplicated: true, ..resolved.clone() }).into()
            }
            (Self::TakeLast(deleted), PersistArgs::Thread(ThreadArgs::TakeLast(take))) => {
                let taken = TakenMessage {
                    thread: take.thread.clone(),
                    deleted: deleted.clone(),
                    message: None,
                    deduplicated: true,
                };
                ThreadResult::TakeLast(taken).into()
            }
            (Self::Session(session), PersistArgs::Session(args)) if session.as_str() == args.as_str() => {
                SessionResult::clone(session).replayed().into()
            }
            (Self::Batch(items), PersistArgs::Batch(batch)) if items.len() == batch.items.len() => {
                Batched { outputs: Self::answer_items(items, batch, tenant, look_up)?, deduplicated: true }
                    .into()
            }
            _ => return Err(misfit()),
        })
    }

    fn answer_items(
        items: &[Self],
        batch: &Batch,
        tenant: &TenantId,
        look_up: &mut dyn LookUp,
    ) -> Result<Vec<PersistResult>> {
        // The repeated call generated other ids; its later items must address the messages of the first call.
        let renamed: HashMap<&MessageId, &MessageId> = items
            .iter()
            .zip(&batch.items)
            .filter_map(|(item, args)| match item {
                Self::Add { id, .. } | Self::Reserve { id, .. } => {
                    args.minted_id().map(|minted| (minted, id))
                }
                Self::Resolve(resolved) if resolved.by == ResolvedBy::Fresh => match args {
                    PersistArgs::Thread(ThreadArgs::Resolve(asked)) => Some((&asked.fresh, &resolved.id)),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        let answer = |(item, args): (&Self, &PersistArgs)| {
            let mut args = args.clone();
            if let Some(id) = args.message_mut()
                && let Some(first) = renamed.get(&*id)
            {
                *id = (*first).clone();
            }
            item.answer(tenant, &args, look_up)
        };
        items.iter().zip(&batch.items).map(answer).collect()
    }
}
