//! One message of a call: what is known of it, and what becomes of it.

use super::{
    Redactions, Redactor,
    open::{Known, Slot},
    places::blind,
    stream::Stream,
    text::Decoded,
};
use crate::{
    Content, ContentBuffer, ContentChange, Delta, Idempotency, Message, PersistArgs, PersistError, Result,
    Revision, UpdateContent, UpdateMode, message::open_text,
};

/// A message whose content a call changes, perhaps several times.
#[derive(Debug)]
pub(super) struct Continued {
    /// What is known of it; nothing where that is nothing, or it is settled.
    pub(super) known: Option<Known>,
    /// As it was before the call.
    pub(super) before: Option<Known>,
    /// What is stored of it, where that had to be read.
    content: Option<ContentBuffer>,
    /// The revision that the first change is for, whatever the caller says of it.
    pin: Option<Revision>,
    /// Whether the call settles it.
    pub(super) settled: bool,
    /// Whether the call reserves it.
    is_made: bool,
    /// Whether the call is the one in doubt once more: then its replay says that all of it was done.
    pub(super) is_again: bool,
}

impl Continued {
    /// What a slot says; nothing where the store has to be asked first.
    pub(super) fn of(slot: &Slot) -> Option<Self> {
        match slot {
            Slot::Unknown => Some(Self::new(None)),
            Slot::Known(known) => Some(Self::new(Some(known.clone()))),
            Slot::Doubt { .. } => None,
        }
    }

    const fn new(known: Option<Known>) -> Self {
        Self {
            before: None,
            known,
            content: None,
            pin: None,
            settled: false,
            is_made: false,
            is_again: false,
        }
    }

    /// What a slot in doubt comes to, now that the message was read. What is in doubt is for one revision, and pinned to it.
    pub(super) fn resolved(slot: &Slot, stored: Option<&Message>, key: Option<&Idempotency>) -> Self {
        let Slot::Doubt { before, after, key: doubtful } = slot else { return Self::new(None) };
        let Some(stored) = stored else { return Self::new(None) };
        if let Some(before) = before.as_ref().filter(|before| before.revision == stored.revision) {
            let is_again = key.is_some() && key == doubtful.as_ref();
            return Self { pin: Some(stored.revision), is_again, ..Self::new(Some(before.clone())) };
        }
        let is_after = |after: &&Known| after.revision == stored.revision;
        Self::new(after.as_ref().filter(is_after).cloned())
    }

