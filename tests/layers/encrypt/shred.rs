//! One key is destroyed, and with it every copy of one thread.

use throughline::{
    CreateThread, ErrorKind, ForkPoint, Import, ImportRow, ListThreads, NewMessage, NewThread, PageFrom,
    Persistence, ThreadId,
    layers::encrypt::{
        EncryptLayer, Unreadable,
        thread_keys::{FileThreadKeys, MemoryThreadKeys},
    },
};

use super::support::{layer, over_memory, ring, stacks};

#[tokio::test]
async fn a_shredded_thread_is_gone_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    for (number, layer) in [
        EncryptLayer::new(ring("k1")).with_thread_keys(MemoryThreadKeys::new()),
        EncryptLayer::new(ring("k1")).with_thread_keys(FileThreadKeys::open(folder.path()).unwrap()),
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
                shredded.entry().await.unwrap_err(),
                shredded.add(NewMessage::user("more")).await.unwrap_err(),
            ] {
                let source =
                    std::error::Error::source(&error).and_then(|why| why.downcast_ref::<Unreadable>());
                assert_eq!((error.kind(), source), (ErrorKind::Gone, Some(&Unreadable::Shredded)), "{error}");
            }
            assert_eq!(kept.page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
            let list = db.threads(ListThreads::new(10)).await.unwrap();
            assert_eq!((list.entries.len(), &list.damaged[..]), (1, &[named("a")][..]));
            // Another tenant's thread of that id has a key of its own.
            let other = db.for_tenant("other".parse().unwrap());
            other.thread(named("a")).add(NewMessage::user("said")).await.unwrap();
            assert_eq!(other.thread(named("a")).page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
            // The rows can be taken away.
            shredded.delete("m".parse().unwrap()).await.unwrap();
            shredded.delete_thread().await.unwrap();
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn without_keys_of_threads_nothing_can_be_shredded() {
    let layer = layer();
    let error = layer.shred(&over_memory(&layer), &"t".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// A thread with one message, a fork of it in the archive, a fork of that one which no list shows, and a thread of its own.
async fn family(db: &Persistence) {
    let id = || "m".parse().unwrap();
    let (source, own) = (db.thread("source"), db.thread("own"));
    source.add(NewMessage::user("said").with_id(id())).await.unwrap();
    own.add(NewMessage::user("said").with_id(id())).await.unwrap();
    source.fork(&id(), NewThread::new().with_id("fork".parse().unwrap())).await.unwrap();
    db.thread("fork").archive(true).await.unwrap();
    // A fork that was cut short: it has a copy, and is not published.
    let point = ForkPoint { thread: "fork".parse().unwrap(), message: id() };
    let new = NewThread::new().with_id("half".parse().unwrap()).forked_from(point).hidden();
    db.on_thread(CreateThread::new(new)).await.unwrap();
    let copied = db.thread("fork").get(id()).await.unwrap().unwrap();
    db.run(Import::new("half".parse().unwrap(), vec![ImportRow::of(copied).unwrap()])).await.unwrap();
}

/// Which threads of the family can be read.
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
async fn shredding_names_the_forks_that_stay_readable() {
    let layer = EncryptLayer::new(ring("k1")).with_thread_keys(MemoryThreadKeys::new());
    for db in stacks(&layer).await {
        // Each store has threads of a tenant of its own, since both share the keys.
        let db = db.for_tenant(db.describe().names().last().unwrap().parse().unwrap());
        family(&db).await;
        let shredded = layer.shred(&db, &"source".parse().unwrap()).await.unwrap();
        assert_eq!((shredded.threads, shredded.readable_forks), (ids(&["source"]), ids(&["fork", "half"])));
        assert_eq!(readable(&db).await, ["fork", "half", "own"]);
        // Asked again, it says the same.
        let again = layer.shred(&db, &"source".parse().unwrap()).await.unwrap();
        assert_eq!(again.readable_forks, ids(&["fork", "half"]));
        assert_eq!(layer.shred(&db, &"own".parse().unwrap()).await.unwrap().readable_forks, []);
    }
}

#[tokio::test]
async fn shredding_with_forks_leaves_no_copy_readable() {
    let layer = EncryptLayer::new(ring("k1")).with_thread_keys(MemoryThreadKeys::new());
    for db in stacks(&layer).await {
        let db = db.for_tenant(db.describe().names().last().unwrap().parse().unwrap());
        family(&db).await;
        let shredded = layer.shred_with_forks(&db, &"source".parse().unwrap()).await.unwrap();
        assert_eq!(shredded.threads, ids(&["source", "half", "fork"]));
        assert!(shredded.readable_forks.is_empty() && shredded.unread.is_empty(), "{shredded:?}");
        assert_eq!(readable(&db).await, ["own"]);
    }
}
