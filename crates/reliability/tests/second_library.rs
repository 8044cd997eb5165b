//! A second SQLite library in the process, whose locks and those of the store do not see each other.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{Effect, ErrorKind, IndexedMetadata, NewMessage, Persistence, messages::PageFrom};
use throughline_reliability::{SecondLibrary, skipped};
use throughline_sqlite::{Alarm, Failpoint, Maintenance, SqliteOptions};
use tokio::{task::spawn_blocking, time::timeout};

/// A timeout far above the duration of any step.
const FAR: Duration = Duration::from_secs(60);

fn second_library() -> Option<SecondLibrary> {
    let library = SecondLibrary::load();
    if library.is_none() {
        skipped("a second SQLite library in the process", "this machine has no shared library of SQLite");
    }
    library
}

fn file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    (directory, path)
}

async fn open(path: &Path) -> (Persistence, Maintenance) {
    open_with(SqliteOptions::new(), path).await
}

async fn open_with(options: SqliteOptions, path: &Path) -> (Persistence, Maintenance) {
    let backend = options.wait_limit(Duration::from_secs(20)).open(path).await.unwrap();
    let maintenance = backend.maintenance();
    (Persistence::builder().backend(backend).build().unwrap(), maintenance)
}

async fn add(db: &Persistence, text: &str) {
    db.thread("t").add(NewMessage::user(text)).await.unwrap();
}

