//! One key is destroyed, and with it every copy of one thread.

use throughline::{
    ErrorKind, ListThreads, NewMessage, PageFrom, TenantId, ThreadId,
    layers::encrypt::{
        EncryptLayer, Unreadable,
        thread_keys::{FileThreadKeys, MemoryThreadKeys},
    },
};

use super::support::{layer, ring, stacks};

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
            layer.shred(&TenantId::default(), &named("a")).await.unwrap();
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
    let error = layer().shred(&TenantId::default(), &"t".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
