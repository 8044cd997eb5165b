//! The state of one open message during a call.

use super::{
    Down, JsonString, TextStream as _, Transform,
    open_messages::{OpenText, TextState},
};
use throughline_core::{
    Content, Delta, Effect, ErrorKind, Idempotency, Message, MessageId, PersistArgs, PersistError, Result,
    Revision, ThreadId,
    messages::{ContentBuffer, ContentChange, UpdateContent, UpdateMode},
};

/// A message whose content a call changes, perhaps several times.
#[derive(Debug)]
pub(super) struct OpenMessage<T: Transform> {
    /// The known state; none if it is unknown or the message is settled.
    pub(super) known: Option<OpenText<T::Stream>>,
    /// The state before the call.
    pub(super) before: Option<OpenText<T::Stream>>,
    /// The stored content, if it was read.
    content: Option<ContentBuffer>,
    /// The revision that the first change expects, unless the caller names one.
    pin: Option<Revision>,
    /// The revision that the next change applies to, if the content is known.
    revision: Option<Revision>,
    /// Whether the call settles the message.
    pub(super) is_settled: bool,
    /// Whether the call reserves the message.
    is_new: bool,
    /// Whether the call repeats the one in doubt: a replay then proves that all of it was applied.
    pub(super) is_repeated: bool,
    /// Whether the store may still apply an earlier call.
    pub(super) is_in_doubt: bool,
    /// The bytes of stored content that the last change has rewritten.
    pub(super) rewritten: u64,
}

impl<T: Transform> OpenMessage<T> {
    /// Returns the message of a state; `None` if the store must be read first.
    pub(super) fn of(state: &TextState<T::Stream>) -> Option<Self> {
        match state {
            TextState::Unknown => Some(Self::new(None)),
            TextState::Known(known) => Some(Self::new(Some(known.clone()))),
            TextState::InDoubt { .. } => None,
        }
    }

    const fn new(known: Option<OpenText<T::Stream>>) -> Self {
        Self {
            before: None,
            known,
            content: None,
            pin: None,
            revision: None,
            is_settled: false,
            is_new: false,
            is_repeated: false,
            is_in_doubt: false,
            rewritten: 0,
        }
    }

    /// Resolves a state in doubt with the message that was read. The call in doubt applies to one revision only, to
    /// which it is pinned.
    pub(super) fn resolve(
        state: &TextState<T::Stream>,
        stored: Option<&Message>,
        key: Option<&Idempotency>,
    ) -> Self {
        let TextState::InDoubt { before, after, key: doubtful } = state else { return Self::new(None) };
        let Some(stored) = stored else {
            return Self { is_in_doubt: before.is_none(), ..Self::new(None) };
        };
        if let Some(before) = before.as_ref().filter(|before| before.revision == stored.revision) {
            let is_repeated = key.is_some() && key == doubtful.as_ref() && key != before.last_key.as_ref();
            let pin = Some(stored.revision);
            return Self { pin, is_repeated, is_in_doubt: true, ..Self::new(Some(before.clone())) };
        }
        let is_after = |after: &&OpenText<T::Stream>| after.revision == stored.revision;
        Self::new(after.as_ref().filter(is_after).cloned())
    }