/// Adds `writes` messages in each of four concurrent tasks.
async fn add_by_four_tasks(db: &Persistence, writes: usize, text: &str) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let (db, text) = (db.clone(), text.to_owned());
        tasks.spawn(async move {
            for write in 0..writes {
                add(&db, &format!("{task} {write} {text}")).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}

fn rows_of_the_host(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT count(*) FROM host", [], |row| row.get(0)).unwrap()
}

/// How many messages the thread has, and that the file is whole.
async fn expect_whole(path: &Path, messages: usize) {
    let (db, maintenance) = open(path).await;
    let verification = maintenance.verify().await.unwrap();
    assert!(verification.is_sound(), "{:?}", verification.damaged);
    assert_eq!(verification.messages, messages as u64);
    db.close().await.unwrap();
    let connection = Connection::open(path).unwrap();
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_library_that_reads_and_closes_leaves_the_store_writable() {
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    for round in 0..20 {
        add(&db, &format!("before {round}")).await;
        let host = library.open(&path, 0).unwrap();
        host.execute("SELECT count(*) FROM messages").unwrap();
        drop(host);
        add(&db, &format!("after {round}")).await;
    }
    assert_eq!(db.thread("t").page(PageFrom::End, 50).await.unwrap().messages.len(), 40);
    db.close().await.unwrap();
    expect_whole(&path, 40).await;
}

/// Lets the checkpoints go on, also when the test fails.
struct HasWritten(Arc<OnceLock<()>>);

impl Drop for HasWritten {
    fn drop(&mut self) {
        let _ = self.0.set(());
    }
}

/// Outside of a checkpoint: one that runs as the second library begins to write does not hold it off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_library_that_writes_between_checkpoints_damages_nothing() {
    const WRITES: usize = 200;
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    add(&db, "first").await;
    db.close().await.unwrap();
    Connection::open(&path).unwrap().execute("CREATE TABLE host (n INTEGER PRIMARY KEY)", []).unwrap();
    // The first checkpoint waits until the host has written everything. The host gets more time than it has by itself
    // between the steps in which the store takes its lock.
    let has_written = Arc::new(OnceLock::new());
    let written = Arc::clone(&has_written);
    let options = SqliteOptions::new().failpoints(move |point| {
        match point {
            Failpoint::Checkpointing => _ = written.wait(),
            Failpoint::Exchanging | Failpoint::Exchanged => {
                thread::sleep(Duration::from_micros(fastrand::u64(..3000)));
            }
            _ => {}
        }
        Ok(())
    });
    let (db, _) = open_with(options, &path).await;
    let host = {
        let path = path.clone();
        thread::spawn(move || {
            let _has_written = HasWritten(has_written);
            for n in 0..WRITES {
                let host = library.open(&path, 60_000).unwrap();
                host.execute(&format!("INSERT INTO host VALUES ({n})")).unwrap();
            }
        })
    };
    add_by_four_tasks(&db, WRITES, "").await;
    spawn_blocking(move || host.join().unwrap()).await.unwrap();
    db.close().await.unwrap();
    assert_eq!(rows_of_the_host(&path), WRITES as i64);
    expect_whole(&path, 4 * WRITES + 1).await;
}

/// The store has the smallest WAL limit, so that it runs checkpoints all the time. The host runs checkpoints too.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn checkpoints_of_a_second_library_damage_nothing_during_checkpoints_of_the_store() {
    const WRITES: usize = 300;
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    add(&db, "first").await;
    db.close().await.unwrap();
    Connection::open(&path)
        .unwrap()
        .execute("CREATE TABLE host (n INTEGER PRIMARY KEY, b BLOB)", [])
        .unwrap();
    let (db, _) = open_with(SqliteOptions::new().wal_limit(1 << 20), &path).await;
    let host = {
        let path = path.clone();
        thread::spawn(move || {
            for n in 0..WRITES {
                let host = library.open(&path, 60_000).unwrap();
                host.execute(&format!("INSERT INTO host VALUES ({n}, zeroblob(30000))")).unwrap();
                if n % 3 == 0 {
                    host.execute("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
                }
            }
        })
    };
    add_by_four_tasks(&db, WRITES, &"x".repeat(3000)).await;
    spawn_blocking(move || host.join().unwrap()).await.unwrap();
    db.close().await.unwrap();
    assert_eq!(rows_of_the_host(&path), WRITES as i64);
    expect_whole(&path, 4 * WRITES + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_refused_by_name_while_a_second_library_is_connected() {
    let Some(library) = second_library() else { return };
    let library = Arc::new(library);
    let (_directory, path) = file();
    let (db, maintenance) = open(&path).await;
    add(&db, "before").await;
    let host = library.open(&path, 0).unwrap();
    host.execute("SELECT count(*) FROM messages").unwrap();

    let refused = db.clone().with_deadline(Duration::from_millis(300));
    let error = refused.thread("t").add(NewMessage::user("refused")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Busy, Effect::NotApplied), "{error}");
    assert!(error.to_string().contains("a second SQLite library in this process"), "{error}");
    assert_eq!(maintenance.health().alarms, [Alarm::SecondLibrary]);
    // Reads continue.
    assert_eq!(db.thread("t").page(PageFrom::End, 10).await.unwrap().messages.len(), 1);

    // A waiting write succeeds after the other library closed the file.
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { add(&db, "waits").await }
    });
    drop(host);
    timeout(FAR, waiting).await.unwrap().unwrap();
    assert!(maintenance.health().is_good());
    db.close().await.unwrap();
    expect_whole(&path, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_library_that_connected_before_the_open_is_detected() {
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    add(&db, "before").await;
    db.close().await.unwrap();
    let host = library.open(&path, 0).unwrap();
    host.execute("SELECT count(*) FROM messages").unwrap();
    let (db, maintenance) = open(&path).await;
    let refused = db.clone().with_deadline(Duration::from_millis(300));
    let error = refused.thread("t").add(NewMessage::user("refused")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(maintenance.health().alarms, [Alarm::SecondLibrary]);
    drop(host);
    timeout(FAR, add(&db, "after")).await.unwrap();
    db.close().await.unwrap();
    expect_whole(&path, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_keeps_the_wal_while_a_second_library_is_connected() {
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    add(&db, "before").await;
    let host = library.open(&path, 60_000).unwrap();
    host.execute("CREATE TABLE host (n INTEGER PRIMARY KEY)").unwrap();
    db.close().await.unwrap();
    host.execute("INSERT INTO host VALUES (1)").unwrap();

    let (db, _) = open(&path).await;
    assert_eq!(db.thread("t").page(PageFrom::End, 9).await.unwrap().messages.len(), 1);
    host.execute("INSERT INTO host VALUES (2)").unwrap();
    drop(host);
    add(&db, "after").await;
    db.close().await.unwrap();
    assert_eq!(rows_of_the_host(&path), 2);
    expect_whole(&path, 2).await;
}

/// It takes longer than a lock may be held before it is taken for one that is stuck.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_transaction_of_one_store_is_not_reported_as_a_failure_of_another() {
    let (_directory, path) = file();
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel::<()>();
    let hold = Mutex::new(Some((begin, released)));
    let holding = SqliteOptions::new().failpoints(move |point| {
        if point == Failpoint::Applying
            && let Some((begin, released)) = hold.lock().unwrap().take()
        {
            begin.send(()).unwrap();
            // Until the test drops the other end.
            released.recv().unwrap_err();
        }
        Ok(())
    });
    let holding = Persistence::builder().backend(holding.open(&path).await.unwrap()).build().unwrap();
    let (waiting, maintenance) = open(&path).await;
    let held = tokio::spawn({
        let holding = holding.clone();
        async move { add(&holding, "held").await }
    });
    spawn_blocking(move || begun.recv().unwrap()).await.unwrap();

    let hurried = waiting.clone().with_deadline(Duration::from_secs(3));
    let error = hurried.thread("t").add(NewMessage::user("late")).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::Timeout), "{error}");
    let health = maintenance.health();
    assert_eq!((health.failures, health.last_failure), (0, None));

    drop(release);
    held.await.unwrap();
    add(&waiting, "after").await;
    holding.close().await.unwrap();
    waiting.close().await.unwrap();
    expect_whole(&path, 2).await;
}

/// The library of the store itself, and a second store on the file, are no second library: they know each other's locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_linked_library_is_not_reported_as_a_second_one() {
    let (_directory, path) = file();
    let (first, maintenance) = open(&path).await;
    let (second, _) = open(&path).await;
    let host = Connection::open(&path).unwrap();
    for round in 0..10 {
        host.query_row("SELECT count(*) FROM messages", [], |_| Ok(())).unwrap();
        add(&first, &format!("first {round}")).await;
        add(&second, &format!("second {round}")).await;
    }
    assert!(maintenance.health().is_good());
    first.close().await.unwrap();
    add(&second, "alone").await;
    second.close().await.unwrap();
    // The host's own connection outlives the stores, and its locks with it.
    assert_eq!(host.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0)).unwrap(), 21);
    drop(host);
    expect_whole(&path, 21).await;
}

