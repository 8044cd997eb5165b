//! REL-25: the primary dies, and its standby takes over.

use std::{sync::atomic::Ordering, time::Duration};

use throughline_postgres_cluster::Group;
use throughline_reliability::{Report, scaled};
use tokio::time::sleep;

use crate::scene::{Hosts, installation, open, options};

/// How many answers there are between two deaths, at least.
const ANSWERS: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_25_failover_to_a_synchronous_standby_loses_no_acknowledged_write() {
    let mut report = Report::new("REL-25");
    let Some(installation) = installation("REL-25: a standby that takes over") else { return };
    let mut random = report.random();
    let mut group = Group::start(&installation, true).unwrap();
    let url = group.url("postgres");
    let patient = open(options(), &url).await;
    let hasty = open(options().resolve_limit(Duration::from_millis(1)), &url).await;
    let mut hosts = Hosts::new();
    hosts.write(&patient, 4, None);
    hosts.write(&hasty, 4, None);
    let cycles = scaled(10);
    let mut slowest = Duration::ZERO;
    for _ in 0..cycles {
        hosts.answers(ANSWERS).await;
        sleep(Duration::from_micros(random.u64(..30_000))).await;
        group.kill().unwrap();
        report.fired("kill -9 of the primary", 1);
        group.promote().unwrap();
        // Nothing is answered before there is a standby again.
        group.rejoin().unwrap();
        slowest = slowest.max(hosts.answers(1).await);
    }
    hosts.stop().await;
    let checked = hosts.check(&patient).await;
    assert_eq!(checked.faults, [""; 0]);
    // Zero if no commit was in flight; REL-26 and REL-27 make sure that one is.
    report.count("unknown, and resolved by key", hosts.counters().unknown.load(Ordering::SeqCst));
    report.count("cycles", cycles);
    report.count("acknowledged", checked.acknowledged);
    report.count("messages", checked.messages);
    report.count("lost", 0);
    report.count("slowest resume, ms", slowest.as_millis());
    report.finish();
    patient.close().await.unwrap();
    hasty.close().await.unwrap();
}

/// The same check finds the lost commits of an asynchronous standby, which no commit waits for. The report labels them; they are
/// no fault of the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_25_check_finds_commits_that_an_asynchronous_standby_lost() {
    let mut report = Report::new("REL-25 asynchronous");
    let Some(installation) = installation("REL-25: an asynchronous standby that takes over") else { return };
    let mut group = Group::start(&installation, false).unwrap();
    let db = open(options(), &group.url("postgres")).await;
    let mut hosts = Hosts::new();
    hosts.write(&db, 4, None);
    hosts.answers(ANSWERS).await;
    group.other().stop_receiving().unwrap();
    hosts.answers(ANSWERS).await;
    group.kill().unwrap();
    group.promote().unwrap();
    // The store continues without the lost commits.
    hosts.answers(ANSWERS).await;
    hosts.stop().await;
    let checked = hosts.check(&db).await;
    let lost =
        checked.faults.iter().filter(|fault| fault.contains("is Absent and has to be in {Whole}")).count();
    assert_eq!(lost, checked.faults.len(), "lost, and nothing else: {:?}", checked.faults);
    report.fired("lost", lost as u64);
    report.count("acknowledged", checked.acknowledged);
    report.count("messages", checked.messages);
    report.finish();
    db.close().await.unwrap();
}
