//! Key rotation during writes, and with processes that are killed.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use throughline::{
    Content, ErrorKind, Metadata, MetadataPatch, NewMessage, NewThread, Persistence, Role,
    layers::encrypt::{
        EncryptLayer, KeyId, KeyRing,
        thread_keys::{FileThreadKeys, MemoryThreadKeys},
    },
    memory::MemoryBackend,
    messages::PageFrom,
    sqlite::SqliteBackend,
    threads::ListThreads,
};

use super::support::{StoreProxy, key, key_ring, layer, stacks};

fn id(name: &str) -> KeyId {
    name.parse().unwrap()
}

/// Writes threads with chunked content, metadata and titles.
async fn fill(db: &Persistence, threads: usize, messages: usize) {
    for thread in 0..threads {
        let mut facts = Metadata::new();
        facts.set("fact", &thread).unwrap();
        let named = format!("t{thread}");
        let new = NewThread::new().with_id(named.parse().unwrap()).with_title(named.parse().unwrap());
        db.create_thread(new.with_metadata(facts.clone())).await.unwrap();
        for message in 0..messages {
            let new = NewMessage::user(&format!("{thread}.{message}")).with_metadata(facts.clone());
            db.thread(&*named).add(new.with_id(format!("m{message}").parse().unwrap())).await.unwrap();
        }
        let mut draft = db.thread(&*named).reserve(Role::Assistant).await.unwrap();
        draft.append("one").await.unwrap();
        draft.flush().await.unwrap();
        draft.append(" two").await.unwrap();
        draft.finish().await.unwrap();
    }
}

/// Returns the content of every row, or the error of a row that cannot be read.
async fn all_rows(db: &Persistence) -> Vec<String> {
    let list = db.threads(ListThreads::new(1000)).await.unwrap();
    assert_eq!(list.damaged, []);
    let mut said = Vec::new();
    for entry in list.threads {
        said.push(format!("{} {} {}", entry.thread, entry.title, entry.metadata.get("fact").unwrap().get()));
        for message in db.thread(entry.thread).page(PageFrom::Start, 1000).await.unwrap().messages {
            let facts = serde_json::to_string(&message.metadata).unwrap();
            said.push(format!("{} {} {} {facts}", message.thread, message.seq, message.content.as_json()));
        }
    }
    said.sort();
    said
}

