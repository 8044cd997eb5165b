//! Encrypts the operations of a call.

use std::collections::{HashMap, HashSet};

use super::{
    binding::{Field, Part},
    chunks,
    key_set::KeySet,
    revisions::OpenMessage,
};
use crate::transform::{FieldOwner, RewriteFields, Snippet, rewrite_args};
use throughline_core::{
    Content, Delta, Effect, ErrorKind, MessageId, Metadata, PersistArgs, PersistError, Result, Revision,
    ThreadId, Title,
    backend::search::{Query, Tokenizer},
    changes::ConsumerArgs,
    messages::{Add, CarriesContent as _, Reserve, UpdateContent, UpdateMode},
    operations::Addressed as _,
    sessions::SessionArgs,
    threads::ThreadArgs,
};

/// The thread and the id of a message, in the tenant of the call.
pub(super) type MessageKey = (ThreadId, MessageId);

/// The revisions and titles of the store before a call, and after each operation of the call.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreState {
    /// The revisions of the messages that the call changes.
    pub(super) revisions: HashMap<MessageKey, Revision>,
    /// The reserved messages that the call changes: their next change of content is the first one.
    pub(super) reserved: HashSet<MessageKey>,
    /// The first revisions of the messages that the call makes, where they are not 1: by the index of the item of a batch.
    pub(super) firsts: HashMap<(usize, MessageId), Revision>,
    /// The titles of the threads that the call renames: in plaintext, and as stored.
    pub(super) titles: HashMap<ThreadId, (Title, Title)>,
    /// Whether the call re-encrypts existing values: `null` is then a value and removes nothing.
    pub(super) reencrypts: bool,
}

