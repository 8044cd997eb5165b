//! Small changes of calls and answers, for the faults that need no more.

use throughline_core::{
    Content, Delta, Message, MetadataPatch, PersistArgs, PersistResponse, PersistResult, Position, ReadArgs,
    ReadResult,
    changes::Changes,
    messages::{CarriesContent as _, FieldValueMut, UpdateContent},
    pipeline::Receipt,
    sessions::{Binding, Claimer, Resolution, RunReport, SessionArgs, SessionResult},
    threads::{ListThreads, ThreadList, ThreadResult, ThreadSummary},
};

/// Changes every change of content, in batches too.
pub(super) fn contents(args: &mut PersistArgs, change: fn(&mut UpdateContent)) {
    match args {
        PersistArgs::UpdateContent(update) => change(update),
        PersistArgs::Batch(batch) => batch.items.iter_mut().for_each(|item| contents(item, change)),
        _ => {}
    }
}

/// Changes every JSON of content.
pub(super) fn json(args: &mut PersistArgs, change: fn(&Content) -> Content) {
    for field in args.content_fields_mut() {
        match field.value {
            FieldValueMut::Whole(content) | FieldValueMut::Delta(Delta::Blocks(content)) => {
                *content = change(content);
            }
            _ => {}
        }
    }
}

/// JSON by way of a tree of values.
pub(super) fn by_way_of_a_tree(content: &Content) -> Content {
    let tree = serde_json::from_str::<Vec<serde_json::Value>>(content.as_json());
    // This fault does not change content that a tree cannot represent, such as a lone surrogate.
    tree.map_or_else(|_| content.clone(), |blocks| Content::from_blocks(&blocks).expect("an array"))
}

/// Metadata by way of a tree of values.
pub(super) fn metadata_by_way_of_a_tree(args: &mut PersistArgs) {
    for field in args.content_fields_mut() {
        let FieldValueMut::Metadata(metadata) = field.value else { continue };
        let values: Vec<_> =
            metadata.iter().map(|(name, value)| (name.to_owned(), tree(value.get()))).collect();
        for (name, value) in values {
            if let Some(value) = value {
                metadata.set(name, &value).expect("a value");
            }
        }
    }
}

/// A patch whose values hold no null further in.
pub(super) fn without_inner_nulls(patch: &MetadataPatch) -> MetadataPatch {
    patch.iter().fold(MetadataPatch::new(), |patch, (name, value)| {
        let value = match tree(value.get()) {
            Some(serde_json::Value::Object(mut inner)) => {
                inner.retain(|_, value| !value.is_null());
                tree(&serde_json::Value::Object(inner).to_string())
            }
            value => value,
        };
        patch.set(name, &value).expect("JSON")
    })
}

fn tree(json: &str) -> Option<serde_json::Value> {
    serde_json::from_str(json).ok()
}

/// The first thousand bytes of text, and no more.
pub(super) fn cut_short(content: &Content) -> Content {
    if content.byte_len() <= 1000 { content.clone() } else { Content::text(&"x".repeat(900)) }
}

/// Changes every message that is read.
pub(super) fn messages(response: &mut PersistResponse, change: impl Fn(&mut Message)) {
    let PersistResult::Read(read) = &mut response.result else { return };
    let messages: &mut [Message] = match read {
        ReadResult::Get(message) => message.as_mut_slice(),
        ReadResult::Page(page) => &mut page.messages,
        ReadResult::OpenReservations(open) => &mut open.messages,
        _ => &mut [],
    };
    messages.iter_mut().for_each(change);
}

/// The page of a read of one.
pub(super) fn page<'a>(
    asked: &'a PersistArgs,
    response: &'a mut PersistResponse,
) -> Option<(&'a throughline_core::messages::ReadPage, &'a mut throughline_core::messages::Page)> {
    match (asked, &mut response.result) {
        (PersistArgs::Read(ReadArgs::Page(read)), PersistResult::Read(ReadResult::Page(page))) => {
            Some((read, page))
        }
        _ => None,
    }
}

/// The answer to a tail read, with its call.
pub(super) fn tail<'a>(
    asked: &'a PersistArgs,
    response: &'a mut PersistResponse,
) -> Option<(&'a throughline_core::messages::ReadContent, &'a mut throughline_core::messages::ContentTail)> {
    match (asked, &mut response.result) {
        (
            PersistArgs::Read(ReadArgs::Content(read)),
            PersistResult::Read(ReadResult::Content(Some(tail))),
        ) => Some((read, tail)),
        _ => None,
    }
}

