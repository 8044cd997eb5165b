//! Decrypts the answers of the store.

use super::{
    Unreadable,
    binding::Field,
    chunks::{self, MessageInfo},
    ciphertext::Ciphertext,
    key_set::KeySet,
};
use crate::transform::{refuse_row_images, refuse_unknown};
use throughline_core::{
    Content, ErrorKind, Message, MessageId, Metadata, PersistArgs, PersistError, PersistResult, ReadResult,
    Result, ThreadId, Title,
    changes::QuarantinedChanges,
    messages::{Batch, CarriesContent, ContentFieldMut, DamagedMessage, FieldValueMut, Updated},
    sessions::Attempts,
    threads::{ThreadResult, ThreadSummary},
};

/// A call as the caller made it, and as the layer forwarded it.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) original: &'a PersistArgs,
    pub(super) forwarded: &'a PersistArgs,
}

/// Decrypts every content field of an answer.
pub(super) fn open(
    result: &mut PersistResult,
    sent: Option<Sent<'_>>,
    key_set: &mut KeySet<'_>,
) -> Result<()> {
    match result {
        PersistResult::Add(added) => open_written(&mut added.message, sent, key_set),
        PersistResult::Reserve(reserved) => open_written(&mut reserved.message, sent, key_set),
        PersistResult::Update(updated) => open_updated(updated, key_set),
        PersistResult::Batch(batched) => {
            let (original, forwarded) =
                sent.map_or((&[][..], &[][..]), |sent| (items(sent.original), items(sent.forwarded)));
            for (index, output) in batched.outputs.iter_mut().enumerate() {
                // The boundary check refuses an answer with another number of outputs.
                let (Some(original), Some(forwarded)) = (original.get(index), forwarded.get(index)) else {
                    continue;
                };
                open(output, Some(Sent { original, forwarded }), key_set)
                    .map_err(|error| error.with_batch_index(index))?;
            }
            Ok(())
        }
        PersistResult::Thread(result) => match result {
            ThreadResult::Create(changed)
            | ThreadResult::Rename(changed)
            | ThreadResult::Archive(changed)
            | ThreadResult::Label(changed)
            | ThreadResult::Publish(changed)
            | ThreadResult::Rebuild(changed)
            | ThreadResult::Clear(changed) => open_summary(&mut changed.summary, key_set),
            ThreadResult::TakeLast(taken) => {
                taken.message.iter_mut().try_for_each(|message| open_message(message, key_set))
            }
            ThreadResult::Prune(_)
            | ThreadResult::Delete(_)
            | ThreadResult::Purge(_)
            | ThreadResult::Resolve(_) => carries_none(result),
            unknown => Err(refuse_unknown("encrypt", unknown.as_str())),
        },
        PersistResult::Read(result) => open_read(result, key_set),
        PersistResult::UpdateContent(_)
        | PersistResult::Delete(_)
        | PersistResult::Import(_)
        | PersistResult::Consumer(_)
        | PersistResult::Replica(_)
        | PersistResult::Session(_) => carries_none(result),
        unknown => Err(refuse_unknown("encrypt", unknown.kind().as_str())),
    }
}

fn items(args: &PersistArgs) -> &[PersistArgs] {
    match args {
        PersistArgs::Batch(Batch { items, .. }) => items,
        _ => &[],
    }
}

/// Refuses content in an answer that must not carry any: the layer would not decrypt it.
fn carries_none(result: &impl CarriesContent) -> Result<()> {
    if result.content_fields().is_empty() {
        return Ok(());
    }
    let detail = "an answer carries content in a field that the layer does not know";
    Err(PersistError::new(ErrorKind::Internal, detail))
}

