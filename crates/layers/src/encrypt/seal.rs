//! What an operation looks like to the store.

use std::collections::HashMap;

use super::{
    binding::{Field, Part},
    key_set::KeySet,
    pieces,
};
use crate::transform::{FieldOwner, RewriteFields, Snippet, rewrite_args};
use throughline_core::{
    Content, Delta, Effect, ErrorKind, MessageId, Metadata, PersistArgs, PersistError, Result, Revision,
    ThreadId, Title,
    backend::search::{Query, Tokenizer},
    changes::ConsumerArgs,
    messages::{CarriesContent as _, UpdateContent, UpdateMode},
    sessions::SessionArgs,
    threads::ThreadArgs,
};

/// A message of the tenant of the call.
pub(super) type Named = (ThreadId, MessageId);

/// What is known of the store at the moment of a call, and what the call itself makes of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The revisions of the messages that it changes.
    pub(super) revisions: HashMap<Named, Revision>,
    /// The titles of the threads that it renames: as they are, and as they stand in the store.
    pub(super) titles: HashMap<ThreadId, (Title, Title)>,
    /// Whether a patch holds values that are there: `null` is then one of them, and clears nothing.
    pub(super) writes_anew: bool,
}

/// What the content fields of one operation are of.
enum Subject<'a> {
    /// A message that is made whole, or changed to this revision. With `begins` there is no content of it yet.
    Message {
        revision: Revision,
        begins: bool,
    },
    /// Metadata of which `null` may clear.
    Patch {
        null_clears: bool,
    },
    Thread,
    Run {
        agent: &'a str,
        attempt: &'a str,
    },
    Quarantine {
        consumer: &'a str,
        position: u64,
    },
}

/// Whether the update leaves a piece: every one does that raises the revision.
pub(super) fn leaves_a_piece(update: &UpdateContent) -> bool {
    update.mode != UpdateMode::Partial || !update.change.is_none()
}

/// Seals every place of `args`. Each change of content then says which revision it is made on.
pub(super) fn seal(args: &mut PersistArgs, key_set: &KeySet<'_>, known: &mut Known) -> Result<()> {
    if let PersistArgs::Batch(batch) = args {
        for (index, item) in batch.items.iter_mut().enumerate() {
            seal(item, key_set, known).map_err(|error| error.with_batch_index(index))?;
        }
        return Ok(());
    }
    match args {
        PersistArgs::Add(add) => known.made(&add.thread, &add.id),
        PersistArgs::Reserve(reserve) => known.made(&reserve.thread, &reserve.id),
        PersistArgs::UpdateContent(update) => {
            if !leaves_a_piece(update) {
                return Ok(());
            }
            let named = (update.thread.clone(), update.id.clone());
            let on = update.expected.or_else(|| known.revisions.get(&named).copied());
            // Nothing is known of a message that there is not: the store says so.
            let on = on.unwrap_or(Revision::FIRST);
            update.expected = Some(on);
            known.revisions.insert(named, on.next());
        }
        PersistArgs::Thread(ThreadArgs::Rename(rename)) => {
            if let Some(expected) = &mut rename.expected {
                let thread = &rename.thread;
                match known.titles.get(thread) {
                    // The same title is sealed otherwise each time: what stands in the store is what is compared.
                    Some((title, stored)) if title == expected => *expected = stored.clone(),
                    _ if expected.is_untitled() => {}
                    // Called otherwise. A title that nothing can equal, and a short one, leaves the answer to the store.
                    _ => *expected = seal_title(&Title::new("-").unwrap_or_default(), key_set, thread)?,
                }
            }
            let title = seal_title(&rename.title, key_set, &rename.thread)?;
            let plain = std::mem::replace(&mut rename.title, title.clone());
            known.titles.insert(rename.thread.clone(), (plain, title));
            return Ok(());
        }
        _ => {}
    }
    let copy = args.clone();
    let subject = subject(&copy, known);
    rewrite_args("encrypt", args, &mut Sealer { subject, key_set })?;
    if let (PersistArgs::UpdateContent(plain), PersistArgs::UpdateContent(update)) = (&copy, &mut *args)
        && let Some(max) = plain.max_content_bytes
    {
        // The limit is for what the caller gave, and the store counts what it keeps.
        let frame = update.change.byte_len().saturating_sub(pieces::sealed_bytes(plain.change.byte_len()));
        let revision = update.expected.map_or(Revision::FIRST, Revision::next);
        update.max_content_bytes = Some(pieces::limit_of_sealed(max, revision, frame));
    }
    if let PersistArgs::Thread(ThreadArgs::Create(create)) = args
        && let PersistArgs::Thread(ThreadArgs::Create(plain)) = copy
    {
        known.titles.insert(create.thread.clone(), (plain.title, create.title.clone()));
    }
    Ok(())
}

impl Known {
    fn made(&mut self, thread: &ThreadId, id: &MessageId) {
        self.revisions.insert((thread.clone(), id.clone()), Revision::FIRST);
    }
}

