//! The cursor and the quarantine of a consumer.

use throughline_core::{
    ErrorKind, Persistence, Position,
    changes::{GetCursor, ListQuarantined, MoveCursor, QuarantineChange, ReleaseChange, ResetCursor},
    ids::ConsumerName,
    replication::GetReplicationStatus,
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{refused, thread_id},
};

checks! {
    Extended "consumers.cursor_never_moves_back" [Consumer Read] "a cursor moves forward from its expected position and never moves back" => cursor;
    Extended "consumers.reset_sets_the_cursor_anywhere" [Consumer Read] "a reset moves a cursor to any position and releases the quarantined changes after it" => reset;
    Extended "consumers.quarantine_lists_skipped_changes" [Consumer Read] "the quarantine lists skipped changes by position with their reasons, page by page, until they are released" => quarantine;
    Extended "consumers.quarantine_holds_1000_changes" [Consumer Read] "the quarantine of a consumer holds 1000 changes and refuses more until one is released" => full;
    Extended "consumers.state_is_separate_per_consumer_and_tenant" [Consumer Read] "each consumer of each tenant has its own cursor and quarantine" => separate;
    Extended "consumers.names_are_case_sensitive" [Consumer Read] "two consumer names that differ only in case belong to two consumers" => case;
    Extended "consumers.refused_move_creates_no_consumer" [Consumer Replica Read] "a refused cursor move or a release for an unknown consumer creates no consumer" => refused_move;
    Extended "consumers.state_survives_reopening" [Consumer Read; durable] "cursors and quarantines are unchanged after the store is reopened" => reopened;
}

fn name(text: &str) -> ConsumerName {
    text.parse().expect("a valid name")
}

const fn at(position: u64) -> Position {
    Position::new(position)
}

async fn state(db: &Persistence, consumer: &str) -> (u64, u64) {
    let cursor = db.read(GetCursor { consumer: name(consumer) }).await.expect("a read");
    assert_eq!(cursor.consumer, name(consumer));
    (cursor.position.get(), cursor.quarantined)
}

async fn skip(db: &Persistence, consumer: &str, position: u64, why: &str) {
    let change = QuarantineChange {
        consumer: name(consumer),
        position: at(position),
        thread: thread_id("t"),
        why: why.into(),
    };
    db.on_consumer(change).await.expect("the change is recorded");
}

async fn listed(db: &Persistence, consumer: &str) -> Vec<(u64, String)> {
    let (mut listed, mut after) = (Vec::new(), Position::ZERO);
    loop {
        let page = db
            .read(ListQuarantined { after, ..ListQuarantined::new(name(consumer), 2) })
            .await
            .expect("a list");
        let Some(last) = page.changes.last() else { return listed };
        assert!(page.changes.len() <= 2);
        after = last.position;
        listed.extend(page.changes.into_iter().map(|change| (change.position.get(), change.why)));
    }
}

async fn refused_move(rig: Rig) {
    let db = rig.db().await;
    let moved = MoveCursor::new(name("a"), at(9)).expecting(at(7));
    refused(db.on_consumer(moved).await, ErrorKind::Stale);
    let release = ReleaseChange { consumer: name("a"), position: at(3) };
    assert!(!db.on_consumer(release).await.expect("nothing is released").was_listed);
    assert!(db.read(GetReplicationStatus {}).await.expect("a read").is_empty);
}

async fn cursor(rig: Rig) {
    let db = rig.db().await;
    assert_eq!(state(&db, "index").await, (0, 0));
    let moved = |to, expected: Option<u64>| {
        db.on_consumer(MoveCursor { consumer: name("index"), to: at(to), expected: expected.map(at) })
    };
    assert_eq!(moved(5, Some(0)).await.unwrap().position, at(5));
    for (to, expected) in [(9, Some(0)), (9, Some(4)), (4, None), (4, Some(5))] {
        refused(moved(to, expected).await, ErrorKind::Stale);
        assert_eq!(state(&db, "index").await, (5, 0));
    }
    // A repeated call succeeds, because the cursor is already there.
    assert_eq!(moved(5, Some(0)).await.unwrap().position, at(5));
    assert_eq!(moved(9, Some(5)).await.unwrap().position, at(9));
    assert_eq!(moved(12, None).await.unwrap().position, at(12));
    assert_eq!(state(&db, "index").await, (12, 0));
}

async fn reset(rig: Rig) {
    let db = rig.db().await;
    db.on_consumer(MoveCursor::new(name("index"), at(9))).await.unwrap();
    for position in [3, 4, 5] {
        skip(&db, "index", position, "broken").await;
    }
    let answer = db.on_consumer(ResetCursor::new(name("index"), at(4))).await.unwrap();
    assert_eq!(answer.position, at(4));
    assert_eq!(state(&db, "index").await, (4, 2));
    assert_eq!(listed(&db, "index").await.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [3, 4]);
    // A reset can also move forward, past every change.
    db.on_consumer(ResetCursor::new(name("index"), at(u64::MAX >> 1))).await.unwrap();
    assert_eq!(state(&db, "index").await, (u64::MAX >> 1, 2));
}

