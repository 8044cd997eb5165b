//! Backends without an audit log, and stores that cannot keep up with rejected-call records.

use std::sync::atomic::{AtomicBool, Ordering};

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use throughline::{
    Admitted, Backend, Capabilities, Durability, Effect, ErrorKind, NewMessage, OpKind, PersistArgs,
    PersistError, Persistence, ReadArgs, ReadResult, Reply, Result,
    audit::{
        AuditEntry, AuditFrom, AuditLink, AuditOutcome, ReadAudit, RejectedCallBudget, RejectedCallRecords,
    },
    changes::ChangeScope,
    layers::audit::AuditLayer,
    memory::MemoryBackend,
    messages::Add,
    plugin::respond,
    redirect::redirect,
};

use tokio::time::{Instant, sleep};

use super::key;

/// The interval in which rejected calls of one kind are counted in one record.
const INTERVAL: Duration = Duration::from_secs(10);

/// A backend that refuses every add, and accepts rejected-call records while it is `open`.
#[derive(Clone)]
struct RefusingBackend {
    claims: Capabilities,
    open: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    /// Whether closing takes longer than the interval of records.
    closes_slowly: Arc<AtomicBool>,
    log: Arc<Mutex<Vec<AuditEntry>>>,
}

impl RefusingBackend {
    fn new(claims: Capabilities) -> Self {
        Self {
            claims,
            open: Arc::new(AtomicBool::new(true)),
            slow: Arc::default(),
            panics: Arc::default(),
            closes_slowly: Arc::default(),
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

impl Backend for RefusingBackend {
    fn name(&self) -> &str {
        "refuses"
    }

    fn capabilities(&self) -> Capabilities {
        self.claims.clone()
    }

    async fn add(&self, _: Admitted<'_, Add>) -> Result<Reply<Add>> {
        Err(PersistError::new(ErrorKind::Denied, "not here"))
    }

    async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
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
        log.extend(records.entries(&mut link));
        Ok(())
    }

    async fn read(&self, _: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        Ok(Reply::new(ReadResult::Get(None)))
    }

    async fn close(&self) -> Result<()> {
        if self.closes_slowly.load(Ordering::SeqCst) {
            sleep(INTERVAL * 3).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn build_refuses_a_backend_without_an_audit_log() {
    let refused = RefusingBackend::new(claims()).build().unwrap_err();
    let detail = "the layer `audit` needs a backend that keeps an audit log in its commits, and `refuses` does not claim to";
    assert_eq!((refused.kind(), refused.detail()), (ErrorKind::Invalid, detail));
}

/// A layer that is added without its hooks cannot be refused by `build`, so each write is refused.
#[tokio::test]
async fn without_an_audit_log_every_write_is_refused() {
    let backend = RefusingBackend::new(claims());
    let stack = Persistence::builder().layer_as("mine", throughline::Phase::Observe, AuditLayer::new(key()));
    let db = stack.backend(backend).build().unwrap();
    let refused = db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!((refused.kind(), refused.detail()), (ErrorKind::Unsupported, "an audit log is not supported"));
}

#[tokio::test]
async fn refused_records_are_buffered_and_records_beyond_the_buffer_are_counted() {
    let backend = RefusingBackend::new(claims().with_audit());
    backend.open.store(false, Ordering::SeqCst);
    let db = backend.build().unwrap();
    let many = 1030;
    for number in 0..many {
        let db = db.for_tenant(format!("t{}", number / 100).parse().unwrap()).with_actor(&number.to_string());
        db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    }
    assert_eq!(db.write_audit_records().await.unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(backend.outcomes(), []);
    backend.open.store(true, Ordering::SeqCst);
    db.write_audit_records().await.unwrap();
    let outcomes = backend.outcomes();
    assert_eq!((outcomes.len(), lost(&outcomes)), (1025, many - 1024));
    db.close().await.unwrap();
}

fn lost(outcomes: &[AuditOutcome]) -> u64 {
    outcomes.iter().map(|outcome| if let AuditOutcome::Lost { calls } = outcome { *calls } else { 0 }).sum()
}

fn times(outcomes: &[AuditOutcome]) -> Vec<u64> {
    let times = |outcome: &AuditOutcome| match outcome {
        AuditOutcome::Failed { times, .. } => Some(*times),
        _ => None,
    };
    outcomes.iter().filter_map(times).collect()
}

/// Makes calls that are refused, each for a different message.
async fn refused(db: &Persistence, calls: u64) {
    for _ in 0..calls {
        db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_calls_of_one_kind_share_one_record_per_interval() {
    let backend = RefusingBackend::new(claims().with_audit());
    let db = backend.build().unwrap();
    refused(&db, 1).await;
    tokio::task::yield_now().await;
    assert_eq!(times(&backend.outcomes()), [1], "the first is recorded at once");
    refused(&db, 10_000).await;
    sleep(INTERVAL / 2).await;
    refused(&db, 1).await;
    assert_eq!(times(&backend.outcomes()), [1]);
    sleep(INTERVAL).await;
    assert_eq!(times(&backend.outcomes()), [1, 10_001]);
    let until = backend.log.lock().unwrap()[1].record.outcome.clone();
    assert!(matches!(until, AuditOutcome::Failed { until: Some(_), .. }), "{until:?}");
    sleep(INTERVAL * 2).await;
    assert_eq!(times(&backend.outcomes()), [1, 10_001], "nothing is recorded where nothing fails");
    refused(&db, 1).await;
    tokio::task::yield_now().await;
    assert_eq!(times(&backend.outcomes()), [1, 10_001, 1]);
    db.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rejected_call_records_stay_within_their_budget() {
    const AT_ONCE: u64 = 16 << 10;
    let backend = RefusingBackend::new(claims().with_audit());
    let budget = RejectedCallBudget::new().bytes(AT_ONCE, AT_ONCE);
    let layer = AuditLayer::new(key()).rejected_calls(budget);
    let db = Persistence::builder().layer(layer).backend(backend.clone()).build().unwrap();
    let bytes = || backend.log.lock().unwrap().iter().map(|entry| entry.body().len() as u64).sum::<u64>();
    let round = async |from: u64| {
        for number in from..from + 500 {
            let db = db.for_tenant(format!("t{}", number % 7).parse().unwrap());
            refused(&db.with_actor(&number.to_string()), 3).await;
        }
        sleep(INTERVAL * 3).await;
    };
    round(0).await;
    assert!(bytes() <= AT_ONCE && bytes() > AT_ONCE / 2, "{}", bytes());
    sleep(Duration::from_secs(24 * 3600)).await;
    round(500).await;
    assert!(bytes() <= 2 * AT_ONCE && bytes() > AT_ONCE, "{}", bytes());
    // Each tenant has a record, and no tenant has used the share of another.
    let log = backend.log.lock().unwrap().clone();
    let of =
        |tenant: u64| log.iter().filter(|entry| entry.record.tenant.as_str() == format!("t{tenant}")).count();
    let counts: Vec<usize> = (0..7).map(of).collect();
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 3, "{counts:?}");
    // The calls beyond the budget are counted in one record.
    db.write_audit_records().await.unwrap();
    let outcomes = backend.outcomes();
    assert_eq!(times(&outcomes).iter().sum::<u64>() + lost(&outcomes), 3000);
}

/// Builds a stack over `log` that redirects the thread `away` to another store.
fn redirecting(log: &RefusingBackend, budget: RejectedCallBudget) -> Persistence {
    let there = Persistence::builder().backend(MemoryBackend::new().with_name("there")).build().unwrap();
    Persistence::builder()
        .layer(AuditLayer::new(key()).rejected_calls(budget))
        .layer(redirect("away", |_, thread| thread.as_str() == "away", there))
        .backend(log.clone())
        .build()
        .unwrap()
}

/// Runs the tasks of the pipeline without advancing the clock.
async fn run_tasks() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_of_many_concurrent_redirected_writes_has_a_record() {
    let backend = RefusingBackend::new(claims().with_audit());
    let db = redirecting(&backend, RejectedCallBudget::new());
    let begun = Instant::now();
    for _ in 0..1000 {
        db.thread("away").add(NewMessage::user("x")).await.unwrap();
        run_tasks().await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(backend.outcomes(), vec![AuditOutcome::Elsewhere { times: 1 }; 1000]);
    db.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_used_up_budget_delays_no_record_of_a_redirected_write() {
    let backend = RefusingBackend::new(claims().with_audit());
    let db = redirecting(&backend, RejectedCallBudget::new().bytes(0, 0));
    refused(&db, 1).await;
    run_tasks().await;
    assert_eq!(backend.outcomes(), []);
    let elsewhere = || AuditOutcome::Elsewhere { times: 1 };
    db.thread("away").add(NewMessage::user("x")).await.unwrap();
    run_tasks().await;
    assert_eq!(backend.outcomes(), [elsewhere()]);
    refused(&db, 1).await;
    db.thread("away").add(NewMessage::user("x")).await.unwrap();
    run_tasks().await;
    assert_eq!(backend.outcomes(), [elsewhere(), elsewhere()]);
    db.write_audit_records().await.unwrap();
    assert_eq!(lost(&backend.outcomes()), 2);
}

/// The budget is used up for a year; the interval of a call that a layer answered ends after ten seconds.
#[tokio::test(start_paused = true)]
async fn a_used_up_budget_delays_no_record_of_calls_that_a_layer_answers() {
    let store = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let add = || NewMessage::user("x").with_id("a".parse().unwrap());
    let answer = Add::new("away".parse().unwrap(), add());
    let answer = tower::ServiceExt::oneshot(store, answer.into()).await.unwrap();
    let answers = respond("answers", move |args, _| {
        matches!(args, PersistArgs::Add(add) if add.thread.as_str() == "away")
            .then(|| Ok(answer.result.clone()))
    });
    let backend = RefusingBackend::new(claims().with_audit());
    let layer = AuditLayer::new(key()).rejected_calls(RejectedCallBudget::new().bytes(0, 0));
    let db = Persistence::builder().layer(layer).plugin(answers).backend(backend.clone()).build().unwrap();
    refused(&db, 1).await;
    run_tasks().await;
    for _ in 0..3 {
        db.thread("away").add(add()).await.unwrap();
        run_tasks().await;
    }
    let elsewhere = |times| AuditOutcome::Elsewhere { times };
    assert_eq!(backend.outcomes(), [elsewhere(1)]);
    sleep(INTERVAL).await;
    run_tasks().await;
    assert_eq!(backend.outcomes(), [elsewhere(1), elsewhere(2)]);
}

#[tokio::test(start_paused = true)]
async fn records_are_written_again_an_interval_after_the_store_panicked() {
    let backend = RefusingBackend::new(claims().with_audit());
    backend.panics.store(true, Ordering::SeqCst);
    let db = backend.build().unwrap();
    refused(&db, 1).await;
    run_tasks().await;
    assert_eq!(backend.outcomes(), []);
    backend.panics.store(false, Ordering::SeqCst);
    sleep(INTERVAL * 2).await;
    run_tasks().await;
    assert_eq!(times(&backend.outcomes()), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_closing_store_receives_no_records() {
    for closes_slowly in [false, true] {
        let backend = RefusingBackend::new(claims().with_audit());
        backend.closes_slowly.store(closes_slowly, Ordering::SeqCst);
        let db = backend.build().unwrap();
        refused(&db, 3).await;
        let closing = tokio::spawn({
            let db = db.clone();
            async move { db.close().await }
        });
        run_tasks().await;
        let entries = backend.outcomes();
        assert_eq!(times(&entries).iter().sum::<u64>(), 3);
        refused(&db, 2).await;
        sleep(INTERVAL * 4).await;
        closing.await.unwrap().unwrap();
        refused(&db, 2).await;
        sleep(INTERVAL * 4).await;
        assert_eq!(backend.outcomes(), entries, "closes slowly: {closes_slowly}");
        assert_eq!(db.write_audit_records().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn a_tenant_can_use_at_most_an_eighth_of_the_record_buffer() {
    let backend = RefusingBackend::new(claims().with_audit());
    backend.open.store(false, Ordering::SeqCst);
    let db = backend.build().unwrap();
    let (one, other) = (db.for_tenant("one".parse().unwrap()), db.for_tenant("other".parse().unwrap()));
    for number in 0..2000_u64 {
        refused(&one.with_actor(&number.to_string()), 1).await;
    }
    refused(&other, 1).await;
    backend.open.store(true, Ordering::SeqCst);
    db.write_audit_records().await.unwrap();
    let of = |tenant: &str| {
        backend.log.lock().unwrap().iter().filter(|entry| entry.record.tenant.as_str() == tenant).count()
    };
    assert_eq!((of("one"), of("other"), lost(&backend.outcomes())), (128, 1, 2000 - 128));
}

#[tokio::test]
async fn close_reports_records_that_could_not_be_written() {
    let backend = RefusingBackend::new(claims().with_audit());
    let db = backend.build().unwrap();
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    db.write_audit_records().await.unwrap();
    backend.open.store(false, Ordering::SeqCst);
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    let error = db.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(error.detail().starts_with("1 calls that were not applied are not in the audit log"), "{error}");
    assert_eq!(backend.outcomes().len(), 1);
}

/// The caller is dropped while its call writes records to the store.
#[tokio::test]
async fn a_dropped_call_loses_no_rejected_call_record() {
    let backend = RefusingBackend::new(claims().with_audit());
    let db = backend.build().unwrap();
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    // No other task writes the record on this thread. The call is polled once, takes the record, and is dropped at the store.
    backend.slow.store(true, Ordering::SeqCst);
    let left = tokio::time::timeout(std::time::Duration::ZERO, db.write_audit_records()).await;
    assert!(left.is_err() && backend.outcomes().is_empty());
    backend.slow.store(false, Ordering::SeqCst);
    db.write_audit_records().await.unwrap();
    assert_eq!(backend.outcomes().len(), 1);
}

#[tokio::test]
async fn close_reports_a_store_that_panicked_on_rejected_call_records() {
    let backend = RefusingBackend::new(claims().with_audit());
    let db = backend.build().unwrap();
    backend.panics.store(true, Ordering::SeqCst);
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    let error = db.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert!(error.detail().starts_with("1 calls that were not applied"), "{error}");
}

/// An answer of another read is detected, whichever layer returns it.
#[tokio::test]
async fn a_wrong_answer_to_an_audit_read_is_detected() {
    let db = RefusingBackend::new(claims().with_audit()).build().unwrap();
    let error = db.read(ReadAudit::new(ChangeScope::Tenant, AuditFrom::End, 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContractViolation);
}
