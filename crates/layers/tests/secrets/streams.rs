//! Content that is written in parts is stored as the redaction of the whole.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use throughline_core::{
    Admitted, Backend, Capabilities, Content, Delta, Durability, MessageId, MessageState, NewReservation,
    OpKind, Persistence, Reply, Result, Revision, Role, Seq, Timestamp,
    messages::{ContentBuffer, ContentChange, ContentUpdated, Reserve, Reserved, UpdateContent, UpdateMode},
};
use throughline_layers::redact::{RedactLayer, Redactor};

use crate::formats::{CONTEXTS, base64, escapes, hex, is_joined, percent, secrets, shown};

/// A store that keeps the content of open messages.
#[derive(Clone, Default)]
struct Store(std::sync::Arc<Mutex<HashMap<MessageId, (u64, ContentBuffer)>>>);

impl Backend for Store {
    fn name(&self) -> &str {
        "store"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Volatile).with_operations(&[OpKind::Reserve, OpKind::UpdateContent])
    }

    async fn reserve(&self, call: Admitted<'_, Reserve>) -> Result<Reply<Reserve>> {
        let (op, context, _) = call.into_parts();
        let message = op.to_message(context.tenant(), Seq::FIRST, Timestamp::from_micros(0));
        let buffer = ContentBuffer::new(&message.content);
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        messages.insert(message.id.clone(), (message.revision.get(), buffer));
        Ok(Reply::new(Reserved { message, deduplicated: false }))
    }

    async fn update_content(&self, call: Admitted<'_, UpdateContent>) -> Result<Reply<UpdateContent>> {
        let (op, _, _) = call.into_parts();
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (revision, buffer) = messages.get_mut(&op.id).unwrap();
        if !op.change.is_none() || op.mode == UpdateMode::Final {
            *revision += 1;
        }
        match op.change {
            ContentChange::Append(delta) => buffer.push(&delta),
            ContentChange::Replace(content) => *buffer = ContentBuffer::new(&content),
        }
        let state = if op.mode == UpdateMode::Final { MessageState::Final } else { MessageState::Streaming };
        let revision = Revision::new(*revision);
        Ok(Reply::new(ContentUpdated { thread: op.thread, id: op.id, revision, state, deduplicated: false }))
    }
}

/// Writes a message in parts, and returns its stored content at the end.
async fn stored(db: &Persistence, store: &Store, id: &str, parts: &[&str]) -> Content {
    let (thread, id): (_, MessageId) = ("t".parse().unwrap(), id.parse().unwrap());
    let new = NewReservation::new(Role::Assistant).with_id(id.clone());
    db.run(Reserve::new(thread, new)).await.unwrap();
    for (number, part) in parts.iter().enumerate() {
        let mode = if number + 1 == parts.len() { UpdateMode::Final } else { UpdateMode::Partial };
        let change = ContentChange::Append(Delta::text(*part));
        db.run(UpdateContent::new("t".parse().unwrap(), id.clone(), change, mode)).await.unwrap();
    }
    let messages = store.0.lock().unwrap_or_else(PoisonError::into_inner);
    messages[&id].1.content()
}

/// Divides the text where the secret begins, inside of it, near its end, and every few characters.
fn cuts(text: &str, secret: usize) -> Vec<Vec<&str>> {
    let boundary = |at: usize| text.floor_char_boundary(at.min(text.len()));
    let (first, middle, last) = (boundary(secret + 3), boundary((secret + text.len()) / 2), text.len() - 1);
    let last = boundary(last);
    let mut small = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(rest.ceil_char_boundary(11.min(rest.len())));
        small.push(part);
        rest = behind;
    }
    vec![
        vec![&text[..first], &text[first..]],
        vec![&text[..first], &text[first..middle.max(first)], &text[middle.max(first)..]],
        vec![&text[..last], &text[last..], ""],
        small,
    ]
}

#[tokio::test]
async fn a_message_that_is_written_in_parts_is_stored_as_the_redacted_whole() {
    let (store, redactor) = (Store::default(), Redactor::secrets());
    let db = Persistence::builder().layer(RedactLayer::secrets()).backend(store.clone()).build().unwrap();
    let (mut wrong, mut looked_at, mut hidden) = (Vec::new(), 0, 0);
    for (number, (name, secret)) in secrets().iter().enumerate() {
        for (context, (before, write, after)) in CONTEXTS.iter().enumerate() {
            // Each context once for each format.
            if (number + context) % 4 != 0 || is_joined(name, before) {
                continue;
            }
            let text = format!("{before}{}{after}", write(secret));
            let whole = redactor.redact(&text).map_or_else(|| text.clone(), |(stored, _)| stored);
            hidden += usize::from(whole != text);
            for (cut, parts) in cuts(&text, before.len()).iter().enumerate() {
                looked_at += 1;
                let id = format!("{number}-{context}-{cut}");
                let content = stored(&db, &store, &id, parts).await;
                if content != Content::text(&whole) {
                    wrong.push(format!(
                        "{name}: {parts:?}\n    is stored as {}, not as {whole}",
                        content.as_json()
                    ));
                }
            }
        }
    }
    println!("{looked_at} messages in parts");
    assert!(looked_at >= 9_000 && hidden * 4 == looked_at, "{looked_at} messages, {hidden} texts");
    assert!(wrong.is_empty(), "{} of {looked_at} are wrong:\n{}", wrong.len(), shown(&wrong));
}

#[test]
fn buffered_text_is_bounded() {
    let redactor = Redactor::secrets();
    assert!(redactor.longest_tail() <= 2048, "{}", redactor.longest_tail());
    for (_, secret) in secrets() {
        for text in [base64(&secret), hex(&secret), percent(&secret), escapes(&secret)] {
            assert!(redactor.redact(&text).is_some(), "{text}");
        }
    }
}
