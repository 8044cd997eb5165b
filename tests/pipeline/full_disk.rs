//! A draft over a full disk keeps its appends, writes them later, and is not recovered meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use throughline::{
    Draft, Effect, ErrorKind, MessageState, NewReservation, OpKind, Persistence, Role, Timestamp,
    memory::MemoryBackend, messages::Coalesce,
};

use crate::faults::{Fault, Faults};

const FREQUENT: Coalesce = Coalesce { interval: Duration::from_millis(250), bytes: 16 << 10 };

/// Disables the timer: only a flush, an end or the size limit causes a write.
const ONLY_ON_FLUSH: Coalesce = Coalesce { interval: Duration::from_secs(3600), bytes: 1 << 20 };

/// A store with a disk that can be full, and a clock that the test sets.
struct Host {
    db: Persistence,
    faults: Faults,
    now: Arc<AtomicI64>,
}

impl Host {
    fn new() -> Self {
        let (faults, now) = (Faults::default(), Arc::new(AtomicI64::new(0)));
        let clock = Arc::clone(&now);
        let db = Persistence::builder()
            .clock(move || Timestamp::from_micros(clock.load(Ordering::SeqCst)))
            .deadline(Duration::from_secs(2))
            .layer(faults.layer())
            .backend(MemoryBackend::new())
            .build()
            .unwrap();
        Self { db, faults, now }
    }

    async fn draft(&self, coalesce: Coalesce) -> Draft {
        let lease = NewReservation::new(Role::Assistant).with_lease(Duration::from_secs(30));
        self.db.thread("t").reserve(lease).coalesce(coalesce).await.unwrap()
    }

    /// Advances the clock of the store and the time of tokio.
    async fn pass(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap();
        self.now.fetch_add(micros, Ordering::SeqCst);
        tokio::time::sleep(time).await;
    }

    async fn stored(&self, draft: &Draft) -> (String, MessageState) {
        let message = self.db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
        let blocks: Vec<serde_json::Value> = serde_json::from_str(message.content.as_json()).unwrap();
        (blocks.iter().map(|block| block["text"].as_str().unwrap()).collect(), message.state)
    }
}

#[tokio::test(start_paused = true)]
async fn a_draft_survives_a_full_disk_and_loses_no_append() {
    for coalesce in [FREQUENT, ONLY_ON_FLUSH] {
        let host = Host::new();
        let mut draft = host.draft(coalesce).await;
        draft.append("before ").await.unwrap();
        draft.flush().await.unwrap();
        host.faults.full(true);
        draft.append("while the disk is full ").await.unwrap();
        let refused = draft.flush().await.unwrap_err();
        assert_eq!((refused.kind(), refused.effect()), (ErrorKind::StorageFull, Effect::NotApplied));
        assert_eq!(draft.committed().bytes, 7, "the watermark says what is durable");
        draft.append("and still ").await.unwrap();
        let refused = draft.finish().await.unwrap_err();
        assert_eq!((refused.kind(), refused.effect()), (ErrorKind::StorageFull, Effect::NotApplied));
        host.pass(Duration::from_secs(10)).await;
        assert_eq!(draft.committed().bytes, 7);
        host.faults.full(false);
        // The draft retries on its own, without a call.
        let mut watermark = draft.watch();
        watermark.wait_for(|mark| mark.bytes == 40).await.unwrap();
        draft.append("after").await.unwrap();
        draft.finish().await.unwrap();
        let whole = "before while the disk is full and still after";
        assert_eq!(host.stored(&draft).await, (whole.to_owned(), MessageState::Final));
        assert_eq!(draft.committed().bytes, whole.len() as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_draft_whose_lease_cannot_be_renewed_is_not_recovered_by_its_process() {
    let host = Host::new();
    let mut draft = host.draft(FREQUENT).await;
    host.faults.full(true);
    // The draft renews its lease after 10 s, the lease expires after 30 s, and 60 s pass.
    for _ in 0..60 {
        host.pass(Duration::from_secs(1)).await;
    }
    host.faults.full(false);
    let recovered = host.db.recover_expired_drafts("its writer is gone").await.unwrap();
    assert!(recovered.abandoned.is_empty() && recovered.failed.is_empty(), "{recovered:?}");
    // Within a second after the shortage the draft renews its lease, which other processes can see.
    host.pass(Duration::from_secs(1)).await;
    let open = &host.db.open_reservations(10).await.unwrap().messages[0];
    assert!(!open.lease.unwrap().is_expired(host.db.now()), "{open:?}");
    draft.append("idle no more").await.unwrap();
    draft.finish().await.unwrap();
    assert_eq!(host.stored(&draft).await, ("idle no more".to_owned(), MessageState::Final));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_or_permanently_failed_draft_is_recovered() {
    let host = Host::new();
    let (dropped, mut failed) = (host.draft(FREQUENT).await, host.draft(FREQUENT).await);
    host.faults.next(OpKind::UpdateContent, &[Fault::Denied]);
    failed.append("x").await.unwrap();
    assert_eq!(failed.flush().await.unwrap_err().kind(), ErrorKind::Denied);
    drop(dropped);
    host.now.fetch_add(31_000_000, Ordering::SeqCst);
    assert_eq!(host.db.recover_expired_drafts("its writer is gone").await.unwrap().abandoned.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_append_above_the_pending_limit_is_refused_at_its_deadline_and_can_be_repeated() {
    let host = Host::new();
    let mut draft = host.draft(FREQUENT).await;
    host.faults.full(true);
    let megabyte = "x".repeat(1 << 20);
    for _ in 0..4 {
        draft.append(megabyte.clone()).await.unwrap();
    }
    let refused = draft.append("y").await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Overloaded, Effect::NotApplied));
    let source = std::error::Error::source(&refused).unwrap().to_string();
    assert!(source.contains("storage_full"), "the source is the answer of the store: {source}");
    assert_eq!(draft.streamed_bytes(), 4 << 20);
    host.faults.full(false);
    draft.flush().await.unwrap();
    draft.append("y").await.unwrap();
    draft.finish().await.unwrap();
    let (text, state) = host.stored(&draft).await;
    assert!(text == megabyte.repeat(4) + "y" && state == MessageState::Final);
}
