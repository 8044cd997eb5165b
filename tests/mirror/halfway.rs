//! A store that is made the first in the middle of a copy.

use throughline::{
    NewMessage, Persistence, Position, Seq,
    messages::PageFrom,
    replication::{
        ApplyImages, BeginCapture, GetReplicationStatus, GoneImage, Image, ImagePart, ReadImages,
        SetReplicationState,
    },
};

use super::support::{copy, equal, fill, memory, sqlite};

/// Of the deletion of the last message only the message has come, and of the thread what a store says of one whose last message
/// stands: so does one that was written to again, by a message that has not come.
async fn no_place_is_given_twice(to: Persistence) {
    let from = memory("from");
    fill(&from, 1, 20).await;
    let thread = from.thread("t0");
    thread.add(NewMessage::user("last").with_id("last".parse().unwrap())).await.unwrap();
    drop(copy(&from, &to).await.stop().await);
    equal(&from, &to).await;
    let last = to.thread("t0").get("last".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(last.seq, Seq::new(22));
    let standing = to.read(GetReplicationStatus {}).await.unwrap();
    let whole = from.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    let images = from.read(ReadImages::new(whole, 100)).await.unwrap().images;
    let said = images.into_iter().find(|image| matches!(image.part, ImagePart::Thread(_))).unwrap();
    let gone = GoneImage { thread: "t0".parse().unwrap(), id: "last".parse().unwrap(), left: None };
    let apply = ApplyImages {
        epoch: standing.replication_state.epoch,
        from: standing.cursor,
        to: from.on_replica(BeginCapture::FROM_NOW).await.unwrap().cursor,
        images: vec![Image::new(last.tenant, ImagePart::Gone(gone)), said],
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
async fn no_place_is_given_twice_by_a_file() {
    let directory = tempfile::tempdir().unwrap();
    no_place_is_given_twice(sqlite(&directory.path().join("store.db")).await).await;
}

#[tokio::test]
async fn no_place_is_given_twice_in_memory() {
    no_place_is_given_twice(memory("to")).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_place_is_given_twice_by_postgres() {
    let Some(database) = super::server::Database::fresh().await else { return };
    no_place_is_given_twice(database.db().await).await;
}
