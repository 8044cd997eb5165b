//! Blobs that are missing, damaged or cannot be written, and a damaged index over them.

use super::*;

/// A fault of a file, with the words of the verification.
type Fault = (fn(&Path), &'static str);

const FAULTS: &[Fault] = &[
    (|file| fs::remove_file(file).unwrap(), "is missing"),
    (|file| fs::write(file, "[]").unwrap(), "is damaged: it has 2 bytes"),
    (|file| flip(file), "is damaged: its hash does not match"),
    (|file| fs::remove_dir_all(file.parent().unwrap()).unwrap(), "is missing"),
    // To open it would wait for its writer.
    #[cfg(target_os = "linux")]
    (|file| replace_by_pipe(file), "is no file"),
];

#[cfg(target_os = "linux")]
fn replace_by_pipe(file: &Path) {
    fs::remove_file(file).unwrap();
    nix::unistd::mkfifo(file, nix::sys::stat::Mode::S_IRWXU).unwrap();
}

/// Flips one bit.
fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_damage_of_its_message_alone() {
    for (damage, words) in FAULTS.iter().copied() {
        let store = store().await;
        store.add("a", "before").await;
        store.add("b", &long("damaged")).await;
        store.add("c", "after").await;
        let file = store.one_blob();
        damage(&file);
        let error = store.thread().get(id("b")).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, Some(&id("b"))), "{words}");
        let page = store.thread().page(PageFrom::Start, 10).await.unwrap();
        let ids: Vec<_> = page.messages.iter().map(|message| message.id.as_str()).collect();
        let damaged: Vec<_> = page.damaged.iter().map(|message| message.id.clone()).collect();
        assert_eq!((ids, damaged), (vec!["a", "c"], vec![Some(id("b"))]), "{words}");
        let found = store.maintenance.verify().await.unwrap();
        let hash = file.file_name().unwrap().to_str().unwrap();
        let [damage] = &found.damaged[..] else { panic!("{:#?}", found.damaged) };
        assert_eq!((damage.part, damage.message.as_ref()), (Part::Message, Some(&id("b"))));
        assert_eq!(damage.reason, format!("its blob `{hash}` {words}"));
        // Its metadata needs no content.
        store.thread().update(id("b"), throughline_core::Metadata::new().into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_with_a_damaged_file_is_restored_or_deleted() {
    for (damage, words) in FAULTS.iter().copied() {
        let mut store = store().await;
        store.add("b", &long("damaged")).await;
        let whole = store.thread().get(id("b")).await.unwrap().unwrap();
        let refused = store.thread().delete_damaged(id("b")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict, "it is readable");
        damage(&store.one_blob());
        let copy = ImportRow::of(whole.clone()).unwrap();
        store.thread().restore_damaged(vec![copy]).await.unwrap();
        assert_eq!(store.thread().get(id("b")).await.unwrap().unwrap().content, whole.content, "{words}");
        assert_eq!(store.expect_sound().await, 1);
        damage(&store.one_blob());
        store.thread().delete_damaged(id("b")).await.unwrap();
        store = store.reopen().await;
        store.expect_sound().await;
    }
}

#[tokio::test]
async fn a_folder_in_place_of_a_file_is_damage_and_stays_out_of_a_backup() {
    let store = store().await;
    store.add("a", &long("damaged")).await;
    store.add("b", &long("whole")).await;
    let file =
        &store.blobs()[&blake3::hash(Content::text(&long("damaged")).as_json().as_bytes()).to_string()];
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    assert_eq!(store.thread().get(id("a")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let copy = store.directory.path().join("copy.db");
    let proven = store.maintenance.backup_proven(&copy).await.unwrap();
    let reasons: Vec<_> = proven.verification.damaged.iter().map(|damage| damage.message.clone()).collect();
    assert_eq!((reasons, proven.verification.blobs, blobs(&copy).len()), (vec![Some(id("a"))], 1, 1));
    // The content has no other path.
    let again = store.thread().add(NewMessage::user(&long("damaged")).with_id(id("c"))).await.unwrap_err();
    assert_eq!((again.kind(), again.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    store.thread().edit(id("a"), Content::text(&long("edited"))).await.unwrap();
    assert_eq!(store.expect_sound().await, 2);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_refuses_its_write_alone() {
    let store = store().await;
    let folder = store.directory.path().join("chat.db-blobs");
    // No folder can be at this path.
    fs::write(&folder, "").unwrap();
    let refused = store.thread().add(NewMessage::user(&long("one")).with_id(id("a"))).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert!(refused.to_string().contains("chat.db-blobs"), "{refused}");
    store.add("b", "short").await;

    let reservation = NewReservation::new(Role::Assistant).with_id(id("reply"));
    let mut draft = store.thread().reserve(reservation).await.unwrap();
    draft.append(&long("reply")).await.unwrap();
    draft.flush().await.unwrap();
    let finish = store.thread().update_content(id("reply"), ContentChange::none(), UpdateMode::Final);
    let (finished, ()) = tokio::join!(finish.into_future(), store.add("c", "in the same transaction"));
    let refused = finished.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    fs::remove_file(&folder).unwrap();
    draft.finish().await.unwrap();
    assert_eq!(store.thread().get(id("reply")).await.unwrap().unwrap().text(), long("reply"));
    assert_eq!(store.expect_sound().await, 1);
    assert!(store.maintenance.health().is_good(), "{:?}", store.maintenance.health());
}

/// Removes every entry from the index over the references.
fn damage_index(store: &Path) {
    let connect = || {
        let raw = Connection::open(store).unwrap();
        raw.execute_batch("PRAGMA writable_schema = ON").unwrap();
        raw
    };
    let change = "UPDATE sqlite_schema SET sql = replace(sql, ?1, ?2) WHERE name = 'messages_with_blob'";
    // Its rebuild leaves it empty, because no content begins so.
    let (right, wrong) = ("content >= 'b'", "content >= 'z'");
    assert_eq!(connect().execute(change, [right, wrong]).unwrap(), 1);
    connect().execute_batch("REINDEX messages_with_blob").unwrap();
    assert_eq!(connect().execute(change, [wrong, right]).unwrap(), 1);
}

#[tokio::test]
async fn a_damaged_index_costs_no_file() {
    let mut store = store().await;
    store.add("a", &long("kept")).await;
    let kept = store.one_blob();
    let old = SystemTime::now() - Duration::from_secs(2 * 3600);
    File::options().write(true).open(&kept).unwrap().set_modified(old).unwrap();
    store.db.close().await.unwrap();
    damage_index(&store.path);
    // A search at the opening finds the file, and the closing removes what it found.
    (store.maintenance, store.db) = open_with(SqliteOptions::new().blobs_above(ABOVE), &store.path).await;
    let orphans = store.maintenance.verify().await.unwrap().orphans;
    assert_eq!(orphans.iter().collect::<Vec<_>>(), [&kept], "the index does not name it");
    store = store.reopen().await.reopen().await;
    assert_eq!(store.one_blob(), kept);
    let found = store.maintenance.verify().await.unwrap();
    assert_eq!((found.blobs, found.orphans), (1, vec![kept]));
    assert!(found.damaged.iter().all(|damage| damage.part == Part::File), "{:?}", found.damaged);
    assert!(!found.damaged.is_empty());
    let copy = store.directory.path().join("copy.db");
    store.maintenance.backup(&copy).await.unwrap();
    assert_eq!(blobs(&copy).len(), 1);
    let rebuilt = store.maintenance.rebuild_into(store.directory.path().join("rebuilt.db")).await.unwrap();
    assert!(rebuilt.verification.is_sound() && rebuilt.verification.blobs == 1);
}
