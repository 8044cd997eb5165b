//! A template for a custom layer: the layer, its unit tests, and the layer laws of the conformance kit.
//!
//! The layer refuses writes to a thread above a limit, so that one runaway conversation cannot fill the store. Run its
//! tests with `cargo test -p template_layer`. To copy the folder as a crate of your own, change the two Throughline
//! paths in its `Cargo.toml`.

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
    // The limit is per thread: other threads continue.
    db.thread("calm").add(NewMessage::user("hello")).await?;
    eprintln!("{refused}");
    Ok(())
}
