//! Rewrites a write, and updates the state of its open messages from the answer.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Down, TextStream as _, Transform,
    layer::Shared,
    off_runtime,
    open_message::{OpenMessage, change_of, raises},
    open_messages::{Effects, HeldBytes, Key, Locked, NoState, TextState},
    rewrite_args,
};
use throughline_core::{
    Context, Effect, ErrorKind, Message, MessageId, PersistArgs, PersistError, PersistRequest,
    PersistResponse, PersistResult, ReadResult, Result, TenantId, ThreadId,
    messages::{Batch, CarriesContent, ContentChange, GetMessage, Reserve, UpdateContent, UpdateMode},
    operations::Addressed as _,
    pipeline::{BufferedBytes, Extensions, InnerService, PersistService},
    threads::{ThreadArgs, ThreadResult},
};

/// The text that a layer buffers of a message, in the extensions of the answer to a read. Outer transforms use it to
/// combine the stored text with their own buffered text.
#[derive(Clone)]
pub(super) struct HeldText(pub(super) String);

/// Returns the number of bytes that inner layers report as buffered.
fn held_inside(extensions: &Extensions) -> usize {
    extensions.get::<BufferedBytes>().map_or(0, |held| held.0)
}

/// Adds the bytes that this layer buffers to those of the inner layers. Inner layers count rewritten bytes, which may
/// stand for more original bytes.
pub(super) fn report_held(extensions: &mut Extensions, held: HeldBytes) {
    let inside = held_inside(extensions);
    let rewritten = if inside > 0 { held.rewritten } else { 0 };
    let bytes = held.here.saturating_add(rewritten);
    if bytes > 0 {
        extensions.insert(BufferedBytes(inside.saturating_add(bytes)));
    }
}

pub(super) struct Write<S, T: Transform> {
    inner: InnerService<S>,
    shared: Arc<Shared<T>>,
}

/// The messages whose content a call changes, each locked, in the order of their keys.
type Messages<T> = BTreeMap<Key, Target<T>>;

struct Target<T: Transform> {
    state: Locked<T::Stream>,
    /// The state before the call.
    was: TextState<T::Stream>,
    message: OpenMessage<T>,
    stored: Option<Stored>,
    /// Whether the call replaces all of the content.
    replaces: bool,
}

/// The stored content of a message, and the text that inner layers buffer of it.
struct Stored {
    message: Option<Message>,
    held_inside: String,
}

impl<T: Transform> Target<T> {
    /// Returns the number of bytes that [`read`](Self::read) processes.
    fn stored_bytes(&self) -> usize {
        let stored = self.stored.as_ref();
        stored.and_then(|stored| stored.message.as_ref()).map_or(0, |message| message.content.byte_len())
    }

    /// Takes over the stored content.
    fn read(&mut self, transform: &T) {
        if let Some(Stored { message, held_inside }) = self.stored.take() {
            self.message.read(transform, message.as_ref(), &held_inside);
            self.message.before = self.message.known.clone();
        }
    }
}

impl<S: PersistService<Error = PersistError>, T: Transform> Write<S, T> {
    pub(super) const fn new(inner: InnerService<S>, shared: Arc<Shared<T>>) -> Self {
        Self { inner, shared }
    }

    pub(super) async fn run(self, request: PersistRequest) -> Result<PersistResponse> {
        let PersistRequest { mut args, context } = request;
        let mut messages = self.lock(&context, &args).await?;
        let (shared, tenant) = (Arc::clone(&self.shared), context.tenant().clone());
        let stored: usize = messages.values().map(Target::stored_bytes).sum();
        let (args, mut messages, counts) = off_runtime::run(content_bytes(&args) + stored, move || {
            messages.values_mut().for_each(|target| target.read(&shared.transform));
            let mut down = Down::new(&*shared.transform);
            rewrite(&shared, &tenant, &mut args, &mut messages, &mut down)?;
            let counts = down.into_counts();
            Ok((args, messages, counts))
        })
        .await?;
        let subjects: Vec<Subject> = if args.each().any(Subject::affects_open_messages) {
            args.each().map(|item| Subject::of(context.tenant(), item)).collect()
        } else {
            Vec::new()
        };
        for (key, Target { state, was, message, .. }) in &mut messages {
            let raises = subjects.iter().filter(|subject| subject.raises(key)).count() as u64;
            *was = std::mem::replace(&mut **state, message.in_doubt(raises, context.idempotency()));
        }
        let answer = self.inner.forward(PersistRequest { args, context: context.clone() }).await;
        match answer {
            Ok(mut response) => {
                self.applied(&response.result, messages, &subjects, &mut response.extensions);
                if !counts.is_empty() && !response.result.is_deduplicated() {
                    self.shared.transform.applied(&context, counts, &mut response.extensions);
                }
                Ok(response)
            }
            Err(error) => {
                match error.effect() {
                    Effect::NotApplied => not_applied(&error, messages),
                    Effect::Applied => applied_without_answer(&context, messages),
                    Effect::Unknown => {}
                }
                Err(error)
            }
        }
    }

