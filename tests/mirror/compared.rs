//! Differences that were planted are found and named, each of them.

use throughline::{
    Message, Persistence, Position, Revision,
    mirror::{Differs, compare},
    replication::{
        ApplyImages, BeginCapture, GetReplicationStatus, GoneImage, Image, ImagePart, ReadImages,
        SetReplicationState,
    },
};

use super::support::{copy, equal, fill, memory};

/// Puts images into a follower as they should never be.
async fn plant(from: &Persistence, to: &Persistence, images: Vec<Image>) {
    let standing = to.read(GetReplicationStatus {}).await.unwrap();
    let cursor = standing.cursor.unwrap();
    let next = from.on_replica(BeginCapture::FROM_NOW).await.unwrap().cursor;
    let apply = ApplyImages {
        epoch: standing.replication_state.epoch,
        from: Some(cursor),
        to: next,
        images,
        position: Position::ZERO,
        kept_after: Position::ZERO,
    };
    // The cursor has to move for images to be put in their places.
    assert_ne!(next, cursor);
    to.on_replica(apply).await.unwrap();
}

async fn message(db: &Persistence, id: &str) -> Message {
    db.thread("t0").get(id.parse().unwrap()).await.unwrap().unwrap()
}

fn image(message: Message) -> Image {
    Image::new(message.tenant.clone(), ImagePart::Message(Box::new(message)))
}

/// What is found after something was planted.
async fn found(plants: impl AsyncFnOnce(&Persistence) -> Vec<Image>) -> Vec<Differs> {
    let (from, to) = (memory("a"), memory("b"));
    fill(&from, 2, 12).await;
    drop(copy(&from, &to).await.stop().await);
    equal(&from, &to).await;
    let images = plants(&from).await;
    plant(&from, &to, images).await;
    let comparison = compare(&from, &to).await.unwrap();
    assert!(comparison.position.is_some());
    for difference in &comparison.differences {
        assert_eq!(difference.thread.as_ref().unwrap().as_str(), "t0", "{difference}");
    }
    comparison.differences.into_iter().map(|difference| difference.what).collect()
}

fn differs(id: &str, seq: u64, fields: &[&'static str]) -> Differs {
    Differs::Message { id: id.parse().unwrap(), seq: throughline::Seq::new(seq), fields: fields.to_vec() }
}

#[tokio::test]
async fn an_edited_row() {
    let found = found(async |from| {
        let other = message(from, "m5").await.content;
        vec![image(Message { content: other, ..message(from, "m3").await })]
    });
    assert_eq!(found.await, [differs("m3", 4, &["content"])]);
}

#[tokio::test]
async fn a_row_that_is_missing() {
    let found = found(async |from| {
        let Message { tenant, thread, id, .. } = message(from, "m3").await;
        vec![Image::new(tenant, ImagePart::Gone(GoneImage { thread, id, left: None }))]
    });
    let missing = Differs::Missing { id: "m3".parse().unwrap(), seq: throughline::Seq::new(4) };
    assert_eq!(found.await, [missing, Differs::Part("ids of deleted messages")]);
}

#[tokio::test]
async fn a_row_too_many() {
    let found = found(async |from| {
        let extra = Message {
            id: "extra".parse().unwrap(),
            seq: throughline::Seq::new(99),
            ..message(from, "m3").await
        };
        vec![image(extra)]
    });
    let extra = Differs::Extra { id: "extra".parse().unwrap(), seq: throughline::Seq::new(99) };
    assert_eq!(found.await, [extra]);
}

#[tokio::test]
async fn two_rows_that_were_swapped() {
    let found = found(async |from| {
        let (a, b) = (message(from, "m3").await, message(from, "m4").await);
        vec![image(Message { seq: b.seq, ..a.clone() }), image(Message { seq: a.seq, ..b })]
    });
    assert_eq!(found.await, [differs("m3", 4, &["place"]), differs("m4", 5, &["place"])]);
}

#[tokio::test]
async fn a_stale_revision() {
    let found = found(async |from| {
        let open = message(from, "open").await;
        assert_ne!(open.revision, Revision::FIRST);
        vec![image(Message { revision: Revision::FIRST, ..open })]
    });
    assert_eq!(found.await, [differs("open", 13, &["revision"])]);
}

#[tokio::test]
async fn a_key_that_is_missing() {
    let (from, to) = (memory("a"), memory("b"));
    fill(&from, 1, 3).await;
    drop(copy(&from, &to).await.stop().await);
    from.thread("t0").rename("Trip".parse().unwrap()).key("late").await.unwrap();
    // All but the key of what came after is carried.
    let cursor = to.read(GetReplicationStatus {}).await.unwrap().cursor.unwrap();
    let page = from.read(ReadImages::new(cursor, 100)).await.unwrap();
    let images = page.images.into_iter().filter(|image| !matches!(image.part, ImagePart::Key(_))).collect();
    plant(&from, &to, images).await;
    let found: Vec<Differs> = compare(&from, &to)
        .await
        .unwrap()
        .differences
        .into_iter()
        .map(|difference| difference.what)
        .collect();
    assert_eq!(found, [Differs::Part("idempotency keys")]);
}

/// What is found of a copy that one kind of thing was left out of.
async fn without(is_left_out: fn(&ImagePart) -> bool) -> Vec<Differs> {
    let (from, to) = (memory("a"), memory("b"));
    fill(&from, 1, 3).await;
    from.agent("g").reset_all().await.unwrap();
    from.agent("g").on("t0").reset().await.unwrap();
    from.drop_runtime("r".parse().unwrap()).await.unwrap();
    let replication_state = to.read(GetReplicationStatus {}).await.unwrap().replication_state;
    let epoch = to
        .on_replica(SetReplicationState::new(replication_state, replication_state.as_replica()))
        .await
        .unwrap()
        .replication_state
        .epoch;
    let (mut done, mut left_out) = (None, 0);
    let mut after = from.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    loop {
        let mut page = from.read(ReadImages::new(after, 100)).await.unwrap();
        let all = page.images.len();
        page.images.retain(|image| !is_left_out(&image.part));
        left_out += all - page.images.len();
        let apply = ApplyImages {
            epoch,
            from: done,
            to: page.cursor,
            images: page.images,
            position: page.position,
            kept_after: page.kept_after,
        };
        to.on_replica(apply).await.unwrap();
        (done, after) = (Some(page.cursor), page.cursor);
        if !page.more {
            break;
        }
    }
    assert!(left_out > 0);
    let comparison = compare(&from, &to).await.unwrap();
    assert!(comparison.position.is_some());
    comparison.differences.into_iter().map(|difference| difference.what).collect()
}

#[tokio::test]
async fn every_kind_of_thing_that_is_left_out_is_named() {
    let is = |of: fn(&ImagePart) -> bool| without(of);
    let part = |name| vec![Differs::Part(name)];
    assert_eq!(is(|part| matches!(part, ImagePart::Key(_))).await, part("idempotency keys"));
    assert_eq!(is(|part| matches!(part, ImagePart::Gone(_))).await, part("ids of deleted messages"));
    assert_eq!(is(|part| matches!(part, ImagePart::Agent { .. })).await, part("agents"));
    assert_eq!(is(|part| matches!(part, ImagePart::Runtime { .. })).await, part("runtimes"));
    assert_eq!(is(|part| matches!(part, ImagePart::Session(_))).await, part("agent sessions"));
    assert_eq!(is(|part| matches!(part, ImagePart::Consumer(_))).await, part("consumers of changes"));
    assert_eq!(is(|part| matches!(part, ImagePart::Change(_))).await, part("changes"));
}
