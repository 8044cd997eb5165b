//! REL-27: the network between the hosts and the server fails, in both directions or in one.

use std::{sync::atomic::Ordering, time::Duration};

use throughline_postgres_cluster::{
    Cluster, Network,
    proxy::{Proxy, Way},
};
use throughline_reliability::{Report, scaled, skipped};
use tokio::time::sleep;

use crate::scene::{Hosts, installation, open, options};

/// Of each call.
const DEADLINE: Duration = Duration::from_secs(2);

/// How much longer than its deadline a call may take, in milliseconds.
const LATE: u64 = 1000;

/// How long the store may take until it is written to again.
const HEALED: Duration = Duration::from_secs(5);

/// How long the network is cut: longer than the deadline, and than it is waited for an answer.
const CUT: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_27_calls_end_by_their_deadline_on_broken_connections() {
    let mut report = Report::new("REL-27 proxy");
    let Some(installation) = installation("REL-27: connections that are cut") else { return };
    let mut random = report.random();
    let cluster = Cluster::start(&installation).unwrap();
    let proxy = Proxy::start(&cluster.address()).await.unwrap();
    let limits = options().answer_limit(Duration::from_secs(1));
    let db = open(limits, &cluster.url_at(&proxy.address(), "postgres")).await;
    let mut hosts = Hosts::new();
    hosts.write(&db, 8, Some(DEADLINE));
    let mut slowest = Duration::ZERO;
    for round in 0..scaled(3) {
        hosts.answers(20).await;
        let cut = proxy.cut();
        let bytes = random.u32(..20_000);
        proxy.cut_after(if round % 2 == 0 { Way::ToClient } else { Way::ToServer }, bytes);
        // The connection ends in the middle of a message, and the store resolves the outcome.
        while proxy.cut() == cut {
            sleep(Duration::from_millis(1)).await;
        }
        report.fired("cut after so many bytes", 1);
        hosts.answers(20).await;
        proxy.reset();
        report.fired("reset", 1);
        hosts.answers(20).await;
        proxy.delay(Duration::from_millis(random.u64(20..80)));
        hosts.answers(20).await;
        report.fired("delayed", 1);
        proxy.heal();
        let swallowed = proxy.swallowed();
        match round % 3 {
            0 => proxy.swallow(),
            1 => proxy.swallow_one(Way::ToClient),
            _ => proxy.swallow_one(Way::ToServer),
        }
        sleep(CUT).await;
        report.fired("swallowed", u64::from(proxy.swallowed() > swallowed));
        proxy.heal();
        slowest = slowest.max(hosts.answers(1).await);
        proxy.refuse();
        sleep(DEADLINE).await;
        proxy.heal();
        report.fired("refused", 1);
        slowest = slowest.max(hosts.answers(1).await);
    }
    finish(report, hosts, &db, slowest).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_27_calls_end_by_their_deadline_on_a_broken_network() {
    let mut report = Report::new("REL-27 network");
    let Some(installation) = installation("REL-27: networks that are cut") else { return };
    let network = match Network::make() {
        Ok(network) => network,
        Err(why) => return skipped("REL-27: networks that are cut", &why.to_string()),
    };
    let cluster = Cluster::start_in(&installation, &network).unwrap();
    let limits = options().answer_limit(Duration::from_secs(1));
    let db = open(limits, &cluster.url("postgres")).await;
    let mut hosts = Hosts::new();
    hosts.write(&db, 8, Some(DEADLINE));
    let mut slowest = Duration::ZERO;
    for _ in 0..scaled(2) {
        for (fault, cut) in [("cable out", Network::cut as fn(&_) -> _), ("answers vanish", Network::mute)] {
            hosts.answers(20).await;
            cut(&network).unwrap();
            sleep(CUT).await;
            report.fired(fault, 1);
            network.heal().unwrap();
            slowest = slowest.max(hosts.answers(1).await);
        }
    }
    finish(report, hosts, &db, slowest).await;
}

async fn finish(mut report: Report, mut hosts: Hosts, db: &throughline_core::Persistence, slowest: Duration) {
    hosts.stop().await;
    let checked = hosts.check(db).await;
    assert_eq!(checked.faults, [""; 0]);
    let late = hosts.counters().late.load(Ordering::SeqCst);
    assert!(late <= LATE, "a call was answered {late} ms after its deadline");
    assert!(slowest < HEALED, "it took {slowest:?} until it was written again");
    let failed = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::SeqCst);
    report.fired("refused or unknown", failed(&hosts.counters().refused) + failed(&hosts.counters().unknown));
    report.count("acknowledged", checked.acknowledged);
    report.count("messages", checked.messages);
    report.count("unknown, and resolved by key", failed(&hosts.counters().unknown));
    report.count("latest answer after its deadline, ms", late);
    report.count("slowest to heal, ms", slowest.as_millis());
    report.finish();
    db.close().await.unwrap();
}
