//! Values that are larger or longer than most, and within the bounds.

use std::time::Duration;

use throughline_core::{
    Content, Metadata, NewReservation, Role,
    messages::{ContentChange, Reserve, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, said, the, thread_id},
};

checks! {
    Core "messages.5_mib_content_is_kept" [Add Read] "content of 5 MiB, or of the claimed maximum, is kept" => content;
    Core "messages.100_kib_metadata_value_is_kept" [Add Read] "a metadata value of 100 KiB is kept" => metadata;
    Core "drafts.reason_of_2000_characters_is_kept" [Reserve UpdateContent Read] "an abandon reason of 2000 characters is kept" => reason;
    Core "drafts.lease_of_thirty_days_is_kept" [Reserve Read] "a lease of thirty days is kept" => lease;
}

async fn content(rig: Rig) {
    const SIZE: u64 = 5 << 20;
    let db = rig.db().await;
    let size = rig.capabilities.max_content_bytes.map_or(SIZE, |limit| limit.min(SIZE));
    // The JSON around the text takes less than 64 bytes.
    let text = "x".repeat(usize::try_from(size.saturating_sub(64)).expect("it is small"));
    db.thread("t").add(said("m", &text)).await.unwrap();
    assert!(the(&db.thread("t"), "m").await.content == Content::text(&text), "the content is another");
}

async fn metadata(rig: Rig) {
    let db = rig.db().await;
    let mut metadata = Metadata::new();
    metadata.set("k", &"x".repeat(100 << 10)).unwrap();
    db.thread("t").add(said("m", "x").with_metadata(metadata.clone())).await.unwrap();
    assert!(the(&db.thread("t"), "m").await.metadata == metadata, "the metadata is another");
}

async fn reserve(rig: &Rig, lease: Duration) -> throughline_core::Persistence {
    let db = rig.db().await;
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m")).with_lease(lease);
    db.run(Reserve::new(thread_id("t"), reservation)).await.unwrap();
    db
}

async fn reason(rig: Rig) {
    let db = reserve(&rig, Reserve::DEFAULT_LEASE).await;
    let reason = "why ".repeat(500);
    let mode = UpdateMode::Abandon { reason: Some(reason.clone()) };
    db.thread("t").update_content(id("m"), ContentChange::none(), mode).await.unwrap();
    assert_eq!(the(&db.thread("t"), "m").await.abandon_reason, Some(reason));
}

async fn lease(rig: Rig) {
    let db = reserve(&rig, Reserve::MAX_LEASE).await;
    let lease = the(&db.thread("t"), "m").await.lease.expect("it is open");
    assert_eq!(lease.duration, Reserve::MAX_LEASE);
    rig.clock.advance(Reserve::MAX_LEASE - Duration::from_secs(1));
    assert_eq!(db.recover_expired_drafts("gone").await.unwrap().abandoned, []);
}
