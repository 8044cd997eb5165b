//! The layer `serialize`: the writes of one thread run one at a time.

mod checks;
mod slow;

use std::{collections::HashMap, sync::Arc, time::Duration};

use throughline::{
    NewMessage, OpKind, PersistRequest, PersistResponse, Persistence, Phase, Result, TenantId, ThreadId,
    layers::{serialize::SerializeLayer, timeout::TimeoutLayer},
    memory::MemoryBackend,
    messages::PageFrom,
    operations::Addressed,
    plugin::{NextRequest, from_fn},
    sqlite::SqliteOptions,
};
use tokio::sync::Mutex;

use self::{checks::CHECKS, slow::Slow};
use crate::kit::{BlockingLayer, Bypassed, Stateless, failing};

/// The attempt timeout over the store that answers only on request.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Creates stacks over a memory store, and over a store that answers only on request.
#[derive(Clone, Copy)]
pub(crate) struct Stacks {
    memory: fn(&BlockingLayer) -> Persistence,
    slow: fn(Slow) -> Persistence,
}

/// Declares stacks with the layer that `$layer` creates.
macro_rules! stacks {
    ($layer:expr) => {
        Stacks {
            memory: |blocking_layer| {
                let stack = Persistence::builder().layer($layer).layer(blocking_layer.layer());
                stack.backend(MemoryBackend::new()).build().unwrap()
            },
            slow: |store| {
                let stack = Persistence::builder().layer($layer).layer(TimeoutLayer::new(ATTEMPT));
                stack.backend(store).build().unwrap()
            },
        }
    };
}

#[test]
fn the_serialize_layer_passes_all_checks() {
    assert_eq!(failing(CHECKS, &stacks!(SerializeLayer::new())), [""; 0]);
}

#[test]
fn a_serialize_layer_that_skips_batches_fails_its_checks() {
    let forgets = stacks!(Bypassed {
        layer: SerializeLayer::new(),
        bypasses: |request| request.kind() == OpKind::Batch
    });
    assert_eq!(failing(CHECKS, &forgets), ["a-batch-waits-for-all-its-threads", "writes-wait-for-a-batch"]);
}

#[test]
fn a_serialize_layer_without_state_fails_its_checks() {
    let forgets = stacks!(Stateless(SerializeLayer::new));
    let waits = [
        "writes-run-in-arrival-order",
        "a-batch-waits-for-all-its-threads",
        "writes-wait-for-a-batch",
        "a-dropped-running-write-blocks-the-next",
        "a-timed-out-running-write-blocks-the-next",
        "a-dropped-waiting-write-leaves-the-queue",
        "a-waiting-write-times-out",
    ];
    assert_eq!(failing(CHECKS, &forgets), waits);
}

#[test]
fn a_serialize_layer_with_one_queue_for_all_threads_fails_its_checks() {
    let single = stacks!({
        let line = Arc::new(Mutex::new(()));
        from_fn("serialize", Phase::Guard, move |request: PersistRequest, next: NextRequest| {
            let line = Arc::clone(&line);
            async move {
                let _first = line.lock().await;
                next.run(request).await
            }
        })
    });
    let held_up = [
        "threads-run-concurrently",
        "tenants-run-concurrently",
        "reads-do-not-wait",
        "a-batch-waits-for-all-its-threads",
        "writes-wait-for-a-batch",
        "a-timed-out-running-write-blocks-the-next",
    ];
    assert_eq!(failing(CHECKS, &single), held_up);
}

/// Locks each thread of the call in order, and releases the locks with the answer.
async fn locked(locks: Locks, request: PersistRequest, next: NextRequest) -> Result<PersistResponse> {
    let mut held = Vec::new();
    if request.kind().is_write() {
        let tenant = request.context.tenant();
        for thread in request.args.each().filter_map(Addressed::thread) {
            let lock = Arc::clone(locks.lock().await.entry((tenant.clone(), thread.clone())).or_default());
            held.push(lock.lock_owned().await);
        }
    }
    next.run(request).await
}

type Locks = Arc<Mutex<HashMap<(TenantId, ThreadId), Arc<Mutex<()>>>>>;

#[test]
fn a_serialize_layer_with_plain_locks_fails_its_checks() {
    let locks = stacks!({
        let locks = Locks::default();
        from_fn("serialize", Phase::Guard, move |request: PersistRequest, next: NextRequest| {
            locked(Arc::clone(&locks), request, next)
        })
    });
    // The first lock belongs to a batch that names a thread twice.
    let waits = [
        "a-batch-waits-for-all-its-threads",
        "crossed-batches-do-not-deadlock",
        "a-timed-out-running-write-blocks-the-next",
    ];
    assert_eq!(failing(CHECKS, &locks), waits);
}

#[tokio::test]
async fn messages_in_sqlite_are_in_arrival_order() {
    let db = Persistence::builder()
        .layer(SerializeLayer::new())
        .backend(SqliteOptions::new().temporary().await.unwrap())
        .build()
        .unwrap();
    let thread = db.thread("t");
    let adds = (0..100).map(|n| tokio::spawn(thread.add(NewMessage::user(&n.to_string())).into_future()));
    for add in adds.collect::<Vec<_>>() {
        add.await.unwrap().unwrap();
    }
    let page = thread.page(PageFrom::Start, 200).await.unwrap();
    let texts: Vec<_> = page.messages.iter().map(|message| message.content.as_json().to_owned()).collect();
    let expected: Vec<_> = (0..100).map(|n| format!(r#"[{{"type":"text","text":"{n}"}}]"#)).collect();
    assert_eq!(texts, expected);
    db.close().await.unwrap();
}