fn open_read(result: &mut ReadResult, key_set: &mut KeySet<'_>) -> Result<()> {
    match result {
        ReadResult::Get(message) => message.iter_mut().try_for_each(|message| open_message(message, key_set)),
        // The cursor of the call decides which chunk comes first: see `open_tail`.
        ReadResult::Content(_) => Err(unexpected_field()),
        ReadResult::Page(page) => {
            page.messages.iter_mut().try_for_each(|message| open_message(message, key_set))
        }
        ReadResult::OpenReservations(open) => {
            // As in a list of threads, so that the recovery of expired drafts continues with the other messages.
            for mut message in std::mem::take(&mut open.messages) {
                match open_message(&mut message, key_set) {
                    Ok(()) => open.messages.push(message),
                    Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Gone) => {
                        let Message { thread, seq, id, .. } = message;
                        open.damaged.push(DamagedMessage { thread, seq: Some(seq), id: Some(id) });
                    }
                    Err(error) => return Err(error),
                }
            }
            open.damaged.sort_unstable();
            Ok(())
        }
        ReadResult::Thread(entry) => entry.iter_mut().try_for_each(|entry| open_summary(entry, key_set)),
        ReadResult::Threads(list) => {
            // The list names unreadable threads in `damaged`, so that one of them does not hide the others.
            for mut entry in std::mem::take(&mut list.threads) {
                match open_summary(&mut entry, key_set) {
                    Ok(()) => list.threads.push(entry),
                    Err(_) => list.damaged.push(entry.thread),
                }
            }
            Ok(())
        }
        ReadResult::Search(found) => {
            // The full-text index contains no ciphertext: a hit means that plaintext was planted in the store.
            if !key_set.accepts_plaintext() {
                let planted = std::mem::take(&mut found.hits);
                found.damaged.extend(planted.into_iter().map(|hit| hit.thread));
            }
            Ok(())
        }
        ReadResult::Find(found) => {
            found.messages.iter_mut().try_for_each(|message| open_message(message, key_set))
        }
        ReadResult::Attempts(list) => open_attempts(list, key_set),
        ReadResult::Images(_) => Err(refuse_row_images("encrypt")),
        ReadResult::Quarantined(list) => open_quarantined(list, key_set),
        ReadResult::PlanPrune(_)
        | ReadResult::Purgeable(_)
        | ReadResult::Tenants(_)
        | ReadResult::Changes(_)
        | ReadResult::Audit(_)
        | ReadResult::Cursor(_)
        | ReadResult::ReplicationStatus(_)
        | ReadResult::Aliases(_)
        | ReadResult::Resolve(_) => carries_none(result),
        unknown => Err(refuse_unknown("encrypt", unknown.as_str())),
    }
}

/// Restores the plaintext of a message that this call wrote. A replay returns the forwarded bytes under the id of the
/// first call, for which they were not encrypted; so the function compares bytes.
fn open_written(message: &mut Message, sent: Option<Sent<'_>>, key_set: &mut KeySet<'_>) -> Result<()> {
    let Some(sent) = sent else { return open_message(message, key_set) };
    let (original, forwarded) = match (sent.original, sent.forwarded) {
        (PersistArgs::Add(original), PersistArgs::Add(forwarded)) => {
            ((original.content.clone(), &original.metadata), (forwarded.content.clone(), &forwarded.metadata))
        }
        (PersistArgs::Reserve(original), PersistArgs::Reserve(forwarded)) => {
            ((Content::empty(), &original.metadata), (Content::empty(), &forwarded.metadata))
        }
        _ => return open_message(message, key_set),
    };
    if (&message.content, &message.metadata) != (&forwarded.0, forwarded.1)
        || message.abandon_reason.is_some()
    {
        return open_message(message, key_set);
    }
    message.content = original.0;
    message.metadata = original.1.clone();
    Ok(())
}

/// Decrypts all fields of a message, or returns an error.
pub(super) fn open_message(message: &mut Message, key_set: &mut KeySet<'_>) -> Result<()> {
    let info = MessageInfo {
        revision: message.revision.get(),
        state: message.state,
        accepts_plaintext: key_set.accepts_plaintext(),
    };
    for ContentFieldMut { thread, message, value } in message.content_fields_mut() {
        match value {
            FieldValueMut::Whole(content) => {
                *content = open_content(content, info, thread, message, key_set)
                    .map_err(|why| why.at("content", thread, message))?;
            }
            FieldValueMut::Metadata(metadata) => open_metadata(metadata, thread, message, key_set)?,
            FieldValueMut::Reason(reason) => {
                let field = Field::Reason { revision: info.revision };
                *reason = key_set
                    .open(thread, message, field, reason)
                    .map_err(|why| why.at("reason", thread, message))?;
            }
            FieldValueMut::Delta(_) | FieldValueMut::Title(_) | FieldValueMut::Preview(_) => {
                return Err(unexpected_field());
            }
        }
    }
    Ok(())
}

fn unexpected_field() -> PersistError {
    PersistError::new(ErrorKind::Internal, "an answer carries content where the layer expects none")
}

fn open_content(
    content: &Content,
    info: MessageInfo,
    thread: &ThreadId,
    message: Option<&MessageId>,
    key_set: &mut KeySet<'_>,
) -> Result<Content, Unreadable> {
    let mut plain = false;
    let opened = chunks::assemble(
        content,
        info,
        |chunk| {
            let field = Field::Content { part: chunk.part, revision: chunk.revision };
            key_set.open_ciphertext(thread, message, field, &chunk.ciphertext)
        },
        || plain = true,
    )?;
    if plain {
        let field = Field::Reason { revision: info.revision };
        key_set.met_plaintext(thread, message, field)?;
    }
    Ok(opened)
}

