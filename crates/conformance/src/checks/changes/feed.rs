//! `ChangeFeed`.

use std::time::Duration;

use throughline_core::{
    ErrorKind, Position,
    changes::{ChangeFeed, ChangeKind, ChangeScope, CommitNotifications},
};
use tokio::time::timeout;

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, position, said},
    timers::{advance_timers, on_other_runtime},
};

checks! {
    Extended "changes.feed_yields_each_change_once" [Add Delete Read; changes] "a change feed yields every change once, in order, with the position to resume from" => feed;
    Extended "changes.waiting_feed_wakes_on_a_write" [Add Read; changes] "a waiting change feed wakes when another handle writes" => woken;
    Extended "changes.commit_notification_wakes_every_subscriber" [Add Delete Read; changes] "a write wakes every subscription to commit notifications, with its position or a later one" => notified;
    Extended "changes.feed_is_complete_under_concurrent_writes" [Add Read; changes threads] "a change feed yields every change once while many writers write" => many;
}

fn name(change: &throughline_core::changes::Change) -> String {
    let message = change.kind.message().expect("of a message");
    format!("{} {}", change.thread, message.id)
}

async fn all_now(feed: &mut ChangeFeed) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(change) = feed.next_now().await.expect("changes") {
        assert!(feed.position() >= change.position, "{} at {}", change.position, feed.position());
        seen.push(name(&change));
    }
    seen
}

async fn feed(rig: Rig) {
    let db = rig.db().await;
    let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
    assert_eq!(feed.next_now().await.unwrap(), None);
    // More than it reads at once.
    for number in 0..300 {
        db.thread(["t", "u"][number % 2]).add(said(&format!("m{number}"), "x")).await.unwrap();
    }
    let due: Vec<String> = (0..300).map(|number| format!("{} m{number}", ["t", "u"][number % 2])).collect();
    let mut begun = Vec::new();
    for _ in 0..7 {
        begun.push(name(&feed.next().await.unwrap()));
    }
    // Another one goes on where this one is, without a gap and without a repetition.
    let mut other = db.changes(ChangeScope::Tenant, feed.position());
    begun.extend(all_now(&mut other).await);
    assert_eq!(begun, due);
    assert_eq!(all_now(&mut feed).await, due[7..]);
    let mut one = db.thread("u").changes(Position::ZERO).unwrap();
    assert_eq!(all_now(&mut one).await.len(), 150);
    db.thread("t").delete(id("m0")).await.unwrap();
    assert_eq!(one.next_now().await.unwrap(), None);
    let change = feed.next().await.unwrap();
    assert!(matches!(change.kind, ChangeKind::Deleted(_)), "{change:?}");
    assert_eq!(feed.position(), change.position);
    // At the end everything up to the last commit is known.
    assert_eq!(feed.next_now().await.unwrap(), None);
    let last = position(&db.thread("t").add(said("last", "x")).reply().await.unwrap());
    assert!(feed.position() < last);
    let unusable = db.thread("").changes(Position::ZERO).unwrap_err();
    assert_eq!(unusable.kind(), ErrorKind::Invalid);
}

async fn woken(rig: Rig) {
    let db = rig.db().await;
    db.thread("t").add(said("before", "x")).await.unwrap();
    let (tx, mut rx) = tokio::sync::mpsc::channel(8);
    let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
    let replica = tokio::spawn(async move {
        while let Ok(change) = feed.next().await {
            if tx.send(name(&change)).await.is_err() {
                break;
            }
        }
    });
    assert_eq!(rx.recv().await.as_deref(), Some("t before"));
    let writer = {
        let db = db.clone();
        tokio::spawn(async move { db.thread("t").add(said("after", "x")).await })
    };
    writer.await.expect("no panic").expect("it is added");
    // Without a commit notification a feed polls: the test advances its timers.
    let mut emitted = None;
    for _ in 0..20 {
        advance_timers(Duration::from_secs(5)).await;
        emitted = rx.try_recv().ok();
        if emitted.is_some() {
            break;
        }
        let thread = db.thread("t");
        drop(on_other_runtime(async move { thread.get(id("after")).await }).await);
    }
    if emitted.is_none() {
        // Only the time of one read remains. The timeout ends only a hang.
        emitted = timeout(Duration::from_secs(10), rx.recv()).await.expect("it is not woken");
    }
    assert_eq!(emitted.as_deref(), Some("t after"));
    replica.abort();
}

/// The longest time until a notification; it comes in microseconds, or through a connection in milliseconds.
const NOTIFIED_WITHIN: Duration = Duration::from_secs(20);

/// Waits until the subscriber is woken by a notification of this position or a later one.
async fn is_woken(case: &str, commits: &mut CommitNotifications, due: Position) {
    let mut last = None;
    let waits = async {
        while last.is_none_or(|last| last < due) {
            last = commits.changed().await;
            assert!(last.is_some(), "{case}: the notifier is gone, and the store is open");
        }
    };
    let in_time = timeout(NOTIFIED_WITHIN, waits).await.is_ok();
    assert!(in_time, "{case}: no notification of position {due} came within {NOTIFIED_WITHIN:?}");
}

async fn notified(rig: Rig) {
    let db = rig.db().await;
    let (Some(mut one), Some(mut other)) = (db.commit_notifications(), db.commit_notifications()) else {
        return;
    };
    let thread = db.thread("t");
    let first = position(&thread.add(said("m1", "x")).reply().await.unwrap());
    is_woken("an addition", &mut one, first).await;
    let second = position(&thread.add(said("m2", "x")).reply().await.unwrap());
    is_woken("a second addition", &mut one, second).await;
    is_woken("a second addition, by another subscription", &mut other, second).await;
    let far = db.for_tenant("other".parse().expect("a valid id")).thread("t");
    let of_another_tenant = position(&far.add(said("m1", "x")).reply().await.unwrap());
    is_woken("an addition of another tenant", &mut one, of_another_tenant).await;
    let deleted = position(&thread.delete(id("m1")).reply().await.unwrap());
    is_woken("a deletion", &mut one, deleted).await;
    is_woken("a deletion, by another subscription", &mut other, deleted).await;
}

async fn many(rig: Rig) {
    const WRITERS: usize = 6;
    const EACH: usize = 20;
    let db = rig.db().await;
    let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let thread = db.thread(format!("{writer}"));
            tokio::spawn(async move {
                for number in 0..EACH {
                    thread.add(said(&format!("m{number}"), "x")).await.expect("it is added");
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    let mut last = Position::ZERO;
    while seen.len() < WRITERS * EACH {
        let change =
            timeout(Duration::from_secs(20), feed.next()).await.expect("a change is missing").unwrap();
        assert!(change.position > last, "{} after {last}", change.position);
        last = change.position;
        seen.push(name(&change));
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert_eq!(feed.next_now().await.unwrap(), None);
    for writer in 0..WRITERS {
        let of = format!("{writer} ");
        let due: Vec<String> = (0..EACH).map(|number| format!("{writer} m{number}")).collect();
        assert_eq!(seen.iter().filter(|name| name.starts_with(&of)).cloned().collect::<Vec<_>>(), due);
    }
}