    /// Whether what is stored has to be read, to change it like this.
    pub(super) fn has_to_be_read<'a>(&self, changes: impl Iterator<Item = &'a UpdateContent>) -> bool {
        let mut may_hold = self.known.as_ref().is_some_and(|known| known.stream.held() > 0);
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
                ContentChange::Append(Delta::Blocks(_)) | ContentChange::Replace(_) => {
                    is_known = true;
                    may_hold = true;
                }
            }
        }
        false
    }

    /// Takes note of what is stored.
    pub(super) fn read(&mut self, redactor: &Redactor, stored: Option<&Message>) {
        let Some(message) = stored else { return };
        self.content = Some(ContentBuffer::new(&message.content));
        if self.known.is_none() && message.state.is_open() {
            // Also where nothing of it is stored: all of it may have been held back.
            let text = open_bytes(&message.content).unwrap_or_default();
            let stream = Stream::resumed(redactor, &text);
            self.known = Some(Known { stream, revision: message.revision });
        }
        if message.state.is_open() {
            // What is made of it is for what was read.
            self.pin = Some(message.revision);
        }
    }

    /// It is made by the call itself.
    pub(super) fn begin(&mut self) {
        self.is_made = true;
        self.known = Some(Known { stream: Stream::default(), revision: Revision::FIRST });
        self.content = Some(ContentBuffer::default());
    }

    /// Makes of a change what can be stored of it.
    pub(super) fn change(
        &mut self,
        redactor: &Redactor,
        update: &mut UpdateContent,
        found: &mut Redactions,
    ) -> Result<()> {
        if let Some(pin) = self.pin.take() {
            update.expected.get_or_insert(pin);
        }
        let goes_on = matches!(update.mode, UpdateMode::Partial);
        let is_edit = matches!(update.mode, UpdateMode::Edit);
        let is_blind = |why| -> PersistError { blind("content", why).about(&update.thread, &update.id) };
        match &mut update.change {
            ContentChange::Append(Delta::Text(text)) if is_edit => {
                if !text.is_empty() {
                    let stored = self.content.as_ref().map(ContentBuffer::content);
                    let stored = stored.as_ref().and_then(open_bytes).unwrap_or_default();
                    *text = Stream::edited(redactor, &stored, text).push(redactor, text, true, found);
                }
            }
            ContentChange::Append(delta) if delta.is_empty() || matches!(delta, Delta::Text(_)) => {
                let text = match delta {
                    Delta::Text(text) => std::mem::take(text),
                    Delta::Blocks(_) => String::new(),
                };
                let certain = match &mut self.known {
                    Some(known) => known.stream.push(redactor, &text, !goes_on, found),
                    None => Stream::default().push(redactor, &text, true, found),
                };
                *delta = Delta::Text(certain);
            }
            ContentChange::Append(Delta::Blocks(blocks)) => {
                let held = self.known.as_mut().filter(|_| !is_edit).map(|known| &mut known.stream);
                let tail = held.map(|stream| stream.push(redactor, "", true, found)).unwrap_or_default();
                let (kept, stream) = whole_or_open(redactor, blocks, goes_on, found).map_err(is_blind)?;
                if let Some(kept) = kept {
                    *blocks = kept;
                }
                self.goes_on_with(stream);
                if !tail.is_empty() {
                    // One append cannot hold text and blocks: both are put behind what is stored.
                    let mut all = self.content.clone().unwrap_or_default();
                    all.push(&Delta::Text(tail));
                    all.push(&Delta::Blocks(blocks.clone()));
                    update.change = ContentChange::Replace(all.content());
                }
            }
            ContentChange::Append(Delta::Text(_)) => {}
            ContentChange::Replace(content) => {
                let (kept, stream) = whole_or_open(redactor, content, goes_on, found).map_err(is_blind)?;
                if let Some(kept) = kept {
                    *content = kept;
                }
                if !is_edit {
                    self.goes_on_with(stream);
                }
            }
        }
        if let Some(stored) = &mut self.content {
            match &update.change {
                ContentChange::Append(delta) => stored.push(delta),
                ContentChange::Replace(content) => *stored = ContentBuffer::new(content),
            }
        }
        self.settled |= matches!(update.mode, UpdateMode::Final | UpdateMode::Abandon { .. });
        Ok(())
    }

    fn goes_on_with(&mut self, stream: Stream) {
        match &mut self.known {
            Some(known) => known.stream = stream,
            // The revision is answered by the store.
            None => self.known = Some(Known { stream, revision: Revision::ZERO }),
        }
    }

    /// What a slot holds while the call is under way: `changes` are made of it that raise the revision.
    pub(super) fn in_doubt(&self, raises: u64, key: Option<&Idempotency>) -> Slot {
        let before = self.before.clone();
        let first = before.as_ref().filter(|_| !self.is_made).map(|before| before.revision);
        let Some(first) = first.or(self.is_made.then_some(Revision::FIRST)) else { return Slot::Unknown };
        let revision = Revision::new(first.get() + raises);
        let after = self.known.clone().filter(|_| !self.settled);
        Slot::Doubt { before, after: after.map(|known| Known { revision, ..known }), key: key.cloned() }
    }
}

/// Whether a change raises the revision, once it is made.
pub(super) fn raises(update: &UpdateContent) -> bool {
    !(update.change.is_none() && matches!(update.mode, UpdateMode::Partial))
}

fn whole_or_open(
    redactor: &Redactor,
    content: &Content,
    goes_on: bool,
    found: &mut Redactions,
) -> Result<(Option<Content>, Stream), super::json::Blind> {
    if goes_on {
        redactor.open_content(content, found)
    } else {
        Ok((redactor.content(content, found)?, Stream::default()))
    }
}

/// The text of `content` that an append continues.
fn open_bytes(content: &Content) -> Option<Vec<u8>> {
    let open = open_text(content)?;
    Some(Decoded::of(&content.as_json()[open])?.bytes.into_owned())
}

/// The change of content that `args` is.
pub(super) const fn change_of(args: &PersistArgs) -> Option<&UpdateContent> {
    match args {
        PersistArgs::UpdateContent(update) => Some(update),
        _ => None,
    }
}
