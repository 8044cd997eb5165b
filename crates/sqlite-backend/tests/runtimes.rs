//! A store can be used from any runtime, even after other runtimes have ended.

use std::time::Duration;

use throughline_core::{NewMessage, Persistence, messages::PageFrom};
use throughline_sqlite::SqliteBackend;
use tokio::runtime::{Builder, Runtime};

/// Returns a runtime that makes progress only inside of `block_on`.
fn of_one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_reader_is_free_again_whatever_its_runtime_does() {
    let [opening, reading, idle] = [(); 3].map(|()| of_one_thread());
    let backend = SqliteBackend::builder().readers(1).wait_limit(Duration::from_secs(2));
    let db = opening
        .block_on(async { Persistence::builder().backend(backend.temporary().await.unwrap()).build() })
        .unwrap();
    let read = || async { db.thread("t").page(PageFrom::Start, 10).await.map(|page| page.messages.len()) };
    reading.block_on(async { db.thread("t").add(NewMessage::user("hello")).await }).unwrap();
    // Each call leaves its runtime at the end of the read; the only reader must not stay blocked there.
    for runtime in [&opening, &reading, &idle, &reading] {
        assert_eq!(runtime.block_on(read()).unwrap(), 1);
    }
    opening.block_on(db.close()).unwrap();
}

#[test]
fn a_reader_is_free_again_when_its_caller_leaves() {
    let [opening, leaving] = [(); 2].map(|()| of_one_thread());
    let backend = SqliteBackend::builder().readers(1).wait_limit(Duration::from_secs(2));
    let db = opening
        .block_on(async { Persistence::builder().backend(backend.temporary().await.unwrap()).build() })
        .unwrap();
    let thread = db.thread("t");
    // A reader may answer before the caller polls a second time: then a caller that leaves in the middle has left too
    // early.
    let leaves_in_the_middle = || {
        leaving.block_on(async {
            let mut read = std::pin::pin!(thread.page(PageFrom::Start, 10).into_future());
            std::future::poll_fn(|cx| std::task::Poll::Ready(read.as_mut().poll(cx).is_pending())).await
        })
    };
    assert!((0..1000).any(|_| leaves_in_the_middle()));
    opening.block_on(async {
        assert!(thread.page(PageFrom::Start, 10).await.unwrap().messages.is_empty());
        db.close().await.unwrap();
    });
}
