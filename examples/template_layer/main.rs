//! A layer of your own, to copy: the layer, its tests without a store, and the laws.
//!
//! It counts the writes of each thread and refuses those beyond a limit, so that one runaway conversation cannot fill the
//! store. `cargo test -p template_layer` runs its tests. A copy of the folder is a crate: its `Cargo.toml` says in two
//! paths where Throughline is.

mod layer;
#[cfg(test)]
mod tests;

use throughline::{ErrorKind, NewMessage, Persistence, Result, Site, memory::MemoryBackend};

use crate::layer::WriteCapLayer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let stack = Persistence::builder().layer(WriteCapLayer::new(2));
    let db = stack.backend(MemoryBackend::new()).build()?;
    let thread = db.thread("runaway");
    thread.add(NewMessage::user("one")).await?;
    thread.add(NewMessage::user("two")).await?;
    let refused = thread.add(NewMessage::user("three")).await.expect_err("it is one too many");
    assert_eq!((refused.kind(), refused.site().map(Site::name)), (ErrorKind::Overloaded, Some("write-cap")));
    // What is refused is about one thread; the others go on.
    db.thread("calm").add(NewMessage::user("hello")).await?;
    eprintln!("{refused}");
    Ok(())
}
