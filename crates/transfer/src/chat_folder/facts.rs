//! Reads the facts about a chat from its header and its catalog entry, and converts them to and from a thread.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_core::{
    Labels, Metadata, NewThread, OwnerId, ThreadId, Timestamp, Title,
    threads::{ForkPoint, ThreadSummary},
};

use super::{ChatId, MARK, SCHEMA_VERSION, turn::Kind};
use crate::{
    FindingKind, iso8601,
    object::{Object, Patched, quoted},
};

/// The metadata key of a thread for the header of its chat, byte for byte.
const HEADER: &str = "chat.header";
/// The metadata key of a thread for the catalog entry of its chat, byte for byte.
const ENTRY: &str = "chat.entry";
/// The title of a chat without a title in the catalog.
const UNTITLED: &str = "Untitled chat";

const HEADER_FIELDS: [&str; 6] = ["type", "schema_version", "guid", "created", "pipeline_id", MARK];
const ENTRY_FIELDS: [&str; 8] =
    ["guid", "title", "created", "updated", "message_count", "preview", "pipeline_id", MARK];

/// The facts about a thread that an import can set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) thread: ThreadId,
    pub(super) title: Title,
    pub(super) owner: Option<OwnerId>,
    pub(super) labels: Labels,
    pub(super) metadata: Metadata,
    pub(super) forked_from: Option<ForkPoint>,
    pub(super) archived: bool,
    /// None if neither the header nor the entry has a time.
    pub(super) created_at: Option<Timestamp>,
}

/// The extra field of an export in a header.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeaderMark {
    thread: ThreadId,
    created_at: Timestamp,
}

/// The extra field of an export in an entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryMark {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<Title>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<OwnerId>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    labels: Labels,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forked_from: Option<ForkPoint>,
    #[serde(default)]
    archived: bool,
}