/// The owner of the content fields of one operation.
enum Subject<'a> {
    /// A message that is created, or changed to this revision. With `begins` it has no content yet.
    Message {
        revision: Revision,
        begins: bool,
    },
    /// Imported messages, each with its first revision.
    Imported(HashMap<&'a MessageId, Revision>),
    /// A metadata patch, in which `null` may remove a member.
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

/// Returns true for an update that adds a chunk: one that raises the revision.
pub(super) fn writes_chunk(update: &UpdateContent) -> bool {
    update.mode != UpdateMode::Partial || !update.change.is_none()
}

/// Encrypts every content field of `args`, and sets the expected revision of each change of content.
pub(super) fn seal(args: &mut PersistArgs, key_set: &KeySet<'_>, known: &mut StoreState) -> Result<()> {
    if let PersistArgs::Batch(batch) = args {
        for (index, item) in batch.items.iter_mut().enumerate() {
            seal_item(item, index, key_set, known).map_err(|error| error.with_batch_index(index))?;
        }
        return Ok(());
    }
    seal_item(args, 0, key_set, known)
}

fn seal_item(
    args: &mut PersistArgs,
    index: usize,
    key_set: &KeySet<'_>,
    known: &mut StoreState,
) -> Result<()> {
    // Whether a change of content is the first one of its message.
    let mut begins = false;
    match args {
        PersistArgs::Add(add) => {
            let first = *add.revision.get_or_insert(known.first_of(index, &add.id));
            known.revisions.insert((add.thread.clone(), add.id.clone()), first);
        }
        PersistArgs::Reserve(reserve) => {
            let first = *reserve.revision.get_or_insert(known.first_of(index, &reserve.id));
            let message_key = (reserve.thread.clone(), reserve.id.clone());
            known.revisions.insert(message_key.clone(), first);
            known.reserved.insert(message_key);
        }
        PersistArgs::Import(import) if import.revisions.is_empty() => {
            let firsts = import.rows.iter().map(|row| known.first_of(index, &row.id));
            import.revisions = firsts.collect();
        }
        PersistArgs::UpdateContent(update) => {
            if !writes_chunk(update) {
                return Ok(());
            }
            let message_key = (update.thread.clone(), update.id.clone());
            let on = update.expected.or_else(|| known.revisions.get(&message_key).copied());
            // A message without a known revision does not exist; the store returns that error.
            let on = on.unwrap_or(Revision::FIRST);
            update.expected = Some(on);
            // A message at revision 1 is open only if it was reserved, and has no content then.
            let is_reserved = known.reserved.remove(&message_key) || on == Revision::FIRST;
            begins = is_reserved && update.mode != UpdateMode::Edit;
            known.revisions.insert(message_key, on.next());
        }
        PersistArgs::Thread(ThreadArgs::Rename(rename)) => {
            if let Some(expected) = &mut rename.expected {
                let thread = &rename.thread;
                match known.titles.get(thread) {
                    // Each encryption of a title differs, so the store compares its own ciphertext.
                    Some((title, stored)) if title == expected => *expected = stored.clone(),
                    _ if expected.is_untitled() => {}
                    // The title differs. The layer sends a short title that equals no other, and the store refuses it.
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
    let subject = subject(&copy, known, begins);
    rewrite_args("encrypt", args, &mut Sealer { subject, key_set })?;
    if let (PersistArgs::UpdateContent(plain), PersistArgs::UpdateContent(update)) = (&copy, &mut *args)
        && let Some(max) = plain.max_content_bytes
    {
        // The limit applies to plaintext, but the store counts ciphertext.
        let frame = update.change.byte_len().saturating_sub(chunks::sealed_bytes(plain.change.byte_len()));
        let revision = update.expected.map_or(Revision::FIRST, Revision::next);
        update.max_content_bytes = Some(chunks::limit_of_sealed(max, revision, frame));
    }
    if let PersistArgs::Thread(ThreadArgs::Create(create)) = args
        && let PersistArgs::Thread(ThreadArgs::Create(plain)) = copy
    {
        known.titles.insert(create.thread.clone(), (plain.title, create.title.clone()));
    }
    Ok(())
}

impl StoreState {
    /// Records the revision of a message that the call changes.
    pub(super) fn record(&mut self, message_key: &MessageKey, open: Option<OpenMessage>) {
        let Some(OpenMessage { revision, is_reserved }) = open else { return };
        self.revisions.insert(message_key.clone(), revision);
        if is_reserved {
            self.reserved.insert(message_key.clone());
        }
    }

    /// Returns the first revision of a message that an item of the call makes.
    fn first_of(&self, index: usize, id: &MessageId) -> Revision {
        self.firsts.get(&(index, id.clone())).copied().unwrap_or(Revision::FIRST)
    }
}

/// Returns the owner of the content fields of `args`; `None` for an operation without content.
fn subject<'a>(args: &'a PersistArgs, known: &StoreState, begins: bool) -> Option<Subject<'a>> {
    Some(match args {
        PersistArgs::Add(Add { revision, .. }) | PersistArgs::Reserve(Reserve { revision, .. }) => {
            Subject::Message { revision: revision.unwrap_or(Revision::FIRST), begins: true }
        }
        PersistArgs::Import(import) => {
            let ids = import.rows.iter().map(|row| &row.id);
            Subject::Imported(ids.zip(import.revisions.iter().copied()).collect())
        }
        PersistArgs::UpdateContent(update) => {
            let made = known.revisions.get(&(update.thread.clone(), update.id.clone()));
            Subject::Message { revision: *made?, begins }
        }
        PersistArgs::Update(_) | PersistArgs::Thread(ThreadArgs::Label(_)) => {
            Subject::Patch { null_clears: !known.reencrypts }
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
        // The field rewriter refuses unknown operations.
        | _ => return None,
    })
}

/// Encrypts the fields of one operation.
struct Sealer<'a> {
    /// The owner of the fields; `None` for an operation without content.
    subject: Option<Subject<'a>>,
    key_set: &'a KeySet<'a>,
}

impl Sealer<'_> {
    /// Encrypts the content of a message at `revision`, as one chunk.
    fn chunk(&self, owner: FieldOwner<'_>, part: Part, plain: &str, revision: Revision) -> Result<Content> {
        let revision = revision.get();
        self.key_set.seal_chunk(owner.thread, owner.message, (part, revision), plain)
    }

    /// Returns the revision of the content of a message.
    fn revision_of(&self, owner: FieldOwner<'_>) -> Result<Revision> {
        match (&self.subject, owner.message) {
            (Some(Subject::Message { revision, .. }), _) => Ok(*revision),
            (Some(Subject::Imported(revisions)), Some(id)) => {
                revisions.get(id).copied().ok_or_else(unexpected_field)
            }
            _ => Err(unexpected_field()),
        }
    }

    fn any_metadata(&self, owner: FieldOwner<'_>, metadata: &mut Metadata, null_clears: bool) -> Result<()> {
        *metadata = seal_metadata(metadata, null_clears, self.key_set, owner.thread, owner.message)?;
        Ok(())
    }
}

impl RewriteFields for Sealer<'_> {
    fn content(&mut self, owner: FieldOwner<'_>, content: &mut Content) -> Result<()> {
        let revision = self.revision_of(owner)?;
        *content = self.chunk(owner, Part::Whole, content.as_json(), revision)?;
        Ok(())
    }

    fn delta(&mut self, owner: FieldOwner<'_>, delta: &mut Delta) -> Result<()> {
        let Some(Subject::Message { revision, begins }) = self.subject else {
            return Err(unexpected_field());
        };
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
            None => Err(unexpected_field()),
        }
    }

    fn metadata_patch(&mut self, owner: FieldOwner<'_>, patch: &mut Metadata) -> Result<()> {
        let Some(Subject::Patch { null_clears }) = self.subject else { return Err(unexpected_field()) };
        self.any_metadata(owner, patch, null_clears)
    }

    fn reason(&mut self, owner: FieldOwner<'_>, reason: &mut String) -> Result<()> {
        let field = match &self.subject {
            Some(Subject::Message { .. } | Subject::Imported(_)) => {
                Field::Reason { revision: self.revision_of(owner)?.get() }
            }
            Some(Subject::Run { agent, attempt }) => Field::RunDetail { agent, attempt },
            Some(Subject::Quarantine { consumer, position }) => {
                Field::Quarantine { consumer, position: *position }
            }
            Some(Subject::Patch { .. } | Subject::Thread) | None => return Err(unexpected_field()),
        };
        *reason = self.key_set.seal(owner.thread, owner.message, field, reason)?;
        Ok(())
    }

    fn title(&mut self, owner: FieldOwner<'_>, title: &mut Title) -> Result<()> {
        if self.subject.is_none() {
            return Err(unexpected_field());
        }
        *title = seal_title(title, self.key_set, owner.thread)?;
        Ok(())
    }

    fn preview(&mut self, _: FieldOwner<'_>, _: &mut String) -> Result<()> {
        Err(unexpected_field())
    }

    fn snippet(&mut self, _: FieldOwner<'_>, _: Snippet<'_>) -> Result<()> {
        Err(unexpected_field())
    }

    /// Replaces a search query by a term that no text contains, because the full-text index has no plaintext. A store
    /// that may have plaintext from before the encryption receives the query unchanged.
    fn query(&mut self, query: &mut String) -> Result<()> {
        if !self.key_set.accepts_plaintext() {
            // The layer refuses a query that the store would refuse.
            Query::parse(query, Tokenizer::default())?;
            *query = MessageId::mint().as_str().replace('-', "");
        }
        Ok(())
    }

    /// Refuses a find: each ciphertext of a value is another one.
    fn criterion(&mut self, criterion: &mut Metadata) -> Result<()> {
        let name = criterion.iter().next().map_or("", |(name, _)| name);
        let detail = format!(
            "messages cannot be found by the metadata field `{name}`: `encrypt` stores its values as ciphertext; keep a \
             value to find by in a label of the thread"
        );
        Err(PersistError::new(ErrorKind::Unsupported, detail).with_effect(Effect::NotApplied))
    }
}

