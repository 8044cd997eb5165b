//! A process that writes, and one that follows. What they have to say goes to their standard output, a line each.

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

/// How many threads all hosts share, and how many tasks of a host write at once.
const THREADS: usize = 4;
const TASKS: usize = 4;

/// What is streamed, piece by piece.
const PIECES: usize = 8;

/// The text of a message: all of it follows from its id.
pub(crate) fn text(id: &str) -> String {
    (0..PIECES).map(|piece| format!("{id} says {piece}. ")).collect()
}

async fn open(tenant: TenantId, url: &str) -> Result<Persistence, Failure> {
    // A failover takes seconds: who waits for it has no error to tell anybody.
    let options = PostgresBackend::builder()
        .wait_limit(Duration::from_secs(60))
        .answer_limit(Duration::from_secs(5))
        .resolve_limit(Duration::from_secs(60));
    let backend = options.open(url).await?;
    Ok(Persistence::builder().backend(backend).build()?.for_tenant(tenant))
}

/// One line: two of two tasks do not mix.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}

/// Ends at the end of the standard input: with whoever started this, however that ends.
async fn until_it_ends() {
    drop(spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await);
}

pub(crate) async fn write(name: &str, tenant: TenantId, url: &str) -> Result<(), Failure> {
    let db = open(tenant, url).await?;
    say("ready")?;
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
    until_it_ends().await;
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
    /// A message and a stream by turns.
    async fn run(self) -> Result<(), Failure> {
        let mut number = 0;
        while !self.stop.load(Ordering::SeqCst) {
            let id = format!("{}.{number:06}", self.name);
            let begun = Instant::now();
            let (what, written) = match number % 2 {
                0 => ("add", self.add(&id).await),
                _ => ("stream", self.stream(&id).await),
            };
            number += 1;
            let took = begun.elapsed().as_micros();
            match written {
                Ok(()) => say(&format!("ack\t{what}\t{took}\t{}\t{id}", self.thread.id()?))?,
                Err(error) => say(&format!("failed\t{}", error.kind()))?,
            }
        }
        Ok(())
    }

    /// The key makes it safe to ask again while nobody knows.
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
        say(&format!("begun\t{id}")).ok();
        let mut draft = self.thread.reserve(reservation).await?;
        let text = text(id);
        for piece in text.split_inclusive(". ") {
            draft.append(piece).await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        draft.finish().await.map(drop)
    }
}

pub(crate) async fn follow(tenant: TenantId, url: &str) -> Result<(), Failure> {
    let db = open(tenant, url).await?;
    say("ready")?;
    let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
    let mut end = std::pin::pin!(until_it_ends());
    loop {
        let change = tokio::select! {
            change = feed.next() => change,
            () = &mut end => break,
        };
        match change {
            Ok(change) => tell(&change)?,
            // It stays where it is, and reads on from there.
            Err(error) => say(&format!("failed\t{}", error.kind()))?,
        }
    }
    // What was committed before the end was asked for.
    while let Some(change) = feed.next_now().await? {
        tell(&change)?;
    }
    db.close().await?;
    Ok(())
}

fn tell(change: &throughline::changes::Change) -> io::Result<()> {
    let what = match &change.what {
        ChangeKind::Added(message) | ChangeKind::Finished(message) => message.id.as_str(),
        _ => "",
    };
    say(&format!("told\t{}\t{what}", change.position.get()))
}
