//! A store is verified and backed up while it is in use.

use std::{
    collections::BTreeSet,
    error::Error as _,
    fs,
    future::Future as _,
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Content, Delta, ErrorKind, Metadata, NewMessage, NewReservation, Persistence, Position, Role,
    changes::{ChangeScope, ReadChanges},
    messages::{ContentChange, PageFrom, Reserve, UpdateMode, Visibility},
};
use throughline_sqlite::{BackupError, Damage, Maintenance, Part, SqliteBackend, Verification};

struct Store {
    directory: TempDir,
    path: PathBuf,
    maintenance: Maintenance,
    db: Persistence,
}

async fn open(path: &Path) -> (Maintenance, Persistence) {
    let backend = SqliteBackend::open(path).await.unwrap();
    (backend.maintenance(), Persistence::builder().backend(backend).build().unwrap())
}

async fn empty() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (maintenance, db) = open(&path).await;
    Store { directory, path, maintenance, db }
}

/// Returns a store with a message of every kind in thread `t`, and messages in `u` and, of another tenant, in `v`.
async fn store() -> Store {
    let store = empty().await;
    let thread = store.db.thread("t");
    let mut metadata = Metadata::new();
    metadata.set("k", &"v").unwrap();
    thread.add(NewMessage::user("one").with_id("a".parse().unwrap())).key("key").await.unwrap();
    let message = NewMessage::user("two").with_id("b".parse().unwrap()).with_metadata(metadata);
    thread.add(message.with_attachments(["file".parse().unwrap()])).await.unwrap();
    thread.add(NewMessage::user("dead").with_id("d".parse().unwrap())).await.unwrap();
    for id in ["gone", "streaming", "replaced", "abandoned", "final"] {
        let reservation = NewReservation::new(Role::Assistant).with_id(id.parse().unwrap());
        store.db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    }
    let update = |id: &str, change, mode| thread.update_content(id.parse().unwrap(), change, mode);
    let append = |text: &str| ContentChange::Append(Delta::text(text));
    let blocks = |json: &str| ContentChange::Append(Delta::Blocks(Content::from_json(json).unwrap()));
    for id in ["gone", "streaming", "abandoned", "final"] {
        update(id, append("Hel"), UpdateMode::Partial).await.unwrap();
        update(id, blocks(r#"[ {"type":"x", "n":1.10} ]"#), UpdateMode::Partial).await.unwrap();
        update(id, append("lo\n✓"), UpdateMode::Partial).await.unwrap();
    }
    // Its bytes differ from those that appends create.
    let whole = ContentChange::Replace(Content::from_json(r#"[ 1,  {"type":"text","text":"a"} ]"#).unwrap());
    update("replaced", whole, UpdateMode::Partial).await.unwrap();
    update("abandoned", ContentChange::none(), UpdateMode::Abandon { reason: Some("stop".to_owned()) })
        .await
        .unwrap();
    update("final", ContentChange::none(), UpdateMode::Final).await.unwrap();
    for id in ["d", "gone"] {
        thread.delete(id.parse().unwrap()).await.unwrap();
    }
    store.db.thread("u").add(NewMessage::user("other").with_id("c".parse().unwrap())).await.unwrap();
    let bob = store.db.for_tenant("bob".parse().unwrap());
    bob.thread("v").add(NewMessage::user("his").with_id("b".parse().unwrap())).key("key").await.unwrap();
    store
}

impl Store {
    /// Changes the file without the store.
    fn damage(&self, sql: &str) {
        let connection = Connection::open(&self.path).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        let changed = connection.execute(sql, []).unwrap();
        assert_eq!(changed, 1, "{sql}");
    }

    async fn verify(&self) -> Verification {
        self.maintenance.verify().await.unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        names(self.directory.path())
    }
}

fn names(directory: &Path) -> BTreeSet<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    fs::read_dir(directory).unwrap().map(|entry| name(entry.unwrap())).collect()
}

fn counts(found: &Verification) -> [u64; 5] {
    [found.messages, found.deleted, found.chunks, found.keys, found.threads]
}

/// The numbers of messages, tombstones, chunks, keys and threads in [`store`].
const COUNTS: [u64; 5] = [8, 2, 4, 2, 3];

/// Returns the part and its names.
fn named(damage: &Damage) -> (Part, [&str; 3]) {
    let tenant = damage.tenant.as_ref().map_or("", |tenant| tenant.as_str());
    let thread = damage.thread.as_ref().map_or("", |thread| thread.as_str());
    (damage.part, [tenant, thread, damage.message.as_ref().map_or("", |message| message.as_str())])
}

fn all_named(found: &Verification) -> Vec<(Part, [&str; 3])> {
    found.damaged.iter().map(named).collect()
}

#[tokio::test]
async fn a_sound_store_is_sound_to_the_last_row() {
    let store = store().await;
    let found = store.verify().await;
    assert!(found.is_sound(), "{:#?}", found.damaged);
    assert_eq!(counts(&found), COUNTS);
    store.db.close().await.unwrap();
    assert_eq!(store.verify().await, found, "as it was left");

    let fresh = empty().await.verify().await;
    assert_eq!((fresh.is_sound(), counts(&fresh)), (true, [0; 5]));
}

#[tokio::test]
async fn exactly_the_damaged_parts_are_named() {
    let store = store().await;
    store.damage("UPDATE messages SET content = replace(content, 'one', 'onf') WHERE message_id = 'a'");
    store.damage("UPDATE messages SET content = replace(content, 'his', 'hit') WHERE content LIKE '%his%'");
    store.damage(
        "UPDATE appends SET delta = 'Hem' WHERE n = 1 \
         AND message_pk = (SELECT message_pk FROM messages WHERE message_id = 'streaming')",
    );
    let found = store.verify().await;
    assert_eq!(
        all_named(&found),
        [
            (Part::Message, ["default", "t", "a"]),
            (Part::Chunks, ["default", "t", "streaming"]),
            (Part::Message, ["bob", "v", "b"]),
        ],
        "{:#?}",
        found.damaged
    );
    assert_eq!(counts(&found), COUNTS, "the rows after them were verified too");
    assert_eq!(
        found.damaged[1].to_string(),
        "tenant `default`, thread `t`, message `streaming`, the checksum of its chunk 1 does not match"
    );
    for damage in &found.damaged {
        assert!(!damage.to_string().contains("Hem") && !damage.to_string().contains("onf"), "{damage}");
    }
}

#[tokio::test]
async fn chunks_that_wait_for_their_deletion_are_sound_if_their_message_has_ended() {
    let pk = |id: &str| format!("(SELECT message_pk FROM messages WHERE message_id = '{id}')");
    let cases = [
        ("final", vec![]),
        ("streaming", vec![(Part::Chunks, ["default", "t", "streaming"])]),
        ("nothing", vec![(Part::Chunks, ["", "", ""]), (Part::Chunks, ["", "", ""])]),
    ];
    for (id, expected) in cases {
        let store = store().await;
        store.db.close().await.unwrap();
        let pk = pk(id);
        if id != "streaming" {
            store.damage(&format!("INSERT INTO appends VALUES (99, ifnull({pk}, 99), 1, NULL, 0, 0, 'x')"));
        }
        store.damage(&format!("INSERT INTO obsolete_chunks VALUES (ifnull({pk}, 99), 99, 1, 1)"));
        let found = store.verify().await;
        assert_eq!(all_named(&found), expected, "{id}: {:#?}", found.damaged);
        // The writer deletes those of the ended message, and no chunk of the open one.
        let (maintenance, db) = open(&store.path).await;
        db.close().await.unwrap();
        let left = if id == "nothing" { 5 } else { 4 };
        assert_eq!(maintenance.verify().await.unwrap().chunks, left, "{id}");
        let look = Connection::open(&store.path).unwrap();
        let entries: i64 =
            look.query_row("SELECT count(*) FROM obsolete_chunks", [], |row| row.get(0)).unwrap();
        assert_eq!(entries, 0, "{id}");
    }
}

#[tokio::test]
async fn every_contradiction_between_rows_is_reported_at_its_part() {
    let of = |part, message| vec![(part, ["default", "t", message])];
    let streaming = "message_pk = (SELECT message_pk FROM messages WHERE message_id = 'streaming')";
    let final_pk = "(SELECT message_pk FROM messages WHERE message_id = 'final')";
    let gone_pk = "(SELECT message_pk FROM messages WHERE message_id = 'gone')";
    let cases = [
        (
            "UPDATE messages SET role = 'invalid' WHERE message_id = 'final'".to_owned(),
            of(Part::Message, "final"),
        ),
        (
            "UPDATE messages SET content = CAST(x'ff' AS TEXT) WHERE message_id = 'a'".to_owned(),
            of(Part::Message, "a"),
        ),
        (
            "UPDATE messages SET metadata = '{\"k\":1}' WHERE message_id = 'd'".to_owned(),
            of(Part::Message, "d"),
        ),
        // If a chain is broken, its unreachable chunks are named too.
        (
            format!("DELETE FROM appends WHERE n = 3 AND {streaming}"),
            [of(Part::Message, "streaming"), of(Part::Chunks, "streaming")].concat(),
        ),
        (
            format!("DELETE FROM appends WHERE n = 2 AND {streaming}"),
            [of(Part::Chunks, "streaming"), of(Part::Chunks, "streaming")].concat(),
        ),
        (format!("DELETE FROM appends WHERE n = 1 AND {streaming}"), of(Part::Chunks, "streaming")),
        (
            format!("UPDATE appends SET prev = append_pk WHERE n = 2 AND {streaming}"),
            [of(Part::Chunks, "streaming"), of(Part::Chunks, "streaming")].concat(),
        ),
        (
            format!("UPDATE appends SET prev = NULL WHERE n = 2 AND {streaming}"),
            [of(Part::Chunks, "streaming"), of(Part::Chunks, "streaming")].concat(),
        ),
        (
            format!("UPDATE appends SET prev = 3 WHERE n = 2 AND {streaming}"),
            [of(Part::Chunks, "streaming"), of(Part::Chunks, "streaming")].concat(),
        ),
        (
            format!("UPDATE appends SET prev = append_pk + 2 WHERE n = 1 AND {streaming}"),
            of(Part::Chunks, "streaming"),
        ),
        (
            "UPDATE messages SET last_append = NULL WHERE message_id = 'streaming'".to_owned(),
            [of(Part::Message, "streaming"), of(Part::Chunks, "streaming")].concat(),
        ),
        ("UPDATE messages SET last_append = 1 WHERE message_id = 'd'".to_owned(), of(Part::Message, "d")),
        (format!("UPDATE appends SET kind = 7 WHERE n = 2 AND {streaming}"), of(Part::Chunks, "streaming")),
        (
            format!("INSERT INTO appends VALUES (99, {final_pk}, 1, NULL, 0, 0, 'x')"),
            of(Part::Chunks, "final"),
        ),
        (format!("INSERT INTO appends VALUES (99, {gone_pk}, 1, NULL, 0, 0, 'x')"), of(Part::Chunks, "gone")),
        ("UPDATE threads SET deleted_seq = 99 WHERE thread = 't'".to_owned(), of(Part::Thread, "")),
        ("DELETE FROM messages WHERE message_id = 'abandoned'".to_owned(), of(Part::Thread, "")),
        ("UPDATE idempotency SET replay = '{}' WHERE record_pk = 1".to_owned(), of(Part::Key, "")),
        // A changed key that still decodes is compared with its checksum.
        ("UPDATE idempotency SET key = 'other' WHERE record_pk = 1".to_owned(), of(Part::Key, "")),
        ("UPDATE idempotency SET checksum = checksum + 1 WHERE record_pk = 1".to_owned(), of(Part::Key, "")),
        (
            "UPDATE idempotency SET created_at = created_at + 1 WHERE record_pk = 1".to_owned(),
            of(Part::Key, ""),
        ),
        (
            "UPDATE idempotency SET fingerprint = zeroblob(32) WHERE record_pk = 1".to_owned(),
            of(Part::Key, ""),
        ),
        (
            "UPDATE store SET fence_transaction_count = fence_transaction_count + 1".to_owned(),
            vec![(Part::Store, ["", "", ""])],
        ),
        ("UPDATE store SET writers = x'00'".to_owned(), vec![(Part::Store, ["", "", ""])]),
        (
            "INSERT INTO appends VALUES (99, 99, 1, NULL, 0, 0, 'x')".to_owned(),
            vec![(Part::Chunks, ["", "", ""])],
        ),
        (
            "DELETE FROM threads WHERE thread = 'u'".to_owned(),
            vec![
                (Part::File, ["", "", ""]),
                (Part::File, ["", "", ""]),
                (Part::File, ["", "", ""]),
                (Part::File, ["", "", ""]),
                (Part::Message, ["", "", "c"]),
                (Part::Change, ["", "", ""]),
            ],
        ),
        ("UPDATE threads SET floor = 1 WHERE thread = 't'".to_owned(), of(Part::Thread, "")),
        ("UPDATE threads SET deleted = 1 WHERE thread = 't'".to_owned(), of(Part::Thread, "")),
        // Messages that no page would show any more, or that it would show elsewhere. The last message of the thread:
        // its summary names a sequence number that no message has.
        (
            "UPDATE messages SET segment = 7 WHERE message_id = 'final'".to_owned(),
            [of(Part::Message, "final"), of(Part::Summary, "")].concat(),
        ),
        (
            "DELETE FROM thread_segments WHERE thread_pk = 2".to_owned(),
            vec![(Part::Message, ["default", "u", "c"]), (Part::Thread, ["default", "u", ""])],
        ),
        ("UPDATE threads SET last_segment = 2 WHERE thread = 't'".to_owned(), of(Part::Thread, "")),
        ("UPDATE thread_segments SET previous = 1 WHERE thread_pk = 1".to_owned(), of(Part::Thread, "")),
        ("UPDATE thread_segments SET checksum = 0 WHERE thread_pk = 1".to_owned(), of(Part::Thread, "")),
        (
            "UPDATE thread_segments SET first_seq = 2 WHERE thread_pk = 1".to_owned(),
            [of(Part::Message, "a"), of(Part::Thread, "")].concat(),
        ),
        ("UPDATE catalog SET title = 'other' WHERE thread_pk = 1".to_owned(), of(Part::Summary, "")),
        ("UPDATE catalog SET metadata = '{\"k\":1}' WHERE thread_pk = 1".to_owned(), of(Part::Summary, "")),
        ("UPDATE catalog SET turns = turns + 1 WHERE thread_pk = 1".to_owned(), of(Part::Summary, "")),
        ("UPDATE catalog SET last_seq = last_seq - 1 WHERE thread_pk = 1".to_owned(), of(Part::Summary, "")),
        (
            "UPDATE catalog SET active_slot = active_slot + 1 WHERE thread_pk = 1".to_owned(),
            of(Part::Summary, ""),
        ),
        ("UPDATE catalog SET active_at = 0 WHERE thread_pk = 1".to_owned(), of(Part::Summary, "")),
        ("DELETE FROM catalog WHERE thread_pk = 1".to_owned(), of(Part::Summary, "")),
        ("INSERT INTO labels VALUES ('default', 'k', 'v', 1)".to_owned(), of(Part::Summary, "")),
        ("UPDATE changes SET kind = 2 WHERE position = 1".to_owned(), of(Part::Change, "")),
        ("UPDATE changes SET position = 999 WHERE position = 1".to_owned(), of(Part::Change, "")),
    ];
    for (sql, expected) in cases {
        let store = store().await;
        store.damage(&sql);
        let found = store.verify().await;
        assert_eq!(all_named(&found), expected, "{sql}: {:#?}", found.damaged);
    }
}

#[tokio::test]
async fn a_foreign_trigger_is_named() {
    let store = store().await;
    let raw = Connection::open(&store.path).unwrap();
    raw.execute_batch("CREATE TRIGGER spy AFTER INSERT ON messages BEGIN DELETE FROM labels; END").unwrap();
    let found = store.verify().await;
    let found_texts: Vec<&str> = found.damaged.iter().map(|damage| damage.reason.as_str()).collect();
    assert_eq!(found_texts, ["the foreign trigger `spy` is on the table `messages`"]);
}

/// Overwrites a page that holds rows of a table. The store is closed: no connection has the page cached.
fn overwrite(path: &Path, table: &str, which: usize, bytes: &[u8]) {
    let (size, page) = {
        let look = Connection::open(path).unwrap();
        let size: u32 = look.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
        let leaves = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' ORDER BY path";
        let mut statement = look.prepare(leaves).unwrap();
        let leaves: Vec<u32> =
            statement.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        (size, leaves[which])
    };
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(u64::from(page - 1) * u64::from(size))).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test]
async fn an_unreadable_page_does_not_hide_later_damage() {
    let store = empty().await;
    let thread = store.db.thread("t");
    for n in 0..100 {
        let message = NewMessage::user(&"x".repeat(500)).with_id(format!("m{n}").parse().unwrap());
        thread.add(message).await.unwrap();
    }
    store.db.close().await.unwrap();
    overwrite(&store.path, "messages", 3, &[0; 4096]);
    let found = store.verify().await;
    let lost: Vec<&str> = found
        .damaged
        .iter()
        .filter(|damage| damage.part == Part::Message)
        .map(|damage| damage.message.as_ref().unwrap().as_str())
        .collect();
    assert!((2..20).contains(&lost.len()), "{:#?}", found.damaged);
    assert_eq!(found.messages, 100 - lost.len() as u64, "everything else was checked");
    assert!(found.damaged.iter().any(|damage| damage.part == Part::File), "{:#?}", found.damaged);
    assert!(found.damaged.iter().all(|damage| damage.part != Part::Thread), "its index is whole");
    for damage in found.damaged.iter().filter(|damage| damage.part == Part::Message) {
        assert_eq!(named(damage).1[..2], ["default", "t"]);
    }
}

#[tokio::test]
async fn any_damage_to_the_file_is_reported_without_a_panic() {
    for (table, bytes) in [
        ("messages", vec![0xff; 4096]),
        ("threads", vec![0xa5; 64]),
        ("appends", vec![0; 4096]),
        ("idempotency", vec![0xff; 200]),
        ("messages_in_order", vec![0; 4096]),
        ("store", vec![0xff; 100]),
        ("sqlite_schema", vec![0; 4096]),
    ] {
        let store = store().await;
        store.db.close().await.unwrap();
        overwrite(&store.path, table, 0, &bytes);
        let found = store.verify().await;
        assert!(!found.is_sound(), "{table}");
    }
    let mut random = fastrand::Rng::with_seed(11);
    let store = store().await;
    store.db.close().await.unwrap();
    let whole = fs::read(&store.path).unwrap();
    for _ in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        fs::write(&store.path, &bytes).unwrap();
        // Any result is correct: some bytes have no meaning.
        drop(store.maintenance.verify().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_during_writes_has_all_earlier_acknowledged_writes() {
    let store = store().await;
    let stop = Arc::new(AtomicBool::new(false));
    for n in 0..200 {
        let message = NewMessage::user(&"y".repeat(3000)).with_id(format!("early{n}").parse().unwrap());
        store.db.thread("busy").add(message).await.unwrap();
    }
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (db, stop) = (store.db.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut written = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    db.thread(format!("w{writer}").as_str()).add(NewMessage::user("late")).await.unwrap();
                    written += 1;
                }
                written
            })
        })
        .collect();
    let copy = store.directory.path().join("copy.db");
    let before: BTreeSet<String> = store.names();
    let backup = store.maintenance.backup(&copy).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!((&backup.path, backup.bytes), (&copy, fs::metadata(&copy).unwrap().len()));
    let mut after = before;
    after.insert("copy.db".to_owned());
    assert_eq!(store.names(), after);

    let (maintenance, db) = open(&copy).await;
    let found = maintenance.verify().await.unwrap();
    assert!(found.is_sound(), "{:#?}", found.damaged);
    for n in 0..200 {
        let id = format!("early{n}").parse().unwrap();
        assert!(db.thread("busy").get(id).await.unwrap().is_some(), "{n}");
    }
    let read = async |db: &Persistence| {
        db.thread("t").page_showing(PageFrom::Start, 100, Visibility::All).await.unwrap()
    };
    assert_eq!(read(&db).await.messages, read(&store.db).await.messages);
    // Two independent stores: neither has the writes of the other.
    db.thread("t").add(NewMessage::user("only here")).await.unwrap();
    assert_eq!(read(&db).await.messages.len(), read(&store.db).await.messages.len() + 1);
    db.close().await.unwrap();
    assert!(store.verify().await.is_sound());
}