/// The byte bound of a read that has one.
pub(super) fn max_bytes(args: &mut PersistArgs) -> Option<&mut u32> {
    match args {
        PersistArgs::Read(ReadArgs::Page(read)) => Some(&mut read.max_bytes),
        PersistArgs::Read(ReadArgs::Content(read)) => Some(&mut read.limit),
        PersistArgs::Read(ReadArgs::OpenReservations(list)) => Some(&mut list.max_bytes),
        PersistArgs::Read(ReadArgs::Threads(list)) => Some(&mut list.max_bytes),
        PersistArgs::Read(ReadArgs::Audit(read)) => Some(&mut read.max_bytes),
        PersistArgs::Read(ReadArgs::Attempts(list)) => Some(&mut list.max_bytes),
        _ => None,
    }
}

/// Changes every entry of a thread, read or answered to what was done to it.
pub(super) fn entries(response: &mut PersistResponse, change: impl Fn(&mut ThreadSummary)) {
    match &mut response.result {
        PersistResult::Read(ReadResult::Thread(entry)) => entry.iter_mut().for_each(change),
        PersistResult::Read(ReadResult::Threads(list)) => list.threads.iter_mut().for_each(change),
        PersistResult::Thread(
            ThreadResult::Create(changed)
            | ThreadResult::Rename(changed)
            | ThreadResult::Archive(changed)
            | ThreadResult::Label(changed)
            | ThreadResult::Publish(changed)
            | ThreadResult::Rebuild(changed)
            | ThreadResult::Clear(changed),
        ) => change(&mut changed.summary),
        _ => {}
    }
}

/// The list of a read of one.
pub(super) fn list<'a>(
    asked: &'a PersistArgs,
    response: &'a mut PersistResponse,
) -> Option<(&'a ListThreads, &'a mut ThreadList)> {
    match (asked, &mut response.result) {
        (PersistArgs::Read(ReadArgs::Threads(read)), PersistResult::Read(ReadResult::Threads(list))) => {
            Some((read, list))
        }
        _ => None,
    }
}

/// The change events of an answer to a read of changes.
pub(super) fn reported(response: &mut PersistResponse) -> Option<&mut Changes> {
    match &mut response.result {
        PersistResult::Read(ReadResult::Changes(changes)) => Some(changes),
        _ => None,
    }
}

/// Puts a change at another position, if it has one.
pub(super) fn position(response: &mut PersistResponse, change: fn(u64) -> u64) {
    if let Some(position) = response.receipt.position {
        response.receipt = Receipt::at(Position::new(change(position.get())));
    }
}

/// The operation on sessions, if the call is one.
pub(super) fn session(args: &mut PersistArgs) -> Option<&mut SessionArgs> {
    match args {
        PersistArgs::Session(session) => Some(session),
        _ => None,
    }
}

/// The claimer of the call, if it has one.
pub(super) fn claimer(args: &mut PersistArgs) -> Option<&mut Claimer> {
    match args {
        PersistArgs::Session(SessionArgs::Begin(begin)) => Some(&mut begin.claimer),
        PersistArgs::Read(ReadArgs::Resolve(read)) => Some(&mut read.claimer),
        _ => None,
    }
}

/// Changes what every run says at its end, in batches too.
pub(super) fn ends(args: &mut PersistArgs, change: fn(&mut RunReport)) {
    match args {
        PersistArgs::Session(SessionArgs::Confirm(confirm)) => change(&mut confirm.report),
        PersistArgs::Session(SessionArgs::Fail(fail)) => change(&mut fail.report),
        PersistArgs::Session(SessionArgs::Cancel(cancel)) => change(&mut cancel.report),
        PersistArgs::Batch(batch) => batch.items.iter_mut().for_each(|item| ends(item, change)),
        _ => {}
    }
}

/// Changes what a claimer is answered, at a look and at the beginning of a run.
pub(super) fn resolution(response: &mut PersistResponse, change: impl FnOnce(&mut Resolution)) {
    match &mut response.result {
        PersistResult::Read(ReadResult::Resolve(resolved)) => change(&mut resolved.resolution),
        PersistResult::Session(SessionResult::Begin(begun)) => change(&mut begun.resolution),
        _ => {}
    }
}

/// Changes every stored session state in an answer.
pub(super) fn bindings(response: &mut PersistResponse, change: impl Fn(&mut Binding)) {
    resolution(response, |resolution| resolution.binding.iter_mut().for_each(|binding| change(binding)));
    if let PersistResult::Session(
        SessionResult::Pin(changed)
        | SessionResult::Confirm(changed)
        | SessionResult::Fail(changed)
        | SessionResult::Cancel(changed)
        | SessionResult::Reset(changed)
        | SessionResult::Retire(changed)
        | SessionResult::ClearIf(changed)
        | SessionResult::Adopt(changed),
    ) = &mut response.result
    {
        change(&mut changed.binding);
    }
}
