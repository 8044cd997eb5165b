//! REL-24: the server dies repeatedly, and recovers every acknowledged write.

use std::{sync::atomic::Ordering, time::Duration};

use throughline_postgres_cluster::Cluster;
use throughline_reliability::{Report, scaled};
use tokio::time::sleep;

use crate::scene::{Hosts, installation, open, options};

/// How long the store may take, once the server answers, until it takes writes again.
const RECONNECTED: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_24_store_agrees_with_answers_after_the_server_was_stopped_or_killed() {
    let mut report = Report::new("REL-24");
    let Some(installation) = installation("REL-24: a server that dies") else { return };
    let mut random = report.random();
    let mut cluster = Cluster::start(&installation).unwrap();
    let patient = open(options(), &cluster.url("postgres")).await;
    // The resolve limit of this host is short: its writers get `Unknown`, and repeat the call with the same key.
    let hasty = open(options().resolve_limit(Duration::from_millis(1)), &cluster.url("postgres")).await;
    let mut hosts = Hosts::new();
    hosts.write(&patient, 4, None);
    hosts.write(&hasty, 4, None);
    let cycles = scaled(20);
    let mut slowest = Duration::ZERO;
    for cycle in 0..cycles {
        hosts.answers(20).await;
        // A random delay, so that the server dies at any point of the writes.
        sleep(Duration::from_micros(random.u64(..30_000))).await;
        if cycle % 2 == 0 {
            cluster.kill().unwrap();
            report.fired("kill -9 of all processes", 1);
        } else {
            cluster.stop_at_once().unwrap();
            report.fired("immediate stop", 1);
        }
        cluster.start_again().unwrap();
        slowest = slowest.max(hosts.answers(1).await);
    }
    hosts.stop().await;
    assert!(slowest < RECONNECTED, "it took {slowest:?} until it was written again");
    let checked = hosts.check(&patient).await;
    assert_eq!(checked.faults, [""; 0]);
    // Zero if no commit was in flight; REL-26 and REL-27 make sure that one is.
    report.count("unknown, and resolved by key", hosts.counters().unknown.load(Ordering::SeqCst));
    report.count("cycles", cycles);
    report.count("acknowledged", checked.acknowledged);
    report.count("messages", checked.messages);
    report.count("refused", hosts.counters().refused.load(Ordering::SeqCst));
    report.count("slowest reconnect, ms", slowest.as_millis());
    report.finish();
    patient.close().await.unwrap();
    hasty.close().await.unwrap();
}
