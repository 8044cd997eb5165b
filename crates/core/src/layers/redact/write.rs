//! A write on its way down, and what its answer means for the messages that are being written.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::OwnedMutexGuard;

use super::{
    Redactions, Redactor,
    continued::{Continued, change_of, raises},
    layer::Shared,
    off_runtime,
    open::{Key, Slot},
};
use crate::{
    Addressed as _, CarriesContent as _, Context, Effect, ErrorKind, HeldBack, MessageId, PersistArgs,
    PersistError, PersistRequest, PersistResponse, PersistResult, Reserve, Result, TenantId, ThreadArgs,
    UpdateContent,
    pipeline::{Inner, PersistService},
};

pub(super) struct Write<S> {
    inner: Inner<S>,
    shared: Arc<Shared>,
}

/// The messages that a call changes the content of, each locked, in the order of their ids.
type Messages = BTreeMap<Key, (OwnedMutexGuard<Slot>, Continued)>;

impl<S: PersistService<Error = PersistError>> Write<S> {
    pub(super) const fn new(inner: Inner<S>, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    pub(super) async fn run(self, request: PersistRequest) -> Result<PersistResponse> {
        let PersistRequest { args, context } = request;
        let messages = self.open(&context, &args).await?;
        let (args, mut messages, mut found) = self.redacted(&context, args, messages).await?;
        let subjects: Vec<Subject> = args.each().map(|item| Subject::of(context.tenant(), item)).collect();
        for (key, (slot, message)) in &mut messages {
            let raises = subjects.iter().filter(|subject| subject.raises(key)).count() as u64;
            **slot = message.in_doubt(raises, context.idempotency());
        }
        let answer = self.inner.pass(PersistRequest { args, context: context.clone() }).await;
        match answer {
            Ok(mut response) => {
                self.made(&response.result, messages, &subjects, &mut response.extensions);
                if !found.is_empty() && !response.result.is_deduplicated() {
                    self.shared.hidden(&context, &found);
                    if let Some(further) = response.extensions.get::<Redactions>() {
                        found.add(further);
                    }
                    response.extensions.insert(found);
                }
                Ok(response)
            }
            Err(error) => {
                if error.effect() == Effect::NotApplied {
                    self.refused(&error, messages);
                }
                Err(error)
            }
        }
    }

    /// Takes the turn on every message whose content changes, and reads what has to be known of it.
    async fn open(&self, context: &Context, args: &PersistArgs) -> Result<Messages> {
        let mut messages = Messages::new();
        let mut keys: Vec<Key> =
            args.each().filter_map(change_of).map(|update| key(context.tenant(), update)).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let slot = self.shared.open.lock(&key).await;
            let is_made_here = args.each().any(|item| match item {
                PersistArgs::Reserve(reserve) => reserve.thread == key.1 && reserve.id == key.2,
                _ => false,
            });
            let changes = || {
                let mine = |update: &&UpdateContent| update.thread == key.1 && update.id == key.2;
                args.each().filter_map(change_of).filter(mine)
            };
            let mut message = match Continued::of(&slot) {
                before if is_made_here => {
                    // A replay or a refusal leaves it as it is, if it is there already.
                    let mut message = match before {
                        Some(known) => known,
                        None => {
                            let stored = self.inner.message(context, &key.1, &key.2).await?;
                            Continued::resolved(&slot, stored.as_ref(), context.idempotency())
                        }
                    };
                    message.before = message.known.clone();
                    message.begin();
                    message
                }
                Some(mut message) => {
                    if message.has_to_be_read(changes()) {
                        let stored = self.inner.message(context, &key.1, &key.2).await?;
                        message.read(&self.shared.redactor, stored.as_ref());
                    }
                    message
                }
                None => {
                    let stored = self.inner.message(context, &key.1, &key.2).await?;
                    let mut message = Continued::resolved(&slot, stored.as_ref(), context.idempotency());
                    if message.has_to_be_read(changes()) {
                        message.read(&self.shared.redactor, stored.as_ref());
                    }
                    message
                }
            };
            if !is_made_here {
                message.before = message.known.clone();
            }
            messages.insert(key, (slot, message));
        }
        Ok(messages)
    }

    /// Hides the secrets of every content field; a long call does it off the runtime's workers.
    async fn redacted(
        &self,
        context: &Context,
        mut args: PersistArgs,
        mut messages: Messages,
    ) -> Result<(PersistArgs, Messages, Redactions)> {
        let (shared, tenant) = (Arc::clone(&self.shared), context.tenant().clone());
        let bytes = args.places().iter().map(|place| place.slot.byte_len()).sum();
        off_runtime::run(bytes, move || {
            let mut found = Redactions::new();
            redact(&shared.redactor, &tenant, &mut args, &mut messages, &mut found)?;
            Ok((args, messages, found))
        })
        .await
    }

