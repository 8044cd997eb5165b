//! A redirect sends some threads to another store for good: their writes, streams, lists and reads.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use throughline::{
    ErrorKind, NewMessage, Persistence, Role, Site, TenantId, ThreadId,
    memory::MemoryBackend,
    messages::{Add, Batch, PageFrom},
    redirect::redirect,
};

/// The rule must be a pure function of tenant and thread, and must never change while the data exists.
fn is_archived(_tenant: &TenantId, thread: &ThreadId) -> bool {
    thread.as_str().starts_with("2024:")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The target is a pipeline of its own, so it can have layers.
    let archive = Persistence::builder().backend(MemoryBackend::new().with_name("archive")).build()?;
    let db = Persistence::builder()
        .layer(redirect("to-archive", is_archived, archive.clone()))
        .backend(MemoryBackend::new().with_name("live"))
        .build()?;
    println!("{}\n", db.describe());

    // Callers use the same handle for both stores.
    let old = db.thread("2024:taxes");
    let new = db.thread("2025:taxes");
    old.add(NewMessage::user("Where are the receipts?")).await?;
    new.add(NewMessage::user("And this year?")).await?;
    let mut draft = old.reserve(Role::Assistant).await?;
    draft.append("In the ").await?;

    // A list over all threads merges both stores.
    let open = db.open_reservations(10).await?;
    assert_eq!(open.messages.len(), 1);
    draft.append("blue folder.").await?;
    let reply = draft.finish().await?;

    // Reads of the thread go to the same store, with the same ids.
    let read = old.get(reply.id.clone()).await?.ok_or("the reply is gone")?;
    println!("read through the redirect: {}", read.content.as_json());
    assert_eq!(read.content.as_json(), r#"[{"type":"text","text":"In the blue folder."}]"#);
    assert_eq!(archive.thread("2024:taxes").page(PageFrom::Start, 10).await?.messages.len(), 2);
    assert!(archive.thread("2025:taxes").page(PageFrom::Start, 10).await?.messages.is_empty());
    assert_eq!(new.page(PageFrom::Start, 10).await?.messages.len(), 1);

    // A batch cannot be atomic over two stores, so the redirect refuses it.
    let both = Batch::new()
        .with(Add::new("2024:taxes".parse()?, NewMessage::user("x")))
        .with(Add::new("2025:taxes".parse()?, NewMessage::user("x")));
    let refused = db.batch(both).await.expect_err("two stores have no common transaction");
    println!("a batch over both: {refused}");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);

    // An error of the target names the whole path.
    let error = old.delete("never-written".parse()?).await.expect_err("there is no such message");
    println!("an error over there: {error}");
    assert_eq!(error.site().map(Site::name), Some("to-archive/archive"));

    db.close().await?;
    archive.close().await?;
    Ok(())
}
