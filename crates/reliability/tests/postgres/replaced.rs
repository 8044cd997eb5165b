//! REL-28: a replaced primary comes back and accepts writes.

use std::time::Duration;

use throughline_core::{Effect, ErrorKind, NewMessage};
use throughline_postgres::OpenError;
use throughline_postgres_cluster::{Cluster, Group, proxy::Proxy};
use throughline_reliability::Report;

use crate::scene::{Hosts, effect, installation, open, options};

const MESSAGES: &str = "SELECT count(*) FROM throughline.messages";

/// Commits do not wait for a standby here, so the old primary could acknowledge every write that it receives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_28_hosts_never_write_to_a_replaced_primary() {
    let mut report = Report::new("REL-28");
    let Some(installation) = installation("REL-28: a primary that comes back") else { return };
    let mut group = Group::start(&installation, false).unwrap();
    // The test can cut the connection to the second server. The old primary is the first address of every list.
    let proxy = Proxy::start(&group.other().address()).await.unwrap();
    let both = |old: &Cluster| old.url_at(&format!("{},{}", old.address(), proxy.address()), "postgres");
    let url = both(group.primary());
    let db = open(options().resolve_limit(Duration::from_secs(5)), &url).await;
    let mut hosts = Hosts::new();
    hosts.write(&db, 4, None);
    hosts.answers(50).await;
    group.kill().unwrap();
    group.promote().unwrap();
    hosts.answers(50).await;
    group.revive().unwrap();
    let old = group.other().run("postgres", MESSAGES).unwrap();

    // Every connection is opened again while the old primary is reachable.
    for _ in 0..3 {
        proxy.reset();
        hosts.answers(20).await;
        report.fired("reconnected with the old primary reachable", 1);
    }
    // If only the old primary is reachable, the store accepts no writes.
    hosts.stop().await;
    proxy.refuse();
    // An addition to a thread that the host knows is one statement, and the server behind the cut connection may have received it.
    let first = db.thread("t0").add(NewMessage::user("x")).deadline(Duration::from_secs(3)).await;
    assert_ne!(effect(&first), Effect::Applied, "{first:?}");
    // After the time limit for the outcome of that one, a write finds no server that it may use.
    let answer = db.thread("t0").add(NewMessage::user("x")).deadline(Duration::from_secs(12)).await;
    assert_eq!(effect(&answer), Effect::NotApplied, "{answer:?}");
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("replaced"), "{error}");
    let read = db
        .thread("t0")
        .page(throughline_core::messages::PageFrom::End, 1)
        .deadline(Duration::from_secs(3))
        .await;
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Unavailable, "nor is anything read");
    report.fired("alone with the old primary", 1);
    proxy.heal();

    // A new host finds the server that was promoted last.
    let fresh = open(options(), &url).await;
    fresh.thread("t0").page(throughline_core::messages::PageFrom::End, 1).await.unwrap();
    let added = fresh.thread("fresh").add(NewMessage::user("x")).await.unwrap().message.id;
    let found = format!("SELECT count(*) FROM throughline.messages WHERE id = '{added}'");
    assert_eq!(group.primary().run("postgres", &found).unwrap(), "1");
    report.fired("opened with the old primary reachable", 1);
    assert_eq!(group.other().run("postgres", MESSAGES).unwrap(), old, "written to the old primary");

    let checked = hosts.check(&db).await;
    // Commits that the standby had not received when the primary was killed are lost, as in REL-25.
    let others: Vec<_> = checked.faults.iter().filter(|fault| !fault.contains("is Absent")).collect();
    assert_eq!(others, [""; 0]);

    // A new host that reaches only the old primary cannot know that it was replaced. If the old primary waits for a standby, it
    // acknowledges no write of this host.
    group.other().synchronous_standbys("synchronous").unwrap();
    let limits = options().answer_limit(Duration::from_secs(1)).resolve_limit(Duration::from_secs(1));
    let alone = open(limits, &group.other().url("postgres")).await;
    let answer = alone.thread("t0").add(NewMessage::user("x")).deadline(Duration::from_secs(3)).await;
    assert_eq!(effect(&answer), Effect::Unknown, "{answer:?}");
    report.fired("fenced by a standby that is not there", 1);

    report.count("acknowledged", checked.acknowledged);
    report.count("messages", checked.messages);
    report.count("lost, as asynchronous standbys lose", checked.faults.len());
    report.finish();
}

/// The old primary never died, and answers its connected hosts. After one connection of a host finds the new primary, the host
/// closes its other connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_28_host_closes_connections_to_the_old_primary_after_it_found_the_new_one() {
    let mut report = Report::new("REL-28 both alive");
    let Some(installation) = installation("REL-28: two primaries") else { return };
    let mut group = Group::start(&installation, false).unwrap();
    let db = open(options().writers(4), &group.url("postgres")).await;
    let mut hosts = Hosts::new();
    hosts.write(&db, 4, None);
    hosts.answers(50).await;
    // One read connection is idle now.
    db.thread("t0").page(throughline_core::messages::PageFrom::End, 1).await.unwrap();
    group.promote().unwrap();
    let before: u64 = group.primary().run("postgres", MESSAGES).unwrap().parse().unwrap();
    // The host does not know of the promotion, and continues with its connections. So operators must stop the old primary.
    hosts.answers(20).await;
    assert_eq!(group.primary().run("postgres", MESSAGES).unwrap(), before.to_string());
    report.fired("written to the old primary by a host that knows no other", 1);

    // A writer ends a transaction with `COMMIT`, or commits with one statement.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE query LIKE 'COMMIT%' OR query LIKE 'WITH locked%' LIMIT 1";
    group.other().wait_until(cut, "t").unwrap();
    report.fired("one connection cut", 1);
    group
        .primary()
        .wait_until(&format!("SELECT count(*) > {before} FROM throughline.messages"), "t")
        .unwrap();
    hosts.answers(50).await;
    let old = group.other().run("postgres", MESSAGES).unwrap();
    hosts.answers(50).await;
    assert_eq!(group.other().run("postgres", MESSAGES).unwrap(), old, "written to the old primary");
    let added = db.thread("read").add(NewMessage::user("x")).await.unwrap().message.id;
    assert!(db.thread("read").get(added).await.unwrap().is_some(), "read from the old primary");

    let standby = options().open(&group.asynchronous().url("postgres")).await.unwrap_err();
    assert!(matches!(standby, OpenError::NoPrimary), "{standby}");

    hosts.stop().await;
    let checked = hosts.check(&db).await;
    let others: Vec<_> = checked.faults.iter().filter(|fault| !fault.contains("is Absent")).collect();
    assert_eq!(others, [""; 0]);
    report.fired("lost with the old primary", checked.faults.len() as u64);
    report.count("acknowledged", checked.acknowledged);
    report.count("messages", checked.messages);
    report.finish();
    db.close().await.unwrap();
}