/// The host closes the file again and again, at any moment of the opening too. As SQLite closes a file whose last user it
/// takes itself for, it removes the WAL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_opened_while_a_second_library_closes_the_file_loses_nothing() {
    const ROUNDS: usize = 30;
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    add(&db, "first").await;
    db.close().await.unwrap();
    let is_done = Arc::new(AtomicBool::new(false));
    let host = {
        let (path, is_done) = (path.clone(), Arc::clone(&is_done));
        thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                let host = library.open(&path, 60_000).unwrap();
                // It is refused if the store is being closed at this moment.
                drop(host.execute("SELECT count(*) FROM messages"));
                drop(host);
                thread::sleep(Duration::from_micros(fastrand::u64(..1000)));
            }
        })
    };
    for round in 0..ROUNDS {
        let (db, _) = open(&path).await;
        add(&db, &format!("{round}")).await;
        let (again, _) = open(&path).await;
        add(&again, &format!("{round} again")).await;
        db.close().await.unwrap();
        add(&again, &format!("{round} at last")).await;
        again.close().await.unwrap();
    }
    is_done.store(true, Ordering::Relaxed);
    spawn_blocking(move || host.join().unwrap()).await.unwrap();
    expect_whole(&path, 3 * ROUNDS + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_library_that_closes_the_file_during_the_opening_leaves_the_wal() {
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    add(&db, "before").await;
    db.close().await.unwrap();
    let opened = path.clone();
    let options = SqliteOptions::new().failpoints(move |point| {
        if point == Failpoint::Opening {
            let host = library.open(&opened, 60_000).unwrap();
            host.execute("SELECT count(*) FROM messages").unwrap();
        }
        Ok(())
    });
    let (db, _) = open_with(options, &path).await;
    add(&db, "after").await;
    db.close().await.unwrap();
    expect_whole(&path, 2).await;
}

/// The host moves the marks of the store's reads, as it begins reads of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn backups_and_verifications_are_sound_next_to_a_second_library_that_reads() {
    const ROUNDS: usize = 12;
    let Some(library) = second_library() else { return };
    let (directory, path) = file();
    let (db, maintenance) = open_with(SqliteOptions::new().wal_limit(1 << 20), &path).await;
    add_by_four_tasks(&db, 250, &"x".repeat(3000)).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let host = {
        let (path, is_done) = (path.clone(), Arc::clone(&is_done));
        thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                let host = library.open(&path, 60_000).unwrap();
                host.execute("SELECT count(*) FROM messages").unwrap();
                drop(host);
                thread::sleep(Duration::from_millis(2));
            }
        })
    };
    let writing = tokio::spawn({
        let (db, is_done) = (db.clone(), Arc::clone(&is_done));
        async move {
            while !is_done.load(Ordering::Relaxed) {
                add_by_four_tasks(&db, 5, &"y".repeat(3000)).await;
            }
        }
    });
    for round in 0..ROUNDS {
        let copy = directory.path().join(format!("copy-{round}.db"));
        maintenance.backup(&copy).await.unwrap();
        let (copied, of_copy) = open(&copy).await;
        let verification = of_copy.verify().await.unwrap();
        assert!(verification.is_sound(), "round {round}: {:?}", verification.damaged);
        copied.close().await.unwrap();
        let verification = maintenance.verify().await.unwrap();
        assert!(verification.is_sound(), "round {round}: {:?}", verification.damaged);
    }
    is_done.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    spawn_blocking(move || host.join().unwrap()).await.unwrap();
    db.close().await.unwrap();
}

