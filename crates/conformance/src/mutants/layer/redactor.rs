//! A redaction, and a layer that replaces a name with an alias and restores it: each with a defect.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use throughline_core::{
    Call, Content, Context, Delta, Effect, ErrorKind, Metadata, Next, OpKind, Operation, PersistArgs,
    PersistError, PersistResult, Persistence, Phase, Plugin, ReadArgs, ReadResult, Reply, Result, Revision,
    TenantId, Title,
    messages::{
        CarriesContent, ContentBuffer, ContentChange, FieldValueMut, GetMessage, UpdateContent, UpdateMode,
    },
    pipeline::BufferedBytes,
    search::{SearchHit, SearchMessages},
    threads::ThreadArgs,
};

use super::{
    parser,
    tail::{Doubt, Key, Open, begins, cut_end},
    tower,
};
use crate::laws::Around;

/// The text that must not be forwarded.
pub(super) const SECRET: &str = "hunter2";

/// The replacement by the redaction.
pub(super) const STARS: &str = "*******";

/// The alias: a word of another length, so that offsets behind it change.
const ALIAS: &str = "quokka";

/// The case that the layer forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgets {
    Nothing,
    Batches,
    Deltas,
    Edits,
    Imports,
    Metadata,
    Annotations,
    Reasons,
    Reservations,
    Nesting,
    Plain,
    Pages,
    Previews,
    Titles,
    Answers,
    /// The buffered text, when the message ends.
    Tails,
    /// The buffered text, when an update without text arrives.
    Renewals,
    /// The buffered text, except for the last delta.
    EarlierDeltas,
    /// That text may continue a block.
    EndsOfBlocks,
    /// That text may continue a snapshot.
    EndsOfSnapshots,
    /// To buffer text inside of batches.
    EndsInBatches,
    /// The buffered text, when the message ends with a block.
    TailsBeforeBlocks,
    /// The text before the text that an edit appends.
    TextBeforeEdits,
    /// That a call that failed changed nothing.
    Failures,
    /// That a replay changed nothing.
    Replays,
    /// To report the number of buffered bytes.
    BufferedBytes,
    /// To report the number of buffered bytes when the message is read.
    BufferedBytesInReads,
    /// The terms of a search.
    Queries,
    /// The value of a find.
    Finds,
    /// That words move in a snippet.
    Marks,
    /// To leave a marker instead of the hidden text.
    Markers,
    /// That the messages that are written are several.
    Messages,
    /// That two threads may have messages of one id.
    Threads,
    /// That two tenants may have threads and messages of one id.
    Tenants,
    /// To store the buffered text and the end of the message in one write.
    OneWrite,
    /// That a reason is stored, too.
    RawReasons,
    /// That the store sees what it is asked on the way.
    Questions,
    /// That a text without the beginning of what is hidden can be stored.
    Ordinary,
    /// That a write whose answer was lost may not have been made.
    LostBefore,
    /// That a write whose answer was lost may have been made.
    LostAfter,
    /// That a write whose answer was lost may be made later.
    LostLate,
    /// That a call whose answer was lost, repeated and lost again, may have been made the first time.
    LostTwice,
    /// That an error may say that the write was made.
    Applied,
    /// That taking the last message answers its content.
    Taken,
    /// That the caller has set a limit of content.
    ContentLimits,
    /// How high the caller's limit of content is.
    HeightOfContentLimits,
    /// That the caller has set a limit of metadata.
    MetadataLimits,
    /// The answer to a list of open reservations.
    Open,
    /// Pages that are read from the end.
    Backwards,
    /// The answer to a batch.
    Batched,
    /// The answer to an update of metadata.
    Updated,
    /// The thread that is answered to what is done to one.
    Entries,
    /// Texts of more than 64 KiB.
    Large,
    /// Why a change was quarantined.
    Quarantines,
    /// Members of a block of text that it does not know.
    UnknownMembers,
    /// Blocks that it does not know.
    UnknownBlocks,
}

