//! Runs two consumers of the change feed: one of the example, and the JSONL mirror of the crate.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    error::Error,
    fs,
    sync::{Arc, Mutex, PoisonError},
};

use throughline::{
    BoxError, NewMessage, Persistence,
    effects::{Consumer, Effects, Event, JsonlMirror},
    memory::MemoryBackend,
};

/// Counts the words of each message. Delivery is at least once, so it sets the count of a message and never adds to it.
#[derive(Default)]
struct WordCounts(Mutex<std::collections::BTreeMap<String, usize>>);

impl WordCounts {
    fn total(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Consumer for WordCounts {
    fn name(&self) -> &str {
        "words"
    }

    async fn handle(&self, event: Event) -> Result<(), BoxError> {
        let Some(changed) = event.change.kind.message() else { return Ok(()) };
        let key = format!("{} {}", event.change.thread, changed.id);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event.message {
            Some(message) => counts.insert(key, message.content.as_json().split_whitespace().count()),
            None => counts.remove(&key),
        };
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
    let (words, mirror) = (Arc::new(WordCounts::default()), JsonlMirror::open(folder.path()).await?);
    let file = mirror.file_of(db.tenant(), &"journal".parse()?);
    let effects = Effects::builder(db.clone()).consumer(Arc::clone(&words)).consumer(mirror).start().await?;

    let thread = db.thread("journal");
    let first = thread.add(NewMessage::user("one two three")).await?.message;
    thread.add(NewMessage::user("four five")).await?;
    let deleted = thread.delete(first.id).reply().await?;

    // The writes do not wait for the consumers. `reached` waits until both have processed a position.
    effects.reached(deleted.receipt.position.ok_or("a write has a position")?).await;
    print!("{}", fs::read_to_string(file)?);
    println!("{} words", words.total());
    assert_eq!(words.total(), 2);
    for status in effects.stop().await {
        println!("{} has reached {}", status.consumer, status.cursor);
    }
    db.close().await?;
    Ok(())
}
