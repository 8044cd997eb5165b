//! A consumer that follows the changes, and the mirror in files that comes with the crate.
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

/// Counts the words of each message. It goes by the message as it is, so that to be told of it twice does no harm.
#[derive(Default)]
struct Words(Mutex<std::collections::BTreeMap<String, usize>>);

impl Words {
    fn all(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Consumer for Words {
    fn name(&self) -> &str {
        "words"
    }

    async fn handle(&self, event: Event) -> Result<(), BoxError> {
        let Some(about) = event.change.what.message() else { return Ok(()) };
        let key = format!("{} {}", event.change.thread, about.id);
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
    let (words, mirror) = (Arc::new(Words::default()), JsonlMirror::open(folder.path()).await?);
    let file = mirror.file_of(db.tenant(), &"notes".parse()?);
    let effects = Effects::builder(db.clone()).consumer(Arc::clone(&words)).consumer(mirror).start().await?;

    let thread = db.thread("notes");
    let first = thread.add(NewMessage::user("one two three")).await?.message;
    thread.add(NewMessage::user("four five")).await?;
    let deleted = thread.delete(first.id).reply().await?;

    // The writes waited for none of it. Here it is waited for.
    effects.reached(deleted.receipt.position.ok_or("a write has a position")?).await;
    print!("{}", fs::read_to_string(file)?);
    println!("{} words", words.all());
    assert_eq!(words.all(), 2);
    for status in effects.stop().await {
        println!("{} has come to {}", status.consumer, status.cursor);
    }
    db.close().await?;
    Ok(())
}