    /// Takes note of what was made.
    fn made(
        &self,
        result: &PersistResult,
        mut messages: Messages,
        subjects: &[Subject],
        extensions: &mut crate::Extensions,
    ) {
        let replayed = result.is_deduplicated();
        let single = std::slice::from_ref(result);
        let outputs = match result {
            PersistResult::Batch(batched) => &batched.outputs[..],
            _ => single,
        };
        for (subject, output) in subjects.iter().zip(outputs) {
            match (subject, output) {
                (Subject::Reserved(key), PersistResult::Reserve(reserved))
                    if !replayed && !messages.contains_key(key) =>
                {
                    self.shared.open.begin(key, reserved.message.revision);
                }
                (Subject::Changed { key, .. }, PersistResult::UpdateContent(updated)) => {
                    if let Some((_, message)) = messages.get_mut(key) {
                        message.settled |= !updated.state.is_open();
                        if let Some(known) = &mut message.known {
                            known.revision = updated.revision;
                        }
                    }
                }
                (Subject::Deleted(key), _) => {
                    self.shared.open.forget(key);
                    if let Some((_, message)) = messages.get_mut(key) {
                        message.settled = true;
                    }
                }
                (Subject::Emptied(tenant, thread), _) => self.shared.open.forget_thread(tenant, thread),
                _ => {}
            }
        }
        let mut held = 0;
        for (key, (mut slot, message)) in messages {
            let known = if replayed && !message.is_again { message.before } else { message.known };
            match known.filter(|_| !message.settled) {
                Some(known) => {
                    held += known.stream.held();
                    *slot = Slot::Known(known);
                }
                None => {
                    *slot = Slot::Unknown;
                    self.shared.open.forget(&key);
                }
            }
        }
        if held > 0 {
            extensions.insert(HeldBack(held));
        }
    }

    /// Nothing was applied: everything is as it was.
    fn refused(&self, error: &PersistError, messages: Messages) {
        let is_gone = |id: &MessageId| {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Gone) && error.message() == Some(id)
        };
        for (key, (mut slot, message)) in messages {
            match message.before {
                Some(before) if !is_gone(&key.2) => *slot = Slot::Known(before),
                _ => {
                    *slot = Slot::Unknown;
                    self.shared.open.forget(&key);
                }
            }
        }
    }
}

/// Hides the secrets of every content field.
fn redact(
    redactor: &Redactor,
    tenant: &TenantId,
    args: &mut PersistArgs,
    messages: &mut Messages,
    found: &mut Redactions,
) -> Result<()> {
    let mut one = |item: &mut PersistArgs| {
        redactor.places(item, found)?;
        if let PersistArgs::UpdateContent(update) = item
            && let Some((_, message)) = messages.get_mut(&key(tenant, update))
        {
            message.change(redactor, update, found)?;
        }
        Ok(())
    };
    match args {
        PersistArgs::Batch(batch) => {
            let mut items = batch.items.iter_mut().enumerate();
            items.try_for_each(|(index, item)| {
                one(item).map_err(|error: PersistError| error.with_batch_index(index))
            })
        }
        args => one(args),
    }
}

fn key(tenant: &TenantId, update: &UpdateContent) -> Key {
    (tenant.clone(), update.thread.clone(), update.id.clone())
}

/// What an operation means for the messages that are being written.
enum Subject {
    Reserved(Key),
    Changed { key: Key, raises: bool },
    Deleted(Key),
    Emptied(TenantId, crate::ThreadId),
    Nothing,
}

impl Subject {
    fn of(tenant: &TenantId, args: &PersistArgs) -> Self {
        match args {
            PersistArgs::Reserve(Reserve { thread, id, .. }) => {
                Self::Reserved((tenant.clone(), thread.clone(), id.clone()))
            }
            PersistArgs::UpdateContent(update) => {
                Self::Changed { key: key(tenant, update), raises: raises(update) }
            }
            PersistArgs::Delete(delete) => {
                Self::Deleted((tenant.clone(), delete.thread.clone(), delete.id.clone()))
            }
            PersistArgs::Thread(thread @ (ThreadArgs::Clear(_) | ThreadArgs::Delete(_))) => {
                thread.thread().map_or(Self::Nothing, |thread| Self::Emptied(tenant.clone(), thread.clone()))
            }
            _ => Self::Nothing,
        }
    }

    fn raises(&self, key: &Key) -> bool {
        matches!(self, Self::Changed { key: changed, raises: true } if changed == key)
    }
}