    /// Locks every message whose content changes, and reads those with an unknown state.
    async fn lock(&self, context: &Context, args: &PersistArgs) -> Result<Messages<T>> {
        let mut messages = Messages::<T>::new();
        let mut keys: Vec<Key> =
            args.each().filter_map(change_of).map(|update| key(context.tenant(), update)).collect();
        // In one order, so that two calls never wait for each other.
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let is_new = args.each().any(|item| match item {
                PersistArgs::Reserve(reserve) => reserve.thread == key.1 && reserve.id == key.2,
                _ => false,
            });
            let changes = || {
                let mine = |update: &&UpdateContent| update.thread == key.1 && update.id == key.2;
                args.each().filter_map(change_of).filter(mine)
            };
            if is_new {
                expect_one_message(args, &key)?;
            }
            let effects = if is_new { Effects::OF_A_NEW_MESSAGE } else { effects(changes()) };
            let state = self.shared.open.lock(&key, effects).await.map_err(|why| {
                let index = match args {
                    PersistArgs::Batch(batch) => batch.items.iter().position(|item| {
                        change_of(item).is_some_and(|update| update.thread == key.1 && update.id == key.2)
                    }),
                    _ => None,
                };
                let error = self.no_state(why, &key);
                index.into_iter().fold(error, PersistError::with_batch_index)
            })?;
            let known = OpenMessage::of(&state);
            let mut read = None;
            let mut message = match known {
                Some(message) => message,
                None => {
                    let stored = read.insert(self.read(context, &key).await?);
                    OpenMessage::resolve(&state, stored.message.as_ref(), context.idempotency())
                }
            };
            message.before = message.known.clone();
            let mut stored = None;
            if is_new {
                // A replay or a refusal leaves an existing message unchanged.
                message.begin();
            } else if message.has_to_be_read(changes()) {
                stored = match read {
                    None => Some(self.read(context, &key).await?),
                    read => read,
                };
            }
            let is_replace = |update: &UpdateContent| matches!(update.change, ContentChange::Replace(_));
            let replaces = changes().any(is_replace);
            messages.insert(key, Target { state, was: TextState::Unknown, message, stored, replaces });
        }
        Ok(messages)
    }

    /// Returns the error for a message that cannot be locked.
    fn no_state(&self, why: NoState, (_, thread, id): &Key) -> PersistError {
        let name = self.shared.transform.name();
        let (kind, detail) = match why {
            NoState::Full => {
                let detail =
                    format!("`{name}` buffers text of as many open messages as it may: finish others first");
                (ErrorKind::Busy, detail)
            }
            NoState::Dropped => {
                let detail = format!(
                    "`{name}` dropped buffered text of the message: read the message, and continue from what is stored"
                );
                (ErrorKind::Conflict, detail)
            }
        };
        PersistError::new(kind, detail).with_effect(Effect::NotApplied).about(thread, id)
    }

    async fn read(&self, context: &Context, key: &Key) -> Result<Stored> {
        let get = GetMessage { thread: key.1.clone(), id: key.2.clone() };
        let response = self.inner.call(context, get).await?;
        let held = response.extensions.get::<HeldText>().map(|held| held.0.clone()).unwrap_or_default();
        match response.result {
            PersistResult::Read(ReadResult::Get(message)) => Ok(Stored { message, held_inside: held }),
            _ => Err(PersistError::new(
                ErrorKind::ContractViolation,
                "the inner service answered a read with the result of another operation",
            )),
        }
    }

    /// Updates the states after the store applied the write, now or in an earlier call.
    fn applied(
        &self,
        result: &PersistResult,
        mut messages: Messages<T>,
        subjects: &[Subject],
        extensions: &mut Extensions,
    ) {
        let is_replay = result.is_deduplicated();
        let single = std::slice::from_ref(result);
        let outputs = match result {
            PersistResult::Batch(batched) => &batched.outputs[..],
            _ => single,
        };
        for (subject, output) in subjects.iter().zip(outputs) {
            match (subject, output) {
                (Subject::Reserved(key), PersistResult::Reserve(reserved))
                    if !is_replay && !messages.contains_key(key) =>
                {
                    self.shared.open.begin(key, reserved.message.revision);
                }
                // The batch may have deleted an earlier message of the id before.
                (Subject::Reserved(key), PersistResult::Reserve(_)) => {
                    if let Some(Target { message, .. }) = messages.get_mut(key) {
                        message.is_settled = false;
                    }
                }
                (Subject::Changed { key, .. }, PersistResult::UpdateContent(updated)) => {
                    if let Some(Target { message, .. }) = messages.get_mut(key) {
                        message.is_settled |= !updated.state.is_open();
                        if let Some(known) = &mut message.known {
                            known.revision = updated.revision;
                        }
                    }
                }
                (Subject::Deleted(key), _) => {
                    self.shared.open.remove(key);
                    if let Some(Target { message, .. }) = messages.get_mut(key) {
                        message.is_settled = true;
                    }
                }
                (Subject::Taken(tenant), PersistResult::Thread(ThreadResult::TakeLast(taken))) => {
                    let Some(deleted) = &taken.deleted else { continue };
                    let key = (tenant.clone(), deleted.thread.clone(), deleted.id.clone());
                    self.shared.open.remove(&key);
                    if let Some(Target { message, .. }) = messages.get_mut(&key) {
                        message.is_settled = true;
                    }
                }
                (Subject::Emptied(tenant, thread), _) => self.shared.open.remove_thread(tenant, thread),
                _ => {}
            }
        }
        let is_all_passed_on = held_inside(extensions) == 0;
        let mut held = HeldBytes::default();
        for (key, Target { mut state, was, mut message, replaces, .. }) in messages {
            if message.is_settled || (replaces && !is_replay) {
                self.shared.open.forget_dropped(&key);
            }
            let changes = !is_replay || message.is_repeated;
            let known = if changes { message.known.take() } else { message.before.clone() };
            match known.filter(|_| !message.is_settled) {
                Some(mut known) => {
                    if is_all_passed_on {
                        known.rewritten = 0;
                    }
                    held.here += known.stream.held().len();
                    held.rewritten = held.rewritten.saturating_add(known.rewritten);
                    *state = message.applied(known, was);
                }
                None => *state = TextState::Unknown,
            }
        }
        report_held(extensions, held);
    }
}

