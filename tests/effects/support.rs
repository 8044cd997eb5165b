//! Consumers made of closures, and both stores.

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

/// A consumer that does what a closure does.
pub(crate) struct Closure {
    pub(crate) name: &'static str,
    pub(crate) scope: ChangeScope,
    handle: Box<dyn Fn(Event) -> Handled + Send + Sync>,
}

pub(crate) fn consumer<F>(name: &'static str, handle: impl Fn(Event) -> F + Send + Sync + 'static) -> Closure
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let handle = Box::new(move |event| Box::pin(handle(event)) as Handled);
    Closure { name, scope: ChangeScope::Tenant, handle }
}

impl Consumer for Closure {
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

/// What was told, and what follows from it: the text of each message, however often it is told.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) told: Vec<(ThreadId, Position)>,
    pub(crate) texts: BTreeMap<String, String>,
}

pub(crate) type Projection = Arc<Mutex<Seen>>;

/// Takes an event down, as an index would.
pub(crate) fn take_down(projection: &Projection, event: &Event) {
    let mut seen = projection.lock().unwrap();
    seen.told.push((event.change.thread.clone(), event.change.position));
    if let Some(about) = event.change.what.message() {
        let key = format!("{}/{}", event.change.thread, about.id);
        match &event.message {
            Some(message) => drop(seen.texts.insert(key, message.content.as_json().to_owned())),
            None => drop(seen.texts.remove(&key)),
        }
    }
}

/// A consumer that takes everything down.
pub(crate) fn projecting(name: &'static str, projection: &Projection) -> Closure {
    let projection = Arc::clone(projection);
    consumer(name, move |event| {
        take_down(&projection, &event);
        async { Ok(()) }
    })
}

impl Seen {
    /// The positions of a thread in the order in which they were told.
    pub(crate) fn of(&self, thread: &str) -> Vec<Position> {
        self.told.iter().filter(|(of, _)| of.as_str() == thread).map(|(_, at)| *at).collect()
    }

    /// The threads that anything was told of.
    pub(crate) fn threads(&self) -> Vec<ThreadId> {
        let mut threads: Vec<_> = self.told.iter().map(|(thread, _)| thread.clone()).collect();
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

/// A store of each kind.
pub(crate) async fn stores() -> [Persistence; 2] {
    [in_memory(), in_sqlite().await]
}

pub(crate) fn effects(db: &Persistence) -> EffectsBuilder {
    Effects::builder(db.clone())
}

/// Adds a message, and says how far the store has come by it.
pub(crate) async fn add(db: &Persistence, thread: &str, id: &str, text: &str) -> Position {
    let message = NewMessage::user(text).with_id(id.parse().unwrap());
    db.thread(thread).add(message).reply().await.unwrap().receipt.position.unwrap()
}

/// Adds so many messages to a thread at once.
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