async fn quarantine(rig: Rig) {
    let db = rig.db().await;
    for position in [7, 3, 5, 9, 1] {
        skip(&db, "index", position, &format!("why {position}")).await;
    }
    skip(&db, "index", 5, "another \u{0} reason").await;
    let why = |at: u64| if at == 5 { "another \u{0} reason".to_owned() } else { format!("why {at}") };
    assert_eq!(listed(&db, "index").await, [1, 3, 5, 7, 9].map(|at| (at, why(at))));
    assert_eq!(state(&db, "index").await, (0, 5));
    let release =
        |position| db.on_consumer(ReleaseChange { consumer: name("index"), position: at(position) });
    assert!(release(3).await.unwrap().was_listed && !release(3).await.unwrap().was_listed);
    assert_eq!(listed(&db, "index").await, [1, 5, 7, 9].map(|at| (at, why(at))));
    assert_eq!(state(&db, "index").await, (0, 4));
}

async fn full(rig: Rig) {
    let db = rig.db().await;
    let change = |consumer: &str, position| {
        QuarantineChange::new(name(consumer), at(position), thread_id("t"), "broken")
    };
    let most = QuarantineChange::MAX_CHANGES;
    // At the same time, so that few commits hold them.
    let call = |position| tokio::spawn(db.on_consumer(change("index", position)).into_future());
    let calls: Vec<_> = (1..=most + 20).map(call).collect();
    let mut kept = 0;
    for call in calls {
        match call.await.expect("the call ends") {
            Ok(_) => kept += 1,
            over => drop(refused(over, ErrorKind::TooLarge)),
        }
    }
    assert_eq!(kept, most);
    assert_eq!(state(&db, "index").await, (0, most));
    let first = listed_from(&db, "index", Position::ZERO).await;
    // A reason is replaced; another change is refused; another consumer has its own quarantine.
    skip(&db, "index", first, "another reason").await;
    refused(db.on_consumer(change("index", most + 21)).await, ErrorKind::TooLarge);
    skip(&db, "mirror", most + 21, "broken").await;
    let release = ReleaseChange { consumer: name("index"), position: at(first) };
    assert!(db.on_consumer(release).await.unwrap().was_listed);
    skip(&db, "index", most + 21, "broken").await;
    refused(db.on_consumer(change("index", most + 22)).await, ErrorKind::TooLarge);
    assert_eq!(state(&db, "index").await, (0, most));
    db.on_consumer(ResetCursor::new(name("index"), at(first))).await.unwrap();
    skip(&db, "index", most + 22, "broken").await;
    assert_eq!(state(&db, "index").await, (first, 1));
}

/// The position of the first quarantined change after a position.
async fn listed_from(db: &Persistence, consumer: &str, after: Position) -> u64 {
    let list = ListQuarantined { after, ..ListQuarantined::new(name(consumer), 1) };
    db.read(list).await.expect("a list").changes[0].position.get()
}

async fn separate(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    db.on_consumer(MoveCursor::new(name("index"), at(3))).await.unwrap();
    skip(&db, "index", 2, "x").await;
    assert_eq!((state(&db, "mirror").await, state(&other, "index").await), ((0, 0), (0, 0)));
    other.on_consumer(MoveCursor::new(name("index"), at(7))).await.unwrap();
    db.on_consumer(ResetCursor::new(name("mirror"), Position::ZERO)).await.unwrap();
    assert_eq!((state(&db, "index").await, state(&other, "index").await), ((3, 1), (7, 0)));
    assert!(listed(&other, "index").await.is_empty() && listed(&db, "mirror").await.is_empty());
}

async fn case(rig: Rig) {
    let db = rig.db().await;
    db.on_consumer(MoveCursor::new(name("index"), at(3))).await.unwrap();
    db.on_consumer(MoveCursor::new(name("Index"), at(5))).await.unwrap();
    assert_eq!((state(&db, "index").await, state(&db, "Index").await), ((3, 0), (5, 0)));
}

async fn reopened(rig: Rig) {
    let db = rig.db().await;
    db.on_consumer(MoveCursor::new(name("index"), at(3))).await.unwrap();
    skip(&db, "index", 2, "x").await;
    let db = rig.reopen(db).await;
    assert_eq!(state(&db, "index").await, (3, 1));
    assert_eq!(listed(&db, "index").await, [(2, "x".to_owned())]);
}
