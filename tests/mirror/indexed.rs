//! A file that is copied into, with an index of words.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use throughline::{
    Content, NewMessage, PersistArgs, PersistRequest, Persistence, Phase, Position,
    mirror::Mirror,
    plugin::{NextRequest, from_fn},
    replication::ReplicaArgs,
    search::SearchMessages,
    sqlite::SqliteOptions,
};
use tokio::sync::Notify;

use super::support::{equal, import, position};

/// A file that keeps few changes, and no index.
async fn forgetful(path: &Path) -> Persistence {
    let backend = SqliteOptions::new().changes_kept(10).open(path).await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

/// A file with an index, into which the first page of images is put, and the second only when it is told.
async fn indexed(path: &Path, goes_on: &Arc<Notify>) -> Persistence {
    let (pages, goes_on) = (Arc::new(AtomicUsize::new(0)), Arc::clone(goes_on));
    let layer = from_fn("pages", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let (pages, goes_on) = (Arc::clone(&pages), Arc::clone(&goes_on));
        async move {
            if matches!(&request.args, PersistArgs::Replica(ReplicaArgs::Apply(_)))
                && pages.fetch_add(1, SeqCst) == 1
            {
                goes_on.notified().await;
            }
            next.run(request).await
        }
    });
    let backend = SqliteOptions::new().search(true).open(path).await.unwrap();
    Persistence::builder().layer(layer).backend(backend).build().unwrap()
}

/// How many messages are found, once the index has gone through all that there was at some moment.
async fn found(db: &Persistence, word: &str) -> usize {
    loop {
        let found = db.search(SearchMessages::new(word, 1000)).await.unwrap();
        if found.indexed > Position::ZERO {
            return found.hits.len();
        }
        // An index follows the writes in its own time; nothing says when.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The index has gone through what there was before the second page comes, of which no change tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_copied_is_found_though_its_changes_are_not_kept() {
    const MESSAGES: usize = 900;
    let folder = tempfile::tempdir().unwrap();
    let goes_on = Arc::new(Notify::new());
    let from = forgetful(&folder.path().join("a.db")).await;
    let to = indexed(&folder.path().join("b.db"), &goes_on).await;
    import(&from, "t", 0..MESSAGES).await;
    let mirror = Mirror::start(from.clone(), to.clone()).await.unwrap();
    let first = loop {
        match found(&to, "text").await {
            0 => tokio::task::yield_now().await,
            found => break found,
        }
    };
    assert!(first < MESSAGES, "{first} of the first page");
    goes_on.notify_one();
    assert!(mirror.reached(position(&from).await).await, "{:?}", mirror.status());
    assert_eq!(found(&to, "text").await, MESSAGES);

    let thread = from.thread("t");
    thread.edit("m3".parse().unwrap(), Content::text("a pin")).await.unwrap();
    thread.delete("m6".parse().unwrap()).await.unwrap();
    assert!(mirror.reached(position(&from).await).await);
    assert_eq!((found(&to, "text").await, found(&to, "pin").await), (MESSAGES - 2, 1));
    thread.clear().await.unwrap();
    thread.add(NewMessage::user("another pin")).await.unwrap();
    assert!(mirror.reached(position(&from).await).await);
    assert_eq!((found(&to, "text").await, found(&to, "pin").await), (0, 1));
    drop(mirror.stop().await);
    equal(&from, &to).await;
}