#[cfg(unix)]
#[tokio::test]
async fn a_backup_has_the_permissions_of_the_store() {
    use std::os::unix::fs::PermissionsExt as _;

    let store = store().await;
    for mode in [0o600, 0o640] {
        fs::set_permissions(&store.path, fs::Permissions::from_mode(mode)).unwrap();
        let copy = store.directory.path().join(format!("{mode:o}.db"));
        store.maintenance.backup(&copy).await.unwrap();
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, mode);
    }
}

#[tokio::test]
async fn an_existing_target_of_a_backup_is_refused_and_unchanged() {
    let store = store().await;
    let copy = store.directory.path().join("copy.db");
    for suffix in ["", "-wal", "-journal"] {
        let there = store.directory.path().join(format!("copy.db{suffix}"));
        fs::write(&there, "mine").unwrap();
        let before = store.names();
        let error = store.maintenance.backup(&copy).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let source = error.source().unwrap().downcast_ref::<BackupError>().unwrap();
        assert!(matches!(source, BackupError::Exists { path } if *path == there), "{error}");
        assert!(error.to_string().contains(there.to_str().unwrap()), "{error}");
        assert_eq!((fs::read(&there).unwrap(), store.names()), (b"mine".to_vec(), before));
        fs::remove_file(&there).unwrap();
    }
    // The path of the store itself exists too.
    assert_eq!(store.maintenance.backup(&store.path).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(store.verify().await.is_sound());
}

#[tokio::test]
async fn a_backup_to_a_missing_directory_leaves_no_file() {
    let store = store().await;
    let before = store.names();
    let error = store.maintenance.backup(store.directory.path().join("none/copy.db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let source = error.source().unwrap().downcast_ref::<BackupError>().unwrap();
    assert!(
        matches!(source, BackupError::NoDirectory { directory } if directory.ends_with("none")),
        "{error}"
    );
    assert_eq!(store.maintenance.backup("").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.names(), before);
}

#[test]
fn a_call_that_was_dropped_before_it_began_does_nothing() {
    // One blocking thread, so that later requests run later.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let store = store().await;
        let before = store.names();
        let copy = store.directory.path().join("copy.db");
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let occupied = tokio::task::spawn_blocking(move || wait.recv());
        {
            let mut backup = pin!(store.maintenance.backup(&copy));
            let polled = std::future::poll_fn(|context| Poll::Ready(backup.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
        go_on.send(()).unwrap();
        occupied.await.unwrap().unwrap();
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(store.names(), before);
    });
}

#[tokio::test]
async fn a_temporary_store_has_maintenance_too() {
    let backend = SqliteBackend::temporary().await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.thread("t").add(NewMessage::user("hello")).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("kept.db");
    maintenance.clone().backup(&copy).await.unwrap();
    assert_eq!(maintenance.verify().await.unwrap().messages, 1);
    db.close().await.unwrap();
    drop(db);
    // Its directory was removed with it.
    assert_eq!(maintenance.verify().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let again = directory.path().join("again.db");
    assert_eq!(maintenance.backup(&again).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(names(directory.path()), BTreeSet::from(["kept.db".to_owned()]));
}

/// Writes after the backup are lost, and a reader of their changes gets an error.
#[tokio::test]
async fn a_position_from_before_a_backup_was_put_back_is_too_old() {
    let store = empty().await;
    store.db.thread("t").add(NewMessage::user("kept")).await.unwrap();
    let after = |position| ReadChanges::new(ChangeScope::Store, position, 10);
    let kept = store.db.read(after(Position::ZERO)).await.unwrap().position;
    let copy = store.directory.path().join("copy.db");
    store.maintenance.backup(&copy).await.unwrap();
    store.db.thread("t").add(NewMessage::user("lost")).await.unwrap();
    let seen = store.db.read(after(kept)).await.unwrap().position;
    assert!(seen > kept);
    store.db.close().await.unwrap();
    let (_, db) = open(&copy).await;
    assert_eq!(db.read(after(kept)).await.unwrap().changes, []);
    assert_eq!(db.read(after(seen)).await.unwrap_err().kind(), ErrorKind::TooOld);
}
