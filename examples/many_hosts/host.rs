//! The host processes: a writer, and a subscriber of the change feed. Each reports its events on standard output, one per line.

use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use throughline::{
    Effect, MessageId, NewMessage, NewReservation, PersistError, Persistence, Position, Role, TenantId,
    Thread,
    changes::{ChangeKind, ChangeScope},
    postgres::PostgresBackend,
};
use tokio::task::{JoinSet, spawn_blocking};

use crate::Failure;

/// All hosts share the threads. Each writer runs several tasks.
const THREADS: usize = 4;
const TASKS: usize = 4;

/// The number of parts in which a text is streamed.
const PARTS: usize = 8;

/// Returns the text of a message, which is derived from its id.
pub(crate) fn text(id: &str) -> String {
    (0..PARTS).map(|part| format!("{id} says {part}. ")).collect()
}

async fn open(tenant: TenantId, url: &str) -> Result<Persistence, Failure> {
    // A failover takes seconds. With longer limits, calls wait for it and do not fail.
    let options = PostgresBackend::builder()
        .wait_limit(Duration::from_secs(60))
        .answer_limit(Duration::from_secs(5))
        .resolve_limit(Duration::from_secs(60));
    let backend = options.open(url).await?;
    Ok(Persistence::builder().backend(backend).build()?.for_tenant(tenant))
}

/// Writes one whole line, so that lines of concurrent tasks do not mix.
fn print_event(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}

/// Completes when standard input ends, which also happens when the parent process dies.
async fn stdin_closed() {
    drop(spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await);
}

pub(crate) async fn write(name: &str, tenant: TenantId, url: &str) -> Result<(), Failure> {
    let db = open(tenant, url).await?;
    print_event("ready")?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let writer = Writer {
            name: format!("{name}.{task}"),
            thread: db.thread(format!("thread-{}", task % THREADS)),
            stop: Arc::clone(&stop),
        };
        tasks.spawn(writer.run());
    }
    stdin_closed().await;
    stop.store(true, Ordering::SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    db.close().await?;
    Ok(())
}

struct Writer {
    name: String,
    thread: Thread,
    stop: Arc<AtomicBool>,
}

impl Writer {
    /// Adds and streams messages in turn.
    async fn run(self) -> Result<(), Failure> {
        let mut number = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let id = format!("{}.{number:06}", self.name);
            let begun = Instant::now();
            let (operation, written) = match number % 2 {
                0 => ("add", self.add(&id).await),
                _ => ("stream", self.stream(&id).await),
            };
            number += 1;
            let took = begun.elapsed().as_micros();
            match written {
                Ok(()) => print_event(&format!("ack\t{operation}\t{took}\t{}\t{id}", self.thread.id()?))?,
                Err(error) => print_event(&format!("failed\t{}", error.kind()))?,
            }
        }
        Ok(())
    }

    /// The idempotency key makes it safe to repeat the call while its outcome is unknown.
    async fn add(&self, id: &str) -> Result<(), PersistError> {
        loop {
            let message = NewMessage::user(&text(id)).with_id(MessageId::new(id)?);
            match self.thread.add(message).key(id).await {
                Err(error) if error.effect() == Effect::Unknown => {}
                answer => return answer.map(drop),
            }
        }
    }

    async fn stream(&self, id: &str) -> Result<(), PersistError> {
        let reservation = NewReservation::new(Role::Assistant).with_id(MessageId::new(id)?);
        print_event(&format!("begun\t{id}")).ok();
        let mut draft = self.thread.reserve(reservation).await?;
        let text = text(id);
        for part in text.split_inclusive(". ") {
            draft.append(part).await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        draft.finish().await.map(drop)
    }
}

pub(crate) async fn subscribe(tenant: TenantId, url: &str) -> Result<(), Failure> {
    let db = open(tenant, url).await?;
    print_event("ready")?;
    let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
    let mut end = std::pin::pin!(stdin_closed());
    loop {
        let change = tokio::select! {
            change = feed.next() => change,
            () = &mut end => break,
        };
        match change {
            Ok(change) => report(&change)?,
            // After an error the feed keeps its position, so the next read continues from there.
            Err(error) => print_event(&format!("failed\t{}", error.kind()))?,
        }
    }
    // Read the changes that were committed before the end was requested.
    while let Some(change) = feed.next_now().await? {
        report(&change)?;
    }
    db.close().await?;
    Ok(())
}

fn report(change: &throughline::changes::Change) -> io::Result<()> {
    let id = match &change.kind {
        ChangeKind::Added(message) | ChangeKind::Finished(message) => message.id.as_str(),
        _ => "",
    };
    print_event(&format!("change\t{}\t{id}", change.position.get()))
}