/// Encrypts a read: it replaces the search query.
pub(super) fn seal_read(args: &mut PersistArgs, key_set: &KeySet<'_>) -> Result<()> {
    rewrite_args("encrypt", args, &mut Sealer { subject: None, key_set })
}

fn unexpected_field() -> PersistError {
    PersistError::new(ErrorKind::Internal, "an operation carries content where the layer expects none")
        .with_effect(Effect::NotApplied)
}

/// Encrypts each value by itself, so that a patch of one value does not affect the others. The names stay in plaintext.
pub(super) fn seal_metadata(
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
            let ciphertext = key_set.seal(thread, message, Field::Metadata(name), value.get())?;
            sealed.set(name, &ciphertext)?;
        }
    }
    Ok(sealed)
}

/// The absence of a title is no secret, and lists depend on it.
pub(super) fn seal_title(title: &Title, key_set: &KeySet<'_>, thread: &ThreadId) -> Result<Title> {
    if title.is_untitled() {
        return Ok(title.clone());
    }
    let ciphertext = key_set.seal(thread, None, Field::Title, title.as_str())?;
    Title::new(&ciphertext).map_err(|_| {
        let (bytes, max) = (title.as_str().len(), max_title_bytes(&ciphertext, title));
        let detail = format!("a title of {bytes} bytes exceeds the {max} bytes that can be encrypted");
        PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied)
    })
}

