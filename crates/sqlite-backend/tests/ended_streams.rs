//! The chunks of ended streams are deleted later and together; with a deletion or an edit of the message, at once.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Content, Delta, Effect, ErrorKind, MessageId, MessageState, NewMessage, NewReservation, NewThread,
    Persistence, Role, Seq,
    messages::{Batch, ContentChange, Delete, Reserve, UpdateContent, UpdateMode},
    threads::{PruneThread, PurgeThread},
};
use throughline_sqlite::{Maintenance, SqliteBackend};

/// The chunks of each stream: more than its end deletes by itself.
const CHUNKS: usize = 20;

/// A store with a thread `t` that reuses ids.
struct Store {
    _directory: TempDir,
    path: PathBuf,
    maintenance: Maintenance,
    db: Persistence,
}

async fn open(path: &Path) -> (Maintenance, Persistence) {
    let backend = SqliteBackend::open(path).await.unwrap();
    (backend.maintenance(), Persistence::builder().backend(backend).build().unwrap())
}

async fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (maintenance, db) = open(&path).await;
    db.create_thread(NewThread::new().with_id("t".parse().unwrap()).reusing_ids()).await.unwrap();
    Store { _directory: directory, path, maintenance, db }
}

fn text() -> String {
    (0..CHUNKS).map(|n| format!("canary {n} ")).collect()
}

fn id(id: &str) -> MessageId {
    id.parse().unwrap()
}

fn update(message: &str, change: ContentChange, mode: UpdateMode) -> UpdateContent {
    UpdateContent::new("t".parse().unwrap(), id(message), change, mode)
}

/// Returns the numbers of chunks, and of messages whose chunks wait for their deletion.
fn chunks(path: &Path) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM appends), (SELECT count(*) FROM obsolete_chunks)";
    Connection::open(path).unwrap().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

impl Store {
    async fn reserve(&self, message: &str) {
        let reservation = NewReservation::new(Role::Assistant).with_id(id(message));
        self.db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    }

    /// Streams a message in chunks, without an end.
    async fn stream(&self, message: &str) {
        self.reserve(message).await;
        for n in 0..CHUNKS {
            let change = ContentChange::Append(Delta::text(format!("canary {n} ")));
            self.db.run(update(message, change, UpdateMode::Partial)).await.unwrap();
        }
    }

    async fn stream_to_end(&self, message: &str) {
        self.stream(message).await;
        self.db.run(update(message, ContentChange::none(), UpdateMode::Final)).await.unwrap();
    }

    /// Closes the store. Neither the canary nor a chunk is left in its file.
    async fn close_without_traces(&self, case: &str) {
        assert_eq!(chunks(&self.path), (0, 0), "{case}");
        assert!(self.maintenance.verify().await.unwrap().is_sound(), "{case}");
        self.db.close().await.unwrap();
        let bytes = fs::read(&self.path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{case}");
    }
}

#[tokio::test]
async fn chunks_are_deleted_at_the_latest_when_the_store_closes() {
    let store = store().await;
    for message in ["m", "n"] {
        store.stream_to_end(message).await;
    }
    assert!(store.maintenance.verify().await.unwrap().is_sound());
    let read = store.db.thread("t").get(id("m")).await.unwrap().unwrap();
    assert_eq!((read.content, read.state), (Content::text(&text()), MessageState::Final));
    store.db.close().await.unwrap();
    assert_eq!(chunks(&store.path), (0, 0));
}

/// The other program holds the lock when the store tries to delete the chunks for the first time.
#[tokio::test]
async fn a_store_that_closes_deletes_the_chunks_once_another_program_releases_the_lock() {
    let store = store().await;
    store.stream_to_end("m").await;
    let other = Connection::open(&store.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let holder = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        other.execute_batch("ROLLBACK").unwrap();
    });
    store.db.close().await.unwrap();
    holder.join().unwrap();
    assert_eq!(chunks(&store.path), (0, 0));
}

#[tokio::test]
async fn a_deletion_or_an_edit_deletes_the_chunks_in_its_commit() {
    for case in ["edit", "delete", "prune", "clear and purge", "delete and purge the thread"] {
        let store = store().await;
        for message in ["m", "n"] {
            store.stream_to_end(message).await;
        }
        let thread = store.db.thread("t");
        match case {
            "edit" => {
                thread.edit(id("m"), Content::text("other")).await.unwrap();
                thread.edit(id("n"), Content::text("other")).await.unwrap();
            }
            "delete" => {
                let delete = |message| Delete::new("t".parse().unwrap(), id(message));
                store.db.run(Batch::new().with(delete("m")).with(delete("n"))).await.unwrap();
            }
            "prune" => {
                let generation = thread.summary().await.unwrap().unwrap().generation;
                let thread = "t".parse().unwrap();
                let prune = PruneThread { thread, generation, through: Seq::new(100), limit: 100 };
                store.db.on_thread(prune).await.unwrap();
            }
            _ => {
                if case == "clear and purge" {
                    thread.clear().await.unwrap();
                } else {
                    thread.delete_thread().await.unwrap();
                }
                store.db.on_thread(PurgeThread { thread: "t".parse().unwrap(), limit: 100 }).await.unwrap();
            }
        }
        store.close_without_traces(case).await;
    }
}

