//! A replica whose messages have other sequence numbers than those of its primary. Every row image replaces its row,
//! also where messages exchange their numbers.

use tempfile::TempDir;
use throughline_core::{
    Delta, Message, NewMessage, NewReservation, Persistence, Position, Role,
    messages::{ContentChange, PageFrom, Reserve, UpdateMode, Visibility},
    replication::{
        ApplyImages, BeginCapture, GetReplicationStatus, Image, ImageCursor, ImagePart, ReadImages,
        SetReplicationState,
    },
};
use throughline_memory::MemoryBackend;
use throughline_sqlite::{Maintenance, SqliteBackend};

/// Returns a primary whose thread has messages with these names, in this order. The message `open` stays open.
async fn primary(names: &[&str]) -> Persistence {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let thread = db.thread("t");
    for name in names {
        let id = name.parse().unwrap();
        if *name == "open" {
            let reservation = NewReservation::new(Role::Assistant).with_id(id);
            db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
            let text = ContentChange::Append(Delta::text("Hel"));
            thread.update_content(name.parse().unwrap(), text, UpdateMode::Partial).await.unwrap();
        } else {
            thread.add(NewMessage::user(name).with_id(id)).await.unwrap();
        }
    }
    db
}

struct Replica {
    directory: TempDir,
    maintenance: Maintenance,
    db: Persistence,
}

impl Replica {
    /// Creates an empty replica with segments of this many positions.
    async fn empty(segment_positions: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteBackend::builder().segment_positions(segment_positions);
        let backend = options.open(directory.path().join("replica.db")).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap();
        let state = db.read(GetReplicationStatus {}).await.unwrap().replication_state;
        db.on_replica(SetReplicationState::new(state, state.as_replica())).await.unwrap();
        Self { directory, maintenance, db }
    }

    async fn apply(&self, to: ImageCursor, images: Vec<Image>) {
        let status = self.db.read(GetReplicationStatus {}).await.unwrap();
        let apply = ApplyImages {
            epoch: status.replication_state.epoch,
            from: status.cursor,
            to,
            images,
            position: Position::ZERO,
            kept_after: Position::ZERO,
        };
        assert!(!self.db.on_replica(apply).await.unwrap().already);
    }

    /// Copies a primary with one row image in each call, so that the messages are in several segments.
    async fn copy(&self, from: &Persistence) {
        let mut after = from.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
        loop {
            let page = from.read(ReadImages::new(after, 1)).await.unwrap();
            self.apply(page.cursor, page.images).await;
            if !page.more {
                return;
            }
            after = page.cursor;
        }
    }

    /// Applies the thread and the messages of a primary in one call.
    async fn apply_thread(&self, from: &Persistence) {
        let begun = from.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
        let page = from.read(ReadImages::new(begun, 1000)).await.unwrap();
        assert!(!page.more);
        let is_of_thread = |image: &Image| {
            matches!(image.part, ImagePart::Thread(_) | ImagePart::Message(_) | ImagePart::Gone(_))
        };
        self.apply(page.cursor, page.images.into_iter().filter(is_of_thread).collect()).await;
    }
}

async fn messages(db: &Persistence) -> Vec<Message> {
    let page = db.thread("t").page_showing(PageFrom::Start, 100, Visibility::All).await.unwrap();
    assert_eq!(page.damaged, []);
    page.messages
}

/// Copies a thread and then applies all of its rows from a second primary, which has another order.
async fn assert_order_is_replaced(first: &[&str], second: &[&str], deleted: &[&str]) {
    for segment_positions in [2, 4096] {
        let replica = Replica::empty(segment_positions).await;
        let (from, other) = (primary(first).await, primary(second).await);
        replica.copy(&from).await;
        assert_eq!(messages(&replica.db).await, messages(&from).await);
        for name in deleted {
            other.thread("t").delete(name.parse().unwrap()).await.unwrap();
        }
        replica.apply_thread(&other).await;
        assert_eq!(messages(&replica.db).await, messages(&other).await);
        assert_eq!(
            replica.db.thread("t").summary().await.unwrap(),
            other.thread("t").summary().await.unwrap()
        );
        let verification = replica.maintenance.verify().await.unwrap();
        assert_eq!(verification.damaged, []);
    }
}

#[tokio::test]
async fn a_row_image_deletes_the_obsolete_chunks_of_its_message() {
    let replica = Replica::empty(4096).await;
    replica.copy(&primary(&["a", "open"]).await).await;
    // The store is a primary for a while, which ends a stream.
    let copied = replica.db.read(GetReplicationStatus {}).await.unwrap().replication_state;
    let promoted = copied.promoted();
    replica.db.on_replica(SetReplicationState::new(copied, promoted)).await.unwrap();
    let update = |change, mode| replica.db.thread("t").update_content("open".parse().unwrap(), change, mode);
    for _ in 0..20 {
        update(ContentChange::Append(Delta::text("x")), UpdateMode::Partial).await.unwrap();
    }
    update(ContentChange::none(), UpdateMode::Final).await.unwrap();
    replica.db.on_replica(SetReplicationState::new(promoted, promoted.as_replica())).await.unwrap();
    // A primary that has all of its changes, and more.
    let other = primary(&["a", "open"]).await;
    for _ in 0..60 {
        other.thread("u").add(NewMessage::user("more")).await.unwrap();
    }
    let begun = other.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    let whole = other.read(ReadImages::new(begun, 1000)).await.unwrap();
    replica.apply(whole.cursor, Vec::new()).await;
    let change = ContentChange::Append(Delta::text("lo"));
    other.thread("t").update_content("open".parse().unwrap(), change, UpdateMode::Partial).await.unwrap();
    other.thread("t").add(NewMessage::user("b")).await.unwrap();
    let changed = other.read(ReadImages::new(whole.cursor, 1000)).await.unwrap();
    replica.apply(changed.cursor, changed.images).await;
    assert_eq!(messages(&replica.db).await[1..], messages(&other).await[1..]);
    let sql = "SELECT (SELECT count(*) FROM appends), (SELECT count(*) FROM obsolete_chunks)";
    let look = rusqlite::Connection::open(replica.directory.path().join("replica.db")).unwrap();
    let left: (i64, i64) = look.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(left, (1, 0), "the chunk of the open message is that of the image");
    assert_eq!(replica.maintenance.verify().await.unwrap().damaged, []);
}

#[tokio::test]
async fn replica_applies_two_messages_that_exchange_their_sequence_numbers() {
    assert_order_is_replaced(&["a", "b", "c"], &["b", "a", "c"], &[]).await;
    assert_order_is_replaced(&["a", "open"], &["open", "a"], &[]).await;
}

#[tokio::test]
async fn replica_applies_messages_that_rotate_their_sequence_numbers() {
    assert_order_is_replaced(&["a", "b", "c", "d"], &["b", "c", "d", "a"], &[]).await;
    assert_order_is_replaced(&["a", "b", "c", "d"], &["d", "c", "b", "a"], &[]).await;
}

#[tokio::test]
async fn replica_applies_a_new_message_with_the_sequence_number_of_a_moved_one() {
    assert_order_is_replaced(&["a", "b"], &["new", "a", "b"], &[]).await;
}

#[tokio::test]
async fn replica_applies_a_message_with_the_sequence_number_of_a_deleted_one() {
    assert_order_is_replaced(&["a", "b", "c"], &["b", "a", "c"], &["a"]).await;
}
