//! Writes with an unknown outcome, which the store applies after the call was answered.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use throughline::{
    Admitted, Backend, Capabilities, Content, Effect, ErrorKind, OpKind, PersistError, Persistence, ReadArgs,
    Reply, Result, Revision, Role,
    layers::{
        chaos::{ChaosLayer, Fault, Rule},
        timeout::TimeoutLayer,
        transform::TransformLayer,
    },
    memory::MemoryBackend,
    messages::{Batch, Coalesce, ContentChange, Reserve, UpdateContent, UpdateMode},
};
use tokio::sync::oneshot::{self, Receiver, Sender};

use super::{Names, append, blocks, change, content, key, new};

/// The outcome of one content change.
enum Fate {
    /// The caller times out, and the store applies the change just before the next one.
    Late,
    /// The store refuses the change. Late changes stay pending.
    Refused,
    /// The store applies the change. Late changes stay pending.
    Applied,
}

/// A write that is applied on request, and signals its completion.
type LateWrite = (Sender<()>, Receiver<()>);

/// A store that applies content changes late. Clones share their state.
#[derive(Clone, Default)]
pub(super) struct Late {
    store: Arc<MemoryBackend>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    late: Arc<Mutex<Vec<LateWrite>>>,
}

impl Backend for Late {
    fn name(&self) -> &str {
        "late"
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn reserve(&self, call: Admitted<'_, Reserve>) -> Result<Reply<Reserve>> {
        self.store.reserve(call).await
    }

    async fn batch(&self, call: Admitted<'_, Batch>) -> Result<Reply<Batch>> {
        self.store.batch(call).await
    }

    async fn update_content(&self, call: Admitted<'_, UpdateContent>) -> Result<Reply<UpdateContent>> {
        let fate = self.fates.lock().unwrap().pop_front();
        match fate {
            Some(Fate::Late) => {
                let ((release, released), (applied, done)) = (oneshot::channel(), oneshot::channel());
                self.late.lock().unwrap().push((release, done));
                released.await.unwrap();
                let reply = self.store.update_content(call).await;
                applied.send(()).unwrap();
                return reply;
            }
            Some(Fate::Refused) => return Err(PersistError::new(ErrorKind::Busy, "refused")),
            Some(Fate::Applied) => return self.store.update_content(call).await,
            None => {}
        }
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for (release, done) in late {
            release.send(()).unwrap();
            done.await.unwrap();
        }
        self.store.update_content(call).await
    }

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        self.store.read(call).await
    }
}

impl Late {
    fn open(&self) -> Persistence {
        Persistence::builder()
            .layer(TransformLayer::new(Names))
            .layer(TimeoutLayer::new(Duration::from_secs(1)))
            .backend(self.clone())
            .build()
            .unwrap()
    }

