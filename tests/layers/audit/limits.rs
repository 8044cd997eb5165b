//! Where there can be no log, and where it does not keep up.

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

/// How long calls of one kind are counted into one entry.
const INTERVAL: Duration = Duration::from_secs(10);

/// Refuses every addition, and keeps a log of that while it is `open`.
#[derive(Clone)]
struct Refuses {
    claims: Capabilities,
    open: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
    panics: Arc<AtomicBool>,
    /// Closing takes longer than any record waits.
    closes_slowly: Arc<AtomicBool>,
    log: Arc<Mutex<Vec<AuditEntry>>>,
}

impl Refuses {
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

/// The caller is refused again and again, each time over another message.
async fn refused(db: &Persistence, calls: u64) {
    for _ in 0..calls {
        db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn rejected_calls_of_one_kind_are_one_entry_for_each_interval() {
    let backend = Refuses::new(claims().with_audit());
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
async fn rejected_calls_cost_the_log_no_more_than_its_budget() {
    const AT_ONCE: u64 = 16 << 10;
    let backend = Refuses::new(claims().with_audit());
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
    // Each tenant has an entry, and none has taken the places of the others.
    let log = backend.log.lock().unwrap().clone();
    let of =
        |tenant: u64| log.iter().filter(|entry| entry.record.tenant.as_str() == format!("t{tenant}")).count();
    let counts: Vec<usize> = (0..7).map(of).collect();
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 3, "{counts:?}");
    // Asked for all, what the budget has no room for is one entry that says how many there were.
    db.write_audit_records().await.unwrap();
    let outcomes = backend.outcomes();
    assert_eq!(times(&outcomes).iter().sum::<u64>() + lost(&outcomes), 3000);
}

/// A stack over `log` whose thread `away` is another store's.
fn redirecting(log: &Refuses, budget: RejectedCallBudget) -> Persistence {
    let there = Persistence::builder().backend(MemoryBackend::new().with_name("there")).build().unwrap();
    Persistence::builder()
        .layer(AuditLayer::new(key()).rejected_calls(budget))
        .layer(redirect("away", |_, thread| thread.as_str() == "away", there))
        .backend(log.clone())
        .build()
        .unwrap()
}

/// Lets the tasks of the pipeline run, while the clock stands still.
async fn let_tasks_run() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_redirected_write_has_an_entry_however_many_there_are_at_once() {
    let backend = Refuses::new(claims().with_audit());
    let db = redirecting(&backend, RejectedCallBudget::new());
    let begun = Instant::now();
    for _ in 0..1000 {
        db.thread("away").add(NewMessage::user("x")).await.unwrap();
        let_tasks_run().await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(backend.outcomes(), vec![AuditOutcome::Elsewhere { times: 1 }; 1000]);
    db.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_delays_no_entry_of_a_redirected_write() {
    let backend = Refuses::new(claims().with_audit());
    let db = redirecting(&backend, RejectedCallBudget::new().bytes(0, 0));
    refused(&db, 1).await;
    let_tasks_run().await;
    assert_eq!(backend.outcomes(), []);
    let elsewhere = || AuditOutcome::Elsewhere { times: 1 };
    db.thread("away").add(NewMessage::user("x")).await.unwrap();
    let_tasks_run().await;
    assert_eq!(backend.outcomes(), [elsewhere()]);
    refused(&db, 1).await;
    db.thread("away").add(NewMessage::user("x")).await.unwrap();
    let_tasks_run().await;
    assert_eq!(backend.outcomes(), [elsewhere(), elsewhere()]);
    db.write_audit_records().await.unwrap();
    assert_eq!(lost(&backend.outcomes()), 2);
}

/// The budget has no room for a year, and the interval of a call that was answered elsewhere is over in ten seconds.
#[tokio::test(start_paused = true)]
async fn a_spent_budget_delays_no_interval_of_calls_that_a_layer_answers() {
    let store = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let add = || NewMessage::user("x").with_id("a".parse().unwrap());
    let answer = Add::new("away".parse().unwrap(), add());
    let answer = tower::ServiceExt::oneshot(store, answer.into()).await.unwrap();
    let answers = respond("answers", move |args, _| {
        matches!(args, PersistArgs::Add(add) if add.thread.as_str() == "away")
            .then(|| Ok(answer.result.clone()))
    });
    let backend = Refuses::new(claims().with_audit());
    let layer = AuditLayer::new(key()).rejected_calls(RejectedCallBudget::new().bytes(0, 0));
    let db = Persistence::builder().layer(layer).plugin(answers).backend(backend.clone()).build().unwrap();
    refused(&db, 1).await;
    let_tasks_run().await;
    for _ in 0..3 {
        db.thread("away").add(add()).await.unwrap();
        let_tasks_run().await;
    }
    let elsewhere = |times| AuditOutcome::Elsewhere { times };
    assert_eq!(backend.outcomes(), [elsewhere(1)]);
    sleep(INTERVAL).await;
    let_tasks_run().await;
    assert_eq!(backend.outcomes(), [elsewhere(1), elsewhere(2)]);
}

#[tokio::test(start_paused = true)]
async fn records_over_which_a_store_panicked_are_written_an_interval_later() {
    let backend = Refuses::new(claims().with_audit());
    backend.panics.store(true, Ordering::SeqCst);
    let db = backend.build().unwrap();
    refused(&db, 1).await;
    let_tasks_run().await;
    assert_eq!(backend.outcomes(), []);
    backend.panics.store(false, Ordering::SeqCst);
    sleep(INTERVAL * 2).await;
    let_tasks_run().await;
    assert_eq!(times(&backend.outcomes()), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_store_is_given_no_records_once_it_is_being_closed() {
    for closes_slowly in [false, true] {
        let backend = Refuses::new(claims().with_audit());
        backend.closes_slowly.store(closes_slowly, Ordering::SeqCst);
        let db = backend.build().unwrap();
        refused(&db, 3).await;
        let closing = tokio::spawn({
            let db = db.clone();
            async move { db.close().await }
        });
        let_tasks_run().await;
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
async fn a_tenant_takes_no_more_than_an_eighth_of_the_waiting_records() {
    let backend = Refuses::new(claims().with_audit());
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
async fn closing_says_what_could_not_be_written() {
    let backend = Refuses::new(claims().with_audit());
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

/// It waits for the store with notes in its hands.
#[tokio::test]
async fn who_leaves_while_notes_are_on_their_way_takes_none_with_them() {
    let backend = Refuses::new(claims().with_audit());
    let db = backend.build().unwrap();
    db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    // The task that would bring it has not run on this thread; polled once, this takes its place, and is dropped at the store.
    backend.slow.store(true, Ordering::SeqCst);
    let left = tokio::time::timeout(std::time::Duration::ZERO, db.write_audit_records()).await;
    assert!(left.is_err() && backend.outcomes().is_empty());
    backend.slow.store(false, Ordering::SeqCst);
    db.write_audit_records().await.unwrap();
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
