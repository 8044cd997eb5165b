//! A reply is streamed, its writer dies, and the next process cleans up after it.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, path::Path, time::Duration};

use throughline::{
    Coalesce, MessageId, MessageState, NewMessage, NewReservation, PageFrom, Persistence, Role, Visibility,
    sqlite::SqliteBackend,
};

/// How long a writer is taken to be alive without a sign. A host leaves it at a minute; this example has no patience.
const LEASE: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("chat.db");
    let id = first_process(&file).await?;
    second_process(&file, id).await
}

/// Streams one reply to its end, and dies in the middle of another.
async fn first_process(file: &Path) -> Result<MessageId, Box<dyn Error>> {
    let db = Persistence::builder().backend(SqliteBackend::open(file).await?).build()?;
    let thread = db.thread("telegram:42");
    thread.add(NewMessage::user("Count to three, twice.")).await?;

    // The id is known before the first token, so that every event sent to a client can carry it.
    let mut draft = thread.reserve(Role::Assistant).await?;
    for token in ["one", ", two", ", three"] {
        draft.append(token).await?;
    }
    // What was appended is streamed; what the watermark says is durable. Only that may be shown as saved.
    println!("streamed {} bytes, committed {}", draft.streamed_bytes(), draft.committed().bytes);
    draft.finish().await?;
    assert_eq!(draft.committed().bytes, "one, two, three".len() as u64);

    let reservation = NewReservation::new(Role::Assistant).with_lease(LEASE);
    let coalesce = Coalesce { interval: Duration::from_millis(20), bytes: 64 };
    let mut draft = thread.reserve(reservation).coalesce(coalesce).await?;
    draft.append("one, two").await?;
    let saved = draft.flush().await?;
    println!("committed {} bytes of the second reply; then the writer dies", saved.bytes);
    draft.append(", thr").await?;
    let id = draft.id().clone();
    drop(draft);
    db.close().await?;
    Ok(id)
}

/// Finds what the first one left, and settles it once nobody can be writing it any more.
async fn second_process(file: &Path, id: MessageId) -> Result<(), Box<dyn Error>> {
    let db = Persistence::builder().backend(SqliteBackend::open(file).await?).build()?;
    let thread = db.thread("telegram:42");
    let open = db.open_reservations(10).await?.messages;
    println!("left open: {} message, state {}", open.len(), open[0].state);
    assert_eq!((open.len(), &open[0].id, open[0].state), (1, &id, MessageState::Streaming));

    // Safe at any time and in any number of processes: a writer whose lease is alive is not touched.
    while db.sweep_expired("its writer is gone").await?.abandoned.is_empty() {
        tokio::time::sleep(LEASE / 4).await;
    }
    let kept = thread.get(id).await?.ok_or("what was committed is kept")?;
    println!(
        "after the sweep: {}, {} ({})",
        kept.state,
        kept.content.as_json(),
        kept.abandon_reason.unwrap_or_default()
    );
    assert_eq!(kept.state, MessageState::Abandoned);
    assert_eq!(kept.content.as_json(), r#"[{"type":"text","text":"one, two"}]"#);

    // The history for a model has complete messages only.
    let history = thread.page_showing(PageFrom::Start, 10, Visibility::Final).await?.messages;
    assert_eq!(history.len(), 2);
    db.close().await?;
    Ok(())
}