    fn next(&self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().unwrap().extend(fates);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_write_keeps_its_buffered_text_when_the_repeated_call_is_stale() {
    for repeated in ["say Ali", "another text"] {
        let late = Late::default();
        let db = late.open();
        db.run(new("m")).await.unwrap();
        late.next([Fate::Late]);
        let part = |text: &str| append("m", text, UpdateMode::Partial).expecting(Revision::FIRST);
        let error = db.run(part("say Ali")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        let error = db.run(part(repeated)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
        db.run(append("m", "ce.", UpdateMode::Final)).await.unwrap();
        assert_eq!(content(&db, "m").await, r#"[{"type":"text","text":"say Alice."}]"#);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_write_keeps_its_buffered_text_when_the_repeated_call_is_refused() {
    let late = Late::default();
    let db = late.open();
    db.run(new("m")).await.unwrap();
    late.next([Fate::Late, Fate::Refused]);
    let part = || append("m", "say Ali", UpdateMode::Partial);
    assert_eq!(db.run(part()).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(db.run(part()).await.unwrap_err().kind(), ErrorKind::Busy);
    let last = || append("m", "ce.", UpdateMode::Final);
    // The repeated call uses the revision that the layer has read, and the late write is applied in between.
    assert_eq!(db.run(last()).await.unwrap_err().kind(), ErrorKind::Stale);
    db.run(last()).await.unwrap();
    assert_eq!(content(&db, "m").await, r#"[{"type":"text","text":"say Alice."}]"#);
}

#[tokio::test(start_paused = true)]
async fn a_late_write_keeps_its_buffered_text_when_the_lease_is_renewed_before_it() {
    let late = Late::default();
    let db = late.open();
    db.run(new("m")).await.unwrap();
    late.next([Fate::Late, Fate::Applied]);
    let part = |text: &str| append("m", text, UpdateMode::Partial);
    assert_eq!(db.run(part("say Ali")).await.unwrap_err().kind(), ErrorKind::Timeout);
    db.run(part("")).await.unwrap();
    let last = || append("m", "ce.", UpdateMode::Final);
    assert_eq!(db.run(last()).await.unwrap_err().kind(), ErrorKind::Stale);
    db.run(last()).await.unwrap();
    assert_eq!(content(&db, "m").await, r#"[{"type":"text","text":"say Alice."}]"#);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_another_writer_is_not_taken_for_a_stale_call() {
    let late = Late::default();
    let db = late.open();
    db.run(new("m")).await.unwrap();
    db.run(append("m", "say ", UpdateMode::Partial)).await.unwrap();
    let other = Persistence::builder().backend(late.clone()).build().unwrap();
    other.run(append("m", "it, ", UpdateMode::Partial)).await.unwrap();
    let stale = append("m", "Ali", UpdateMode::Partial).expecting(Revision::FIRST.next());
    assert_eq!(db.run(stale).await.unwrap_err().kind(), ErrorKind::Stale);
    db.run(append("m", "Bob", UpdateMode::Final)).await.unwrap();
    assert_eq!(content(&db, "m").await, r#"[{"type":"text","text":"say it, Bob"}]"#);
}

#[tokio::test(start_paused = true)]
async fn a_draft_retries_a_late_write_and_loses_no_text() {
    let late = Late::default();
    let db = late.open();
    let by_hand = Coalesce { interval: Duration::from_secs(3600), bytes: 1 << 20 };
    let mut draft = db.thread("t").reserve(Role::Assistant).coalesce(by_hand).await.unwrap();
    draft.append("say Ali").await.unwrap();
    late.next([Fate::Late]);
    assert_eq!(draft.flush().await.unwrap_err().kind(), ErrorKind::Timeout);
    // `Ali` is buffered.
    assert_eq!(draft.flush().await.unwrap().bytes, 4);
    draft.append("ce.").await.unwrap();
    draft.finish().await.unwrap();
    assert_eq!(draft.committed().bytes, 10);
    assert_eq!(content(&db, draft.id().as_str()).await, r#"[{"type":"text","text":"say Alice."}]"#);
}

#[tokio::test(start_paused = true)]
async fn buffered_text_for_a_message_of_another_writer_survives_a_lost_answer() {
    let text = Content::text("say Ali");
    let snapshot = || change("m", ContentChange::Replace(text.clone()), UpdateMode::Partial);
    let append_block = || blocks("m", text.as_json(), UpdateMode::Partial);
    for part in [&snapshot as &dyn Fn() -> UpdateContent, &append_block] {
        let late = Late::default();
        let other = Persistence::builder().backend(late.clone()).build().unwrap();
        other.run(new("m")).await.unwrap();
        let db = late.open();
        late.next([Fate::Late]);
        let error = db.run(part()).key(key("a")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        db.run(part()).key(key("a")).await.unwrap();
        db.run(append("m", "ce.", UpdateMode::Final)).await.unwrap();
        assert_eq!(content(&db, "m").await, r#"[{"type":"text","text":"say Alice."}]"#);
    }
}

/// Returns a store behind a layer with a fault, which applies to the first content change.
fn faulty(fault: Fault) -> Persistence {
    let faults =
        ChaosLayer::seeded(1).rule(Rule::new("first-change", fault).on(OpKind::UpdateContent).nth(1));
    Persistence::builder()
        .layer(TransformLayer::new(Names))
        .layer(faults)
        .backend(MemoryBackend::new())
        .build()
        .unwrap()
}

#[tokio::test]
async fn the_buffered_text_of_an_applied_write_survives_an_error_and_a_panic() {
    for fault in [Fault::after(ErrorKind::Internal), Fault::panic_after()] {
        let db = faulty(fault.clone());
        db.run(new("m")).await.unwrap();
        // All text is buffered, so the revision does not change.
        let error = db.run(append("m", "Ali", UpdateMode::Partial)).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Applied, "{fault:?}");
        db.run(append("m", "ce.", UpdateMode::Final)).await.unwrap();
        assert_eq!(content(&db, "m").await, r#"[{"type":"text","text":"Alice."}]"#, "{fault:?}");
    }
}