pub(super) fn redacting(name: &'static str, forgets: Forgets, around: &Around) -> Result<Persistence> {
    let into = if forgets == Forgets::Markers { "" } else { STARS };
    let layer = Swap::new(name, forgets, into, false);
    let stack = around.outside().plugin(layer);
    match forgets {
        Forgets::OneWrite => {
            stack.layer(tower::splits_ends()).layer(around.inside()).backend(around.backend()).build()
        }
        _ => stack.layer(around.inside()).backend(around.backend()).build(),
    }
}

pub(super) fn aliasing(name: &'static str, forgets: Forgets, around: &Around) -> Result<Persistence> {
    let layer = Swap::new(name, forgets, ALIAS, true);
    around.outside().plugin(layer).layer(around.inside()).backend(around.backend()).build()
}

/// Replaces one text with another, and restores it if `back` is set.
struct Swap {
    name: &'static str,
    forgets: Forgets,
    into: &'static str,
    back: bool,
    /// The buffered text of each message.
    tails: Mutex<HashMap<Key, String>>,
    /// The messages of which a write was lost.
    doubts: Mutex<HashMap<Key, Doubt>>,
}

impl Plugin for Swap {
    fn name(&self) -> &str {
        self.name
    }

    fn phase(&self) -> Phase {
        Phase::Transform
    }

    async fn around<O: Operation>(&self, call: Call<O>, mut next: Next<'_, O>) -> Result<Reply<O>> {
        let Call { op, context } = call;
        let mut args: PersistArgs = op.into();
        if self.forgets == Forgets::Plain && O::KIND.is_write() && !holds(&args) {
            return Err(PersistError::new(ErrorKind::Denied, "nothing to redact"));
        }
        let asked = args.clone();
        let mut open = HashMap::new();
        if !self.forgotten(&args) {
            for key in asked.each().filter_map(|item| key_of(&context, item)) {
                let get = GetMessage { thread: key.1.clone(), id: key.2.clone() };
                let message =
                    if is_changed(&asked, &key, |_| true) { next.read(&context, get).await? } else { None };
                let revision = message.as_ref().map(|message| message.revision);
                let stored = is_changed(&asked, &key, needs_the_stored_message).then(|| {
                    message
                        .map_or_else(ContentBuffer::default, |message| ContentBuffer::new(&message.content))
                });
                let before = self.before(&key, revision, &context);
                open.insert(key, Open { tail: before.clone(), before, revision, stored });
            }
            self.down(&context, &mut args, &mut open);
        }
        if self.forgets == Forgets::Questions && open.values().any(|open| open.completes(&asked, SECRET)) {
            // Whatever comes of it.
            drop(next.read(&context, SearchMessages::new(SECRET, 1)).await);
        }
        if self.forgets == Forgets::Failures {
            self.keep(&open);
        }
        let reply = match next.run(Call { op: same(args), context: context.clone() }).await {
            Ok(reply) => reply,
            Err(error) => {
                self.failed(&error, &context, open);
                return Err(error);
            }
        };
        let (mut result, receipt, mut extensions) = (reply.output.into(), reply.receipt, reply.extensions);
        if !result.is_deduplicated() || open.keys().any(|key| self.is_repeated(key, &context)) {
            self.keep(&open);
            self.doubts().retain(|key, _| !open.contains_key(key));
        } else if self.forgets == Forgets::Replays {
            open.values_mut().for_each(|open| open.tail.clear());
            self.keep(&open);
        }
        let held = self.held(&context, &asked, &open);
        if held > 0 {
            extensions.insert(BufferedBytes(held));
        }
        if self.back && !self.forgets_back(&asked) {
            self.up(&mut result);
        }
        Ok(Reply { output: same(result), receipt, extensions })
    }
}

fn same<T, U: TryFrom<T>>(value: T) -> U {
    U::try_from(value).unwrap_or_else(|_| unreachable!("it came from there"))
}

