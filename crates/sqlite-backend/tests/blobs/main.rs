//! Long contents in files next to the store.

mod faults;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    future::IntoFuture as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Content, Effect, ErrorKind, Message, MessageId, NewMessage, NewReservation, Persistence, Role, Thread,
    messages::{ContentChange, ImportRow, PageFrom, ReadPage, UpdateMode, Visibility},
};
use throughline_sqlite::{Maintenance, Part, SqliteOptions, SqliteReader};

/// The longest content that stays in its row.
const ABOVE: u64 = 1000;

struct Store {
    directory: TempDir,
    path: PathBuf,
    maintenance: Maintenance,
    db: Persistence,
}

fn id(id: &str) -> MessageId {
    id.parse().unwrap()
}

async fn open_with(options: SqliteOptions, path: &Path) -> (Maintenance, Persistence) {
    let backend = options.open(path).await.unwrap();
    (backend.maintenance(), Persistence::builder().backend(backend).build().unwrap())
}

async fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (maintenance, db) = open_with(SqliteOptions::new().blobs_above(ABOVE), &path).await;
    Store { directory, path, maintenance, db }
}

/// A text whose content is longer than [`ABOVE`].
fn long(word: &str) -> String {
    format!("{word} ").repeat(1000)
}

impl Store {
    fn thread(&self) -> Thread {
        self.db.thread("t")
    }

    async fn add(&self, name: &str, text: &str) {
        self.thread().add(NewMessage::user(text).with_id(id(name))).await.unwrap();
    }

    /// The column of the content.
    fn column(&self, name: &str) -> String {
        let db = Connection::open(&self.path).unwrap();
        db.query_row("SELECT content FROM messages WHERE message_id = ?1", [name], |row| row.get(0)).unwrap()
    }

    /// Closes the store, which then removes what no row names, and opens it again.
    async fn reopen(self) -> Self {
        self.db.close().await.unwrap();
        let Self { directory, path, .. } = self;
        let (maintenance, db) = open_with(SqliteOptions::new().blobs_above(ABOVE), &path).await;
        Self { directory, path, maintenance, db }
    }

    fn blobs(&self) -> BTreeMap<String, PathBuf> {
        blobs(&self.path)
    }

    fn one_blob(&self) -> PathBuf {
        let mut blobs: Vec<_> = self.blobs().into_values().collect();
        assert_eq!(blobs.len(), 1, "{blobs:?}");
        blobs.remove(0)
    }

    async fn expect_sound(&self) -> u64 {
        let found = self.maintenance.verify().await.unwrap();
        assert!(found.is_sound(), "{:#?}", found.damaged);
        found.blobs
    }
}

/// The files in the folder of the blobs, by their names.
fn blobs(store: &Path) -> BTreeMap<String, PathBuf> {
    let folder = PathBuf::from(format!("{}-blobs", store.display()));
    let Ok(folders) = fs::read_dir(folder) else { return BTreeMap::new() };
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), file.path())
        })
        .collect()
}

