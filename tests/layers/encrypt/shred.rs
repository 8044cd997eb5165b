//! Shredding destroys the key of a thread, and with it every copy of the thread.

use throughline::{
    Effect, ErrorKind, NewMessage, NewThread, PersistResult, Persistence, ReadResult, ThreadId,
    layers::encrypt::{
        EncryptLayer, Unreadable,
        thread_keys::{FileThreadKeys, MemoryThreadKeys},
    },
    messages::{Import, ImportRow, PageFrom},
    threads::{CreateThread, ForkPoint, ListThreads, ThreadSummary},
};

use super::support::{FailingKeys, KeyCall, StoreProxy, key_ring, layer, over_memory, stacks};

#[tokio::test]
async fn shredding_makes_one_thread_unreadable_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for (number, layer) in [
        EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new()),
        EncryptLayer::new(key_ring("k1")).with_thread_keys(FileThreadKeys::open(folder.path()).unwrap()),
    ]
    .into_iter()
    .enumerate()
    {
        for (store, db) in stacks(&layer).await.into_iter().enumerate() {
            let named = |name: &str| -> ThreadId { format!("{name}{number}{store}").parse().unwrap() };
            let (shredded, kept) = (db.thread(named("a")), db.thread(named("b")));
            for thread in [&shredded, &kept] {
                thread.add(NewMessage::user("said").with_id("m".parse().unwrap())).await.unwrap();
                thread.rename("title".parse().unwrap()).await.unwrap();
            }
            layer.shred(&db, &named("a")).await.unwrap();
            for error in [
                shredded.get("m".parse().unwrap()).await.unwrap_err(),
                shredded.page(PageFrom::Start, 10).await.unwrap_err(),
                shredded.summary().await.unwrap_err(),
                shredded.add(NewMessage::user("more")).await.unwrap_err(),
            ] {
                let source =
                    std::error::Error::source(&error).and_then(|why| why.downcast_ref::<Unreadable>());
                assert_eq!((error.kind(), source), (ErrorKind::Gone, Some(&Unreadable::Shredded)), "{error}");
            }
            assert_eq!(kept.page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
            let list = db.threads(ListThreads::new(10)).await.unwrap();
            assert_eq!((list.threads.len(), &list.damaged[..]), (1, &[named("a")][..]));
            // The thread with the same id of another tenant has its own key.
            let other = db.for_tenant("other".parse().unwrap());
            other.thread(named("a")).add(NewMessage::user("said")).await.unwrap();
            assert_eq!(other.thread(named("a")).page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
            // The rows of a shredded thread can still be deleted.
            shredded.delete("m".parse().unwrap()).await.unwrap();
            shredded.delete_thread().await.unwrap();
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn shredding_without_thread_keys_is_unsupported() {
    let layer = layer();
    let error = layer.shred(&over_memory(&layer), &"t".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// Creates a thread with one message, an archived fork of it, a hidden fork of that fork, and an independent thread.
async fn create_forks(db: &Persistence) {
    let id = || "m".parse().unwrap();
    let (source, own) = (db.thread("source"), db.thread("own"));
    source.add(NewMessage::user("said").with_id(id())).await.unwrap();
    own.add(NewMessage::user("said").with_id(id())).await.unwrap();
    source.fork(&id(), NewThread::new().with_id("fork".parse().unwrap())).await.unwrap();
    db.thread("fork").archive(true).await.unwrap();
    // An interrupted fork: it has a copied message, and is not published.
    let point = ForkPoint { thread: "fork".parse().unwrap(), message: id() };
    let new = NewThread::new().with_id("half".parse().unwrap()).forked_from(point).hidden();
    db.on_thread(CreateThread::new(new)).await.unwrap();
    let copied = db.thread("fork").get(id()).await.unwrap().unwrap();
    db.run(Import::new("half".parse().unwrap(), vec![ImportRow::of(copied).unwrap()])).await.unwrap();
}

/// Returns the readable threads.
async fn readable(db: &Persistence) -> Vec<&'static str> {
    let mut readable = Vec::new();
    for thread in ["source", "fork", "half", "own"] {
        match db.thread(thread).get("m".parse().unwrap()).await {
            Ok(message) => readable.extend(message.map(|_| thread)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Gone, "{thread}: {error}"),
        }
    }
    readable
}

fn ids(names: &[&str]) -> Vec<ThreadId> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[tokio::test]
async fn shredding_lists_the_forks_that_stay_readable() {
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new());
    for db in stacks(&layer).await {
        // Use one tenant per store, since both stores share the keys.
        let db = db.for_tenant(db.describe().names().last().unwrap().parse().unwrap());
        create_forks(&db).await;
        let shredded = layer.shred(&db, &"source".parse().unwrap()).await.unwrap();
        assert_eq!((shredded.threads, shredded.readable_forks), (ids(&["source"]), ids(&["fork", "half"])));
        assert_eq!(readable(&db).await, ["fork", "half", "own"]);
        // A repeated call returns the same result.
        let again = layer.shred(&db, &"source".parse().unwrap()).await.unwrap();
        assert_eq!(again.readable_forks, ids(&["fork", "half"]));
        assert_eq!(layer.shred(&db, &"own".parse().unwrap()).await.unwrap().readable_forks, []);
    }
}

#[tokio::test]
async fn shredding_with_forks_leaves_no_copy_readable() {
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new());
    for db in stacks(&layer).await {
        let db = db.for_tenant(db.describe().names().last().unwrap().parse().unwrap());
        create_forks(&db).await;
        let shredded = layer.shred_with_forks(&db, &"source".parse().unwrap()).await.unwrap();
        assert_eq!(shredded.threads, ids(&["source", "half", "fork"]));
        assert!(shredded.readable_forks.is_empty() && shredded.damaged.is_empty(), "{shredded:?}");
        assert_eq!(readable(&db).await, ["own"]);
    }
}

#[tokio::test]
async fn a_damaged_key_record_does_not_prevent_forks_from_being_listed_and_shredded() {
    let folder = tempfile::tempdir().unwrap();
    let keys = FileThreadKeys::open(folder.path()).unwrap();
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(keys);
    let db = over_memory(&layer);
    create_forks(&db).await;
    // A crash has wiped the key record of another tenant.
    let damaged = format!("{}.key", "0".repeat(64));
    std::fs::write(folder.path().join(&damaged), " ".repeat(100)).unwrap();
    let damaged = vec![damaged];
    let shredded = layer.shred(&db, &"source".parse().unwrap()).await.unwrap();
    assert_eq!((shredded.readable_forks, shredded.damaged_keys), (ids(&["fork", "half"]), damaged.clone()));
    let shredded = layer.shred_with_forks(&db, &"source".parse().unwrap()).await.unwrap();
    assert_eq!(
        (shredded.threads, shredded.damaged_keys),
        (ids(&["source", "half", "fork"]), damaged.clone())
    );
    assert_eq!(readable(&db).await, ["own"]);
    // The data under the damaged key is unknown, so no key of the key ring can be removed.
    let error = layer.keys_in_use(&db).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let first = &damaged[0];
    let detail = format!(
        "1 records of the store of keys cannot be read, the first is `{first}`: restore or remove them"
    );
    assert_eq!(error.detail(), detail);
    let report = layer.rewrite(&db).run().await.unwrap();
    assert_eq!((report.damaged, report.damaged_keys), (0, damaged));
}

#[tokio::test]
async fn a_fork_with_a_damaged_summary_is_listed_as_unreadable() {
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new());
    let proxy = StoreProxy::default();
    let db = proxy.over_memory(&layer);
    create_forks(&db).await;
    proxy.tamper(|result| {
        let damage = |entry: &mut ThreadSummary| {
            if entry.thread.as_str() == "fork" {
                entry.title = "not encrypted".parse().unwrap();
            }
        };
        match result {
            PersistResult::Read(ReadResult::Threads(list)) => list.threads.iter_mut().for_each(damage),
            PersistResult::Read(ReadResult::Thread(entry)) => entry.iter_mut().for_each(damage),
            _ => {}
        }
    });
    let shredded = layer.shred_with_forks(&db, &"source".parse().unwrap()).await.unwrap();
    assert_eq!((shredded.threads, shredded.damaged), (ids(&["source"]), ids(&["fork"])));
    proxy.stop_tampering();
    assert_eq!(readable(&db).await, ["fork", "half", "own"]);
}

#[tokio::test]
async fn a_failure_during_the_search_for_forks_leaves_the_key_destroyed_and_the_call_repeatable() {
    let keys = FailingKeys::new(MemoryThreadKeys::new());
    let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(keys.clone());
    let db = over_memory(&layer);
    create_forks(&db).await;
    let source: ThreadId = "source".parse().unwrap();
    for with_forks in [false, true] {
        keys.fail(KeyCall::List, 1);
        let shredded = if with_forks {
            layer.shred_with_forks(&db, &source).await
        } else {
            layer.shred(&db, &source).await
        };
        let error = shredded.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Applied));
        assert_eq!(readable(&db).await, ["fork", "half", "own"]);
    }
    assert_eq!(layer.shred(&db, &source).await.unwrap().readable_forks, ids(&["fork", "half"]));
    assert_eq!(layer.shred_with_forks(&db, &source).await.unwrap().threads, ids(&["source", "half", "fork"]));
    assert_eq!(readable(&db).await, ["own"]);
}

#[tokio::test]
async fn shredding_that_fails_at_any_key_can_be_repeated_to_completion() {
    for nth in 1..=3 {
        let keys = FailingKeys::new(MemoryThreadKeys::new());
        let layer = EncryptLayer::new(key_ring("k1")).with_thread_keys(keys.clone());
        let db = over_memory(&layer);
        create_forks(&db).await;
        keys.fail(KeyCall::Destroy, nth);
        let error = layer.shred_with_forks(&db, &"source".parse().unwrap()).await.unwrap_err();
        let effect = if nth == 1 { Effect::NotApplied } else { Effect::Applied };
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, effect));
        let left: &[&str] = match nth {
            1 => &["source", "fork", "half", "own"],
            2 => &["fork", "half", "own"],
            _ => &["fork", "own"],
        };
        assert_eq!(readable(&db).await, left);
        layer.shred_with_forks(&db, &"source".parse().unwrap()).await.unwrap();
        assert_eq!(readable(&db).await, ["own"]);
    }
}