fn holds(args: &PersistArgs) -> bool {
    serde_json::to_string(args).is_ok_and(|json| json.contains(SECRET))
}

/// The message whose text a call changes, makes or takes away.
fn key_of(context: &Context, args: &PersistArgs) -> Option<Key> {
    let (thread, id) = match args {
        PersistArgs::UpdateContent(update) => (&update.thread, &update.id),
        PersistArgs::Reserve(reserve) => (&reserve.thread, &reserve.id),
        PersistArgs::Delete(delete) => (&delete.thread, &delete.id),
        _ => return None,
    };
    Some((context.tenant().clone(), thread.clone(), id.clone()))
}

/// Whether a call makes such a change of the message.
fn is_changed(args: &PersistArgs, key: &Key, such: fn(&UpdateContent) -> bool) -> bool {
    args.each().any(|item| match item {
        PersistArgs::UpdateContent(update) => {
            (&update.thread, &update.id) == (&key.1, &key.2) && such(update)
        }
        _ => false,
    })
}

/// Whether a change appends what cannot be appended without the text that is stored before it.
fn needs_the_stored_message(update: &UpdateContent) -> bool {
    match update.change {
        ContentChange::Append(Delta::Blocks(_)) => true,
        ContentChange::Append(Delta::Text(_)) => update.mode == UpdateMode::Edit,
        ContentChange::Replace(_) => false,
    }
}

impl Swap {
    fn new(name: &'static str, forgets: Forgets, into: &'static str, back: bool) -> Self {
        Self { name, forgets, into, back, tails: Mutex::default(), doubts: Mutex::default() }
    }

    fn tails(&self) -> MutexGuard<'_, HashMap<Key, String>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubts(&self) -> MutexGuard<'_, HashMap<Key, Doubt>> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key under which the tail of a message is kept.
    fn kept_under(&self, (tenant, thread, id): &Key) -> Key {
        let any = || "any".parse().expect("a valid id");
        match self.forgets {
            Forgets::Messages => (TenantId::default(), any(), "any".parse().expect("a valid id")),
            Forgets::Threads => (tenant.clone(), any(), id.clone()),
            Forgets::Tenants => (TenantId::default(), thread.clone(), id.clone()),
            _ => (tenant.clone(), thread.clone(), id.clone()),
        }
    }

    fn keep(&self, open: &HashMap<Key, Open>) {
        let mut tails = self.tails();
        for (key, open) in open {
            tails.insert(self.kept_under(key), open.tail.clone());
        }
        tails.retain(|_, tail| !tail.is_empty());
    }

    /// Whether it is the repetition of a call whose answer was lost.
    fn is_repeated(&self, key: &Key, context: &Context) -> bool {
        let doubts = self.doubts();
        doubts
            .get(key)
            .is_some_and(|doubt| doubt.key.is_some() && doubt.key.as_ref() == context.idempotency())
    }

    /// The buffered text before a call that finds the message at this revision.
    fn before(&self, key: &Key, revision: Option<Revision>, context: &Context) -> String {
        let is_repeated = self.is_repeated(key, context);
        match self.doubts().get(key) {
            Some(doubt) if !is_repeated && doubt.revision != revision => doubt.after.clone(),
            _ => self.tails().get(&self.kept_under(key)).cloned().unwrap_or_default(),
        }
    }

    /// A call that failed has changed nothing, unless its answer was lost.
    fn failed(&self, error: &PersistError, context: &Context, open: HashMap<Key, Open>) {
        let is_lost = error.effect() != Effect::NotApplied;
        match self.forgets {
            Forgets::LostBefore if is_lost => return self.keep(&open),
            Forgets::LostAfter => return,
            Forgets::LostLate if !is_lost => {
                self.doubts().retain(|key, _| !open.contains_key(key));
                return;
            }
            _ if !is_lost => return,
            _ if error.effect() == Effect::Applied && self.forgets != Forgets::Applied => {
                self.keep(&open);
                self.doubts().retain(|key, _| !open.contains_key(key));
                return;
            }
            Forgets::LostTwice if open.keys().any(|key| self.is_repeated(key, context)) => {
                self.doubts().retain(|key, _| !open.contains_key(key));
                return;
            }
            _ => {}
        }
        for (key, Open { tail, before, revision, .. }) in open {
            self.tails().insert(self.kept_under(&key), before);
            let doubt = Doubt { key: context.idempotency().cloned(), revision, after: tail };
            self.doubts().insert(key, doubt);
        }
    }

