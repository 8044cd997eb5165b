use std::io;

use throughline::{
    Content, Delta, Effect, ErrorKind, NewMessage, NewReservation, PersistError, Persistence, Role, Site,
    layers::disk_guard::DiskChange,
    messages::{Add, Batch, ContentChange, Delete, UpdateMode},
    threads::ClearThread,
};
use tokio::time::advance;

use super::{Disk, EVERY, HIGH, LOW, Stacks};
use crate::kit::checks;

checks! {
    Stacks;
    "refuses-below-low-and-accepts-above-high" => refuses_below_low_and_accepts_above_high;
    "stays-closed-between-the-thresholds" => stays_closed_between_the_thresholds;
    "every-growing-write-is-refused" => every_growing_write_is_refused;
    "finishes-and-deletes-are-accepted" => finishes_and_deletes_are_accepted;
    "measures-at-intervals" => measures_at_intervals;
    "concurrent-writes-measure-once" => concurrent_writes_measure_once;
    "fails-open" => fails_open;
}

async fn add(db: &Persistence) -> Result<(), PersistError> {
    db.thread("t").add(NewMessage::user("x")).await.map(drop)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, PersistError>) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::StorageFull, Effect::NotApplied), "{error}");
    assert_eq!(error.site(), Some(&Site::Layer("disk-guard".into())), "{error}");
}

async fn refuses_below_low_and_accepts_above_high(stacks: Stacks) {
    let disk = Disk::of(LOW);
    let db = (stacks.stack)(disk.clone());
    add(&db).await.unwrap();
    disk.set(Some(LOW - 1));
    advance(EVERY).await;
    refused(add(&db).await);
    disk.set(Some(HIGH));
    advance(EVERY).await;
    add(&db).await.unwrap();
    assert_eq!(disk.changes(), [DiskChange::Closed { free: LOW - 1 }, DiskChange::Opened { free: HIGH }]);
}

async fn stays_closed_between_the_thresholds(stacks: Stacks) {
    let disk = Disk::of(HIGH - 1);
    let db = (stacks.stack)(disk.clone());
    add(&db).await.unwrap();
    disk.set(Some(0));
    advance(EVERY).await;
    refused(add(&db).await);
    disk.set(Some(HIGH - 1));
    advance(EVERY).await;
    refused(add(&db).await);
}

async fn every_growing_write_is_refused(stacks: Stacks) {
    let disk = Disk::of(HIGH);
    let db = (stacks.stack)(disk.clone());
    let thread = db.thread("t");
    let id = thread.add(NewMessage::user("x")).await.unwrap().message.id;
    disk.set(Some(0));
    advance(EVERY).await;
    refused(add(&db).await);
    refused(thread.reserve(Role::Assistant).await);
    refused(thread.edit(id.clone(), Content::text("longer than it was")).await);
    let add = Add::new("t".parse().unwrap(), NewMessage::user("x"));
    let delete = Delete::new("t".parse().unwrap(), id);
    refused(db.batch(Batch::new().with(delete).with(add)).await);
}

async fn finishes_and_deletes_are_accepted(stacks: Stacks) {
    let disk = Disk::of(HIGH);
    let db = (stacks.stack)(disk.clone());
    let thread = db.thread("t");
    let id = thread.add(NewMessage::user("x")).await.unwrap().message.id;
    for open in ["finished", "abandoned"] {
        let reservation = NewReservation::new(Role::Assistant).with_id(open.parse().unwrap());
        drop(thread.reserve(reservation).await.unwrap());
    }
    disk.set(Some(0));
    advance(EVERY).await;
    refused(add(&db).await);
    let last = ContentChange::Append(Delta::text("the last words"));
    thread.update_content("finished".parse().unwrap(), last, UpdateMode::Final).await.unwrap();
    let abandon = UpdateMode::Abandon { reason: None };
    thread.update_content("abandoned".parse().unwrap(), ContentChange::none(), abandon).await.unwrap();
    thread.get(id.clone()).await.unwrap().unwrap();
    thread.delete(id).await.unwrap();
    db.on_thread(ClearThread::new("t".parse().unwrap())).await.unwrap();
}

async fn measures_at_intervals(stacks: Stacks) {
    let disk = Disk::of(HIGH);
    let db = (stacks.stack)(disk.clone());
    for looks in 1..=3 {
        for _ in 0..10 {
            add(&db).await.unwrap();
        }
        assert_eq!(disk.measurements(), looks);
        advance(EVERY).await;
    }
}

async fn concurrent_writes_measure_once(stacks: Stacks) {
    let disk = Disk::of(0);
    let db = (stacks.stack)(disk.clone());
    let adds = (0..50).map(|_| tokio::spawn(db.thread("t").add(NewMessage::user("x")).into_future()));
    for add in adds.collect::<Vec<_>>() {
        refused(add.await.unwrap());
    }
    assert_eq!((disk.measurements(), disk.changes().len()), (1, 1));
}

async fn fails_open(stacks: Stacks) {
    let disk = Disk::default();
    let db = (stacks.stack)(disk.clone());
    add(&db).await.unwrap();
    disk.set(Some(0));
    advance(EVERY).await;
    refused(add(&db).await);
    // The last known state stays in force.
    disk.set(None);
    advance(EVERY).await;
    refused(add(&db).await);
    let unmeasured = DiskChange::Unmeasured(io::ErrorKind::NotFound);
    let [closed, measured] = [DiskChange::Closed { free: 0 }, DiskChange::Measured { free: 0 }];
    assert_eq!(disk.changes(), [unmeasured, measured, closed, unmeasured]);
}
