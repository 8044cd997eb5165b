use std::{path::Path, time::Instant};

use throughline::{
    Content, Delta, MessageId, MetadataPatch, NewReservation, Role, Thread,
    messages::{Coalesce, ContentChange, UpdateMode},
    sqlite::SqliteBackend,
};

use crate::{
    Failure, stack,
    written::{Cost, Written},
};

/// So many pieces, of so many bytes each.
#[derive(Clone, Copy)]
pub(crate) struct Appends {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

/// The ways to write them.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Each is appended by itself, and durable before the next one.
    Append,
    /// So, and the message is settled after the last one.
    AppendAndFinish,
    /// Everything so far is written again with each.
    Rewrite,
    /// A draft gathers them, and settles the message.
    Draft,
    /// The metadata of the message are set instead.
    Patch,
}

/// As many bytes as a reply brings in the interval of a draft, at 50 pieces of 32 bytes a second.
const COALESCE: usize = 400;

/// Writes into a fresh store, and says what that took. The bytes are those of closing it too, so that none are left in
/// the log to be written later.
pub(crate) async fn run(way: Way, appends: Appends) -> Result<Cost, Failure> {
    let folder = tempfile::tempdir()?;
    let db = stack::over(SqliteBackend::open(folder.path().join("store.db")).await?)?;
    let thread = db.thread("streaming");
    let mut draft = thread.reserve(NewReservation::new(Role::Assistant)).coalesce(coalesce()).await?;
    let id = draft.id().clone();
    let (before, begun) = (Written::now()?, Instant::now());
    // A task, as callers are: the main thread is no worker of the runtime.
    let commits = tokio::spawn(async move {
        if matches!(way, Way::Draft) {
            for n in 0..appends.count {
                draft.append(appends.piece(n)).await?;
            }
            draft.finish().await?;
            return Ok(draft.committed().revision.get() - 1);
        }
        let commits = write(way, appends, &thread, &id).await?;
        drop(draft);
        Ok::<_, Failure>(commits)
    });
    let commits = commits.await??;
    let took = begun.elapsed();
    db.close().await?;
    Ok(Cost { commits, ..before.cost(took)? })
}

/// Makes the writes one by one, and says how many there were.
async fn write(way: Way, appends: Appends, thread: &Thread, id: &MessageId) -> Result<u64, Failure> {
    let mut whole = String::new();
    for n in 0..appends.count {
        let change = match way {
            Way::Patch => {
                let patch = MetadataPatch::new().set("n", &(n % 10))?;
                thread.update(id.clone(), patch).await?;
                continue;
            }
            Way::Rewrite => {
                whole.push_str(&appends.piece(n));
                ContentChange::Replace(Content::text(&whole))
            }
            Way::Append | Way::AppendAndFinish | Way::Draft => {
                ContentChange::Append(Delta::text(appends.piece(n)))
            }
        };
        thread.update_content(id.clone(), change, UpdateMode::Partial).await?;
    }
    if !matches!(way, Way::AppendAndFinish) {
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

    /// The `n`th piece: its number, filled up or cut to its length.
    fn piece(self, n: usize) -> String {
        let mut piece = format!("{n} and so on, and on, and on, and on, and on");
        piece.truncate(self.bytes);
        piece
    }
}

/// What the driver by itself does who keeps a message in one column: each time everything so far, in a transaction.
pub(crate) fn rewrite_raw(appends: Appends) -> Result<Cost, Failure> {
    let folder = tempfile::tempdir()?;
    let connection = open_raw(&folder.path().join("raw.db"))?;
    let (before, begun) = (Written::now()?, Instant::now());
    let mut update = connection.prepare("UPDATE messages SET content = ?1 WHERE message_pk = 1")?;
    let mut whole = String::new();
    for n in 0..appends.count {
        whole.push_str(&appends.piece(n));
        update.execute([Content::text(&whole).as_json()])?;
    }
    drop(update);
    let took = begun.elapsed();
    connection.close().map_err(|(_, error)| error)?;
    Ok(Cost { commits: appends.count as u64, ..before.cost(took)? })
}

fn open_raw(path: &Path) -> Result<rusqlite::Connection, Failure> {
    let connection = rusqlite::Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE messages (message_pk INTEGER PRIMARY KEY, content TEXT NOT NULL) STRICT;
         INSERT INTO messages VALUES (1, '[]');",
    )?;
    Ok(connection)
}