#[tokio::test]
async fn only_a_content_above_the_threshold_is_in_a_file_of_its_hash() {
    let store = store().await;
    let filled = |bytes: usize| Content::from_json(format!("[\"{}\"]", "x".repeat(bytes - 4))).unwrap();
    for (name, bytes) in [("at", 1000), ("above", 1001)] {
        let message = NewMessage::new(Role::User, filled(bytes)).with_id(id(name));
        store.thread().add(message).await.unwrap();
    }
    let content = filled(1001);
    let hash = blake3::hash(content.as_json().as_bytes());
    assert_eq!(store.column("at"), filled(1000).as_json());
    assert_eq!(store.column("above"), format!("blob:{hash}:1001"));
    let file = store.one_blob();
    assert!(file.ends_with(format!("chat.db-blobs/{}/{hash}", &hash.to_hex()[..2])), "{file:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), content.as_json());
    assert_eq!(store.thread().get(id("above")).await.unwrap().unwrap().content, content);
    assert_eq!(store.expect_sound().await, 1);
}

#[tokio::test]
async fn both_forms_are_readable_with_any_threshold_and_by_a_reader() {
    let store = store().await;
    store.add("in-a-file", &long("one")).await;
    store.db.close().await.unwrap();
    let (_, db) = open_with(SqliteOptions::new(), &store.path).await;
    db.thread("t").add(NewMessage::user(&long("two")).with_id(id("in-its-row"))).await.unwrap();
    db.close().await.unwrap();
    assert_eq!(store.blobs().len(), 1);
    let texts = async |db: &Persistence| {
        let page = db.thread("t").page(PageFrom::Start, 10).await.unwrap();
        page.messages.iter().map(Message::text).collect::<Vec<_>>()
    };
    let (_, db) = open_with(SqliteOptions::new().blobs_above(1 << 20), &store.path).await;
    assert_eq!(texts(&db).await, [long("one"), long("two")]);
    db.close().await.unwrap();
    let reader = SqliteReader::open(&store.path).await.unwrap();
    let maintenance = reader.maintenance();
    let db = Persistence::builder().backend(reader).build().unwrap();
    assert_eq!(texts(&db).await, [long("one"), long("two")]);
    let found = maintenance.verify().await.unwrap();
    assert_eq!((found.blobs, found.orphans, found.damaged), (1, vec![], vec![]));
}

#[tokio::test]
async fn a_finished_stream_moves_to_a_file_and_an_edit_to_another() {
    let mut store = store().await;
    let reservation = NewReservation::new(Role::Assistant).with_id(id("reply"));
    let mut draft = store.thread().reserve(reservation).await.unwrap();
    for part in ["three ", "four ", "five "] {
        draft.append(&part.repeat(300)).await.unwrap();
        draft.flush().await.unwrap();
        assert_eq!((store.column("reply").as_str(), store.blobs().len()), ("[]", 0));
    }
    draft.finish().await.unwrap();
    let text = format!("{}{}{}", "three ".repeat(300), "four ".repeat(300), "five ".repeat(300));
    let streamed = store.one_blob();
    assert_eq!(store.thread().get(id("reply")).await.unwrap().unwrap().text(), text);

    let edit = ContentChange::Replace(Content::text(&long("edited")));
    store.thread().update_content(id("reply"), edit, UpdateMode::Edit).await.unwrap();
    assert!(store.blobs().len() == 2 && streamed.exists(), "a snapshot may still need it");
    store = store.reopen().await;
    assert_ne!(store.one_blob(), streamed);
    assert_eq!(store.thread().get(id("reply")).await.unwrap().unwrap().text(), long("edited"));

    let short = ContentChange::Replace(Content::text("short"));
    store.thread().update_content(id("reply"), short, UpdateMode::Edit).await.unwrap();
    store = store.reopen().await;
    assert!(store.blobs().is_empty(), "{:?}", store.blobs());
    assert_eq!(store.expect_sound().await, 0);
}

#[tokio::test]
async fn equal_contents_share_a_file_until_the_last_message_is_gone() {
    let mut store = store().await;
    for name in ["a", "b", "c"] {
        store.add(name, &long("same")).await;
    }
    let length = fs::metadata(store.one_blob()).unwrap().len();
    assert_eq!(store.maintenance.storage().await.unwrap().blob_bytes, length);
    store.thread().delete(id("a")).await.unwrap();
    store = store.reopen().await;
    store.one_blob();
    assert_eq!(store.expect_sound().await, 2);
    store.thread().delete(id("b")).await.unwrap();
    store.thread().delete_thread().await.unwrap();
    store = store.reopen().await;
    store.one_blob();
    let purge = throughline_core::threads::PurgeThread { thread: "t".parse().unwrap(), limit: 100 };
    assert!(!store.db.on_thread(purge).await.unwrap().more);
    store = store.reopen().await;
    assert!(store.blobs().is_empty(), "{:?}", store.blobs());
    assert_eq!(store.maintenance.storage().await.unwrap().blob_bytes, 0);
    store.expect_sound().await;
}

#[tokio::test]
async fn an_idle_store_removes_the_file_of_a_deleted_message() {
    let store = store().await;
    store.add("a", &long("one")).await;
    store.thread().delete(id("a")).await.unwrap();
    let gone = async {
        while !store.blobs().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("the file is removed");
    store.expect_sound().await;
}

#[tokio::test]
async fn a_snapshot_keeps_the_files_that_it_names() {
    let store = store().await;
    store.add("a", &long("one")).await;
    let reader = Connection::open(&store.path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    let reference: String = reader
        .query_row("SELECT content FROM messages WHERE message_id = 'a'", [], |row| row.get(0))
        .unwrap();
    store.thread().delete(id("a")).await.unwrap();
    let path = store.path.clone();
    let store = store.reopen().await;
    let hash = reference.split(':').nth(1).unwrap();
    assert!(blobs(&path).contains_key(hash), "the reader can still read it");
    drop(reader);
    // A file that a crash leaves is known by its age alone.
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    File::options().write(true).open(&blobs(&path)[hash]).unwrap().set_modified(old).unwrap();
    let store = store.reopen().await.reopen().await;
    assert!(store.blobs().is_empty(), "{:?}", store.blobs());
}

#[tokio::test]
async fn a_file_without_a_message_is_listed_and_removed_only_when_it_is_old() {
    let mut store = store().await;
    store.add("a", &long("kept")).await;
    let kept = store.one_blob();
    let folder = kept.parent().unwrap();
    let first = folder.file_name().unwrap().to_str().unwrap();
    let named = |digit: &str| folder.join(format!("{first}{}", digit.repeat(62)));
    let (young, old) = (named("0"), named("1"));
    let (writing, crashed) = (folder.join(".tmp-young"), folder.join(".tmp-old"));
    for file in [&young, &old, &writing, &crashed] {
        fs::write(file, "[]").unwrap();
    }
    let before = SystemTime::now() - Duration::from_secs(2 * 3600);
    for file in [&kept, &old, &crashed] {
        File::options().write(true).open(file).unwrap().set_modified(before).unwrap();
    }
    let found = store.maintenance.verify().await.unwrap();
    assert!(found.is_sound());
    assert_eq!(BTreeSet::from_iter(&found.orphans), BTreeSet::from_iter([&young, &old]));
    // A store searches after it is opened, and ends the search before it is closed.
    store = store.reopen().await.reopen().await;
    assert_eq!(
        [&young, &old, &writing, &crashed, &kept].map(|file| file.exists()),
        [true, false, true, false, true]
    );
    store.expect_sound().await;
}

#[tokio::test]
async fn an_old_file_of_a_refused_write_is_removed() {
    let mut store = store().await;
    store.add("a", "short").await;
    let refused = store.thread().add(NewMessage::user(&long("other")).with_id(id("a"))).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::AlreadyExists, Effect::NotApplied));
    store = store.reopen().await;
    assert!(store.blobs().is_empty(), "{:?}", store.blobs());
    store.expect_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proven_backup_has_the_files_of_one_moment_while_tasks_write_and_delete() {
    let store = store().await;
    for n in 0..20 {
        store.add(&format!("kept-{n}"), &long(&format!("kept {n}"))).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (thread, stop) = (store.thread(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    let name = id(&format!("{task}-{n}"));
                    // Half of the contents are shared by all tasks.
                    let text =
                        if n % 2 == 0 { long(&format!("shared {n}")) } else { long(&format!("{task} {n}")) };
                    thread.add(NewMessage::user(&text).with_id(name.clone())).await.unwrap();
                    thread.delete(name).await.unwrap();
                    n += 1;
                }
                n
            })
        })
        .collect();
    for n in 0..5 {
        let copy = store.directory.path().join(format!("copy-{n}.db"));
        let proven = store.maintenance.backup_proven(&copy).await.unwrap();
        assert!(proven.verification.is_sound(), "{:#?}", proven.verification.damaged);
        assert!(proven.verification.blobs >= 20, "{:?}", proven.verification);
        assert_eq!(proven.verification.orphans, [] as [PathBuf; 0]);
        let (maintenance, db) = open_with(SqliteOptions::new(), &copy).await;
        let message = db.thread("t").get(id("kept-7")).await.unwrap().unwrap();
        assert_eq!(message.text(), long("kept 7"));
        assert!(maintenance.verify().await.unwrap().is_sound());
        db.close().await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        assert!(task.await.unwrap() > 0);
    }
    assert_eq!(store.expect_sound().await, 20);
    let rebuilt = store.directory.path().join("rebuilt.db");
    let copied = store.maintenance.rebuild_into(&rebuilt).await.unwrap();
    assert_eq!((copied.verification.blobs, copied.verification.is_sound()), (20, true));
    assert_eq!(blobs(&rebuilt).len(), 20);
    let names = |path: &Path| fs::read_dir(path).unwrap().count();
    let before = names(store.directory.path());
    for taken in ["chat.db", "rebuilt.db"] {
        let refused = store.maintenance.backup(store.directory.path().join(taken)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    }
    fs::remove_file(&rebuilt).unwrap();
    let refused = store.maintenance.backup(&rebuilt).await.unwrap_err();
    assert!(refused.to_string().contains("rebuilt.db-blobs` exists already"), "{refused}");
    assert_eq!(names(store.directory.path()), before - 1, "no unfinished folder is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_stores_that_write_and_delete_the_same_content_lose_no_file() {
    let store = store().await;
    let (_, other) = open_with(SqliteOptions::new().blobs_above(ABOVE), &store.path).await;
    let tasks: Vec<_> = [store.db.clone(), other.clone()]
        .into_iter()
        .enumerate()
        .flat_map(|(of, db)| (0..4).map(move |task| (format!("{of}-{task}"), db.clone())))
        .map(|(task, db)| {
            tokio::spawn(async move {
                let thread = db.thread("t");
                for n in 0..60 {
                    let name = id(&format!("{task}-{n}"));
                    let text = long(&format!("same {}", n % 3));
                    thread.add(NewMessage::user(&text).with_id(name.clone())).await.unwrap();
                    assert_eq!(thread.get(name.clone()).await.unwrap().unwrap().text(), text);
                    if n % 10 != 9 {
                        thread.delete(name).await.unwrap();
                    }
                    if n % 20 == 0 {
                        // So that a store is idle, and removes files.
                        tokio::time::sleep(Duration::from_millis(150)).await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.expect_sound().await, 8 * 6);
    other.close().await.unwrap();
    let store = store.reopen().await;
    assert_eq!(store.expect_sound().await, 8 * 6);
    assert_eq!(store.blobs().len(), 3);
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_has_the_permissions_of_the_store() {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (of_store, of_folder) in [(0o600, 0o700), (0o640, 0o750)] {
        let store = store().await;
        fs::set_permissions(&store.path, fs::Permissions::from_mode(of_store)).unwrap();
        store.add("a", &long("one")).await;
        let copy = store.directory.path().join("copy.db");
        store.maintenance.backup(&copy).await.unwrap();
        for file in [store.one_blob(), blobs(&copy).into_values().next().unwrap()] {
            let folders = file.ancestors().skip(1).take(2).map(mode).collect::<Vec<_>>();
            assert_eq!((mode(&file), folders), (of_store, vec![of_folder; 2]), "{file:?}");
        }
    }
}

/// The number of a file: another one has another number.
#[cfg(unix)]
fn number(file: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).unwrap())
}

#[cfg(unix)]
#[tokio::test]
async fn a_tenant_neither_loses_nor_saves_a_file_because_of_another_one() {
    let mut store = store().await;
    store.add("a", &long("same")).await;
    let file = store.one_blob();
    let first = number(&file);
    // A second link keeps the number in use.
    fs::hard_link(&file, store.directory.path().join("first")).unwrap();
    let thread = store.db.for_tenant("other".parse().unwrap()).thread("t");
    let mut draft = thread.reserve(NewReservation::new(Role::Assistant).with_id(id("b"))).await.unwrap();
    draft.append(&long("same")).await.unwrap();
    draft.finish().await.unwrap();
    assert_ne!(
        number(&store.one_blob()),
        first,
        "the time of the write would show that another tenant has it"
    );
    store.thread().delete(id("a")).await.unwrap();
    store = store.reopen().await;
    let thread = store.db.for_tenant("other".parse().unwrap()).thread("t");
    assert_eq!(thread.get(id("b")).await.unwrap().unwrap().text(), long("same"));
    assert_eq!(store.expect_sound().await, 1);
    thread.delete(id("b")).await.unwrap();
    assert!(store.reopen().await.blobs().is_empty());
}

#[tokio::test]
async fn a_store_that_is_opened_to_be_read_changes_no_file() {
    let store = store().await;
    store.add("a", &long("kept")).await;
    let kept = store.one_blob();
    let first = kept.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let (old, crashed) =
        (kept.with_file_name(format!("{first}{}", "0".repeat(62))), kept.with_file_name(".tmp-old"));
    let before = SystemTime::now() - Duration::from_secs(2 * 3600);
    store.db.close().await.unwrap();
    for file in [&old, &crashed] {
        fs::write(file, "[]").unwrap();
        File::options().write(true).open(file).unwrap().set_modified(before).unwrap();
    }
    let state = |file: &PathBuf| (fs::read(file).unwrap(), fs::metadata(file).unwrap().modified().unwrap());
    let files = || blobs(&store.path).values().map(state).collect::<Vec<_>>();
    let expected = files();
    assert_eq!(expected.len(), 3);
    let reader = SqliteReader::open(&store.path).await.unwrap();
    let maintenance = reader.maintenance();
    let db = Persistence::builder().backend(reader).build().unwrap();
    assert_eq!(db.thread("t").get(id("a")).await.unwrap().unwrap().text(), long("kept"));
    assert_eq!(maintenance.verify().await.unwrap().orphans, [old]);
    maintenance.backup(store.directory.path().join("copy.db")).await.unwrap();
    db.close().await.unwrap();
    assert_eq!(files(), expected);
}

#[tokio::test]
async fn a_page_counts_the_bytes_of_its_files() {
    let store = store().await;
    for name in ["a", "b", "c"] {
        store.add(name, &"x".repeat(100_000)).await;
    }
    let read = ReadPage {
        thread: "t".parse().unwrap(),
        from: PageFrom::Start,
        limit: 10,
        visibility: Visibility::All,
        max_bytes: 250_000,
    };
    let page = store.db.read(read).await.unwrap();
    assert_eq!((page.messages.len(), page.has_more), (2, true));
}
