//! A consumer that fails, panics or hangs is retried, then its change is quarantined. No other thread waits for it (VL-S20).

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use throughline::{
    Call, ErrorKind, Next, PersistError, Persistence, Plugin, Position, ReadArgs, Reply, ThreadId,
    changes::{ConsumerArgs, ListQuarantined},
    effects::{Consumer, ConsumerState, Event},
    memory::MemoryBackend,
};
use tokio::sync::{Notify, Semaphore};

use crate::support::{Projection, add, consumer, effects, in_memory, record, recording};

/// Misbehaves as the text of the message says, for its first two attempts or always.
async fn misbehave(event: &Event, attempt: usize) -> Result<(), throughline::BoxError> {
    let text = event.message.as_ref().map(|message| message.content.as_json().to_owned());
    let text = text.unwrap_or_default();
    if attempt > 2 && !text.contains("always") {
        return Ok(());
    }
    if text.contains("fail") {
        return Err("it failed".into());
    }
    assert!(!text.contains("panic"), "as the text says");
    if text.contains("hang") {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// A consumer that records each event, and misbehaves as the message says.
fn misbehaving(projection: &Projection) -> impl Consumer {
    let (projection, attempts) = (Arc::clone(projection), Arc::new(Mutex::new(HashMap::new())));
    consumer("obeys", move |event| {
        let (projection, attempts) = (Arc::clone(&projection), Arc::clone(&attempts));
        async move {
            let attempt = {
                let mut attempts = attempts.lock().unwrap();
                let attempt = attempts.entry(event.change.position).or_insert(0);
                *attempt += 1;
                *attempt
            };
            misbehave(&event, attempt).await?;
            record(&projection, &event);
            Ok(())
        }
    })
}

async fn quarantined(db: &Persistence, name: &str) -> Vec<(ThreadId, String)> {
    let list = ListQuarantined::new(name.parse().unwrap(), 100);
    let found = db.read(list).await.unwrap().changes;
    found.into_iter().map(|change| (change.thread, change.why)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_change_that_fails_twice_is_processed_by_the_third_attempt() {
    let db = in_memory();
    let projection = Projection::default();
    for (thread, text) in [("a", "fail"), ("b", "panic"), ("c", "hang"), ("d", "well")] {
        add(&db, thread, "1", text).await;
        add(&db, thread, "2", "and then").await;
    }
    let last = add(&db, "d", "3", "the last").await;
    let effects = effects(&db).consumer(misbehaving(&projection)).start().await.unwrap();
    assert!(effects.reached(last).await);
    let status = effects.status().remove(0);
    assert_eq!((status.failures, status.quarantined, status.lag()), (6, 0, 0), "{status:?}");
    assert!(status.last_error.is_some());
    let seen = projection.lock().unwrap();
    assert_eq!(seen.delivered.len(), 9);
    for thread in ["a", "b", "c", "d"] {
        assert!(seen.of(thread).is_sorted(), "{thread}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_always_fails_is_quarantined_and_later_changes_are_delivered() {
    let db = in_memory();
    let projection = Projection::default();
    for (thread, text) in [("a", "always fail"), ("b", "always panic"), ("c", "always hang")] {
        add(&db, thread, "1", text).await;
        add(&db, thread, "2", "behind it").await;
    }
    let last = add(&db, "d", "1", "in another thread").await;
    let effects = effects(&db).attempts(3).consumer(misbehaving(&projection)).start().await.unwrap();
    assert!(effects.reached(last).await);
    let status = effects.stop().await.remove(0);
    assert_eq!((status.quarantined, status.waiting), (3, 0));
    assert!(status.cursor >= last, "{status:?}");
    let why: HashMap<String, String> =
        quarantined(&db, "obeys").await.into_iter().map(|(thread, why)| (thread.to_string(), why)).collect();
    assert_eq!(why["a"], "it failed (3 attempts)");
    assert_eq!(why["b"], "it panicked: as the text says (3 attempts)");
    assert_eq!(why["c"], "it took longer than 30s (3 attempts)");
    assert_eq!(
        projection.lock().unwrap().delivered.len(),
        4,
        "the later changes of the threads, and the other thread"
    );
}

#[tokio::test(start_paused = true)]
async fn failing_threads_delay_no_other_thread_and_no_write() {
    let db = in_memory();
    let projection = Projection::default();
    for at in 0..40 {
        add(&db, &format!("bad{at}"), "1", "always fail").await;
    }
    let effects = effects(&db).parallel(2).consumer(misbehaving(&projection)).start().await.unwrap();
    let done = Arc::new(Notify::new());
    let begun = tokio::time::Instant::now();
    add(&db, "good", "1", "well").await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "a write does not wait for consumers");
    let wait_for_good = {
        let (projection, done) = (Arc::clone(&projection), Arc::clone(&done));
        async move {
            while projection.lock().unwrap().of("good").is_empty() {
                tokio::task::yield_now().await;
            }
            done.notify_one();
        }
    };
    wait_for_good.await;
    done.notified().await;
    let status = effects.status().remove(0);
    assert_eq!(status.quarantined, 0, "no failing change has used up its attempts: {status:?}");
    // `stop` does not wait for them either.
    let stopped = effects.stop().await.remove(0);
    assert_eq!(stopped.cursor, Position::ZERO, "the cursor stays before the first unprocessed change");
    assert_eq!(stopped.state, ConsumerState::Stopped { why: None });
}

#[tokio::test(start_paused = true)]
async fn events_of_at_most_the_configured_number_of_threads_run_in_parallel() {
    let db = in_memory();
    let (barrier, most) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new((0_usize, 0_usize))));
    let (shared_barrier, count) = (Arc::clone(&barrier), Arc::clone(&most));
    let counting = consumer("counts", move |_| {
        let (barrier, count) = (Arc::clone(&shared_barrier), Arc::clone(&count));
        async move {
            {
                let mut count = count.lock().unwrap();
                count.0 += 1;
                count.1 = count.1.max(count.0);
            }
            barrier.acquire().await.unwrap().forget();
            count.lock().unwrap().0 -= 1;
            Ok(())
        }
    });
    let mut last = Position::ZERO;
    for at in 0..20 {
        last = add(&db, &format!("t{at}"), "1", "x").await;
    }
    let effects = effects(&db).parallel(5).consumer(counting).start().await.unwrap();
    while most.lock().unwrap().0 < 5 {
        tokio::task::yield_now().await;
    }
    barrier.add_permits(20);
    assert!(effects.reached(last).await);
    assert_eq!(most.lock().unwrap().1, 5, "in parallel, and bounded");
}

#[tokio::test]
async fn a_backend_without_consumers_and_an_invalid_consumer_name_are_refused_at_the_start() {
    use throughline::{Admitted, Backend, Capabilities, Durability, OpKind};
    struct Claims(Capabilities);
    impl Backend for Claims {
        fn name(&self) -> &str {
            "claims"
        }
        fn capabilities(&self) -> Capabilities {
            self.0.clone()
        }
        async fn read(&self, _: Admitted<'_, ReadArgs>) -> throughline::Result<Reply<ReadArgs>> {
            panic!("the backend must not be called")
        }
    }
    let everything = Capabilities::new(Durability::Volatile);
    for claims in [
        everything.clone().with_operations(&OpKind::ALL),
        everything.with_operations(&[OpKind::Read]).with_changes(),
    ] {
        let db = Persistence::builder().backend(Claims(claims)).build().unwrap();
        let started = effects(&db).consumer(consumer("c", |_| async { Ok(()) })).start().await;
        assert_eq!(started.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    let db = in_memory();
    let projection = Projection::default();
    let twice =
        effects(&db).consumer(recording("same", &projection)).consumer(recording("same", &projection));
    let error = twice.start().await.unwrap_err();
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Invalid, "two consumers are called `same`"));
    let nameless = effects(&db).consumer(recording("", &projection)).start().await;
    assert_eq!(nameless.unwrap_err().kind(), ErrorKind::Invalid);
}

/// Records the events that it receives although it is off.
struct Off(Projection);

impl Consumer for Off {
    fn name(&self) -> &str {
        "off"
    }

    fn is_on(&self) -> bool {
        false
    }

    async fn handle(&self, event: Event) -> Result<(), throughline::BoxError> {
        record(&self.0, &event);
        Ok(())
    }
}

#[tokio::test]
async fn a_consumer_that_is_off_still_receives_deletions() {
    let db = in_memory();
    let projection = Projection::default();
    let effects = effects(&db).consumer(Off(Arc::clone(&projection))).start().await.unwrap();
    add(&db, "t", "m", "x").await;
    add(&db, "t", "n", "x").await;
    db.thread("t").delete("m".parse().unwrap()).await.unwrap();
    db.thread("t").clear().await.unwrap();
    db.thread("t").delete_thread().await.unwrap();
    let last = add(&db, "u", "m", "x").await;
    assert!(effects.reached(last).await);
    assert_eq!(projection.lock().unwrap().delivered.len(), 3);
}

/// Damages the last change of this kind.
fn damage(path: &std::path::Path, kind: i64) {
    let raw = rusqlite::Connection::open(path).unwrap();
    let sql =
        "UPDATE changes SET kind = 99 WHERE position = (SELECT max(position) FROM changes WHERE kind = ?1)";
    assert_eq!(raw.execute(sql, [kind]).unwrap(), 1);
}

/// T3-S13.
#[tokio::test]
async fn an_unreadable_change_is_quarantined_before_it_is_skipped() {
    const ADDED: i64 = 1;
    const FINISHED: i64 = 4;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat.db");
    let backend = throughline::sqlite::SqliteBackend::open(&path).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let projection = Projection::default();
    // The consumer waits for the open message before its final change is damaged.
    let started = effects(&db).consumer(recording("index", &projection)).start().await.unwrap();
    let mut open = db.thread("open").reserve(throughline::Role::Assistant).await.unwrap();
    let first = add(&db, "before", "m", "x").await;
    while started.status()[0].reached < first || projection.lock().unwrap().delivered.is_empty() {
        tokio::task::yield_now().await;
    }
    started.stop().await;
    open.append("whole").await.unwrap();
    open.finish().await.unwrap();
    damage(&path, FINISHED);
    add(&db, "lost", "m", "its change is damaged").await;
    damage(&path, ADDED);
    let last = add(&db, "lost", "n", "the one behind it").await;

    let started = effects(&db).consumer(recording("index", &projection)).start().await.unwrap();
    assert!(started.reached(last).await);
    let status = started.stop().await.remove(0);
    assert_eq!((status.quarantined, status.waiting), (2, 0), "{status:?}");
    for (_, why) in quarantined(&db, "index").await {
        assert!(why.starts_with("the change cannot be read: "), "{why}");
    }
    {
        let seen = projection.lock().unwrap();
        assert!(seen.of("lost").contains(&last));
        assert!(
            seen.texts.values().any(|text| text.contains("whole")),
            "delivered because of the earlier changes of the message"
        );
    }
    db.close().await.unwrap();
}

/// Refuses a number of message reads and of cursor moves, like an unavailable store.
struct Unavailable {
    reads: AtomicU32,
    moves: AtomicU32,
}

impl Unavailable {
    fn refused(left: &AtomicU32) -> throughline::Result<()> {
        match left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Err(PersistError::new(ErrorKind::Unavailable, "it is unavailable")),
            Err(_) => Ok(()),
        }
    }
}

impl Plugin for Unavailable {
    fn name(&self) -> &str {
        "unavailable"
    }

    async fn read(
        &self,
        call: Call<ReadArgs>,
        next: Next<'_, ReadArgs>,
    ) -> throughline::Result<Reply<ReadArgs>> {
        if matches!(call.op, ReadArgs::Get(_)) {
            Self::refused(&self.reads)?;
        }
        next.run(call).await
    }

    async fn consumer(
        &self,
        call: Call<ConsumerArgs>,
        next: Next<'_, ConsumerArgs>,
    ) -> throughline::Result<Reply<ConsumerArgs>> {
        Self::refused(&self.moves)?;
        next.run(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_is_retried_and_no_change_is_quarantined() {
    let unavailable = Unavailable { reads: AtomicU32::new(30), moves: AtomicU32::new(5) };
    let db = Persistence::builder().plugin(unavailable).backend(MemoryBackend::new()).build().unwrap();
    let projection = Projection::default();
    let last = add(&db, "t", "m", "x").await;
    let effects = effects(&db).attempts(2).consumer(recording("index", &projection)).start().await.unwrap();
    assert!(effects.reached(last).await);
    while effects.status()[0].cursor < last {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let status = effects.stop().await.remove(0);
    assert_eq!((status.failures, status.quarantined), (35, 0), "{status:?}");
    assert_eq!(projection.lock().unwrap().delivered.len(), 1);
}
