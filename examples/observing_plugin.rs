//! Two ways to observe calls: a plugin runs as part of the call; an observer runs after it and cannot affect it.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use throughline::{
    BoxError, Call, Content, NewMessage, Next, Operation, Persistence, Phase, Plugin, Reply, Role,
    memory::MemoryBackend,
    messages::{Add, Batch, Delete, FieldValue},
    plugin::{Event, Observe, observe},
};

/// Counts the bytes of content that each tenant has written.
#[derive(Clone, Default)]
struct Usage(Arc<Mutex<BTreeMap<String, usize>>>);

impl Usage {
    fn of(&self, tenant: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).copied().unwrap_or_default()
    }
}

impl Plugin for Usage {
    fn name(&self) -> &str {
        "usage"
    }

    fn phase(&self) -> Phase {
        Phase::Observe
    }

    // `around` handles every operation, and `content_fields` visits all content: messages, deltas, and the items of a
    // batch. Operations of later versions are counted without a change here.
    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> throughline::Result<Reply<O>> {
        let bytes: usize = call.op.content_fields().iter().map(|field| size(&field.value)).sum();
        let tenant = call.context.tenant().to_string();
        let reply = next.run(call).await?;
        // Only acknowledged writes count: a refused write stores nothing.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(tenant).or_default() += bytes;
        Ok(reply)
    }
}

fn size(value: &FieldValue<'_>) -> usize {
    match value {
        FieldValue::Whole(content) => content.byte_len(),
        FieldValue::Delta(delta) => delta.byte_len(),
        _ => 0,
    }
}

/// An observer that fails on reads. It runs on its own thread after the call, so its errors never reach the caller.
struct WritesOnly;

impl Observe for WritesOnly {
    fn observe(&mut self, event: &Event) -> Result<(), BoxError> {
        if event.kind().is_write() { Ok(()) } else { Err("a read".into()) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = Usage::default();
    let failing = observe("failing", WritesOnly);
    let stats = failing.stats();
    let db =
        Persistence::builder().plugin(usage.clone()).layer(failing).backend(MemoryBackend::new()).build()?;

    let alice = db.for_tenant("alice".parse()?);
    let thread = alice.thread("journal");
    let added = thread.add(NewMessage::user("four")).await?.message;
    let mut draft = thread.reserve(Role::Assistant).await?;
    draft.append("six by").await?;
    draft.finish().await?;
    let id = thread.id()?.clone();
    let batch = Batch::new()
        .with(Add::new(id.clone(), NewMessage::user("in a batch")))
        .with(Delete::new(id, added.id.clone()));
    alice.batch(batch).await?;
    let of_bob = db.for_tenant("bob".parse()?).thread("journal").get(added.id).await?;
    assert!(of_bob.is_none(), "bob's tenant has no message with this id");

    let expected = added.content.byte_len() + "six by".len() + Content::text("in a batch").byte_len();
    println!("alice wrote {} bytes, bob {}", usage.of("alice"), usage.of("bob"));
    assert_eq!((usage.of("alice"), usage.of("bob")), (expected, 0));

    // The observer runs asynchronously, so the example waits for it here.
    let timeout = Instant::now() + Duration::from_secs(10);
    while stats().observed < 5 && Instant::now() < timeout {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("the observer received {} calls and failed on {}", stats().observed, stats().failed);
    assert_eq!((stats().observed, stats().failed), (5, 1));
    db.close().await?;
    Ok(())
}
