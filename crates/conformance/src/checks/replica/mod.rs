//! Exact copies of a store.

mod filled;
pub(super) mod finds;
pub(super) mod log;

use std::time::Duration;

use throughline_core::{
    Backend as _, Content, Delta, Durability, ErrorKind, PersistError, Persistence, Position, Result,
    Revision,
    changes::MoveCursor,
    messages::{ContentChange, UpdateMode},
    replication::{
        ApplyImages, BeginCapture, EndCapture, Epoch, GetReplicationStatus, ImageCursor, ImagesApplied,
        ReadImages, ReplicationRole, ReplicationState, SetReplicationState,
    },
    threads::PurgeThread,
};

use self::filled::{fill, look};
use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, new_thread, refused, said, the, thread_id},
};

checks! {
    Extended "replication.copy_is_exact" [Replica Add Reserve UpdateContent Update Delete Import Thread Session Consumer Read; keys changes] "a replica holds every row of every tenant as the primary holds it" => exact;
    Extended "replication.later_changes_are_copied" [Replica Add Reserve UpdateContent Update Delete Import Thread Session Consumer Read; keys changes] "a replica receives the changes after its snapshot and nothing else" => later_changes;
    Extended "replication.promoted_replica_accepts_writes" [Replica Add Reserve UpdateContent Delete Thread Read; keys changes] "a promoted replica accepts writes and continues sequence numbers and positions of the former primary" => goes_on;
    Extended "replication.reused_ids_go_on_after_a_promotion" [Replica Add UpdateContent Delete Thread Read; keys changes] "a replica follows ids that are used again, and after its promotion their revisions go on" => reused;
    Extended "replication.store_key_is_copied" [Replica Add Read; keys changes] "a replica takes over the primary's store key and recognizes repeated calls after its promotion" => store_key;
    Extended "replication.images_are_applied_once_and_in_order" [Replica Add Read; changes] "a replica applies each row image once, in order, and reports its cursor" => once;
    Extended "replication.replica_refuses_writes" [Replica Add Consumer Session Read; changes] "a replica answers reads and refuses other writes until its promotion" => refuses;
    Extended "replication.role_changes_from_the_expected_state_only" [Replica Read] "the replication state changes only from the expected state, and an epoch is never reused" => replication_state;
    Extended "replication.replica_starts_empty_or_equal" [Replica Add Read; changes] "a store with other data refuses row images, and an equal store follows without a new copy" => empty;
    Extended "replication.cursor_of_an_ended_capture_is_too_old" [Replica Add Read; changes] "a read at the cursor of an ended capture fails as `TooOld`" => capture;
    Extended "replication.image_reads_are_bounded_and_current" [Replica Add Read; changes] "a read of row images respects its limit and is at least as new as its changes" => pages;
}

/// A store under a secret of its host: a store that is copied by hand has a key that the other one has not.
async fn opened(rig: &Rig) -> Persistence {
    let builder = rig.builder().fingerprint_secret(b"of the host");
    builder.backend(rig.open().await).build().expect("an empty stack builds")
}

/// The other store, which follows in the first epoch.
async fn replica(rig: &Rig) -> Persistence {
    let copy = opened(&rig.sibling("copy")).await;
    demote(&copy).await.expect("the copy becomes a replica");
    copy
}

async fn demote(db: &Persistence) -> Result<ReplicationState> {
    let replication_state = db.read(GetReplicationStatus {}).await?.replication_state;
    Ok(db
        .on_replica(SetReplicationState::new(replication_state, replication_state.as_replica()))
        .await?
        .replication_state)
}

async fn promote(db: &Persistence) -> ReplicationState {
    let replication_state = db.read(GetReplicationStatus {}).await.expect("a read").replication_state;
    db.on_replica(SetReplicationState::new(replication_state, replication_state.promoted()))
        .await
        .expect("the promotion succeeds")
        .replication_state
}

