//! Search finds copied messages in a SQLite file with a full-text index.

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

/// Opens a file that keeps few changes, without an index.
async fn keeps_few_changes(path: &Path) -> Persistence {
    let backend = SqliteOptions::new().changes_kept(10).open(path).await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

/// Opens a file with an index that blocks the second page of row images until the test releases it.
async fn indexed(path: &Path, proceed: &Arc<Notify>) -> Persistence {
    let (pages, proceed) = (Arc::new(AtomicUsize::new(0)), Arc::clone(proceed));
    let layer = from_fn("pages", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let (pages, proceed) = (Arc::clone(&pages), Arc::clone(&proceed));
        async move {
            if matches!(&request.args, PersistArgs::Replica(ReplicaArgs::Apply(_)))
                && pages.fetch_add(1, SeqCst) == 1
            {
                proceed.notified().await;
            }
            next.run(request).await
        }
    });
    let backend = SqliteOptions::new().search(true).open(path).await.unwrap();
    Persistence::builder().layer(layer).backend(backend).build().unwrap()
}

/// Returns the number of hits once the index has a position.
async fn found(db: &Persistence, word: &str) -> usize {
    loop {
        let found = db.search(SearchMessages::new(word, 1000)).await.unwrap();
        if found.indexed > Position::ZERO {
            return found.hits.len();
        }
        // The index follows the writes asynchronously, without a signal.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The index catches up before the second page arrives, and no change event announces that page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_into_sqlite_is_searchable_without_its_changes() {
    const MESSAGES: usize = 900;
    let folder = tempfile::tempdir().unwrap();
    let proceed = Arc::new(Notify::new());
    let from = keeps_few_changes(&folder.path().join("a.db")).await;
    let to = indexed(&folder.path().join("b.db"), &proceed).await;
    import(&from, "t", 0..MESSAGES).await;
    let mirror = Mirror::start(from.clone(), to.clone()).await.unwrap();
    let first = loop {
        match found(&to, "text").await {
            0 => tokio::task::yield_now().await,
            found => break found,
        }
    };
    assert!(first < MESSAGES, "{first} of the first page");
    proceed.notify_one();
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
