//! One thread of the database.

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;
use throughline_core::{MessageId, NewThread, ThreadId, Timestamp};

use super::{Zed, message, read::Threads};
use crate::{
    FindingKind, Format, Location, TransferError,
    import::Conversation,
    iso8601,
    object::{Object, each_element, quoted},
    record,
};

/// The known versions. The first threads have none.
const VERSIONS: [&str; 3] = ["0.1.0", "0.2.0", "0.3.0"];

/// The columns of a thread beyond its data.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) summary: Option<String>,
    pub(super) updated_at: Option<Timestamp>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) parent_id: Option<String>,
    pub(super) folder_paths: Option<String>,
    pub(super) folder_paths_order: Option<String>,
}

/// Sends a thread; `None` if the receiver stopped.
pub(super) fn take(
    id: ThreadId,
    found: &Object<'_>,
    columns: &Columns,
    threads: &mut Threads<'_>,
    location: &Location,
) -> Result<Option<()>, TransferError> {
    let Some(list) = found.raw("messages").filter(|list| list.get().starts_with('[')) else {
        threads.report.skip(location, FindingKind::WrongField("messages"));
        return Ok(Some(()));
    };
    let version = found.get::<String>("version").unwrap_or_default();
    if found.raw("version").is_some() && !VERSIONS.contains(&&*version) {
        threads.report.warn(location, FindingKind::Newer(version));
    }
    let updated_at = columns.updated_at.or_else(|| iso8601::parse(&found.get::<String>("updated_at")?));
    if updated_at.is_none() {
        threads.report.warn(location, FindingKind::NoTime("updated_at"));
    }
    let time = updated_at.or(columns.created_at).unwrap_or(Timestamp::from_micros(0));
    let (messages, has_more) = messages(list);
    if has_more {
        threads.report.skip(location, FindingKind::TooManyMessages { max: Zed::MAX_MESSAGES });
    }
    let new = new(&id, found, columns, time, threads, location);
    let mut ids = HashSet::new();
    let first = messages.iter().filter_map(|(id, _)| id.as_ref().ok());
    match threads.begin(Conversation::new(id, new, location.clone()), first)? {
        None => return Ok(None),
        Some(false) => return Ok(Some(())),
        Some(true) => {}
    }
    for (id, json) in messages {
        let id = match id {
            Ok(id) if ids.insert(id.clone()) => id,
            Ok(_) => {
                threads.report.skip(location, FindingKind::Twice);
                continue;
            }
            Err(found) => {
                threads.report.skip(location, found);
                continue;
            }
        };
        let row = match message::row(&id, json, time) {
            Ok((row, warning)) => {
                if let Some(found) = warning {
                    threads.report.warn(location, found);
                }
                row
            }
            Err(found) => {
                threads.report.warn(location, found);
                record::kept_whole(id, json.get(), time)
            }
        };
        if threads.message(row, location).is_none() {
            return Ok(None);
        }
    }
    Ok(threads.end())
}

type Named<'a> = (Result<MessageId, FindingKind>, &'a RawValue);

/// Returns the messages with their ids, and whether there are more than the limit.
fn messages(list: &RawValue) -> (Vec<Named<'_>>, bool) {
    let (mut found, mut has_more) = (Vec::new(), false);
    // The id of the last user message, and the number of messages after it.
    let (mut user, mut number) = ("start".to_owned(), 0);
    // How often an id of the older versions occurred.
    let mut occurred: HashMap<String, u32> = HashMap::new();
    let read = each_element(list, |json| {
        if found.len() == Zed::MAX_MESSAGES {
            has_more = true;
            return;
        }
        let id = match message::named(json) {
            message::Named::User(id) => {
                (user, number) = (id.clone(), 0);
                id
            }
            message::Named::Numbered(id) => {
                let times = occurred.entry(id.clone()).or_default();
                *times += 1;
                if *times == 1 { id } else { format!("{id}/{times}") }
            }
            message::Named::Other => {
                number += 1;
                format!("{user}/{number}")
            }
        };
        found.push((MessageId::new(id).map_err(FindingKind::InvalidId), json));
    });
    debug_assert!(read.is_ok(), "it was read as JSON");
    (found, has_more)
}

/// Returns the thread with its title, its times, its parent and the other fields.
fn new(
    id: &ThreadId,
    found: &Object<'_>,
    columns: &Columns,
    time: Timestamp,
    threads: &mut Threads<'_>,
    location: &Location,
) -> NewThread {
    let mut new = record::thread(Format::Zed, id).created_at(columns.created_at.unwrap_or(time).min(time));
    let title = columns.summary.clone().or_else(|| found.get("title")).or_else(|| found.get("summary"));
    if let Some(title) = title {
        new = new.with_title(record::title(&title, location, threads.report));
    }
    let mut rest = record::without(found, &["messages"]);
    for (name, value) in
        [("folder_paths", &columns.folder_paths), ("folder_paths_order", &columns.folder_paths_order)]
    {
        if let Some(value) = value {
            rest = Object::parse(&rest).expect("it was read as an object").with(name, &quoted(value));
        }
    }
    if rest.len() > record::MAX_METADATA {
        // It has the changes of the working directory.
        let object = Object::parse(&rest).expect("it was read as an object");
        rest = record::without(&object, &["initial_project_snapshot"]);
        threads.report.warn(location, FindingKind::TooLarge { max: record::MAX_METADATA });
    }
    let mut metadata = if rest.len() > record::MAX_METADATA {
        Default::default()
    } else {
        record::metadata(record::RECORD, rest)
    };
    let context = found.raw("subagent_context").and_then(|context| Object::read(context.get()).ok());
    let parent = columns.parent_id.clone().or_else(|| context?.get("parent_thread_id"));
    if let Some(parent) = parent {
        metadata.set_raw(record::PARENT, record::raw(quoted(&parent)));
    }
    new.with_metadata(metadata)
}