pub(super) fn open_metadata(
    metadata: &mut Metadata,
    thread: &ThreadId,
    message: Option<&MessageId>,
    key_set: &mut KeySet<'_>,
) -> Result<()> {
    let mut opened = Metadata::new();
    for (name, value) in metadata.iter() {
        let field = Field::Metadata(name);
        let text = match serde_json::from_str::<&str>(value.get()) {
            Ok(text) if !matches!(Ciphertext::parse(text), Ok(None)) => {
                key_set.open(thread, message, field, text)
            }
            _ if key_set.accepts_plaintext() => {
                key_set.met_plaintext(thread, message, field).map(|()| value.get().to_owned())
            }
            _ => Err(Unreadable::Plaintext),
        };
        let value = text.and_then(|text| {
            serde_json::value::RawValue::from_string(text).map_err(|_| Unreadable::Malformed)
        });
        opened.set_raw(name, value.map_err(|why| why.at("metadata", thread, message))?);
    }
    *metadata = opened;
    Ok(())
}

pub(super) fn open_title(title: &Title, thread: &ThreadId, key_set: &mut KeySet<'_>) -> Result<Title> {
    if title.is_untitled() {
        return Ok(title.clone());
    }
    let opened = key_set.open(thread, None, Field::Title, title.as_str());
    opened
        .and_then(|text| Title::new(text).map_err(|_| Unreadable::Malformed))
        .map_err(|why| why.at("title", thread, None))
}

fn open_summary(entry: &mut ThreadSummary, key_set: &mut KeySet<'_>) -> Result<()> {
    for ContentFieldMut { thread, message, value } in entry.content_fields_mut() {
        match value {
            FieldValueMut::Title(title) => *title = open_title(title, thread, key_set)?,
            FieldValueMut::Metadata(metadata) => open_metadata(metadata, thread, message, key_set)?,
            // A store derives a preview only from text that it can read.
            FieldValueMut::Preview(_) if key_set.accepts_plaintext() => {}
            FieldValueMut::Preview(_) => return Err(Unreadable::Plaintext.at("preview", thread, None)),
            FieldValueMut::Whole(_) | FieldValueMut::Delta(_) | FieldValueMut::Reason(_) => {
                return Err(unexpected_field());
            }
        }
    }
    Ok(())
}

fn open_updated(updated: &mut Updated, key_set: &mut KeySet<'_>) -> Result<()> {
    for ContentFieldMut { thread, message, value } in updated.content_fields_mut() {
        match value {
            FieldValueMut::Metadata(metadata) => open_metadata(metadata, thread, message, key_set)?,
            _ => return Err(unexpected_field()),
        }
    }
    Ok(())
}

fn open_attempts(list: &mut Attempts, key_set: &mut KeySet<'_>) -> Result<()> {
    let agent = list.agent.clone();
    let with_detail = list.attempts.iter().filter(|attempt| attempt.detail.is_some());
    let runs: Vec<_> = with_detail.map(|attempt| attempt.id.clone()).collect();
    let content_fields = list.content_fields_mut();
    if content_fields.len() != runs.len() {
        return Err(unexpected_field());
    }
    for (ContentFieldMut { thread, message, value }, run) in content_fields.into_iter().zip(&runs) {
        let FieldValueMut::Reason(detail) = value else { return Err(unexpected_field()) };
        let field = Field::RunDetail { agent: agent.as_str(), attempt: run.as_str() };
        *detail = key_set
            .open(thread, message, field, detail)
            .map_err(|why| why.at("detail of a run", thread, message))?;
    }
    Ok(())
}

fn open_quarantined(list: &mut QuarantinedChanges, key_set: &mut KeySet<'_>) -> Result<()> {
    let consumer = list.consumer.clone();
    let positions: Vec<_> = list.changes.iter().map(|change| change.position.get()).collect();
    let content_fields = list.content_fields_mut();
    if content_fields.len() != positions.len() {
        return Err(unexpected_field());
    }
    for (ContentFieldMut { thread, message, value }, position) in content_fields.into_iter().zip(positions) {
        let FieldValueMut::Reason(why) = value else { return Err(unexpected_field()) };
        let field = Field::Quarantine { consumer: consumer.as_str(), position };
        *why = match key_set.open(thread, message, field, why) {
            // The list covers many threads and outlives them, so a shredded thread must not hide the others.
            Err(gone @ Unreadable::Shredded) => gone.to_string(),
            opened => opened.map_err(|error| error.at("reason of a change", thread, message))?,
        };
    }
    Ok(())
}