/// Reads one page of row images and returns the call that applies it, and whether there is more.
async fn step(
    from: &Persistence,
    to: &Persistence,
    done: Option<ImageCursor>,
    after: ImageCursor,
    limit: u32,
) -> (ApplyImages, bool) {
    let page = from.read(ReadImages::new(after, limit)).await.expect("images");
    assert_eq!(page.damaged, Vec::<String>::new());
    let position = if page.more { Position::ZERO } else { page.position };
    let status = to.read(GetReplicationStatus {}).await.expect("a read");
    let apply = ApplyImages {
        epoch: status.replication_state.epoch,
        from: done,
        to: page.cursor,
        images: page.images,
        position,
        kept_after: page.kept_after,
    };
    (apply, page.more)
}

/// Copies all that there is; says how many images that were.
async fn copy(from: &Persistence, to: &Persistence, limit: u32) -> usize {
    let mut done = to.read(GetReplicationStatus {}).await.expect("a read").cursor;
    let mut after = match done {
        Some(cursor) => cursor,
        None => from.on_replica(BeginCapture::WHOLE).await.expect("it begins").cursor,
    };
    let mut count = 0;
    loop {
        let (apply, more) = step(from, to, done, after, limit).await;
        assert!(apply.images.len() <= limit as usize);
        count += apply.images.len();
        let applied = to.on_replica(apply).await.expect("the row images are applied");
        assert!(!applied.already || Some(applied.cursor) == done);
        (done, after) = (Some(applied.cursor), applied.cursor);
        if !more {
            return count;
        }
    }
}

async fn reused(rig: Rig) {
    let db = opened(&rig).await;
    db.create_thread(new_thread("t").reusing_ids()).await.unwrap();
    let thread = db.thread("t");
    for name in ["deleted", "again", "later"] {
        thread.add(said(name, "old")).await.unwrap();
        thread.edit(id(name), Content::text("edited")).await.unwrap();
    }
    thread.delete(id("deleted")).await.unwrap();
    thread.delete(id("again")).await.unwrap();
    thread.add(said("again", "new")).await.unwrap();
    let to = replica(&rig).await;
    copy(&db, &to, 3).await;
    assert_eq!(everything(&to.thread("t")).await, everything(&thread).await);
    thread.delete(id("later")).await.unwrap();
    thread.add(said("later", "new")).await.unwrap();
    copy(&db, &to, 3).await;
    let copied = everything(&to.thread("t")).await;
    assert_eq!((ids(&copied), &copied), (vec!["again", "later"], &everything(&thread).await));
    promote(&to).await;
    let thread = to.thread("t");
    for (name, revision) in [("deleted", 4), ("later", 6)] {
        if name == "later" {
            thread.delete(id(name)).await.unwrap();
        }
        let next = thread.add(said(name, "third")).await.unwrap().message;
        assert_eq!(next.revision, Revision::new(revision), "{name}");
    }
}

async fn exact(rig: Rig) {
    let db = opened(&rig).await;
    let filled = fill(&rig, &db).await;
    let to = replica(&rig).await;
    copy(&db, &to, 7).await;
    assert_eq!(look(&to, &filled).await, look(&db, &filled).await);
    // Both stores purge the rest of cleared threads in the same steps.
    promote(&to).await;
    for thread in ["cleared", "deleted"] {
        let purge = || PurgeThread { thread: thread_id(thread), limit: 100 };
        let (here, there) = (db.on_thread(purge()).await.unwrap(), to.on_thread(purge()).await.unwrap());
        assert_eq!(there, here, "{thread}");
        assert!(!here.attachments.is_empty());
    }
}

