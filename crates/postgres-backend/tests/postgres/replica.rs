//! A replica whose messages have other sequence numbers than those of its primary. Every row image replaces its row,
//! also where messages exchange their numbers.

use std::{future::IntoFuture as _, time::Duration};

use throughline_core::{
    NewMessage, Persistence, Position,
    replication::{
        ApplyImages, BeginCapture, GetReplicationStatus, Image, ImagePart, ReadImages, SetReplicationState,
    },
};
use throughline_memory::MemoryBackend;
use tokio::time::timeout;

use crate::support::{Database, everything};

/// Returns a primary whose thread has messages with these names, in this order.
async fn primary(names: &[&str]) -> Persistence {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    for name in names {
        db.thread("t").add(NewMessage::user(name).with_id(name.parse().unwrap())).await.unwrap();
    }
    db
}

/// Applies the thread and the messages of a primary in one call.
async fn apply(replica: &Persistence, from: &Persistence) {
    let begun = from.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    let page = from.read(ReadImages::new(begun, 1000)).await.unwrap();
    assert!(!page.more);
    let is_of_thread = |image: &Image| {
        matches!(image.part, ImagePart::Thread(_) | ImagePart::Message(_) | ImagePart::Gone(_))
    };
    let status = replica.read(GetReplicationStatus {}).await.unwrap();
    let apply = ApplyImages {
        epoch: status.replication_state.epoch,
        from: status.cursor,
        to: page.cursor,
        images: page.images.into_iter().filter(is_of_thread).collect(),
        position: Position::ZERO,
        kept_after: Position::ZERO,
    };
    assert!(!replica.on_replica(apply).await.unwrap().already);
}

/// Copies a thread and then applies all of its rows from a second primary, which has another order.
async fn assert_order_is_replaced(first: &[&str], second: &[&str], deleted: &[&str]) {
    let Some(database) = Database::fresh("").await else { return };
    let replica = database.db().await;
    let state = replica.read(GetReplicationStatus {}).await.unwrap().replication_state;
    replica.on_replica(SetReplicationState::new(state, state.as_replica())).await.unwrap();
    let (from, other) = (primary(first).await, primary(second).await);
    apply(&replica, &from).await;
    assert_eq!(everything(&replica, "t").await, everything(&from, "t").await);
    for name in deleted {
        other.thread("t").delete(name.parse().unwrap()).await.unwrap();
    }
    apply(&replica, &other).await;
    assert_eq!(everything(&replica, "t").await, everything(&other, "t").await);
    assert_eq!(replica.thread("t").summary().await.unwrap(), other.thread("t").summary().await.unwrap());
    replica.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_applies_two_messages_that_exchange_their_sequence_numbers() {
    assert_order_is_replaced(&["a", "b", "c"], &["b", "a", "c"], &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_applies_messages_that_rotate_their_sequence_numbers() {
    assert_order_is_replaced(&["a", "b", "c", "d"], &["b", "c", "d", "a"], &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_applies_a_new_message_with_the_sequence_number_of_a_moved_one() {
    assert_order_is_replaced(&["a", "b"], &["new", "a", "b"], &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_applies_a_message_with_the_sequence_number_of_a_deleted_one() {
    assert_order_is_replaced(&["a", "b", "c"], &["b", "a", "c"], &["a"]).await;
    // The message is new to the replica.
    assert_order_is_replaced(&["a", "b"], &["new", "b", "a"], &["a"]).await;
}

/// A process that follows the changes listens as long as it runs. The snapshot of a copy waits for no listener.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_of_a_copy_begins_while_a_process_listens() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    let listens = db.commit_notifications();
    assert!(listens.is_some());
    let listening =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    while database.count(listening).await == 0 {
        tokio::task::yield_now().await;
    }
    let begun = timeout(Duration::from_secs(30), db.on_replica(BeginCapture::WHOLE).into_future());
    begun.await.expect("the snapshot does not wait").unwrap();
    assert_eq!(database.count("SELECT count(*) FROM throughline.listed WHERE kind = 2").await, 1);
    drop(listens);
}
