use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    Added, Batch, Batched, ContentUpdated, Deleted, ErrorKind, Lease, Message, MessageId, MessageState,
    PersistArgs, PersistError, PersistResult, Reserved, Result, Revision, Seq, TenantId, ThreadId, Timestamp,
    Updated,
};

/// What a store keeps under an idempotency key, beside the fingerprint: enough to answer a repeated call as the first
/// one was answered, and no copy of any content.
///
/// The equal fingerprint says that the repeated call carries the same content, so an [`Add`](crate::Add) or a
/// [`Reserve`](crate::Reserve) is answered from the call itself. Only the answer to an [`Update`](crate::Update),
/// which is the whole metadata, is read from the message as it stands.
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
    /// Of an [`Add`](crate::Add).
    Add {
        /// The id of the first call.
        id: MessageId,
        /// The place it was given.
        seq: Seq,
        /// When it was created.
        at: Timestamp,
    },
    /// Of a [`Reserve`](crate::Reserve).
    Reserve {
        /// The id of the first call.
        id: MessageId,
        /// The place it was given.
        seq: Seq,
        /// When it was created.
        at: Timestamp,
        /// When its first lease was to expire.
        expires_at: Timestamp,
    },
    /// Of an [`UpdateContent`](crate::UpdateContent).
    UpdateContent {
        /// The revision after it.
        revision: Revision,
        /// The state after it.
        state: MessageState,
    },
    /// Of an [`Update`](crate::Update).
    Update,
    /// Of a [`Delete`](crate::Delete).
    Delete(Deleted),
    /// Of a [`Batch`](crate::Batch), item by item.
    Batch(Vec<Self>),
}

impl Replay {
    /// What to keep of a write that is about to be committed.
    ///
    /// # Panics
    /// When `result` answers a read, which has no key.
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
            PersistResult::Read(_) => panic!("a read has no idempotency key"),
        }
    }

    /// Answers the repeated call `args` as the first one was answered, with `deduplicated: true`. `look_up` reads a
    /// message as it stands.
    ///
    /// # Errors
    /// `Gone` when a patched message has been deleted since; `Corrupt` when the record does not fit the call,
    /// although the fingerprints are equal; what `look_up` answers.
    pub fn answer(
        &self,
        tenant: &TenantId,
        args: &PersistArgs,
        look_up: &mut dyn FnMut(&ThreadId, &MessageId) -> Result<Option<Message>>,
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
                let Some(message) = look_up(&update.thread, &update.id)? else {
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
            (Self::Batch(items), PersistArgs::Batch(batch)) if items.len() == batch.items.len() => {
                Batched { outputs: Self::answer_items(items, batch, tenant, look_up)?, deduplicated: true }
                    .into()
            }
            _ => {
                return Err(PersistError::new(
                    ErrorKind::Corrupt,
                    "what is kept under the idempotency key does not fit the call",
                ));
            }
        })
    }

    fn answer_items(
        items: &[Self],
        batch: &Batch,
        tenant: &TenantId,
        look_up: &mut dyn FnMut(&ThreadId, &MessageId) -> Result<Option<Message>>,
    ) -> Result<Vec<PersistResult>> {
        // The repeated call has made up other ids; what it says of them is about the messages of the first one.
        let renamed: HashMap<&MessageId, &MessageId> = items
            .iter()
            .zip(&batch.items)
            .filter_map(|(item, args)| match item {
                Self::Add { id, .. } | Self::Reserve { id, .. } => {
                    args.minted_id().map(|minted| (minted, id))
                }
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
