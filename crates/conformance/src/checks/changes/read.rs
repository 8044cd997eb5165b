//! Positions and pages of changes.

use throughline_core::{
    ErrorKind, Persistence, Position, Timestamp,
    changes::{Change, ChangeScope, Changes, ReadChanges},
    messages::{Batch, PageFrom},
    threads::ListThreads,
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{changes_after, everything, id, ids, listed, names, position, refused, said, thread_id},
};

checks! {
    Extended "changes.position_equals_the_writers_receipt" [Add Delete Read; changes] "the position of a change equals the position in the receipt of its write" => positions;
    Extended "changes.reads_resume_at_any_position" [Add Delete Read; changes] "reads from any earlier position return the same later changes" => resume;
    Extended "changes.answer_reports_position_and_more" [Add Read; changes] "an answer reports the position it has read to and whether more changes exist" => more;
    Extended "changes.read_after_a_future_position_is_too_old" [Add Delete Read; changes] "a read after a position that the store has not reached fails as `TooOld`" => future_position;
    Extended "changes.page_position_joins_the_changes" [Add Delete Read; changes] "a page of messages plus the changes after its position contains every write once" => page;
    Extended "changes.list_position_joins_the_changes" [Add Thread Read; changes] "a list of threads plus the changes after its position contains every write once" => list;
    Extended "changes.page_read_during_writes_joins_the_changes" [Add Read; changes threads] "a page that is read during concurrent writes joins the changes after its position" => at_once;
    Extended "changes.order_is_commit_order_when_the_clock_jumps_back" [Add Read; changes] "changes keep commit order when the clock jumps back" => clock_jumps_back;
    Extended "changes.survive_reopening" [Add Delete Batch Read; durable changes] "changes and their positions are unchanged after the store is reopened" => reopened;
    Extended "changes.limit_is_from_1_to_1000" [Read; changes] "a read of changes accepts a limit from 1 to 1000 and refuses others" => limit,
        core alone: "the pipeline refuses another limit before a store is asked";
}

/// Ten additions and a deletion over two threads.
async fn eleven(db: &Persistence) -> Vec<Position> {
    let mut positions = Vec::new();
    for number in 0..10 {
        let thread = db.thread(["t", "u"][number % 2]);
        let add = thread.add(said(&format!("m{number}"), "x"));
        positions.push(position(&add.reply().await.unwrap()));
    }
    positions.push(position(&db.thread("t").delete(id("m0")).reply().await.unwrap()));
    positions
}

fn at(changes: &[Change]) -> Vec<Position> {
    changes.iter().map(|change| change.position).collect()
}

async fn positions(rig: Rig) {
    let db = rig.db().await;
    let answered = eleven(&db).await;
    let changes = changes_after(&db, ChangeScope::Tenant, Position::ZERO).await;
    assert_eq!(at(&changes), answered);
    assert!(answered.is_sorted_by(|a, b| a < b), "{answered:?}");
    let next = position(&db.thread("t").add(said("next", "x")).reply().await.unwrap());
    assert_eq!(at(&changes_after(&db, ChangeScope::Tenant, answered[10]).await), [next]);
}

async fn resume(rig: Rig) {
    let db = rig.db().await;
    let answered = eleven(&db).await;
    for scope in [ChangeScope::Tenant, ChangeScope::Store, ChangeScope::Thread(thread_id("t"))] {
        let all = changes_after(&db, scope.clone(), Position::ZERO).await;
        for after in answered.iter().copied().chain([Position::ZERO]) {
            let due: Vec<Change> = all.iter().filter(|change| change.position > after).cloned().collect();
            assert_eq!(changes_after(&db, scope.clone(), after).await, due, "{scope:?} after {after}");
        }
    }
}

async fn read(db: &Persistence, scope: ChangeScope, after: Position, limit: u32) -> Changes {
    db.read(ReadChanges::new(scope, after, limit)).await.expect("changes")
}

async fn more(rig: Rig) {
    let db = rig.db().await;
    let answered = eleven(&db).await;
    let last = answered[10];
    for limit in 1..=12 {
        let (mut seen, mut after) = (Vec::new(), Position::ZERO);
        loop {
            let Changes { changes, position, more } = read(&db, ChangeScope::Tenant, after, limit).await;
            assert!(changes.len() <= limit as usize && position >= after, "{limit} after {after}");
            assert!(changes.iter().all(|change| after < change.position && change.position <= position));
            // The next page contains only changes that no earlier page had.
            assert!(!more || position > after, "no way on after {after}");
            seen.extend(at(&changes));
            after = position;
            if !more {
                break;
            }
        }
        assert_eq!(seen, answered, "{limit} at once");
        assert!(after >= last);
    }
    // At the end, and for a thread of which there is nothing, it is known how far was read.
    let end = read(&db, ChangeScope::Tenant, last, 10).await;
    assert_eq!((end.changes, end.more, end.position >= last), (vec![], false, true));
    let nothing = changes_after(&db, ChangeScope::Thread(thread_id("v")), Position::ZERO).await;
    assert_eq!(nothing, []);
}

/// A store that has lost commits, or was put back from a backup, is asked for what follows a position that it has never given.
async fn future_position(rig: Rig) {
    let db = rig.db().await;
    let last = *eleven(&db).await.last().unwrap();
    for scope in [ChangeScope::Tenant, ChangeScope::Store, ChangeScope::Thread(thread_id("t"))] {
        let end = read(&db, scope.clone(), last, 10).await;
        assert_eq!((end.changes, end.position), (vec![], last), "{scope:?}");
        for beyond in [last.get() + 1, last.get() + 1000, u64::MAX] {
            let asked = db.read(ReadChanges::new(scope.clone(), Position::new(beyond), 10)).await;
            let error = asked.expect_err("a position that was never given");
            assert_eq!(error.kind(), ErrorKind::TooOld, "{scope:?} after {beyond}: {error}");
        }
    }
    // The feed says it too, and stays where it is.
    let mut feed = db.changes(ChangeScope::Tenant, Position::new(last.get() + 1));
    assert_eq!(feed.next_now().await.unwrap_err().kind(), ErrorKind::TooOld);
    let next = position(&db.thread("t").add(said("next", "x")).reply().await.unwrap());
    assert_eq!(at(&changes_after(&db, ChangeScope::Tenant, last).await), [next]);
}