/// Refuses a batch that changes a message, deletes it, and reserves its id again: the layer has one state for the id, and would
/// continue the text of the deleted message in the next one.
fn expect_one_message(args: &PersistArgs, (_, thread, id): &Key) -> Result<()> {
    let (mut is_changed, mut is_deleted) = (false, false);
    for (index, item) in args.each().enumerate() {
        let is_mine = item.thread() == Some(thread) && item.message() == Some(id);
        match item {
            PersistArgs::UpdateContent(_) if is_mine => is_changed = true,
            PersistArgs::Reserve(_) if is_mine && is_changed && is_deleted => {
                let detail = "the batch changes a message, deletes it and reserves its id again: divide it before the reservation";
                let error = PersistError::new(ErrorKind::Unsupported, detail).with_effect(Effect::NotApplied);
                return Err(error.about(thread, id).with_batch_index(index));
            }
            item => {
                is_deleted |=
                    item.deletes() && (is_mine || item.message().is_none() && item.thread() == Some(thread));
            }
        }
    }
    Ok(())
}

/// Updates the states after the store applied the write and the answer was lost.
fn applied_without_answer<T: Transform>(context: &Context, messages: Messages<T>) {
    for Target { mut state, was, message, .. } in messages.into_values() {
        let doubt = std::mem::take(&mut *state);
        *state = match &message.before {
            Some(before) if message.is_replay(context.idempotency()) => message.applied(before.clone(), was),
            _ => message.applied_without_answer(doubt, was),
        };
    }
}

