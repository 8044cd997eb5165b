//! Two ways to watch: a plugin, which is part of the call, and an observer, which cannot hurt it.
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

/// Adds up the bytes of content that each tenant has written.
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

    // One hook for every operation, and one visitor over every place that carries content: whole messages, deltas, and
    // the items of a batch. An operation that is added later is counted without a change here.
    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> throughline::Result<Reply<O>> {
        let bytes: usize = call.op.content_fields().iter().map(|field| size(&field.value)).sum();
        let tenant = call.context.tenant().to_string();
        let reply = next.run(call).await?;
        // Only what was answered counts: a refused write has used nothing.
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

/// Fails on what it does not know. It runs on a thread of its own, after the call; whatever it does there, the call is
/// done.
struct WritesOnly;

impl Observe for WritesOnly {
    fn observe(&mut self, event: &Event) -> Result<(), BoxError> {
        if event.kind().is_write() { Ok(()) } else { Err("a read".into()) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = Usage::default();
    let clumsy = observe("clumsy", WritesOnly);
    let stats = clumsy.stats();
    let db =
        Persistence::builder().plugin(usage.clone()).layer(clumsy).backend(MemoryBackend::new()).build()?;

    let alice = db.for_tenant("alice".parse()?);
    let thread = alice.thread("notes");
    let added = thread.add(NewMessage::user("four")).await?.message;
    let mut draft = thread.reserve(Role::Assistant).await?;
    draft.append("six by").await?;
    draft.finish().await?;
    let id = thread.id()?.clone();
    let batch = Batch::new()
        .with(Add::new(id.clone(), NewMessage::user("in a batch")))
        .with(Delete::new(id, added.id.clone()));
    alice.batch(batch).await?;
    let bobs = db.for_tenant("bob".parse()?).thread("notes").get(added.id).await?;
    assert!(bobs.is_none(), "the same names, another tenant's message");

    let expected = added.content.byte_len() + "six by".len() + Content::text("in a batch").byte_len();
    println!("alice wrote {} bytes, bob {}", usage.of("alice"), usage.of("bob"));
    assert_eq!((usage.of("alice"), usage.of("bob")), (expected, 0));

    // The observer follows in its own time; here it is waited for.
    let timeout = Instant::now() + Duration::from_secs(10);
    while stats().observed < 5 && Instant::now() < timeout {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("the observer was told of {} calls and failed on {}", stats().observed, stats().failed);
    assert_eq!((stats().observed, stats().failed), (5, 1));
    db.close().await?;
    Ok(())
}
