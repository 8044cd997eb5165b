use std::{path::Path, time::Instant};

use throughline::{
    Content, Delta, MessageId, MetadataPatch, NewReservation, Role, Thread,
    messages::{Coalesce, ContentChange, UpdateMode},
    sqlite::SqliteBackend,
};

use crate::{
    Failure,
    io_counters::{Cost, IoCounters},
    stack,
};

/// The number of appends, and the bytes of each.
#[derive(Clone, Copy)]
pub(crate) struct Appends {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

/// The write modes that the benchmark compares.
#[derive(Clone, Copy)]
pub(crate) enum WriteMode {
    /// Each append is a durable write of its own.
    Append,
    /// Like `Append`, and the last write finishes the message.
    AppendAndFinish,
    /// Each write replaces the content with the whole text so far.
    Rewrite,
    /// A draft coalesces the appends and finishes the message.
    Draft,
    /// Each write patches the metadata of the message.
    Patch,
}

/// The bytes that a reply of 50 tokens per second (32 bytes each) produces in the coalescing interval of a draft.
const COALESCE: usize = 400;

/// Writes into a new store, and returns the cost. The bytes include the close of the store, so that the cost of the
/// checkpoint is counted.
pub(crate) async fn run(mode: WriteMode, appends: Appends) -> Result<Cost, Failure> {
    let folder = tempfile::tempdir()?;
    let db = stack::over(SqliteBackend::open(folder.path().join("store.db")).await?)?;
    let thread = db.thread("streaming");
    let mut draft = thread.reserve(NewReservation::new(Role::Assistant)).coalesce(coalesce()).await?;
    let id = draft.id().clone();
    let (before, begun) = (IoCounters::now()?, Instant::now());
    // Run in a spawned task, as a host does: the main thread is not a worker of the runtime.
    let commits = tokio::spawn(async move {
        if matches!(mode, WriteMode::Draft) {
            for n in 0..appends.count {
                draft.append(appends.text_of(n)).await?;
            }
            draft.finish().await?;
            return Ok(draft.committed().revision.get() - 1);
        }
        let commits = write(mode, appends, &thread, &id).await?;
        drop(draft);
        Ok::<_, Failure>(commits)
    });
    let commits = commits.await??;
    let took = begun.elapsed();
    db.close().await?;
    Ok(Cost { commits, ..before.cost(took)? })
}

/// Performs the writes one by one, and returns their number.
async fn write(mode: WriteMode, appends: Appends, thread: &Thread, id: &MessageId) -> Result<u64, Failure> {
    let mut whole = String::new();
    for n in 0..appends.count {
        let change = match mode {
            WriteMode::Patch => {
                let patch = MetadataPatch::new().set("n", &(n % 10))?;
                thread.update(id.clone(), patch).await?;
                continue;
            }
            WriteMode::Rewrite => {
                whole.push_str(&appends.text_of(n));
                ContentChange::Replace(Content::text(&whole))
            }
            WriteMode::Append | WriteMode::AppendAndFinish | WriteMode::Draft => {
                ContentChange::Append(Delta::text(appends.text_of(n)))
            }
        };
        thread.update_content(id.clone(), change, UpdateMode::Partial).await?;
    }
    if !matches!(mode, WriteMode::AppendAndFinish) {
        return Ok(appends.count as u64);
    }
    thread.update_content(id.clone(), ContentChange::none(), UpdateMode::Final).await?;
    Ok(appends.count as u64 + 1)
}

fn coalesce() -> Coalesce {
    Coalesce { bytes: COALESCE, ..Coalesce::default() }
}

impl Appends {
    pub(crate) const fn total(self) -> usize {
        self.count * self.bytes
    }

    /// Returns the text of append `n`: its number, padded or truncated to the length.
    pub(crate) fn text_of(self, n: usize) -> String {
        let mut text = format!("{n} and so on, and on, and on, and on, and on");
        text.truncate(self.bytes);
        text
    }
}

/// Performs the same writes with rusqlite alone: each transaction rewrites the whole message, which is in one column.
pub(crate) fn rewrite_raw(appends: Appends) -> Result<Cost, Failure> {
    let folder = tempfile::tempdir()?;
    let connection = open_raw(&folder.path().join("raw.db"))?;
    let (before, begun) = (IoCounters::now()?, Instant::now());
    let mut update = connection.prepare("UPDATE messages SET content = ?1 WHERE message_pk = 1")?;
    let mut whole = String::new();
    for n in 0..appends.count {
        whole.push_str(&appends.text_of(n));
        update.execute([Content::text(&whole).as_json()])?;
    }
    drop(update);
    let took = begun.elapsed();
    connection.close().map_err(|(_, error)| error)?;
    Ok(Cost { commits: appends.count as u64, ..before.cost(took)? })
}

pub(crate) fn open_raw(path: &Path) -> Result<rusqlite::Connection, Failure> {
    let connection = rusqlite::Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE messages (message_pk INTEGER PRIMARY KEY, content TEXT NOT NULL) STRICT;
         INSERT INTO messages VALUES (1, '[]');
         CREATE TABLE parts (part_pk INTEGER PRIMARY KEY, message_pk INTEGER NOT NULL, part TEXT NOT NULL) STRICT;",
    )?;
    Ok(connection)
}