    /// The number of buffered bytes of the messages of a call.
    fn held(&self, context: &Context, asked: &PersistArgs, open: &HashMap<Key, Open>) -> usize {
        let tails = self.tails();
        let of = |key: &Key| tails.get(&self.kept_under(key)).map_or(0, String::len);
        match asked {
            _ if self.forgets == Forgets::BufferedBytes => 0,
            PersistArgs::Read(ReadArgs::Get(_)) if self.forgets == Forgets::BufferedBytesInReads => 0,
            PersistArgs::Read(ReadArgs::Get(get)) => {
                of(&(context.tenant().clone(), get.thread.clone(), get.id.clone()))
            }
            _ => open.keys().map(of).sum(),
        }
    }

    /// Whether the whole operation is forgotten.
    fn forgotten(&self, args: &PersistArgs) -> bool {
        match (self.forgets, args) {
            (Forgets::Batches, PersistArgs::Batch(_))
            | (Forgets::Imports, PersistArgs::Import(_))
            | (Forgets::Reservations, PersistArgs::Reserve(_)) => true,
            (Forgets::Quarantines, PersistArgs::Consumer(_)) => true,
            (Forgets::Large, args) => {
                args.content_fields().iter().any(|field| field.value.byte_len() > 64 << 10)
            }
            (Forgets::Edits, PersistArgs::UpdateContent(update)) => update.mode == UpdateMode::Edit,
            _ => false,
        }
    }

    /// Whether what is answered is forgotten.
    fn forgets_back(&self, asked: &PersistArgs) -> bool {
        match self.forgets {
            Forgets::Pages => matches!(asked, PersistArgs::Read(ReadArgs::Page(_))),
            Forgets::Open => matches!(asked, PersistArgs::Read(ReadArgs::OpenReservations(_))),
            Forgets::Backwards => {
                matches!(asked, PersistArgs::Read(ReadArgs::Page(page)) if !page.from.is_forward())
            }
            Forgets::Batched => asked.kind() == OpKind::Batch,
            Forgets::Updated => asked.kind() == OpKind::Update,
            Forgets::Entries => {
                matches!(asked, PersistArgs::Thread(ThreadArgs::Archive(_) | ThreadArgs::Clear(_)))
            }
            Forgets::Answers => asked.kind() != OpKind::Read,
            Forgets::Taken => matches!(asked, PersistArgs::Thread(ThreadArgs::TakeLast(_))),
            _ => false,
        }
    }

