//! Streams a reply whose writer dies. A second process recovers the open message and makes the next attempt at the reply.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, path::Path, time::Duration};

use throughline::{
    Content, MessageId, MessageState, NewMessage, NewReservation, Persistence, Role, Thread,
    messages::{Coalesce, PageFrom, ReplyAttempt, Visibility},
    sqlite::SqliteBackend,
};

/// The lease of a writer. It is short to keep the example fast; a host keeps the default of one minute.
const LEASE: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("chat.db");
    let id = first_process(&file).await?;
    second_process(&file, id).await
}

/// Streams one reply to its end, and drops the writer of a second reply in the middle.
async fn first_process(file: &Path) -> Result<MessageId, Box<dyn Error>> {
    let db = Persistence::builder().backend(SqliteBackend::open(file).await?).build()?;
    let thread = db.thread("telegram:42");
    thread.add(NewMessage::user("Count to three, twice.")).await?;

    // The id exists before the first token, so every event for a client can carry it.
    let mut draft = thread.reserve(Role::Assistant).await?;
    for token in ["one", ", two", ", three"] {
        draft.append(token).await?;
    }
    // `streamed_bytes` counts all appended text; `committed` is the durable part. Show only that part as saved.
    println!("streamed {} bytes, committed {}", draft.streamed_bytes(), draft.committed().bytes);
    draft.finish().await?;
    assert_eq!(draft.committed().bytes, "one, two, three".len() as u64);

    // This reply has an idempotency key, because the platform can deliver its request again.
    let ReplyAttempt::Begun { mut draft, number: 1 } = next_attempt(&thread).await? else {
        return Err("no attempt was made before".into());
    };
    draft.append("one, two").await?;
    let saved = draft.flush().await?;
    println!("committed {} bytes of the second reply; then the writer dies", saved.bytes);
    draft.append(", thr").await?;
    let id = draft.id().clone();
    drop(draft);
    db.close().await?;
    Ok(id)
}

/// Begins the next attempt at the second reply.
async fn next_attempt(thread: &Thread) -> throughline::Result<ReplyAttempt> {
    let reservation = NewReservation::new(Role::Assistant).with_lease(LEASE);
    let coalesce = Coalesce { interval: Duration::from_millis(20), bytes: 64 };
    thread.reserve(reservation).key("reply-to-update-1007").coalesce(coalesce).next_attempt().await
}

/// Recovers the draft of the first process after its lease has expired, and makes the next attempt at the reply.
async fn second_process(file: &Path, id: MessageId) -> Result<(), Box<dyn Error>> {
    let db = Persistence::builder().backend(SqliteBackend::open(file).await?).build()?;
    let thread = db.thread("telegram:42");
    let open = db.open_reservations(10).await?.messages;
    println!("left open: {} message, state {}", open.len(), open[0].state);
    assert_eq!((open.len(), &open[0].id, open[0].state), (1, &id, MessageState::Streaming));

    // Recovery is safe at any time and in any number of processes: it skips every draft whose lease is current.
    while db.recover_expired_drafts("its writer is gone").await?.abandoned.is_empty() {
        tokio::time::sleep(LEASE / 4).await;
    }
    let kept = thread.get(id).await?.ok_or("committed content is kept")?;
    println!(
        "after the recovery: {}, {} ({})",
        kept.state,
        kept.content.as_json(),
        kept.abandon_reason.unwrap_or_default()
    );
    assert_eq!(kept.state, MessageState::Abandoned);
    assert_eq!(kept.content, Content::text("one, two"));

    // The platform delivers the request again. A plain `reserve` with the same key would return the abandoned message.
    let ReplyAttempt::Begun { mut draft, number: 2 } = next_attempt(&thread).await? else {
        return Err("the first attempt was abandoned".into());
    };
    draft.append("one, two, three").await?;
    draft.finish().await?;
    // One more delivery returns the finished reply.
    let ReplyAttempt::Finished(reply) = next_attempt(&thread).await? else {
        return Err("the second attempt was finished".into());
    };
    println!("delivered again: attempt 2 answers {}", reply.content.as_json());
    assert_eq!(reply.content, Content::text("one, two, three"));

    // The history for a model contains only final messages.
    let history = thread.page_showing(PageFrom::Start, 10, Visibility::Final).await?.messages;
    assert_eq!(history.len(), 3);
    db.close().await?;
    Ok(())
}