impl Facts {
    /// Reads the facts from a header and an entry.
    pub(super) fn read(
        id: ChatId,
        header: Option<&Object<'_>>,
        entry: Option<&Object<'_>>,
        warnings: &mut Vec<FindingKind>,
    ) -> Self {
        let mut warn_if_marked = |object: Option<&Object<'_>>| {
            if object.is_some_and(|object| object.raw(MARK).is_some()) {
                warnings.push(FindingKind::WrongField(MARK));
            }
        };
        // A folder that was copied to another name is another chat.
        let header_mark = header
            .and_then(|header| header.get::<HeaderMark>(MARK))
            .filter(|mark| ChatId::of(&mark.thread) == id);
        if header_mark.is_none() {
            warn_if_marked(header);
        }
        let entry_mark = entry.and_then(|entry| entry.get::<EntryMark>(MARK));
        if entry_mark.is_none() {
            warn_if_marked(entry);
        }
        let created = |object: &Object<'_>| iso8601::parse(&object.get::<String>("created")?);
        let created_at = header.and_then(created).or_else(|| entry.and_then(created));
        let title = entry.map_or_else(|| Ok(Title::default()), title_of).unwrap_or_else(|found| {
            warnings.push(found);
            Title::default()
        });
        let id: ThreadId = id.to_string().parse().expect("36 letters, digits and hyphens");
        let (thread, created_at, mut metadata) = match header_mark {
            Some(HeaderMark { thread, created_at }) => (thread, Some(created_at), Metadata::new()),
            None => (id, created_at, kept(HEADER, header)),
        };
        let Some(mark) = entry_mark else {
            metadata = merged(metadata, &kept(ENTRY, entry));
            let (owner, labels, forked_from) = (None, Labels::new(), None);
            return Self { thread, title, owner, labels, metadata, forked_from, archived: false, created_at };
        };
        let EntryMark { title: exact, owner, labels, metadata, forked_from, archived } = mark;
        let metadata = entry.map_or_else(Metadata::new, |entry| with_foreign_fields(metadata, entry));
        let title = exact.unwrap_or(title);
        Self { thread, title, owner, labels, metadata, forked_from, archived, created_at }
    }

    /// Returns the facts of a thread in the store.
    pub(super) fn of(entry: &ThreadSummary) -> Self {
        Self {
            thread: entry.thread.clone(),
            title: entry.title.clone(),
            owner: entry.owner.clone(),
            labels: entry.labels.clone(),
            metadata: entry.metadata.clone(),
            forked_from: entry.forked_from.as_deref().cloned(),
            archived: entry.archived,
            created_at: Some(entry.created_at),
        }
    }

    /// Returns the thread to create.
    pub(super) fn to_new(&self) -> NewThread {
        let Self { thread, title, owner, labels, metadata, forked_from, archived: _, created_at } = self;
        let mut new = NewThread::new()
            .with_id(thread.clone())
            .with_title(title.clone())
            .with_labels(labels.clone())
            .with_metadata(metadata.clone());
        if let Some(owner) = owner {
            new = new.with_owner(owner.clone());
        }
        if let Some(point) = forked_from {
            new = new.forked_from(point.clone());
        }
        match created_at {
            Some(created_at) => new.created_at(*created_at),
            None => new,
        }
    }

    /// Returns the header with these facts; an imported header stays the same.
    pub(super) fn header(&self, id: ChatId) -> String {
        let kept = object_in(&self.metadata, HEADER)
            .filter(|header| !header.contains(['\n', '\r']) && is_of(header, id))
            .filter(|header| {
                Object::parse(header)
                    .is_ok_and(|header| Kind::of(&header) == Kind::Header && header.has_space_for(1))
            });
        let pipeline = object_in(&self.metadata, ENTRY)
            .and_then(|entry| Some(Object::parse(entry).ok()?.raw("pipeline_id")?.get()))
            .filter(|pipeline| !pipeline.contains(['\n', '\r']))
            .unwrap_or("\"\"");
        let created_at = self.created_at.unwrap_or_default();
        let text = match kept {
            Some(header) => header.to_owned(),
            None => format!(
                r#"{{"type":"header","schema_version":{SCHEMA_VERSION},"guid":"{id}","created":"{}","pipeline_id":{pipeline}}}"#,
                iso8601::format(created_at)
            ),
        };
        // The header is kept only if reading it returns the same facts.
        let back = Object::parse(&text).map(|header| Self::read(id, Some(&header), None, &mut Vec::new()));
        let is_enough = kept.is_some()
            && back.is_ok_and(|back| (&back.thread, back.created_at) == (&self.thread, self.created_at));
        if is_enough {
            return text;
        }
        let mark = HeaderMark { thread: self.thread.clone(), created_at };
        Patched::of(&text).set(MARK, &json(&mark)).into_text()
    }

    /// Returns the entry with these facts and the derived values of the messages. An imported entry keeps its bytes if
    /// they match.
    pub(super) fn entry(&self, id: ChatId, header: &str, entry: &ThreadSummary, turns: u64) -> String {
        let base = object_in(&self.metadata, ENTRY)
            .filter(|entry| {
                Object::parse(entry).is_ok_and(|entry| entry.has_space_for(ENTRY_FIELDS.len() + 1))
            })
            .unwrap_or("{}");
        let there = Object::parse(base).expect("it was read as an object");
        let mut text = Patched::of(base);
        let mut set = |name: &str, is_so: bool, value: String| {
            if !is_so {
                text = std::mem::replace(&mut text, Patched::of("{}")).set(name, &value);
            }
        };
        let created_at = self.created_at.unwrap_or_default();
        let time = |name: &str| iso8601::parse(&there.get::<String>(name)?);
        set("guid", is_of(base, id), quoted(&id.to_string()));
        let title = if self.title.is_untitled() { UNTITLED } else { self.title.as_str() };
        let is_titled = there.raw("title").is_some() && title_of(&there).as_ref() == Ok(&self.title);
        set("title", is_titled, quoted(title));
        set("created", there.raw("created").is_some(), quoted(&iso8601::format(created_at)));
        let is_updated = time("updated").is_some_and(|updated| updated >= entry.active_at);
        set("updated", is_updated, quoted(&iso8601::format(entry.active_at)));
        set("message_count", there.get("message_count") == Some(turns), turns.to_string());
        let preview = entry.preview.as_deref().unwrap_or_default();
        set("preview", there.get::<String>("preview").as_deref() == Some(preview), quoted(preview));
        set("pipeline_id", there.raw("pipeline_id").is_some(), "\"\"".to_owned());
        let text = text.into_text();
        let read = |text: &str| {
            let (header, entry) = (Object::parse(header).ok()?, Object::parse(text).ok()?);
            Some(Self::read(id, Some(&header), Some(&entry), &mut Vec::new()))
        };
        let back = read(&text);
        if back.as_ref() == Some(self) {
            return text;
        }
        let mark = EntryMark {
            title: back.filter(|back| back.title != self.title).map(|_| self.title.clone()),
            owner: self.owner.clone(),
            labels: self.labels.clone(),
            metadata: self.metadata.clone(),
            forked_from: self.forked_from.clone(),
            archived: self.archived,
        };
        Patched::of(&text).set(MARK, &json(&mark)).into_text()
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("it holds nothing that does not serialize")
}