    fn down(&self, context: &Context, args: &mut PersistArgs, open: &mut HashMap<Key, Open>) {
        if let PersistArgs::Read(ReadArgs::Search(search)) = args {
            if self.forgets != Forgets::Queries {
                search.query = search.query.replace(SECRET, self.into);
            }
            return;
        }
        if let PersistArgs::Read(ReadArgs::Find(find)) = args {
            if self.forgets != Forgets::Finds {
                let json = serde_json::to_string(&find.metadata).expect("metadata serializes");
                find.metadata = serde_json::from_str(&json.replace(SECRET, self.into)).expect("metadata");
            }
            return;
        }
        let in_batch = matches!(args, PersistArgs::Batch(_));
        let items = match args {
            PersistArgs::Batch(batch) => &mut batch.items[..],
            one => std::slice::from_mut(one),
        };
        for item in items {
            if self.forgets == Forgets::MetadataLimits
                && let PersistArgs::Update(update) = &mut *item
            {
                update.max_metadata_bytes = None;
            }
            let open = key_of(context, item).and_then(|key| open.get_mut(&key));
            match (item, open) {
                (PersistArgs::UpdateContent(update), Some(open)) => {
                    let change = std::mem::replace(&mut update.change, ContentChange::none());
                    self.swap(update, SECRET, self.into);
                    match self.forgets {
                        Forgets::ContentLimits => update.max_content_bytes = None,
                        Forgets::HeightOfContentLimits => {
                            update.max_content_bytes = update.max_content_bytes.and(Some(u64::MAX));
                        }
                        _ => {}
                    }
                    if self.forgets == Forgets::RawReasons
                        && let (UpdateMode::Abandon { reason }, Some(text)) =
                            (&mut update.mode, open.continued_by(&change))
                    {
                        *reason = Some(text);
                    }
                    update.change = self.change(change, &update.mode, open, in_batch);
                }
                (item, Some(open)) => {
                    open.tail.clear();
                    open.stored = open.stored.take().map(|_| ContentBuffer::default());
                    self.swap(item, SECRET, self.into);
                }
                (item, None) => self.swap(item, SECRET, self.into),
            }
        }
    }

    /// Rewrites one change of a message.
    fn change(
        &self,
        change: ContentChange,
        mode: &UpdateMode,
        open: &mut Open,
        in_batch: bool,
    ) -> ContentChange {
        let goes_on = matches!(mode, UpdateMode::Partial);
        let is_edit = matches!(mode, UpdateMode::Edit);
        let holds = goes_on && !(in_batch && self.forgets == Forgets::EndsInBatches);
        let changed = match change {
            change @ ContentChange::Append(Delta::Text(_)) if self.forgets == Forgets::Deltas => change,
            ContentChange::Append(Delta::Text(text)) if is_edit => self.edit(&text, open),
            ContentChange::Append(Delta::Text(delta)) => {
                let mut text = std::mem::take(&mut open.tail);
                if !goes_on && self.forgets == Forgets::Tails {
                    text.clear();
                }
                text.push_str(&delta);
                let at = match holds {
                    true if self.forgets == Forgets::Ordinary => 0,
                    true if self.forgets == Forgets::Renewals && delta.is_empty() => text.len(),
                    true if self.forgets == Forgets::EarlierDeltas => {
                        text.len() - delta.len() + begins(&delta, SECRET)
                    }
                    true => begins(&text, SECRET),
                    false => text.len(),
                };
                open.tail = text.split_off(at);
                ContentChange::Append(Delta::Text(text.replace(SECRET, self.into)))
            }
            ContentChange::Append(Delta::Blocks(blocks)) => {
                let mut tail = if is_edit { String::new() } else { std::mem::take(&mut open.tail) };
                if !goes_on && self.forgets == Forgets::TailsBeforeBlocks {
                    tail.clear();
                }
                let blocks = self.open_content(holds && self.forgets != Forgets::EndsOfBlocks, &blocks, open);
                if tail.is_empty() {
                    ContentChange::Append(Delta::Blocks(blocks))
                } else {
                    let mut all = open.stored.clone().unwrap_or_default();
                    all.push(&Delta::Text(tail.replace(SECRET, self.into)));
                    all.push(&Delta::Blocks(blocks));
                    ContentChange::Replace(all.content())
                }
            }
            ContentChange::Replace(content) => {
                open.tail.clear();
                let holds = holds && self.forgets != Forgets::EndsOfSnapshots;
                ContentChange::Replace(self.open_content(holds, &content, open))
            }
        };
        match (&changed, &mut open.stored) {
            (ContentChange::Append(delta), Some(stored)) => stored.push(delta),
            (ContentChange::Replace(content), Some(stored)) => *stored = ContentBuffer::new(content),
            (_, None) => {}
        }
        changed
    }

