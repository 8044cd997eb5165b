//! A consumer that fails, panics or hangs: tried again, passed over, and nobody else is held up (VL-S20).

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

use crate::support::{Projection, add, consumer, effects, in_memory, projecting, take_down};

/// What a message tells the consumer to do, for its first so many attempts.
async fn obey(event: &Event, attempt: usize) -> Result<(), throughline::BoxError> {
    let text = event.message.as_ref().map(|message| message.content.as_json().to_owned());
    let text = text.unwrap_or_default();
    if attempt > 2 && !text.contains("always") {
        return Ok(());
    }
    if text.contains("fail") {
        return Err("it failed".into());
    }
    assert!(!text.contains("panic"), "as it was told");
    if text.contains("hang") {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Takes down what it has done, and obeys.
fn obeying(projection: &Projection) -> impl Consumer {
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
            obey(&event, attempt).await?;
            take_down(&projection, &event);
            Ok(())
        }
    })
}

async fn skipped(db: &Persistence, name: &str) -> Vec<(ThreadId, String)> {
    let list = ListQuarantined::new(name.parse().unwrap(), 100);
    let found = db.read(list).await.unwrap().changes;
    found.into_iter().map(|change| (change.thread, change.why)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_twice_is_done_the_third_time() {
    let db = in_memory();
    let projection = Projection::default();
    for (thread, text) in [("a", "fail"), ("b", "panic"), ("c", "hang"), ("d", "well")] {
        add(&db, thread, "1", text).await;
        add(&db, thread, "2", "and then").await;
    }
    let last = add(&db, "d", "3", "the last").await;
    let effects = effects(&db).consumer(obeying(&projection)).start().await.unwrap();
    assert!(effects.reached(last).await);
    let status = effects.status().remove(0);
    assert_eq!((status.failures, status.quarantined, status.lag()), (6, 0, 0), "{status:?}");
    assert!(status.last_error.is_some());
    let seen = projection.lock().unwrap();
    assert_eq!(seen.told.len(), 9);
    for thread in ["a", "b", "c", "d"] {
        assert!(seen.of(thread).is_sorted(), "{thread}");
    }
}

#[tokio::test(start_paused = true)]
async fn poison_is_passed_over_and_listed_and_the_rest_goes_on() {
    let db = in_memory();
    let projection = Projection::default();
    for (thread, text) in [("a", "always fail"), ("b", "always panic"), ("c", "always hang")] {
        add(&db, thread, "1", text).await;
        add(&db, thread, "2", "behind it").await;
    }
    let last = add(&db, "d", "1", "beside it").await;
    let effects = effects(&db).attempts(3).consumer(obeying(&projection)).start().await.unwrap();
    assert!(effects.reached(last).await);
    let status = effects.stop().await.remove(0);
    assert_eq!((status.quarantined, status.waiting), (3, 0));
    assert!(status.cursor >= last, "{status:?}");
    let why: HashMap<String, String> =
        skipped(&db, "obeys").await.into_iter().map(|(thread, why)| (thread.to_string(), why)).collect();
    assert_eq!(why["a"], "it failed (3 attempts)");
    assert_eq!(why["b"], "it panicked: as it was told (3 attempts)");
    assert_eq!(why["c"], "it took longer than 30s (3 attempts)");
    assert_eq!(projection.lock().unwrap().told.len(), 4, "the ones behind and the one beside");
}

#[tokio::test(start_paused = true)]
async fn threads_that_fail_hold_up_no_other_and_no_write() {
    let db = in_memory();
    let projection = Projection::default();
    for at in 0..40 {
        add(&db, &format!("bad{at}"), "1", "always fail").await;
    }
    let effects = effects(&db).parallel(2).consumer(obeying(&projection)).start().await.unwrap();
    let done = Arc::new(Notify::new());
    let begun = tokio::time::Instant::now();
    add(&db, "good", "1", "well").await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "a write waits for nothing");
    let looking = {
        let (projection, done) = (Arc::clone(&projection), Arc::clone(&done));
        async move {
            while projection.lock().unwrap().of("good").is_empty() {
                tokio::task::yield_now().await;
            }
            done.notify_one();
        }
    };
    looking.await;
    done.notified().await;
    let status = effects.status().remove(0);
    assert_eq!(status.quarantined, 0, "none of the others was at its end yet: {status:?}");
    // And stopping does not wait until they are.
    let stopped = effects.stop().await.remove(0);
    assert_eq!(stopped.cursor, Position::ZERO, "not past the first one that is not done");
    assert_eq!(stopped.state, ConsumerState::Stopped { why: None });
}

#[tokio::test(start_paused = true)]
async fn so_many_threads_at_once_and_no_more() {
    let db = in_memory();
    let (gate, most) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new((0_usize, 0_usize))));
    let (theirs, count) = (Arc::clone(&gate), Arc::clone(&most));
    let counting = consumer("counts", move |_| {
        let (gate, count) = (Arc::clone(&theirs), Arc::clone(&count));
        async move {
            {
                let mut count = count.lock().unwrap();
                count.0 += 1;
                count.1 = count.1.max(count.0);
            }
            gate.acquire().await.unwrap().forget();
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
    gate.add_permits(20);
    assert!(effects.reached(last).await);
    assert_eq!(most.lock().unwrap().1, 5, "in parallel, and bounded");
}

#[tokio::test]
async fn what_could_do_nothing_is_refused_at_the_start() {
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
            panic!("it is not even asked")
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
        effects(&db).consumer(projecting("same", &projection)).consumer(projecting("same", &projection));
    let error = twice.start().await.unwrap_err();
    assert_eq!((error.kind(), error.detail()), (ErrorKind::Invalid, "two consumers are called `same`"));
    let nameless = effects(&db).consumer(projecting("", &projection)).start().await;
    assert_eq!(nameless.unwrap_err().kind(), ErrorKind::Invalid);
}

/// Takes down what it is told of while it is off.
struct Off(Projection);

impl Consumer for Off {
    fn name(&self) -> &str {
        "off"
    }

    fn is_on(&self) -> bool {
        false
    }

    async fn handle(&self, event: Event) -> Result<(), throughline::BoxError> {
        take_down(&self.0, &event);
        Ok(())
    }
}

#[tokio::test]
async fn what_is_off_cleans_up_all_the_same() {
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
    assert_eq!(projection.lock().unwrap().told.len(), 3);
}

/// Damages the change that is the last one of this kind.
fn damage(path: &std::path::Path, kind: i64) {
    let raw = rusqlite::Connection::open(path).unwrap();
    let sql =
        "UPDATE changes SET kind = 99 WHERE position = (SELECT max(position) FROM changes WHERE kind = ?1)";
    assert_eq!(raw.execute(sql, [kind]).unwrap(), 1);
}

/// T3-S13.
#[tokio::test]
async fn a_change_that_cannot_be_read_is_listed_and_never_skipped_in_silence() {
    const ADDED: i64 = 1;
    const FINISHED: i64 = 4;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat.db");
    let backend = throughline::sqlite::SqliteBackend::open(&path).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let projection = Projection::default();
    // It waits for this one before its end is damaged.
    let started = effects(&db).consumer(projecting("index", &projection)).start().await.unwrap();
    let mut open = db.thread("open").reserve(throughline::Role::Assistant).await.unwrap();
    let first = add(&db, "before", "m", "x").await;
    while started.status()[0].reached < first || projection.lock().unwrap().told.is_empty() {
        tokio::task::yield_now().await;
    }
    started.stop().await;
    open.append("whole").await.unwrap();
    open.finish().await.unwrap();
    damage(&path, FINISHED);
    add(&db, "lost", "m", "its change is damaged").await;
    damage(&path, ADDED);
    let last = add(&db, "lost", "n", "the one behind it").await;

    let started = effects(&db).consumer(projecting("index", &projection)).start().await.unwrap();
    assert!(started.reached(last).await);
    let status = started.stop().await.remove(0);
    assert_eq!((status.quarantined, status.waiting), (2, 0), "{status:?}");
    for (_, why) in skipped(&db, "index").await {
        assert!(why.starts_with("the change cannot be read: "), "{why}");
    }
    {
        let seen = projection.lock().unwrap();
        assert!(seen.of("lost").contains(&last));
        assert!(seen.texts.values().any(|text| text.contains("whole")), "told by what was before its end");
    }
    db.close().await.unwrap();
}

/// Refuses so many reads of a message and so many moves of a cursor, as a store does that is away.
struct Away {
    reads: AtomicU32,
    moves: AtomicU32,
}

impl Away {
    fn refused(left: &AtomicU32) -> throughline::Result<()> {
        match left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Err(PersistError::new(ErrorKind::Unavailable, "it is away")),
            Err(_) => Ok(()),
        }
    }
}

impl Plugin for Away {
    fn name(&self) -> &str {
        "away"
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
async fn a_store_that_is_away_is_waited_for_and_nothing_is_passed_over() {
    let away = Away { reads: AtomicU32::new(30), moves: AtomicU32::new(5) };
    let db = Persistence::builder().plugin(away).backend(MemoryBackend::new()).build().unwrap();
    let projection = Projection::default();
    let last = add(&db, "t", "m", "x").await;
    let effects = effects(&db).attempts(2).consumer(projecting("index", &projection)).start().await.unwrap();
    assert!(effects.reached(last).await);
    while effects.status()[0].cursor < last {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let status = effects.stop().await.remove(0);
    assert_eq!((status.failures, status.quarantined), (35, 0), "{status:?}");
    assert_eq!(projection.lock().unwrap().told.len(), 1);
}