    /// Returns true if these changes need the stored content.
    pub(super) fn has_to_be_read<'a>(&self, changes: impl Iterator<Item = &'a UpdateContent>) -> bool {
        let mut may_hold = self.known.as_ref().is_some_and(|known| !known.stream.held().is_empty());
        let mut is_known = self.known.is_some();
        for UpdateContent { change, mode, .. } in changes {
            match change {
                ContentChange::Append(delta) if delta.is_empty() => {}
                ContentChange::Append(Delta::Text(_)) => {
                    if !is_known || matches!(mode, UpdateMode::Edit) {
                        return true;
                    }
                    may_hold = true;
                }
                ContentChange::Append(Delta::Blocks(_)) if may_hold => return true,
                // The tail may be buffered and its answer lost; the revision in the store then shows the outcome.
                ContentChange::Append(Delta::Blocks(_)) | ContentChange::Replace(_)
                    if !is_known && matches!(mode, UpdateMode::Partial) =>
                {
                    return true;
                }
                ContentChange::Append(Delta::Blocks(_)) | ContentChange::Replace(_) => {
                    is_known = true;
                    may_hold = true;
                }
            }
        }
        false
    }

    /// Takes over the stored content, followed by the text that inner layers buffer.
    pub(super) fn read(&mut self, transform: &T, stored: Option<&Message>, held_inside: &str) {
        let Some(message) = stored else { return };
        let mut content = ContentBuffer::new(&message.content);
        content.push(&Delta::text(held_inside));
        if self.known.is_none() && message.state.is_open() {
            // Even without stored content, because all of it may have been buffered.
            let stream = T::Stream::resume(transform, &last_text(&content.content()));
            self.known = Some(OpenText::new(stream, message.revision));
        }
        self.content = Some(content);
        self.revision = Some(message.revision);
        if message.state.is_open() {
            // The change applies to the content that was read.
            self.pin = Some(message.revision);
        }
    }

    /// Starts a message that the call itself creates.
    pub(super) fn begin(&mut self) {
        self.is_new = true;
        self.known = Some(OpenText::new(T::Stream::default(), Revision::FIRST));
        self.content = Some(ContentBuffer::default());
        self.revision = Some(Revision::FIRST);
    }

    /// Rewrites a change into its storable part.
    pub(super) fn change(
        &mut self,
        down: &mut Down<'_, T>,
        update: &mut UpdateContent,
        most_held: usize,
    ) -> Result<()> {
        if let Some(pin) = self.pin.take() {
            update.expected.get_or_insert(pin);
        }
        let goes_on = matches!(update.mode, UpdateMode::Partial);
        let is_edit = matches!(update.mode, UpdateMode::Edit);
        match &mut update.change {
            ContentChange::Append(Delta::Text(text)) if is_edit => {
                if !text.is_empty() {
                    self.edit(down, update)?;
                }
            }
            ContentChange::Append(delta) if delta.is_empty() || matches!(delta, Delta::Text(_)) => {
                let text = match delta {
                    Delta::Text(text) => std::mem::take(text),
                    Delta::Blocks(_) => String::new(),
                };
                let (transform, counts) = down.parts();
                *delta = Delta::Text(match &mut self.known {
                    Some(known) => {
                        let before = known.stream.held().into_owned();
                        let passed = known.stream.push(transform, &text, !goes_on, counts);
                        let given = (before.len() + text.len()).saturating_sub(known.stream.held().len());
                        let as_given = before.bytes().chain(text.bytes()).take(given);
                        if !passed.bytes().eq(as_given) {
                            known.rewritten = known.rewritten.saturating_add(given);
                        }
                        passed
                    }
                    None => T::Stream::default().push(transform, &text, true, counts),
                });
            }
            ContentChange::Append(Delta::Blocks(blocks)) => {
                let (transform, counts) = down.parts();
                let held = self.known.as_mut().filter(|_| !is_edit).map(|known| &mut known.stream);
                let tail = held.map(|stream| stream.push(transform, "", true, counts)).unwrap_or_default();
                let (rewritten, stream) = content(down, blocks, goes_on, &update.thread, &update.id)?;
                let given = blocks.byte_len() + tail.len();
                let is_rewritten = rewritten.is_some();
                if let Some(rewritten) = rewritten {
                    *blocks = rewritten;
                }
                self.go_on_with(stream, if is_rewritten { given } else { 0 });
                if !tail.is_empty() {
                    // One append cannot carry both text and blocks, so the content is replaced.
                    let mut all = self.content.clone().unwrap_or_default();
                    all.push(&Delta::Text(tail));
                    all.push(&Delta::Blocks(blocks.clone()));
                    let all = all.content();
                    self.rewritten += all.byte_len() as u64;
                    update.change = ContentChange::Replace(all);
                }
            }
            ContentChange::Append(Delta::Text(_)) => {}
            ContentChange::Replace(replaced) => {
                let (rewritten, stream) = content(down, replaced, goes_on, &update.thread, &update.id)?;
                let given = replaced.byte_len();
                let is_rewritten = rewritten.is_some();
                if let Some(rewritten) = rewritten {
                    *replaced = rewritten;
                }
                if !is_edit {
                    self.go_on_with(stream, if is_rewritten { given } else { 0 });
                }
            }
        }
        if let Some(stored) = &mut self.content {
            match &update.change {
                ContentChange::Append(delta) => stored.push(delta),
                ContentChange::Replace(content) => *stored = ContentBuffer::new(content),
            }
        }
        if raises(update) {
            self.revision = self.revision.map(Revision::next);
        }
        self.is_settled |= matches!(update.mode, UpdateMode::Final | UpdateMode::Abandon { .. });
        let held = self.known.as_ref().map_or(0, |known| known.stream.held().len());
        if held > most_held {
            let name = down.parts().0.name();
            let detail =
                format!("`{name}` would buffer {held} bytes of the text, and {most_held} are allowed");
            let error = PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied);
            return Err(error.about(&update.thread, &update.id));
        }
        Ok(())
    }

    /// Appends to a complete text.
    fn edit(&mut self, down: &mut Down<'_, T>, update: &mut UpdateContent) -> Result<()> {
        let ContentChange::Append(Delta::Text(more)) = &mut update.change else { return Ok(()) };
        let stored = self.content.as_ref().map(ContentBuffer::content).unwrap_or_default();
        self.rewritten += stored.byte_len() as u64;
        let (transform, counts) = down.parts();
        if let Some(text) = T::Stream::append(transform, &last_text(&stored), more, counts) {
            *more = text;
            return Ok(());
        }
        let mut all = ContentBuffer::new(&stored);
        all.push(&Delta::text(&**more));
        let all = all.content();
        let (rewritten, _) = content(down, &all, false, &update.thread, &update.id)?;
        update.change = ContentChange::Replace(rewritten.unwrap_or(all));
        // The new content is based on this revision.
        if let Some(revision) = self.revision {
            update.expected.get_or_insert(revision);
        }
        Ok(())
    }

    /// Sets the state after content was forwarded that the text continues; `rewritten` bytes of it were changed.
    fn go_on_with(&mut self, stream: T::Stream, rewritten: usize) {
        // The store returns the revision.
        let known = self.known.get_or_insert_with(|| OpenText::new(T::Stream::default(), Revision::ZERO));
        known.stream = stream;
        known.rewritten = known.rewritten.saturating_add(rewritten);
    }

    /// Returns the state while the call runs, with `raises` changes that raise the revision of the message.
    pub(super) fn in_doubt(&mut self, raises: u64, key: Option<&Idempotency>) -> TextState<T::Stream> {
        if let (Some(known), Some(key)) = (&mut self.known, key) {
            known.last_key = Some(key.clone());
        }
        let before = self.before.clone();
        let first = before.as_ref().filter(|_| !self.is_new).map(|before| before.revision);
        let Some(first) = first.or(self.is_new.then_some(Revision::FIRST)) else { return TextState::Unknown };
        let revision = Revision::new(first.get() + raises);
        let after = self.known.clone().filter(|_| !self.is_settled);
        TextState::InDoubt {
            before,
            after: after.map(|known| OpenText { revision, ..known }),
            key: key.cloned(),
        }
    }

    /// Returns true if the call is known to be applied already, so that it changes nothing.
    pub(super) fn is_replay(&self, key: Option<&Idempotency>) -> bool {
        key.is_some() && self.before.as_ref().is_some_and(|before| before.last_key.as_ref() == key)
    }

    /// Returns the state after a call that leaves the text at `known`; `was` is the state before it.
    pub(super) fn applied(
        &self,
        known: OpenText<T::Stream>,
        was: TextState<T::Stream>,
    ) -> TextState<T::Stream> {
        let before = self.before.as_ref().map(|before| before.revision);
        let raises =
            |after: &Option<OpenText<_>>| after.as_ref().is_none_or(|after| Some(after.revision) != before);
        match was {
            // A call that raises no revision, such as the renewal of a lease: the earlier write may still be applied.
            TextState::InDoubt { after, key, .. }
                if self.is_in_doubt && Some(known.revision) == before && raises(&after) =>
            {
                TextState::InDoubt { before: Some(known), after, key }
            }
            _ => TextState::Known(known),
        }
    }

    /// Returns the state after a call that the store applied without an answer. `doubt` is the state during the call,
    /// and `was` the state before it.
    pub(super) fn applied_without_answer(
        &self,
        doubt: TextState<T::Stream>,
        was: TextState<T::Stream>,
    ) -> TextState<T::Stream> {
        let TextState::InDoubt { before, after: Some(after), .. } = doubt else { return TextState::Unknown };
        let revision = before.map_or(Revision::FIRST, |before| before.revision);
        if revision == after.revision {
            return self.applied(after, was);
        }
        // Inner layers may have forwarded it as a change that raises no revision.
        let before = Some(OpenText { revision, ..after.clone() });
        TextState::InDoubt { before, after: Some(after), key: None }
    }
}

/// Returns true if a change raises the revision.
pub(super) fn raises(update: &UpdateContent) -> bool {
    !(update.change.is_none() && matches!(update.mode, UpdateMode::Partial))
}

/// Rewrites content into its storable form (`None` if it is unchanged), and returns the state in which it continues.
fn content<T: Transform>(
    down: &mut Down<'_, T>,
    content: &Content,
    goes_on: bool,
    thread: &ThreadId,
    id: &MessageId,
) -> Result<(Option<Content>, T::Stream)> {
    let rewritten = if goes_on {
        down.open_content(content)
    } else {
        down.whole_content(content).map(|rewritten| (rewritten, T::Stream::default()))
    };
    rewritten.map_err(|why| down.refuse("content", why).about(thread, id))
}

/// Returns the last text of `content`, which an append continues.
fn last_text(content: &Content) -> String {
    let Some(open) = content.open_text() else { return String::new() };
    JsonString::new(&content.as_json()[open]).into_text().into_owned()
}

/// Returns the change of content in `args`.
pub(super) const fn change_of(args: &PersistArgs) -> Option<&UpdateContent> {
    match args {
        PersistArgs::UpdateContent(update) => Some(update),
        _ => None,
    }
}