/// The second library drops the locks of the host's own connection, and removes the files that it has open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_not_opened_while_a_connection_of_the_host_has_a_removed_wal() {
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    add(&db, "before").await;
    db.close().await.unwrap();
    let host = Connection::open(&path).unwrap();
    let count = |host: &Connection| {
        host.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(count(&host), 1);
    library.open(&path, 0).unwrap().execute("SELECT count(*) FROM messages").unwrap();
    let error = SqliteOptions::new().open(&path).await.unwrap_err();
    assert!(error.to_string().contains("`-wal` or `-shm` that was removed"), "{error}");
    drop(host);
    let (db, _) = open(&path).await;
    add(&db, "after").await;
    db.close().await.unwrap();
    expect_whole(&path, 2).await;
}

/// A copy of a folder can leave one, for example.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_not_to_be_undone_does_not_keep_the_locks_from_an_opening() {
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    add(&db, "before").await;
    db.close().await.unwrap();
    std::fs::write(path.with_extension("db-journal"), [0; 512]).unwrap();
    let opened = path.clone();
    let options = SqliteOptions::new().failpoints(move |point| {
        if point == Failpoint::Opening {
            let host = library.open(&opened, 60_000).unwrap();
            host.execute("SELECT count(*) FROM messages").unwrap();
        }
        Ok(())
    });
    let (db, _) = open_with(options, &path).await;
    add(&db, "after").await;
    db.close().await.unwrap();
    expect_whole(&path, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_that_has_to_write_is_refused_by_name_while_a_second_library_is_connected() {
    let Some(library) = second_library() else { return };
    let (_directory, path) = file();
    let (db, _) = open(&path).await;
    add(&db, "before").await;
    db.close().await.unwrap();
    let host = library.open(&path, 0).unwrap();
    host.execute("SELECT count(*) FROM messages").unwrap();
    let options = || SqliteOptions::new().index_metadata(IndexedMetadata::new(["orderId"]).unwrap());
    let error = options().wait_limit(Duration::from_millis(300)).open(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("a second SQLite library in this process"), "{error}");
    drop(host);
    let (db, _) = open_with(options(), &path).await;
    add(&db, "after").await;
    db.close().await.unwrap();
    expect_whole(&path, 2).await;
}
