//! The JSONL mirror is equal to the store after every kind of write, and a rebuild creates the same files.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use throughline::{
    Content, MessageId, MetadataPatch, Persistence, Position, Role,
    effects::{Consumer as _, Effects, Event, JsonlMirror},
    threads::Keep,
};

use crate::support::{add, consumer, effects, in_memory, stores};

/// Returns every file below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

async fn started(db: &Persistence, mirror: &Arc<JsonlMirror>) -> Effects {
    effects(db).consumer(Arc::clone(mirror)).start().await.unwrap()
}

async fn mirror(folder: &Path) -> Arc<JsonlMirror> {
    Arc::new(JsonlMirror::open(folder).await.unwrap())
}

fn lines(mirror: &JsonlMirror, db: &Persistence, thread: &str) -> Vec<serde_json::Value> {
    let file = mirror.file_of(db.tenant(), &thread.parse().unwrap());
    let text = fs::read_to_string(file).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(mirror: &JsonlMirror, db: &Persistence, thread: &str) -> Vec<String> {
    lines(mirror, db, thread).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

fn id(id: &str) -> MessageId {
    id.parse().unwrap()
}

/// Performs every kind of change of messages and threads. Returns the position of the last commit.
async fn write_everything(db: &Persistence) -> Position {
    for thread in ["plain", "cleared", "pruned", "deleted", "emptied"] {
        for at in 0..5 {
            add(db, thread, &format!("m{at}"), &format!("text {at} of {thread}")).await;
        }
    }
    let plain = db.thread("plain");
    plain
        .edit(id("m1"), Content::from_json("[{\"type\":\"text\",\n\"text\":\"edited\\nline\"}]").unwrap())
        .await
        .unwrap();
    plain.update(id("m2"), MetadataPatch::new().set("status", &"patched").unwrap()).await.unwrap();
    plain.delete(id("m3")).await.unwrap();
    let mut first = plain.reserve(Role::Assistant).await.unwrap();
    let mut second = plain.reserve(Role::Assistant).await.unwrap();
    let mut third = plain.reserve(Role::Assistant).await.unwrap();
    second.append("finished before the first").await.unwrap();
    second.finish().await.unwrap();
    first.append("finished after the second").await.unwrap();
    first.finish().await.unwrap();
    third.append("never").await.unwrap();
    third.abandon("it was stopped").await.unwrap();
    db.thread("cleared").clear().await.unwrap();
    add(db, "cleared", "after", "in the next generation").await;
    let keep = Keep { messages: Some(2), ..Keep::default() };
    db.thread("pruned").prune(keep).await.unwrap();
    db.thread("deleted").delete_thread().await.unwrap();
    for at in 0..5 {
        db.thread("emptied").delete(id(&format!("m{at}"))).await.unwrap();
    }
    db.thread("plain").archive(true).await.unwrap();
    add(db, "last", "m", "the last one").await
}

#[tokio::test]
async fn the_mirror_is_equal_to_the_store_and_a_rebuild_creates_the_same_files() {
    for db in stores().await {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mirror = mirror(dir.path()).await;
        let effects = started(&db, &mirror).await;
        let last = write_everything(&db).await;
        assert!(effects.reached(last).await);
        effects.stop().await;

        assert_eq!(ids(&mirror, &db, "plain").len(), 6, "four of the user's and two of the assistant's");
        let plain = lines(&mirror, &db, "plain");
        let seqs: Vec<u64> = plain.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
        assert!(seqs.is_sorted(), "in the order of the thread: {seqs:?}");
        assert_eq!(plain[1]["content"][0]["text"], "edited\nline");
        assert_eq!(plain[2]["metadata"]["status"], "patched");
        for key in ["tenant", "thread", "id", "seq", "role", "revision", "createdAt", "updatedAt"] {
            assert!(!plain[0][key].is_null(), "{key}");
        }
        assert_eq!(ids(&mirror, &db, "cleared"), ["after"]);
        assert_eq!(ids(&mirror, &db, "pruned"), ["m3", "m4"]);
        for gone in ["deleted", "emptied"] {
            assert!(!mirror.file_of(db.tenant(), &gone.parse().unwrap()).exists(), "{gone}");
        }

        // Rebuild in an empty folder, and over the existing files.
        let again = JsonlMirror::open(other.path()).await.unwrap();
        again.rebuild(&db).await.unwrap();
        let relative = |root: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
            let strip = |(path, bytes): (PathBuf, Vec<u8>)| (path.strip_prefix(root).unwrap().into(), bytes);
            files(root).into_iter().map(strip).collect()
        };
        let expected = relative(dir.path());
        assert_eq!(relative(other.path()), expected);
        fs::write(mirror.file_of(db.tenant(), &"plain".parse().unwrap()), "nonsense\n").unwrap();
        fs::remove_file(mirror.file_of(db.tenant(), &"last".parse().unwrap())).unwrap();
        fs::write(mirror.file_of(db.tenant(), &"never".parse().unwrap()), "{}\n").unwrap();
        JsonlMirror::rebuild(&mirror, &db).await.unwrap();
        assert_eq!(relative(dir.path()), expected);
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn replaying_all_changes_does_not_change_the_files() {
    let db = in_memory();
    let dir = tempfile::tempdir().unwrap();
    let last = write_everything(&db).await;
    let mut before = None;
    for name in ["first", "second", "third"] {
        // A consumer with another name has its own cursor, which starts at the beginning.
        let mirror = Arc::new(JsonlMirror::open(dir.path()).await.unwrap().named(name));
        let effects = started(&db, &mirror).await;
        assert!(effects.reached(last).await);
        effects.stop().await;
        let after = files(dir.path());
        assert!(before.is_none_or(|before| before == after), "{name}");
        before = Some(after);
    }
}

#[tokio::test]
async fn no_id_escapes_the_folder_or_maps_to_the_file_of_another_thread() {
    let db = in_memory();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("mirror");
    let mirror = mirror(&root).await;
    let long = "é".repeat(127);
    let full = format!("{long}x");
    let threads = [
        "../x", "..", ".", "CON", "con", "a/b", "/etc/x", "A", "a", "a\\b", "🦀", &full, &long, "%2e",
        "x.jsonl",
    ];
    let effects = started(&db, &mirror).await;
    let mut last = Position::ZERO;
    for thread in threads {
        last = add(&db, thread, "../../m", thread).await;
    }
    assert!(effects.reached(last).await);
    effects.stop().await;
    for thread in threads {
        let found = lines(&mirror, &db, thread);
        assert_eq!(found.len(), 1, "{thread}");
        assert_eq!(found[0]["thread"], thread);
        assert_eq!(found[0]["id"], "../../m");
        let file = mirror.file_of(db.tenant(), &thread.parse().unwrap());
        assert_eq!(file.parent().unwrap().parent().unwrap(), root, "{thread}");
    }
    let names: std::collections::HashSet<String> =
        files(&root).keys().map(|path| path.to_string_lossy().to_lowercase()).collect();
    assert_eq!(names.len(), threads.len());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing outside of the folder");
}

#[tokio::test]
async fn a_torn_line_is_removed_and_its_message_is_written_again() {
    let db = in_memory();
    let dir = tempfile::tempdir().unwrap();
    let folder = mirror(dir.path()).await;
    let effects_before = started(&db, &folder).await;
    let last = add(&db, "t", "m1", "whole").await;
    assert!(effects_before.reached(last).await);
    effects_before.stop().await;
    let file = folder.file_of(db.tenant(), &"t".parse().unwrap());
    let whole = fs::read(&file).unwrap();
    let tear =
        |bytes: &[u8]| fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(bytes).unwrap();
    tear(format!("{{\"id\":\"m2\",\"content\":\"{}", "x".repeat(10_000)).as_bytes());
    let unfinished = file.with_extension("jsonl.1.tmp");
    fs::write(&unfinished, "half of a file").unwrap();

    let folder = mirror(dir.path()).await;
    assert_eq!(fs::read(&file).unwrap(), whole);
    assert!(!unfinished.exists());
    let effects_after = started(&db, &folder).await;
    let last = add(&db, "t", "m2", "whole too").await;
    assert!(effects_after.reached(last).await);
    // The mirror also repairs a line that is torn while the file is open.
    tear(b"{\"id\":");
    let last = add(&db, "t", "m3", "also whole").await;
    assert!(effects_after.reached(last).await);
    assert_eq!(ids(&folder, &db, "t"), ["m1", "m2", "m3"]);
}

#[tokio::test]
async fn each_tenant_has_its_own_folder() {
    let db = in_memory();
    let dir = tempfile::tempdir().unwrap();
    let mirror = mirror(dir.path()).await;
    let shared_mirror = Arc::clone(&mirror);
    let mut whole = consumer("whole", move |event: Event| {
        let mirror = Arc::clone(&shared_mirror);
        async move { mirror.handle(event).await }
    });
    whole.scope = throughline::changes::ChangeScope::Store;
    let effects = effects(&db).consumer(whole).start().await.unwrap();
    let (alice, bob) = (db.for_tenant("a".parse().unwrap()), db.for_tenant("A".parse().unwrap()));
    add(&alice, "t", "m", "alice's").await;
    let last = add(&bob, "t", "m", "bob's").await;
    assert!(effects.reached(last).await);
    assert_eq!(lines(&mirror, &alice, "t")[0]["content"][0]["text"], "alice's");
    assert_eq!(lines(&mirror, &bob, "t")[0]["content"][0]["text"], "bob's");
}
