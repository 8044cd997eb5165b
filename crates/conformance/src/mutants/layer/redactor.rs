//! A redaction, and a layer that puts an alias in the place of a name and the name back: with something forgotten.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use throughline_core::{
    Call, CarriesContent, Content, ContentBuffer, ContentChange, Context, Delta, ErrorKind, GetMessage,
    HeldBack, Metadata, Next, OpKind, Operation, PersistArgs, PersistError, PersistResult, Persistence,
    Phase, Plugin, ReadArgs, ReadResult, Reply, Result, SearchHit, SlotMut, Title, UpdateContent, UpdateMode,
};

use super::tail::{Key, Open, begins, cut_end};
use crate::laws::Around;

/// What must not pass.
pub(super) const SECRET: &str = "hunter2";

/// What the redaction leaves.
pub(super) const STARS: &str = "*******";

/// What stands for it: a word of another length, so that places behind it move.
const ALIAS: &str = "quokka";

/// What is not thought of.
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
    /// What was held back, when the message ends.
    Tails,
    /// What was held back, but for the last delta.
    EarlierDeltas,
    /// That text may continue a block.
    EndsOfBlocks,
    /// That text may continue a snapshot.
    EndsOfSnapshots,
    /// To hold back inside of batches.
    EndsInBatches,
    /// What was held back, when the message ends with a block.
    TailsBeforeBlocks,
    /// What stands before the text that an edit appends.
    TextBeforeEdits,
    /// That a call that failed changed nothing.
    Failures,
    /// That a replay changed nothing.
    Replays,
    /// To say how much is held back.
    HeldBack,
    /// To say how much is held back where the message is read.
    HeldBackInReads,
    /// What is searched for.
    Queries,
    /// That words move in a snippet.
    Marks,
    /// To leave something in the place of what is hidden.
    Markers,
}

pub(super) fn redacting(name: &'static str, forgets: Forgets, around: &Around) -> Result<Persistence> {
    let into = if forgets == Forgets::Markers { "" } else { STARS };
    let layer = Swap { name, forgets, into, back: false, tails: Mutex::default() };
    around.outside().plugin(layer).layer(around.inside()).backend(around.backend()).build()
}

pub(super) fn aliasing(name: &'static str, forgets: Forgets, around: &Around) -> Result<Persistence> {
    let layer = Swap { name, forgets, into: ALIAS, back: true, tails: Mutex::default() };
    around.outside().plugin(layer).layer(around.inside()).backend(around.backend()).build()
}

