//! REL-5, permanently: the store reports a disk that stays broken, serves reads, and accepts writes after the disk works again.

use std::time::{Duration, Instant};

use throughline_core::{Effect, ErrorKind, Persistence};
use throughline_reliability::{
    Report,
    acks::{AckLog, Call as Asked, Ledger, Outcome, check_store, message},
    health_when,
    vfs::{self, Call, Plan},
};
use throughline_sqlite::{Condition, SqliteOptions};

/// How long a write is retried. The writes before and after the failure have to succeed in this time, also on a busy machine.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The longest time until the store reports a broken disk, and until it accepts writes after the disk works again.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_5_store_reports_a_broken_disk_and_recovers() {
    let mut report = Report::new("REL-5");
    let faults = vfs::install();
    for call in [Call::Sync, Call::Write, Call::ShortWrite] {
        let (store, acks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = store.path().join("chat.db");
        let backend = SqliteOptions::new().wait_limit(TIMEOUT).open(&path).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap();
        let log = AckLog::create(acks.path().join("1.acks")).unwrap();
        let add = async |name: &str| {
            let begun = log.begin(Asked::Add, "t", &[name]).unwrap();
            let answer = db.thread("t").add(message(name)).await;
            begun.end(Outcome::of(&answer)).unwrap();
            answer
        };
        let there = add("before").await.unwrap().message.id;

        // Not `SQLITE_FULL`, because a full disk is not a broken disk.
        faults.plan(Plan::new(call).sticky().code(Call::Write.code()));
        let begun = Instant::now();
        let mut tried = 0;
        while maintenance.health().condition == Condition::Writable {
            tried += 1;
            let error = add(&format!("meanwhile {tried}")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            assert!(begun.elapsed() < SOON, "the store reports nothing after {tried} writes");
        }
        report.count(format!("ms until reported[{call:?}]"), begun.elapsed().as_millis());
        let refused = add("refused").await.unwrap_err();
        assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
        assert!(db.thread("t").get(there).await.unwrap().is_some());
        report.fired(format!("{call:?}"), faults.fired());

        faults.clear();
        let begun = Instant::now();
        health_when(&maintenance, SOON, |health| health.condition == Condition::Writable).await;
        add("again").await.unwrap();
        report.count(format!("ms until written again[{call:?}]"), begun.elapsed().as_millis());
        db.close().await.unwrap();
        let mut ledger = Ledger::new();
        ledger.read_directory(acks.path()).unwrap();
        assert_eq!(check_store(&path, &mut ledger).await.faults, [""; 0]);
    }
    report.finish();
}