async fn later_changes(rig: Rig) {
    let db = opened(&rig).await;
    db.thread("untouched").add(said("m", "x")).await.unwrap();
    let to = replica(&rig).await;
    copy(&db, &to, 100).await;
    assert_eq!(copy(&db, &to, 100).await, 0);
    let filled = fill(&rig, &db).await;
    copy(&db, &to, 3).await;
    assert_eq!(look(&to, &filled).await, look(&db, &filled).await);
    // One change is one message, its thread and the change itself: the rest is not copied again.
    db.thread("untouched").update_content(id("m"), append("y"), UpdateMode::Edit).await.unwrap();
    let count = copy(&db, &to, 100).await;
    assert!((2..=3).contains(&count), "{count} images of one change");
    filled::end(&db).await;
    copy(&db, &to, 100).await;
    assert_eq!(look(&to, &filled).await, look(&db, &filled).await);
}

async fn goes_on(rig: Rig) {
    let db = opened(&rig).await;
    let thread = db.thread("t");
    thread.add(said("a", "x")).key("first").await.unwrap();
    let kept = thread.add(said("gone", "x")).await.unwrap().message;
    thread.delete(kept.id).await.unwrap();
    db.run(throughline_core::messages::Reserve::new(
        thread_id("t"),
        throughline_core::NewReservation::new(throughline_core::Role::Assistant).with_id(id("open")),
    ))
    .await
    .unwrap();
    thread.update_content(id("open"), append("Hel"), UpdateMode::Partial).await.unwrap();
    thread.delete(thread.add(said("last", "x")).await.unwrap().message.id).await.unwrap();
    let to = replica(&rig).await;
    copy(&db, &to, 100).await;
    demote(&db).await.unwrap();
    promote(&to).await;
    let there = to.thread("t");
    // The same key is answered as it was, and not once more.
    let again = there.add(said("a", "x")).key("first").await.unwrap();
    assert_eq!((again.deduplicated, again.message.seq.get()), (true, 1));
    refused(there.add(said("b", "y")).key("first").await, ErrorKind::Conflict);
    refused(there.add(said("gone", "x")).await, ErrorKind::Gone);
    refused(there.add(said("a", "x")).await, ErrorKind::AlreadyExists);
    // An open message continues, and no seq is assigned twice.
    there.update_content(id("open"), append("lo"), UpdateMode::Partial).await.unwrap();
    there
        .update_content(id("open"), ContentChange::Append(Delta::text("!")), UpdateMode::Final)
        .await
        .unwrap();
    assert_eq!(the(&there, "open").await.content, throughline_core::Content::text("Hello!"));
    assert_eq!(there.add(said("c", "z")).await.unwrap().message.seq.get(), 5);
    let last =
        to.run(throughline_core::messages::Add::new(thread_id("u"), said("d", "z"))).reply().await.unwrap();
    let before = db.read(GetReplicationStatus {}).await.unwrap().position;
    assert!(last.receipt.position.is_some_and(|position| position > before));
    refused(db.thread("t").add(said("e", "z")).await, ErrorKind::NotPrimary);
    assert_eq!(ids(&everything(&db.thread("t")).await), ["a", "open"]);
}

async fn store_key(rig: Rig) {
    // Both without a secret of the host: each has a key of its own at first.
    let backend = rig.open().await;
    let key = backend.fingerprint_key();
    let db = rig.builder().backend(backend).build().expect("an empty stack builds");
    db.thread("t").add(said("a", "x")).key("first").await.unwrap();
    let sibling = rig.sibling("copy");
    let to = sibling.db().await;
    let replication_state = to.read(GetReplicationStatus {}).await.unwrap().replication_state;
    let take =
        SetReplicationState::new(replication_state, replication_state.as_replica()).with_fingerprint_key(key);
    to.on_replica(take).await.expect("the copy becomes a replica");
    copy(&db, &to, 100).await;
    promote(&to).await;
    let repeated = async |to: &Persistence| {
        assert!(to.thread("t").add(said("a", "x")).key("first").await.unwrap().deduplicated);
        refused(to.thread("t").add(said("b", "y")).key("first").await, ErrorKind::Conflict);
    };
    repeated(&to).await;
    if rig.capabilities.durability >= Durability::Process {
        to.close().await.expect("the store closes");
        drop(to);
        let backend = sibling.open().await;
        assert!(backend.fingerprint_key() == key, "the copy has another key after it was opened again");
        let to = sibling.builder().backend(backend).build().expect("an empty stack builds");
        repeated(&to).await;
    }
}