#[tokio::test]
async fn content_that_the_end_replaces_leaves_no_chunks() {
    let replace = || ContentChange::Replace(Content::text("other"));
    let ends = [
        vec![update("m", replace(), UpdateMode::Final)],
        vec![update("m", ContentChange::none(), UpdateMode::Final), update("m", replace(), UpdateMode::Edit)],
    ];
    for end in ends {
        let store = store().await;
        store.stream("m").await;
        let case = format!("{} updates", end.len());
        store.db.run(Batch::of(end.into_iter().map(Into::into).collect())).await.unwrap();
        store.close_without_traces(&case).await;
    }
}

#[tokio::test]
async fn a_broken_chain_leaves_no_chunk_of_a_deleted_message() {
    let store = store().await;
    store.stream("m").await;
    let changed =
        Connection::open(&store.path).unwrap().execute("UPDATE appends SET prev = NULL WHERE n = 11", []);
    assert_eq!(changed.unwrap(), 1);
    let replace = ContentChange::Replace(Content::text("other"));
    store.db.run(update("m", replace, UpdateMode::Final)).await.unwrap();
    store.db.thread("t").delete(id("m")).await.unwrap();
    store.close_without_traces("a broken chain").await;
}

#[tokio::test]
async fn the_id_of_a_removed_stream_can_be_streamed_again() {
    for case in ["delete", "clear"] {
        let store = store().await;
        store.stream_to_end("m").await;
        let thread = store.db.thread("t");
        if case == "delete" {
            thread.delete(id("m")).await.unwrap();
        } else {
            thread.clear().await.unwrap();
        }
        store.stream("m").await;
        assert!(store.maintenance.verify().await.unwrap().is_sound(), "{case}");
        store.db.run(update("m", ContentChange::none(), UpdateMode::Final)).await.unwrap();
        let read = thread.get(id("m")).await.unwrap().unwrap();
        assert_eq!(read.content, Content::text(&text()), "{case}");
        thread.delete(id("m")).await.unwrap();
        store.close_without_traces(case).await;
    }
}

/// Overwrites the only page of chunks. No connection has the page cached.
fn overwrite_chunks(path: &Path) {
    let (size, page): (u32, u32) = Connection::open(path)
        .unwrap()
        .query_row(
            "SELECT (SELECT page_size FROM pragma_page_size), rootpage FROM sqlite_schema WHERE name = 'appends'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(u64::from(page - 1) * u64::from(size))).unwrap();
    file.write_all(&[0xff; 64]).unwrap();
}

#[tokio::test]
async fn a_message_whose_obsolete_chunks_cannot_be_read_can_be_read_and_is_not_changed() {
    let store = store().await;
    store.stream_to_end("m").await;
    // The copy has the chunks. A store that closes would delete them.
    let path = store.path.with_file_name("copy.db");
    store.maintenance.backup(&path).await.unwrap();
    overwrite_chunks(&path);
    let (maintenance, db) = open(&path).await;
    let thread = db.thread("t");
    let edited = thread.edit(id("m"), Content::text("other")).await.unwrap_err();
    let deleted = db.run(Delete::new("t".parse().unwrap(), id("m"))).await.unwrap_err();
    for error in [edited, deleted] {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{error}");
        assert_eq!(error.site().unwrap().name(), "sqlite");
    }
    assert_eq!(thread.get(id("m")).await.unwrap().unwrap().content, Content::text(&text()));
    thread.add(NewMessage::user("later")).await.unwrap();
    assert!(!maintenance.verify().await.unwrap().is_sound());
}

#[tokio::test]
async fn a_backup_and_a_rebuilt_store_are_sound_and_delete_the_chunks() {
    let store = store().await;
    store.stream_to_end("m").await;
    let directory = tempfile::tempdir().unwrap();
    let (backup, rebuilt) = (directory.path().join("a.db"), directory.path().join("b.db"));
    store.maintenance.backup(&backup).await.unwrap();
    assert!(store.maintenance.rebuild_into(&rebuilt).await.unwrap().verification.is_sound());
    for path in [backup, rebuilt] {
        let (maintenance, db) = open(&path).await;
        assert!(maintenance.verify().await.unwrap().is_sound());
        db.close().await.unwrap();
        assert_eq!(chunks(&path), (0, 0));
    }
}
