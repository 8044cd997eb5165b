//! A request that is delivered again after a crash gets its reply exactly once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use throughline::{
    Draft, Effect, ErrorKind, IdempotencyKey, MessageState, NewReservation, Persistence, Result, Role,
    Timestamp, memory::MemoryBackend, messages::ReplyAttempt,
};

const LEASE: Duration = Duration::from_secs(30);

struct Host {
    db: Persistence,
    now: Arc<AtomicI64>,
}

impl Host {
    fn new() -> Self {
        let now = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&now);
        let db = Persistence::builder()
            .clock(move || Timestamp::from_micros(clock.load(Ordering::SeqCst)))
            .backend(MemoryBackend::new())
            .build()
            .unwrap();
        Self { db, now }
    }

    async fn deliver(&self) -> Result<ReplyAttempt> {
        let reservation = NewReservation::new(Role::Assistant).with_lease(LEASE);
        self.db.thread("t").reserve(reservation).key("reply-1007").next_attempt().await
    }

    async fn begin(&self) -> (Draft, u32) {
        match self.deliver().await.unwrap() {
            ReplyAttempt::Begun { draft, number } => (draft, number),
            other => panic!("expected a new attempt, found {other:?}"),
        }
    }

    /// Expires the lease of every dead writer.
    fn expire(&self) {
        let lease = i64::try_from(LEASE.as_micros()).unwrap();
        self.now.fetch_add(lease + 1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_request_begins_a_new_attempt_after_its_reply_was_recovered() {
    let host = Host::new();
    let (mut draft, number) = host.begin().await;
    assert_eq!((number, draft.deduplicated()), (1, false));
    draft.append("half of").await.unwrap();
    draft.flush().await.unwrap();
    let first = draft.id().clone();
    drop(draft);
    host.expire();
    assert_eq!(host.db.recover_expired_drafts("its writer is gone").await.unwrap().abandoned.len(), 1);

    let (mut draft, number) = host.begin().await;
    assert_eq!((number, draft.deduplicated()), (2, false));
    assert_ne!(*draft.id(), first);
    draft.append("the whole reply").await.unwrap();
    let reply = draft.finish().await.unwrap();
    // Further deliveries return the finished reply.
    for _ in 0..2 {
        match host.deliver().await.unwrap() {
            ReplyAttempt::Finished(message) => {
                assert_eq!((message.id, message.state), (reply.id.clone(), MessageState::Final));
            }
            other => panic!("expected a finished reply, found {other:?}"),
        }
    }
    let history =
        host.db.thread("t").page(throughline::messages::PageFrom::Start, 10).await.unwrap().messages;
    assert_eq!(
        history.iter().map(|message| message.state).collect::<Vec<_>>(),
        [MessageState::Abandoned, MessageState::Final]
    );
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_request_abandons_an_attempt_whose_lease_has_expired() {
    let host = Host::new();
    for number in 1..=3 {
        let (draft, begun) = host.begin().await;
        assert_eq!(begun, number);
        // The writer may be alive: in this process while the draft exists, in another one until the lease expires.
        assert!(
            matches!(host.deliver().await.unwrap(), ReplyAttempt::Open(message) if message.id == *draft.id())
        );
        host.expire();
        assert!(
            matches!(host.deliver().await.unwrap(), ReplyAttempt::Open(message) if message.id == *draft.id())
        );
        drop(draft);
    }
    let open = host.db.open_reservations(10).await.unwrap().messages;
    assert_eq!(open.len(), 1, "at most one attempt is open");
}

#[tokio::test(start_paused = true)]
async fn one_of_several_concurrent_deliveries_begins_an_attempt() {
    let host = Host::new();
    for number in 1..=3 {
        let delivered = tokio::join!(host.deliver(), host.deliver(), host.deliver());
        let mut begun = Vec::new();
        for attempt in [delivered.0, delivered.1, delivered.2] {
            match attempt.unwrap() {
                ReplyAttempt::Begun { draft, number } => begun.push((draft, number)),
                ReplyAttempt::Open(_) => {}
                ReplyAttempt::Finished(message) => panic!("{message:?}"),
            }
        }
        assert_eq!(begun.len(), 1);
        assert_eq!(begun[0].1, number);
        drop(begun);
        host.expire();
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_refused_without_a_key_with_an_id_or_for_a_deleted_reply() {
    let host = Host::new();
    let thread = host.db.thread("t");
    let with_id = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    let long: IdempotencyKey = "k".repeat(255).parse().unwrap();
    for refused in [
        thread.reserve(Role::Assistant).next_attempt().await,
        thread.reserve(with_id).key("k").next_attempt().await,
        thread.reserve(Role::Assistant).key(long).next_attempt().await,
        thread.reserve(Role::Assistant).key("").next_attempt().await,
        host.db.thread("").reserve(Role::Assistant).key("k").next_attempt().await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Invalid, Effect::NotApplied), "{error}");
    }
    assert_eq!(thread.summary().await.unwrap(), None, "nothing was written");
    let (mut draft, _) = host.begin().await;
    draft.finish().await.unwrap();
    thread.delete(draft.id().clone()).await.unwrap();
    assert_eq!(host.deliver().await.unwrap_err().kind(), ErrorKind::Gone);
    let other = host.db.thread("t").reserve(Role::Tool).key("reply-1007").next_attempt().await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn the_key_of_an_attempt_has_at_most_234_bytes() {
    let thread = Host::new().db.thread("t");
    let attempt = |bytes| thread.reserve(Role::Assistant).key("k".repeat(bytes)).next_attempt();
    assert!(matches!(attempt(234).await.unwrap(), ReplyAttempt::Begun { number: 1, .. }));
    let error = attempt(235).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Invalid, Effect::NotApplied));
    assert_eq!(error.detail(), "the idempotency key leaves no space for the number of an attempt");
}
