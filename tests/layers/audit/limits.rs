//! Where there can be no log, and where it does not keep up.

use std::sync::atomic::{AtomicBool, Ordering};

use std::sync::{Arc, Mutex};
use throughline::{
    Add, Admitted, AuditFrom, Backend, Capabilities, ChangeScope, Durability, Effect, ErrorKind, NewMessage,
    OpKind, PersistError, Persistence, ReadArgs, ReadAudit, ReadResult, Reply, Result,
    audit::{AuditEntry, AuditLink, AuditNotes, AuditOutcome},
    layers::audit::{AuditLayer, settle},
};

use super::key;

/// Refuses every addition, and keeps a log of that while it is `open`.
#[derive(Clone)]
struct Refuses {
    claims: Capabilities,
    open: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    log: Arc<Mutex<Vec<AuditEntry>>>,
}

impl Refuses {
    fn new(claims: Capabilities) -> Self {
        Self {
            claims,
            open: Arc::new(AtomicBool::new(true)),
            slow: Arc::default(),
            panics: Arc::default(),
            log: Arc::default(),
        }
    }

    fn build(&self) -> Result<Persistence> {
        Persistence::builder().layer(AuditLayer::new(key())).backend(self.clone()).build()
    }

    fn outcomes(&self) -> Vec<AuditOutcome> {
        self.log.lock().unwrap().iter().map(|entry| entry.record.outcome.clone()).collect()
    }
}

fn claims() -> Capabilities {
    Capabilities::new(Durability::Volatile).with_operations(&[OpKind::Add, OpKind::Read])
}

impl Backend for Refuses {
    fn name(&self) -> &str {
        "refuses"
    }

    fn capabilities(&self) -> Capabilities {
        self.claims.clone()
    }

    async fn add(&self, _: Admitted<'_, Add>) -> Result<Reply<Add>> {
        Err(PersistError::new(ErrorKind::Denied, "not here"))
    }

    async fn note(&self, notes: AuditNotes) -> Result<()> {
        assert!(!self.panics.load(Ordering::SeqCst), "on purpose");
        while self.slow.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        if !self.open.load(Ordering::SeqCst) {
            return Err(PersistError::new(ErrorKind::StorageFull, "full").with_effect(Effect::NotApplied));
        }
        let mut log = self.log.lock().unwrap();
        let mut link =
            log.last().map_or_else(AuditLink::first, |last| AuditLink::after(last.number, last.hash));
        log.extend(notes.entries(&mut link));
        Ok(())
    }

    async fn read(&self, _: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        Ok(Reply::new(ReadResult::Get(None)))
    }
}

#[tokio::test]
async fn a_backend_without_the_claim_is_refused() {
    let refused = Refuses::new(claims()).build().unwrap_err();
    let detail = "the layer `audit` needs a backend that keeps an audit log in its commits, and `refuses` does not claim to";
    assert_eq!((refused.kind(), refused.detail()), (ErrorKind::Invalid, detail));
}

/// Mounted as anybody's layer it cannot be refused when the pipeline is built. Then each write is.
#[tokio::test]
async fn without_the_claim_no_write_goes_by_unseen() {
    let backend = Refuses::new(claims());
    let stack = Persistence::builder().layer_as("mine", throughline::Phase::Observe, AuditLayer::new(key()));
    let db = stack.backend(backend).build().unwrap();
    let refused = db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!((refused.kind(), refused.detail()), (ErrorKind::Unsupported, "an audit log is not supported"));
}

#[tokio::test]
async fn what_the_store_does_not_take_waits_and_what_is_too_much_is_counted() {
    let backend = Refuses::new(claims().with_audit());
    backend.open.store(false, Ordering::SeqCst);
    let db = backend.build().unwrap();
    let many = 1030;
    for number in 0..many {
        let message = NewMessage::user("x").with_id(format!("m{number}").parse().unwrap());
        db.thread("t").add(message).await.unwrap_err();
    }
    assert_eq!(settle(&db).await.unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(backend.outcomes(), []);
    backend.open.store(true, Ordering::SeqCst);
    settle(&db).await.unwrap();
    let outcomes = backend.outcomes();
    let lost: u64 = outcomes
        .iter()
        .map(|outcome| if let AuditOutcome::Lost { calls } = outcome { *calls } else { 0 })
        .sum();
    assert_eq!((outcomes.len(), lost), (1025, many - 1024));
    db.close().await.unwrap();
}

#[tokio::test]
async fn closing_says_what_could_not_be_written() {
    let backend = Refuses::new(claims().with_audit());
    let db = backend.build().unwrap();
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    settle(&db).await.unwrap();
    backend.open.store(false, Ordering::SeqCst);
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    let error = db.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(error.detail().starts_with("1 calls that were not applied are not in the audit log"), "{error}");
    assert_eq!(backend.outcomes().len(), 1);
}

/// It waits for the store with notes in its hands.
#[tokio::test]
async fn who_leaves_while_notes_are_on_their_way_takes_none_with_them() {
    let backend = Refuses::new(claims().with_audit());
    let db = backend.build().unwrap();
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    // The task that would bring it has not run on this thread; polled once, this takes its place, and is dropped at the store.
    backend.slow.store(true, Ordering::SeqCst);
    let left = tokio::time::timeout(std::time::Duration::ZERO, settle(&db)).await;
    assert!(left.is_err() && backend.outcomes().is_empty());
    backend.slow.store(false, Ordering::SeqCst);
    settle(&db).await.unwrap();
    assert_eq!(backend.outcomes().len(), 1);
}

#[tokio::test]
async fn a_store_that_panics_over_notes_is_an_answer_of_closing() {
    let backend = Refuses::new(claims().with_audit());
    let db = backend.build().unwrap();
    backend.panics.store(true, Ordering::SeqCst);
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    let error = db.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert!(error.detail().starts_with("1 calls that were not applied"), "{error}");
}

/// An answer of another read is found out, whoever gives it.
#[tokio::test]
async fn a_log_is_answered_as_one() {
    let db = Refuses::new(claims().with_audit()).build().unwrap();
    let error = db.read(ReadAudit::new(ChangeScope::Tenant, AuditFrom::End, 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContractViolation);
}