async fn once(rig: Rig) {
    let db = opened(&rig).await;
    for name in ["a", "b", "c"] {
        db.thread("t").add(said(name, "x")).await.unwrap();
    }
    let to = replica(&rig).await;
    assert_eq!(to.read(GetReplicationStatus {}).await.unwrap().cursor, None);
    let begin = db.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    let (first, more) = step(&db, &to, None, begin, 2).await;
    assert!(more && first.images.len() == 2);
    let answer = ImagesApplied { cursor: first.to, already: false };
    assert_eq!(to.on_replica(first.clone()).await.unwrap(), answer);
    assert_eq!(to.on_replica(first.clone()).await.unwrap(), ImagesApplied { already: true, ..answer });
    assert_eq!(to.read(GetReplicationStatus {}).await.unwrap().cursor, Some(first.to));
    let (second, _) = step(&db, &to, Some(first.to), first.to, 2).await;
    // Not on from somewhere else, not in another epoch.
    refused(to.on_replica(ApplyImages { from: None, ..second.clone() }).await, ErrorKind::Stale);
    refused(to.on_replica(ApplyImages { epoch: Epoch::new(7), ..second.clone() }).await, ErrorKind::Stale);
    to.on_replica(second).await.unwrap();
    // Row images that are older than the replica change nothing.
    db.thread("t").update_content(id("a"), append("!"), UpdateMode::Edit).await.unwrap();
    copy(&db, &to, 100).await;
    refused(to.on_replica(first).await, ErrorKind::Stale);
    assert_eq!(everything(&to.thread("t")).await, everything(&db.thread("t")).await);
}

async fn refuses(rig: Rig) {
    let db = opened(&rig).await;
    db.thread("t").add(said("m", "x")).await.unwrap();
    let consumer = || MoveCursor::new("c".parse().unwrap(), Position::FIRST);
    assert_eq!(demote(&db).await.unwrap().role, ReplicationRole::Replica);
    refused(db.thread("t").add(said("n", "x")).await, ErrorKind::NotPrimary);
    refused(db.on_consumer(consumer()).await, ErrorKind::NotPrimary);
    refused(db.agent("g").reset_all().await, ErrorKind::NotPrimary);
    refused(db.agent("g").on("t").reset().await, ErrorKind::NotPrimary);
    assert_eq!(ids(&everything(&db.thread("t")).await), ["m"]);
    assert_eq!(promote(&db).await, ReplicationState { role: ReplicationRole::Primary, epoch: Epoch::FIRST });
    db.on_consumer(consumer()).await.unwrap();
    db.thread("t").add(said("n", "x")).await.unwrap();
    assert_eq!(ids(&everything(&db.thread("t")).await), ["m", "n"]);
}

async fn replication_state(rig: Rig) {
    let db = opened(&rig).await;
    let status = db.read(GetReplicationStatus {}).await.unwrap();
    assert_eq!(
        (status.replication_state, status.cursor, status.is_empty),
        (ReplicationState::PRIMARY, None, true)
    );
    let replica = ReplicationState::PRIMARY.as_replica();
    let primary = replica.promoted();
    let take = |expected, to| db.on_replica(SetReplicationState::new(expected, to));
    refused(take(primary, primary.as_replica()).await, ErrorKind::Stale);
    for _again in 0..2 {
        assert_eq!(take(ReplicationState::PRIMARY, replica).await.unwrap().replication_state, replica);
    }
    refused(take(replica, ReplicationState::PRIMARY).await, ErrorKind::Invalid);
    assert_eq!(take(replica, primary).await.unwrap().replication_state, primary);
    // A caller with the former state is late, and so is a repeated promotion.
    refused(take(replica, primary.promoted()).await, ErrorKind::Stale);
    refused(take(ReplicationState::PRIMARY, replica).await, ErrorKind::Stale);
    assert_eq!(db.read(GetReplicationStatus {}).await.unwrap().replication_state, primary);
}