async fn page(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for number in 0..6 {
        thread.add(said(&format!("m{number}"), "x")).await.unwrap();
        db.thread("u").add(said(&format!("m{number}"), "x")).await.unwrap();
        let page = thread.page(PageFrom::Start, 100).await.unwrap();
        assert_eq!(page.messages.len(), number + 1);
        // The page has all up to its position, and nothing after it.
        let scope = || ChangeScope::Thread(thread_id("t"));
        let all = changes_after(&db, scope(), Position::ZERO).await;
        assert!(all.iter().all(|change| change.position <= page.position), "{all:?} {}", page.position);
        assert_eq!(changes_after(&db, scope(), page.position).await, []);
        let next = position(&thread.add(said(&format!("x{number}"), "x")).reply().await.unwrap());
        assert_eq!(at(&changes_after(&db, scope(), page.position).await), [next]);
        thread.delete(id(&format!("x{number}"))).await.unwrap();
    }
}

async fn list(rig: Rig) {
    let db = rig.db().await;
    for number in 0..4 {
        let name = format!("t{number}");
        db.thread(name.as_str()).add(said("m", "x")).await.unwrap();
        let list = db.threads(ListThreads::new(100)).await.unwrap();
        assert_eq!(list.threads.len(), number + 1);
        assert_eq!(changes_after(&db, ChangeScope::Tenant, list.position).await, []);
        let next = position(&db.thread("t0").add(said(&name, "x")).reply().await.unwrap());
        assert_eq!(at(&changes_after(&db, ChangeScope::Tenant, list.position).await), [next]);
    }
    assert_eq!(names(&listed(&db, ListThreads::new(100)).await).len(), 4);
}

async fn at_once(rig: Rig) {
    const MESSAGES: usize = 60;
    let db = rig.db().await;
    // Where a page falls between two writes is chance: several threads give it several.
    for name in ["t", "u", "v", "w"] {
        let thread = db.thread(name);
        let writer = {
            let thread = thread.clone();
            tokio::spawn(async move {
                for number in 0..MESSAGES {
                    thread.add(said(&format!("m{number}"), "x")).await.expect("it is added");
                }
            })
        };
        let mut joins = Vec::new();
        // One at least, also where the writer is through before this task has its turn.
        loop {
            let is_last = writer.is_finished();
            let page = thread.page(PageFrom::Start, 100).await.expect("a page");
            joins.push((ids(&page.messages).join(" "), page.position));
            if is_last {
                break;
            }
        }
        writer.await.expect("no panic");
        let all = ids(&everything(&thread).await).join(" ");
        for (shown, position) in joins {
            let rest = changes_after(&db, ChangeScope::Thread(thread_id(name)), position).await;
            let rest =
                rest.iter().filter_map(|change| change.kind.message()).map(|message| message.id.as_str());
            let joined: Vec<&str> = shown.split_whitespace().chain(rest).collect();
            assert_eq!(joined.join(" "), all, "a page at {position}");
        }
    }
}

async fn clock_jumps_back(rig: Rig) {
    let db = rig.db().await;
    let times = [50, 10, 30, 10];
    for (number, time) in times.into_iter().enumerate() {
        rig.clock.set(Timestamp::from_micros(time));
        db.thread("t").add(said(&format!("m{number}"), "x")).await.unwrap();
    }
    let changes = changes_after(&db, ChangeScope::Tenant, Position::ZERO).await;
    let read: Vec<_> = changes
        .iter()
        .map(|change| (change.at.as_micros(), change.kind.message().expect("of a message").id.to_string()))
        .collect();
    let due: Vec<_> = times.into_iter().enumerate().map(|(number, at)| (at, format!("m{number}"))).collect();
    assert_eq!(read, due);
}

async fn reopened(rig: Rig) {
    let db = rig.db().await;
    let answered = eleven(&db).await;
    let add = |name: &str| throughline_core::messages::Add::new(thread_id("t"), said(name, "x"));
    let batch = ["x", "y", "z"].into_iter().map(add).fold(Batch::new(), Batch::with);
    db.batch(batch).await.unwrap();
    let before = changes_after(&db, ChangeScope::Store, Position::ZERO).await;
    assert_eq!(before.len(), 14);
    let db = rig.reopen(db).await;
    assert_eq!(changes_after(&db, ChangeScope::Store, Position::ZERO).await, before);
    assert_eq!(changes_after(&db, ChangeScope::Store, answered[5]).await, before[6..]);
    let next = position(&db.thread("t").add(said("next", "x")).reply().await.unwrap());
    assert!(next > before[13].position);
    assert_eq!(at(&changes_after(&db, ChangeScope::Store, before[13].position).await), [next]);
}

async fn limit(rig: Rig) {
    let db = rig.db().await;
    for limit in [0, 1001, u32::MAX] {
        let read = ReadChanges::new(ChangeScope::Tenant, Position::ZERO, limit);
        refused(db.read(read).await, ErrorKind::Invalid);
    }
    assert_eq!(read(&db, ChangeScope::Tenant, Position::ZERO, 1000).await.changes, []);
}
