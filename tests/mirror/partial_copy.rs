//! A replica that is promoted in the middle of a copy.

use throughline::{
    NewMessage, Persistence, Position, Seq,
    messages::PageFrom,
    replication::{
        ApplyImages, BeginCapture, GetReplicationStatus, GoneImage, Image, ImagePart, ReadImages,
        SetReplicationState,
    },
};

use super::support::{copy, equal, fill, memory, sqlite};

/// The copy contains the deletion of the last message, but an older row image of the thread, in which that message
/// still exists. The store must not reuse the sequence number.
async fn assert_no_seq_is_reused(to: Persistence) {
    let from = memory("from");
    fill(&from, 1, 20).await;
    let thread = from.thread("t0");
    thread.add(NewMessage::user("last").with_id("last".parse().unwrap())).await.unwrap();
    drop(copy(&from, &to).await.stop().await);
    equal(&from, &to).await;
    let last = to.thread("t0").get("last".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(last.seq, Seq::new(22));
    let status = to.read(GetReplicationStatus {}).await.unwrap();
    let whole = from.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    let images = from.read(ReadImages::new(whole, 100)).await.unwrap().images;
    let thread_image = images.into_iter().find(|image| matches!(image.part, ImagePart::Thread(_))).unwrap();
    let (thread, id) = ("t0".parse().unwrap(), "last".parse().unwrap());
    let gone = GoneImage { thread, id, revision: throughline::Revision::FIRST, left: None };
    let apply = ApplyImages {
        epoch: status.replication_state.epoch,
        from: status.cursor,
        to: from.on_replica(BeginCapture::FROM_NOW).await.unwrap().cursor,
        images: vec![Image::new(last.tenant, ImagePart::Gone(gone)), thread_image],
        position: Position::ZERO,
        kept_after: Position::ZERO,
    };
    to.on_replica(apply).await.unwrap();
    let replication_state = to.read(GetReplicationStatus {}).await.unwrap().replication_state;
    to.on_replica(SetReplicationState::new(replication_state, replication_state.promoted())).await.unwrap();
    let added = to.thread("t0").add(NewMessage::user("on")).await.unwrap();
    assert_eq!(added.message.seq, Seq::new(23));
    let page = to.thread("t0").page(PageFrom::End, 3).await.unwrap();
    assert_eq!(page.messages.iter().map(|message| message.seq.get()).collect::<Vec<_>>(), [20, 21, 23]);
}

#[tokio::test]
async fn a_sqlite_store_promoted_during_a_copy_reuses_no_seq() {
    let directory = tempfile::tempdir().unwrap();
    assert_no_seq_is_reused(sqlite(&directory.path().join("store.db")).await).await;
}

#[tokio::test]
async fn a_memory_store_promoted_during_a_copy_reuses_no_seq() {
    assert_no_seq_is_reused(memory("to")).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_store_promoted_during_a_copy_reuses_no_seq() {
    let Some(database) = super::server::Database::fresh().await else { return };
    assert_no_seq_is_reused(database.db().await).await;
}