/// Returns the longest title that still fits when it is encrypted under this key.
fn max_title_bytes(ciphertext: &str, title: &Title) -> usize {
    let data = ciphertext.rsplit(':').next().map_or(0, str::len);
    let header = ciphertext.len() - data;
    let overhead = data * 3 / 4 - title.as_str().len();
    (Title::MAX_BYTES - header) * 3 / 4 - overhead
}

/// Collects the changes of content without an expected revision, except those of messages that the call itself creates.
pub(super) fn unknown_revisions(
    args: &PersistArgs,
    made: &mut Vec<MessageKey>,
    unknown: &mut Vec<MessageKey>,
) {
    match args {
        PersistArgs::Batch(batch) => {
            batch.items.iter().for_each(|item| unknown_revisions(item, made, unknown));
        }
        PersistArgs::Add(add) => made.push((add.thread.clone(), add.id.clone())),
        PersistArgs::Reserve(reserve) => made.push((reserve.thread.clone(), reserve.id.clone())),
        PersistArgs::UpdateContent(update) if writes_chunk(update) => {
            let message_key = (update.thread.clone(), update.id.clone());
            if made.contains(&message_key) {
                return;
            }
            if update.expected.is_none() {
                unknown.push(message_key.clone());
            }
            made.push(message_key);
        }
        _ => {}
    }
}

/// Collects the changes of open messages whose caller expects a revision other than the first: the layer has to know whether
/// they are the first changes of reserved messages.
pub(super) fn expected_opens(args: &PersistArgs) -> Vec<(MessageKey, Revision)> {
    let mut found: Vec<(MessageKey, Revision)> = Vec::new();
    let mut made = HashSet::new();
    for item in args.each() {
        let (Some(thread), Some(id)) = (item.thread(), item.message()) else { continue };
        let message_key = (thread.clone(), id.clone());
        match item {
            PersistArgs::UpdateContent(update) if writes_chunk(update) && update.mode != UpdateMode::Edit => {
                if let Some(expected) = update.expected.filter(|expected| *expected > Revision::FIRST)
                    && made.insert(message_key.clone())
                {
                    found.push((message_key, expected));
                }
            }
            PersistArgs::Add(_) | PersistArgs::Reserve(_) => drop(made.insert(message_key)),
            _ => {}
        }
    }
    found
}

/// Returns the number of messages that the call makes.
pub(super) fn count_made(args: &PersistArgs) -> usize {
    let made = args.each().map(|item| match item {
        PersistArgs::Add(_) | PersistArgs::Reserve(_) => 1,
        PersistArgs::Import(import) => import.rows.len(),
        _ => 0,
    });
    made.sum()
}

/// Returns the first revision of a message that the call makes, if the store refused another one that the layer has required.
pub(super) fn first_revision(
    args: &PersistArgs,
    refusal: &PersistError,
) -> Option<((usize, MessageId), Revision)> {
    if (refusal.kind(), refusal.effect()) != (ErrorKind::Stale, Effect::NotApplied) {
        return None;
    }
    let (revision, id) = (refusal.revision()?, refusal.message()?);
    let index = refusal.batch_index().unwrap_or_default();
    let is_ours = match args.each().nth(index)? {
        PersistArgs::Add(add) => add.revision.is_none() && add.id == *id,
        PersistArgs::Reserve(reserve) => reserve.revision.is_none() && reserve.id == *id,
        PersistArgs::Import(import) => {
            import.revisions.is_empty() && import.rows.iter().any(|row| row.id == *id)
        }
        _ => false,
    };
    is_ours.then(|| ((index, id.clone()), revision))
}

/// Collects the threads of renames with an expected title.
pub(super) fn expected_titles(args: &PersistArgs, threads: &mut Vec<ThreadId>) {
    match args {
        PersistArgs::Batch(batch) => batch.items.iter().for_each(|item| expected_titles(item, threads)),
        PersistArgs::Thread(ThreadArgs::Rename(rename)) if rename.expected.is_some() => {
            threads.push(rename.thread.clone());
        }
        _ => {}
    }
}

/// Returns the threads in which the call encrypts data.
pub(super) fn sealed_threads(args: &PersistArgs) -> Vec<ThreadId> {
    let items = match args {
        PersistArgs::Batch(batch) => &*batch.items,
        other => std::slice::from_ref(other),
    };
    let mut threads: Vec<ThreadId> = Vec::new();
    for item in items {
        let always = match item {
            PersistArgs::UpdateContent(update) => writes_chunk(update),
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