async fn empty(rig: Rig) {
    let db = opened(&rig).await;
    db.thread("t").add(said("m", "x")).await.unwrap();
    let other = opened(&rig.sibling("other")).await;
    other.thread("t").add(said("n", "y")).await.unwrap();
    assert!(!other.read(GetReplicationStatus {}).await.unwrap().is_empty);
    demote(&other).await.unwrap();
    let begin = db.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    let (apply, _) = step(&db, &other, None, begin, 100).await;
    refused(other.on_replica(apply).await, ErrorKind::Conflict);
    assert_eq!(ids(&everything(&other.thread("t")).await), ["n"]);
    // The former primary of a copy becomes its replica without a second copy.
    let to = replica(&rig).await;
    copy(&db, &to, 100).await;
    let was = demote(&db).await.unwrap();
    promote(&to).await;
    let now = to.on_replica(BeginCapture::FROM_NOW).await.unwrap().cursor;
    let (apply, more) = step(&to, &db, None, now, 100).await;
    assert!(apply.images.is_empty() && !more && apply.epoch == was.epoch);
    db.on_replica(ApplyImages { to: now, ..apply }).await.unwrap();
    to.thread("t").add(said("o", "z")).await.unwrap();
    copy(&to, &db, 100).await;
    assert_eq!(ids(&everything(&db.thread("t")).await), ["m", "o"]);
}

async fn capture(rig: Rig) {
    let db = opened(&rig).await;
    db.thread("t").add(said("m", "x")).await.unwrap();
    let first = db.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    // A second capture starts during the first one.
    let second = db.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    assert_eq!(second.capture, first.capture);
    assert!(db.on_replica(EndCapture {}).await.unwrap().was_on);
    assert!(!db.on_replica(EndCapture {}).await.unwrap().was_on);
    let late = |error: PersistError| assert_eq!(error.kind(), ErrorKind::TooOld, "{error}");
    late(db.read(ReadImages::new(first, 1)).await.unwrap_err());
    let fresh = db.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    assert_ne!(fresh.capture, first.capture);
    late(db.read(ReadImages::new(first, 1)).await.unwrap_err());
    assert_eq!(db.read(ReadImages::new(fresh, 1)).await.unwrap().images.len(), 1);
}

async fn pages(rig: Rig) {
    let db = opened(&rig).await;
    for limit in [0, ReadImages::MAX_LIMIT + 1] {
        let begin = db.on_replica(BeginCapture::FROM_NOW).await.unwrap().cursor;
        refused(db.read(ReadImages::new(begin, limit)).await, ErrorKind::Invalid);
    }
    let to = replica(&rig).await;
    for name in ["a", "b", "c", "d", "e"] {
        db.thread(name).add(said(name, "x")).await.unwrap();
        rig.clock.advance(Duration::from_secs(1));
    }
    let mut after = db.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    let mut done = None;
    loop {
        let (apply, more) = step(&db, &to, done, after, 1).await;
        assert!(apply.images.len() <= 1);
        let changes: Vec<_> = apply.images.iter().map(|image| image.part.clone()).collect();
        to.on_replica(apply.clone()).await.unwrap();
        for part in changes {
            if let throughline_core::replication::ImagePart::Change(change) = part {
                let name = change.thread.as_str();
                assert_eq!(the(&to.thread(name), name).await.id, id(name));
            }
        }
        (done, after) = (Some(apply.to), apply.to);
        if !more {
            break;
        }
    }
    assert_eq!(crate::shorthand::listed(&to, throughline_core::threads::ListThreads::new(2)).await.len(), 5);
}