/// What the content_fields of `args` are of; nothing where it carries none.
fn subject<'a>(args: &'a PersistArgs, known: &Known) -> Option<Subject<'a>> {
    Some(match args {
        PersistArgs::Add(_) | PersistArgs::Reserve(_) | PersistArgs::Import(_) => {
            Subject::Message { revision: Revision::FIRST, begins: true }
        }
        PersistArgs::UpdateContent(update) => {
            let made = known.revisions.get(&(update.thread.clone(), update.id.clone()));
            // At its first revision a message is open only where it was reserved, and has no content then.
            let begins = update.expected == Some(Revision::FIRST) && update.mode != UpdateMode::Edit;
            Subject::Message { revision: *made?, begins }
        }
        PersistArgs::Update(_) | PersistArgs::Thread(ThreadArgs::Label(_)) => {
            Subject::Patch { null_clears: !known.writes_anew }
        }
        PersistArgs::Thread(ThreadArgs::Create(_) | ThreadArgs::Rename(_)) => Subject::Thread,
        PersistArgs::Session(SessionArgs::Fail(fail)) => {
            Subject::Run { agent: fail.agent.as_str(), attempt: fail.attempt.as_str() }
        }
        PersistArgs::Consumer(ConsumerArgs::Quarantine(change)) => {
            Subject::Quarantine { consumer: change.consumer.as_str(), position: change.position.get() }
        }
        PersistArgs::Delete(_)
        | PersistArgs::Replica(_)
        | PersistArgs::Batch(_)
        | PersistArgs::Thread(_)
        | PersistArgs::Session(_)
        | PersistArgs::Consumer(_)
        | PersistArgs::Read(_)
        // The rewriter of the fields refuses what it does not know.
        | _ => return None,
    })
}

/// Seals the fields of one operation.
struct Sealer<'a> {
    /// What they are of; none where the operation carries none.
    subject: Option<Subject<'a>>,
    key_set: &'a KeySet<'a>,
}

impl Sealer<'_> {
    /// Content of a message that is changed to `revision`, and its kind of change.
    fn chunk(&self, owner: FieldOwner<'_>, part: Part, plain: &str, revision: Revision) -> Result<Content> {
        let revision = revision.get();
        let field = Field::Content { part, revision };
        let cell = self.key_set.seal(owner.thread, owner.message, field, plain)?;
        Ok(pieces::block(part, revision, &cell))
    }

    fn any_metadata(&self, owner: FieldOwner<'_>, metadata: &mut Metadata, null_clears: bool) -> Result<()> {
        *metadata = seal_facts(metadata, null_clears, self.key_set, owner.thread, owner.message)?;
        Ok(())
    }
}

impl RewriteFields for Sealer<'_> {
    fn content(&mut self, owner: FieldOwner<'_>, content: &mut Content) -> Result<()> {
        let Some(Subject::Message { revision, .. }) = self.subject else { return Err(unknown_place()) };
        *content = self.chunk(owner, Part::Whole, content.as_json(), revision)?;
        Ok(())
    }

    fn delta(&mut self, owner: FieldOwner<'_>, delta: &mut Delta) -> Result<()> {
        let Some(Subject::Message { revision, begins }) = self.subject else { return Err(unknown_place()) };
        let (part, plain) = match (&*delta, begins) {
            (Delta::Text(text), true) => (Part::FirstText, text.as_str()),
            (Delta::Text(text), false) => (Part::Text, text.as_str()),
            (Delta::Blocks(blocks), true) => (Part::FirstBlocks, blocks.as_json()),
            (Delta::Blocks(blocks), false) => (Part::Blocks, blocks.as_json()),
        };
        *delta = Delta::Blocks(self.chunk(owner, part, plain, revision)?);
        Ok(())
    }

    fn metadata(&mut self, owner: FieldOwner<'_>, metadata: &mut Metadata) -> Result<()> {
        match self.subject {
            Some(_) => self.any_metadata(owner, metadata, false),
            None => Err(unknown_place()),
        }
    }

    fn metadata_patch(&mut self, owner: FieldOwner<'_>, patch: &mut Metadata) -> Result<()> {
        let Some(Subject::Patch { null_clears }) = self.subject else { return Err(unknown_place()) };
        self.any_metadata(owner, patch, null_clears)
    }

    fn reason(&mut self, owner: FieldOwner<'_>, reason: &mut String) -> Result<()> {
        let field = match &self.subject {
            Some(Subject::Message { revision, .. }) => Field::Reason { revision: revision.get() },
            Some(Subject::Run { agent, attempt }) => Field::RunDetail { agent, attempt },
            Some(Subject::Quarantine { consumer, position }) => {
                Field::Quarantine { consumer, position: *position }
            }
            Some(Subject::Patch { .. } | Subject::Thread) | None => return Err(unknown_place()),
        };
        *reason = self.key_set.seal(owner.thread, owner.message, field, reason)?;
        Ok(())
    }

    fn title(&mut self, owner: FieldOwner<'_>, title: &mut Title) -> Result<()> {
        if self.subject.is_none() {
            return Err(unknown_place());
        }
        *title = seal_title(title, self.key_set, owner.thread)?;
        Ok(())
    }

    fn preview(&mut self, _: FieldOwner<'_>, _: &mut String) -> Result<()> {
        Err(unknown_place())
    }

    fn snippet(&mut self, _: FieldOwner<'_>, _: Snippet<'_>) -> Result<()> {
        Err(unknown_place())
    }

    /// Nothing encrypted is in an index of words: the store is asked for a word that no text has, and not for those of the caller. A
    /// store that may hold text from before the encryption is asked for the words.
    fn query(&mut self, query: &mut String) -> Result<()> {
        if !self.key_set.accepts_plaintext() {
            // A query that a store refuses is refused here.
            Query::parse(query, Tokenizer::default())?;
            *query = MessageId::mint().as_str().replace('-', "");
        }
        Ok(())
    }
}