/// Restores the states after a write that was not applied.
fn not_applied<T: Transform>(error: &PersistError, messages: Messages<T>) {
    let is_gone = |id: &MessageId| {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Gone) && error.message() == Some(id)
    };
    for ((.., id), Target { mut state, was, message, .. }) in messages {
        *state = match message.before {
            Some(_) if is_gone(&id) => TextState::Unknown,
            // The earlier write may still be applied, and may be the reason why this one is stale.
            _ if message.is_in_doubt => was,
            // Another writer changed the message: the next call decides by the revision.
            Some(before) if error.kind() == ErrorKind::Stale => {
                TextState::InDoubt { before: Some(before), after: None, key: None }
            }
            Some(before) => TextState::Known(before),
            None => TextState::Unknown,
        };
    }
}

/// Rewrites every field.
fn rewrite<T: Transform>(
    shared: &Shared<T>,
    tenant: &TenantId,
    args: &mut PersistArgs,
    messages: &mut Messages<T>,
    down: &mut Down<'_, T>,
) -> Result<()> {
    let layer = shared.transform.name();
    let mut rewritten = 0_u64;
    let mut one = |item: &mut PersistArgs| {
        down.leave_content(matches!(item, PersistArgs::UpdateContent(_)));
        down.prepare(item);
        rewrite_args(layer, item, down)?;
        if let PersistArgs::UpdateContent(update) = item {
            let Some(Target { message, .. }) = messages.get_mut(&key(tenant, update)) else {
                let detail = "the call changes the content of a message that was not locked";
                return Err(PersistError::new(ErrorKind::Internal, detail).with_effect(Effect::NotApplied));
            };
            message.change(down, update, shared.most_held)?;
            let bytes = std::mem::take(&mut message.rewritten);
            let is_first = rewritten == 0;
            rewritten = rewritten.saturating_add(bytes);
            if bytes > 0 && !is_first && rewritten > Batch::MAX_REWRITTEN_BYTES {
                return Err(too_much_rewritten(layer, rewritten).about(&update.thread, &update.id));
            }
        }
        Ok(())
    };
    match args {
        PersistArgs::Batch(batch) => batch.items.iter_mut().enumerate().try_for_each(|(index, item)| {
            one(item).map_err(|error: PersistError| error.with_batch_index(index))
        }),
        args => one(args),
    }
}

/// The error for a batch whose items together rewrite more stored content than a store accepts.
fn too_much_rewritten(layer: &str, bytes: u64) -> PersistError {
    let max = Batch::MAX_REWRITTEN_BYTES;
    let detail = format!(
        "`{layer}` would rewrite {bytes} bytes of stored content for the batch, and {max} are allowed: divide it"
    );
    PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied)
}

/// Returns the effects of the changes of one message on its buffered text.
fn effects<'a>(changes: impl Iterator<Item = &'a UpdateContent>) -> Effects {
    let mut effects = Effects { is_empty: true, goes_on: false };
    let mut is_replaced = false;
    for UpdateContent { change, mode, .. } in changes {
        effects.is_empty &= change.is_none();
        match change {
            ContentChange::Replace(_) => is_replaced = true,
            ContentChange::Append(delta) => {
                effects.goes_on |= !is_replaced
                    && match mode {
                        UpdateMode::Final => true,
                        UpdateMode::Partial | UpdateMode::Abandon { .. } => !delta.is_empty(),
                        UpdateMode::Edit => false,
                    };
            }
        }
    }
    effects
}

/// Returns the bytes of content.
pub(super) fn content_bytes(carrier: &impl CarriesContent) -> usize {
    carrier.content_fields().iter().map(|field| field.value.byte_len()).sum()
}

fn key(tenant: &TenantId, update: &UpdateContent) -> Key {
    (tenant.clone(), update.thread.clone(), update.id.clone())
}

/// The effect of an operation on the state of open messages.
enum Subject {
    Reserved(Key),
    Changed {
        key: Key,
        raises: bool,
    },
    Deleted(Key),
    /// The last message of a thread of this tenant; only the answer names it.
    Taken(TenantId),
    Emptied(TenantId, ThreadId),
    Nothing,
}

impl Subject {
    const fn affects_open_messages(args: &PersistArgs) -> bool {
        matches!(
            args,
            PersistArgs::Reserve(_)
                | PersistArgs::UpdateContent(_)
                | PersistArgs::Delete(_)
                | PersistArgs::Thread(ThreadArgs::Clear(_) | ThreadArgs::Delete(_) | ThreadArgs::TakeLast(_))
        )
    }

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
            PersistArgs::Thread(ThreadArgs::TakeLast(_)) => Self::Taken(tenant.clone()),
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
