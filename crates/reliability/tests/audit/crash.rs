//! A process dies at any point, and the audit log agrees with the store.

use std::{path::Path, thread, time::Duration};

use throughline_core::{Position, audit::AuditOutcome, messages::PageFrom};
use throughline_layers::audit::verify;
use throughline_reliability::{
    Report,
    acks::{Ledger, check_store},
    scaled,
    worker::{Interference, Job, Then, Worker, audit_key},
};
use throughline_sqlite::Failpoint;

use super::{entries, open};

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// Compares the audit log with the store: each change has a record, and each record has its changes. Returns the number of
/// records of applied operations.
///
/// Every write of these stores was audited. So the ranges of positions in the records are adjacent, except for commits that
/// contain only rejected-call records.
async fn check(path: &Path) -> u64 {
    let db = open(path).await;
    let report = verify(&db, &audit_key(), &[]).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    let comparison = report.comparison.expect("the store has a change feed");
    let log = entries(&db).await;
    let (mut reached, mut rejected, mut applied) = (Position::ZERO, 0, 0);
    for entry in &log {
        match entry.record.outcome {
            AuditOutcome::Applied { after, position } => {
                assert!(after >= reached && position > after, "{entry:?} comes after {reached}");
                assert!(
                    after.get() - reached.get() <= rejected,
                    "writes between {reached} and {after} have no entry"
                );
                (reached, rejected, applied) = (position, 0, applied + 1);
            }
            _ => rejected += 1,
        }
    }
    let end = db.thread("t0").page(PageFrom::End, 1).await.unwrap().position;
    assert!(
        end >= reached && end.get() - reached.get() <= rejected,
        "the store is at {end}, and the log at {reached}"
    );
    assert!(comparison.changes > 0 || applied == 0, "{comparison:?}");
    db.close().await.unwrap();
    applied
}

#[tokio::test]
async fn rel_36_crash_never_separates_a_write_from_its_audit_record() {
    let mut report = Report::new("REL-36");
    let mut random = report.random();
    let mut applied = 0;
    for point in [
        Failpoint::Begun,
        Failpoint::Applying,
        Failpoint::Applied,
        Failpoint::Committing,
        Failpoint::Committed,
        Failpoint::Answered,
        Failpoint::Fencing,
        Failpoint::Fenced,
    ] {
        for run in 0..scaled(4) {
            let (store, acks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let path = store.path().join("chat.db");
            let hit = match point {
                Failpoint::Fencing | Failpoint::Fenced => 1,
                _ => random.u64(1..=20),
            };
            let job = Job {
                tasks: 8,
                operations: Some(30),
                seed: random.u64(..),
                failing_commit: random.u64(1..=4),
                interference: Some(Interference { point, hit, then: Then::Kill }),
                audited: true,
                ..Job::new(&path, acks.path(), "1")
            };
            let end = Worker::start(WORKER, &job).unwrap().end().unwrap();
            assert!(end.was_killed(), "it never came to {point:?} in run {run}");
            report.fired(format!("{point:?}"), 1);
            applied += check(&path).await;
            let mut ledger = Ledger::new();
            ledger.read_directory(acks.path()).unwrap();
            assert_eq!(check_store(&path, &mut ledger).await.faults, [""; 0], "at {point:?} in run {run}");
        }
    }
    report.fired("entries of applied writes", applied);
    report.finish();
}

#[tokio::test]
async fn rel_36_audit_log_is_complete_after_three_processes_were_killed() {
    let mut report = Report::new("REL-36 processes");
    let mut random = report.random();
    let mut applied = 0;
    let (store, acks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = store.path().join("chat.db");
    for cycle in 0..scaled(8) {
        let workers: Vec<Worker> = (0..3)
            .map(|process| {
                let job = Job::new(&path, acks.path(), format!("{cycle}.{process}"));
                let job = Job { seed: random.u64(..), audited: true, ..job };
                Worker::start(WORKER, &job).unwrap()
            })
            .collect();
        for mut worker in workers {
            // When is the chance that is looked for: no outcome depends on it.
            thread::sleep(Duration::from_millis(random.u64(20..=250)));
            worker.kill().unwrap();
            report.fired("kill", u64::from(worker.end().unwrap().was_killed()));
        }
        applied = check(&path).await;
    }
    report.fired("entries of applied writes", applied);
    report.finish();
}