/// Seals what a read says: a search query.
pub(super) fn seal_read(args: &mut PersistArgs, key_set: &KeySet<'_>) -> Result<()> {
    rewrite_args("encrypt", args, &mut Sealer { subject: None, key_set })
}

fn unknown_place() -> PersistError {
    PersistError::new(ErrorKind::Internal, "an operation carries content where the layer expects none")
        .with_effect(Effect::NotApplied)
}

/// Each value by itself, so that a patch of one leaves the others alone. The names stay as they are.
pub(super) fn seal_facts(
    metadata: &Metadata,
    null_clears: bool,
    key_set: &KeySet<'_>,
    thread: &ThreadId,
    message: Option<&MessageId>,
) -> Result<Metadata> {
    let mut sealed = Metadata::new();
    for (name, value) in metadata.iter() {
        if null_clears && value.get() == "null" {
            sealed.set_raw(name, value.to_owned());
        } else {
            let cell = key_set.seal(thread, message, Field::Fact(name), value.get())?;
            sealed.set(name, &cell)?;
        }
    }
    Ok(sealed)
}

/// That a thread has no title is no secret, and lists rely on it.
pub(super) fn seal_title(title: &Title, key_set: &KeySet<'_>, thread: &ThreadId) -> Result<Title> {
    if title.is_untitled() {
        return Ok(title.clone());
    }
    let cell = key_set.seal(thread, None, Field::Title, title.as_str())?;
    Title::new(&cell).map_err(|_| {
        let (bytes, room) = (title.as_str().len(), room_for_a_title(&cell, title));
        let detail = format!("a title of {bytes} bytes is more than the {room} that can be encrypted");
        PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied)
    })
}

/// The longest title that fits into one once it is sealed under this key.
fn room_for_a_title(cell: &str, title: &Title) -> usize {
    let data = cell.rsplit(':').next().map_or(0, str::len);
    let header = cell.len() - data;
    let overhead = data * 3 / 4 - title.as_str().len();
    (Title::MAX_BYTES - header) * 3 / 4 - overhead
}

/// Which changes of content say nothing of the revision that they are made on, and are not of what the call itself makes.
pub(super) fn unknown_revisions(args: &PersistArgs, made: &mut Vec<Named>, unknown: &mut Vec<Named>) {
    match args {
        PersistArgs::Batch(batch) => {
            batch.items.iter().for_each(|item| unknown_revisions(item, made, unknown));
        }
        PersistArgs::Add(add) => made.push((add.thread.clone(), add.id.clone())),
        PersistArgs::Reserve(reserve) => made.push((reserve.thread.clone(), reserve.id.clone())),
        PersistArgs::UpdateContent(update) if leaves_a_piece(update) => {
            let named = (update.thread.clone(), update.id.clone());
            if made.contains(&named) {
                return;
            }
            if update.expected.is_none() {
                unknown.push(named.clone());
            }
            made.push(named);
        }
        _ => {}
    }
}

/// Threads that are renamed only if they are called something.
pub(super) fn expected_titles(args: &PersistArgs, threads: &mut Vec<ThreadId>) {
    match args {
        PersistArgs::Batch(batch) => batch.items.iter().for_each(|item| expected_titles(item, threads)),
        PersistArgs::Thread(ThreadArgs::Rename(rename)) if rename.expected.is_some() => {
            threads.push(rename.thread.clone());
        }
        _ => {}
    }
}

/// Threads in which something is to be sealed.
pub(super) fn sealed_threads(args: &PersistArgs) -> Vec<ThreadId> {
    let items = match args {
        PersistArgs::Batch(batch) => &*batch.items,
        other => std::slice::from_ref(other),
    };
    let mut threads: Vec<ThreadId> = Vec::new();
    for item in items {
        let always = match item {
            PersistArgs::UpdateContent(update) => leaves_a_piece(update),
            _ => false,
        };
        for field in item.content_fields() {
            let needed = always
                || match field.value {
                    throughline_core::messages::FieldValue::Metadata(metadata) => !metadata.is_empty(),
                    throughline_core::messages::FieldValue::Title(title) => !title.is_untitled(),
                    throughline_core::messages::FieldValue::Delta(_) => false,
                    throughline_core::messages::FieldValue::Whole(_)
                    | throughline_core::messages::FieldValue::Reason(_)
                    | throughline_core::messages::FieldValue::Preview(_) => true,
                };
            if needed && !threads.contains(field.thread) {
                threads.push(field.thread.clone());
            }
        }
    }
    threads
}
