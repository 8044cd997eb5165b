//! The writes of one thread, one after the other.

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

/// How long an attempt may take over the store that answers when it is told to.
const ATTEMPT: Duration = Duration::from_secs(1);

/// What the stacks are made with: over a store in memory, and over one that answers when it is told to.
#[derive(Clone, Copy)]
pub(crate) struct Stacks {
    memory: fn(&BlockingLayer) -> Persistence,
    slow: fn(Slow) -> Persistence,
}

/// Stacks with the layer that `$layer` makes.
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
fn it_keeps_all_its_promises() {
    assert_eq!(failing(CHECKS, &stacks!(SerializeLayer::new())), [""; 0]);
}

#[test]
fn one_that_forgets_batches_is_caught() {
    let forgets = stacks!(Bypassed {
        layer: SerializeLayer::new(),
        bypasses: |request| request.kind() == OpKind::Batch
    });
    assert_eq!(failing(CHECKS, &forgets), ["batches-wait-for-all", "batches-are-waited-for"]);
}

#[test]
fn one_that_forgets_who_is_before_is_caught() {
    let forgets = stacks!(Stateless(SerializeLayer::new));
    let waits = [
        "in-order",
        "batches-wait-for-all",
        "batches-are-waited-for",
        "held-when-its-caller-left",
        "held-while-the-write-goes-on",
        "who-leaves-frees-the-place",
        "out-of-time",
    ];
    assert_eq!(failing(CHECKS, &forgets), waits);
}

#[test]
fn one_with_a_single_line_is_caught() {
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
        "threads-at-once",
        "tenants-at-once",
        "reads-pass",
        "batches-wait-for-all",
        "batches-are-waited-for",
        "held-while-the-write-goes-on",
    ];
    assert_eq!(failing(CHECKS, &single), held_up);
}

/// A lock for each thread, taken one after the other, and let go with the answer.
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
fn one_of_plain_locks_is_caught() {
    let locks = stacks!({
        let locks = Locks::default();
        from_fn("serialize", Phase::Guard, move |request: PersistRequest, next: NextRequest| {
            locked(Arc::clone(&locks), request, next)
        })
    });
    // The first is of a batch that names a thread twice.
    let waits = ["batches-wait-for-all", "crossed-batches-end", "held-while-the-write-goes-on"];
    assert_eq!(failing(CHECKS, &locks), waits);
}

#[tokio::test]
async fn over_sqlite_messages_stand_in_the_order_in_which_they_came() {
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
