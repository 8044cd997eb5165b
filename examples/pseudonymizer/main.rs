//! A custom transform: the store keeps pseudonyms, and readers see the names.
//!
//! The layer only rewrites single texts. The transform toolkit applies it to content, metadata, titles and searches,
//! and handles a name that is split between two appends. Run its tests with `cargo test -p pseudonymizer`.

mod layer;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use throughline::{
    NewMessage, PersistRequest, Persistence, Phase, Result, Role,
    layers::transform::TransformLayer,
    memory::MemoryBackend,
    plugin::{NextRequest, from_fn},
    search::SearchMessages,
};

use crate::layer::Pseudonyms;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // A layer that records everything the store receives.
    let received = Arc::<Mutex<String>>::default();
    let writes = Arc::clone(&received);
    let recorder = from_fn("recorder", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let json = serde_json::to_string(&request.args).expect("an operation serializes");
        writes.lock().expect("no panic").push_str(&json);
        next.run(request)
    });
    let db = Persistence::builder()
        .layer(TransformLayer::new(Pseudonyms::new(["Ada Lovelace", "Alan Turing"])))
        .layer(recorder)
        .backend(MemoryBackend::new())
        .build()?;
    let thread = db.thread("history");

    thread.add(NewMessage::user("Who was Ada Lovelace?")).await?;
    let mut draft = thread.reserve(Role::Assistant).await?;
    draft.append("A friend of Ada Lo").await?; // cut in the middle of the name
    draft.append("velace, not of Alan Turing.").await?;
    draft.finish().await?;
    let reply = thread.get(draft.id().clone()).await?.expect("it is finished");
    assert_eq!(reply.content.plain_text(100), "A friend of Ada Lovelace, not of Alan Turing.");

    let found = db.search(SearchMessages::new("Ada Lovelace", 10)).await?;
    assert_eq!(found.hits.len(), 2);
    let (start, end) = found.hits[0].marks[0];
    assert_eq!(&found.hits[0].snippet[start as usize..end as usize], "Ada Lovelace");

    let received = received.lock().expect("no panic");
    assert!(received.contains("A friend of pseudonym000001, not of pseudonym000002."));
    assert!(!received.contains("Ada") && !received.contains("Turing"));
    Ok(())
}
