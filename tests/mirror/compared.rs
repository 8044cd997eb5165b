//! A comparison finds and names each planted difference.

use throughline::{
    Message, Persistence, Position, Revision,
    mirror::{Differs, compare},
    replication::{
        ApplyImages, BeginCapture, GetReplicationStatus, GoneImage, Image, ImagePart, ReadImages,
        SetReplicationState,
    },
};

use super::support::{copy, equal, fill, memory};

/// Applies row images to a replica that its primary would never send.
async fn plant(from: &Persistence, to: &Persistence, images: Vec<Image>) {
    let status = to.read(GetReplicationStatus {}).await.unwrap();
    let cursor = status.cursor.unwrap();
    let next = from.on_replica(BeginCapture::FROM_NOW).await.unwrap().cursor;
    let apply = ApplyImages {
        epoch: status.replication_state.epoch,
        from: Some(cursor),
        to: next,
        images,
        position: Position::ZERO,
        kept_after: Position::ZERO,
    };
    // The replica applies row images only if its cursor moves.
    assert_ne!(next, cursor);
    to.on_replica(apply).await.unwrap();
}

async fn message(db: &Persistence, id: &str) -> Message {
    db.thread("t0").get(id.parse().unwrap()).await.unwrap().unwrap()
}

fn image(message: Message) -> Image {
    Image::new(message.tenant.clone(), ImagePart::Message(Box::new(message.into())))
}

/// Returns the differences after row images were planted.
async fn found(images_to_plant: impl AsyncFnOnce(&Persistence) -> Vec<Image>) -> Vec<Differs> {
    let (from, to) = (memory("a"), memory("b"));
    fill(&from, 2, 12).await;
    drop(copy(&from, &to).await.stop().await);
    equal(&from, &to).await;
    let images = images_to_plant(&from).await;
    plant(&from, &to, images).await;
    let comparison = compare(&from, &to).await.unwrap();
    assert!(comparison.position.is_some());
    for difference in &comparison.differences {
        assert_eq!(difference.thread.as_ref().unwrap().as_str(), "t0", "{difference}");
    }
    comparison.differences.into_iter().map(|difference| difference.kind).collect()
}

fn differs(id: &str, seq: u64, fields: &[&'static str]) -> Differs {
    Differs::Message { id: id.parse().unwrap(), seq: throughline::Seq::new(seq), fields: fields.to_vec() }
}

#[tokio::test]
async fn an_edited_message_is_a_difference_of_its_content() {
    let found = found(async |from| {
        let other = message(from, "m5").await.content;
        vec![image(Message { content: other, ..message(from, "m3").await })]
    });
    assert_eq!(found.await, [differs("m3", 4, &["content"])]);
}

#[tokio::test]
async fn a_missing_message_is_a_difference() {
    let found = found(async |from| {
        let Message { tenant, thread, id, .. } = message(from, "m3").await;
        vec![Image::new(
            tenant,
            ImagePart::Gone(GoneImage { thread, id, revision: Revision::FIRST, left: None }),
        )]
    });
    let missing = Differs::Missing { id: "m3".parse().unwrap(), seq: throughline::Seq::new(4) };
    assert_eq!(found.await, [missing, Differs::Part("ids of deleted messages")]);
}

#[tokio::test]
async fn an_extra_message_is_a_difference() {
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
async fn two_swapped_messages_are_differences_of_their_seq() {
    let found = found(async |from| {
        let (a, b) = (message(from, "m3").await, message(from, "m4").await);
        vec![image(Message { seq: b.seq, ..a.clone() }), image(Message { seq: a.seq, ..b })]
    });
    assert_eq!(found.await, [differs("m3", 4, &["seq"]), differs("m4", 5, &["seq"])]);
}

#[tokio::test]
async fn a_stale_revision_is_a_difference() {
    let found = found(async |from| {
        let open = message(from, "open").await;
        assert_ne!(open.revision, Revision::FIRST);
        vec![image(Message { revision: Revision::FIRST, ..open })]
    });
    assert_eq!(found.await, [differs("open", 13, &["revision"])]);
}

#[tokio::test]
async fn a_missing_idempotency_key_is_a_difference() {
    let (from, to) = (memory("a"), memory("b"));
    fill(&from, 1, 3).await;
    drop(copy(&from, &to).await.stop().await);
    from.thread("t0").rename("Trip".parse().unwrap()).key("late").await.unwrap();
    // Apply all later row images except the key.
    let cursor = to.read(GetReplicationStatus {}).await.unwrap().cursor.unwrap();
    let page = from.read(ReadImages::new(cursor, 100)).await.unwrap();
    let images = page.images.into_iter().filter(|image| !matches!(image.part, ImagePart::Key(_))).collect();
    plant(&from, &to, images).await;
    let found: Vec<Differs> = compare(&from, &to)
        .await
        .unwrap()
        .differences
        .into_iter()
        .map(|difference| difference.kind)
        .collect();
    assert_eq!(found, [Differs::Part("idempotency keys")]);
}

/// Returns the differences of a copy without the row images that match.
async fn differences_without(is_omitted: fn(&ImagePart) -> bool) -> Vec<Differs> {
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
    let (mut done, mut omitted) = (None, 0);
    let mut after = from.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    loop {
        let mut page = from.read(ReadImages::new(after, 100)).await.unwrap();
        let all = page.images.len();
        page.images.retain(|image| !is_omitted(&image.part));
        omitted += all - page.images.len();
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
    assert!(omitted > 0);
    let comparison = compare(&from, &to).await.unwrap();
    assert!(comparison.position.is_some());
    comparison.differences.into_iter().map(|difference| difference.kind).collect()
}

#[tokio::test]
async fn every_omitted_kind_of_row_is_named() {
    let is = |of: fn(&ImagePart) -> bool| differences_without(of);
    let part = |name| vec![Differs::Part(name)];
    assert_eq!(is(|part| matches!(part, ImagePart::Key(_))).await, part("idempotency keys"));
    assert_eq!(is(|part| matches!(part, ImagePart::Gone(_))).await, part("ids of deleted messages"));
    assert_eq!(is(|part| matches!(part, ImagePart::Agent { .. })).await, part("agents"));
    assert_eq!(is(|part| matches!(part, ImagePart::Runtime { .. })).await, part("runtimes"));
    assert_eq!(is(|part| matches!(part, ImagePart::Session(_))).await, part("agent sessions"));
    assert_eq!(is(|part| matches!(part, ImagePart::Consumer(_))).await, part("consumers of changes"));
    assert_eq!(is(|part| matches!(part, ImagePart::Change(_))).await, part("changes"));
}
