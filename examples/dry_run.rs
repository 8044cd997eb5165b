//! A plugin that answers every write itself, as a dry run: no write reaches the store.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use throughline::{
    Context, MessageState, NewMessage, PersistArgs, PersistResult, Persistence, Revision, Role, Seq,
    Timestamp,
    memory::MemoryBackend,
    messages::{
        Add, Added, Batch, Batched, ContentUpdated, Delete, Deleted, PageFrom, Reserved, UpdateContent,
        UpdateMode, Updated,
    },
    plugin::respond,
};

/// Returns the answer to a write. Returns `None` for a read, which continues to the store.
fn simulate(args: &PersistArgs, context: &Context) -> Option<PersistResult> {
    Some(match args {
        PersistArgs::Add(add) => {
            let message = add.to_message(context.tenant(), Seq::FIRST, Timestamp::now());
            Added { message, deduplicated: false }.into()
        }
        PersistArgs::Reserve(reserve) => {
            let message = reserve.to_message(context.tenant(), Seq::FIRST, Timestamp::now());
            Reserved { message, deduplicated: false }.into()
        }
        PersistArgs::UpdateContent(update) => updated(update).into(),
        PersistArgs::Update(update) => {
            let mut metadata = update.where_absent.clone();
            metadata.apply(&update.metadata);
            Updated {
                thread: update.thread.clone(),
                id: update.id.clone(),
                seq: Seq::FIRST,
                metadata,
                kept: Vec::new(),
                attachments: update.attachments.clone().unwrap_or_default(),
                revision: update.expected.unwrap_or(Revision::FIRST),
                deduplicated: false,
            }
            .into()
        }
        PersistArgs::Delete(delete) => Deleted {
            thread: delete.thread.clone(),
            id: delete.id.clone(),
            seq: Seq::FIRST,
            revision: delete.expected.unwrap_or(Revision::FIRST),
            state: MessageState::Final,
            attachments: Vec::new(),
            deduplicated: false,
        }
        .into(),
        PersistArgs::Batch(batch) => {
            let outputs = batch.items.iter().filter_map(|item| simulate(item, context)).collect();
            Batched { outputs, deduplicated: false }.into()
        }
        _ => return None,
    })
}

/// Returns the answer to an update of content, with the revision and the state that the store would return.
fn updated(update: &UpdateContent) -> ContentUpdated {
    let revision_before = update.expected.unwrap_or(Revision::FIRST);
    let (revision, state) = match update.mode {
        // An empty partial update only renews the lease, so it keeps the revision.
        UpdateMode::Partial if update.change.is_none() => (revision_before, MessageState::Streaming),
        UpdateMode::Partial => (revision_before.next(), MessageState::Streaming),
        UpdateMode::Final | UpdateMode::Edit => (revision_before.next(), MessageState::Final),
        UpdateMode::Abandon { .. } => (revision_before.next(), MessageState::Abandoned),
    };
    ContentUpdated {
        thread: update.thread.clone(),
        id: update.id.clone(),
        revision,
        state,
        deduplicated: false,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dry_run = respond("dry-run", |args, context| simulate(args, context).map(Ok));
    let db = Persistence::builder().plugin(dry_run).backend(MemoryBackend::new()).build()?;
    let thread = db.thread("rehearsal");

    // The host needs no change: each answer has the type and the values that the host expects.
    let added = thread.add(NewMessage::user("hello")).await?.message;
    println!("added {} as {}, revision {}", added.content.as_json(), added.state, added.revision);
    let mut draft = thread.reserve(Role::Assistant).await?;
    draft.append("Good ").await?;
    draft.flush().await?;
    draft.append("morning.").await?;
    let reply = draft.finish().await?;
    println!("finished the reply as {}, revision {}", reply.state, reply.revision);
    assert_eq!((reply.state, reply.revision.get()), (MessageState::Final, 3));
    let id = thread.id()?;
    let batch = Batch::new()
        .with(Add::new(id.clone(), NewMessage::user("x")))
        .with(Delete::new(id.clone(), added.id));
    assert_eq!(db.batch(batch).await?.outputs.len(), 2);

    // A committed write has a position. A simulated one has none.
    let receipt = thread.add(NewMessage::user("again")).reply().await?.receipt;
    assert!(receipt.position.is_none());
    let stored = thread.page(PageFrom::Start, 10).await?.messages;
    println!("messages in the store: {}", stored.len());
    assert!(stored.is_empty());
    db.close().await?;
    Ok(())
}