/// Puts one text in the place of another, and back where it restores.
struct Swap {
    name: &'static str,
    forgets: Forgets,
    into: &'static str,
    back: bool,
    /// What is held back of each message.
    tails: Mutex<HashMap<Key, String>>,
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
                let tail = self.tails().get(&key).cloned().unwrap_or_default();
                let stored =
                    if needs_what_is_stored(&asked, &key) {
                        let get = GetMessage { thread: key.1.clone(), id: key.2.clone() };
                        let message = next.read(&context, get).await?;
                        Some(message.map_or_else(ContentBuffer::default, |message| {
                            ContentBuffer::new(&message.content)
                        }))
                    } else {
                        None
                    };
                open.insert(key, Open { tail, stored });
            }
            self.down(&context, &mut args, &mut open);
        }
        if self.forgets == Forgets::Failures {
            self.keep(&open);
        }
        let reply = next.run(Call { op: same(args), context: context.clone() }).await?;
        let (mut result, receipt, mut extensions) = (reply.output.into(), reply.receipt, reply.extensions);
        if !result.is_deduplicated() {
            self.keep(&open);
        } else if self.forgets == Forgets::Replays {
            open.values_mut().for_each(|open| open.tail.clear());
            self.keep(&open);
        }
        let held = self.held(&context, &asked, &open);
        if held > 0 {
            extensions.insert(HeldBack(held));
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

/// Whether a call appends what cannot be appended without the text that stands there.
fn needs_what_is_stored(args: &PersistArgs, key: &Key) -> bool {
    args.each().any(|item| match item {
        PersistArgs::UpdateContent(UpdateContent { thread, id, change, mode, .. }) => {
            let appends = match change {
                ContentChange::Append(Delta::Blocks(_)) => true,
                ContentChange::Append(Delta::Text(_)) => *mode == UpdateMode::Edit,
                ContentChange::Replace(_) => false,
            };
            (thread, id) == (&key.1, &key.2) && appends
        }
        _ => false,
    })
}

impl Swap {
    fn tails(&self) -> std::sync::MutexGuard<'_, HashMap<Key, String>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, open: &HashMap<Key, Open>) {
        let mut tails = self.tails();
        for (key, open) in open {
            tails.insert(key.clone(), open.tail.clone());
        }
        tails.retain(|_, tail| !tail.is_empty());
    }

    /// How many bytes are held back of what a call is about.
    fn held(&self, context: &Context, asked: &PersistArgs, open: &HashMap<Key, Open>) -> usize {
        let tails = self.tails();
        let of = |key: &Key| tails.get(key).map_or(0, String::len);
        match asked {
            _ if self.forgets == Forgets::HeldBack => 0,
            PersistArgs::Read(ReadArgs::Get(_)) if self.forgets == Forgets::HeldBackInReads => 0,
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
            (Forgets::Edits, PersistArgs::UpdateContent(update)) => update.mode == UpdateMode::Edit,
            _ => false,
        }
    }

    /// Whether what is answered is forgotten.
    fn forgets_back(&self, asked: &PersistArgs) -> bool {
        match self.forgets {
            Forgets::Pages => matches!(asked, PersistArgs::Read(ReadArgs::Page(_))),
            Forgets::Answers => asked.kind() != OpKind::Read,
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
        let in_batch = matches!(args, PersistArgs::Batch(_));
        let items = match args {
            PersistArgs::Batch(batch) => &mut batch.items[..],
            one => std::slice::from_mut(one),
        };
        for item in items {
            let open = key_of(context, item).and_then(|key| open.get_mut(&key));
            match (item, open) {
                (PersistArgs::UpdateContent(update), Some(open)) => {
                    let change = std::mem::replace(&mut update.change, ContentChange::none());
                    self.swap(update, SECRET, self.into);
                    update.change = self.change(change, &update.mode, open, in_batch);
                }
                (item, Some(open)) => {
                    *open = Open {
                        tail: String::new(),
                        stored: open.stored.take().map(|_| ContentBuffer::default()),
                    };
                    self.swap(item, SECRET, self.into);
                }
                (item, None) => self.swap(item, SECRET, self.into),
            }
        }
    }

    /// What becomes of one change of a message.
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
                    all.push(&Delta::Text(tail));
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

    /// A content that text may continue: its end is held back where it `holds`.
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
        // Every word that stood whole before a place has moved it; no mark begins or ends inside of one.
        let moved = |at: u32| {
            let before = stored[..at as usize].matches(self.into).count();
            u32::try_from(at as usize + before * SECRET.len() - before * self.into.len()).expect("a place")
        };
        for (from, to) in &mut hit.marks {
            (*from, *to) = (moved(*from), moved(*to));
        }
    }

    fn swap(&self, carrier: &mut impl CarriesContent, from: &str, into: &str) {
        for place in carrier.places_mut() {
            let is_of_a_thread = place.message.is_none();
            match place.slot {
                SlotMut::Whole(content) => *content = self.content(content, from, into),
                SlotMut::Delta(Delta::Text(text)) => *text = text.replace(from, into),
                SlotMut::Delta(Delta::Blocks(blocks)) => *blocks = self.content(blocks, from, into),
                SlotMut::Metadata(_) if self.forgets == Forgets::Metadata => {}
                SlotMut::Metadata(_) if is_of_a_thread && self.forgets == Forgets::Annotations => {}
                SlotMut::Metadata(metadata) => {
                    let json = serde_json::to_string(metadata).expect("metadata serializes");
                    *metadata =
                        serde_json::from_str::<Metadata>(&json.replace(from, into)).expect("metadata");
                }
                SlotMut::Reason(_) if self.forgets == Forgets::Reasons => {}
                SlotMut::Reason(reason) => *reason = reason.replace(from, into),
                SlotMut::Title(_) if self.forgets == Forgets::Titles => {}
                SlotMut::Title(title) => {
                    *title = Title::new(title.as_str().replace(from, into)).expect("a title");
                }
                SlotMut::Preview(_) if self.forgets == Forgets::Previews => {}
                SlotMut::Preview(preview) => *preview = preview.replace(from, into),
                _ => {}
            }
        }
    }

    fn content(&self, content: &Content, from: &str, into: &str) -> Content {
        if self.forgets == Forgets::Nesting && !content.as_json().starts_with(r#"[{"type":"text""#) {
            return content.clone();
        }
        Content::from_json(content.as_json().replace(from, into)).expect("an array")
    }
}
