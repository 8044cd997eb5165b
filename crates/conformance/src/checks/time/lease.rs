//! Leases, renewals and the recovery of expired drafts.

use std::time::Duration;

use throughline_core::{
    ErrorKind, Lease, Message, MessageState, NewReservation, Persistence, Revision, Role,
    messages::{ContentChange, Reserve, UpdateContent, UpdateMode},
};

use crate::{
    check::checks,
    clock::ManualClock,
    rig::Rig,
    shorthand::{append, id, refused, the},
};

checks! {
    Core "drafts.empty_partial_renews_the_lease" [Reserve UpdateContent Read] "an empty partial update renews the lease and changes neither state nor revision" => renewal;
    Core "drafts.every_partial_renews_the_lease" [Reserve UpdateContent Read] "every partial update renews the lease for its reserved duration" => partial;
    Core "drafts.clock_jump_never_shortens_a_lease" [Reserve UpdateContent Read] "a clock that jumps back shortens no lease" => never_shorter;
    Core "drafts.recovery_never_touches_a_live_writer" ("VL-S14") [Reserve UpdateContent Read] "the recovery of expired drafts never changes a message whose lease is valid" => live;
    Core "drafts.recovery_settles_an_expired_draft_once" ("VL-S14") [Reserve UpdateContent Read] "recovery settles an expired draft once, with its committed content" => recovery;
    Core "drafts.concurrent_recovery_settles_each_draft_once" ("VL-S14") [Reserve UpdateContent Read; threads] "two concurrent recovery tasks settle each message once" => concurrent_recoveries;
    Core "drafts.late_writer_is_refused_after_recovery" ("VL-S14") [Reserve UpdateContent Read] "a writer that returns after recovery is refused, and one that returns in time continues" => late_writer;
}

const LEASE: Duration = Duration::from_secs(10);

async fn reserve(db: &Persistence, name: &str) -> Message {
    let reservation = NewReservation::new(Role::Assistant).with_id(id(name)).with_lease(LEASE);
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap().message
}

fn until(moment: throughline_core::Timestamp) -> Option<Lease> {
    Some(Lease { duration: LEASE, expires_at: moment })
}

async fn renewal(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let reserved = reserve(&db, "m").await;
    for streaming in [false, true] {
        let before = if streaming {
            thread.update_content(id("m"), append("x"), UpdateMode::Partial).await.unwrap();
            the(&thread, "m").await
        } else {
            reserved.clone()
        };
        let now = rig.clock.advance(Duration::from_secs(4));
        let renewed =
            thread.update_content(id("m"), ContentChange::none(), UpdateMode::Partial).await.unwrap();
        assert_eq!((renewed.state, renewed.revision), (before.state, before.revision));
        let after = the(&thread, "m").await;
        assert_eq!(after.lease, until(now.plus(LEASE)));
        // The content is unchanged. A store can count a heartbeat as a change or not.
        assert_eq!(after, Message { lease: after.lease, updated_at: after.updated_at, ..before });
    }
}

async fn partial(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    reserve(&db, "m").await;
    for _ in 0..3 {
        let now = rig.clock.advance(Duration::from_secs(9));
        thread.update_content(id("m"), append("x"), UpdateMode::Partial).await.unwrap();
        assert_eq!(the(&thread, "m").await.lease, until(now.plus(LEASE)));
    }
}

async fn never_shorter(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    reserve(&db, "m").await;
    let now = rig.clock.go_back(Duration::from_secs(3600));
    thread.update_content(id("m"), append("x"), UpdateMode::Partial).await.unwrap();
    assert_eq!(the(&thread, "m").await.lease, until(ManualClock::START.plus(LEASE)));
    // Nor does it make one live for ever: the lease ends when it was to end.
    assert!(now < ManualClock::START);
    rig.clock.set(ManualClock::START.plus(LEASE));
    assert_eq!(db.recover_expired_drafts("gone").await.unwrap().abandoned.len(), 1);
}

/// The update by which the recovery of expired drafts settles one message.
fn settle(message: &Message) -> UpdateContent {
    let mode = UpdateMode::Abandon { reason: Some("recovered".to_owned()) };
    UpdateContent::new(message.thread.clone(), message.id.clone(), ContentChange::none(), mode)
        .expecting(message.revision)
        .only_if_expired()
}

