//! Redacts a key that is split between two appends of a streamed reply, so that the store never sees it.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use throughline::{Persistence, Result, Role, layers::redact::RedactLayer, memory::MemoryBackend};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let layer = RedactLayer::secrets();
    let counts = layer.clone();
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build()?;
    let thread = db.thread("demo");

    // The key is built at run time, so that this file contains no secret.
    let key = format!("{}{}", "ghp_", "0123456789".repeat(4));
    let mut draft = thread.reserve(Role::Assistant).await?;
    draft.append(format!("Your key is {}", &key[..9])).await?;
    let durable = draft.flush().await?;
    println!("{} of {} bytes are durable; the rest may be a secret", durable.bytes, draft.streamed_bytes());
    draft.append(format!("{}, keep it safe.", &key[9..])).await?;
    draft.finish().await?;

    let stored = thread.get(draft.id().clone()).await?.expect("it was just written");
    println!("stored: {}", stored.content.plain_text(200));
    println!("hidden: {}", counts.counts());
    Ok(())
}