#[tokio::test]
async fn re_encryption_ends_during_continuous_writes() {
    let layer = layer();
    for db in stacks(&layer).await {
        fill(&db, 3, 2).await;
        let old = layer.key_ring().write_key();
        layer.key_ring().rotate(key(&format!("{old}x"))).unwrap();
        let mut rewrite = layer.rewrite(&db).page(1);
        let mut steps = 0;
        // The writers add more messages than each step rewrites.
        while rewrite.step().await.unwrap() {
            for _ in 0..3 {
                db.thread(format!("new {steps}")).add(NewMessage::user("x")).await.unwrap();
            }
            steps += 1;
            assert!(steps < 400, "the rewrite never catches up");
        }
        layer.retire(&old, std::slice::from_ref(&db)).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_is_retired_only_when_no_row_uses_it() {
    for layer in [layer(), EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new())] {
        for db in stacks(&layer).await {
            let old = layer.key_ring().write_key();
            fill(&db, 3, 5).await;
            let before = all_rows(&db).await;
            layer.key_ring().rotate(key(&format!("{old}x"))).unwrap();
            let stores = [db.clone()];
            assert_eq!(layer.retire(&old, &stores).await.unwrap_err().kind(), ErrorKind::Conflict);
            let report = layer.rewrite(&db).page(2).run().await.unwrap();
            assert_eq!((report.open, report.abandoned, report.damaged, report.overtaken), (0, 0, 0, 0));
            assert_eq!(all_rows(&db).await, before);
            layer.retire(&old, &stores).await.unwrap();
            assert_eq!(all_rows(&db).await, before);
            // A second pass finds nothing to do.
            let mut again = layer.rewrite(&db);
            assert_eq!(again.run().await.unwrap(), throughline::layers::encrypt::Rewritten::default());
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_rotation_with_thread_keys_rewrites_no_message() {
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new());
    let proxy = StoreProxy::default();
    let db = proxy.over_memory(&layer);
    fill(&db, 3, 2).await;
    let mut abandoned = db.thread("t0").reserve(Role::Assistant).await.unwrap();
    abandoned.abandon("it stays").await.unwrap();
    layer.key_ring().rotate(key("k2")).unwrap();
    proxy.passed();
    let report = layer.rewrite(&db).run().await.unwrap();
    assert_eq!((report.thread_keys, report.contents, report.abandoned), (3, 0, 0));
    assert!(proxy.passed().iter().all(|args| !args.kind().is_write()));
    layer.retire(&id("k1"), std::slice::from_ref(&db)).await.unwrap();
    assert_eq!(db.thread("t0").page(PageFrom::Start, 10).await.unwrap().messages.len(), 4);
}

#[tokio::test]
async fn rows_that_cannot_be_re_encrypted_are_counted_and_keep_their_key() {
    let layer = layer();
    let proxy = StoreProxy::default();
    let db = proxy.over_memory(&layer);
    let thread = db.thread("t");
    thread.add(NewMessage::user("x")).await.unwrap();
    let mut open = thread.reserve(Role::Assistant).await.unwrap();
    open.append("under way").await.unwrap();
    open.flush().await.unwrap();
    let mut abandoned = thread.reserve(Role::Assistant).await.unwrap();
    abandoned.abandon("it stays").await.unwrap();
    layer.key_ring().rotate(key("k2")).unwrap();
    let report = layer.rewrite(&db).run().await.unwrap();
    // The rewrite changed the thread, so the next pass visits it again.
    assert!(report.open >= 1 && report.abandoned >= 1, "{report:?}");
    assert_eq!(report.contents, 1);
    // The writer continues with both keys.
    open.append(" still").await.unwrap();
    let done = open.finish().await.unwrap();
    let read = thread.get(done.id).await.unwrap().unwrap();
    assert_eq!(read.content, Content::text("under way still"));
    assert_eq!(layer.retire(&id("k1"), &[db]).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn an_unencrypted_store_is_encrypted_by_a_rewrite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let plain = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();
    fill(&plain, 2, 3).await;
    let mut open = plain.thread("t0").reserve(Role::Assistant).await.unwrap();
    open.append("begun").await.unwrap();
    open.flush().await.unwrap();
    let open = open.id().clone();
    let before = all_rows(&plain).await;
    plain.close().await.unwrap();
    let migrating = layer().accept_plaintext();
    let open_stack = async |layer: &EncryptLayer| {
        let backend = SqliteBackend::open(&path).await.unwrap();
        Persistence::builder().layer(layer.clone()).backend(backend).build().unwrap()
    };
    let db = open_stack(&migrating).await;
    assert_eq!(all_rows(&db).await, before);
    let end = throughline::messages::UpdateContent::new(
        "t0".parse().unwrap(),
        open,
        throughline::messages::ContentChange::Append(throughline::Delta::text(" and ended")),
        throughline::messages::UpdateMode::Final,
    );
    db.run(end).await.unwrap();
    let now = all_rows(&db).await;
    assert!(now.iter().any(|said| said.contains("begun and ended")));
    migrating.rewrite(&db).run().await.unwrap();
    db.close().await.unwrap();
    let db = open_stack(&layer()).await;
    assert_eq!(all_rows(&db).await, now);
    db.close().await.unwrap();
}

#[tokio::test]
async fn concurrent_metadata_patches_survive_re_encryption() {
    let layer = layer();
    let db = Persistence::builder().layer(layer.clone()).backend(MemoryBackend::new()).build().unwrap();
    fill(&db, 1, 1).await;
    layer.key_ring().rotate(key("k2")).unwrap();
    let patches = (0..50).map(|n| {
        let db = db.clone();
        tokio::spawn(async move {
            let patch = MetadataPatch::new().set("fact", &n).unwrap();
            let patch = if n % 2 == 0 { patch } else { MetadataPatch::new() };
            db.thread("t0").update("m0".parse().unwrap(), patch).await.unwrap();
        })
    });
    for patch in patches.collect::<Vec<_>>() {
        patch.await.unwrap();
    }
    let read = db.thread("t0").get("m0".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(read.metadata.get_as::<u64>("fact"), Some(48));
}

#[tokio::test]
async fn a_rewrite_continues_from_the_cursor_of_another() {
    let layer = layer();
    let db = Persistence::builder().layer(layer.clone()).backend(MemoryBackend::new()).build().unwrap();
    fill(&db, 3, 4).await;
    layer.key_ring().rotate(key("k2")).unwrap();
    let mut cursor = throughline::layers::encrypt::RewriteCursor::default();
    let mut contents = 0;
    loop {
        // Each step runs in a new rewrite, which knows only the stored cursor.
        let kept = serde_json::to_string(&cursor).unwrap();
        let mut rewrite = layer.rewrite(&db).page(2).resume(serde_json::from_str(&kept).unwrap());
        let more = rewrite.step().await.unwrap();
        contents += rewrite.report().contents;
        cursor = rewrite.cursor().clone();
        if !more {
            break;
        }
    }
    assert_eq!(contents, 15);
    layer.retire(&id("k1"), &[db]).await.unwrap();
}

const PATH: &str = "THROUGHLINE_ENCRYPT_PATH";
const KEYS: &str = "THROUGHLINE_ENCRYPT_KEYS";
const THREAD_KEYS: &str = "THROUGHLINE_ENCRYPT_THREAD_KEYS";

/// Returns a key ring with these keys; the last one encrypts.
fn key_ring_of(keys: &[String]) -> KeyRing {
    let key_ring = key_ring(&keys[0]);
    keys[1..].iter().for_each(|name| key_ring.rotate(key(name)).unwrap());
    key_ring
}

fn layer_of(keys: &[String], thread_keys: Option<&Path>) -> EncryptLayer {
    let layer = EncryptLayer::new(key_ring_of(keys));
    match thread_keys {
        Some(folder) => layer.with_thread_keys(FileThreadKeys::open(folder).unwrap()),
        None => layer,
    }
}

async fn opened(path: &Path, layer: &EncryptLayer) -> Persistence {
    let backend = SqliteBackend::open(path).await.unwrap();
    Persistence::builder().layer(layer.clone()).backend(backend).build().unwrap()
}

/// The child process: it rewrites the store and prints each step. It does nothing unless the test below starts it.
#[tokio::test]
async fn one_process_rewrites() {
    let (Ok(path), Ok(keys)) = (env::var(PATH), env::var(KEYS)) else { return };
    let keys: Vec<String> = keys.split(',').map(str::to_owned).collect();
    let layer = layer_of(&keys, env::var(THREAD_KEYS).ok().as_deref().map(Path::new));
    let db = opened(Path::new(&path), &layer).await;
    let mut rewrite = layer.rewrite(&db).page(1);
    while rewrite.step().await.unwrap() {
        writeln!(std::io::stdout(), "step").unwrap();
    }
    writeln!(std::io::stdout(), "whole").unwrap();
}

fn start(path: &Path, keys: &[String], thread_keys: Option<&Path>) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["encrypt::rotation::one_process_rewrites", "--exact", "--nocapture"])
        .env(PATH, path)
        .env(KEYS, keys.join(","))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    if let Some(folder) = thread_keys {
        command.env(THREAD_KEYS, folder);
    }
    command.spawn().unwrap()
}

/// Kills processes during a rewrite. Returns how many of them had not finished.
async fn killed(kills: usize, thread_keys: bool) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let kept = thread_keys.then(|| folder.path().join("keys"));
    let mut keys = vec!["k0".to_owned()];
    let db = opened(&path, &layer_of(&keys, kept.as_deref())).await;
    fill(&db, 5, 6).await;
    let before = all_rows(&db).await;
    db.close().await.unwrap();
    let mut unfinished = 0;
    for kill in 0..kills {
        // Rotate the key after every few kills, so that there is always something to rewrite.
        if kill % 5 == 0 {
            keys.push(format!("k{}", keys.len()));
        }
        let mut child = start(&path, &keys, kept.as_deref());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let steps = 1 + (kill * 7) % 12;
        let mut done = 0;
        let mut whole = false;
        for line in lines.by_ref() {
            let line = line.unwrap();
            done += usize::from(line.contains("step"));
            whole |= line.contains("whole");
            if done == steps {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        unfinished += usize::from(!whole);
        let db = opened(&path, &layer_of(&keys, kept.as_deref())).await;
        assert_eq!(all_rows(&db).await, before, "after kill {kill}");
        db.close().await.unwrap();
    }
    let layer = layer_of(&keys, kept.as_deref());
    let db = opened(&path, &layer).await;
    layer.rewrite(&db).run().await.unwrap();
    assert_eq!(all_rows(&db).await, before);
    for old in &keys[..keys.len() - 1] {
        layer.retire(&id(old), std::slice::from_ref(&db)).await.unwrap();
    }
    assert_eq!(all_rows(&db).await, before);
    db.close().await.unwrap();
    unfinished
}

#[tokio::test]
async fn rel_30_fifty_kills_during_a_rewrite_leave_every_row_readable() {
    assert_eq!(killed(50, false).await, 50);
}

#[tokio::test]
async fn kills_during_the_rewrap_of_thread_keys_leave_every_row_readable() {
    assert!(killed(10, true).await > 0);
}