    /// A content that later text can continue: its end is buffered if `holds` is set.
    fn open_content(&self, holds: bool, content: &Content, open: &mut Open) -> Content {
        if !holds {
            return self.content(content, SECRET, self.into);
        }
        let (cut, tail) = cut_end(content, SECRET);
        open.tail = tail;
        self.content(&cut, SECRET, self.into)
    }

    /// Text that is appended to a message that had ended: what is hidden may have begun in what is stored.
    fn edit(&self, text: &str, open: &Open) -> ContentChange {
        let mut all = open.stored.clone().unwrap_or_default();
        all.push(&Delta::text(text));
        let all = all.content();
        let swapped = self.content(&all, SECRET, self.into);
        if self.forgets == Forgets::TextBeforeEdits || swapped == all {
            ContentChange::Append(Delta::Text(text.replace(SECRET, self.into)))
        } else {
            ContentChange::Replace(swapped)
        }
    }

    /// Puts back what was given, in an answer.
    fn up(&self, result: &mut PersistResult) {
        if let PersistResult::Read(ReadResult::Search(found)) = result {
            found.hits.iter_mut().for_each(|hit| self.snippet(hit));
        } else {
            self.swap(result, self.into, SECRET);
        }
    }

    /// Puts back what was given in a snippet, and moves its marks.
    fn snippet(&self, hit: &mut SearchHit) {
        let stored = std::mem::take(&mut hit.snippet);
        hit.snippet = stored.replace(self.into, SECRET);
        if self.forgets == Forgets::Marks {
            return;
        }
        // Every replaced word before an offset moves it. No mark begins or ends inside of a replaced word.
        let moved = |at: u32| {
            let before = stored[..at as usize].matches(self.into).count();
            u32::try_from(at as usize + before * SECRET.len() - before * self.into.len()).expect("a field")
        };
        for (from, to) in &mut hit.marks {
            (*from, *to) = (moved(*from), moved(*to));
        }
    }

    fn swap(&self, carrier: &mut impl CarriesContent, from: &str, into: &str) {
        for field in carrier.content_fields_mut() {
            let is_of_a_thread = field.message.is_none();
            match field.value {
                FieldValueMut::Whole(content) => *content = self.content(content, from, into),
                FieldValueMut::Delta(Delta::Text(text)) => *text = text.replace(from, into),
                FieldValueMut::Delta(Delta::Blocks(blocks)) => *blocks = self.content(blocks, from, into),
                FieldValueMut::Metadata(_) if self.forgets == Forgets::Metadata => {}
                FieldValueMut::Metadata(_) if is_of_a_thread && self.forgets == Forgets::Annotations => {}
                FieldValueMut::Metadata(metadata) => {
                    let json = serde_json::to_string(metadata).expect("metadata serializes");
                    *metadata =
                        serde_json::from_str::<Metadata>(&json.replace(from, into)).expect("metadata");
                }
                FieldValueMut::Reason(_) if self.forgets == Forgets::Reasons => {}
                FieldValueMut::Reason(reason) => *reason = reason.replace(from, into),
                FieldValueMut::Title(_) if self.forgets == Forgets::Titles => {}
                FieldValueMut::Title(title) => {
                    *title = Title::new(title.as_str().replace(from, into)).expect("a title");
                }
                FieldValueMut::Preview(_) if self.forgets == Forgets::Previews => {}
                FieldValueMut::Preview(preview) => *preview = preview.replace(from, into),
            }
        }
    }

    fn content(&self, content: &Content, from: &str, into: &str) -> Content {
        if self.forgets == Forgets::Nesting && !content.as_json().starts_with(r#"[{"type":"text""#) {
            return content.clone();
        }
        let json = content.as_json().replace(from, into);
        let json = match self.forgets {
            Forgets::UnknownMembers => parser::known_members(&json),
            Forgets::UnknownBlocks => parser::known_blocks(&json),
            _ => json,
        };
        Content::from_json(json).expect("an array")
    }
}
