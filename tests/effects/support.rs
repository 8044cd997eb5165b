//! Consumers from closures, and a store of each kind.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
};

use throughline::{
    BoxError, Content, NewMessage, Persistence, Position, Role, ThreadId, Timestamp,
    changes::ChangeScope,
    effects::{Consumer, Effects, EffectsBuilder, Event},
    memory::MemoryBackend,
    messages::{Import, ImportRow},
    sqlite::SqliteBackend,
};

type Handled = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// A consumer that calls a closure.
pub(crate) struct FnConsumer {
    pub(crate) name: &'static str,
    pub(crate) scope: ChangeScope,
    handle: Box<dyn Fn(Event) -> Handled + Send + Sync>,
}

pub(crate) fn consumer<F>(
    name: &'static str,
    handle: impl Fn(Event) -> F + Send + Sync + 'static,
) -> FnConsumer
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let handle = Box::new(move |event| Box::pin(handle(event)) as Handled);
    FnConsumer { name, scope: ChangeScope::Tenant, handle }
}

impl Consumer for FnConsumer {
    fn name(&self) -> &str {
        self.name
    }

    fn scope(&self) -> ChangeScope {
        self.scope.clone()
    }

    async fn handle(&self, event: Event) -> Result<(), BoxError> {
        (self.handle)(event).await
    }
}

/// The delivered events, and the projection of them: the text of each message.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) delivered: Vec<(ThreadId, Position)>,
    pub(crate) texts: BTreeMap<String, String>,
}

pub(crate) type Projection = Arc<Mutex<Seen>>;

/// Records an event in the projection, as an index would.
pub(crate) fn record(projection: &Projection, event: &Event) {
    let mut seen = projection.lock().unwrap();
    seen.delivered.push((event.change.thread.clone(), event.change.position));
    if let Some(changed) = event.change.kind.message() {
        let key = format!("{}/{}", event.change.thread, changed.id);
        match &event.message {
            Some(message) => drop(seen.texts.insert(key, message.content.as_json().to_owned())),
            None => drop(seen.texts.remove(&key)),
        }
    }
}

/// A consumer that records every event.
pub(crate) fn recording(name: &'static str, projection: &Projection) -> FnConsumer {
    let projection = Arc::clone(projection);
    consumer(name, move |event| {
        record(&projection, &event);
        async { Ok(()) }
    })
}

impl Seen {
    /// Returns the positions of a thread, in the order of delivery.
    pub(crate) fn of(&self, thread: &str) -> Vec<Position> {
        self.delivered.iter().filter(|(of, _)| of.as_str() == thread).map(|(_, at)| *at).collect()
    }

    /// Returns the threads of all delivered events.
    pub(crate) fn threads(&self) -> Vec<ThreadId> {
        let mut threads: Vec<_> = self.delivered.iter().map(|(thread, _)| thread.clone()).collect();
        threads.sort();
        threads.dedup();
        threads
    }
}

pub(crate) fn in_memory() -> Persistence {
    Persistence::builder().backend(MemoryBackend::new()).build().unwrap()
}

pub(crate) async fn in_sqlite() -> Persistence {
    let backend = SqliteBackend::temporary().await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

/// Returns a store of each kind.
pub(crate) async fn stores() -> [Persistence; 2] {
    [in_memory(), in_sqlite().await]
}

pub(crate) fn effects(db: &Persistence) -> EffectsBuilder {
    Effects::builder(db.clone())
}

/// Adds a message, and returns the position of its commit.
pub(crate) async fn add(db: &Persistence, thread: &str, id: &str, text: &str) -> Position {
    let message = NewMessage::user(text).with_id(id.parse().unwrap());
    db.thread(thread).add(message).reply().await.unwrap().receipt.position.unwrap()
}

/// Imports `messages` messages into a thread.
pub(crate) async fn add_many(db: &Persistence, thread: &str, messages: usize) {
    let rows: Vec<ImportRow> =
        (0..messages).map(|at| row(&format!("m{at}"), &format!("text {at}"))).collect();
    for rows in rows.chunks(250) {
        db.run(Import::new(thread.parse().unwrap(), rows.to_vec())).await.unwrap();
    }
}

fn row(id: &str, text: &str) -> ImportRow {
    ImportRow::new(id.parse().unwrap(), Role::User, Content::text(text), Timestamp::from_micros(0))
}