/// Returns the title of an entry. Whitespace and the default title count as no title.
fn title_of(entry: &Object<'_>) -> Result<Title, FindingKind> {
    let title: String = match entry.raw("title") {
        None => return Ok(Title::default()),
        Some(_) => entry.get("title").ok_or(FindingKind::WrongField("title"))?,
    };
    if title.trim() == UNTITLED {
        return Ok(Title::default());
    }
    Title::new(title).map_err(|_| FindingKind::TitleTooLong)
}

/// Returns true if an object names this chat.
pub(super) fn is_of(object: &str, id: ChatId) -> bool {
    let guid = Object::parse(object).ok().and_then(|object| object.get::<String>("guid"));
    guid.is_some_and(|guid| guid.parse() == Ok(id))
}

/// Returns an object in metadata, byte for byte.
fn object_in<'a>(metadata: &'a Metadata, key: &str) -> Option<&'a str> {
    let raw = metadata.get(key)?.get();
    Object::parse(raw).is_ok().then_some(raw)
}

fn kept(key: &str, object: Option<&Object<'_>>) -> Metadata {
    let mut metadata = Metadata::new();
    if let Some(object) = object {
        let raw = RawValue::from_string(object.text().to_owned()).expect("it was read as an object");
        metadata.set_raw(key, raw);
    }
    metadata
}

fn merged(mut one: Metadata, other: &Metadata) -> Metadata {
    for (key, value) in other.iter() {
        one.set_raw(key, value.to_owned());
    }
    one
}

/// Keeps the fields that another program added to an exported entry.
fn with_foreign_fields(metadata: Metadata, entry: &Object<'_>) -> Metadata {
    let before = object_in(&metadata, ENTRY).and_then(|before| Object::parse(before).ok());
    let is_known = |name: &str, value: &RawValue| {
        let mut kept = before.iter().flat_map(Object::fields);
        ENTRY_FIELDS.contains(&name) || kept.any(|(there, raw)| there == name && raw.get() == value.get())
    };
    if entry.fields().all(|(name, value)| is_known(name, value)) {
        return metadata;
    }
    let fields = entry.fields().filter(|(name, _)| *name != MARK);
    let fields: Vec<String> =
        fields.map(|(name, value)| format!("{}:{}", quoted(name), value.get())).collect();
    let text = format!("{{{}}}", fields.join(","));
    let kept = Object::parse(&text).map(|object| kept(ENTRY, Some(&object)));
    merged(metadata.clone(), &kept.unwrap_or_default())
}

/// Returns the unknown fields of a header.
pub(super) fn unknown_in_header(header: &Object<'_>) -> Vec<String> {
    unknown(header, &HEADER_FIELDS)
}

/// Returns the unknown fields of an entry.
pub(super) fn unknown_in_entry(entry: &Object<'_>) -> Vec<String> {
    unknown(entry, &ENTRY_FIELDS)
}

fn unknown(object: &Object<'_>, known: &[&str]) -> Vec<String> {
    object.fields().map(|(name, _)| name).filter(|name| !known.contains(name)).map(str::to_owned).collect()
}