async fn live(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let before = reserve(&db, "m").await;
    rig.clock.advance(LEASE - Duration::from_micros(1));
    refused(db.run(settle(&before)).await, ErrorKind::Conflict);
    let recovered = db.recover_expired_drafts("gone").await.unwrap();
    assert!(recovered.abandoned.is_empty() && recovered.failed.is_empty(), "{recovered:?}");
    assert_eq!(the(&thread, "m").await, before);
    // A moment later it is not alive any more.
    rig.clock.advance(Duration::from_micros(1));
    db.run(settle(&before)).await.expect("the lease has ended");
}

async fn recovery(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["reserved", "streaming", "finished", "renewed"] {
        reserve(&db, name).await;
    }
    thread.update_content(id("streaming"), append("so far"), UpdateMode::Partial).await.unwrap();
    thread.update_content(id("finished"), append("done"), UpdateMode::Final).await.unwrap();
    rig.clock.advance(LEASE / 2);
    thread.update_content(id("renewed"), append("alive"), UpdateMode::Partial).await.unwrap();
    let before = the(&thread, "streaming").await;
    let now = rig.clock.advance(LEASE / 2);
    let recovered = db.recover_expired_drafts("its writer is gone").await.unwrap();
    let abandoned: Vec<_> = recovered.abandoned.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!((abandoned, recovered.failed.len()), (vec!["reserved", "streaming"], 0));
    let expected = Message {
        state: MessageState::Abandoned,
        revision: before.revision.next(),
        abandon_reason: Some("its writer is gone".to_owned()),
        lease: None,
        updated_at: now,
        ..before
    };
    assert_eq!(the(&thread, "streaming").await, expected);
    assert_eq!(the(&thread, "finished").await.state, MessageState::Final);
    assert_eq!(the(&thread, "renewed").await.state, MessageState::Streaming);
    // A settled message stays settled: the next recovery finds no expired draft.
    let again = db.recover_expired_drafts("again").await.unwrap();
    assert!(again.abandoned.is_empty() && again.failed.is_empty(), "{again:?}");
    assert_eq!(the(&thread, "streaming").await, expected);
}

async fn concurrent_recoveries(rig: Rig) {
    const MESSAGES: usize = 24;
    let db = rig.db().await;
    for number in 0..MESSAGES {
        reserve(&db, &format!("m{number}")).await;
    }
    rig.clock.advance(LEASE);
    let recoveries = [db.clone(), db.clone(), db.clone()];
    let recoveries = recoveries
        .map(|db| tokio::spawn(async move { db.recover_expired_drafts("recovered").await.unwrap() }));
    let mut abandoned = Vec::new();
    for recovery in recoveries {
        let recovered = recovery.await.expect("a recovery");
        assert!(recovered.failed.is_empty(), "{:?}", recovered.failed);
        abandoned.extend(recovered.abandoned.into_iter().map(|(_, id)| id));
    }
    abandoned.sort();
    let count = abandoned.len();
    abandoned.dedup();
    assert_eq!((count, abandoned.len()), (MESSAGES, MESSAGES));
    for name in abandoned {
        let read = the(&db.thread("t"), name.as_str()).await;
        assert_eq!((read.state, read.revision), (MessageState::Abandoned, Revision::new(2)));
    }
}

async fn late_writer(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    reserve(&db, "late").await;
    let in_time = reserve(&db, "in-time").await;
    rig.clock.advance(LEASE);
    // The lease has expired, but no recovery has run: the writer can still write.
    thread
        .update_content(id("in-time"), append("x"), UpdateMode::Partial)
        .await
        .expect("no recovery came first");
    refused(db.run(settle(&in_time)).await, ErrorKind::Stale);
    let recovered = db.recover_expired_drafts("gone").await.unwrap().abandoned;
    assert_eq!(recovered.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), ["late"]);
    let late = thread.update_content(id("late"), append("x"), UpdateMode::Partial);
    refused(late.await, ErrorKind::Stale);
    thread.update_content(id("in-time"), append("y"), UpdateMode::Final).await.expect("it goes on");
}
